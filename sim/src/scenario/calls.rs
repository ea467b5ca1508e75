//! Nodes that know each other by certificates and call each other over a network that loses, repeats, reorders and is
//! cut, while some of them crash and come back.
//!
//! What must hold: an answer is right or there is none, everybody reaches everybody once the network is whole, and a
//! crashed node leaves no task behind.

use super::{alive_tasks, check_tasks};
use crate::disk::Crash;
use crate::network::Link;
use crate::trace::Trace;
use crate::verdict::{AnyError, Verdict};
use crate::world::{Machine, SimWorld};
use bytes::Bytes;
use dfs_core::checksum::Digest;
use dfs_core::id::{NodeId, Role};
use dfs_core::wire::{Request, Service};
use dfs_transport::authority::Authority;
use dfs_transport::endpoint::{Dispatch, Endpoint, EndpointSettings, Inbound};
use dfs_transport::exchange::CallError;
use dfs_transport::identity::Identity;
use dfs_transport::peers::{Class, Destination, Peers};
use dfs_transport::world::{Scope, World};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const NODES: u64 = 5;
const PORT: u16 = 4433;
const ROUNDS: u64 = 8;
const CALL_WAIT: Duration = Duration::from_secs(2);
const CERTIFICATE_VALIDITY: Duration = Duration::from_secs(30 * 24 * 3600);
const PAYLOAD_BYTES_MAX: u64 = 300_000;

/// What did not hold.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("the answer of {0} is not the digest of what it was sent")]
    WrongAnswer(Destination),
    #[error("the network is whole, but {from} cannot call {to}: {error}")]
    Unreachable { from: u64, to: Destination, error: CallError },
}

/// Asks for the digest of the payload that follows.
#[derive(Debug, Serialize, Deserialize)]
struct Hash {
    length: u64,
}

impl Request for Hash {
    const SERVICE: Service = Service::Node;
    // Far away from the methods of production.
    const METHOD: u8 = 255;
    type Reply = Digest;
}

/// A node that answers [`Hash`] and calls the others.
struct Node {
    number: u64,
    machine: Machine,
    identity: Identity,
    peers: Peers,
}

pub(super) async fn play(world: &mut SimWorld) -> Verdict {
    let mut random = world.random("faults");
    let before = alive_tasks();
    let (mut nodes, destinations) = start_all(world)?;
    let addresses: Vec<IpAddr> = nodes.iter().map(|node| node.machine.address()).collect();
    for _ in 0..ROUNDS {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let unlucky = usize::try_from(random.within(0..=NODES - 1))?;
        match random.within(0..=2) {
            0 => world.network().partition(&addresses[..unlucky], &addresses[unlucky..]),
            1 => world.network().cut(addresses[unlucky], addresses[(unlucky + 1) % addresses.len()]),
            _ => {
                let node = &mut nodes[unlucky];
                node.machine.crash(Crash::Power, || {});
                tokio::time::sleep(Duration::from_millis(random.within(0..=3000))).await;
                node.peers = start(node.number, &mut node.machine, &node.identity, &destinations, world.trace())?;
            }
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
        world.network().heal();
    }
    // Back-offs may last for a while after the last fault.
    world.network().set_default_link(Link::default());
    tokio::time::sleep(Duration::from_secs(15)).await;
    for node in &nodes {
        for to in destinations.iter().copied() {
            let called = call(&node.peers, &to, Class::Control, vec![7; 100]).await?;
            called.map_err(|error| Broken::Unreachable { from: node.number, to, error })?;
        }
    }
    for node in &mut nodes {
        node.machine.crash(Crash::Power, || {});
    }
    drop(nodes);
    tokio::time::sleep(Duration::from_secs(1)).await;
    check_tasks(before)
}

fn start_all(world: &mut SimWorld) -> Result<(Vec<Node>, Arc<[Destination]>), AnyError> {
    let mut office = world.add_machine("authority");
    let life = office.boot();
    let authority = Authority::create(&life.world)?;
    let machines: Vec<Machine> = (1..=NODES).map(|number| world.add_machine(&format!("n{number}"))).collect();
    let destinations: Arc<[Destination]> = (1..=NODES)
        .zip(&machines)
        .map(|(number, machine)| Destination {
            address: machine.socket_address(PORT),
            role: Role::Storage,
            node: Some(NodeId(number)),
        })
        .collect();
    let mut nodes = Vec::new();
    for (number, mut machine) in (1..=NODES).zip(machines) {
        let now = life.world.wall_clock.now();
        let issued = authority.issue(Role::Storage, &number.to_string(), CERTIFICATE_VALIDITY, now)?;
        let identity = Identity::from_pem(authority.certificate_pem(), &issued.certificate_pem, &issued.key_pem)?;
        let peers = start(number, &mut machine, &identity, &destinations, world.trace())?;
        nodes.push(Node { number, machine, identity, peers });
    }
    office.crash(Crash::Process, || {});
    Ok((nodes, destinations))
}

/// Boots a machine, serves on it, and lets it call everybody, itself too, for ever.
fn start(
    number: u64,
    machine: &mut Machine,
    identity: &Identity,
    to: &Arc<[Destination]>,
    trace: &Trace,
) -> Result<Peers, AnyError> {
    let world = machine.boot().world;
    let settings = EndpointSettings { listen: machine.socket_address(PORT), ..EndpointSettings::default() };
    let endpoint = Endpoint::bind(&world, identity.clone(), settings)?;
    endpoint.serve(Arc::new(Hasher(world.scope.clone())));
    world.scope.spawn(chat(world.clone(), endpoint.peers(), number, to.clone(), trace.clone()));
    Ok(endpoint.peers())
}

/// Calls random peers with random payload until the machine stops.
async fn chat(world: World, peers: Peers, number: u64, to: Arc<[Destination]>, trace: Trace) {
    loop {
        let draw = world.entropy.number();
        let destination = to[usize::try_from(draw % NODES).unwrap_or_default()];
        let (class, bytes_max) =
            if draw & 1024 == 0 { (Class::Control, 2000) } else { (Class::Bulk, PAYLOAD_BYTES_MAX) };
        let payload = vec![draw.to_le_bytes()[7]; usize::try_from((draw >> 16) % bytes_max).unwrap_or_default()];
        let length = payload.len();
        let outcome = match call(&peers, &destination, class, payload).await {
            Ok(Ok(())) => "answered".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(broken) => panic!("{broken}"),
        };
        trace.record("call", format_args!("{number} > {destination}: {length} bytes, {outcome}"));
        tokio::time::sleep(world.entropy.jitter(Duration::from_millis(200))).await;
    }
}

/// Sends payload and compares the answer; a missing answer is an inner error.
async fn call(
    peers: &Peers,
    to: &Destination,
    class: Class,
    payload: Vec<u8>,
) -> Result<Result<(), CallError>, Broken> {
    let expected = Digest::of(&payload);
    let attempt = async {
        let request = Hash { length: payload.len() as u64 };
        let mut exchange = peers.open(to, class, &request, Instant::now() + CALL_WAIT).await?;
        exchange.send_payload(payload.into()).await?;
        exchange.finish().await?;
        exchange.receive_message::<Digest>().await
    };
    match attempt.await {
        Ok(answer) if answer == expected => Ok(Ok(())),
        Ok(_) => Err(Broken::WrongAnswer(*to)),
        Err(error) => Ok(Err(error)),
    }
}

/// Answers [`Hash`].
struct Hasher(Scope);

impl Dispatch for Hasher {
    fn dispatch(&self, inbound: Inbound) {
        self.0.spawn(async move {
            // Whoever asked learns of any failure by the reset of the stream.
            let _ = answer(inbound).await;
        });
    }
}

async fn answer(inbound: Inbound) -> Result<(), CallError> {
    let request = match inbound.decode::<Hash>() {
        Ok(request) => request,
        Err(refusal) => return inbound.into_exchange().refuse(refusal).await,
    };
    let mut exchange = inbound.into_exchange();
    exchange.expect_payload(request.length);
    let mut payload: Vec<Bytes> = Vec::new();
    while let Some(piece) = exchange.receive_payload(64 * 1024).await? {
        payload.push(piece);
    }
    exchange.reply(&Digest::of(&payload.concat())).await
}
