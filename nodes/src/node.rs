//! The composition root: one function builds every node.

use crate::description::{Describe, describe};
use crate::environment::Environment;
use crate::metrics::{Metrics, RoleMetrics};
use crate::settings::{NodeSettings, RoleSettings};
use crate::tree::{self, Entrance};
use dfs_actors::chunk_store::{ChunkStore, OpenStore, StoreError, StoreSettings};
use dfs_actors::disk::metered::{DiskMeter, MeteredDisk};
use dfs_actors::disk::{Disk, DiskLock};
use dfs_actors::heartbeat::{BeatMeter, HeartbeatArguments, HeartbeatHandle};
use dfs_actors::key_value::metered::MeteredStores;
use dfs_actors::key_value::{KeyValueError, KeyValueStores};
use dfs_actors::listener::Gate;
use dfs_actors::meter::{Histogram, Meter};
use dfs_actors::metrics_endpoint::{MetricsArguments, Page};
use dfs_actors::namespace::NamespaceArguments;
use dfs_actors::node_watcher::{WatcherArguments, WatcherHandle};
use dfs_actors::raft::{InitialiseError, OpenRaft, RaftEngine, RaftHandle, RaftOpenError};
use dfs_actors::raft_actor::RaftArguments;
use dfs_actors::repair_scheduler::RepairHandle;
use dfs_actors::replicator::ReplicatorHandle;
use dfs_actors::supervisor::{GaveUp, Supervisor, TreeStatus};
use dfs_actors::transfer::{PeerPaces, Transfers};
use dfs_core::id::{BootId, ClusterId, NodeId};
use dfs_core::settings::ClusterSettings;
use dfs_transport::endpoint::{BindError, Endpoint, EndpointSettings};
use dfs_transport::world::{Killed, World};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// How long a storage node that stops tries to tell the leader.
const LEAVE_WITHIN: Duration = Duration::from_secs(1);
/// How long transfers may go on once a storage node is to stop.
const DRAIN_TRANSFERS_WITHIN: Duration = Duration::from_secs(5);
/// How long requests may go on once a metadata node is to stop: another leader is to follow soon.
const DRAIN_REQUESTS_WITHIN: Duration = Duration::from_secs(1);

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another process has the data directory.
    #[error("the data directory is in use by another process; stop that one first")]
    InUse,
    /// The data directory cannot be used.
    #[error("cannot use the data directory: {0}")]
    Data(#[from] io::Error),
    /// A key-value store cannot be opened.
    #[error("cannot open the node's own records: {0}")]
    Records(#[from] KeyValueError),
    /// The address cannot be used.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The socket does not say where it listens.
    #[error("the socket failed: {0}")]
    Socket(io::Error),
    /// The chunk store cannot be opened.
    #[error("cannot open the chunk store: {0}")]
    Store(#[from] StoreError),
    /// The Raft engine cannot be opened.
    #[error("cannot open the Raft log: {0}")]
    Raft(#[from] RaftOpenError),
    /// An actor cannot be started.
    #[error(transparent)]
    Tree(#[from] GaveUp),
    /// The node was killed while it started.
    #[error("the node was ended while it started")]
    Killed(#[from] Killed),
}

/// What a cluster is initialised with, once in its life.
#[derive(Clone, Debug)]
pub struct InitialiseCluster {
    /// The metadata nodes that it begins with.
    pub members: BTreeMap<NodeId, SocketAddr>,
    /// What the cluster agrees on.
    pub settings: ClusterSettings,
}

/// A running node.
pub struct Node {
    world: World,
    endpoint: Endpoint,
    supervisor: Supervisor,
    engine: Engine,
    gate: Gate,
    address: SocketAddr,
    metrics: Arc<Metrics>,
    #[allow(dead_code, reason = "held: the data directory is this process's while the node lives")]
    lock: Option<DiskLock>,
}

/// The shared engine of a role.
enum Engine {
    Metadata(RaftHandle),
    Storage(ChunkStore, HeartbeatHandle),
}

/// Starts a node.
///
/// # Errors
/// [`StartError`], each with what to do; nothing of the node is left running.
pub async fn start(settings: NodeSettings, environment: Environment) -> Result<Node, StartError> {
    let world = environment.world.clone();
    // Whatever the node starts belongs to its scope.
    let started = world.scope.enter(assemble(settings, environment)).await;
    if started.is_err() {
        world.scope.kill();
    }
    started
}

async fn assemble(settings: NodeSettings, environment: Environment) -> Result<Node, StartError> {
    let Environment { world, identity, disk, stores, machine } = environment;
    let (disk_meter, commits) = (Arc::new(DiskMeter::default()), Arc::new(Histogram::default()));
    let disk: Arc<dyn Disk> = Arc::new(MeteredDisk::new(disk, disk_meter.clone()));
    let stores: Arc<dyn KeyValueStores> = Arc::new(MeteredStores::new(stores, commits.clone()));
    let lock = {
        let disk = disk.clone();
        match world.scope.blocking(move || disk.lock()).await? {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(StartError::InUse),
            lock => lock?,
        }
    };
    let endpoint_settings = EndpointSettings {
        listen: settings.listen,
        max_udp_payload: settings.max_udp_payload,
        ..EndpointSettings::default()
    };
    let endpoint = Endpoint::bind(&world, identity, endpoint_settings)?;
    let listening = endpoint.local_address().map_err(StartError::Socket)?;
    let address = advertised(&settings, listening);
    let ready = Arc::new(AtomicBool::new(false));
    let gate = Gate::new();
    let (status, meter) = (Arc::new(TreeStatus::default()), Meter::default());
    let listener = machine.as_ref().and_then(|machine| machine.metrics.clone());
    // What both roles let requests in with, and what they count.
    let (directory, metered) = (disk.clone(), world.scope.clone());
    let entrance = |describe: Describe, role: RoleMetrics| {
        let metrics = Arc::new(Metrics {
            meter: meter.clone(),
            endpoint: endpoint.clone(),
            disk: disk_meter,
            directory,
            scope: metered,
            commits,
            describe: describe.clone(),
            role,
        });
        let told = metrics.clone();
        let page: Page = Arc::new(move || {
            let told = told.clone();
            Box::pin(async move { told.page().await })
        });
        let scope = world.scope.clone();
        let asked = listener.map(|listener| MetricsArguments { scope: scope.clone(), listener, page });
        (Entrance { scope, endpoint: endpoint.clone(), describe, meter, gate: gate.clone(), metrics: asked }, metrics)
    };
    let (scope, peers) = (world.scope.clone(), endpoint.peers());

    let (engine, tree, lock, metrics) = match settings.role {
        RoleSettings::Metadata { snapshot_entries } => {
            let node = settings.node;
            let open = OpenRaft { world: &world, node, address, peers, disk, stores, snapshot_entries };
            let raft = RaftEngine::open(open).await?;
            let describe = {
                let raft = raft.clone();
                describe(&endpoint, machine.as_ref(), status.clone(), move || raft.leadership().leader.is_some())
            };
            let (watcher, repair) = (WatcherHandle::default(), RepairHandle::default());
            let namespace = NamespaceArguments {
                scope: scope.clone(),
                raft: raft.clone(),
                watcher,
                repair: repair.clone(),
                entropy: world.entropy.clone(),
            };
            let role = RoleMetrics::Metadata { raft: raft.clone(), namespace: namespace.clone() };
            let (entrance, metrics) = entrance(describe, role);
            let tree = tree::metadata(
                entrance,
                RaftArguments { scope: scope.clone(), raft: raft.clone(), endpoint: endpoint.clone() },
                WatcherArguments { scope, raft: raft.clone(), repair },
                namespace,
            );
            (Engine::Metadata(raft), tree, Some(lock), metrics)
        }
        RoleSettings::Storage { metadata, reserve } => {
            // The chunk store takes the directory itself.
            drop(lock);
            let index = {
                let stores = stores.clone();
                scope.blocking(move || stores.open("chunks")).await??
            };
            let store = ChunkStore::open(OpenStore {
                scope: &scope,
                disk,
                index,
                entropy: world.entropy.clone(),
                settings: StoreSettings { reserve_bytes: reserve.map(|reserve| reserve.0), ..StoreSettings::default() },
            })
            .await?;
            if let Some(cluster) = store.cluster() {
                endpoint.set_cluster(cluster);
            }
            let describe = {
                let ready = ready.clone();
                describe(&endpoint, machine.as_ref(), status.clone(), move || ready.load(Ordering::Relaxed))
            };
            let beats = Arc::new(BeatMeter::default());
            let transfers = Transfers {
                scope,
                entropy: world.entropy.clone(),
                node: settings.node,
                store: store.clone(),
                peers,
                replicator: ReplicatorHandle::default(),
                heartbeat: HeartbeatHandle::default(),
                paces: PeerPaces::default(),
            };
            let heartbeat = HeartbeatArguments {
                world: world.clone(),
                endpoint: endpoint.clone(),
                store: store.clone(),
                replicator: transfers.replicator.clone(),
                paces: transfers.paces.clone(),
                boot: BootId(world.entropy.wide_number()),
                address,
                seeds: metadata,
                ready,
                beats: beats.clone(),
                refused: Arc::default(),
            };
            let role = RoleMetrics::Storage { store: store.clone(), replicator: transfers.replicator.clone(), beats };
            let (entrance, metrics) = entrance(describe, role);
            let engine = Engine::Storage(store, transfers.heartbeat.clone());
            (engine, tree::storage(entrance, transfers, heartbeat), None, metrics)
        }
    };
    let supervisor = Supervisor::start(tree, status).await?;
    tracing::info!(listen = %listening, advertise = %address, "the node serves");
    Ok(Node { world, endpoint, supervisor, engine, gate, address, metrics, lock })
}

/// Where others reach the node: as set, or where it listens, with the port that it was given.
fn advertised(settings: &NodeSettings, listening: SocketAddr) -> SocketAddr {
    settings.advertise.unwrap_or_else(|| SocketAddr::new(settings.listen.ip(), listening.port()))
}

impl Node {
    /// Where others reach it.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its metrics as they are now, as Prometheus reads them.
    pub async fn metrics(&self) -> String {
        self.metrics.page().await
    }

    /// Initialises a new cluster, of which this metadata node is a member; answers its id.
    ///
    /// # Errors
    /// [`InitialiseError`]; [`InitialiseError::NotAMember`] of a storage node.
    pub async fn initialise(&self, cluster: InitialiseCluster) -> Result<ClusterId, InitialiseError> {
        let Engine::Metadata(raft) = &self.engine else {
            return Err(InitialiseError::NotAMember);
        };
        let id = ClusterId(self.world.entropy.wide_number());
        raft.initialise(cluster.members, id, cluster.settings).await?;
        Ok(id)
    }

    /// Waits until the node ends by itself, and says why. It never returns if the node is stopped.
    pub async fn ended(&self) -> GaveUp {
        self.supervisor.gave_up().await
    }

    /// Stops in order: says so, lets nothing more in, lets what is under way end within a bound, stops the actors,
    /// closes the engine and its files.
    pub async fn stop(self) {
        if let Engine::Storage(_, heartbeat) = &self.engine
            && heartbeat.leave(Instant::now() + LEAVE_WITHIN).await.is_err()
        {
            tracing::info!("no leader has heard that this node stops");
        }
        let within = match &self.engine {
            Engine::Metadata(_) => DRAIN_REQUESTS_WITHIN,
            Engine::Storage(..) => DRAIN_TRANSFERS_WITHIN,
        };
        if !self.gate.close(Instant::now() + within).await {
            tracing::warn!("what is under way for longer than {} s is given up", within.as_secs());
        }
        self.supervisor.stop().await;
        self.endpoint.close().await;
        match &self.engine {
            Engine::Metadata(raft) => raft.shutdown().await,
            Engine::Storage(store, _) => store.close().await,
        }
        self.world.scope.kill();
    }

    /// Ends at once, wherever everything is: what a crash does.
    pub fn kill(self) {
        self.world.scope.kill();
        self.supervisor.kill();
    }
}

#[cfg(test)]
mod tests;
