//! `RepairScheduler`: has the copies made that are missing, and takes the receipts.
//!
//! *Owns* what the leader has in mind of repair: which groups to read ([`Agenda`]), which need something ([`Backlog`]),
//! which orders are under way ([`Leases`]) and which wait for their node's next beat. All of it is memory of one
//! leadership: issuing an order again after a failover is harmless. *Receives* from the `NodeWatcher` how the nodes are
//! (every second), the beats that it took, and their receipts once they are recorded. *Asks* the Raft engine's view, in
//! rounds: one task at a time that reads groups. *Supervised by* the metadata tree, before the `NodeWatcher`. *Bounds*:
//! those of `dfs_core::repair`; a round reads at most [`REPAIR_PAGE_MAX`] groups twice; at most
//! [`ORDERS_PER_BEAT_MAX`](dfs_core::limit::ORDERS_PER_BEAT_MAX) orders in one answer.
//!
//! The decisions are `dfs_core::repair`'s. Nothing here, or anywhere, removes a completed replica.

mod round;

use crate::raft::RaftHandle;
use crate::seat::{AskError, Seat};
use dfs_core::id::NodeId;
use dfs_core::limit::REPAIR_PAGE_MAX;
use dfs_core::repair::{Agenda, Backlog, Leases, Nodes, NotPlanned, Outbox, RepairSummary, Situation, assess, plan};
use dfs_core::wire::membership::{CopyReason, Order, OrderMark, OrderOutcome, Receipt};
use dfs_core::wire::metadata::Health;
use dfs_transport::world::{OwnedTask, Scope};
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use round::Round;
use std::time::Duration;
use tokio::time::Instant;

/// When a group is looked at again whose orders are under way, or that waits for others.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// When a group is looked at again that nobody can help at the moment. A node that comes makes it due at once.
const LOOK_AGAIN_STUCK: Duration = Duration::from_secs(30);

/// How a leader sees the storage nodes.
#[derive(Clone, Debug)]
pub struct Observation {
    /// Whether it has listened for long enough to judge by silence.
    pub listened: bool,
    /// The nodes.
    pub nodes: Nodes,
}

/// What the scheduler is told.
pub enum RepairMessage {
    /// This is how the nodes are.
    Observed(Observation),
    /// A round has read what it was to read.
    Read(Box<Round>),
    /// A node beat: its orders are the answer.
    Beat(NodeId, RpcReplyPort<Vec<Order>>),
    /// Receipts of a node are about to be recorded: they come back as they may be.
    Judge(Vec<Receipt>, RpcReplyPort<Vec<Receipt>>),
    /// Receipts of a node are recorded.
    Recorded(NodeId, Vec<Receipt>),
    /// How does repair get on?
    Summary(RpcReplyPort<RepairSummary>),
    /// This node does not lead any more: orders under way are another's business.
    Deposed,
}

/// A handle to the scheduler.
#[derive(Clone, Debug, Default)]
pub struct RepairHandle(pub Seat<RepairMessage>);

impl RepairHandle {
    /// Takes a node's orders.
    ///
    /// # Errors
    /// The scheduler is being restarted, or did not answer by `deadline`.
    pub async fn orders(&self, node: NodeId, deadline: Instant) -> Result<Vec<Order>, AskError> {
        self.0.ask(|orders| RepairMessage::Beat(node, orders), deadline).await
    }

    /// Asks which copies receipts may take the place of, as this leader sees the nodes now. What comes back is what is
    /// to be recorded.
    ///
    /// # Errors
    /// As [`RepairHandle::orders`].
    pub async fn judge(&self, receipts: Vec<Receipt>, deadline: Instant) -> Result<Vec<Receipt>, AskError> {
        self.0.ask(|judged| RepairMessage::Judge(receipts, judged), deadline).await
    }

    /// How repair gets on; nothing while this node does not lead.
    ///
    /// # Errors
    /// As [`RepairHandle::orders`].
    pub async fn summary(&self, deadline: Instant) -> Result<RepairSummary, AskError> {
        self.0.ask(RepairMessage::Summary, deadline).await
    }

    /// Tells that receipts of a node are recorded.
    pub fn recorded(&self, node: NodeId, receipts: Vec<Receipt>) {
        // What a restart forgets is planned anew, and found done.
        let _ = self.0.cast(RepairMessage::Recorded(node, receipts));
    }

    /// Tells how the nodes are.
    pub fn observed(&self, observation: Observation) {
        let _ = self.0.cast(RepairMessage::Observed(observation));
    }

    /// Forgets the orders under way.
    pub fn deposed(&self) {
        let _ = self.0.cast(RepairMessage::Deposed);
    }
}

/// Has the copies made that are missing.
pub struct RepairScheduler;

/// What the scheduler needs.
#[derive(Clone)]
pub struct RepairArguments {
    /// The owner of its tasks.
    pub scope: Scope,
    /// The Raft engine.
    pub raft: RaftHandle,
}

/// What the scheduler keeps.
pub struct RepairState {
    arguments: RepairArguments,
    /// The origin of the durations that everything is kept in.
    started: Instant,
    mind: Mind,
}

/// What one leadership has in mind.
#[derive(Default)]
struct Mind {
    /// The nodes as they were seen last; nothing while this node does not lead.
    seen: Option<Observation>,
    agenda: Agenda,
    backlog: Backlog,
    leases: Leases,
    /// The orders that wait for their node's next beat.
    outbox: Outbox,
    /// The round that reads, while there is one.
    reading: Option<OwnedTask<()>>,
    done: Done,
}

/// What was done under this leadership.
#[derive(Default)]
struct Done {
    copies: u64,
    bytes: u64,
    failed: u64,
    /// When the present work began, and the bytes that were made until then.
    pace_since: Option<(Duration, u64)>,
}

impl RepairState {
    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// How the nodes are now: what cannot be done any more ends, and who comes or goes makes everything due.
    fn observed(&mut self, observation: Observation, me: &ActorRef<RepairMessage>) {
        let now = self.now();
        let mind = &mut self.mind;
        mind.done.failed += mind.leases.expire(&observation.nodes, now) as u64;
        mind.agenda.observe(&observation.nodes);
        mind.outbox.observe(&observation.nodes);
        if mind.seen.as_ref().is_none_or(|seen| has_changed(seen, &observation)) {
            mind.backlog.hurry_all(now);
        }
        mind.seen = Some(observation);
        self.read(me);
    }

    /// Begins a round, unless one is under way or there is nothing to read.
    fn read(&mut self, me: &ActorRef<RepairMessage>) {
        let now = self.now();
        let mind = &mut self.mind;
        if mind.reading.is_some() || mind.seen.is_none() {
            return;
        }
        let may_plan = mind.leases.begin_round();
        let due = if may_plan { mind.backlog.due(now, REPAIR_PAGE_MAX) } else { Vec::new() };
        let page = mind.agenda.next(now);
        if due.is_empty() && page.is_none() {
            return;
        }
        let (arguments, me) = (self.arguments.clone(), me.clone());
        let reading = async move {
            let round = Round::read(&arguments, due, page).await;
            let _ = me.send_message(RepairMessage::Read(Box::new(round)));
        };
        self.mind.reading = Some(self.arguments.scope.spawn(reading).owned());
    }

    /// Plans what a round has read.
    fn plan(&mut self, round: Round, me: &ActorRef<RepairMessage>) {
        let now = self.now();
        let mind = &mut self.mind;
        mind.reading = None;
        let (Some(seen), Some(read)) = (&mind.seen, round.read) else { return };
        if let Some(page) = round.page {
            mind.agenda.read(page, read.last, now);
        }
        // What was due and is not there any more needs nothing.
        for place in
            round.due.iter().filter(|place| !read.groups.iter().any(|group| (group.file, group.group) == **place))
        {
            mind.backlog.forget(*place);
        }
        let mut needy = Vec::new();
        for group in read.groups {
            let since = mind.backlog.note(&group, assess(&group, &seen.nodes), now);
            needy.extend(since.map(|since| (group, since)));
        }
        let time = self.arguments.raft.cluster_time();
        let situation = Situation { nodes: &seen.nodes, listened: seen.listened, now, time };
        let plan = plan(&needy, &situation, &mut mind.leases);
        let waits = plan.waits();
        for (group, _) in &needy {
            let place = (group.file, group.group);
            let waits = waits.get(&place).copied();
            mind.backlog.planned(place, waits, now + look_again(waits));
        }
        for (node, task) in plan.orders {
            mind.outbox.put(node, Order { mark: round.mark, task }, now);
        }
        if mind.leases.copies() == 0 {
            mind.done.pace_since = None;
        } else {
            mind.done.pace_since.get_or_insert((now, mind.done.bytes));
        }
        // The groups of a dead node are read without a pause; the sweep goes on with the next observation.
        if mind.agenda.is_urgent() {
            self.read(me);
        }
    }

    /// Answers a beat with the node's orders, unless nobody waits for them any more.
    fn hand_out(&mut self, node: NodeId, orders: RpcReplyPort<Vec<Order>>) {
        if !orders.is_closed() {
            let now = self.now();
            let _ = orders.send(self.mind.outbox.hand_out(node, &mut self.mind.leases, now));
        }
    }

    /// A copy takes the place of another only if this leader still sees that one's node dead.
    fn judge(&self, mut receipts: Vec<Receipt>) -> Vec<Receipt> {
        let nodes = self.mind.seen.as_ref().map(|seen| &seen.nodes);
        let is_dead =
            |node: NodeId| nodes.and_then(|nodes| nodes.get(&node)).is_some_and(|node| node.health == Health::Dead);
        for copy in receipts.iter_mut().filter_map(|receipt| receipt.copy.as_mut()) {
            if copy.reason != CopyReason::StoreLost {
                copy.replaces = copy.replaces.filter(|replaced| is_dead(*replaced));
            }
        }
        receipts
    }

    fn recorded(&mut self, node: NodeId, receipts: &[Receipt], me: &ActorRef<RepairMessage>) {
        let now = self.now();
        for receipt in receipts {
            let made = self.mind.leases.settle(node, receipt, now);
            self.mind.done.copies += u64::from(made.is_some());
            self.mind.done.bytes += made.unwrap_or(0);
            let was_ordered = receipt.mark != OrderMark::NONE;
            self.mind.done.failed += u64::from(was_ordered && !matches!(receipt.outcome, OrderOutcome::Done { .. }));
            self.mind.backlog.hurry((receipt.chunk.file, receipt.chunk.index.group()), now);
        }
        self.read(me);
    }

    fn summary(&self) -> RepairSummary {
        let (mind, now) = (&self.mind, self.now());
        if mind.seen.as_ref().is_none_or(|seen| !seen.listened) {
            return RepairSummary::default();
        }
        let mut summary = RepairSummary {
            listened: true,
            // What it saw is old news while groups of a node that has died since are still to be read.
            swept: mind.agenda.swept().filter(|_| !mind.agenda.is_urgent()).map(|swept| now.saturating_sub(swept)),
            more: mind.backlog.is_full(),
            copies_under_way: mind.leases.copies() as u64,
            verifies_under_way: mind.leases.verifies() as u64,
            copies_made: mind.done.copies,
            bytes_made: mind.done.bytes,
            orders_failed: mind.done.failed,
            held_back: mind.backlog.waits(),
            files_below: mind.backlog.files_with(|needs| needs.chunks_below > 0),
            files_unavailable: mind.backlog.files_with(|needs| needs.chunks_unavailable > 0),
            ..RepairSummary::default()
        };
        let mut bytes_to_copy = 0;
        for needs in mind.backlog.needs() {
            bytes_to_copy += needs.bytes_to_copy;
            summary.chunks_below += u64::from(needs.chunks_below);
            summary.chunks_unavailable += u64::from(needs.chunks_unavailable);
            summary.copies_missing += u64::from(needs.copies_missing);
            summary.bytes_missing += needs.bytes_missing;
        }
        summary.eta = mind.done.pace_since.and_then(|(since, bytes)| {
            let made = mind.done.bytes.checked_sub(bytes).filter(|made| *made > 0)?;
            let seconds = now.saturating_sub(since).as_secs_f64() * bytes_to_copy as f64 / made as f64;
            Duration::try_from_secs_f64(seconds).ok()
        });
        summary
    }
}

/// Whether something may be possible now that was not.
fn has_changed(before: &Observation, now: &Observation) -> bool {
    let of = |seen: &Observation| -> Vec<_> {
        let one = |(node, facts): (&NodeId, &dfs_core::repair::NodeFacts)| {
            (*node, facts.incarnation, facts.health, facts.takes_chunks)
        };
        seen.nodes.iter().map(one).collect()
    };
    before.listened != now.listened || of(before) != of(now)
}

/// When a group is looked at again.
fn look_again(waits: Option<(NotPlanned, u32)>) -> Duration {
    match waits {
        Some((why, _)) if why.is_stuck() => LOOK_AGAIN_STUCK,
        Some(_) | None => LOOK_AGAIN,
    }
}

impl Actor for RepairScheduler {
    type Msg = RepairMessage;
    type State = RepairState;
    type Arguments = RepairArguments;

    async fn pre_start(
        &self,
        _: ActorRef<RepairMessage>,
        arguments: RepairArguments,
    ) -> Result<RepairState, ActorProcessingErr> {
        Ok(RepairState { arguments, started: Instant::now(), mind: Mind::default() })
    }

    async fn handle(
        &self,
        me: ActorRef<RepairMessage>,
        message: RepairMessage,
        state: &mut RepairState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            RepairMessage::Observed(observation) => state.observed(observation, &me),
            RepairMessage::Read(round) => state.plan(*round, &me),
            RepairMessage::Beat(node, orders) => state.hand_out(node, orders),
            RepairMessage::Judge(receipts, judged) => drop(judged.send(state.judge(receipts))),
            RepairMessage::Recorded(node, receipts) => state.recorded(node, &receipts, &me),
            RepairMessage::Summary(summary) => drop(summary.send(state.summary())),
            RepairMessage::Deposed => state.mind = Mind::default(),
        }
        Ok(())
    }
}
