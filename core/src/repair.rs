//! Repair: which copies are to be made, where, and in which order.
//!
//! [`plan`] is the whole decision. It reads groups as the state has them, nodes as the leader sees them, and what is
//! under way already ([`Leases`]); it answers with orders, those for chunks with the fewest live copies first, and says
//! of all else why it has to wait ([`NotPlanned`]). An [`Agenda`] says which groups to read, and a [`Backlog`] keeps in
//! mind which of them are to be planned. Orders wait in an [`Outbox`] for their node's next beat.
//!
//! A copy is *live* while its store is the one that its node has now and its node is not Dead: a node that is merely
//! Suspect, or not heard yet, keeps its copies, but is neither source nor target. So silence of ten seconds moves no
//! byte, and a leader that has not listened for the whole window plans nothing.
//!
//! Repair adds copies. The one thing that it lets go is the record of a dead node's copy, in the entry that counts the
//! copy which takes its place (`meta::receipt`). It never removes a replica.
//!
//! Deliberately absent: clocks and randomness; the choice of a target is drawn from the chunk's name, so that a leader
//! that plans an order anew after its predecessor tends to plan the same one, and the copy is found made. Failure
//! domains, and what rebalances or drains.

mod agenda;
mod backlog;
mod lease;
mod outbox;
mod plan;

#[cfg(test)]
mod tests;

pub use agenda::{Agenda, Page};
pub use backlog::{Assessment, Backlog, assess};
pub use lease::Leases;
pub use outbox::Outbox;
pub use plan::{HeldBack, NotPlanned, Plan, Situation, plan};

use crate::checksum::Digest;
use crate::id::{ChunkId, Epoch, FileId, GroupIndex, Incarnation, NodeId};
use crate::time::ClusterTime;
use crate::wire::metadata::Health;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// A group, among all.
pub type GroupPlace = (FileId, GroupIndex);

/// The nodes as the leader sees them.
pub type Nodes = BTreeMap<NodeId, NodeFacts>;

/// A registered node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeFacts {
    /// Where others reach it.
    pub address: SocketAddr,
    /// The life of its process that registered last.
    pub incarnation: Incarnation,
    /// How often it has come with another store.
    pub generation: u32,
    /// How it is.
    pub health: Health,
    /// Bytes that it can still take as chunks.
    pub available_bytes: u64,
    /// Chunk writes in progress there.
    pub writes: u32,
    /// Whether it takes chunks at all.
    pub takes_chunks: bool,
}

/// A group of chunks as the state has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupFacts {
    /// The version of the file that it belongs to.
    pub file: FileId,
    /// Its place there.
    pub group: GroupIndex,
    /// Copies wanted of each chunk.
    pub replication: u8,
    /// What its chunks are there for.
    pub purpose: Purpose,
    /// The known chunks.
    pub chunks: Vec<ChunkFacts>,
}

/// What a group is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A file that is being uploaded.
    Upload {
        /// When that made progress last.
        progress: ClusterTime,
    },
    /// A visible file.
    Visible,
    /// A file that is gone: nothing is repaired.
    Gone,
}

/// A known chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkFacts {
    /// The chunk.
    pub chunk: ChunkId,
    /// The epoch under which it was written.
    pub epoch: Epoch,
    /// Its checksum.
    pub checksum: Digest,
    /// Its bytes.
    pub length: u32,
    /// Its recorded copies, one for each node.
    pub copies: Vec<CopyFacts>,
}

/// A recorded copy of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyFacts {
    /// The node that has it.
    pub node: NodeId,
    /// Whether it is on the store that the node has now.
    pub counts: bool,
    /// Whether it was read back and checked in the node's present life.
    pub verified: bool,
}

impl CopyFacts {
    /// Whether this copy counts by what the leader knows of its node.
    #[must_use]
    pub fn is_live(&self, nodes: &Nodes) -> bool {
        self.counts && nodes.get(&self.node).is_some_and(|node| node.health != Health::Dead)
    }
}

impl ChunkFacts {
    /// How many copies are live.
    #[must_use]
    pub fn live(&self, nodes: &Nodes) -> u32 {
        u32::try_from(self.copies.iter().filter(|copy| copy.is_live(nodes)).count()).unwrap_or(u32::MAX)
    }
}

/// How repair gets on, as the leader knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepairSummary {
    /// Whether this leader has listened for long enough to judge. Until then all numbers below are zero.
    pub listened: bool,
    /// The time since this leader last had looked at every group, if it ever has, and at all groups of the nodes that died
    /// since: what is older than that is known.
    pub swept: Option<Duration>,
    /// Whether more groups wait than are kept in mind, so that the numbers below are too low.
    pub more: bool,
    /// Chunks with fewer live copies than wanted.
    pub chunks_below: u64,
    /// Of them, those without any live copy.
    pub chunks_unavailable: u64,
    /// Files that have such chunks, open uploads and replaced versions among them.
    pub files_below: u64,
    /// Of them, those that have a chunk without any live copy.
    pub files_unavailable: u64,
    /// Copies that are missing.
    pub copies_missing: u64,
    /// The bytes of the missing copies.
    pub bytes_missing: u64,
    /// Copies that are being made.
    pub copies_under_way: u64,
    /// Copies that are being read back and checked.
    pub verifies_under_way: u64,
    /// Copies that were made under this leader.
    pub copies_made: u64,
    /// Their bytes.
    pub bytes_made: u64,
    /// Orders that failed, or of which nothing was heard in time, under this leader.
    pub orders_failed: u64,
    /// When all that can be copied from somewhere will be there at the present pace; nothing while there is none.
    pub eta: Option<Duration>,
    /// Why chunks wait, and how many.
    pub held_back: BTreeMap<NotPlanned, u64>,
}
