//! `ListenerActor`: lets requests in.
//!
//! *Owns* the endpoint's accept loop and the routes from services to seats. *Receives* [`ListenerMessage::Serve`] for
//! requests about the node itself. *Asks* nobody. *Supervised by* the node's tree, started last, so that nothing is
//! let in before those who serve it sit. *Bounds*: each route has permits; a request without one is refused as
//! overloaded before it reaches a mailbox, so that no mailbox grows with what peers send. Of a route's permits, one client
//! has a share ([`Shares`]), so that it cannot keep others out.
//!
//! Each request is counted with how it ends, how long it takes, and the bytes that pass ([`Meter`]).
//!
//! A route names the roles that may use its service. This is where a client that speaks to a storage-only service is
//! refused.

use crate::meter::{Measured, Meter, Waiting};
use crate::seat::Seat;
use crate::share::Shares;
use dfs_core::id::Role;
use dfs_core::refusal::Refusal;
use dfs_core::wire::Service;
use dfs_core::wire::metadata::{DescribeNode, NodeDescription};
use dfs_transport::endpoint::{Dispatch, Endpoint, Inbound};
use dfs_transport::world::{OwnedTask, Scope};
use ractor::{Actor, ActorProcessingErr, ActorRef, Message};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tracing::Instrument;

/// What a request holds while it is inside.
struct Permits {
    _route: OwnedSemaphorePermit,
    _share: Option<OwnedSemaphorePermit>,
    _gate: Option<OwnedSemaphorePermit>,
}

/// A request that was let in. Its permits are given back when it is dropped.
pub struct Admitted {
    inbound: Box<Inbound>,
    permits: Permits,
    measured: Measured,
    /// Until the actor takes it up.
    waiting: Waiting,
    span: tracing::Span,
}

impl Admitted {
    /// The request.
    #[must_use]
    pub fn inbound(&self) -> &Inbound {
        &self.inbound
    }

    /// Serves the request in a task of `scope`. The task holds the permits, and what it logs carries the actor and the
    /// request's id.
    pub fn serve<F>(self, scope: &Scope, serve: impl FnOnce(Inbound) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Admitted { inbound, permits, measured, waiting, span } = self;
        drop(waiting);
        // On the heap once, instead of moved again and again on its way into the task.
        let work = Box::pin(serve(*inbound));
        let work = async move {
            let _held = (permits, measured);
            work.await;
        };
        scope.spawn(work.instrument(span));
    }
}

/// The gate of a node: closed when it stops, so that what is under way may end and nothing new begins. It does not
/// keep out what goes on for as long as the node lives: the Raft protocol, and what a node says of itself.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Semaphore>);

/// Requests that can be inside a gate at once: more than all routes let in.
const GATE_PERMITS: u32 = 1 << 20;

impl Gate {
    /// An open gate.
    #[must_use]
    pub fn new() -> Gate {
        Gate(Arc::new(Semaphore::new(GATE_PERMITS as usize)))
    }

    /// Lets nothing more in, and waits until all that is inside has ended, or until `deadline`. Answers whether it has.
    pub async fn close(&self, deadline: Instant) -> bool {
        // What waits for all permits is served first: nobody gets one any more.
        let drained = timeout_at(deadline, self.0.acquire_many(GATE_PERMITS)).await.is_ok();
        self.0.close();
        drained
    }

    fn enter(&self, service: Service) -> Result<Option<OwnedSemaphorePermit>, Refusal> {
        match service {
            Service::Raft | Service::Node => Ok(None),
            Service::Namespace | Service::Membership | Service::Chunks | Service::Replicas => {
                self.0.clone().try_acquire_owned().map(Some).map_err(|_| Refusal::Stopping)
            }
        }
    }
}

impl Default for Gate {
    fn default() -> Self {
        Gate::new()
    }
}

/// Hands a request to whoever serves it; gives it up if nobody does at the moment.
type Deliver = Box<dyn Fn(Admitted) -> bool + Send + Sync>;

/// The way from a service to the actor that serves it.
pub struct Route {
    service: Service,
    actor: &'static str,
    roles: &'static [Role],
    permits: Arc<Semaphore>,
    permits_max: usize,
    shares: Shares,
    is_vacant: Box<dyn Fn() -> bool + Send + Sync>,
    deliver: Deliver,
}

impl Route {
    /// Requests for `service` from peers of one of `roles` go to the `actor` in `seat`, at most `permits` at once.
    pub fn new<M: Message + Sync>(
        service: Service,
        actor: &'static str,
        roles: &'static [Role],
        permits: usize,
        seat: &Seat<M>,
        wrap: fn(Admitted) -> M,
    ) -> Route {
        let (seat, vacant) = (seat.clone(), seat.clone());
        Route {
            service,
            actor,
            roles,
            permits: Arc::new(Semaphore::new(permits)),
            permits_max: permits,
            shares: Shares::new(permits),
            is_vacant: Box::new(move || vacant.is_vacant()),
            deliver: Box::new(move |admitted| seat.cast(wrap(admitted)).is_ok()),
        }
    }

    /// The same, of whose permits one client holds at most `each`.
    #[must_use]
    pub fn shared(self, each: usize) -> Route {
        Route { shares: Shares::new(each), ..self }
    }
}

/// All routes of a node.
struct Router {
    scope: Scope,
    routes: Vec<Route>,
    meter: Meter,
    gate: Gate,
    /// Requests that came so far: the last one's id within this life of the listener.
    requests: AtomicU64,
}

impl Router {
    /// Whether a request may enter, and by which way.
    fn admit(&self, inbound: &Inbound) -> Result<(&Route, Permits), TurnedAway> {
        let route = self.routes.iter().find(|route| route.service == inbound.service).ok_or(Refusal::UnknownMethod)?;
        if !route.roles.contains(&inbound.peer.role) {
            return Err(Refusal::NotPermitted.into());
        }
        if (route.is_vacant)() {
            return Err(Refusal::Unavailable.into());
        }
        let gate = self.gate.enter(inbound.service)?;
        let share = route.shares.of(&inbound.peer).map(Semaphore::try_acquire_owned).transpose();
        let share = share.map_err(|_| TurnedAway { refusal: Refusal::Overloaded, reason: "client_share" })?;
        let permit = route.permits.clone().try_acquire_owned().map_err(|_| Refusal::Overloaded)?;
        Ok((route, Permits { _route: permit, _share: share, _gate: gate }))
    }
}

impl Dispatch for Router {
    fn dispatch(&self, mut inbound: Inbound) {
        match self.admit(&inbound) {
            Ok((route, permits)) => {
                let request = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
                let span = tracing::info_span!("serve", actor = route.actor, request, peer = %inbound.peer);
                inbound.exchange.count_into(&self.meter.traffic(inbound.service));
                let waiting = self.meter.wait(route.actor);
                let measured = self.meter.begin(inbound.service, inbound.method, inbound.exchange.probe());
                // If the actor ended just now, the request is dropped, and its stream reset.
                let _ = (route.deliver)(Admitted { inbound: Box::new(inbound), permits, measured, waiting, span });
            }
            Err(TurnedAway { refusal, reason }) => {
                self.meter.turned_away(inbound.service, reason);
                tracing::debug!(peer = %inbound.peer, service = ?inbound.service, %refusal, "request refused");
                self.scope.spawn(inbound.exchange.refuse(refusal));
            }
        }
    }
}

/// A request that is not let in.
struct TurnedAway {
    refusal: Refusal,
    /// Why, in a word.
    reason: &'static str,
}

impl From<Refusal> for TurnedAway {
    fn from(refusal: Refusal) -> TurnedAway {
        let reason = match refusal {
            Refusal::NotPermitted => "not_permitted",
            Refusal::Overloaded => "overloaded",
            Refusal::Unavailable => "actor_restarting",
            Refusal::Stopping => "stopping",
            _ => "unknown_service",
        };
        TurnedAway { refusal, reason }
    }
}

/// What the listener is told.
pub enum ListenerMessage {
    /// A request about the node itself, from any peer.
    Serve(Admitted),
    /// The accept loop ended.
    Ended,
}

/// Lets requests in.
pub struct ListenerActor;

/// What a listener needs.
pub struct ListenerArguments {
    /// The scope of the node.
    pub scope: Scope,
    /// The endpoint to accept from.
    pub endpoint: Endpoint,
    /// The seat of this listener, which serves [`Service::Node`].
    pub seat: Seat<ListenerMessage>,
    /// The ways to the other services.
    pub routes: Vec<Route>,
    /// Tells what the node is at the moment.
    pub describe: Arc<dyn Fn() -> NodeDescription + Send + Sync>,
    /// Where requests are counted.
    pub meter: Meter,
    /// What a request must pass.
    pub gate: Gate,
}

/// What a listener keeps.
pub struct ListenerState {
    scope: Scope,
    describe: Arc<dyn Fn() -> NodeDescription + Send + Sync>,
    #[allow(dead_code, reason = "held: the accept loop ends with it")]
    accepting: OwnedTask<()>,
}

/// Requests about the node itself that are served at once.
const DESCRIPTIONS_MAX: usize = 64;

impl Actor for ListenerActor {
    type Msg = ListenerMessage;
    type State = ListenerState;
    type Arguments = ListenerArguments;

    async fn pre_start(
        &self,
        me: ActorRef<ListenerMessage>,
        arguments: ListenerArguments,
    ) -> Result<ListenerState, ActorProcessingErr> {
        let ListenerArguments { scope, endpoint, seat, mut routes, describe, meter, gate } = arguments;
        routes.push(Route::new(
            Service::Node,
            "ListenerActor",
            &Role::ALL,
            DESCRIPTIONS_MAX,
            &seat,
            ListenerMessage::Serve,
        ));
        for route in &routes {
            meter.watch_pool(route.service.name(), &route.permits, route.permits_max);
        }
        let router = Router { scope: scope.clone(), routes, meter, gate, requests: AtomicU64::new(0) };
        let serving = endpoint.serve(Arc::new(router)).owned();
        let accepting = scope
            .spawn(async move {
                let _ = serving.await;
                let _ = me.send_message(ListenerMessage::Ended);
            })
            .owned();
        Ok(ListenerState { scope, describe, accepting })
    }

    async fn handle(
        &self,
        _: ActorRef<ListenerMessage>,
        message: ListenerMessage,
        state: &mut ListenerState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ListenerMessage::Serve(admitted) => {
                let description = (state.describe)();
                admitted.serve(&state.scope, |inbound| async move {
                    match inbound.decode::<DescribeNode>() {
                        Ok(DescribeNode {}) => drop(inbound.exchange.reply(&description).await),
                        Err(refusal) => drop(inbound.exchange.refuse(refusal).await),
                    }
                });
                Ok(())
            }
            ListenerMessage::Ended => Err("the endpoint accepts no more connections".into()),
        }
    }
}

#[cfg(test)]
mod tests;
