//! The handle to a running engine: what the rest of the node may ask of Raft.

use super::clock::Clock;
use super::log_store::Released;
use super::serve::Reception;
use super::state::{LogProgress, MemberProgress, RaftState, watch_raft};
use super::state_machine::StateMachine;
use super::types::{Member, TypeConfig};
use super::{RaftFailure, StateView};
use dfs_core::id::{ClusterId, NodeId};
use dfs_core::limit::METADATA_REQUESTS_MAX;
use dfs_core::meta::{Command, Entry, Outcome};
use dfs_core::refusal::Refusal;
use dfs_core::settings::{ClusterSettings, InvalidSettings};
use dfs_core::time::ClusterTime;
use dfs_core::wire::NodeAddress;
use dfs_core::wire::metadata::Leadership;
use dfs_transport::world::{OwnedTask, Scope};
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ClientWriteError, Fatal, ForwardToLeader, InitializeError, LinearizableReadError, RaftError};
use openraft::raft::ReadPolicy;
use openraft::{Instant as _, RaftMetrics};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::time::timeout;

/// How long a write may take. Whether one that takes longer will be done is unknown.
const WRITE_WAIT: Duration = Duration::from_secs(5);
/// How long a read may wait for a quorum and for the state to catch up.
const READ_WAIT: Duration = Duration::from_secs(1);
/// How long a quorum may have been silent before a leader takes no more writes: it has probably been replaced, and
/// what it would write would only fill its log.
const QUORUM_SILENCE_MAX: Duration = Duration::from_secs(2);
/// How long the first election and the first entry may take.
const INITIALISE_WAIT: Duration = Duration::from_secs(10);

/// How long those who use log and state may take to notice that Raft was shut down.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

pub(super) struct Engine {
    pub(super) scope: Scope,
    pub(super) raft: openraft::Raft<TypeConfig, StateMachine>,
    pub(super) machine: StateMachine,
    /// Lets one snapshot come in at a time.
    pub(super) reception: Reception,
    node: NodeId,
    address: SocketAddr,
    clock: Arc<Clock>,
    log: Released,
    writes: Arc<Semaphore>,
    states: watch::Receiver<RaftState>,
    _watcher: OwnedTask<()>,
}

/// A handle to the engine. Clones are the same engine.
#[derive(Clone)]
pub struct RaftHandle(Arc<Engine>);

/// Why a cluster cannot be initialised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InitialiseError {
    /// There is a cluster already.
    #[error("this metadata node belongs to a cluster already; initialising is done once")]
    AlreadyInitialised,
    /// This node is not among the members, or has another address there.
    #[error("the members do not include this node at its own address")]
    NotAMember,
    /// The settings contradict each other.
    #[error(transparent)]
    Settings(#[from] InvalidSettings),
    /// The other members did not answer in time. Initialising may be tried again here.
    #[error("a majority of the members did not answer; start them, then initialise again on this node")]
    NoMajority,
    /// Raft stopped meanwhile.
    #[error(transparent)]
    Failed(#[from] RaftFailure),
}

impl Engine {
    pub(super) fn start(
        scope: Scope,
        node: NodeId,
        address: SocketAddr,
        raft: openraft::Raft<TypeConfig, StateMachine>,
        machine: StateMachine,
        log: Released,
    ) -> RaftHandle {
        let metrics = raft.metrics();
        let present = RaftState::new(&metrics.borrow_watched(), machine.summary().borrow().clone(), None);
        let (sender, states) = watch::channel(present);
        let clock = Arc::new(Clock::default());
        let watching = watch_raft(metrics, raft.server_metrics(), machine.clone(), clock.clone(), sender);
        let watcher = scope.spawn(watching).owned();
        RaftHandle(Arc::new(Engine {
            scope,
            raft,
            machine,
            reception: Reception::default(),
            node,
            address,
            clock,
            log,
            writes: Arc::new(Semaphore::new(METADATA_REQUESTS_MAX)),
            states,
            _watcher: watcher,
        }))
    }
}

impl RaftHandle {
    pub(super) fn engine(&self) -> &Engine {
        &self.0
    }

    /// Writes a command to the log, waits until it is applied here, and returns what it answered.
    ///
    /// # Errors
    /// What the command was refused with; [`Refusal::NotLeader`] on any other member than the leader; and
    /// [`Refusal::Unavailable`] without a quorum, where the command may still be done later.
    pub async fn write(&self, command: Command) -> Result<Outcome, Refusal> {
        let permit = self.0.writes.clone().try_acquire_owned().map_err(|_| Refusal::Overloaded)?;
        let entry = {
            let state = self.0.states.borrow();
            self.check_leads(&state)?;
            Entry { time: self.0.clock.read(state.term, state.cluster_time), command }
        };
        entry.check_size()?;
        self.check_quorum()?;
        // The entry is in the log's queue until its outcome is known, also if nobody waits for that any more: so long it
        // has its permit.
        let (told, outcome) = oneshot::channel();
        let raft = self.0.raft.clone();
        self.0.scope.spawn(async move {
            let _ = told.send(raft.client_write(entry).await);
            drop(permit);
        });
        match timeout(WRITE_WAIT, outcome).await {
            Err(_) => Err(Refusal::Unavailable),
            Ok(Err(_)) | Ok(Ok(Err(RaftError::Fatal(_)))) => Err(Refusal::Stopping),
            Ok(Ok(Ok(applied))) => applied.data,
            Ok(Ok(Err(RaftError::APIError(error)))) => Err(match error {
                ClientWriteError::ForwardToLeader(forward) => not_leader(&forward),
                // It may have been done all the same; whoever asks again is told what became of it.
                ClientWriteError::LogEntryDiscarded(_) => Refusal::Unavailable,
                ClientWriteError::ChangeMembershipError(_) | ClientWriteError::PreconditionFailed(_) => {
                    Refusal::Internal
                }
            }),
        }
    }

    /// Refuses unless this member leads, and a quorum has acknowledged that lately.
    ///
    /// # Errors
    /// [`Refusal::NotLeader`] on any other member, [`Refusal::Unavailable`] without a quorum.
    pub fn check_leadership(&self) -> Result<(), Refusal> {
        self.check_leads(&self.0.states.borrow())?;
        self.check_quorum()
    }

    fn check_quorum(&self) -> Result<(), Refusal> {
        if has_quorum(&self.0.raft.metrics().borrow_watched()) { Ok(()) } else { Err(Refusal::Unavailable) }
    }

    /// Waits until what [`RaftHandle::view`] shows is as new as anything that was acknowledged before this call, by
    /// asking a quorum whether this member still leads.
    ///
    /// # Errors
    /// [`Refusal::NotLeader`] on any other member than the leader, [`Refusal::Unavailable`] without a quorum.
    pub async fn read_index(&self) -> Result<(), Refusal> {
        self.check_leads(&self.0.states.borrow())?;
        match timeout(READ_WAIT, self.0.raft.ensure_linearizable(ReadPolicy::ReadIndex)).await {
            Err(_) => Err(Refusal::Unavailable),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(RaftError::Fatal(_))) => Err(Refusal::Stopping),
            Ok(Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(forward)))) => Err(not_leader(&forward)),
            Ok(Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(_)))) => Err(Refusal::Unavailable),
        }
    }

    /// The state as it is applied here now. Reads of it block, and fail once the engine is shut down.
    #[must_use]
    pub fn view(&self) -> StateView {
        self.0.machine.view()
    }

    /// How many jobs wait for each of its workers; for the log: writes that wait to be made durable.
    #[must_use]
    pub fn queues(&self) -> [(&'static str, usize); 2] {
        [("raft-log", self.0.log.waiting()), ("raft-apply", self.0.machine.waiting())]
    }

    /// How Raft is, and whenever that changes.
    #[must_use]
    pub fn states(&self) -> watch::Receiver<RaftState> {
        self.0.states.clone()
    }

    /// How Raft is now.
    #[must_use]
    pub fn state(&self) -> RaftState {
        self.0.states.borrow().clone()
    }

    /// Who leads, and how far this member is, as any client may know.
    #[must_use]
    pub fn leadership(&self) -> Leadership {
        let state = self.state();
        Leadership {
            cluster: state.cluster,
            leader: state.leader,
            members: state.members,
            term: state.term,
            applied: state.applied,
            cluster_time: state.cluster_time,
        }
    }

    /// Whether this member leads, as far as it knows. Whoever relies on it waits for [`RaftHandle::read_index`].
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.0.states.borrow().leads()
    }

    /// Whether the cluster is initialised, as far as this member knows.
    #[must_use]
    pub fn is_initialised(&self) -> bool {
        self.0.states.borrow().cluster.is_some()
    }

    /// Cluster time: on the leader it advances, elsewhere it is what was applied last.
    #[must_use]
    pub fn cluster_time(&self) -> ClusterTime {
        let state = self.0.states.borrow();
        if state.leads() { self.0.clock.read(state.term, state.cluster_time) } else { state.cluster_time }
    }

    /// How far the members are; empty on any other member than the leader.
    #[must_use]
    pub fn member_progress(&self) -> BTreeMap<NodeId, MemberProgress> {
        let metrics = self.0.raft.metrics();
        let metrics = metrics.borrow_watched();
        let (Some(replication), Some(heartbeats)) = (&metrics.replication, &metrics.heartbeat) else {
            return BTreeMap::new();
        };
        let progress = metrics.membership_config.nodes().map(|(id, _)| {
            let matched = replication.get(id).copied().flatten().map(|matched| matched.index);
            let acknowledged = heartbeats.get(id).copied().flatten();
            let silent = acknowledged.map(|at| u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX));
            let own = *id == self.0.node.0;
            let progress = if own {
                MemberProgress { matched: metrics.last_log_index, silent_ms: Some(0) }
            } else {
                MemberProgress { matched, silent_ms: silent }
            };
            (NodeId(*id), progress)
        });
        progress.collect()
    }

    /// How far the log of this member is.
    #[must_use]
    pub fn log_progress(&self) -> LogProgress {
        let metrics = self.0.raft.metrics();
        let metrics = metrics.borrow_watched();
        LogProgress {
            last: metrics.last_log_index,
            committed: metrics.local_committed.map(|committed| committed.index),
            snapshot: metrics.snapshot.map(|snapshot| snapshot.index),
            cut: metrics.purged.map(|cut| cut.index),
        }
    }

    /// Makes a cluster of `members`, which must be running and new. If it fails for want of a majority, it may be tried
    /// again on the same node.
    ///
    /// # Errors
    /// [`InitialiseError`]; [`InitialiseError::AlreadyInitialised`] if there is a cluster already.
    pub async fn initialise(
        &self,
        members: BTreeMap<NodeId, SocketAddr>,
        cluster: ClusterId,
        settings: ClusterSettings,
    ) -> Result<(), InitialiseError> {
        settings.check()?;
        if self.is_initialised() {
            return Err(InitialiseError::AlreadyInitialised);
        }
        if members.get(&self.0.node) != Some(&self.0.address) {
            return Err(InitialiseError::NotAMember);
        }
        let nodes: BTreeMap<u64, Member> =
            members.iter().map(|(id, address)| (id.0, Member { address: *address })).collect();
        match self.0.raft.initialize(nodes).await {
            // A try that was cut short after Raft knew its members goes on with the first entry.
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => {}
            Err(RaftError::APIError(InitializeError::NotInMembers(_))) => return Err(InitialiseError::NotAMember),
            Err(RaftError::Fatal(fatal)) => return Err(failure_of(&fatal).into()),
        }
        let command = Command::Initialise { cluster, settings };
        timeout(INITIALISE_WAIT, self.write_first(command)).await.map_err(|_| InitialiseError::NoMajority)?
    }

    /// Writes the first entry, once this member leads.
    async fn write_first(&self, command: Command) -> Result<(), InitialiseError> {
        let mut states = self.states();
        loop {
            let changed = states.wait_for(|state| state.leads() || state.cluster.is_some() || state.running.is_err());
            let state = changed.await.map_err(|_| RaftFailure::Stopped)?.clone();
            state.running?;
            if state.cluster.is_some() {
                return Err(InitialiseError::AlreadyInitialised);
            }
            match self.write(command.clone()).await {
                Ok(_) => return Ok(()),
                Err(refusal) if refusal.is_retryable() => tokio::time::sleep(Duration::from_millis(50)).await,
                // The command is refused only where another cluster was made meanwhile.
                Err(_) => return Err(InitialiseError::AlreadyInitialised),
            }
        }
    }

    /// Waits until Raft stops, and says why.
    pub async fn failed(&self) -> RaftFailure {
        let mut states = self.states();
        let stopped = states.wait_for(|state| state.running.is_err()).await;
        stopped.ok().and_then(|state| state.running.err()).unwrap_or(RaftFailure::Stopped)
    }

    /// Stops Raft and gives the stores back, so that the engine can be opened again; handles that are left refuse
    /// everything. Views that are held longer than a moment keep the state's store open beyond that.
    pub async fn shutdown(&self) {
        // A core that has ended already is what is wanted.
        let _ = self.0.raft.shutdown().await;
        let state = self.0.machine.close();
        let closed = async {
            while !self.0.log.is_complete() || state.strong_count() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if timeout(CLOSE_WAIT, closed).await.is_err() {
            tracing::warn!("Raft stopped, but its log or state is still in use");
        }
    }

    fn check_leads(&self, state: &RaftState) -> Result<(), Refusal> {
        match state.running {
            Err(_) => Err(Refusal::Stopping),
            Ok(()) if state.leads() => Ok(()),
            Ok(()) => Err(Refusal::NotLeader { leader: state.leader.filter(|leader| leader.node != self.0.node) }),
        }
    }
}

impl std::fmt::Debug for RaftHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RaftHandle({})", self.0.node)
    }
}

fn not_leader(forward: &ForwardToLeader<TypeConfig>) -> Refusal {
    let leader = forward.leader_id.zip(forward.leader_node);
    Refusal::NotLeader { leader: leader.map(|(id, member)| NodeAddress { node: NodeId(id), address: member.address }) }
}

fn failure_of(fatal: &Fatal<TypeConfig>) -> RaftFailure {
    match fatal {
        Fatal::StorageError(_) => RaftFailure::Storage,
        Fatal::Panicked => RaftFailure::Panicked,
        Fatal::Stopped => RaftFailure::Stopped,
    }
}

/// Whether a quorum has acknowledged this leader lately.
fn has_quorum(metrics: &RaftMetrics<TypeConfig>) -> bool {
    let alone = metrics.membership_config.voter_ids().count() <= 1;
    // A leader that nobody has acknowledged yet has only just been elected.
    alone || metrics.last_quorum_acked.is_none_or(|at| at.elapsed() < QUORUM_SILENCE_MAX)
}
