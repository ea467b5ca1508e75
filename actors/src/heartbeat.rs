//! `HeartbeatActor`: tells the metadata leader that this storage node lives, and takes its orders.
//!
//! *Owns* the node's place in the cluster (its incarnation), and the late reports and receipts that wait for a beat.
//! *Receives* late reports from transfers and from the `ReplicatorActor`, receipts from the latter, and the outcome of
//! its own calls. *Asks* the metadata leader, and the store what it has seen to be damaged. *Supervised by* the storage tree. *Bounds*: one call at a time; at most
//! [`LATE_REPORTS_KEPT_MAX`] reports and [`RECEIPTS_WAITING_MAX`] receipts are kept until they are taken, the newest are
//! dropped beyond (the copies stay; what was ordered is planned anew, and found done).
//!
//! A node registers once in its life; the answer gives it an incarnation, which every beat carries. A refusal that
//! says that a newer incarnation has registered, or that the cluster is another one, ends the node: the actor fails,
//! and fails again when restarted, until its tree gives up with that reason.
//!
//! A node that stops in order says so with a beat of its own, and with every beat after it: it gets no new work then.

use crate::chunk_store::{ChunkStore, StoreError};
use crate::metadata_link::MetadataLink;
use crate::meter::Histogram;
use crate::replicator::ReplicatorHandle;
use crate::seat::{AskError, Seat};
use crate::transfer::PeerPaces;
use dfs_core::id::{BootId, Incarnation};
use dfs_core::limit::{LATE_REPORTS_KEPT_MAX, LATE_REPORTS_PER_BEAT_MAX, RECEIPTS_PER_BEAT_MAX, RECEIPTS_WAITING_MAX};
use dfs_core::wire::membership::{Beat, BeatAnswer, LateReport, Order, OrderMark, Receipt, Register, Registered};
use dfs_core::wire::metadata::StorageLoad;
use dfs_transport::endpoint::Endpoint;
use dfs_transport::exchange::CallError;
use dfs_transport::world::{OwnedTask, World};
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// How long one registration or beat may take, over all metadata nodes.
const CALL_WITHIN: Duration = Duration::from_secs(5);
/// What is waited after a call that failed.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// What the heartbeat is told.
pub enum HeartbeatMessage {
    /// Copies that metadata does not know of.
    Late(Box<LateReport>),
    /// The next beat is due.
    Due,
    /// An order ended.
    Receipt(Box<Receipt>),
    /// A registration was answered.
    Registered(MetadataLink, Result<Registered, CallError>),
    /// A beat was answered.
    Answered {
        /// The way to the leader, for the next call.
        link: MetadataLink,
        /// Whether the beat said that the node stops.
        leaving: bool,
        /// The answer.
        outcome: Result<BeatAnswer, CallError>,
    },
    /// The node is about to stop: the leader is told, then whoever asks.
    Leave(RpcReplyPort<()>),
}

/// A handle to the heartbeat.
#[derive(Clone, Debug, Default)]
pub struct HeartbeatHandle(pub Seat<HeartbeatMessage>);

impl HeartbeatHandle {
    /// Tells metadata of copies with one of the next beats.
    pub fn late_report(&self, report: LateReport) {
        if self.0.cast(HeartbeatMessage::Late(Box::new(report))).is_err() {
            tracing::warn!("a late report is lost while the heartbeat restarts");
        }
    }

    /// Tells metadata how an order ended, with one of the next beats.
    pub fn receipt(&self, receipt: Receipt) {
        // What a restart loses is planned anew.
        let _ = self.0.cast(HeartbeatMessage::Receipt(Box::new(receipt)));
    }

    /// Tells the leader that this node is about to stop.
    ///
    /// # Errors
    /// The leader did not hear it by `deadline`: it will notice by itself.
    pub async fn leave(&self, deadline: Instant) -> Result<(), AskError> {
        self.0.ask(HeartbeatMessage::Leave, deadline).await
    }
}

/// What a heartbeat needs.
#[derive(Clone)]
pub struct HeartbeatArguments {
    /// The world of the node.
    pub world: World,
    /// Its endpoint: it is told the cluster and the incarnation.
    pub endpoint: Endpoint,
    /// Its chunks: their load is told, and the cluster is kept with them.
    pub store: ChunkStore,
    /// Who copies what orders ask for.
    pub replicator: ReplicatorHandle,
    /// How long other storage nodes take, which is told.
    pub paces: PeerPaces,
    /// Drawn when the process started.
    pub boot: BootId,
    /// Where others reach this node.
    pub address: SocketAddr,
    /// Where metadata nodes may be found.
    pub seeds: Vec<SocketAddr>,
    /// Set once the node has registered.
    pub ready: Arc<AtomicBool>,
    /// Counts its beats.
    pub beats: Arc<BeatMeter>,
    /// Why the cluster refuses this process, once it has: it never registers again.
    pub refused: Arc<OnceLock<String>>,
}

/// What is counted of beats.
#[derive(Debug, Default)]
pub struct BeatMeter {
    /// Beats that a leader answered, and how long that took, the search for it included.
    pub answered: Histogram,
    /// Beats that nobody answered.
    pub failed: AtomicU64,
}

/// Tells that the node lives.
pub struct HeartbeatActor;

/// What a heartbeat keeps.
pub struct HeartbeatState {
    arguments: HeartbeatArguments,
    incarnation: Incarnation,
    interval: Duration,
    late: VecDeque<LateReport>,
    receipts: VecDeque<Receipt>,
    /// The highest order seen: lower ones are from a deposed leader.
    seen: Option<OrderMark>,
    /// Who waits until the leader knows that the node stops, once it is to stop.
    left: Option<Vec<RpcReplyPort<()>>>,
    /// The way to the leader, while no call is under way, and when the next beat is due.
    idle: Option<(MetadataLink, Instant)>,
    #[allow(dead_code, reason = "held: the call, or the wait for it, ends with the actor")]
    calling: OwnedTask<()>,
}

impl HeartbeatArguments {
    /// A refusal that no other metadata node would take back ends this actor, which does not start again, and with it
    /// the node.
    fn fail_if_final(&self, error: &CallError) -> Result<(), ActorProcessingErr> {
        match error {
            CallError::Refused(refusal) if !refusal.is_retryable() => {
                let refused = self.refused.get_or_init(|| format!("the cluster refuses this node: {refusal}"));
                Err(refused.clone().into())
            }
            _ => Ok(()),
        }
    }

    fn register(&self, me: &ActorRef<HeartbeatMessage>, mut link: MetadataLink, at: Instant) -> OwnedTask<()> {
        let (arguments, me) = (self.clone(), me.clone());
        let call = async move {
            sleep_until(at).await;
            let request = Register {
                boot: arguments.boot,
                store: arguments.store.id(),
                cluster: arguments.store.cluster(),
                address: arguments.address,
                load: arguments.store.load(),
            };
            let outcome = link.call(&request, Instant::now() + CALL_WITHIN).await;
            let _ = me.send_message(HeartbeatMessage::Registered(link, outcome));
        };
        self.world.scope.spawn(call).owned()
    }
}

impl HeartbeatState {
    /// Waits with the next beat until then.
    fn wait(&mut self, me: &ActorRef<HeartbeatMessage>, link: MetadataLink, until: Instant) {
        self.idle = Some((link, until));
        let me = me.clone();
        let ring = async move {
            sleep_until(until).await;
            let _ = me.send_message(HeartbeatMessage::Due);
        };
        self.calling = self.arguments.world.scope.spawn(ring).owned();
    }

    /// Adds what the store has seen to be damaged, whoever read it, unless the receipt of an order tells it already.
    fn add_damaged(&mut self) {
        let store = &self.arguments.store;
        // What has been written anew since is not damaged any more.
        self.receipts.retain(|told| told.mark != OrderMark::NONE || store.is_damaged(told.chunk, told.epoch));
        // Receipts of orders go first.
        let room = RECEIPTS_PER_BEAT_MAX.saturating_sub(self.receipts.len());
        for (chunk, epoch) in store.take_damaged(room) {
            let receipt = Receipt::of_damage(chunk, epoch);
            let is_told = |told: &Receipt| (told.chunk, told.epoch, told.outcome) == (chunk, epoch, receipt.outcome);
            if !self.receipts.iter().any(is_told) {
                self.receipts.push_back(receipt);
            }
        }
    }

    /// Beats, unless a call is under way; the next beat follows it then.
    fn beat(&mut self, me: &ActorRef<HeartbeatMessage>) {
        let Some((mut link, _)) = self.idle.take() else { return };
        self.add_damaged();
        let load = StorageLoad {
            pending_copies: self.arguments.replicator.pending() + self.late.len() as u64,
            ..self.arguments.store.load()
        };
        let leaving = self.left.is_some();
        let request = Beat {
            incarnation: self.incarnation,
            load,
            late_reports: self.late.iter().take(LATE_REPORTS_PER_BEAT_MAX).cloned().collect(),
            receipts: self.receipts.iter().take(RECEIPTS_PER_BEAT_MAX).cloned().collect(),
            leaving,
            slow: self.arguments.paces.slow(),
        };
        let (me, beats) = (me.clone(), self.arguments.beats.clone());
        let call = async move {
            let began = Instant::now();
            let outcome = link.call(&request, began + CALL_WITHIN).await;
            match &outcome {
                Ok(_) => beats.answered.record(began.elapsed()),
                Err(_) => drop(beats.failed.fetch_add(1, Ordering::Relaxed)),
            }
            let _ = me.send_message(HeartbeatMessage::Answered { link, leaving, outcome });
        };
        self.calling = self.arguments.world.scope.spawn(call).owned();
    }

    /// Beats soon, where the next beat is not due before.
    fn hurry(&mut self, me: &ActorRef<HeartbeatMessage>) {
        let soon = self.soon();
        if let Some((link, _)) = self.idle.take_if(|(_, due)| *due > soon) {
            self.wait(me, link, soon);
        }
    }

    fn soon(&self) -> Instant {
        Instant::now() + self.arguments.world.entropy.jitter(RETRY_AFTER)
    }

    async fn registered(&mut self, registered: &Registered) -> Result<(), StoreError> {
        let arguments = &self.arguments;
        arguments.store.set_cluster(registered.cluster).await?;
        arguments.endpoint.set_cluster(registered.cluster);
        arguments.endpoint.set_incarnation(registered.incarnation);
        self.incarnation = registered.incarnation;
        self.interval = registered.settings.beat_interval();
        if !arguments.ready.swap(true, Ordering::Relaxed) {
            tracing::info!(cluster = %registered.cluster, incarnation = %self.incarnation, "registered with the cluster");
        }
        Ok(())
    }

    /// Does what the leader orders, unless a newer leader has ordered already.
    fn obey(&mut self, orders: Vec<Order>) {
        for order in orders {
            if self.seen.is_some_and(|seen| order.mark < seen) {
                tracing::warn!(mark = ?order.mark, seen = ?self.seen, "an order of a deposed leader is refused");
                continue;
            }
            self.seen = Some(order.mark);
            self.arguments.replicator.order(order);
        }
    }
}

impl Actor for HeartbeatActor {
    type Msg = HeartbeatMessage;
    type State = HeartbeatState;
    type Arguments = HeartbeatArguments;

    async fn pre_start(
        &self,
        me: ActorRef<HeartbeatMessage>,
        arguments: HeartbeatArguments,
    ) -> Result<HeartbeatState, ActorProcessingErr> {
        // To register once more would begin another life, and end that of whoever has taken this node's place.
        if let Some(refused) = arguments.refused.get() {
            return Err(refused.clone().into());
        }
        arguments.store.tell_damaged_again();
        let world = &arguments.world;
        let link = MetadataLink::new(arguments.endpoint.peers(), world.entropy.clone(), arguments.seeds.clone());
        let calling = arguments.register(&me, link, Instant::now());
        Ok(HeartbeatState {
            arguments,
            incarnation: Incarnation(0),
            interval: Duration::from_secs(1),
            late: VecDeque::new(),
            receipts: VecDeque::new(),
            seen: None,
            left: None,
            idle: None,
            calling,
        })
    }

    async fn handle(
        &self,
        me: ActorRef<HeartbeatMessage>,
        message: HeartbeatMessage,
        state: &mut HeartbeatState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            HeartbeatMessage::Late(report) => {
                if state.late.len() < LATE_REPORTS_KEPT_MAX {
                    state.late.push_back(*report);
                } else {
                    tracing::warn!(chunk = %report.chunk, "too many late reports; this one is dropped");
                }
            }
            HeartbeatMessage::Due => state.beat(&me),
            HeartbeatMessage::Receipt(receipt) => {
                if state.receipts.len() < RECEIPTS_WAITING_MAX {
                    state.receipts.push_back(*receipt);
                    state.hurry(&me);
                } else {
                    tracing::warn!(chunk = %receipt.chunk, "too many receipts; this one is dropped");
                }
            }
            HeartbeatMessage::Registered(mut link, Ok(registered)) => {
                link.learn(registered.members.iter().map(|member| member.address));
                match state.registered(&registered).await {
                    Ok(()) => state.wait(&me, link, Instant::now()),
                    // A new node has to keep whose it is before it may serve, and will once there is room.
                    Err(error @ StoreError::Full) => {
                        tracing::warn!(%error, "cannot keep the cluster's id yet; trying on");
                        state.calling = state.arguments.register(&me, link, state.soon());
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            HeartbeatMessage::Registered(link, Err(error)) => {
                state.arguments.fail_if_final(&error)?;
                tracing::info!(%error, "cannot register yet; trying on");
                state.calling = state.arguments.register(&me, link, state.soon());
            }
            HeartbeatMessage::Answered { mut link, leaving, outcome: Ok(answer) } => {
                link.learn(answer.members.iter().map(|member| member.address));
                let taken = (answer.reports_taken as usize).min(state.late.len());
                state.late.drain(..taken);
                let taken = (answer.receipts_taken as usize).min(state.receipts.len());
                state.receipts.drain(..taken);
                state.interval = answer.settings.beat_interval();
                state.obey(answer.orders);
                if leaving {
                    state.left.iter_mut().flat_map(|waiting| waiting.drain(..)).for_each(|port| drop(port.send(())));
                }
                let is_told = state.late.is_empty() && state.receipts.is_empty() && leaving == state.left.is_some();
                let next = if is_told { Instant::now() + state.interval } else { state.soon() };
                state.wait(&me, link, next);
            }
            HeartbeatMessage::Answered { link, outcome: Err(error), .. } => {
                state.arguments.fail_if_final(&error)?;
                tracing::debug!(%error, "a beat was not answered; trying on");
                let soon = state.soon();
                state.wait(&me, link, soon);
            }
            // A node that has not registered has nobody to tell.
            HeartbeatMessage::Leave(port) if state.incarnation == Incarnation(0) => drop(port.send(())),
            HeartbeatMessage::Leave(port) => {
                state.left.get_or_insert_default().push(port);
                state.beat(&me);
            }
        }
        Ok(())
    }
}
