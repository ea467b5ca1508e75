//! What clients ask the metadata cluster ([`Service::Namespace`]), and what any node says of itself
//! ([`Service::Node`]).
//!
//! Create, allocate and commit are idempotent: by (nonce) and by (file, group, epoch). A delete carries a request id
//! and the cluster time of its first try.

use super::{NodeAddress, Request, Service};
use crate::checksum::Digest;
use crate::id::{
    ChunkIndex, ClusterId, Epoch, FileId, GroupIndex, Incarnation, NodeId, RequestId, Role, StoreId, UploadNonce,
};
use crate::mask::ChunkMask;
use crate::name::FileName;
use crate::time::{ClusterTime, WallTime};
use crate::unit::ChunkSize;
use serde::{Deserialize, Serialize};

/// Opens an upload: gives the file an id, and its first group a placement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateFile {
    /// Drawn by the client for this upload; the same nonce again gives the same answer.
    pub nonce: UploadNonce,
    /// The name that the file will have once committed.
    pub name: FileName,
    /// The size of its chunks.
    pub chunk_size: ChunkSize,
    /// Copies of each chunk; the cluster's setting where absent.
    pub replication: Option<u8>,
    /// The size of the file where the client knows it already (it is a hint: an empty file needs no placement).
    pub size_hint: Option<u64>,
    /// Modification time of the source.
    pub modified: WallTime,
}

/// An open upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatedFile {
    /// The id of the new version.
    pub file: FileId,
    /// Copies of each chunk that the cluster aims for.
    pub replication: u8,
    /// The placement of the first group; absent if the size is known to be zero.
    pub first_group: Option<GroupPlacement>,
}

/// Where the chunks of one group go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupPlacement {
    /// The group.
    pub group: GroupIndex,
    /// The epoch of this placement.
    pub epoch: Epoch,
    /// Durable copies that an acknowledgement needs.
    pub write_quorum: u8,
    /// The nodes, in order: the primary of the chunk at slot *i* is `nodes[i mod nodes.len()]`.
    pub nodes: Vec<NodeAddress>,
}

impl GroupPlacement {
    /// The primary of a chunk, and the other nodes of the placement in forwarding order.
    #[must_use]
    pub fn primary_and_replicas(&self, index: ChunkIndex) -> Option<(NodeAddress, Vec<NodeAddress>)> {
        let first = (index.slot() as usize).checked_rem(self.nodes.len())?;
        let mut nodes = self.nodes[first..].iter().chain(&self.nodes[..first]).copied();
        Some((nodes.next()?, nodes.collect()))
    }
}

/// Asks for a placement of a group, or for another one, and hands in the reports collected so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllocateGroup {
    /// The upload.
    pub file: FileId,
    /// Its nonce, which proves that the caller is its writer.
    pub nonce: UploadNonce,
    /// The group to place.
    pub group: GroupIndex,
    /// The epoch wanted: [`Epoch::FIRST`] for a new group, the present one plus one for another placement. A group
    /// that has this epoch or a higher one already is answered as it is.
    pub epoch: Epoch,
    /// Nodes that the client found gone or failing; they are avoided where others suffice.
    pub excluded: Vec<NodeId>,
    /// Chunks that became durable since the last request.
    pub reports: Vec<GroupReport>,
}

/// Chunks of one group that became durable under one epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupReport {
    /// The group.
    pub group: GroupIndex,
    /// The epoch of the placement under which the chunks were written.
    pub epoch: Epoch,
    /// The chunks, at most one report for each.
    pub chunks: Vec<ChunkReport>,
}

/// One durable chunk, as its primary answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkReport {
    /// The chunk.
    pub index: ChunkIndex,
    /// Its bytes.
    pub length: u32,
    /// Its checksum.
    pub checksum: Digest,
    /// The nodes of the placement that hold it durably.
    pub holders: Vec<NodeId>,
}

/// Makes an upload visible under its name, if it is complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitFile {
    /// The upload.
    pub file: FileId,
    /// Its nonce.
    pub nonce: UploadNonce,
    /// The size of the whole file in bytes.
    pub size: u64,
    /// Chunks that became durable since the last request.
    pub reports: Vec<GroupReport>,
}

/// A committed file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileInfo {
    /// The id of this version.
    pub file: FileId,
    /// Its name.
    pub name: FileName,
    /// Its bytes.
    pub size: u64,
    /// The size of its chunks.
    pub chunk_size: ChunkSize,
    /// Copies of each chunk that the cluster aims for.
    pub replication: u8,
    /// Modification time, as the writer gave it.
    pub modified: WallTime,
}

/// What names a file in a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileTarget {
    /// The file of this name.
    Name(FileName),
    /// The version with this id.
    Id(FileId),
}

/// Asks for one committed file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatFile {
    /// Which.
    pub target: FileTarget,
}

/// Asks for committed files in the order of their names (bytewise).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListFiles {
    /// Only names that begin with this text; it need not end at a slash.
    pub prefix: String,
    /// Only names after this one.
    pub after: Option<FileName>,
    /// Files in the answer at most, up to [`crate::limit::LIST_PAGE_MAX`].
    pub limit: u32,
}

/// One page of a listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePage {
    /// The files, by name.
    pub files: Vec<FileInfo>,
    /// Whether there may be more after the last of them.
    pub more: bool,
}

/// Asks where the chunks of a committed file are, group by group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocateGroups {
    /// The version.
    pub file: FileId,
    /// The first group wanted.
    pub first: GroupIndex,
    /// Groups in the answer at most, up to [`crate::limit::LOCATE_PAGE_MAX`].
    pub limit: u32,
}

/// Where the chunks of some consecutive groups are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupPage {
    /// The groups, in order, from the first wanted.
    pub groups: Vec<GroupLocations>,
    /// The addresses of all nodes named in them.
    pub addresses: Vec<NodeAddress>,
}

/// Where the chunks of one group are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupLocations {
    /// The group.
    pub group: GroupIndex,
    /// The epoch of its present placement.
    pub epoch: Epoch,
    /// Its chunks, by slot from zero.
    pub chunks: Vec<ChunkLocation>,
    /// Who holds which of them.
    pub holders: Vec<GroupHolder>,
}

/// One chunk as metadata knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkLocation {
    /// The epoch under which it was written: readers name it.
    pub epoch: Epoch,
    /// Its checksum.
    pub checksum: Digest,
}

/// One node's copies of a group's chunks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupHolder {
    /// The node.
    pub node: NodeId,
    /// The chunks that it holds.
    pub held: ChunkMask,
    /// Those that were read back and checked since the node's incarnation.
    pub verified: ChunkMask,
}

/// Removes a name. The bytes are freed later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteFile {
    /// Drawn by the client for this deletion; a retry carries the same.
    pub request: RequestId,
    /// The cluster time of the first try, from [`WhoLeads`].
    pub first_tried: ClusterTime,
    /// What to delete.
    pub target: FileTarget,
}

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
    /// Storage nodes that have ever registered.
    pub storage_nodes: u32,
    /// Of them, those that are Alive.
    pub storage_alive: u32,
    /// Of them, those that are Suspect.
    pub storage_suspect: u32,
    /// Of them, those that are Dead.
    pub storage_dead: u32,
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
}

impl Request for CreateFile {
    const SERVICE: Service = Service::Namespace;
    const METHOD: u8 = 1;
    type Reply = CreatedFile;
}

impl Request for AllocateGroup {
    const SERVICE: Service = Service::Namespace;
    const METHOD: u8 = 2;
    type Reply = GroupPlacement;
}

impl Request for CommitFile {
    const SERVICE: Service = Service::Namespace;
    const METHOD: u8 = 3;
    type Reply = FileInfo;
}

impl Request for StatFile {
    const SERVICE: Service = Service::Namespace;
    const METHOD: u8 = 4;
    type Reply = FileInfo;
}

impl Request for ListFiles {
    const SERVICE: Service = Service::Namespace;
    const METHOD: u8 = 5;
    type Reply = FilePage;
}

impl Request for LocateGroups {
    const SERVICE: Service = Service::Namespace;
    const METHOD: u8 = 6;
    type Reply = GroupPage;
}

impl Request for DeleteFile {
    const SERVICE: Service = Service::Namespace;
    const METHOD: u8 = 7;
    type Reply = FileInfo;
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

impl Request for DescribeNode {
    const SERVICE: Service = Service::Node;
    const METHOD: u8 = 1;
    type Reply = NodeDescription;
}
