//! What is under way is not planned again, until it has ended.

use super::*;
use crate::limit::{ORDER_AVOID_MS, ORDER_LEASE_MS, REPAIR_COPIES_MAX};

const LEASE: Duration = Duration::from_millis(ORDER_LEASE_MS);

/// A group, and when it was first seen to need something.
type Seen = (GroupFacts, Duration);

/// A chunk that has lost a copy, nodes that can make it anew, and the order for it.
fn ordered() -> (Vec<Seen>, Nodes, Leases, (NodeId, OrderTask)) {
    let nodes = nodes(&[alive(), alive(), with_health(Health::Dead), alive(), alive()]);
    let groups = vec![group(1, vec![chunk(1, 0, &[on(1), on(2), on(3)])])];
    let mut leases = Leases::new();
    let order = plan_for(&groups, &nodes, &mut leases).orders.remove(0);
    (groups, nodes, leases, order)
}

#[test]
fn what_is_under_way_is_not_planned_again() {
    let (groups, nodes, mut leases, _) = ordered();
    let plan = plan_for(&groups, &nodes, &mut leases);
    assert_eq!((plan.orders.len(), reasons(&plan)), (0, vec![NotPlanned::UnderWay]));
    assert_eq!(leases.copies(), 1);
}

#[test]
fn an_order_whose_time_is_over_is_planned_anew() {
    let (groups, nodes, mut leases, (source, order)) = ordered();
    let before = HOUR + LEASE.checked_sub(Duration::from_millis(1)).unwrap();
    assert_eq!(leases.expire(&nodes, before), 0);
    assert!(leases.hand_out(source, &order, before), "its time begins when it is handed out");
    assert_eq!(leases.expire(&nodes, HOUR + LEASE), 0);
    assert_eq!(leases.expire(&nodes, before + LEASE), 1);
    assert!(!leases.hand_out(source, &order, before + LEASE), "what is out of time is not handed out");
    let again = plan_for(&groups, &nodes, &mut leases);
    assert_eq!(again.orders[0].1, order, "as before: the copy may be there");
    assert_ne!(again.orders[0].0, source, "it did not arrive from there");
}

#[test]
fn an_order_whose_source_dies_or_one_of_whose_nodes_starts_anew_is_planned_anew() {
    let (groups, nodes, leases, (source, order)) = ordered();
    let target = copies(&Plan { orders: vec![(source, order)], held_back: vec![] })[0].2.target;
    let mut dead = nodes.clone();
    dead.get_mut(&source).unwrap().health = Health::Dead;
    let anew = |node| {
        let mut nodes = nodes.clone();
        nodes.get_mut(&node).unwrap().incarnation = Incarnation(2);
        nodes
    };
    for nodes in [dead, anew(target), anew(source)] {
        let mut leases = leases.clone();
        assert_eq!(leases.expire(&nodes, HOUR), 1);
        assert!(!copies(&plan_for(&groups, &nodes, &mut leases)).is_empty());
    }
}

#[test]
fn a_recorded_copy_counts_as_under_way_until_the_state_is_read_again() {
    let (groups, nodes, mut leases, (source, order)) = ordered();
    let done = receipt(&order, OrderOutcome::Done { read_back: Digest::of(b"") });
    assert_eq!(leases.settle(source, &done, HOUR), Some(4 << 20));
    assert_eq!(leases.settle(source, &done, HOUR), None, "told twice, made once");
    assert_eq!(reasons(&plan_for(&groups, &nodes, &mut leases)), [NotPlanned::UnderWay], "these facts are older");
    assert!(leases.begin_round());
    assert_eq!((leases.copies(), leases.busy(source)), (0, Default::default()));
    // The facts that are read now have it: nothing is missing, and nothing was left behind.
    let target = done.copy.unwrap().target;
    let repaired = [group(1, vec![chunk(1, 0, &[on(1), on(2), on(target.0)])])];
    assert_eq!(plan_for(&repaired, &nodes, &mut leases), Plan::default());
}

#[test]
fn a_verification_by_a_node_that_starts_anew_is_planned_anew() {
    let mut nodes = nodes(&[alive(), alive()]);
    let groups = [group(1, vec![chunk(1, 0, &[CopyFacts { verified: true, ..on(1) }, on(2)])])];
    let mut leases = Leases::new();
    assert_eq!(verifies(&plan_for(&groups, &nodes, &mut leases)), [(2, chunk_id(1, 0))]);
    assert_eq!(leases.expire(&nodes, HOUR), 0);
    nodes.get_mut(&NodeId(2)).unwrap().incarnation = Incarnation(2);
    assert_eq!((leases.expire(&nodes, HOUR), leases.busy(NodeId(2))), (1, Default::default()));
    assert_eq!(verifies(&plan_for(&groups, &nodes, &mut leases)), [(2, chunk_id(1, 0))]);
}

#[test]
fn a_source_whose_copy_did_not_arrive_is_taken_again_only_where_there_is_no_other() {
    let (groups, nodes, mut leases, (source, order)) = ordered();
    leases.settle(source, &receipt(&order, OrderOutcome::TargetFailed), HOUR);
    assert!(leases.begin_round());
    let (next, task) = plan_for(&groups, &nodes, &mut leases).orders.remove(0);
    assert_ne!(next, source, "it may be the source that reaches nobody");
    let mut only = nodes.clone();
    only.get_mut(&next).unwrap().health = Health::Suspect;
    only.insert(NodeId(6), alive());
    leases.settle(next, &receipt(&task, OrderOutcome::SourceUnreadable), HOUR);
    assert!(leases.begin_round());
    assert_eq!(copies(&plan_for(&groups, &only, &mut leases))[0].0, source.0);
    leases.expire(&nodes, HOUR + Duration::from_millis(ORDER_AVOID_MS));
    assert!(!leases.is_doubted(chunk_id(1, 0), source, HOUR));
}

#[test]
fn however_many_copies_are_made_at_once_the_next_round_plans_more() {
    let nodes = nodes(&[alive(); 64]);
    let mut leases = Leases::new();
    let mut orders = Vec::new();
    for file in 1.. {
        let holder = on(file % 64 + 1);
        let chunks = (0..16).map(|index| ChunkFacts { length: 1, ..chunk(file, index, &[holder]) }).collect();
        let plan = plan_for(&[group(file, chunks)], &nodes, &mut leases);
        let is_full = reasons(&plan).contains(&NotPlanned::ClusterBusy);
        orders.extend(plan.orders);
        if is_full {
            break;
        }
    }
    assert_eq!((orders.len(), leases.copies()), (REPAIR_COPIES_MAX, REPAIR_COPIES_MAX));
    assert!(!leases.begin_round(), "all are under way");
    for (source, order) in &orders {
        let done = receipt(order, OrderOutcome::Done { read_back: Digest::of(b"") });
        assert_eq!(leases.settle(*source, &done, HOUR), Some(1));
    }
    assert!(leases.begin_round(), "all are made");
    assert_eq!(leases.copies(), 0);
}

#[test]
fn a_copy_that_is_counted_already_is_not_counted_as_under_way_too() {
    let (_, nodes, mut leases, (_, order)) = ordered();
    let target = receipt(&order, OrderOutcome::TargetFailed).copy.unwrap().target;
    let dead = with_health(Health::Dead);
    let (mut two, _) = (nodes.clone(), ());
    two.insert(NodeId(2), dead);
    let groups = [group(1, vec![chunk(1, 0, &[on(1), on(2), on(target.0)])])];
    assert_eq!(copies(&plan_for(&groups, &two, &mut leases)).len(), 1);
}

#[test]
fn where_a_copy_failed_it_is_not_tried_again_for_a_while() {
    let (groups, nodes, mut leases, (source, order)) = ordered();
    let failed = receipt(&order, OrderOutcome::TargetFailed);
    assert_eq!(leases.settle(source, &failed, HOUR), None);
    assert!(leases.begin_round());
    let next = plan_for(&groups, &nodes, &mut leases);
    assert_ne!(copies(&next)[0].2.target, failed.copy.unwrap().target, "the other node takes it");
    // A source that cannot read its copy is passed over too.
    let (groups, nodes, mut leases, (source, order)) = ordered();
    leases.settle(source, &receipt(&order, OrderOutcome::SourceDamaged), HOUR);
    assert!(leases.begin_round());
    let next = plan_for(&groups, &nodes, &mut leases);
    assert_ne!(copies(&next)[0].0, source.0);
    leases.expire(&nodes, HOUR + Duration::from_millis(ORDER_AVOID_MS));
    assert!(!leases.is_avoided(chunk_id(1, 0), source, HOUR));
}
