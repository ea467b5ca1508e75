//! The leader's orders at a storage node: copies to be made and copies to be read back.
//!
//! They are done in the order in which they came, a few at once. An order has a time ([`ORDER_WITHIN_MS`]), after which
//! it is given up, begun or not, before the leader plans it anew; one that is not done in time tells nothing. Orders
//! live in memory only.

use super::ReplicatorMessage;
use crate::transfer::Transfers;
use crate::transfer::copy::{CopyError, CopyJob, copy_to};
use crate::transfer::read_back::read_back;
use dfs_core::checksum::Digest;
use dfs_core::id::{ChunkId, Epoch, NodeId};
use dfs_core::limit::{ORDER_WITHIN_MS, ORDERED_COPIES_MAX, ORDERED_VERIFIES_MAX, ORDERS_WAITING_MAX};
use dfs_core::refusal::Refusal;
use dfs_core::wire::NodeAddress;
use dfs_core::wire::membership::{Order, OrderOutcome, OrderTask, Receipt};
use dfs_transport::exchange::CallError;
use dfs_transport::world::OwnedTask;
use ractor::ActorRef;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// What is waited before the further tries of a copy whose target does not take it.
const TRY_AGAIN_AFTER: [Duration; 3] = [Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(4)];

/// One order: which chunk, under which epoch, and to which node if it is to be copied.
pub type OrderKey = (ChunkId, Epoch, Option<NodeId>);

/// The orders of a node.
#[derive(Default)]
pub struct Orders {
    waiting: VecDeque<(OrderKey, Order, Instant)>,
    running: BTreeMap<OrderKey, OwnedTask<()>>,
}

fn key_of(task: &OrderTask) -> OrderKey {
    match task {
        OrderTask::Copy { chunk, epoch, copy, .. } => (*chunk, *epoch, Some(copy.target)),
        OrderTask::Verify { chunk, epoch, .. } => (*chunk, *epoch, None),
    }
}

impl Orders {
    /// Takes an order; one that is here already is not done twice.
    pub fn take(&mut self, order: Order) {
        let key = key_of(&order.task);
        if self.running.contains_key(&key) || self.waiting.iter().any(|(waiting, ..)| *waiting == key) {
            return;
        }
        if self.waiting.len() >= ORDERS_WAITING_MAX {
            tracing::warn!(chunk = %key.0, "too many orders; this one is left to be planned anew");
            return;
        }
        self.waiting.push_back((key, order, Instant::now() + Duration::from_millis(ORDER_WITHIN_MS)));
    }

    /// An order has ended.
    pub fn ended(&mut self, key: &OrderKey) {
        self.running.remove(key);
    }

    /// Starts what waits while there is room.
    pub fn go_on(&mut self, transfers: &Transfers, me: &ActorRef<ReplicatorMessage>) {
        let now = Instant::now();
        self.waiting.retain(|(_, _, until)| now < *until);
        let mut copies = self.running.keys().filter(|(_, _, target)| target.is_some()).count();
        let mut verifies = self.running.len() - copies;
        let mut later = VecDeque::new();
        while let Some((key, order, until)) = self.waiting.pop_front() {
            let (running, most) = match order.task {
                OrderTask::Copy { .. } => (&mut copies, ORDERED_COPIES_MAX),
                OrderTask::Verify { .. } => (&mut verifies, ORDERED_VERIFIES_MAX),
            };
            if *running >= most {
                later.push_back((key, order, until));
                continue;
            }
            *running += 1;
            let (transfers, me) = (transfers.clone(), me.clone());
            let work = {
                let transfers = transfers.clone();
                async move {
                    let receipt = timeout_at(until, execute(&transfers, &order, until)).await.ok().flatten();
                    let _ = me.send_message(ReplicatorMessage::Ordered(key, receipt));
                }
            };
            self.running.insert(key, transfers.scope.spawn(work).owned());
        }
        self.waiting = later;
    }
}

/// Does what is ordered; answers its receipt, unless what happened says nothing about any copy.
async fn execute(transfers: &Transfers, order: &Order, deadline: Instant) -> Option<Receipt> {
    let (chunk, epoch, _) = key_of(&order.task);
    let (copy, outcome) = match &order.task {
        OrderTask::Copy { checksum, address, copy, .. } => {
            let target = NodeAddress { node: copy.target, address: *address };
            let job = CopyJob { chunk, epoch, target, expected: Some(*checksum) };
            let done = copy_with_patience(transfers, job, deadline).await;
            match &done {
                Ok(_) => {
                    tracing::info!(%chunk, %epoch, target = %copy.target, reason = ?copy.reason, "repair made a copy")
                }
                Err(error) => tracing::warn!(%chunk, %epoch, target = %copy.target, %error, "repair made no copy"),
            }
            (Some(*copy), copied(done)?)
        }
        OrderTask::Verify { checksum, .. } => (None, checked(read_back(transfers, chunk, epoch, *checksum).await)?),
    };
    Some(Receipt { mark: order.mark, chunk, epoch, copy, outcome })
}

/// Copies; tries again a little later where the target could not be reached or was busy, as after it has started anew.
async fn copy_with_patience(transfers: &Transfers, job: CopyJob, deadline: Instant) -> Result<Digest, CopyError> {
    let mut pauses = TRY_AGAIN_AFTER.into_iter();
    loop {
        let error = match copy_to(transfers, job, deadline).await {
            Err(CopyError::Target(error)) if error.is_retryable() => error,
            done => return done,
        };
        let Some(pause) = pauses.next() else { return Err(error.into()) };
        sleep(transfers.entropy.jitter(pause)).await;
    }
}

/// What the end of a copy tells.
fn copied(outcome: Result<Digest, CopyError>) -> Option<OrderOutcome> {
    match outcome {
        Ok(read_back) => Some(OrderOutcome::Done { read_back }),
        Err(CopyError::Source(refusal)) => checked(Err(refusal)),
        Err(CopyError::Conflict) => Some(OrderOutcome::TargetConflicts),
        Err(CopyError::Target(CallError::Refused(
            Refusal::ChunkDamaged | Refusal::ChecksumMismatch | Refusal::ConflictingContent,
        ))) => Some(OrderOutcome::TargetConflicts),
        Err(CopyError::Target(_)) => Some(OrderOutcome::TargetFailed),
    }
}

/// What reading a copy tells. A node that stops, or whose disk failed, says nothing about its copies.
fn checked(outcome: Result<Digest, Refusal>) -> Option<OrderOutcome> {
    match outcome {
        Ok(read_back) => Some(OrderOutcome::Done { read_back }),
        Err(Refusal::ChunkMissing) => Some(OrderOutcome::SourceMissing),
        Err(Refusal::ChunkDamaged) => Some(OrderOutcome::SourceDamaged),
        Err(Refusal::ChunkUnreadable) => Some(OrderOutcome::SourceUnreadable),
        Err(_) => None,
    }
}
