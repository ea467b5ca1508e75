//! Create, allocate, commit.

use super::*;
use crate::limit::{GROUPS_AHEAD_MAX, REPORT_GROUPS_MAX};

#[test]
fn nothing_is_possible_before_the_cluster_is_initialised() {
    let mut machine = Machine::default();
    assert_eq!(machine.create(create_request(1, "a"), &[]), Err(Refusal::Unavailable));
    assert_eq!(machine.register(1, 1, 1), Err(Refusal::Unavailable));
    assert_eq!(machine.delete(1, by_name("a")), Err(Refusal::Unavailable));
}

#[test]
fn a_file_is_visible_only_once_it_is_committed() {
    let mut machine = Machine::with_nodes(3);
    let file = machine.open(7, "a/b");
    assert_eq!(file, FileId(1));
    assert_eq!(machine.stat("a/b"), Err(Refusal::NotFound));
    assert_eq!(stat(&machine.state, &FileTarget::Id(file)).unwrap(), Err(Refusal::NotFound));
    assert_eq!(machine.names(), [""; 0]);
    let reports = vec![report(0, 1, vec![chunk(0, CHUNK, 0, &[1, 2, 3]), chunk(1, 10, 0, &[2, 3])])];
    let info = machine.commit(commit_request(file, 7, u64::from(CHUNK) + 10, reports)).unwrap();
    assert_eq!((info.name.as_str(), info.size, info.replication), ("a/b", u64::from(CHUNK) + 10, 3));
    assert_eq!(machine.stat("a/b"), Ok(info.clone()));
    assert_eq!(stat(&machine.state, &FileTarget::Id(file)).unwrap(), Ok(info.clone()));
    assert_eq!(machine.names(), ["a/b"]);
    let groups = machine.locate(file);
    assert_eq!(groups[0].chunks.len(), 2);
    let held: Vec<_> = groups[0].holders.iter().map(|holder| (holder.node.0, holder.held.0)).collect();
    assert_eq!(held, [(1, 0b01), (2, 0b11), (3, 0b11)]);
    assert!(groups[0].holders.iter().all(|holder| holder.verified.is_empty()));
    let totals = totals(&machine.state).unwrap();
    assert_eq!(totals, Totals { files: 1, file_bytes: info.size, open_uploads: 0, storage_nodes: 3 });
}

#[test]
fn a_repeated_request_gets_the_first_answer_and_changes_nothing() {
    let mut machine = Machine::with_nodes(3);
    let created = machine.create(create_request(7, "a"), &[1, 2, 3]).unwrap();
    assert_eq!(machine.create(create_request(7, "a"), &[3, 2]).unwrap(), created);
    let mut request = allocate_request(created.file, 7, 0, 2);
    request.reports = vec![report(0, 1, vec![chunk(0, CHUNK, 0, &[1, 2])])];
    let allocation = machine.allocate(request.clone(), &[2, 3]).unwrap();
    assert_eq!((allocation.epoch, &allocation.nodes), (Epoch(2), &ids(&[2, 3])));
    let before = machine.state.pairs.clone();
    assert_eq!(machine.allocate(request.clone(), &[1, 3]).unwrap(), allocation);
    assert_eq!(machine.state.pairs, before);
    let commit = commit_request(created.file, 7, u64::from(CHUNK), vec![]);
    let info = machine.commit(commit.clone()).unwrap();
    let before = machine.state.pairs.clone();
    assert_eq!(machine.commit(commit).unwrap(), info);
    assert_eq!(machine.state.pairs, before);
    assert_eq!(machine.allocate(request, &[1, 3]), Err(Refusal::UploadGone));
    assert_eq!(machine.commit(commit_request(created.file, 8, u64::from(CHUNK), vec![])), Err(Refusal::UploadGone));
}

#[test]
fn the_leader_learns_what_needs_an_entry() {
    let mut machine = Machine::with_nodes(3);
    let request = create_request(7, "a");
    let needed = Placing::Needed { replication: 3, write_quorum: 2 };
    assert_eq!(creation_state(&machine.state, &request).unwrap(), Ok(needed));
    let created = machine.create(request.clone(), &[1, 2, 3]).unwrap();
    assert_eq!(creation_state(&machine.state, &request).unwrap(), Ok(Placing::Done(created.clone())));
    let mut request = allocate_request(created.file, 7, 0, 1);
    let first = created.first_group.unwrap();
    assert_eq!(allocation_state(&machine.state, &request).unwrap(), Ok(Placing::Done(first.clone())));
    request.reports = vec![report(0, 1, vec![chunk(0, CHUNK, 0, &[1, 2])])];
    let needed = Placing::Needed { replication: 3, write_quorum: 2 };
    assert_eq!(allocation_state(&machine.state, &request).unwrap(), Ok(needed.clone()), "its reports are news");
    machine.allocate(request.clone(), &[1, 2, 3]).unwrap();
    assert_eq!(allocation_state(&machine.state, &request).unwrap(), Ok(Placing::Done(first)));
    let next = allocate_request(created.file, 7, 1, 1);
    assert_eq!(allocation_state(&machine.state, &next).unwrap(), Ok(needed));
    let stranger = allocate_request(created.file, 8, 1, 1);
    assert_eq!(allocation_state(&machine.state, &stranger).unwrap(), Err(Refusal::UploadGone));
    machine.upload("d/e", 1);
    for (text, refusal) in [("d", Refusal::NameConflict), ("d/e", Refusal::NameExists)] {
        assert_eq!(creation_state(&machine.state, &create_request(9, text)).unwrap(), Err(refusal));
    }
}

#[test]
fn names_that_cannot_be_had_are_refused_at_create_and_at_commit() {
    let mut machine = Machine::with_nodes(3);
    let late: Vec<_> = ["a/b", "a", "a/b/c"].into_iter().zip(1..).collect();
    let files: Vec<_> = late.iter().map(|(text, nonce)| machine.open(*nonce, text)).collect();
    machine.upload("a/b", 1);
    let refusals = [Refusal::NameExists, Refusal::NameConflict, Refusal::NameConflict];
    for (((text, nonce), file), refusal) in late.into_iter().zip(files).zip(refusals) {
        assert_eq!(machine.create(create_request(nonce + 10, text), &[1, 2, 3]), Err(refusal.clone()), "{text}");
        let reports = vec![report(0, 1, vec![chunk(0, CHUNK, 0, &[1, 2])])];
        assert_eq!(machine.commit(commit_request(file, nonce, u64::from(CHUNK), reports)), Err(refusal), "{text}");
    }
    assert_eq!(machine.names(), ["a/b"]);
}

#[test]
fn more_copies_than_nodes_and_impossible_placements_are_refused() {
    let mut machine = Machine::with_nodes(3);
    let asking = |copies| CreateFile { replication: Some(copies), ..create_request(1, "a") };
    assert_eq!(machine.create(asking(4), &[1, 2, 3]), Err(Refusal::TooManyCopies { asked: 4, nodes: 3 }));
    assert_eq!(machine.create(asking(0), &[1, 2, 3]), Err(Refusal::Malformed));
    let too_few = Err(Refusal::TooFewNodes { needed: 2, available: 1 });
    assert_eq!(machine.create(asking(3), &[1]), too_few);
    let none = Err(Refusal::TooFewNodes { needed: 2, available: 0 });
    assert_eq!(machine.create(asking(3), &[]), none, "only an empty file needs no placement");
    for nodes in [&[1, 1][..], &[1, 9], &[1, 2, 3, 3]] {
        assert_eq!(machine.create(asking(3), nodes), Err(Refusal::Malformed), "{nodes:?}");
    }
    assert_eq!(machine.create(asking(2), &[1, 2, 3]), Err(Refusal::Malformed), "more nodes than copies");
    assert_eq!(machine.create(asking(1), &[3]).unwrap().replication, 1);
}

#[test]
fn a_cluster_with_fewer_nodes_than_its_factor_takes_files_down_to_the_quorum() {
    let mut machine = Machine::with_nodes(2);
    assert_eq!(machine.create(create_request(1, "a"), &[1, 2]).unwrap().replication, 3);
}

#[test]
fn an_empty_file_has_no_groups() {
    let mut machine = Machine::with_nodes(0);
    let request = CreateFile { size_hint: Some(0), ..create_request(1, "empty") };
    let created = machine.create(request, &[]).unwrap();
    assert_eq!(created.first_group, None);
    let incomplete = Refusal::Incomplete { reported: 0, expected: 1 };
    assert_eq!(machine.commit(commit_request(created.file, 1, 1, vec![])), Err(incomplete));
    assert_eq!(machine.commit(commit_request(created.file, 1, 0, vec![])).unwrap().size, 0);
    assert_eq!(machine.locate(created.file), []);
}

#[test]
fn groups_are_placed_in_order_and_epochs_rise_by_one() {
    let mut machine = Machine::with_nodes(3);
    let file = machine.open(1, "a");
    for (group, epoch) in [(2, 1), (1, 2), (1, 0), (0, 3), (u32::MAX, 1)] {
        let refused = machine.allocate(allocate_request(file, 1, group, epoch), &[1, 2, 3]);
        assert_eq!(refused, Err(Refusal::Malformed), "group {group}, epoch {epoch}");
    }
    let allocation = machine.allocate(allocate_request(file, 1, 0, 2), &[3, 1]).unwrap();
    assert_eq!((allocation.epoch, allocation.nodes), (Epoch(2), ids(&[3, 1])));
    let older = machine.allocate(allocate_request(file, 1, 0, 1), &[2, 1]).unwrap();
    assert_eq!((older.epoch, older.nodes), (Epoch(2), ids(&[3, 1])), "an epoch that was passed is answered as it is");
    assert_eq!(machine.allocate(allocate_request(file, 1, 1, 1), &[1, 2]).unwrap().epoch, Epoch::FIRST);
    assert_eq!(machine.allocate(allocate_request(file, 2, 2, 1), &[1, 2]), Err(Refusal::UploadGone));
    assert_eq!(machine.allocate(allocate_request(FileId(9), 1, 2, 1), &[1, 2]), Err(Refusal::UploadGone));
}

#[test]
fn groups_placed_in_advance_are_bounded_and_go_with_the_commit() {
    let mut machine = Machine::with_nodes(3);
    let file = machine.open(1, "a");
    for group in 1..GROUPS_AHEAD_MAX {
        machine.allocate(allocate_request(file, 1, group, 1), &[1, 2]).unwrap();
    }
    let beyond = machine.allocate(allocate_request(file, 1, GROUPS_AHEAD_MAX, 1), &[1, 2]);
    assert_eq!(beyond, Err(Refusal::Malformed));
    let mut request = allocate_request(file, 1, GROUPS_AHEAD_MAX, 1);
    request.reports = vec![report(0, 1, vec![chunk(0, CHUNK, 0, &[1, 2])])];
    machine.allocate(request, &[1, 2]).unwrap();
    machine.commit(commit_request(file, 1, u64::from(CHUNK), vec![])).unwrap();
    assert_eq!(machine.state.pairs.keys().filter(|key| key[0] == 5).count(), 1);
    assert_eq!(machine.locate(file).len(), 1);
}

#[test]
fn an_incomplete_upload_cannot_be_committed() {
    let full = |index| chunk(index, CHUNK, 0, &[1, 2]);
    let size = u64::from(CHUNK);
    for (chunks, size, reported, expected) in [
        (vec![], 1, 0, 1),
        (vec![full(0)], 0, 1, 0),
        (vec![full(0)], size + 1, 1, 2),
        (vec![full(0)], size - 1, 1, 1),
        (vec![full(0), full(2)], 3 * size, 2, 3),
        (vec![full(0), full(2)], 2 * size, 2, 2),
        (vec![full(0), chunk(1, 9, 0, &[1, 2])], size + 8, 2, 2),
        (vec![full(0), chunk(1, 9, 0, &[1, 2])], 2 * size, 2, 2),
        (vec![chunk(0, 9, 0, &[1, 2]), full(1)], size + 9, 2, 2),
        (vec![full(0)], u64::MAX, 1, u64::MAX.div_ceil(size)),
    ] {
        let mut machine = Machine::with_nodes(3);
        let file = machine.open(1, "a");
        let refusal = Err(Refusal::Incomplete { reported, expected });
        let text = format!("{chunks:?} as {size} bytes");
        assert_eq!(machine.commit(commit_request(file, 1, size, vec![report(0, 1, chunks)])), refusal, "{text}");
        assert_eq!(machine.names(), [""; 0]);
    }
}

#[test]
fn a_commit_reads_no_more_for_a_large_file_than_for_a_small_one() {
    let gets = |groups: u32| {
        let mut machine = Machine::with_nodes(3);
        let file = machine.open(1, "a");
        for group in 1..=groups {
            let mut request = allocate_request(file, 1, group, 1);
            let chunks = (0..16).map(|slot| chunk((group - 1) * 16 + slot, CHUNK, 0, &[1, 2, 3])).collect();
            request.reports = vec![report(group - 1, 1, chunks)];
            machine.allocate(request, &[1, 2, 3]).unwrap();
        }
        machine.state.gets.set(0);
        machine.commit(commit_request(file, 1, u64::from(groups) * 16 * u64::from(CHUNK), vec![])).unwrap();
        machine.state.gets.get()
    };
    assert_eq!(gets(1), gets(200));
}

#[test]
fn a_request_with_too_many_reports_is_malformed() {
    let mut machine = Machine::with_nodes(3);
    let file = machine.open(1, "a");
    let reports = vec![report(0, 1, vec![]); REPORT_GROUPS_MAX + 1];
    assert_eq!(machine.commit(commit_request(file, 1, 0, reports)), Err(Refusal::Malformed));
}

#[test]
fn an_entry_that_is_too_large_is_told_to_the_leader() {
    let reports = vec![report(0, 1, vec![chunk(0, 1, 0, &[u64::MAX; 30_000])])];
    let command = Command::Commit { request: commit_request(FileId(1), 1, 1, reports) };
    assert_eq!(Entry { time: ClusterTime(0), command }.check_size(), Err(Refusal::TooLarge));
    assert_eq!(Entry { time: ClusterTime(0), command: Command::Tick }.check_size(), Ok(()));
}

#[test]
fn a_commit_is_refused_while_copies_that_were_reported_do_not_count_any_more() {
    let mut machine = Machine::with_nodes(4);
    let (file, other) = (machine.open(1, "a"), machine.open(2, "b"));
    let first = vec![report(0, 1, vec![chunk(0, CHUNK, 7, &[1, 2])])];
    machine.allocate(AllocateGroup { reports: first, ..allocate_request(file, 1, 0, 1) }, &[]).unwrap();
    machine.register(2, 20, 99).unwrap();
    let commit = commit_request(file, 1, u64::from(CHUNK), Vec::new());
    assert_eq!(machine.commit(commit.clone()), Err(Refusal::CopiesLost));
    // Told once more of the copy on the store that is gone, it is not counted either.
    let again = vec![report(0, 1, vec![chunk(0, CHUNK, 7, &[1, 2])])];
    assert_eq!(machine.commit(CommitFile { reports: again, ..commit.clone() }), Err(Refusal::CopiesLost));
    let third = vec![report(0, 1, vec![chunk(0, CHUNK, 7, &[1, 3])])];
    assert_eq!(machine.commit(CommitFile { reports: third, ..commit }).unwrap().size, u64::from(CHUNK));
    // What another upload lost is no matter of this one.
    let whole = vec![report(0, 1, vec![chunk(0, CHUNK, 8, &[1, 3])])];
    assert!(machine.commit(commit_request(other, 2, u64::from(CHUNK), whole)).is_ok());
}
