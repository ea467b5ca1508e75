//! What storage nodes tell the metadata leader ([`Service::Membership`]), and what it hands out.
//!
//! Metadata never opens a connection to a storage node: work travels as *orders* in the answer to a beat.

use super::metadata::StorageLoad;
use super::{NodeAddress, Request, Service};
use crate::checksum::Digest;
use crate::id::{BootId, ChunkId, ClusterId, Epoch, Incarnation, NodeId, StoreId};
use crate::settings::ClusterSettings;
use crate::slowness::SlowPeer;
use crate::time::ClusterTime;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Announces one start of a storage node. The same boot id again gives the same answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Register {
    /// Drawn by the process when it started.
    pub boot: BootId,
    /// The UUID of its data directory.
    pub store: StoreId,
    /// The cluster that its data directory belongs to; absent in a new directory.
    pub cluster: Option<ClusterId>,
    /// Where others reach it.
    pub address: SocketAddr,
    /// Its load at start.
    pub load: StorageLoad,
}

/// The node's place in the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// The cluster, to be kept in the data directory.
    pub cluster: ClusterId,
    /// The life of this process, higher than any before.
    pub incarnation: Incarnation,
    /// The metadata nodes.
    pub members: Vec<NodeAddress>,
    /// The cluster's settings.
    pub settings: ClusterSettings,
}

/// One heartbeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// The life of the process that sends it.
    pub incarnation: Incarnation,
    /// The node's load.
    pub load: StorageLoad,
    /// Copies that became durable after their client was answered, or whose client vanished.
    pub late_reports: Vec<LateReport>,
    /// Proofs of finished orders.
    pub receipts: Vec<Receipt>,
    /// Whether the node is about to stop: it gets no new work from now on.
    pub leaving: bool,
    /// Peers that are slow for the node.
    pub slow: Vec<SlowPeer>,
}

/// Copies of one chunk, told by its primary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LateReport {
    /// The chunk.
    pub chunk: ChunkId,
    /// The epoch under which it was written.
    pub epoch: Epoch,
    /// Its bytes.
    pub length: u32,
    /// Its checksum.
    pub checksum: Digest,
    /// The nodes that hold it durably.
    pub holders: Vec<NodeId>,
}

/// The answer to a beat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeatAnswer {
    /// Cluster time.
    pub cluster_time: ClusterTime,
    /// The metadata nodes.
    pub members: Vec<NodeAddress>,
    /// How many of the beat's late reports were taken; the rest is to be sent again.
    pub reports_taken: u32,
    /// How many of the beat's receipts were taken; the rest is to be sent again.
    pub receipts_taken: u32,
    /// Work for the node.
    pub orders: Vec<Order>,
    /// The cluster's settings, which may have changed.
    pub settings: ClusterSettings,
}

/// Which leader handed an order out, and at which state: a node refuses lower ones than it has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OrderMark {
    /// The leader's term.
    pub term: u64,
    /// The log index that justifies the order.
    pub index: u64,
}

/// Work handed out in the answer to a beat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Which leader, at which state.
    pub mark: OrderMark,
    /// What to do.
    pub task: OrderTask,
}

/// What an order asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrderTask {
    /// Copy a chunk that this node holds to another node.
    Copy {
        /// The chunk.
        chunk: ChunkId,
        /// Its epoch.
        epoch: Epoch,
        /// Its checksum, which source and target verify.
        checksum: Digest,
        /// Where the copy goes.
        address: SocketAddr,
        /// Whose it will be, and why.
        copy: CopyOrder,
    },
    /// Read a chunk back and check its whole tree.
    Verify {
        /// The chunk.
        chunk: ChunkId,
        /// Its epoch.
        epoch: Epoch,
        /// Its checksum.
        checksum: Digest,
    },
}

/// Whose a copy will be, and why it is made: what an order and its receipt share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyOrder {
    /// The node that gets the copy.
    pub target: NodeId,
    /// The life of its process that the order is for: what it takes counts only in this one.
    pub incarnation: Incarnation,
    /// Whose copy this one takes the place of, where that one is given up.
    pub replaces: Option<NodeId>,
    /// Why it is made.
    pub reason: CopyReason,
}

/// Why a copy is made. Append-only once released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum CopyReason {
    /// A node that held one is dead.
    NodeDead,
    /// A node that held one came with another store.
    StoreLost,
    /// There were never as many as wanted, or one was found damaged.
    TooFew,
}

impl OrderMark {
    /// Of no order.
    pub const NONE: OrderMark = OrderMark { term: 0, index: 0 };
}

/// How an order ended, or what a node has found of its own accord.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The order that it answers, or [`OrderMark::NONE`].
    pub mark: OrderMark,
    /// The chunk.
    pub chunk: ChunkId,
    /// Its epoch.
    pub epoch: Epoch,
    /// The copy that was ordered; nothing if the node was to verify its own.
    pub copy: Option<CopyOrder>,
    /// What became of it.
    pub outcome: OrderOutcome,
}

impl Receipt {
    /// A node has seen that its own copy is damaged, without having been ordered to look.
    #[must_use]
    pub fn of_damage(chunk: ChunkId, epoch: Epoch) -> Receipt {
        Receipt { mark: OrderMark::NONE, chunk, epoch, copy: None, outcome: OrderOutcome::SourceDamaged }
    }
}

/// What became of an order. Append-only once released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrderOutcome {
    /// It is done: this is the checksum of the chunk as it was read back, at the target if it was copied.
    Done {
        /// The checksum.
        read_back: Digest,
    },
    /// The node that was to read the chunk does not have it.
    SourceMissing,
    /// The node that was to read the chunk has other bytes than it should.
    SourceDamaged,
    /// The target did not take the copy in time.
    TargetFailed,
    /// The target holds other bytes for this chunk and epoch, or a copy that is damaged.
    TargetConflicts,
    /// The node that was to read the chunk could not: its disk fails, which says nothing about the copy.
    SourceUnreadable,
}

impl Request for Register {
    const SERVICE: Service = Service::Membership;
    const METHOD: u8 = 1;
    type Reply = Registered;
}

impl Request for Beat {
    const SERVICE: Service = Service::Membership;
    const METHOD: u8 = 2;
    type Reply = BeatAnswer;
}
