//! Committed files: looking them up, listing, locating and removing them.

use crate::checksum::Digest;
use crate::id::{Epoch, FileId, GroupIndex, NodeId, RequestId};
use crate::mask::ChunkMask;
use crate::name::FileName;
use crate::time::{ClusterTime, WallTime};
use crate::unit::ChunkSize;
use crate::wire::{NodeAddress, Request, Service};
use serde::{Deserialize, Serialize};

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
    /// The cluster time of the first try, or a little before it, from [`ShowTime`](super::ShowTime).
    pub first_tried: ClusterTime,
    /// What to delete.
    pub target: FileTarget,
    /// If given, it is deleted only while this is its name.
    pub named: Option<FileName>,
}

/// Moves a file, or a directory with all below it, to another name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveName {
    /// Drawn by the client for this move; a retry carries the same.
    pub request: RequestId,
    /// The cluster time of the first try, or a little before it, from [`ShowTime`](super::ShowTime).
    pub first_tried: ClusterTime,
    /// The file or directory.
    pub from: FileName,
    /// The name that it will have: nothing has it now.
    pub to: FileName,
}

/// What was moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MovedName {
    /// This file, with its new name.
    File(FileInfo),
    /// A directory.
    Directory,
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

impl Request for MoveName {
    const SERVICE: Service = Service::Namespace;
    const METHOD: u8 = 11;
    type Reply = MovedName;
}
