use super::wire::AskVote;
use super::*;
use crate::disk::directory::DirectoryDisk;
use crate::key_value::fjall::FjallStores;
use crate::key_value::memory::MemoryStores;
use dfs_core::id::{BootId, ClusterId, Role, StoreId};
use dfs_core::meta::{self, Command, Outcome, View};
use dfs_core::refusal::Refusal;
use dfs_core::settings::ClusterSettings;
use dfs_core::wire::NodeAddress;
use dfs_transport::authority::Authority;
use dfs_transport::endpoint::{Dispatch, Endpoint, EndpointSettings, Inbound};
use dfs_transport::exchange::CallError;
use dfs_transport::identity::Identity;
use dfs_transport::peers::{Class, Destination};
use openraft::async_runtime::watch::WatchReceiver;
use std::collections::BTreeMap;
use std::future::Future;
use std::ops::Bound;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;

const CLUSTER: ClusterId = ClusterId(42);
const PATIENCE: Duration = Duration::from_secs(30);

/// Metadata nodes in one process, over real sockets, each in a world of its own.
struct Cluster {
    authority: Authority,
    directories: BTreeMap<NodeId, (TempDir, MemoryStores)>,
    nodes: BTreeMap<NodeId, Node>,
}

struct Node {
    world: World,
    endpoint: Endpoint,
    address: SocketAddr,
    raft: RaftHandle,
}

/// Hands requests to Raft once it is open.
struct ToRaft {
    world: World,
    raft: Arc<OnceLock<RaftHandle>>,
}

impl Dispatch for ToRaft {
    fn dispatch(&self, inbound: Inbound) {
        if let Some(raft) = self.raft.get().cloned() {
            self.world.scope.spawn(async move { raft.serve(inbound).await });
        }
    }
}

impl Cluster {
    async fn start(count: u64) -> Cluster {
        let authority = Authority::create(&World::production("authority")).unwrap();
        let mut cluster = Cluster { authority, directories: BTreeMap::new(), nodes: BTreeMap::new() };
        for id in 1..=count {
            cluster.directories.insert(NodeId(id), (tempfile::tempdir().unwrap(), MemoryStores::default()));
            cluster.start_node(NodeId(id), ([127, 0, 0, 1], 0).into()).await;
        }
        let members = cluster.nodes.iter().map(|(id, node)| (*id, node.address)).collect();
        cluster.node(1).initialise(members, CLUSTER, ClusterSettings::default()).await.unwrap();
        cluster
    }

    fn endpoint(&self, world: &World, role: Role, name: &str, listen: SocketAddr) -> Endpoint {
        let issued = self.authority.issue(role, name, Duration::from_secs(3600), world.wall_clock.now()).unwrap();
        let identity =
            Identity::from_pem(self.authority.certificate_pem(), &issued.certificate_pem, &issued.key_pem).unwrap();
        Endpoint::bind(world, identity, EndpointSettings { listen, ..EndpointSettings::default() }).unwrap()
    }

    async fn start_node(&mut self, id: NodeId, listen: SocketAddr) {
        let world = World::production(&format!("metadata-{id}"));
        let endpoint = self.endpoint(&world, Role::Metadata, &id.to_string(), listen);
        let address = endpoint.local_address().unwrap();
        let raft = Arc::new(OnceLock::new());
        endpoint.serve(Arc::new(ToRaft { world: world.clone(), raft: raft.clone() }));
        let (directory, stores) = &self.directories[&id];
        let handle = open(&world, id, address, &endpoint, directory.path(), Arc::new(stores.clone())).await.unwrap();
        let _ = raft.set(handle.clone());
        self.nodes.insert(id, Node { world, endpoint, address, raft: handle });
    }

    /// Ends a node at once, as a killed process does, and waits until its address is free again.
    #[allow(clippy::disallowed_methods, reason = "it asks the operating system whether a socket is closed")]
    async fn kill(&mut self, id: NodeId) -> SocketAddr {
        let node = self.nodes.remove(&id).unwrap();
        node.world.scope.kill();
        let (address, scope) = (node.address, node.world.scope.clone());
        drop(node);
        wait_until("all tasks end", || scope.task_count() == 0).await;
        wait_until("the socket is closed", || std::net::UdpSocket::bind(address).is_ok()).await;
        address
    }

    fn node(&self, id: u64) -> &RaftHandle {
        &self.nodes[&NodeId(id)].raft
    }

    async fn leader(&self) -> NodeId {
        let mut leader = None;
        wait_until("there is one leader", || {
            leader = self.nodes.iter().find(|(_, node)| node.raft.is_leader()).map(|(id, _)| *id);
            leader.is_some()
        })
        .await;
        leader.unwrap()
    }

    /// Writes at whoever leads, however often that changes.
    async fn write(&self, command: Command) -> Outcome {
        let written = async {
            loop {
                let leader = self.leader().await;
                if let Ok(outcome) = self.nodes[&leader].raft.write(command.clone()).await {
                    return outcome;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, written).await.expect("a majority takes writes")
    }

    async fn wait_for_equal_states(&self) {
        let states = || self.nodes.values().map(|node| bytes(&node.raft)).collect::<Vec<_>>();
        wait_until("all nodes have the same state", || states().windows(2).all(|pair| pair[0] == pair[1])).await;
    }
}

async fn open(
    world: &World,
    node: NodeId,
    address: SocketAddr,
    endpoint: &Endpoint,
    directory: &Path,
    stores: Arc<dyn KeyValueStores>,
) -> Result<RaftHandle, RaftOpenError> {
    let disk = Arc::new(DirectoryDisk::open(directory).unwrap());
    let peers = endpoint.peers();
    RaftEngine::open(OpenRaft { world, node, address, peers, disk, stores, snapshot_entries: 20_000 }).await
}

async fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("it happens in time")
}

/// The replicated state, and how far it is.
fn bytes(raft: &RaftHandle) -> Vec<(Vec<u8>, Vec<u8>)> {
    raft.view().scan(Bound::Unbounded, Bound::Unbounded, usize::MAX).unwrap()
}

fn register(node: u64) -> Command {
    let number = u128::from(node);
    Command::Register {
        node: NodeId(node),
        boot: BootId(number),
        store: StoreId(number),
        address: ([10, 0, 0, 1], 4000).into(),
    }
}

fn registered(raft: &RaftHandle) -> usize {
    meta::nodes(&raft.view(), None, 1000).unwrap().len()
}

#[tokio::test]
async fn three_nodes_elect_a_leader_that_writes_and_the_others_name_it() {
    let cluster = Cluster::start(3).await;
    assert!(matches!(cluster.write(register(7)).await, Outcome::Registered { .. }));
    cluster.wait_for_equal_states().await;
    let leader = cluster.leader().await;
    let at = NodeAddress { node: leader, address: cluster.nodes[&leader].address };
    let raft = &cluster.nodes[&leader].raft;
    raft.read_index().await.unwrap();
    assert_eq!(registered(raft), 1);
    let members = cluster.nodes.values().map(|node| node.address).collect();
    let again = raft.initialise(members_of(members), CLUSTER, ClusterSettings::default()).await;
    assert_eq!(again, Err(InitialiseError::AlreadyInitialised));
    for (_, follower) in cluster.nodes.iter().filter(|(id, _)| **id != leader) {
        let redirect = Refusal::NotLeader { leader: Some(at) };
        assert_eq!(follower.raft.write(Command::Tick).await, Err(redirect.clone()));
        assert_eq!(follower.raft.read_index().await, Err(redirect));
        assert!(follower.raft.is_initialised());
        let leadership = follower.raft.leadership();
        assert_eq!((leadership.leader, leadership.cluster, leadership.members.len()), (Some(at), Some(CLUSTER), 3));
        assert!(follower.raft.member_progress().is_empty());
    }
    wait_until("the leader knows how far the others are", || {
        let progress = raft.member_progress();
        let last = progress[&leader].matched;
        progress.len() == 3 && progress.values().all(|member| member.matched == last && member.silent_ms.is_some())
    })
    .await;
}

fn members_of(addresses: Vec<SocketAddr>) -> BTreeMap<NodeId, SocketAddr> {
    (1..).map(NodeId).zip(addresses).collect()
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_with_the_leader_and_cluster_time_never_goes_back() {
    let mut cluster = Cluster::start(3).await;
    for node in 1..=20 {
        cluster.write(register(node)).await;
    }
    let first = cluster.leader().await;
    let time = cluster.nodes[&first].raft.cluster_time();
    let address = cluster.kill(first).await;
    cluster.write(register(21)).await;
    let second = cluster.leader().await;
    let raft = &cluster.nodes[&second].raft;
    raft.read_index().await.unwrap();
    assert_eq!(registered(raft), 21);
    let applied = raft.state().cluster_time;
    assert!(applied.0 + 1000 > time.0, "{applied:?} after {time:?}");
    cluster.start_node(first, address).await;
    cluster.wait_for_equal_states().await;
    assert_eq!(registered(cluster.node(first.0)), 21);
}

#[tokio::test]
async fn a_follower_that_fell_behind_the_log_catches_up_by_snapshot() {
    let mut cluster = Cluster::start(3).await;
    cluster.write(register(1)).await;
    let leader = cluster.leader().await;
    let late = *cluster.nodes.keys().find(|id| **id != leader).unwrap();
    let address = cluster.kill(late).await;
    for node in 2..=300 {
        cluster.write(register(node)).await;
    }
    for node in cluster.nodes.values() {
        let raft = &node.raft.engine().raft;
        let applied = node.raft.state().applied;
        raft.trigger().snapshot().await.unwrap();
        let metrics = raft.metrics();
        wait_until("the snapshot is taken", || {
            metrics.borrow_watched().snapshot.is_some_and(|last| last.index >= applied)
        })
        .await;
        raft.trigger().purge_log(applied).await.unwrap();
        wait_until("the log is cut", || metrics.borrow_watched().purged.is_some_and(|last| last.index >= applied))
            .await;
    }
    cluster.start_node(late, address).await;
    cluster.write(register(301)).await;
    cluster.wait_for_equal_states().await;
    assert_eq!(registered(cluster.node(late.0)), 301);
    let installed = cluster.node(late.0).engine().raft.metrics().borrow_watched().snapshot;
    assert!(installed.is_some(), "it came as a snapshot");
    // It goes on from there after another start.
    let address = cluster.kill(late).await;
    cluster.start_node(late, address).await;
    cluster.write(register(302)).await;
    cluster.wait_for_equal_states().await;
}

#[tokio::test]
async fn a_leader_without_a_quorum_serves_neither_reads_nor_writes() {
    let mut cluster = Cluster::start(3).await;
    cluster.write(register(1)).await;
    let leader = cluster.leader().await;
    for id in [1, 2, 3].map(NodeId) {
        if id != leader {
            cluster.kill(id).await;
        }
    }
    let raft = cluster.nodes[&leader].raft.clone();
    let read = within(raft.read_index()).await;
    assert!(matches!(read, Err(Refusal::Unavailable | Refusal::NotLeader { .. })), "{read:?}");
    let written = within(raft.write(register(2))).await;
    assert!(matches!(written, Err(Refusal::Unavailable | Refusal::NotLeader { .. })), "{written:?}");
    let refused_at = Instant::now();
    let written = within(raft.write(register(3))).await;
    assert!(matches!(written, Err(Refusal::Unavailable | Refusal::NotLeader { .. })), "{written:?}");
    assert!(refused_at.elapsed() < Duration::from_secs(1), "a leader that is cut off refuses at once");
    assert_eq!(registered(&raft), 1);
}

#[tokio::test]
async fn a_single_node_on_fjall_keeps_everything_over_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::create(&World::production("authority")).unwrap();
    let cluster = Cluster { authority, directories: BTreeMap::new(), nodes: BTreeMap::new() };
    let mut before = None;
    for round in 1..=3 {
        let world = World::production("metadata-1");
        let endpoint = cluster.endpoint(&world, Role::Metadata, "1", ([127, 0, 0, 1], 0).into());
        let address: SocketAddr = ([127, 0, 0, 1], 4000).into();
        let stores = Arc::new(FjallStores::new(directory.path()));
        let raft = open(&world, NodeId(1), address, &endpoint, directory.path(), stores).await.unwrap();
        if let Some(before) = before.take() {
            assert_eq!(bytes(&raft), before);
        } else {
            let members = BTreeMap::from([(NodeId(1), address)]);
            raft.initialise(members, CLUSTER, ClusterSettings::default()).await.unwrap();
        }
        wait_until("the node leads", || raft.is_leader()).await;
        raft.write(register(round)).await.unwrap();
        raft.read_index().await.unwrap();
        assert_eq!(registered(&raft), usize::try_from(round).unwrap());
        before = Some(bytes(&raft));
        raft.shutdown().await;
        assert_eq!(within(raft.failed()).await, RaftFailure::Stopped);
        assert_eq!(raft.write(Command::Tick).await, Err(Refusal::Stopping));
        assert!(meta::time(&raft.view()).is_err(), "a view of a closed engine shows nothing");
    }
}

#[tokio::test]
async fn a_panic_while_applying_is_told_apart_and_ends_raft() {
    let cluster = Cluster::start(1).await;
    let raft = cluster.node(1);
    let (_, stores) = &cluster.directories[&NodeId(1)];
    let applied = raft.state().applied;
    stores.store("raft-state-0").panics.store(true, Ordering::SeqCst);
    assert!(raft.write(register(1)).await.is_err());
    assert_eq!(within(raft.failed()).await, RaftFailure::EntryPanicked { index: applied + 1 });
    assert_eq!(raft.write(register(1)).await, Err(Refusal::Stopping));
    let node = &cluster.nodes[&NodeId(1)];
    raft.shutdown().await;
    stores.store("raft-state-0").panics.store(false, Ordering::SeqCst);
    let (directory, _) = &cluster.directories[&NodeId(1)];
    let again = open(&node.world, NodeId(1), node.address, &node.endpoint, directory.path(), Arc::new(stores.clone()));
    let again = again.await.unwrap();
    wait_until("the entry is applied after all", || registered(&again) == 1).await;
}

#[tokio::test]
async fn a_disk_that_fails_ends_raft() {
    let cluster = Cluster::start(1).await;
    let (_, stores) = &cluster.directories[&NodeId(1)];
    stores.store("raft-log").broken.store(true, Ordering::SeqCst);
    assert!(within(cluster.node(1).write(register(1))).await.is_err());
    assert_eq!(within(cluster.node(1).failed()).await, RaftFailure::Storage);
}

#[tokio::test]
async fn only_metadata_nodes_speak_raft_and_only_for_themselves() {
    let cluster = Cluster::start(1).await;
    let ask = AskVote { vote: codec::VoteForm { term: 99, committed: false, node: 2 }, last: None, transfer: true };
    let to = Destination { address: cluster.nodes[&NodeId(1)].address, role: Role::Metadata, node: Some(NodeId(1)) };
    for (role, name) in [(Role::Storage, "2"), (Role::Client, "somebody"), (Role::Metadata, "3")] {
        let world = World::production(name);
        let endpoint = cluster.endpoint(&world, role, name, ([127, 0, 0, 1], 0).into());
        let answer = endpoint.peers().call(&to, Class::Control, &ask, Instant::now() + PATIENCE).await;
        assert_eq!(answer.err(), Some(CallError::Refused(Refusal::NotPermitted)), "{role:?}");
    }
    assert!(cluster.node(1).state().term < 99);
}
