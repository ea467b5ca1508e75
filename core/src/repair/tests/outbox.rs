//! Orders reach their nodes, also where an answer is lost.

use super::*;
use crate::limit::{ORDER_HAND_OUT_AGAIN_MS, ORDER_HAND_OUTS_MAX, ORDER_LEASE_MS, ORDERS_PER_BEAT_MAX};
use crate::wire::membership::Order;

const AGAIN: Duration = Duration::from_millis(ORDER_HAND_OUT_AGAIN_MS);

fn mark(index: u64) -> OrderMark {
    OrderMark { term: 1, index }
}

/// Small chunks that nodes 1 and 2 have and node 3 gets: what node 1 is to send, and what node 2.
fn planned(chunks: u32) -> (Nodes, Leases, Outbox) {
    let nodes = nodes(&[alive(), alive(), alive()]);
    let chunks = (0..chunks).map(|index| ChunkFacts { length: 1, ..chunk(1, index, &[on(1), on(2)]) }).collect();
    let mut leases = Leases::new();
    let mut outbox = Outbox::new();
    for (node, task) in plan_for(&[group(1, chunks)], &nodes, &mut leases).orders {
        outbox.put(node, Order { mark: mark(7), task }, HOUR);
    }
    (nodes, leases, outbox)
}

#[test]
fn an_order_of_which_nothing_is_heard_is_handed_out_again() {
    let (nodes, mut leases, mut outbox) = planned(1);
    let first = outbox.hand_out(NodeId(1), &mut leases, HOUR);
    assert_eq!(first.len(), 1);
    let almost = HOUR + AGAIN.checked_sub(Duration::from_millis(1)).unwrap();
    assert_eq!(outbox.hand_out(NodeId(1), &mut leases, almost), [], "the node may well have it");
    let mut last = HOUR;
    for _ in 1..ORDER_HAND_OUTS_MAX {
        last += AGAIN;
        assert_eq!(outbox.hand_out(NodeId(1), &mut leases, last), first);
    }
    assert_eq!(outbox.hand_out(NodeId(1), &mut leases, last + AGAIN), [], "its node does not do it");
    assert_eq!(outbox.waiting(NodeId(1)), 0);
    // Whoever took it last has as long for it as any other.
    let until = last + Duration::from_millis(ORDER_LEASE_MS);
    assert_eq!(leases.expire(&nodes, until.checked_sub(Duration::from_millis(1)).unwrap()), 0);
    assert_eq!(leases.expire(&nodes, until), 1);
}

#[test]
fn an_order_that_is_done_or_has_ended_is_handed_out_no_more() {
    let (_, mut leases, mut outbox) = planned(2);
    let orders = outbox.hand_out(NodeId(1), &mut leases, HOUR);
    let [order] = &orders[..] else { panic!("{orders:?}") };
    assert_eq!(outbox.waiting(NodeId(1)), 1);
    leases.settle(NodeId(1), &receipt(&order.task, OrderOutcome::TargetFailed), HOUR);
    assert_eq!(outbox.hand_out(NodeId(1), &mut leases, HOUR), []);
    assert_eq!(outbox.waiting(NodeId(1)), 0, "nothing of it is kept");
    let mut ended = Leases::new();
    assert_eq!(outbox.hand_out(NodeId(2), &mut ended, HOUR), []);
    assert_eq!(outbox.waiting(NodeId(2)), 0);
}

#[test]
fn an_order_that_is_handed_out_again_has_the_newest_mark() {
    let (nodes, mut leases, mut outbox) = planned(1);
    outbox.hand_out(NodeId(1), &mut leases, HOUR);
    let later = [group(2, vec![chunk(2, 0, &[on(1)])])];
    for (node, task) in plan_for(&later, &nodes, &mut leases).orders {
        outbox.put(node, Order { mark: mark(9), task }, HOUR + AGAIN);
    }
    let orders = outbox.hand_out(NodeId(1), &mut leases, HOUR + AGAIN);
    assert_eq!(orders.iter().map(|order| order.mark.index).collect::<Vec<_>>(), [9, 9, 9], "a node refuses older ones");
}

#[test]
fn an_order_that_is_planned_anew_waits_once() {
    let (nodes, mut leases, mut outbox) = planned(1);
    let order = outbox.hand_out(NodeId(1), &mut leases, HOUR).remove(0);
    assert_eq!(leases.expire(&nodes, HOUR * 2), 1);
    let only: Nodes = nodes.into_iter().filter(|(node, _)| *node != NodeId(2)).collect();
    let again = plan_for(&[group(1, vec![chunk(1, 0, &[on(1)])])], &only, &mut leases);
    assert_eq!(again.orders, [(NodeId(1), order.task.clone())]);
    outbox.put(NodeId(1), Order { mark: mark(8), task: order.task.clone() }, HOUR * 2);
    assert_eq!(outbox.hand_out(NodeId(1), &mut leases, HOUR * 2), [Order { mark: mark(8), ..order }]);
}

#[test]
fn an_answer_holds_no_more_orders_than_it_may_and_the_dead_get_none() {
    let (mut nodes, mut leases, mut outbox) = planned(1);
    for file in 100.. {
        if outbox.waiting(NodeId(1)) > ORDERS_PER_BEAT_MAX {
            break;
        }
        let ChunkFacts { chunk, epoch, checksum, .. } = chunk(file, 0, &[]);
        leases.grant_verify(chunk, (NodeId(1), Incarnation(1)), HOUR);
        let task = OrderTask::Verify { chunk, epoch, checksum };
        outbox.put(NodeId(1), Order { mark: mark(7), task }, HOUR);
    }
    assert_eq!(outbox.hand_out(NodeId(1), &mut leases, HOUR).len(), ORDERS_PER_BEAT_MAX);
    assert_eq!(outbox.hand_out(NodeId(1), &mut leases, HOUR).len(), 1);
    nodes.insert(NodeId(1), with_health(Health::Dead));
    outbox.observe(&nodes);
    assert_eq!(outbox.waiting(NodeId(1)), 0);
}
