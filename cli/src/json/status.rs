//! The cluster, as `status --json` writes it.

use crate::launcher::NodeName;
use dfs_core::id::Role;
use dfs_core::repair::RepairSummary;
use dfs_core::wire::metadata::{ClusterSummary, TroubledNode};
use serde::Serialize;
use std::time::Duration;

/// The cluster, as `status` writes it.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The cluster's id.
    pub cluster: String,
    /// The metadata node that leads.
    pub leader: Leader,
    /// The metadata cluster.
    pub metadata: MetadataCount,
    /// The storage nodes.
    pub storage: StorageCount,
    /// Files.
    pub files: u64,
    /// Their bytes, each byte once.
    pub file_bytes: u64,
    /// Uploads in progress.
    pub open_uploads: u64,
    /// Bytes that the storage nodes that beat can hold; not known while none does.
    pub capacity_bytes: Option<u64>,
    /// Bytes that they can still take.
    pub available_bytes: Option<u64>,
    /// Copies that the storage nodes that beat owe to others.
    pub pending_copies: u64,
    /// Copies of a chunk where an upload does not say otherwise.
    pub replication: u8,
    /// The cluster's time, which stands still without a leader.
    pub cluster_time_ms: u64,
    /// How repair gets on; not known while the leader listens for who is there.
    pub repair: Option<Repair>,
}

/// How repair gets on.
#[derive(Clone, Debug, Serialize)]
pub struct Repair {
    /// How long ago every group had been looked at; not known before that.
    pub looked_ago_ms: Option<u64>,
    /// Whether more waits than is kept in mind, so that the numbers below are too low.
    pub more: bool,
    /// Chunks with fewer live copies than wanted, as far as known.
    pub chunks_below: u64,
    /// Of them, those without any.
    pub chunks_unavailable: u64,
    /// Files that have such chunks.
    pub files_below: u64,
    /// Of them, those that have a chunk without any.
    pub files_unavailable: u64,
    /// Copies to be made.
    pub copies_missing: u64,
    /// Their bytes.
    pub bytes_missing: u64,
    /// Copies that are being made.
    pub copies_under_way: u64,
    /// Copies that were made under this leader.
    pub copies_made: u64,
    /// Orders that failed under this leader.
    pub orders_failed: u64,
    /// How long it will take at the present pace, where that is known.
    pub left_ms: Option<u64>,
    /// Why chunks wait.
    pub waiting: Vec<Waiting>,
}

/// Chunks that wait to be repaired.
#[derive(Clone, Debug, Serialize)]
pub struct Waiting {
    /// For what.
    pub reason: String,
    /// How many.
    pub chunks: u64,
}

impl Repair {
    fn of(summary: &RepairSummary) -> Option<Repair> {
        let whole = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        summary.listened.then(|| Repair {
            looked_ago_ms: summary.swept.map(whole),
            more: summary.more,
            chunks_below: summary.chunks_below,
            chunks_unavailable: summary.chunks_unavailable,
            files_below: summary.files_below,
            files_unavailable: summary.files_unavailable,
            copies_missing: summary.copies_missing,
            bytes_missing: summary.bytes_missing,
            copies_under_way: summary.copies_under_way,
            copies_made: summary.copies_made,
            orders_failed: summary.orders_failed,
            left_ms: summary.eta.map(whole),
            waiting: summary
                .held_back
                .iter()
                .map(|(reason, chunks)| Waiting { reason: reason.to_string(), chunks: *chunks })
                .collect(),
        })
    }
}

/// The metadata leader.
#[derive(Clone, Debug, Serialize)]
pub struct Leader {
    /// Its number.
    pub node: u64,
    /// Where it is.
    pub address: String,
    /// Its term.
    pub term: u64,
    /// The highest log index that it has applied.
    pub applied_index: u64,
}

/// How many metadata nodes there are.
#[derive(Clone, Debug, Serialize)]
pub struct MetadataCount {
    /// Members of the cluster.
    pub nodes: u32,
    /// Those that answer the leader.
    pub responding: u32,
    /// The names of the others.
    pub silent: Vec<String>,
}

/// How many storage nodes there are.
#[derive(Clone, Debug, Serialize)]
pub struct StorageCount {
    /// Those that have ever registered.
    pub nodes: u32,
    /// Those that beat.
    pub alive: u32,
    /// Those that have been silent for a while.
    pub suspect: u32,
    /// Those whose copies do not count any more.
    pub dead: u32,
    /// Those with which not all is well, the worst first.
    pub troubled: Vec<Troubled>,
    /// How many more of them there are.
    pub troubled_more: u32,
}

/// A storage node that is not alive, or does not do all of its work.
#[derive(Clone, Debug, Serialize)]
pub struct Troubled {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub address: String,
    /// How it is.
    pub state: &'static str,
    /// How long it has been so; not known if that did not change under this leader.
    pub for_ms: Option<u64>,
    /// What its state rests on.
    pub cause: Option<String>,
    /// How long ago its last beat was, where this leader has had one.
    pub silent_ms: Option<u64>,
    /// Whether it refuses chunks because its disk is full or failed.
    pub refuses_chunks: bool,
    /// Whether it is slow by the word of several others.
    pub slow: bool,
}

impl Troubled {
    fn of(node: &TroubledNode, summary: &ClusterSummary) -> Troubled {
        let for_ms = |at| u64::try_from(summary.cluster_time.since(at).as_millis()).unwrap_or(u64::MAX);
        Troubled {
            name: NodeName { role: Role::Storage, node: node.address.node }.to_string(),
            address: node.address.address.to_string(),
            state: super::state(node.health),
            for_ms: node.changed.map(|change| for_ms(change.at)),
            cause: node.changed.map(|change| change.cause.to_string()),
            silent_ms: node.silent_ms,
            refuses_chunks: node.refuses_chunks,
            slow: node.slow,
        }
    }
}

impl Status {
    /// The JSON form of a summary.
    #[must_use]
    pub fn of(summary: &ClusterSummary) -> Status {
        Status {
            cluster: summary.cluster.to_string(),
            leader: Leader {
                node: summary.leader.node.0,
                address: summary.leader.address.to_string(),
                term: summary.term,
                applied_index: summary.applied,
            },
            metadata: MetadataCount {
                nodes: summary.metadata_nodes,
                responding: summary.metadata_responding,
                silent: summary
                    .metadata_silent
                    .iter()
                    .map(|node| NodeName { role: Role::Metadata, node: node.address.node }.to_string())
                    .collect(),
            },
            storage: StorageCount {
                nodes: summary.storage_nodes,
                alive: summary.storage_alive,
                suspect: summary.storage_suspect,
                dead: summary.storage_dead,
                troubled: summary.storage_troubled.iter().map(|node| Troubled::of(node, summary)).collect(),
                troubled_more: summary.storage_troubled_more,
            },
            files: summary.files,
            file_bytes: summary.file_bytes,
            open_uploads: summary.open_uploads,
            capacity_bytes: (summary.storage_alive > 0).then_some(summary.capacity_bytes),
            available_bytes: (summary.storage_alive > 0).then_some(summary.available_bytes),
            pending_copies: summary.pending_copies,
            replication: summary.replication,
            cluster_time_ms: summary.cluster_time.0,
            repair: Repair::of(&summary.repair),
        }
    }
}
