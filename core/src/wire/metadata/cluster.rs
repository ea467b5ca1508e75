//! The cluster and its nodes.

use crate::id::{ClusterId, Incarnation, NodeId, RequestId, Role, StoreId};
use crate::liveness::Transition;
use crate::repair::RepairSummary;
use crate::settings::{ClusterSettings, SettingChange};
use crate::slowness::SlowPeer;
use crate::time::ClusterTime;
use crate::wire::{NodeAddress, Request, Service};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Asks a metadata node who leads, and what time the cluster has. Every metadata node answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhoLeads {}

/// What a metadata node knows of its cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leadership {
    /// The cluster, once it is initialised.
    pub cluster: Option<ClusterId>,
    /// The leader as this node knows it.
    pub leader: Option<NodeAddress>,
    /// The voters of the metadata cluster.
    pub members: Vec<NodeAddress>,
    /// The Raft term.
    pub term: u64,
    /// The highest log index that this node has applied.
    pub applied: u64,
    /// Cluster time as applied here.
    pub cluster_time: ClusterTime,
}

/// Asks the leader for the nodes of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListNodes {
    /// Only storage nodes above this id; the first page also has the metadata nodes.
    pub after: Option<NodeId>,
}

/// One page of nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodePage {
    /// The metadata nodes (first page only).
    pub metadata: Vec<MetadataNodeInfo>,
    /// Storage nodes, by id.
    pub storage: Vec<StorageNodeInfo>,
    /// Whether there are more storage nodes.
    pub more: bool,
}

/// A member of the metadata cluster, as the leader knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataNodeInfo {
    /// Who and where.
    pub address: NodeAddress,
    /// Whether it leads.
    pub leads: bool,
    /// The Raft term of the leader that answers.
    pub term: u64,
    /// The highest log index known to be on this member, where the leader knows.
    pub matched: Option<u64>,
    /// Milliseconds since it last acknowledged the leader, where the leader knows.
    pub silent_ms: Option<u64>,
}

/// How a storage node is, by the leader's evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Health {
    /// The leader has not listened for long enough to know.
    Unknown,
    /// It beats.
    Alive,
    /// It has been silent for a while: it gets no new work.
    Suspect,
    /// It has been silent for so long that its copies do not count.
    Dead,
}

/// A storage node, as the leader knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageNodeInfo {
    /// Who and where.
    pub address: NodeAddress,
    /// The life of its process that registered last.
    pub incarnation: Incarnation,
    /// Its store.
    pub store: StoreId,
    /// How it is.
    pub health: Health,
    /// Milliseconds since its last beat, where this leader has had one.
    pub silent_ms: Option<u64>,
    /// Its load, as its last beat told.
    pub load: Option<StorageLoad>,
    /// The nodes for which it is slow, with what they told.
    pub slow_for: Vec<(NodeId, SlowPeer)>,
    /// Whether the leader believes them, and gives it less work.
    pub slow: bool,
}

/// What a storage node tells of its store with every beat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StorageLoad {
    /// Bytes of its file system, for chunks and everything else.
    pub capacity_bytes: u64,
    /// Bytes that it can still take as chunks.
    pub available_bytes: u64,
    /// Bytes of records that it holds.
    pub chunk_bytes: u64,
    /// Chunks that it holds.
    pub chunk_count: u64,
    /// Chunk writes in progress.
    pub writes: u32,
    /// Chunk reads in progress.
    pub reads: u32,
    /// Whether it refuses chunks because its disk is full or failed.
    pub refuses_chunks: bool,
    /// Copies that it still owes to other nodes, and copies made late that metadata has not taken note of.
    pub pending_copies: u64,
}

/// Asks the leader how a storage node's health has changed since it leads: the newest changes, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeHistory {
    /// The node.
    pub node: NodeId,
}

/// How the health of a storage node has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodePast {
    /// The leader's time now, by which the changes are dated.
    pub now: ClusterTime,
    /// The changes, oldest first.
    pub changes: Vec<Transition>,
}

/// Asks the leader how the cluster is, on one screen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterStatus {}

/// How the cluster is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterSummary {
    /// The cluster.
    pub cluster: ClusterId,
    /// The leader that answers.
    pub leader: NodeAddress,
    /// Its term.
    pub term: u64,
    /// The highest applied log index.
    pub applied: u64,
    /// Cluster time.
    pub cluster_time: ClusterTime,
    /// Metadata nodes in the cluster.
    pub metadata_nodes: u32,
    /// Metadata nodes that acknowledged the leader within the last two seconds (the leader included).
    pub metadata_responding: u32,
    /// The others.
    pub metadata_silent: Vec<MetadataNodeInfo>,
    /// Storage nodes that have ever registered.
    pub storage_nodes: u32,
    /// Of them, those that are Alive.
    pub storage_alive: u32,
    /// Of them, those that are Suspect.
    pub storage_suspect: u32,
    /// Of them, those that are Dead.
    pub storage_dead: u32,
    /// Storage nodes with which not all is well, the worst first: [`TROUBLED_NODES_MAX`](crate::limit::TROUBLED_NODES_MAX) at most.
    pub storage_troubled: Vec<TroubledNode>,
    /// How many more there are.
    pub storage_troubled_more: u32,
    /// Committed files.
    pub files: u64,
    /// Bytes of committed files, each byte once.
    pub file_bytes: u64,
    /// Uploads in progress.
    pub open_uploads: u64,
    /// Bytes that the storage nodes that beat can hold, and can still take.
    pub capacity_bytes: u64,
    /// Bytes that they can still take.
    pub available_bytes: u64,
    /// Copies of a chunk where an upload does not say otherwise.
    pub replication: u8,
    /// Copies that the storage nodes that beat owe to others.
    pub pending_copies: u64,
    /// How repair gets on.
    pub repair: RepairSummary,
}

/// A storage node that is not Alive, or is and does not do all of its work, with what the leader goes by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TroubledNode {
    /// Who and where.
    pub address: NodeAddress,
    /// How it is.
    pub health: Health,
    /// Its last change of health under this leader.
    pub changed: Option<Transition>,
    /// Milliseconds since its last beat, where this leader has had one.
    pub silent_ms: Option<u64>,
    /// Whether it refuses chunks because its disk is full or failed.
    pub refuses_chunks: bool,
    /// Whether it is slow by the word of several others, and gets less work.
    pub slow: bool,
}

/// Asks the leader for cluster time as the state has it, which is at most a few minutes behind the leader's clock and
/// never ahead of a later leader's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShowTime {}

/// Asks the leader for the settings of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShowSettings {}

/// Changes settings of the cluster, all together or none, once for each request id. What is answered are the settings
/// that were then in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeSettings {
    /// Drawn for this change, and the same for its retries.
    pub request: RequestId,
    /// The cluster time of the first try, or a little before it, from [`ShowTime`].
    pub first_tried: ClusterTime,
    /// The new values, at least one and each setting at most once.
    pub changes: Vec<SettingChange>,
}

/// Asks any node what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescribeNode {}

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeDescription {
    /// Its role.
    pub role: Role,
    /// Its id within the role.
    pub node: NodeId,
    /// Its build.
    pub build: String,
    /// Whether it serves: a metadata node that knows a leader, a storage node that has registered.
    pub ready: bool,
    /// Restarts of actors since the process began.
    pub actor_restarts: u64,
    /// Milliseconds since it began to start.
    pub uptime_ms: u64,
    /// Its actors, in the order of starting.
    pub actors: Vec<ActorInfo>,
    /// What its process has used, where the machine tells.
    pub process: Option<ProcessUsage>,
    /// Where it tells metrics, if it does.
    pub metrics: Option<SocketAddr>,
}

/// One actor of a node, as its supervisor knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActorInfo {
    /// Its name.
    pub name: String,
    /// Whether it runs.
    pub running: bool,
    /// How often it was restarted because it failed itself.
    pub restarts: u64,
    /// How it failed last.
    pub last_failure: Option<ActorFailure>,
}

/// How an actor failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActorFailure {
    /// Milliseconds since then.
    pub ago_ms: u64,
    /// What it said, on one line.
    pub reason: String,
}

/// What a process has used of its machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ProcessUsage {
    /// Time on a processor, of all threads together, in milliseconds.
    pub cpu_ms: u64,
    /// Bytes of memory that it has now.
    pub resident_bytes: u64,
    /// The most that it ever had.
    pub resident_peak_bytes: u64,
}

impl Request for WhoLeads {
    const SERVICE: Service = Service::Namespace;
    const METHOD: u8 = 8;
    type Reply = Leadership;
}

impl Request for ListNodes {
    const SERVICE: Service = Service::Namespace;
    const METHOD: u8 = 9;
    type Reply = NodePage;
}

impl Request for ClusterStatus {
    const SERVICE: Service = Service::Namespace;
    const METHOD: u8 = 10;
    type Reply = ClusterSummary;
}

impl Request for ShowSettings {
    const SERVICE: Service = Service::Namespace;
    const METHOD: u8 = 12;
    type Reply = ClusterSettings;
}

impl Request for ChangeSettings {
    const SERVICE: Service = Service::Namespace;
    const METHOD: u8 = 13;
    type Reply = ClusterSettings;
}

impl Request for NodeHistory {
    const SERVICE: Service = Service::Namespace;
    const METHOD: u8 = 18;
    type Reply = NodePast;
}

impl Request for ShowTime {
    const SERVICE: Service = Service::Namespace;
    const METHOD: u8 = 19;
    type Reply = ClusterTime;
}

impl Request for DescribeNode {
    const SERVICE: Service = Service::Node;
    const METHOD: u8 = 1;
    type Reply = NodeDescription;
}
