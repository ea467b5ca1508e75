//! Going on with an upload of an earlier run.

use super::super::record::{FileRecord, Record};
use super::*;
use crate::limit::RESUME_CANDIDATES_MAX;
use crate::wire::metadata::{LocateUpload, RecordedChunk, ResumedUpload, UploadDifference};

const SIZE: u64 = 20 * CHUNK as u64;

/// An open upload of [`SIZE`] bytes with its first group on nodes 1, 2 and 3.
fn open(machine: &mut Machine, nonce: u128, text: &str) -> FileId {
    let request = CreateFile { size_hint: Some(SIZE), ..create_request(nonce, text) };
    machine.create(request, &[1, 2, 3]).unwrap().file
}

fn locate_from(machine: &Machine, file: FileId, nonce: u128, first: u32) -> Result<Vec<OpenGroup>, Refusal> {
    let request = LocateUpload { file, nonce: UploadNonce(nonce), first: GroupIndex(first), limit: u32::MAX };
    locate_upload(&machine.state, &request).unwrap()
}

fn nothing_is_resumed(machine: &mut Machine, request: ResumeUpload, expected: FoundUpload) {
    let before = machine.state.pairs.clone();
    let told = resumption_state(&machine.state, &request).unwrap().unwrap();
    assert_eq!(told, Resumption::Answered(expected.clone()));
    assert_eq!(machine.resume(request).unwrap(), expected);
    assert_eq!(machine.state.pairs, before);
}

#[test]
fn a_later_run_takes_over_and_the_earlier_one_can_do_nothing_any_more() {
    let mut machine = Machine::with_nodes(3);
    let file = open(&mut machine, 1, "a");
    let reports = vec![report(0, 1, (0..16).map(|index| chunk(index, CHUNK, 0, &[1, 2])).collect())];
    machine.allocate(AllocateGroup { reports, ..allocate_request(file, 1, 1, 1) }, &[1, 2, 3]).unwrap();
    let request = resume_request(2, "a", SIZE);
    assert_eq!(resumption_state(&machine.state, &request).unwrap(), Ok(Resumption::Needed));
    let taken = FoundUpload::Resumed(ResumedUpload { file, replication: 3, groups: 2, reported: 16 });
    assert_eq!(machine.resume(request.clone()).unwrap(), taken);
    // Again: the same answer, and nothing changes.
    nothing_is_resumed(&mut machine, request, taken);

    let gone = Err(Refusal::UploadGone);
    assert_eq!(machine.allocate(allocate_request(file, 1, 1, 2), &[1, 2]), gone);
    let rest = |epoch| vec![report(1, epoch, (16..20).map(|index| chunk(index, CHUNK, 0, &[2, 3])).collect())];
    let late = machine.commit(commit_request(file, 1, SIZE, rest(1)));
    assert_eq!(late.unwrap_err(), Refusal::UploadGone);
    assert_eq!(locate_from(&machine, file, 1, 0).unwrap_err(), Refusal::UploadGone);

    machine.allocate(allocate_request(file, 2, 1, 2), &[2, 3]).unwrap();
    let info = machine.commit(commit_request(file, 2, SIZE, rest(2))).unwrap();
    assert_eq!((info.file, info.size), (file, SIZE));
    nothing_is_resumed(&mut machine, resume_request(3, "b", SIZE), FoundUpload::Nothing);
    assert_eq!(machine.resume(resume_request(3, "a", SIZE)), Err(Refusal::NameExists));
    assert_eq!(machine.state.pairs.keys().filter(|key| key[0] == 16).count(), 0, "nothing is left of it");
}

#[test]
fn only_an_upload_of_the_same_source_with_the_same_parameters_is_resumed() {
    let mut machine = Machine::with_nodes(3);
    open(&mut machine, 1, "a");
    machine.create(create_request(2, "unsized"), &[1, 2, 3]).unwrap();
    let request = || resume_request(9, "a", SIZE);
    for (request, difference) in [
        (ResumeUpload { size: SIZE + 1, ..request() }, UploadDifference::Size),
        (ResumeUpload { name: name("unsized"), ..request() }, UploadDifference::Size),
        (ResumeUpload { modified: WallTime(1), ..request() }, UploadDifference::Modified),
        (
            ResumeUpload { chunk_size: ChunkSize::try_from(2 * CHUNK).unwrap(), ..request() },
            UploadDifference::ChunkSize,
        ),
        (ResumeUpload { replication: Some(2), ..request() }, UploadDifference::Replication),
    ] {
        nothing_is_resumed(&mut machine, request, FoundUpload::Other(difference));
    }
    for other in ["a/b", "b", "A"] {
        nothing_is_resumed(&mut machine, resume_request(9, other, SIZE), FoundUpload::Nothing);
    }
    // What was asked for by number is what the cluster would have taken.
    let told = machine.resume(ResumeUpload { replication: Some(3), ..request() }).unwrap();
    assert!(matches!(told, FoundUpload::Resumed(_)), "{told:?}");
    let too_many = ResumeUpload { replication: Some(4), ..request() };
    assert_eq!(
        machine.resume(ResumeUpload { nonce: UploadNonce(10), ..too_many }),
        Err(Refusal::TooManyCopies { asked: 4, nodes: 3 })
    );
}

#[test]
fn a_source_that_will_be_compared_may_have_another_time_which_the_file_gets() {
    let mut machine = Machine::with_nodes(3);
    let file = open(&mut machine, 1, "a");
    let request = ResumeUpload { modified: WallTime(1), compared: true, ..resume_request(2, "a", SIZE) };
    let other_size = ResumeUpload { size: SIZE + 1, ..request.clone() };
    nothing_is_resumed(&mut machine, other_size, FoundUpload::Other(UploadDifference::Size));
    let told = machine.resume(request);
    assert!(matches!(told, Ok(FoundUpload::Resumed(ref resumed)) if resumed.file == file), "{told:?}");
    let record = machine.state.pairs[&key::file(file)[..]].clone();
    assert_eq!(FileRecord::from_bytes(&key::file(file), &record).unwrap().modified, WallTime(1));
    // If that run is broken off, too, chunks of both sources may be there, whichever time the next one has.
    for modified in [WallTime(1), create_request(1, "a").modified] {
        let trusting = ResumeUpload { modified, ..resume_request(3, "a", SIZE) };
        nothing_is_resumed(&mut machine, trusting, FoundUpload::Other(UploadDifference::Modified));
    }
    let comparing = ResumeUpload { modified: WallTime(1), compared: true, ..resume_request(4, "a", SIZE) };
    assert!(matches!(machine.resume(comparing), Ok(FoundUpload::Resumed(_))));
}

#[test]
fn the_newest_of_several_is_resumed() {
    let mut machine = Machine::with_nodes(3);
    let older = open(&mut machine, 1, "a");
    let newer = open(&mut machine, 2, "a");
    machine.create(create_request(3, "a"), &[1, 2, 3]).unwrap();
    let told = |found| match found {
        FoundUpload::Resumed(resumed) => resumed.file,
        other => panic!("{other:?}"),
    };
    assert_eq!(told(machine.resume(resume_request(4, "a", SIZE)).unwrap()), newer);
    // Another run comes, and is given the same; the one before it is out.
    assert_eq!(told(machine.resume(resume_request(5, "a", SIZE)).unwrap()), newer);
    assert_eq!(machine.allocate(allocate_request(newer, 4, 1, 1), &[1, 2]), Err(Refusal::UploadGone));
    assert!(machine.allocate(allocate_request(older, 1, 1, 1), &[1, 2]).is_ok(), "the older one is let alone");
}

#[test]
fn no_more_open_uploads_are_looked_at_than_a_bound() {
    let mut machine = Machine::with_nodes(3);
    open(&mut machine, 1, "a");
    for nonce in 0..RESUME_CANDIDATES_MAX as u128 {
        machine.create(create_request(100 + nonce, "a"), &[1, 2, 3]).unwrap();
    }
    machine.state.scan_limit_max.set(0);
    nothing_is_resumed(&mut machine, resume_request(9, "a", SIZE), FoundUpload::Other(UploadDifference::Size));
    assert_eq!(machine.state.scan_limit_max.get(), RESUME_CANDIDATES_MAX);
}

#[test]
fn an_open_upload_shows_its_placements_and_the_chunks_that_are_safe() {
    let mut machine = Machine::with_nodes(4);
    let file = open(&mut machine, 1, "a");
    let told = vec![chunk(0, CHUNK, 0, &[1, 2]), chunk(2, CHUNK, 0, &[2, 3]), chunk(5, 9, 0, &[2, 3])];
    let request = AllocateGroup { reports: vec![report(0, 1, told)], ..allocate_request(file, 1, 0, 2) };
    machine.allocate(request, &[4, 3]).unwrap();
    machine.allocate(allocate_request(file, 1, 1, 1), &[1, 4]).unwrap();
    let recorded = |index, length| RecordedChunk {
        index: ChunkIndex(index),
        epoch: Epoch(1),
        length,
        checksum: checksum(index, 0),
    };
    let groups = locate_from(&machine, file, 1, 0).unwrap();
    assert_eq!(groups[0].allocation.nodes, ids(&[4, 3]));
    assert_eq!((groups[0].allocation.epoch, groups[0].allocation.write_quorum), (Epoch(2), 2));
    assert_eq!(groups[0].chunks, [recorded(0, CHUNK), recorded(2, CHUNK), recorded(5, 9)]);
    assert_eq!((groups[1].allocation.nodes.clone(), groups[1].chunks.len()), (ids(&[1, 4]), 0));
    assert_eq!(locate_from(&machine, file, 1, 1).unwrap(), groups[1..]);
    assert_eq!(locate_from(&machine, file, 1, 2).unwrap(), []);
    // Node 1 comes with an empty store: chunk 0 has one copy left, which is not enough.
    machine.register(1, 77, 77).unwrap();
    let groups = locate_from(&machine, file, 1, 0).unwrap();
    assert_eq!(groups[0].chunks, [recorded(2, CHUNK), recorded(5, 9)]);
}

#[test]
fn a_page_of_an_open_upload_fits_a_message() {
    let mut machine = Machine::with_nodes(3);
    let file = open(&mut machine, 1, "a");
    for group in 0..70 {
        let chunks = (0..16).map(|slot| chunk(group * 16 + slot, CHUNK, 0, &[1, 2, 3])).collect();
        let request =
            AllocateGroup { reports: vec![report(group, 1, chunks)], ..allocate_request(file, 1, group + 1, 1) };
        machine.allocate(request, &[1, 2, 3]).unwrap();
    }
    let groups = locate_from(&machine, file, 1, 0).unwrap();
    assert_eq!(groups.len(), 64);
    let chunks: Vec<&Vec<RecordedChunk>> = groups.iter().map(|group| &group.chunks).collect();
    assert!(wire::encode(&chunks).len() < crate::limit::MESSAGE_BYTES_MAX / 4);
}

#[test]
fn a_run_that_goes_on_may_replace_what_it_finds_and_nothing_that_came_later() {
    let mut machine = Machine::with_nodes(3);
    machine.upload("a", 1);
    let request = CreateFile { size_hint: Some(SIZE), replace: true, ..create_request(1, "a") };
    let file = machine.create(request, &[1, 2, 3]).unwrap().file;
    // Another replaces the version that the first run saw.
    let other = machine.create(CreateFile { replace: true, ..create_request(2, "a") }, &[1, 2, 3]).unwrap().file;
    let reports = vec![report(0, 1, vec![chunk(0, 5, 0, &[1, 2])])];
    machine.commit(commit_request(other, 2, 5, reports)).unwrap();
    assert_eq!(machine.resume(resume_request(3, "a", SIZE)), Err(Refusal::NameExists));
    let found = machine.resume(ResumeUpload { replace: true, ..resume_request(3, "a", SIZE) }).unwrap();
    assert!(matches!(found, FoundUpload::Resumed(resumed) if resumed.file == file));
    let full = |group: u32, count: u32| {
        let chunks = (0..count).map(|slot| chunk(group * 16 + slot, CHUNK, 0, &[1, 2])).collect();
        vec![report(group, 1, chunks)]
    };
    machine.allocate(AllocateGroup { reports: full(0, 16), ..allocate_request(file, 3, 1, 1) }, &[1, 2, 3]).unwrap();
    machine.commit(commit_request(file, 3, SIZE, full(1, 4))).unwrap();
    assert_eq!(machine.stat("a").unwrap().file, file);
}

/// A20, A21: every request of a run that was resumed, sent again late, changes nothing, also after a delete.
#[test]
fn late_repetitions_of_a_resumed_upload_leave_a_deleted_file_deleted() {
    let mut machine = Machine::with_nodes(3);
    let request = CreateFile { size_hint: Some(u64::from(CHUNK)), ..create_request(1, "a") };
    let file = machine.create(request, &[1, 2, 3]).unwrap().file;
    let resume = resume_request(2, "a", u64::from(CHUNK));
    machine.resume(resume.clone()).unwrap();
    let commit = commit_request(file, 2, u64::from(CHUNK), vec![report(0, 1, vec![chunk(0, CHUNK, 0, &[1, 2])])]);
    machine.commit(commit.clone()).unwrap();
    assert_eq!(machine.resume(resume.clone()), Err(Refusal::NameExists));
    machine.delete(1, by_name("a")).unwrap();
    let before = machine.state.pairs.clone();
    assert_eq!(machine.resume(resume).unwrap(), FoundUpload::Nothing);
    assert_eq!(machine.commit(commit), Err(Refusal::UploadGone));
    assert_eq!(machine.allocate(allocate_request(file, 2, 0, 2), &[1, 2]), Err(Refusal::UploadGone));
    assert_eq!(machine.state.pairs, before);
    assert_eq!(machine.names(), [""; 0]);
}

#[test]
fn a_node_that_came_with_another_store_is_not_asked_what_it_holds_of_an_earlier_placement() {
    let mut machine = Machine::with_nodes(3);
    let file = open(&mut machine, 1, "a");
    machine.register(2, 20, 99).unwrap();
    let nodes = |machine: &Machine| locate_from(machine, file, 1, 0).unwrap()[0].allocation.nodes.clone();
    assert_eq!(nodes(&machine), ids(&[1, 3]));
    machine.allocate(allocate_request(file, 1, 0, 2), &[1, 2, 3]).unwrap();
    assert_eq!(nodes(&machine), ids(&[1, 2, 3]), "it was placed anew since");
}
