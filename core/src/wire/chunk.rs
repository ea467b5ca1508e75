//! Chunk transfers: between clients and storage nodes ([`Service::Chunks`]), and between storage nodes
//! ([`Service::Replicas`]).
//!
//! **A write** is one stream. The writer sends [`WriteChunk`] (or [`WriteReplica`]) and waits for a
//! [`WriteAnswer`]. If that asks for the bytes, it sends exactly `length` bytes of payload and then a
//! [`WriteTrailer`], and waits for the reply that is bound to its request. A stream that ends before its trailer is a
//! failed write: nothing of it is kept. While a primary waits for its disk or its replicas it gives a sign of life every
//! [`SIGN_OF_LIFE_MS`](crate::limit::SIGN_OF_LIFE_MS), so that a slow disk is not taken for a node that is gone.
//!
//! **A read** is one stream. The node answers [`ReadChunk`] with a [`ReadAnswer`], the payload, and a
//! [`ReadTrailer`]; a stream that ends before its trailer has failed. While the read waits for its turn it is told so as
//! often as a write is.
//!
//! [`HeldChunks`] is a plain question with one answer.

use super::{NodeAddress, Request, Service};
use crate::checksum::{ChunkSums, Digest};
use crate::id::{ChunkId, ChunkIndex, Epoch, FileId, GroupIndex, NodeId};
use serde::{Deserialize, Serialize};

/// Asks a primary to store a chunk and to forward it to the replicas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteChunk {
    /// The chunk.
    pub chunk: ChunkId,
    /// The epoch of its group's placement.
    pub epoch: Epoch,
    /// Bytes of payload that will follow.
    pub length: u32,
    /// Durable copies that the acknowledgement needs, the primary's included.
    pub write_quorum: u8,
    /// The other nodes of the placement.
    pub replicas: Vec<NodeAddress>,
    /// How long a replica that is needed may stand still before the write is given up.
    pub patience_ms: u32,
}

/// Asks a replica to store a chunk that its primary forwards or catches up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteReplica {
    /// The chunk.
    pub chunk: ChunkId,
    /// The epoch under which it is written.
    pub epoch: Epoch,
    /// Bytes of payload that will follow.
    pub length: u32,
    /// What its checksum must be, as metadata knows it: the replica then checks the whole tree, reads what it has
    /// stored back, and checks that too. Without it, the sender has just checked the tree.
    pub expected: Option<Digest>,
}

/// Whether the payload is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WriteAnswer {
    /// Send the payload, then the trailer.
    Send,
    /// The node holds this chunk and epoch durably with this checksum: send no payload. A primary that answers so
    /// brings the other copies up to the quorum from its own before its final reply.
    Held {
        /// The checksum of what is held.
        checksum: Digest,
    },
    /// Not known yet; the node is at it.
    Waiting,
}

/// What follows the payload of a write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteTrailer {
    /// The checksums of all that was sent.
    pub sums: ChunkSums,
}

/// What a primary says once it has asked for the payload, or has said that it holds the chunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WriteReply {
    /// The chunk is durable on enough nodes. Nothing follows.
    Written(ChunkWritten),
    /// It is not yet; the node is at it.
    Waiting,
}

/// A chunk is durable on enough nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkWritten {
    /// Its checksum as the primary computed it.
    pub checksum: Digest,
    /// The nodes that hold it durably, the primary first.
    pub holders: Vec<NodeId>,
}

/// A replica is durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaWritten {
    /// Its checksum.
    pub checksum: Digest,
}

/// Asks for the bytes of a chunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadChunk {
    /// The chunk.
    pub chunk: ChunkId,
    /// The epoch under which it was written.
    pub epoch: Epoch,
    /// The first byte wanted; rounded down to a block by the node.
    pub offset: u32,
    /// Bytes wanted; rounded up to a block or the chunk's end by the node.
    pub length: u32,
}

/// What a node says to a read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReadAnswer {
    /// The payload follows, and then the trailer.
    Found(FoundBytes),
    /// The turn of the read has not come yet; the node is at others.
    Waiting,
}

/// What precedes the payload of a read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundBytes {
    /// The checksums of the whole chunk, as its record keeps them.
    pub sums: ChunkSums,
    /// The first byte that follows: the start of a block.
    pub offset: u32,
    /// Bytes that follow.
    pub length: u32,
}

/// What follows the payload of a read: the node read and checked all of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadTrailer {
    /// Bytes that were sent.
    pub length: u32,
}

/// Asks which chunks of a group the node holds durably under an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldChunks {
    /// The version of the file.
    pub file: FileId,
    /// The group.
    pub group: GroupIndex,
    /// The epoch under which the chunks were written.
    pub epoch: Epoch,
}

/// The chunks of a group that a node holds durably.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldList {
    /// The chunks, in order: at most as many as a group has.
    pub chunks: Vec<HeldChunk>,
}

/// A chunk that a node holds durably.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldChunk {
    /// The chunk.
    pub index: ChunkIndex,
    /// Its bytes.
    pub length: u32,
    /// Its checksum.
    pub checksum: Digest,
}

impl Request for WriteChunk {
    const SERVICE: Service = Service::Chunks;
    const METHOD: u8 = 1;
    type Reply = WriteReply;
}

impl Request for ReadChunk {
    const SERVICE: Service = Service::Chunks;
    const METHOD: u8 = 2;
    type Reply = ReadAnswer;
}

impl Request for HeldChunks {
    const SERVICE: Service = Service::Chunks;
    const METHOD: u8 = 3;
    type Reply = HeldList;
}

impl Request for WriteReplica {
    const SERVICE: Service = Service::Replicas;
    const METHOD: u8 = 1;
    type Reply = ReplicaWritten;
}
