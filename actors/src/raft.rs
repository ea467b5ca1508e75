//! The Raft engine: the replicated log and state of the metadata cluster, on openraft.
//!
//! Owns the log, the metadata state, its snapshots, and everything that the members say to each other. Whoever holds a
//! [`RaftHandle`] writes commands, waits for a linearizable moment to read, and watches who leads; the engine's owner
//! also watches [`RaftHandle::failed`], because a Raft that stops by itself never comes back.
//!
//! Every type of openraft stays in here: its releases change them, and with them its messages, so what is stored and
//! what travels has forms of its own (`codec`, `wire`).
//!
//! Deliberately absent: what commands mean (`dfs_core::meta`), who is allowed to send them, and retries.

mod clock;
mod codec;
mod handle;
pub mod inspect;
mod log_store;
mod network;
mod runtime;
mod serve;
mod snapshot;
mod state;
mod state_machine;
mod types;
mod view;
mod wire;

#[cfg(test)]
mod tests;

pub use handle::{InitialiseError, RaftHandle};
pub use state::{LogProgress, MemberProgress, RaftRole, RaftState};
pub use view::StateView;

use crate::disk::Disk;
use crate::key_value::KeyValueStores;
use dfs_core::id::NodeId;
use dfs_transport::peers::Peers;
use dfs_transport::world::World;
use handle::Engine;
use log_store::{LogOpenError, LogStore};
use network::Network;
use openraft::{Config, SnapshotPolicy};
use state_machine::StateMachine;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// The directory of what is no key-value store.
const DIRECTORY: &str = "raft";
/// The key-value store that is the log.
pub const LOG_STORE: &str = "raft-log";
/// How often a leader shows that it lives, in milliseconds.
const HEARTBEAT_MS: u64 = 100;
/// How long a member waits for a sign of life before it would be leader, drawn anew each time, in milliseconds. The
/// upper end is the leader's lease too: a new leader comes after the lease and one such wait.
const ELECTION_MS: (u64, u64) = (300, 450);
/// How long one try to send a snapshot may take, in milliseconds: the member writes a whole state meanwhile.
const SNAPSHOT_MS: u64 = 30 * 60 * 1000;
/// Of the entries after which a snapshot is taken, the part that stays in the log behind it, for members that are a
/// little late.
const KEPT_PART: u64 = 5;
/// Of the same entries, the part that a new member may be late by and still count as up to date.
const LAG_PART: u64 = 2;
/// Entries that are cut off the log at once at least, where that many are not kept.
const PURGED_ENTRIES: u64 = 256;
/// Entries that one append carries at most; their bytes are bounded by the log.
const APPEND_ENTRIES: u64 = 1_024;
/// How long an unreachable member is left alone, time after time.
const BACKOFF: &str = "100ms 200ms 400ms ...500ms";

/// What the engine needs.
pub struct OpenRaft<'w> {
    /// The node's world; all tasks run in its scope.
    pub world: &'w World,
    /// This member.
    pub node: NodeId,
    /// Where the other members reach it.
    pub address: SocketAddr,
    /// Calls to the other members.
    pub peers: Peers,
    /// The data directory; the engine's files are in `raft/`.
    pub disk: Arc<dyn Disk>,
    /// The key-value stores; the engine's are called `raft-…`.
    pub stores: Arc<dyn KeyValueStores>,
    /// Entries after which a snapshot is taken and the log is cut; a fifth of them stays in the log behind it.
    pub snapshot_entries: u64,
}

/// Starts the engine.
#[derive(Debug)]
pub struct RaftEngine;

/// Why the engine cannot start.
#[derive(Debug, thiserror::Error)]
pub enum RaftOpenError {
    /// The disk or a store failed.
    #[error("the metadata of this node cannot be opened: {0}")]
    Storage(#[source] io::Error),
    /// The data directory is another node's.
    #[error("the data directory belongs to metadata node {found}; start it under that id, or use another directory")]
    OtherNode {
        /// Whose it is.
        found: NodeId,
    },
    /// The state has applied entries of a log that is not there.
    #[error(
        "the Raft log is gone, though the state beside it has applied entries of it: a part of the data directory was \
         lost or replaced. This node must not take part any more; remove it from the cluster and add it with an empty \
         directory under a new id"
    )]
    LogLost,
    /// The log is shorter than it was.
    #[error(
        "the Raft log ends at entry {found}, but it had reached entry {marked}: its disk has lost acknowledged entries. \
         This node must not take part any more; remove it from the cluster and add it with an empty directory under \
         a new id"
    )]
    TailLost {
        /// Where it had been.
        marked: u64,
        /// Where it ends.
        found: u64,
    },
    /// The log has forgotten a vote.
    #[error(
        "the Raft log has forgotten the vote of term {marked}: its disk has lost what was durable. This node must not \
         take part any more; remove it from the cluster and add it with an empty directory under a new id"
    )]
    VoteLost {
        /// The term.
        marked: u64,
    },
    /// The state cannot take what the log holds.
    #[error(transparent)]
    State(#[from] RaftFailure),
    /// Raft did not start.
    #[error("Raft did not start: {0}")]
    Start(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why Raft stopped by itself. The process must end; whether it may come back depends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RaftFailure {
    /// A bug: every restart of this build would end the same way.
    #[error("applying log entry {index} panicked; this build cannot go past it, so restarting does not help")]
    EntryPanicked {
        /// The entry.
        index: u64,
    },
    /// The disk or a store failed, and is not to be trusted again in this process.
    #[error("the Raft log or the metadata state failed on its disk")]
    Storage,
    /// Raft itself panicked.
    #[error("Raft panicked")]
    Panicked,
    /// It was shut down.
    #[error("Raft was shut down")]
    Stopped,
}

impl RaftEngine {
    /// Opens log and state and starts Raft. A node that was never initialised waits to be found by others, or for
    /// [`RaftHandle::initialise`].
    ///
    /// # Errors
    /// [`RaftOpenError`] says what a human has to do.
    pub async fn open(open: OpenRaft<'_>) -> Result<RaftHandle, RaftOpenError> {
        let OpenRaft { world, node, address, peers, disk, stores, snapshot_entries } = open;
        let scope = world.scope.clone();
        let machine = StateMachine::open(&scope, disk.clone(), stores.clone()).await.map_err(RaftOpenError::Storage)?;
        let opening = scope.blocking(move || stores.open(LOG_STORE)).await;
        let store = opening.map_err(|killed| RaftOpenError::Storage(killed.into()))?;
        let store = store.map_err(|error| RaftOpenError::Storage(io::Error::other(error)))?;
        let log = LogStore::open(&scope, node, disk, store, machine.remembers_entries()).await?;
        machine.outlive_log(log.last_index()).await.map_err(RaftOpenError::Storage)?;
        let released = log.watch_release();
        let network = Network { scope: scope.clone(), peers };
        let config = Arc::new(config(snapshot_entries).map_err(|error| RaftOpenError::Start(Box::new(error)))?);
        // Raft spawns its tasks through the scope of the running task.
        let starting = scope.enter(openraft::Raft::new(node.0, config, network, log, machine.clone())).await;
        let raft = starting.map_err(|error| match machine.failure() {
            Some(failure) => RaftOpenError::State(failure),
            None => RaftOpenError::Start(Box::new(error)),
        })?;
        Ok(Engine::start(scope, node, address, raft, machine, released))
    }
}

/// Makes the directory of the Raft files if it is not there, so that a power cut cannot take it either: an empty state
/// would stand behind a cut log.
fn open_directory(disk: &dyn Disk) -> io::Result<()> {
    disk.create_directory(DIRECTORY)?;
    disk.sync_directory("")
}

fn config(snapshot_entries: u64) -> Result<Config, openraft::ConfigError> {
    let kept = snapshot_entries / KEPT_PART;
    let config = Config {
        cluster_name: "dfs-metadata".to_owned(),
        heartbeat_interval: HEARTBEAT_MS,
        election_timeout_min: ELECTION_MS.0,
        election_timeout_max: ELECTION_MS.1,
        enable_pre_vote: Some(true),
        // A leader that has lost the tail of its log would go on leading without an election.
        enable_leader_restore: Some(false),
        install_snapshot_timeout: SNAPSHOT_MS,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(snapshot_entries),
        max_in_snapshot_log_to_keep: kept,
        replication_lag_threshold: snapshot_entries / LAG_PART,
        purge_batch_size: PURGED_ENTRIES.min(kept),
        max_payload_entries: APPEND_ENTRIES,
        max_append_entries: Some(APPEND_ENTRIES),
        backoff: BACKOFF.to_owned(),
        ..Config::default()
    };
    config.validate()
}

impl From<LogOpenError> for RaftOpenError {
    fn from(error: LogOpenError) -> RaftOpenError {
        match error {
            LogOpenError::OtherNode(found) => RaftOpenError::OtherNode { found },
            LogOpenError::Lost => RaftOpenError::LogLost,
            LogOpenError::TailLost { marked, found } => RaftOpenError::TailLost { marked, found },
            LogOpenError::VoteLost { marked } => RaftOpenError::VoteLost { marked },
            LogOpenError::Io(error) => RaftOpenError::Storage(error),
            LogOpenError::Store(error) => RaftOpenError::Storage(io::Error::other(error)),
            LogOpenError::Record(error) => RaftOpenError::Storage(error.into()),
            LogOpenError::Killed(killed) => RaftOpenError::Storage(killed.into()),
        }
    }
}

impl std::fmt::Debug for OpenRaft<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenRaft").field("node", &self.node).field("address", &self.address).finish_non_exhaustive()
    }
}
