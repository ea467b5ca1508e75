//! Uploads: from the name to the commit.

use super::FileInfo;
use crate::checksum::Digest;
use crate::id::{ChunkIndex, Epoch, FileId, GroupIndex, NodeId, UploadNonce};
use crate::name::FileName;
use crate::time::WallTime;
use crate::unit::ChunkSize;
use crate::wire::{NodeAddress, Request, Service};
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
    /// Whether the file may replace the version that has the name now. A version that takes the name later is never
    /// replaced.
    pub replace: bool,
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
