//! What the tests of this crate share: peers of one authority on loopback, a request, and a log that can be read.

use crate::authority::Authority;
use crate::endpoint::{Dispatch, Endpoint, EndpointSettings, Inbound};
use crate::exchange::Exchange;
use crate::identity::Identity;
use crate::peers::Destination;
use crate::world::{WallClock, World};
use dfs_core::id::{NodeId, Role};
use dfs_core::refusal::Refusal;
use dfs_core::time::WallTime;
use dfs_core::wire::{Request, Service};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;
use tracing::field::{Field, Visit};
use tracing::span;

pub(crate) const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// A request that any handler of a test may take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Echo(pub(crate) Vec<u8>);

impl Request for Echo {
    const SERVICE: Service = Service::Node;
    const METHOD: u8 = 200;
    type Reply = Echo;
}

/// Peers of one authority.
pub(crate) struct Fixture {
    pub(crate) world: World,
    pub(crate) authority: Authority,
}

impl Fixture {
    pub(crate) fn new() -> Fixture {
        let world = World::production("test");
        let authority = Authority::create(&world).unwrap();
        Fixture { world, authority }
    }

    pub(crate) fn identity(&self, role: Role, name: &str) -> Identity {
        self.identity_at(role, name, self.world.wall_clock.now())
    }

    /// An identity that was issued `now`, for a year.
    pub(crate) fn identity_at(&self, role: Role, name: &str, now: WallTime) -> Identity {
        let issued = self.authority.issue(role, name, YEAR, now).unwrap();
        Identity::from_pem(self.authority.certificate_pem(), &issued.certificate_pem, &issued.key_pem).unwrap()
    }

    pub(crate) fn endpoint(&self, role: Role, name: &str) -> Endpoint {
        bind(&self.world, self.identity(role, name))
    }

    /// A storage node that handles each request with `handler`.
    pub(crate) fn server<F>(&self, id: u64, handler: impl Fn(Echo, Exchange) -> F + Send + Sync + 'static) -> Endpoint
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let endpoint = self.endpoint(Role::Storage, &id.to_string());
        serve(&self.world, &endpoint, handler);
        endpoint
    }

    pub(crate) fn echo_server(&self, id: u64) -> Endpoint {
        self.server(id, echo)
    }
}

pub(crate) fn bind(world: &World, identity: Identity) -> Endpoint {
    Endpoint::bind(world, identity, loopback()).unwrap()
}

pub(crate) fn loopback() -> EndpointSettings {
    EndpointSettings { listen: (Ipv4Addr::LOCALHOST, 0).into(), ..EndpointSettings::default() }
}

pub(crate) async fn echo(request: Echo, exchange: Exchange) {
    let _ = exchange.reply(&request).await;
}

pub(crate) fn serve<F>(
    world: &World,
    endpoint: &Endpoint,
    handler: impl Fn(Echo, Exchange) -> F + Send + Sync + 'static,
) where
    F: Future<Output = ()> + Send + 'static,
{
    endpoint.serve(Arc::new(Handler { world: world.clone(), handler }));
}

struct Handler<H> {
    world: World,
    handler: H,
}

impl<F, H> Dispatch for Handler<H>
where
    F: Future<Output = ()> + Send + 'static,
    H: Fn(Echo, Exchange) -> F + Send + Sync + 'static,
{
    fn dispatch(&self, inbound: Inbound) {
        match inbound.decode::<Echo>() {
            Ok(request) => drop(self.world.scope.spawn((self.handler)(request, inbound.into_exchange()))),
            Err(refusal) => drop(self.world.scope.spawn(refuse(inbound.into_exchange(), refusal))),
        }
    }
}

async fn refuse(exchange: Exchange, refusal: Refusal) {
    let _ = exchange.refuse(refusal).await;
}

pub(crate) fn storage(id: u64, endpoint: &Endpoint) -> Destination {
    storage_at(id, endpoint.local_address().unwrap())
}

pub(crate) fn storage_at(id: u64, address: SocketAddr) -> Destination {
    Destination { address, role: Role::Storage, node: Some(NodeId(id)) }
}

pub(crate) fn within(seconds: u64) -> Instant {
    Instant::now() + Duration::from_secs(seconds)
}

/// Waits until `condition` holds, with a bound.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// A wall clock that stands still.
pub(crate) struct StoppedClock(pub(crate) WallTime);

impl WallClock for StoppedClock {
    fn now(&self) -> WallTime {
        self.0
    }
}

/// The warnings of this thread, as long as it lives.
pub(crate) struct Warnings {
    lines: Arc<Mutex<Vec<String>>>,
    _guard: tracing::subscriber::DefaultGuard,
}

impl Warnings {
    pub(crate) fn capture() -> Warnings {
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let guard = tracing::subscriber::set_default(Collector(lines.clone()));
        Warnings { lines, _guard: guard }
    }

    pub(crate) async fn wait_for(&self, text: &str) {
        eventually(&format!("a warning with {text:?}, only {:?}", self.lines.lock().unwrap()), || {
            self.lines.lock().unwrap().iter().any(|line| line.contains(text))
        })
        .await;
    }
}

struct Collector(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Collector {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::WARN
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = write!(self.0, "{}={value:?} ", field.name());
    }
}
