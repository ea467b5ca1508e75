//! Deletes, and the answers that are kept.

use super::super::record::{Counters, Record};
use super::*;
use crate::limit::{
    CLUSTER_TIME_KEPT_MS, REQUEST_KEPT_MS, REQUESTS_EXPIRED_PER_ENTRY_MAX, REQUESTS_KEPT_BYTES_MAX, REQUESTS_KEPT_MAX,
    STATE_TIME_BEHIND_MAX_MS,
};

/// The keys of kept answers.
fn kept(machine: &Machine) -> usize {
    machine.state.pairs.keys().filter(|key| key[0] == 8).count()
}

fn set_counters(machine: &mut Machine, change: impl Fn(&mut Counters)) {
    let key = super::super::key::COUNTERS;
    let mut counters = Counters::from_bytes(&key, &machine.state.pairs[&key[..]]).unwrap();
    change(&mut counters);
    machine.state.pairs.insert(key.to_vec(), counters.to_bytes());
}

#[test]
fn a_deleted_name_is_gone_and_free_again() {
    let mut machine = Machine::with_nodes(3);
    let info = machine.upload("a/b/c", 1);
    machine.upload("a/d", 1);
    assert_eq!(machine.delete(1, by_name("a/b/c")), Ok(info.clone()));
    assert_eq!(machine.stat("a/b/c"), Err(Refusal::NotFound));
    let located = locate(&machine.state, &LocateGroups { file: info.file, first: GroupIndex(0), limit: 1 });
    assert_eq!(located.unwrap(), Err(Refusal::NotFound));
    assert_eq!(machine.names(), ["a/d"]);
    assert_eq!(totals(&machine.state).unwrap().files, 1);
    machine.upload("a/b", 1);
    assert_eq!(machine.names(), ["a/b", "a/d"], "the directory went with its last entry");
}

#[test]
fn a_file_is_deleted_by_its_id_too() {
    let mut machine = Machine::with_nodes(3);
    let info = machine.upload("a/b", 1);
    assert_eq!(machine.delete(1, FileTarget::Id(info.file)), Ok(info.clone()));
    assert_eq!(machine.delete(2, FileTarget::Id(info.file)), Err(Refusal::NotFound));
    let leftovers: Vec<u8> =
        machine.state.pairs.keys().map(|key| key[0]).filter(|table| [2, 3].contains(table)).collect();
    assert_eq!(leftovers, [], "no name and no directory is left");
}

#[test]
fn what_is_not_a_visible_file_is_not_found() {
    let mut machine = Machine::with_nodes(3);
    let open = machine.open(1, "open");
    machine.upload("a/b", 1);
    for target in [by_name("a"), by_name("open"), by_name("a/c"), by_name("a/b/c"), FileTarget::Id(open)] {
        assert_eq!(machine.delete(1, target.clone()), Err(Refusal::NotFound), "{target:?}");
    }
}

#[test]
fn a_retried_delete_does_not_remove_what_came_later() {
    let mut machine = Machine::with_nodes(3);
    let first = machine.upload("a", 1);
    let tried = machine.now;
    machine.delete_tried_at(1, by_name("a"), tried).unwrap();
    let second = machine.upload("a", 2);
    machine.now += REQUEST_KEPT_MS;
    assert_eq!(machine.delete_tried_at(1, by_name("a"), tried), Ok(first));
    machine.now += 1;
    assert_eq!(machine.delete_tried_at(1, by_name("a"), tried), Err(Refusal::OutcomeUnknown));
    assert_eq!(machine.delete_tried_at(2, by_name("a"), tried), Err(Refusal::OutcomeUnknown));
    assert_eq!(machine.stat("a"), Ok(second));
}

#[test]
fn old_answers_go_a_few_with_every_entry() {
    let mut machine = Machine::with_nodes(3);
    let count = REQUESTS_EXPIRED_PER_ENTRY_MAX + 3;
    for request in 0..count {
        machine.now += 1;
        machine.upload("a", 0);
        machine.delete(request as u128, by_name("a")).unwrap();
    }
    assert_eq!(kept(&machine), count);
    assert!(needs_ticks(&machine.state, ClusterTime(machine.now)).unwrap());
    // All but the last two are over.
    machine.now += REQUEST_KEPT_MS - 1;
    machine.apply(Command::Tick).unwrap();
    assert_eq!(kept(&machine), 3);
    machine.apply(Command::Tick).unwrap();
    assert_eq!(kept(&machine), 2);
    machine.state.scan_limit_max.set(0);
    machine.apply(Command::Tick).unwrap();
    assert_eq!(machine.state.scan_limit_max.get(), 0, "nothing is read where nothing is over");
}

#[test]
fn a_refused_entry_lets_old_answers_go_too() {
    let mut machine = Machine::with_nodes(3);
    machine.upload("a", 0);
    machine.delete(1, by_name("a")).unwrap();
    machine.now += REQUEST_KEPT_MS + 1;
    assert_eq!(machine.delete(2, by_name("a")), Err(Refusal::NotFound));
    assert_eq!(kept(&machine), 0);
    assert!(!needs_ticks(&machine.state, ClusterTime(machine.now)).unwrap());
}

#[test]
fn too_many_answers_push_the_oldest_out_and_its_retry_is_not_done_again() {
    for fill in [(|counters: &mut Counters| counters.requests = REQUESTS_KEPT_MAX) as fn(&mut Counters), |counters| {
        counters.request_bytes = REQUESTS_KEPT_BYTES_MAX
    }] {
        let mut machine = Machine::with_nodes(3);
        for request in 0..2 {
            machine.now += 10;
            machine.upload("a", 0);
            machine.delete(request, by_name("a")).unwrap();
        }
        let tried = machine.now;
        set_counters(&mut machine, fill);
        machine.now += 10;
        machine.upload("a", 0);
        machine.delete(2, by_name("a")).unwrap();
        assert_eq!(kept(&machine), 2);
        let present = machine.upload("a", 1);
        assert_eq!(machine.delete_tried_at(0, by_name("a"), tried - 10), Err(Refusal::OutcomeUnknown));
        assert!(machine.delete_tried_at(1, by_name("a"), tried).is_ok(), "the next answer is kept still");
        assert_eq!(machine.stat("a"), Ok(present));
    }
}

#[test]
fn the_bytes_of_kept_answers_are_counted_as_they_are() {
    let mut machine = Machine::with_nodes(3);
    for request in 0..20_u128 {
        machine.now += 1;
        let text = "x".repeat(1 + request as usize * 10);
        machine.upload(&text, 0);
        machine.delete(request, by_name(&text)).unwrap();
    }
    let counted = Cell::new(0);
    set_counters(&mut machine, |counters| counted.set(counters.request_bytes));
    assert_eq!(counted.get(), machine.bytes_of(&[8, 9]) as u64);
    machine.now += REQUEST_KEPT_MS * 2;
    for _ in 0..3 {
        machine.apply(Command::Tick).unwrap();
    }
    set_counters(&mut machine, |counters| counted.set(counters.request_bytes + counters.requests));
    assert_eq!((counted.get(), machine.bytes_of(&[8, 9])), (0, 0));
}

#[test]
fn time_never_goes_back() {
    let mut machine = Machine::with_nodes(0);
    machine.now = 50;
    machine.apply(Command::Tick).unwrap();
    machine.now = 20;
    machine.apply(Command::Tick).unwrap();
    assert_eq!(time(&machine.state).unwrap(), ClusterTime(50));
}

#[test]
fn time_in_the_state_is_never_far_behind_the_leaders_clock() {
    let mut machine = Machine::with_nodes(3);
    machine.upload("a", 1);
    let behind = |machine: &Machine, by| needs_ticks(&machine.state, ClusterTime(machine.now + by)).unwrap();
    assert!(!behind(&machine, STATE_TIME_BEHIND_MAX_MS - 1), "nothing waits for it");
    assert!(behind(&machine, STATE_TIME_BEHIND_MAX_MS));
    // Whoever was told the time of the state before its next tick is not taken for somebody who asks again.
    let tried = machine.now;
    machine.now += STATE_TIME_BEHIND_MAX_MS + CLUSTER_TIME_KEPT_MS;
    assert!(machine.delete_tried_at(1, by_name("a"), tried).is_ok());
}

#[test]
fn a_file_that_has_another_name_by_now_is_not_deleted_under_the_old_one() {
    let mut machine = Machine::with_nodes(3);
    let info = machine.upload("inbox/a", 1);
    let delete = |request, named: &str| DeleteFile {
        request: RequestId(request),
        first_tried: ClusterTime(0),
        target: FileTarget::Id(info.file),
        named: Some(name(named)),
    };
    machine.rename(1, "inbox", "archive").unwrap();
    assert_eq!(machine.delete_as(delete(2, "inbox/a")), Err(Refusal::NotFound));
    assert!(machine.stat("archive/a").is_ok());
    assert_eq!(machine.delete_as(delete(3, "archive/a")).unwrap().file, info.file);
    assert_eq!(machine.stat("archive/a"), Err(Refusal::NotFound));
}
