//! Overwriting: versions that replace each other.

use super::*;
use crate::limit::VERSION_GRACE_MS;

fn by_id(machine: &Machine, file: FileId) -> Result<FileInfo, Refusal> {
    stat(&machine.state, &FileTarget::Id(file)).unwrap()
}

/// Commits an upload without chunks.
fn commit(machine: &mut Machine, file: FileId, nonce: u128) -> Result<FileInfo, Refusal> {
    machine.commit(commit_request(file, nonce, 0, vec![]))
}

#[test]
fn a_commit_replaces_the_version_that_its_upload_saw_in_one_entry() {
    let mut machine = Machine::with_nodes(3);
    let old = machine.upload("a/b", 2);
    let new = machine.open_over(1, "a/b");
    assert_eq!(machine.stat("a/b"), Ok(old.clone()), "the old version is there until the commit");
    let entries = machine.log.len();
    let info = commit(&mut machine, new, 1).unwrap();
    assert_eq!(machine.log.len() - entries, 1);
    assert_eq!((machine.stat("a/b"), info.file, info.size), (Ok(info.clone()), new, 0));
    assert_eq!(machine.names(), ["a/b"]);
    let expected = Totals { files: 1, file_bytes: 0, open_uploads: 0, storage_nodes: 3 };
    assert_eq!(totals(&machine.state).unwrap(), expected);
}

#[test]
fn a_replaced_version_stays_readable_by_its_id_until_its_grace_ends() {
    let mut machine = Machine::with_nodes(3);
    let old = machine.upload("a/b", 2);
    let groups = machine.locate(old.file);
    machine.now = 5_000;
    let new = machine.open_over(1, "a/b");
    commit(&mut machine, new, 1).unwrap();
    machine.delete(1, by_name("a/b")).unwrap();
    machine.now += VERSION_GRACE_MS - 1;
    machine.apply(Command::Tick).unwrap();
    assert_eq!(by_id(&machine, old.file), Ok(old.clone()), "its directory has gone, its name is still told");
    assert_eq!(machine.locate(old.file), groups);
    assert_eq!(machine.delete(2, FileTarget::Id(old.file)), Err(Refusal::NotFound), "it has no name to take away");
    assert!(needs_ticks(&machine.state, ClusterTime(machine.now)).unwrap());
    machine.now += 1;
    machine.apply(Command::Tick).unwrap();
    assert_eq!(by_id(&machine, old.file), Err(Refusal::NotFound));
    let located = locate(&machine.state, &LocateGroups { file: old.file, first: GroupIndex(0), limit: 1 });
    assert_eq!(located.unwrap(), Err(Refusal::NotFound));
}

#[test]
fn time_goes_on_while_a_grace_lasts() {
    let mut machine = Machine::with_nodes(3);
    machine.upload("a", 0);
    assert!(!needs_ticks(&machine.state, ClusterTime(machine.now)).unwrap());
    let new = machine.open_over(1, "a");
    commit(&mut machine, new, 1).unwrap();
    assert!(needs_ticks(&machine.state, ClusterTime(machine.now)).unwrap());
    machine.now += VERSION_GRACE_MS;
    machine.apply(Command::Tick).unwrap();
    assert!(!needs_ticks(&machine.state, ClusterTime(machine.now)).unwrap());
}

#[test]
fn of_two_that_replace_the_same_version_one_is_refused_and_loses_nothing() {
    let mut machine = Machine::with_nodes(3);
    machine.upload("a", 1);
    let (first, second) = (machine.open_over(1, "a"), machine.open_over(2, "a"));
    let winner = commit(&mut machine, second, 2).unwrap();
    assert_eq!(commit(&mut machine, first, 1), Err(Refusal::Replaced));
    assert_eq!(machine.stat("a"), Ok(winner));
    // Whoever looks again replaces the winner.
    let again = machine.open_over(3, "a");
    assert_eq!(commit(&mut machine, again, 3).unwrap().file, again);
    assert_eq!(machine.stat("a").unwrap().file, again);
}

#[test]
fn a_version_that_took_a_free_name_meanwhile_is_not_replaced() {
    let mut machine = Machine::with_nodes(3);
    let late = machine.open_over(1, "a");
    let present = machine.upload("a", 1);
    assert_eq!(commit(&mut machine, late, 1), Err(Refusal::Replaced));
    assert_eq!(machine.stat("a"), Ok(present));
}

#[test]
fn a_name_that_was_freed_meanwhile_is_taken() {
    let mut machine = Machine::with_nodes(3);
    let old = machine.upload("a", 1);
    let new = machine.open_over(1, "a");
    machine.delete(1, by_name("a")).unwrap();
    assert_eq!(commit(&mut machine, new, 1).unwrap().file, new);
    assert_eq!(by_id(&machine, old.file), Err(Refusal::NotFound), "a deleted version has no grace");
    assert_eq!(totals(&machine.state).unwrap().files, 1);
}

#[test]
fn directories_are_not_replaced_and_files_do_not_become_directories() {
    let mut machine = Machine::with_nodes(3);
    machine.upload("a/b", 1);
    for text in ["a", "a/b/c"] {
        let request = CreateFile { replace: true, ..create_request(1, text) };
        assert_eq!(creation_state(&machine.state, &request).unwrap(), Err(Refusal::NameConflict));
        assert_eq!(machine.create(request, &[1, 2, 3]), Err(Refusal::NameConflict), "{text}");
    }
    let late = machine.open_over(2, "x");
    machine.upload("x/y", 1);
    assert_eq!(commit(&mut machine, late, 2), Err(Refusal::NameConflict));
}

#[test]
fn without_leave_to_replace_an_existing_name_is_refused_as_ever() {
    let mut machine = Machine::with_nodes(3);
    let open = machine.open(1, "a");
    let present = machine.upload("a", 1);
    assert_eq!(machine.create(create_request(2, "a"), &[1, 2, 3]), Err(Refusal::NameExists));
    let reports = vec![report(0, 1, vec![chunk(0, CHUNK, 0, &[1, 2])])];
    assert_eq!(machine.commit(commit_request(open, 1, u64::from(CHUNK), reports)), Err(Refusal::NameExists));
    assert_eq!(machine.stat("a"), Ok(present));
}

#[test]
fn a_repeated_commit_of_a_version_that_was_replaced_since_is_answered_like_the_first() {
    let mut machine = Machine::with_nodes(3);
    let first = machine.open_over(1, "a");
    let told = commit(&mut machine, first, 1).unwrap();
    let second = machine.open_over(2, "a");
    let present = commit(&mut machine, second, 2).unwrap();
    let before = machine.state.pairs.clone();
    machine.now += VERSION_GRACE_MS - 1;
    assert_eq!(commit(&mut machine, first, 1), Ok(told));
    assert_eq!(commit(&mut machine, first, 9), Err(Refusal::UploadGone), "only its writer is answered");
    let counters = &super::super::key::COUNTERS[..];
    let changed = machine.state.pairs.iter().filter(|(key, value)| before.get(*key) != Some(value));
    assert!(changed.map(|(key, _)| &key[..]).eq([counters]), "nothing but time has changed");
    machine.now += 1;
    assert_eq!(commit(&mut machine, first, 1), Err(Refusal::UploadGone));
    assert_eq!(machine.stat("a"), Ok(present));
}

#[test]
fn late_copies_of_a_replaced_version_are_recorded_for_its_readers() {
    let mut machine = Machine::with_nodes(3);
    let old = machine.upload("a", 1);
    let new = machine.open_over(1, "a");
    commit(&mut machine, new, 1).unwrap();
    let told = chunk(0, CHUNK, 0, &[3]);
    let late = LateReport {
        chunk: crate::id::ChunkId { file: old.file, index: told.index },
        epoch: Epoch(1),
        length: told.length,
        checksum: told.checksum,
        holders: told.holders,
    };
    let (reporter, incarnation) = (NodeId(1), Incarnation(1));
    machine.apply(Command::RecordCopies { reporter, incarnation, reports: vec![late] }).unwrap();
    let holders: Vec<u64> = machine.locate(old.file)[0].holders.iter().map(|holder| holder.node.0).collect();
    assert_eq!(holders, [1, 2, 3]);
}

#[test]
fn a_run_that_goes_on_replaces_the_version_that_it_finds_and_not_the_one_before() {
    let mut machine = Machine::with_nodes(3);
    machine.upload("a", 1);
    let late = machine.open_over(1, "a");
    let between = machine.open_over(2, "a");
    commit(&mut machine, between, 2).unwrap();
    assert_eq!(commit(&mut machine, late, 1), Err(Refusal::Replaced));
    assert_eq!(machine.resume(resume_request(3, "a", 0)), Err(Refusal::NameExists), "it must have leave to replace");
    let again = ResumeUpload { replace: true, ..resume_request(3, "a", 0) };
    assert!(matches!(machine.resume(again.clone()).unwrap(), FoundUpload::Resumed(_)));
    let newest = machine.open_over(4, "a");
    commit(&mut machine, newest, 4).unwrap();
    assert!(matches!(machine.resume(again).unwrap(), FoundUpload::Resumed(_)), "a repeated request means the first");
    assert_eq!(commit(&mut machine, late, 3), Err(Refusal::Replaced));
    machine.resume(ResumeUpload { replace: true, ..resume_request(5, "a", 0) }).unwrap();
    assert_eq!(commit(&mut machine, late, 5).unwrap().file, late);
    assert_eq!(machine.stat("a").unwrap().file, late);
}
