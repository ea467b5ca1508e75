//! The outbox: the orders that wait for their node's next beat.
//!
//! The answer to a beat may be lost, and nobody tells the leader. So an order stays here after it was handed out, and is
//! handed out again with a later beat, up to [`ORDER_HAND_OUTS_MAX`] times, until its receipt is there or its lease has
//! ended. A node does an order once that it has in mind already.
//!
//! It is bounded by the leases: what these do not want any more goes. Orders that are handed out together, or again,
//! all carry the newest mark of their node's orders, because a node refuses an order with a lower one than it has seen.

use super::{Leases, Nodes};
use crate::id::NodeId;
use crate::limit::{ORDER_HAND_OUT_AGAIN_MS, ORDER_HAND_OUTS_MAX, ORDERS_PER_BEAT_MAX};
use crate::wire::membership::{Order, OrderMark, OrderTask};
use crate::wire::metadata::Health;
use std::collections::BTreeMap;
use std::time::Duration;

const AGAIN: Duration = Duration::from_millis(ORDER_HAND_OUT_AGAIN_MS);

/// The orders that wait for their nodes.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    nodes: BTreeMap<NodeId, Waiting>,
}

/// The orders of one node.
#[derive(Clone, Debug)]
struct Waiting {
    /// The newest mark of them.
    mark: OrderMark,
    /// In the order in which they were planned.
    orders: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    task: OrderTask,
    /// When it may be handed out.
    due: Duration,
    /// How often it was.
    hand_outs: u32,
}

impl Outbox {
    /// Nothing waits.
    #[must_use]
    pub fn new() -> Outbox {
        Outbox::default()
    }

    /// An order is planned.
    pub fn put(&mut self, node: NodeId, order: Order, now: Duration) {
        let Order { mark, task } = order;
        let waiting = self.nodes.entry(node).or_insert(Waiting { mark, orders: Vec::new() });
        waiting.mark = waiting.mark.max(mark);
        waiting.orders.retain(|entry| entry.task != task);
        waiting.orders.push(Entry { task, due: now, hand_outs: 0 });
    }

    /// How many orders wait for a node, or for a sign that it has them.
    #[cfg(test)]
    pub(super) fn waiting(&self, node: NodeId) -> usize {
        self.nodes.get(&node).map_or(0, |waiting| waiting.orders.len())
    }

    /// A node beats: these are its orders that are due and still wanted. Their time begins.
    pub fn hand_out(&mut self, node: NodeId, leases: &mut Leases, now: Duration) -> Vec<Order> {
        let Some(waiting) = self.nodes.get_mut(&node) else { return Vec::new() };
        let mut orders = Vec::new();
        waiting.orders.retain_mut(|entry| {
            if entry.due > now || orders.len() >= ORDERS_PER_BEAT_MAX {
                return leases.wants(node, &entry.task);
            }
            if !leases.hand_out(node, &entry.task, now) {
                return false;
            }
            orders.push(Order { mark: waiting.mark, task: entry.task.clone() });
            (entry.due, entry.hand_outs) = (now + AGAIN, entry.hand_outs + 1);
            entry.hand_outs < ORDER_HAND_OUTS_MAX
        });
        if waiting.orders.is_empty() {
            self.nodes.remove(&node);
        }
        orders
    }

    /// Lets go what waits for nodes that are dead.
    pub fn observe(&mut self, nodes: &Nodes) {
        self.nodes.retain(|node, _| nodes.get(node).is_some_and(|node| node.health != Health::Dead));
    }
}
