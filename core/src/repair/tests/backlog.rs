//! Which groups are kept in mind, and in which order they are planned.

use super::*;
use crate::limit::{REPAIR_BACKLOG_MAX, REPAIR_BACKLOG_VERIFIES_MAX};

fn files(places: Vec<GroupPlace>) -> Vec<u64> {
    places.iter().map(|(file, _)| file.0).collect()
}

fn place(file: u64) -> GroupPlace {
    (FileId(file), GroupIndex(0))
}

/// A group with one chunk that has these copies, and what it needs while node 3 is dead.
fn noted(file: u64, copies: &[CopyFacts]) -> (GroupFacts, Assessment) {
    let nodes = nodes(&[alive(), alive(), with_health(Health::Dead), alive()]);
    let (group, _) = group(file, vec![chunk(file, 0, copies)]);
    let needs = assess(&group, &nodes);
    (group, needs)
}

/// A backlog with no room left: the files from 1000 on have these copies.
fn full(copies: &[CopyFacts]) -> Backlog {
    let mut backlog = Backlog::new();
    for file in (1000..).take(REPAIR_BACKLOG_MAX) {
        let (group, needs) = noted(file, copies);
        assert!(backlog.note(&group, needs, HOUR).is_some());
    }
    assert!(backlog.is_full());
    backlog
}

#[test]
fn the_backlog_gives_the_most_urgent_groups_that_are_due() {
    let dead = with_health(Health::Dead);
    let nodes = nodes(&[alive(), dead, dead, alive()]);
    let mut backlog = Backlog::new();
    let groups = [
        group(1, vec![chunk(1, 0, &[on(1), on(2), on(4)])]).0,
        group(2, vec![chunk(2, 0, &[on(2), on(3), on(1)])]).0,
        group(3, vec![chunk(3, 0, &[on(1), on(4)])]).0,
        group(4, vec![chunk(4, 0, &[on(2), on(3)])]).0,
    ];
    for group in &groups {
        assert_eq!(backlog.note(group, assess(group, &nodes), HOUR), Some(HOUR));
    }
    assert_eq!(files(backlog.due(HOUR, 9)), [2, 1, 3, 4], "one, two and no copies left");
    assert_eq!(files(backlog.due(HOUR, 1)), [2]);
    let later = HOUR + Duration::from_secs(5);
    backlog.planned((FileId(4), GroupIndex(0)), Some((NotPlanned::NoCopyLeft, 1)), later);
    assert_eq!(files(backlog.due(HOUR, 9)), [2, 1, 3], "what waits lets others by");
    assert_eq!(files(backlog.due(later, 9)), [2, 1, 3, 4]);
    assert_eq!(backlog.waits(), BTreeMap::from([(NotPlanned::NoCopyLeft, 1)]));
    let missing: u32 = backlog.needs().map(|needs| needs.copies_missing).sum();
    assert_eq!(missing, 1 + 2 + 1 + 3);
    // Node 2 comes back: what misses nothing any more goes, and what was seen first stays known for as long.
    let back = self::nodes(&[alive(), alive(), dead, alive()]);
    for group in &groups {
        let since = backlog.note(group, assess(group, &back), later);
        assert_eq!(since.is_some(), group.file != FileId(1));
        assert!(since.is_none_or(|since| since == HOUR));
    }
    backlog.hurry_all(HOUR);
    assert_eq!(files(backlog.due(HOUR, 9)), [4, 2, 3]);
}

#[test]
fn a_full_backlog_has_room_for_what_is_more_urgent() {
    for (others, more_urgent, as_urgent) in
        [(&[on(1), on(2)][..], &[on(1)][..], &[on(1), on(4)][..]), (&[on(3)], &[on(1), on(2)], &[on(3)])]
    {
        let mut backlog = full(others);
        let (group, needs) = noted(1, as_urgent);
        assert_eq!(backlog.note(&group, needs, HOUR), None, "it is found again by the next sweep");
        let (group, needs) = noted(2, more_urgent);
        assert_eq!(backlog.note(&group, needs, HOUR), Some(HOUR));
        assert_eq!(files(backlog.due(HOUR, 1)), [2]);
        assert_eq!(backlog.needs().count(), REPAIR_BACKLOG_MAX, "another one has given way");
    }
}

#[test]
fn groups_that_nobody_can_help_give_way_to_others_until_a_node_comes() {
    let mut backlog = full(&[on(1)]);
    let stuck = Some((NotPlanned::NoTarget, 1));
    for file in (1000..).take(REPAIR_BACKLOG_MAX) {
        backlog.planned(place(file), stuck, HOUR);
    }
    let (group, needs) = noted(1, &[on(1), on(2)]);
    assert_eq!(backlog.note(&group, needs, HOUR), Some(HOUR));
    assert_eq!(files(backlog.due(HOUR, 2)), [1, 1000]);
    backlog.hurry_all(HOUR);
    assert_eq!(files(backlog.due(HOUR, 2)), [1000, 1001], "they have fewer copies");
}

#[test]
fn groups_without_a_live_copy_keep_no_other_from_being_planned() {
    let mut backlog = full(&[on(3)]);
    backlog.forget(place(1000));
    let (group, needs) = noted(1, &[on(1), on(2), on(3)]);
    assert_eq!(backlog.note(&group, needs, HOUR), Some(HOUR));
    assert_eq!(files(backlog.due(HOUR, 256))[..2], [1, 1001]);
}

#[test]
fn a_quarter_of_each_look_is_for_those_that_have_been_due_for_longest() {
    let mut backlog = Backlog::new();
    let (group, needs) = noted(1, &[on(1), on(2)]);
    assert!(backlog.note(&group, needs, HOUR).is_some());
    for file in 1000..1020 {
        let (group, needs) = noted(file, &[on(1)]);
        assert!(backlog.note(&group, needs, HOUR + Duration::from_secs(file)).is_some());
    }
    assert_eq!(files(backlog.due(HOUR * 2, 4)), [1000, 1001, 1002, 1]);
}

#[test]
fn copies_to_be_read_back_take_no_more_than_their_share() {
    let mut backlog = Backlog::new();
    let touched = [CopyFacts { verified: true, ..on(1) }, on(2), on(4)];
    let kept = (1..).take(REPAIR_BACKLOG_MAX).filter(|file| {
        let (group, needs) = noted(*file, &touched);
        backlog.note(&group, needs, HOUR).is_some()
    });
    assert_eq!(kept.count(), REPAIR_BACKLOG_VERIFIES_MAX);
    // Who is known is noted again, and who goes makes room.
    for file in 1..3 {
        let (group, needs) = noted(file, &touched);
        assert_eq!(backlog.note(&group, needs, HOUR), Some(HOUR));
        backlog.forget(place(file));
        let (group, needs) = noted(file + 9_000, &touched);
        assert_eq!(backlog.note(&group, needs, HOUR), Some(HOUR));
    }
}

#[test]
fn what_has_no_copy_left_is_told_on_its_own() {
    let nodes = nodes(&[alive(), alive(), with_health(Health::Dead), alive()]);
    let (group, _) = group(1, vec![chunk(1, 0, &[on(3)]), chunk(1, 1, &[on(1), on(2), on(3)])]);
    let needs = Assessment {
        fewest_live: Some(2),
        chunks_below: 2,
        chunks_unavailable: 1,
        copies_missing: 3 + 1,
        bytes_missing: 4 * (4 << 20),
        bytes_to_copy: 4 << 20,
        unverified: false,
    };
    assert_eq!(assess(&group, &nodes), needs);
    // What the chunk that can be copied waits for says when the group is looked at again.
    let held = |index, why| HeldBack { chunk: chunk_id(1, index), missing: 1, why };
    let held_back = vec![held(0, NotPlanned::NoCopyLeft), held(1, NotPlanned::SourcesBusy)];
    let plan = Plan { orders: vec![], held_back };
    assert_eq!(plan.waits(), BTreeMap::from([(place(1), (NotPlanned::SourcesBusy, 2))]));
}

#[test]
fn files_are_counted_once_however_many_of_their_groups_lack_copies() {
    let mut backlog = Backlog::new();
    for (file, index, copies) in [(1, 0, vec![on(3)]), (1, 1, vec![on(1)]), (1, 2, vec![on(3)]), (2, 0, vec![on(1)])] {
        let (facts, needs) = noted(file, &copies);
        let _ = backlog.note(&GroupFacts { group: GroupIndex(index), ..facts }, needs, HOUR);
    }
    assert_eq!(backlog.files_with(|needs| needs.chunks_below > 0), 2);
    assert_eq!(backlog.files_with(|needs| needs.chunks_unavailable > 0), 1);
    assert_eq!(backlog.files_with(|needs| needs.unverified), 0);
}
