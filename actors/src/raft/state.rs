//! What Raft says of itself, in words of our own, and the task that keeps it up to date.

use super::RaftFailure;
use super::clock::Clock;
use super::state_machine::{StateMachine, Summary};
use super::types::{StoredMembership, TypeConfig};
use dfs_core::id::{ClusterId, NodeId};
use dfs_core::settings::ClusterSettings;
use dfs_core::time::ClusterTime;
use dfs_core::wire::NodeAddress;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::Fatal;
use openraft::metrics::RaftServerMetrics;
use openraft::type_config::alias::WatchReceiverOf;
use openraft::{RaftMetrics, ServerState};
use std::sync::Arc;
use tokio::sync::watch;

/// What a member does at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RaftRole {
    /// It takes part in nothing yet: it is new, or does not vote.
    #[default]
    Learner,
    /// It follows a leader, or waits for one.
    Follower,
    /// It asks for votes.
    Candidate,
    /// It leads.
    Leader,
}

/// How Raft is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RaftState {
    /// What this member does.
    pub role: RaftRole,
    /// The term.
    pub term: u64,
    /// The leader as this member knows it.
    pub leader: Option<NodeAddress>,
    /// The voters.
    pub members: Vec<NodeAddress>,
    /// The index of the last entry applied here.
    pub applied: u64,
    /// Cluster time as applied here.
    pub cluster_time: ClusterTime,
    /// The cluster, once it is initialised.
    pub cluster: Option<ClusterId>,
    /// Its settings, as applied here.
    pub settings: Option<ClusterSettings>,
    /// Whether it runs, and if not, why.
    pub running: Result<(), RaftFailure>,
}

/// How far a member is, as the leader knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemberProgress {
    /// The highest index that is known to be durable on it.
    pub matched: Option<u64>,
    /// Milliseconds since the sending of what it acknowledged last.
    pub silent_ms: Option<u64>,
}

/// How far the log of this member is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogProgress {
    /// Its last entry.
    pub last: Option<u64>,
    /// The last entry that is known to be committed.
    pub committed: Option<u64>,
    /// The last entry in the snapshot.
    pub snapshot: Option<u64>,
    /// The last entry that was cut off the log.
    pub cut: Option<u64>,
}

impl RaftState {
    /// Whether this member leads.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.role == RaftRole::Leader && self.running.is_ok()
    }

    pub(super) fn new(metrics: &RaftMetrics<TypeConfig>, summary: Summary, failure: Option<RaftFailure>) -> RaftState {
        let membership = &metrics.membership_config;
        RaftState {
            role: match metrics.state {
                ServerState::Learner | ServerState::Shutdown => RaftRole::Learner,
                ServerState::Follower => RaftRole::Follower,
                ServerState::Candidate => RaftRole::Candidate,
                ServerState::Leader => RaftRole::Leader,
            },
            term: metrics.current_term,
            leader: metrics.current_leader.and_then(|leader| address_of(membership, leader)),
            members: membership.voter_ids().filter_map(|voter| address_of(membership, voter)).collect(),
            applied: summary.applied.unwrap_or(0),
            cluster_time: summary.time,
            cluster: summary.cluster,
            settings: summary.settings,
            running: match &metrics.running_state {
                Ok(()) => Ok(()),
                Err(Fatal::StorageError(_)) => Err(failure.unwrap_or(RaftFailure::Storage)),
                Err(Fatal::Panicked) => Err(failure.unwrap_or(RaftFailure::Panicked)),
                Err(Fatal::Stopped) => Err(failure.unwrap_or(RaftFailure::Stopped)),
            },
        }
    }
}

fn address_of(membership: &StoredMembership, node: u64) -> Option<NodeAddress> {
    let member = membership.get_node(&node)?;
    Some(NodeAddress { node: NodeId(node), address: member.address })
}

/// Keeps `states` up to date until Raft stops. It wakes when something changes that a state tells of, not with every tick
/// and heartbeat, which the metrics as a whole do.
pub(super) async fn watch_raft(
    mut metrics: WatchReceiverOf<TypeConfig, RaftMetrics<TypeConfig>>,
    mut server: WatchReceiverOf<TypeConfig, RaftServerMetrics<TypeConfig>>,
    machine: StateMachine,
    clock: Arc<Clock>,
    states: watch::Sender<RaftState>,
) {
    let mut summaries = machine.summary();
    let mut running = true;
    loop {
        running &= follow(&mut metrics, &mut server).await;
        let summary = summaries.borrow_and_update().clone();
        let mut state = RaftState::new(&metrics.borrow_and_update(), summary, machine.failure());
        if let Err(failure) = state.running
            && failure != RaftFailure::Stopped
        {
            tracing::error!(error = %failure, "Raft stopped; this node must end");
        }
        // Raft that stops says why, unless it panics.
        if !running && state.running.is_ok() {
            state.running = Err(machine.failure().unwrap_or(RaftFailure::Stopped));
            state.role = RaftRole::Learner;
        }
        if state.leads() {
            // The clock of a leader starts when it begins to lead, not with its first write.
            clock.read(state.term, state.cluster_time);
        }
        publish(&states, state);
        if states.borrow().running.is_err() {
            return;
        }
        tokio::select! {
            changed = server.changed() => running = changed.is_ok(),
            // The sender lives as long as the machine.
            _ = summaries.changed() => {}
        }
    }
}

/// Waits until `metrics` are as new as `server`: Raft publishes the latter, which are a part of them, just before. Either may
/// have changed again by the time it is looked at, so both are looked at anew with each change. False if Raft has ended.
async fn follow(
    metrics: &mut WatchReceiverOf<TypeConfig, RaftMetrics<TypeConfig>>,
    server: &mut WatchReceiverOf<TypeConfig, RaftServerMetrics<TypeConfig>>,
) -> bool {
    loop {
        let part = server.borrow_and_update().clone();
        let agree = |whole: &RaftMetrics<TypeConfig>| {
            (whole.state, whole.current_leader, &whole.vote) == (part.state, part.current_leader, &part.vote)
                && whole.membership_config == part.membership_config
        };
        if agree(&metrics.borrow_and_update()) {
            return true;
        }
        let changed = tokio::select! {
            biased;
            changed = metrics.changed() => changed,
            changed = server.changed() => changed,
        };
        if changed.is_err() {
            return false;
        }
    }
}

fn publish(states: &watch::Sender<RaftState>, state: RaftState) {
    states.send_if_modified(|present| {
        let modified = *present != state;
        *present = state;
        modified
    });
}
