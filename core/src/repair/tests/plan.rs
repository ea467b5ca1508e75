//! What is planned, in which order, and why something is not.

use super::*;
use crate::limit::{PENDING_COPY_LEASE_MS, REPAIR_BYTES_PER_NODE_MAX, REPAIR_COPIES_PER_NODE_MAX, UPLOAD_QUIET_MS};
use crate::wire::membership::CopyReason;

#[test]
fn a_dead_nodes_copy_is_made_anew_on_a_node_that_has_none_and_takes_its_place() {
    let nodes = nodes(&[alive(), alive(), with_health(Health::Dead), alive()]);
    let plan = plan_for(&[group(1, vec![chunk(1, 0, &[on(1), on(2), on(3)])])], &nodes, &mut Leases::new());
    let expected = CopyOrder {
        target: NodeId(4),
        incarnation: Incarnation(1),
        replaces: Some(NodeId(3)),
        reason: CopyReason::NodeDead,
    };
    assert_eq!(copies(&plan), [(1, chunk_id(1, 0), expected)]);
    assert_eq!(plan.held_back, []);
}

#[test]
fn nothing_moves_because_a_node_is_merely_silent_for_a_while() {
    for health in [Health::Suspect, Health::Unknown, Health::Alive] {
        let nodes = nodes(&[alive(), alive(), with_health(health), alive()]);
        let plan = plan_for(&[group(1, vec![chunk(1, 0, &[on(1), on(2), on(3)])])], &nodes, &mut Leases::new());
        assert_eq!(plan, Plan::default(), "{health:?}");
    }
}

#[test]
fn a_leader_that_still_listens_plans_nothing() {
    let nodes = nodes(&[alive(), alive(), with_health(Health::Dead), alive()]);
    let groups = [group(1, vec![chunk(1, 0, &[CopyFacts { verified: true, ..on(1) }, on(2), on(3)])])];
    let situation = Situation { nodes: &nodes, listened: false, now: HOUR, time: ClusterTime(1) };
    let plan = plan(&groups, &situation, &mut Leases::new());
    assert_eq!((plan.orders.len(), reasons(&plan)), (0, vec![NotPlanned::Listening]));
}

#[test]
fn the_chunks_with_the_fewest_copies_come_first_whatever_their_place() {
    let dead = with_health(Health::Dead);
    let nodes = nodes(&[alive(), dead, dead, alive(), alive()]);
    let two = |file| chunk(file, 0, &[on(1), on(2), on(4)]);
    let one = |file| chunk(file, 0, &[on(1), on(2), on(3)]);
    let groups = [group(1, vec![two(1)]), group(2, vec![one(2)]), group(3, vec![two(3)]), group(4, vec![one(4)])];
    let order: Vec<u64> =
        copies(&plan_for(&groups, &nodes, &mut Leases::new())).iter().map(|copy| copy.1.file.0).collect();
    assert_eq!(order, [2, 2, 4, 4, 1, 3]);
}

#[test]
fn a_store_that_was_lost_is_made_good_at_once_also_on_the_same_node() {
    let lost = CopyFacts { counts: false, ..on(3) };
    let groups = [group(1, vec![chunk(1, 0, &[on(1), on(2), lost])])];
    let plan = plan_for(&groups, &nodes(&[alive(), alive(), alive()]), &mut Leases::new());
    let (_, _, copy) = copies(&plan)[0];
    assert_eq!((copy.target, copy.replaces, copy.reason), (NodeId(3), Some(NodeId(3)), CopyReason::StoreLost));
}

#[test]
fn each_lost_copy_is_named_once_and_a_dead_nodes_first() {
    let dead = with_health(Health::Dead);
    let nodes = nodes(&[alive(), dead, alive(), alive(), alive()]);
    let lost = CopyFacts { counts: false, ..on(3) };
    let plan = plan_for(&[group(1, vec![chunk(1, 0, &[on(1), lost, on(2)])])], &nodes, &mut Leases::new());
    let named: Vec<_> = copies(&plan).iter().map(|(_, _, copy)| copy.replaces).collect();
    assert_eq!(named, [Some(NodeId(2)), Some(NodeId(3))]);
}

#[test]
fn what_an_upload_left_behind_is_its_primarys_for_a_while() {
    let nodes = nodes(&[alive(), alive(), alive()]);
    let (facts, _) = group(1, vec![chunk(1, 0, &[on(1), on(2)])]);
    let lease = Duration::from_millis(PENDING_COPY_LEASE_MS);
    let young = [(facts.clone(), HOUR.checked_sub(lease / 2).unwrap())];
    assert_eq!(reasons(&plan_for(&young, &nodes, &mut Leases::new())), [NotPlanned::LeftToPrimary]);
    let old = [(facts, HOUR.checked_sub(lease).unwrap())];
    let plan = plan_for(&old, &nodes, &mut Leases::new());
    let (_, _, copy) = copies(&plan)[0];
    assert_eq!((copy.target, copy.replaces, copy.reason), (NodeId(3), None, CopyReason::TooFew));
}

#[test]
fn an_upload_that_makes_progress_sees_to_its_own_copies() {
    let nodes = nodes(&[alive(), alive(), with_health(Health::Dead), alive()]);
    let (facts, since) = group(1, vec![chunk(1, 0, &[on(1), on(2), on(3)])]);
    let upload = |quiet| {
        let purpose = Purpose::Upload { progress: ClusterTime(3_600_000 - quiet) };
        [(GroupFacts { purpose, ..facts.clone() }, since)]
    };
    let fresh = plan_for(&upload(UPLOAD_QUIET_MS - 1), &nodes, &mut Leases::new());
    assert_eq!((fresh.orders.len(), reasons(&fresh)), (0, vec![NotPlanned::UploadUnderWay]));
    assert_eq!(copies(&plan_for(&upload(UPLOAD_QUIET_MS), &nodes, &mut Leases::new())).len(), 1);
    let gone = [(GroupFacts { purpose: Purpose::Gone, ..facts }, since)];
    assert_eq!(plan_for(&gone, &nodes, &mut Leases::new()), Plan::default());
}

#[test]
fn what_cannot_be_planned_says_why() {
    let dead = with_health(Health::Dead);
    let suspect = with_health(Health::Suspect);
    let full = NodeFacts { takes_chunks: false, ..alive() };
    let small = NodeFacts { available_bytes: (4 << 20) - 1, ..alive() };
    for (why, third, others, expected) in [
        ("nobody else is there", dead, vec![], NotPlanned::NoTarget),
        ("the other is full", dead, vec![full], NotPlanned::NoTarget),
        ("the other has too little room", dead, vec![small], NotPlanned::NoTarget),
        ("the other is silent", dead, vec![suspect], NotPlanned::NoTarget),
    ] {
        let nodes = nodes(&[&[alive(), alive(), third][..], &others].concat());
        let plan = plan_for(&[group(1, vec![chunk(1, 0, &[on(1), on(2), on(3)])])], &nodes, &mut Leases::new());
        assert_eq!((plan.orders.len(), reasons(&plan)), (0, vec![expected]), "{why}");
        assert_eq!(plan.held_back[0].missing, 1);
    }
    let groups = [group(1, vec![chunk(1, 0, &[on(1), on(2)])])];
    let silent = nodes(&[suspect, dead, alive()]);
    assert_eq!(reasons(&plan_for(&groups, &silent, &mut Leases::new())), [NotPlanned::NoSource]);
    let all_dead = nodes(&[dead, dead, alive()]);
    assert_eq!(reasons(&plan_for(&groups, &all_dead, &mut Leases::new())), [NotPlanned::NoCopyLeft]);
}

#[test]
fn one_source_or_one_target_gets_no_more_than_its_share() {
    let many: Vec<ChunkFacts> = (0..16).map(|index| chunk(1, index, &[on(1), on(2)])).collect();
    let more: Vec<ChunkFacts> = (0..16).map(|index| chunk(2, index, &[on(1), on(2)])).collect();
    let large = REPAIR_BYTES_PER_NODE_MAX as usize / (4 << 20);
    let groups = [group(1, many), group(2, more)];
    let plan = plan_for(&groups, &nodes(&[alive(), alive(), alive()]), &mut Leases::new());
    assert_eq!(copies(&plan).len(), large, "one target");
    assert!(reasons(&plan).iter().all(|why| *why == NotPlanned::TargetsBusy));
    let single: Vec<ChunkFacts> = (0..16).map(|index| chunk(1, index, &[on(1)])).collect();
    let plan = plan_for(&[group(1, single)], &nodes(&[alive(); 5]), &mut Leases::new());
    assert_eq!(copies(&plan).len(), large, "one source");
    assert!(reasons(&plan).iter().all(|why| *why == NotPlanned::SourcesBusy));
    // Small ones are many, and one that is larger than the share goes alone.
    let sized = |file, length| {
        group(file, (0..16).map(|index| ChunkFacts { length, ..chunk(file, index, &[on(1), on(2)]) }).collect())
    };
    let small: Vec<_> = (1..=10).map(|file| sized(file, 1 << 16)).collect();
    let plan = plan_for(&small, &nodes(&[alive(), alive(), alive()]), &mut Leases::new());
    assert_eq!(copies(&plan).len(), REPAIR_COPIES_PER_NODE_MAX);
    let plan = plan_for(&[sized(1, u32::MAX)], &nodes(&[alive(), alive(), alive()]), &mut Leases::new());
    assert_eq!(copies(&plan).len(), 1);
}

#[test]
fn a_verified_copy_is_the_source_where_there_is_one() {
    let checked = CopyFacts { verified: true, ..on(2) };
    let groups = [group(1, vec![chunk(1, 0, &[on(1), checked])])];
    let plan = plan_for(&groups, &nodes(&[alive(), alive(), alive()]), &mut Leases::new());
    assert_eq!(copies(&plan)[0].0, 2);
}

#[test]
fn the_other_copies_of_a_repaired_chunk_are_read_back() {
    let checked = CopyFacts { verified: true, ..on(1) };
    let nodes = nodes(&[alive(), alive(), with_health(Health::Suspect), alive()]);
    let repaired = chunk(1, 0, &[checked, on(2), on(3)]);
    let untouched = chunk(1, 1, &[on(1), on(2), on(4)]);
    let mut leases = Leases::new();
    let groups = [group(1, vec![repaired, untouched])];
    assert!(assess(&groups[0].0, &nodes).is_needy());
    assert_eq!(verifies(&plan_for(&groups, &nodes, &mut leases)), [(2, chunk_id(1, 0))]);
    assert_eq!(plan_for(&groups, &nodes, &mut leases), Plan::default(), "it is under way");
}
