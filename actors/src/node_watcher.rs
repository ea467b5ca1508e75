//! `NodeWatcher`: who of the storage nodes is there, by the leader's own evidence.
//!
//! *Owns* the evidence (`dfs_core::liveness::Watch`), which begins anew whenever this node becomes leader: a new
//! leader listens first. *Receives* admitted requests for [`Service::Membership`], questions of the `NamespaceActor`,
//! and changes of leadership. *Asks* the Raft engine and the `RepairScheduler`, in tasks of their own. *Supervised by*
//! the metadata tree, after the `RaftActor`. *Bounds*: the route's permits; evidence is one small record per node, with
//! a short history. While it leads, it looks at all registered nodes every [`LOOK_EVERY`], notes and logs how their
//! health has changed.
//!
//! Metadata never opens a connection to a storage node: all it knows, nodes told with their beats.

mod membership;

use crate::listener::{Admitted, Route};
use crate::raft::RaftHandle;
use crate::repair_scheduler::{Observation, RepairHandle};
use crate::seat::{AskError, Seat};
use dfs_core::id::{Incarnation, NodeId, Role};
use dfs_core::liveness::{Transition, Watch};
use dfs_core::meta::{self, NodeRecord};
use dfs_core::placement::Candidate;
use dfs_core::repair::NodeFacts;
use dfs_core::settings::ClusterSettings;
use dfs_core::slowness::SlowPeer;
use dfs_core::wire::Service;
use dfs_core::wire::metadata::{Health, StorageLoad};
use dfs_transport::world::{OwnedTask, Scope};
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Registrations and beats that are served at once.
const MEMBERSHIP_REQUESTS_MAX: usize = 4096;
/// How long after a barrier that failed a new leader tries the next one.
const BARRIER_RETRY: Duration = Duration::from_millis(200);
/// How often a leader looks at how the registered nodes are.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What the leader has heard of one storage node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeEvidence {
    /// How it is.
    pub health: Health,
    /// The time since its last beat to this leader, in which that was listening.
    pub silent: Option<Duration>,
    /// Its load, as its last beat told.
    pub load: Option<StorageLoad>,
    /// The life of its process that beat last.
    pub incarnation: Option<Incarnation>,
    /// Whether its last beat said that it stops.
    pub leaving: bool,
    /// The last changes of its health that this leader noted, oldest first.
    pub history: Vec<Transition>,
    /// The nodes for which it is slow, with what they told.
    pub slow_for: Vec<(NodeId, SlowPeer)>,
    /// Whether that is believed.
    pub slow: bool,
}

/// What the watcher is told.
pub enum WatcherMessage {
    /// A registration or a beat.
    Serve(Admitted),
    /// This node became leader of a cluster with these settings.
    Leads(ClusterSettings),
    /// The settings of the cluster that this node leads have changed to these.
    Changed(ClusterSettings),
    /// This node does not lead.
    Follows,
    /// A beat of the current incarnation arrived, or its registration.
    Heard(NodeHeard),
    /// The nodes that are registered.
    Registered(Vec<NodeRecord>),
    /// Who of these may be given work?
    Candidates(Vec<NodeId>, RpcReplyPort<Vec<Candidate>>),
    /// How are these?
    Evidence(Vec<NodeId>, RpcReplyPort<Vec<NodeEvidence>>),
}

/// A beat, or a registration, that counts.
#[derive(Clone, Debug)]
pub struct NodeHeard {
    /// Who beat.
    pub node: NodeId,
    /// The life of its process.
    pub incarnation: Incarnation,
    /// Its load.
    pub load: StorageLoad,
    /// Whether it said that it stops.
    pub leaving: bool,
    /// Peers that are slow for it.
    pub slow: Vec<SlowPeer>,
}

/// A handle to the watcher.
#[derive(Clone, Debug, Default)]
pub struct WatcherHandle(pub Seat<WatcherMessage>);

impl WatcherHandle {
    /// Those of `nodes` that may be given work; nobody while this node does not lead.
    ///
    /// # Errors
    /// The watcher is being restarted, or did not answer by `deadline`.
    pub async fn candidates(&self, nodes: Vec<NodeId>, deadline: Instant) -> Result<Vec<Candidate>, AskError> {
        self.0.ask(|port| WatcherMessage::Candidates(nodes, port), deadline).await
    }

    /// What is known of each of `nodes`, in their order.
    ///
    /// # Errors
    /// As [`WatcherHandle::candidates`].
    pub async fn evidence(&self, nodes: Vec<NodeId>, deadline: Instant) -> Result<Vec<NodeEvidence>, AskError> {
        self.0.ask(|port| WatcherMessage::Evidence(nodes, port), deadline).await
    }
}

/// The way to the watcher, for storage nodes only.
#[must_use]
pub fn route(seat: &Seat<WatcherMessage>) -> Route {
    let roles = &[Role::Storage];
    Route::new(Service::Membership, "NodeWatcher", roles, MEMBERSHIP_REQUESTS_MAX, seat, WatcherMessage::Serve)
}

/// Watches storage nodes.
pub struct NodeWatcher;

/// What the watcher needs.
#[derive(Clone)]
pub struct WatcherArguments {
    /// The owner of its tasks.
    pub scope: Scope,
    /// The Raft engine.
    pub raft: RaftHandle,
    /// Who hands out orders.
    pub repair: RepairHandle,
}

/// What the watcher keeps.
pub struct WatcherState {
    arguments: WatcherArguments,
    /// The origin of the durations that the evidence is kept in.
    started: Instant,
    /// The evidence, while this node leads.
    watch: Option<Watch>,
    /// The settings that it goes by, while this node leads.
    settings: Option<ClusterSettings>,
    /// Settings that it goes by from a time on, once every node has heard of them.
    awaited: Option<(Duration, ClusterSettings)>,
    /// Reads who is registered, while this node leads.
    #[allow(dead_code, reason = "held: it ends with the leadership, or with the actor")]
    looking: Option<OwnedTask<()>>,
    #[allow(dead_code, reason = "held: it ends with the actor")]
    leadership: OwnedTask<()>,
}

impl WatcherState {
    fn leads(&mut self, settings: ClusterSettings, me: &ActorRef<WatcherMessage>) {
        // It may have ceased to lead since it was told last, and not have been told of that.
        self.arguments.repair.deposed();
        self.watch = Some(Watch::new(&settings, self.started.elapsed()));
        self.settings = Some(settings);
        self.awaited = None;
        let arguments = self.arguments.clone();
        let looking = look(arguments.raft, arguments.scope.clone(), me.clone());
        self.looking = Some(arguments.scope.spawn(looking).owned());
    }

    /// Goes by the longer of the old and the new windows, until every node must have beaten once more.
    fn change(&mut self, settings: ClusterSettings, now: Duration) {
        let (Some(watch), Some(old)) = (&mut self.watch, &self.settings) else { return };
        let lenient = settings.lenient(old);
        watch.follow(&lenient);
        self.awaited = Some((now.saturating_add(old.suspect_after()), settings));
        self.settings = Some(lenient);
    }

    /// Goes by awaited settings if it is time.
    fn follow_awaited(&mut self, now: Duration) {
        if let Some((_, settings)) = self.awaited.take_if(|(at, _)| *at <= now) {
            self.watch.iter_mut().for_each(|watch| watch.follow(&settings));
            self.settings = Some(settings);
        }
    }

    fn evidence(&self, node: NodeId) -> NodeEvidence {
        let now = self.started.elapsed();
        match &self.watch {
            None => NodeEvidence {
                health: Health::Unknown,
                silent: None,
                load: None,
                incarnation: None,
                leaving: false,
                history: Vec::new(),
                slow_for: Vec::new(),
                slow: false,
            },
            Some(watch) => NodeEvidence {
                health: watch.health(node, now),
                silent: watch.silent_for(node, now),
                load: watch.load(node),
                incarnation: watch.incarnation(node),
                leaving: watch.is_leaving(node),
                history: watch.history(node),
                slow_for: watch.slow_for(node, now),
                slow: watch.is_slow(node, now),
            },
        }
    }

    fn heard(&mut self, heard: NodeHeard) {
        let Some(watch) = &mut self.watch else { return };
        let now = self.started.elapsed();
        watch.told_of_slow(heard.node, heard.slow, now);
        if watch.heard(heard.node, heard.incarnation, now, heard.load) && heard.leaving {
            watch.leaves(heard.node, heard.incarnation);
        }
        self.observe([heard.node]);
    }

    /// Tells the `RepairScheduler` how the nodes are.
    fn tell_repair(&self, nodes: &[NodeRecord]) {
        let Some(watch) = &self.watch else { return };
        let now = self.started.elapsed();
        let facts = |record: &NodeRecord| {
            let load = watch.load(record.node).unwrap_or_default();
            let facts = NodeFacts {
                address: record.address,
                incarnation: record.incarnation,
                generation: record.generation,
                health: watch.health(record.node, now),
                available_bytes: load.available_bytes,
                writes: load.writes,
                takes_chunks: !load.refuses_chunks,
            };
            (record.node, facts)
        };
        let nodes = nodes.iter().map(facts).collect();
        self.arguments.repair.observed(Observation { listened: watch.has_listened(now), nodes });
    }

    /// Notes and logs how the health of nodes has changed.
    fn observe(&mut self, nodes: impl IntoIterator<Item = NodeId>) {
        let Some(watch) = &mut self.watch else { return };
        for (node, change) in watch.observe(nodes, self.started.elapsed(), self.arguments.raft.cluster_time()) {
            let Transition { from, to, cause, .. } = change;
            if matches!(to, Health::Suspect | Health::Dead) {
                tracing::warn!(%node, ?from, ?to, %cause, "a storage node is not as it was");
            } else {
                tracing::info!(%node, ?from, ?to, %cause, "a storage node is alive");
            }
        }
    }
}

impl Actor for NodeWatcher {
    type Msg = WatcherMessage;
    type State = WatcherState;
    type Arguments = WatcherArguments;

    async fn pre_start(
        &self,
        me: ActorRef<WatcherMessage>,
        arguments: WatcherArguments,
    ) -> Result<WatcherState, ActorProcessingErr> {
        // What an earlier life of this actor has told is over.
        arguments.repair.deposed();
        let following = follow_leadership(arguments.raft.clone(), arguments.scope.clone(), me);
        let leadership = arguments.scope.spawn(following).owned();
        let started = Instant::now();
        Ok(WatcherState { arguments, started, watch: None, settings: None, awaited: None, looking: None, leadership })
    }

    async fn handle(
        &self,
        me: ActorRef<WatcherMessage>,
        message: WatcherMessage,
        state: &mut WatcherState,
    ) -> Result<(), ActorProcessingErr> {
        let now = state.started.elapsed();
        if let Some(held_up) = state.watch.as_mut().and_then(|watch| watch.goes_on(now)) {
            tracing::warn!(?held_up, "this node stood still; what it did not hear meanwhile is nobody's silence");
        }
        state.follow_awaited(now);
        match message {
            WatcherMessage::Serve(admitted) => {
                let arguments = state.arguments.clone();
                admitted.serve(&state.arguments.scope, |inbound| async move { arguments.serve(inbound, &me).await });
            }
            WatcherMessage::Leads(settings) => state.leads(settings, &me),
            WatcherMessage::Changed(settings) => state.change(settings, now),
            WatcherMessage::Follows => {
                (state.watch, state.settings, state.awaited, state.looking) = (None, None, None, None);
                state.arguments.repair.deposed();
            }
            WatcherMessage::Heard(heard) => state.heard(heard),
            WatcherMessage::Registered(nodes) => {
                state.observe(nodes.iter().map(|record| record.node));
                state.tell_repair(&nodes);
            }
            WatcherMessage::Candidates(nodes, port) => {
                let candidates = state.watch.as_ref().map_or_else(Vec::new, |watch| watch.candidates(nodes, now));
                let _ = port.send(candidates);
            }
            WatcherMessage::Evidence(nodes, port) => {
                let _ = port.send(nodes.into_iter().map(|node| state.evidence(node)).collect());
            }
        }
        Ok(())
    }
}

/// Tells the watcher again and again who is registered, as this leader's state has it.
async fn look(raft: RaftHandle, scope: Scope, me: ActorRef<WatcherMessage>) {
    loop {
        let view = raft.view();
        // A state that cannot be read ends the Raft engine, which is noticed elsewhere.
        if let Ok(Ok(nodes)) = scope.blocking(move || meta::all_nodes(&view)).await {
            let _ = me.send_message(WatcherMessage::Registered(nodes));
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Tells the watcher when this node begins to lead a cluster, and when it ceases to.
async fn follow_leadership(raft: RaftHandle, scope: Scope, me: ActorRef<WatcherMessage>) {
    let mut states = raft.states();
    let mut leads_in: Option<u64> = None;
    let mut told: Option<ClusterSettings> = None;
    loop {
        let (leading, term, present) = {
            let state = states.borrow_and_update();
            (state.leads(), state.term, state.settings.clone())
        };
        let mut known = true;
        if !leading {
            if let Some(term) = leads_in.take() {
                tracing::info!(term, "this node leads the metadata cluster no more");
                let _ = me.send_message(WatcherMessage::Follows);
            }
        } else if leads_in != Some(term) {
            // Settings are read behind a barrier, so that a new leader has applied what its predecessor committed.
            let view = raft.view();
            if raft.read_index().await.is_ok()
                && let Ok(Ok(Some((_, settings)))) = scope.blocking(move || meta::cluster(&view)).await
            {
                leads_in = Some(term);
                tracing::info!(term, "this node leads the metadata cluster");
                told = Some(settings.clone());
                let _ = me.send_message(WatcherMessage::Leads(settings));
            } else {
                // Nothing need change before a quorum answers again.
                known = false;
            }
        } else if let Some(present) = present.filter(|present| told.as_ref() != Some(present)) {
            tracing::info!(settings = ?present, "the settings of the cluster have changed");
            told = Some(present.clone());
            let _ = me.send_message(WatcherMessage::Changed(present));
        }
        let change = states.changed();
        let changed = if known { change.await } else { timeout(BARRIER_RETRY, change).await.unwrap_or(Ok(())) };
        if changed.is_err() {
            return;
        }
    }
}
