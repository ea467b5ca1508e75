//! `RepairScheduler`: hands out the orders that heal the cluster, and takes their receipts.
//!
//! *Owns* the orders that are under way: in the leader's memory only, because issuing one again after a failover is
//! harmless. *Receives* a [`RepairMessage::Beat`] for every beat that the `NodeWatcher` took from a node of the
//! current incarnation. *Asks* nobody yet. *Supervised by* the metadata tree, after the `NodeWatcher`. *Bounds*: at
//! most [`ORDERS_PER_BEAT_MAX`] orders in one answer.
//!
//! Deliberately absent: the planner. It is a pure function of `dfs-core` that comes with the healing of nodes; until
//! then no order is planned, and nothing anywhere removes a completed replica.

use crate::seat::{AskError, Seat};
use dfs_core::id::NodeId;
use dfs_core::limit::ORDERS_PER_BEAT_MAX;
use dfs_core::wire::membership::{Order, Receipt};
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use std::collections::{BTreeMap, VecDeque};
use tokio::time::Instant;

/// What the scheduler is told.
pub enum RepairMessage {
    /// A node beat: its receipts are taken, and its orders are the answer.
    Beat {
        /// The node.
        node: NodeId,
        /// Proofs of orders that it finished.
        receipts: Vec<Receipt>,
        /// Where its orders go.
        orders: RpcReplyPort<Vec<Order>>,
    },
    /// This node does not lead any more: orders under way are another's business.
    Deposed,
}

/// A handle to the scheduler.
#[derive(Clone, Debug, Default)]
pub struct RepairHandle(pub Seat<RepairMessage>);

impl RepairHandle {
    /// Hands in a node's receipts and takes its orders.
    ///
    /// # Errors
    /// The scheduler is being restarted, or did not answer by `deadline`.
    pub async fn beat(&self, node: NodeId, receipts: Vec<Receipt>, deadline: Instant) -> Result<Vec<Order>, AskError> {
        self.0.ask(|orders| RepairMessage::Beat { node, receipts, orders }, deadline).await
    }

    /// Forgets the orders under way.
    pub fn deposed(&self) {
        let _ = self.0.cast(RepairMessage::Deposed);
    }
}

/// Hands out orders and takes receipts.
pub struct RepairScheduler;

/// The orders that wait for their node's next beat.
#[derive(Default)]
pub struct RepairState {
    waiting: BTreeMap<NodeId, VecDeque<Order>>,
}

impl Actor for RepairScheduler {
    type Msg = RepairMessage;
    type State = RepairState;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<RepairMessage>, (): ()) -> Result<RepairState, ActorProcessingErr> {
        Ok(RepairState::default())
    }

    async fn handle(
        &self,
        _: ActorRef<RepairMessage>,
        message: RepairMessage,
        state: &mut RepairState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            RepairMessage::Beat { node, receipts, orders } => {
                for receipt in receipts {
                    tracing::info!(%node, chunk = %receipt.chunk, epoch = %receipt.epoch, "an order is finished");
                }
                let waiting = state.waiting.entry(node).or_default();
                let next = waiting.drain(..waiting.len().min(ORDERS_PER_BEAT_MAX)).collect();
                let _ = orders.send(next);
            }
            RepairMessage::Deposed => state.waiting.clear(),
        }
        Ok(())
    }
}
