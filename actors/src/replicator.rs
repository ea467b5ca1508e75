//! `ReplicatorActor`: brings copies to where they are missing.
//!
//! *Owns* the list of pending copies: chunks that this node holds durably as their primary while a node of the
//! placement does not; and the leader's orders (`orders`). *Receives* [`ReplicatorMessage::CatchUp`] from transfers,
//! orders from the `HeartbeatActor`, and the outcome of its own copies. *Asks* the target nodes, through streams.
//! *Supervised by* the storage tree. *Bounds*: at most [`PENDING_COPIES_MAX`](dfs_core::limit::PENDING_COPIES_MAX)
//! pending copies (beyond, the newest are left to repair) and [`CATCH_UPS_MAX`] copies at once; a node that does not take
//! its copies is tried ever more seldom, with jitter, and does not hold up those of others (`pending`). Orders have bounds
//! of their own.
//!
//! The list lives in memory only: what it loses in a crash is found under-replicated by metadata.

mod orders;
mod pending;

use crate::seat::Seat;
use crate::transfer::Transfers;
use crate::transfer::copy::{CopyError, CopyJob, copy_to};
use dfs_core::checksum::Digest;
use dfs_core::id::{ChunkId, Epoch, NodeId};
use dfs_core::limit::CATCH_UPS_MAX;
use dfs_core::wire::NodeAddress;
use dfs_core::wire::membership::{LateReport, Order, Receipt};
use dfs_transport::world::OwnedTask;
use orders::{OrderKey, Orders};
use pending::{Lines, Turn};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// How long one copy may take.
const COPY_WITHIN: Duration = Duration::from_secs(60);
/// What a node that does not take its copies is left alone for, first and at most.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));

/// A chunk that some nodes of its placement do not hold yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingCopies {
    /// The chunk.
    pub chunk: ChunkId,
    /// Its epoch.
    pub epoch: Epoch,
    /// Its bytes.
    pub length: u32,
    /// Its checksum.
    pub checksum: Digest,
    /// The nodes that miss it.
    pub targets: Vec<NodeAddress>,
}

/// What the replicator is told.
pub enum ReplicatorMessage {
    /// Copies are missing.
    CatchUp(PendingCopies),
    /// The leader orders something.
    Order(Order),
    /// A copy ended.
    Copied(CopyKey, Result<Digest, CopyError>),
    /// An order ended; where there is something to tell, with its receipt.
    Ordered(OrderKey, Option<Receipt>),
    /// A node that failed is due again.
    Due,
}

/// A handle to the replicator.
#[derive(Clone, Debug, Default)]
pub struct ReplicatorHandle {
    /// Where it sits.
    pub seat: Seat<ReplicatorMessage>,
    /// How many copies it has in mind.
    pending: Arc<AtomicU64>,
}

impl ReplicatorHandle {
    /// Hands over copies that are missing.
    pub fn catch_up(&self, pending: PendingCopies) {
        if self.seat.cast(ReplicatorMessage::CatchUp(pending)).is_err() {
            tracing::warn!("pending copies are left to repair while the replicator restarts");
        }
    }

    /// How many copies are still to be made.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.pending.load(Ordering::Relaxed)
    }

    /// Hands over an order of the leader.
    pub fn order(&self, order: Order) {
        // A lost order is planned again.
        let _ = self.seat.cast(ReplicatorMessage::Order(order));
    }
}

/// One copy: which chunk, under which epoch, to which node.
pub type CopyKey = (ChunkId, Epoch, NodeId);

/// Brings copies to where they are missing.
pub struct ReplicatorActor;

/// What a replicator keeps.
pub struct ReplicatorState {
    transfers: Transfers,
    pending: Lines,
    running: BTreeMap<CopyKey, (Turn, OwnedTask<()>)>,
    orders: Orders,
    #[allow(dead_code, reason = "held: the alarm ends with the actor")]
    alarm: Option<OwnedTask<()>>,
}

impl ReplicatorState {
    fn catch_up(&mut self, pending: PendingCopies) {
        let PendingCopies { chunk, epoch, length, targets, .. } = pending;
        for target in targets {
            if !self.pending.add(chunk, epoch, target, length, Instant::now()) {
                tracing::warn!(%chunk, target = %target.node, "too many pending copies; this one is left to repair");
            }
        }
    }

    /// Starts what is due while there is room, and sets the alarm for what is due next.
    fn go_on(&mut self, me: &ActorRef<ReplicatorMessage>) {
        let now = Instant::now();
        while self.running.len() < CATCH_UPS_MAX
            && let Some(turn) = self.pending.begin_next(now)
        {
            let (transfers, me) = (self.transfers.clone(), me.clone());
            let work = async move {
                let Turn { chunk, epoch, target, .. } = turn;
                let job = CopyJob { chunk, epoch, target, expected: None };
                let outcome = copy_to(&transfers, job, Instant::now() + COPY_WITHIN).await;
                let _ = me.send_message(ReplicatorMessage::Copied(turn.key(), outcome));
            };
            self.running.insert(turn.key(), (turn, self.transfers.scope.spawn(work).owned()));
        }
        self.alarm = self.pending.due_next(now).map(|at| {
            let me = me.clone();
            let ring = async move {
                sleep_until(at).await;
                let _ = me.send_message(ReplicatorMessage::Due);
            };
            self.transfers.scope.spawn(ring).owned()
        });
    }

    fn copied(&mut self, key: CopyKey, outcome: Result<Digest, CopyError>) {
        let Some((turn, _)) = self.running.remove(&key) else { return };
        let (chunk, epoch, target) = key;
        let now = Instant::now();
        match outcome {
            Ok(checksum) => {
                tracing::info!(%chunk, %target, "a pending copy is caught up");
                let (length, holders) = (turn.length, vec![self.transfers.node, target]);
                self.pending.done(&turn, now);
                self.transfers.heartbeat.late_report(LateReport { chunk, epoch, length, checksum, holders });
            }
            // Another content or a source that is gone will not get better by trying.
            Err(error @ (CopyError::Source(_) | CopyError::Conflict)) => {
                tracing::warn!(%chunk, %target, %error, "a pending copy is given up");
                self.pending.given_up(&turn);
            }
            Err(CopyError::Target(error)) => {
                tracing::debug!(%chunk, %target, %error, "a pending copy failed; trying again later");
                let pause = |failures: u32| {
                    let pause = BACK_OFF.0.saturating_mul(1 << failures.min(10)).min(BACK_OFF.1);
                    self.transfers.entropy.jitter(pause)
                };
                let left = self.pending.failed(&turn, now, pause);
                if left > 0 {
                    tracing::warn!(%target, copies = left, "a node has not taken its pending copies for long; they are left to repair");
                }
            }
        }
    }
}

impl Actor for ReplicatorActor {
    type Msg = ReplicatorMessage;
    type State = ReplicatorState;
    type Arguments = Transfers;

    async fn pre_start(
        &self,
        _: ActorRef<ReplicatorMessage>,
        transfers: Transfers,
    ) -> Result<ReplicatorState, ActorProcessingErr> {
        transfers.replicator.pending.store(0, Ordering::Relaxed);
        Ok(ReplicatorState {
            transfers,
            pending: Lines::default(),
            running: BTreeMap::new(),
            orders: Orders::default(),
            alarm: None,
        })
    }

    async fn handle(
        &self,
        me: ActorRef<ReplicatorMessage>,
        message: ReplicatorMessage,
        state: &mut ReplicatorState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ReplicatorMessage::CatchUp(pending) => state.catch_up(pending),
            ReplicatorMessage::Order(order) => state.orders.take(order),
            ReplicatorMessage::Ordered(key, receipt) => {
                state.orders.ended(&key);
                if let Some(receipt) = receipt {
                    state.transfers.heartbeat.receipt(receipt);
                }
            }
            ReplicatorMessage::Copied(key, outcome) => state.copied(key, outcome),
            ReplicatorMessage::Due => {}
        }
        state.go_on(&me);
        state.orders.go_on(&state.transfers, &me);
        state.transfers.replicator.pending.store(state.pending.count() as u64, Ordering::Relaxed);
        Ok(())
    }
}
