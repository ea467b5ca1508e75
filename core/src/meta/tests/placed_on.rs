//! The index of groups by node, and groups as the planner sees them.

use super::*;
use crate::limit::REPAIR_PAGE_MAX;
use crate::repair::{GroupPlace, Purpose};

fn on(machine: &Machine, node: u64, limit: usize) -> Vec<GroupPlace> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = groups_on(&machine.state, NodeId(node), after, limit).unwrap();
        assert!(page.len() <= limit);
        let Some(last) = page.last() else { return all };
        after = Some(*last);
        all.extend(page);
    }
}

#[test]
fn the_groups_of_a_node_are_paged_and_those_of_others_are_not_in_it() {
    let mut machine = Machine::with_nodes(4);
    let files: Vec<FileId> = (0..5).map(|i| machine.upload(&format!("f{i}"), 1).file).collect();
    let open = machine.open(1, "open");
    let expected: Vec<GroupPlace> = files.iter().map(|file| (*file, GroupIndex(0))).collect();
    for limit in [1, 2, 100] {
        assert_eq!(on(&machine, 1, limit), expected);
    }
    assert_eq!(on(&machine, 3, 10), [], "it was placed there, but no copy was reported");
    assert_eq!(on(&machine, u64::MAX, 10), []);
    let all = groups_after(&machine.state, None, 100).unwrap();
    assert_eq!(all.len(), 6);
    assert_eq!(all.last(), Some(&(open, GroupIndex(0))));
    assert_eq!(groups_after(&machine.state, Some(all[4]), 100).unwrap(), all[5..]);
    machine.state.scan_limit_max.set(0);
    groups_on(&machine.state, NodeId(1), None, usize::MAX).unwrap();
    groups_after(&machine.state, None, usize::MAX).unwrap();
    assert_eq!(machine.state.scan_limit_max.get(), REPAIR_PAGE_MAX);
}

#[test]
fn groups_that_a_commit_drops_leave_the_index() {
    let mut machine = Machine::with_nodes(3);
    let file = machine.open(1, "a");
    machine.allocate(allocate_request(file, 1, 1, 1), &[1, 2, 3]).unwrap();
    let reports = vec![report(0, 1, vec![chunk(0, CHUNK, 0, &[1, 2])])];
    machine.commit(commit_request(file, 1, u64::from(CHUNK), reports)).unwrap();
    assert_eq!(on(&machine, 1, 10), [(file, GroupIndex(0))]);
    assert_eq!(groups_after(&machine.state, None, 10).unwrap(), [(file, GroupIndex(0))]);
}

#[test]
fn the_planner_sees_every_chunk_with_its_length_and_the_copies_that_count() {
    let mut machine = Machine::with_nodes(3);
    let file = machine.open(1, "a");
    machine.now = 7;
    let chunks = vec![chunk(0, CHUNK, 0, &[1, 2]), chunk(1, 9, 0, &[1, 3])];
    let request = AllocateGroup { reports: vec![report(0, 1, chunks)], ..allocate_request(file, 1, 0, 1) };
    machine.allocate(request, &[]).unwrap();
    let place = (file, GroupIndex(0));
    let facts = |machine: &Machine| group_facts(&machine.state, &[place]).unwrap().pop().unwrap();
    let open = facts(&machine);
    assert_eq!((open.purpose, open.replication), (Purpose::Upload { progress: ClusterTime(7) }, 3));
    let length = |facts: &crate::repair::GroupFacts| facts.chunks.iter().map(|it| it.length).collect::<Vec<_>>();
    assert_eq!(length(&open), [CHUNK, 9]);
    machine.commit(commit_request(file, 1, u64::from(CHUNK) + 9, vec![])).unwrap();
    machine.register(2, 50, 777).unwrap();
    let visible = facts(&machine);
    assert_eq!((visible.purpose, length(&visible)), (Purpose::Visible, vec![CHUNK, 9]));
    let counts: Vec<_> = visible.chunks[0].copies.iter().map(|copy| (copy.node.0, copy.counts)).collect();
    assert_eq!(counts, [(1, true), (2, false)], "node 2 has come with another store");
    machine.delete(1, by_name("a")).unwrap();
    assert_eq!(facts(&machine).purpose, Purpose::Gone);
    assert_eq!(group_facts(&machine.state, &[(FileId(99), GroupIndex(0))]).unwrap(), []);
}
