//! Reports of clients, and late reports of primaries.

use super::*;
use crate::id::ChunkId;
use crate::limit::LATE_REPORTS_PER_ENTRY_MAX;
use crate::wire::membership::LateReport;

fn hand_in(machine: &mut Machine, file: FileId, reports: Vec<GroupReport>) -> Result<Allocation, Refusal> {
    let request = AllocateGroup { reports, ..allocate_request(file, 1, 0, 1) };
    machine.allocate(request, &[])
}

fn late(file: FileId, epoch: u32, chunk: ChunkReport) -> LateReport {
    let ChunkReport { index, length, checksum, holders } = chunk;
    LateReport { chunk: ChunkId { file, index }, epoch: Epoch(epoch), length, checksum, holders }
}

fn record(machine: &mut Machine, reports: Vec<LateReport>) -> Result<Outcome, Refusal> {
    machine.apply(Command::RecordCopies { reporter: NodeId(1), incarnation: Incarnation(1), reports })
}

fn held(machine: &Machine, file: FileId) -> Vec<(u64, u16)> {
    machine.locate(file)[0].holders.iter().map(|holder| (holder.node.0, holder.held.0)).collect()
}

#[test]
fn a_report_that_does_not_fit_is_refused() {
    let mut machine = Machine::with_nodes(4);
    let file = machine.open(1, "a");
    hand_in(&mut machine, file, vec![report(0, 1, vec![chunk(0, CHUNK, 0, &[1, 2]), chunk(5, 9, 0, &[1, 2])])])
        .unwrap();
    for (why, refusal, reports) in [
        ("one holder", Refusal::BadReport, report(0, 1, vec![chunk(1, CHUNK, 0, &[1])])),
        ("one holder twice", Refusal::BadReport, report(0, 1, vec![chunk(1, CHUNK, 0, &[1, 1])])),
        ("a holder outside the placement", Refusal::BadReport, report(0, 1, vec![chunk(1, CHUNK, 0, &[1, 4])])),
        ("other bytes", Refusal::BadReport, report(0, 1, vec![chunk(0, CHUNK, 1, &[1, 2])])),
        ("another length", Refusal::BadReport, report(0, 1, vec![chunk(5, 8, 0, &[1, 2])])),
        ("no bytes", Refusal::BadReport, report(0, 1, vec![chunk(1, 0, 0, &[1, 2])])),
        ("too many bytes", Refusal::BadReport, report(0, 1, vec![chunk(1, CHUNK + 1, 0, &[1, 2])])),
        ("a second short chunk", Refusal::BadReport, report(0, 1, vec![chunk(1, 9, 0, &[1, 2])])),
        ("a group without placement", Refusal::BadReport, report(1, 1, vec![chunk(16, CHUNK, 0, &[1, 2])])),
        ("another group's chunk", Refusal::Malformed, report(0, 1, vec![chunk(16, CHUNK, 0, &[1, 2])])),
        ("a chunk twice", Refusal::Malformed, report(0, 1, vec![chunk(1, CHUNK, 0, &[1, 2]); 2])),
        (
            "an epoch to come",
            Refusal::StaleEpoch { current: Epoch(1) },
            report(0, 2, vec![chunk(1, CHUNK, 0, &[1, 2])]),
        ),
    ] {
        assert_eq!(hand_in(&mut machine, file, vec![reports]), Err(refusal), "{why}");
    }
}

#[test]
fn the_same_chunk_reported_again_adds_holders_and_counts_once() {
    let mut machine = Machine::with_nodes(3);
    let file = machine.open(1, "a");
    hand_in(&mut machine, file, vec![report(0, 1, vec![chunk(0, CHUNK, 0, &[1, 2])])]).unwrap();
    hand_in(&mut machine, file, vec![report(0, 1, vec![chunk(0, CHUNK, 0, &[2, 3])])]).unwrap();
    machine.commit(commit_request(file, 1, u64::from(CHUNK), vec![])).unwrap();
    assert_eq!(held(&machine, file), [(1, 1), (2, 1), (3, 1)]);
}

#[test]
fn a_chunk_of_a_passed_epoch_is_refused_unless_it_was_taken_in_then() {
    let mut machine = Machine::with_nodes(3);
    let file = machine.open(1, "a");
    hand_in(&mut machine, file, vec![report(0, 1, vec![chunk(0, CHUNK, 0, &[1, 2])])]).unwrap();
    machine.allocate(allocate_request(file, 1, 0, 2), &[2, 3]).unwrap();
    let stale = Refusal::StaleEpoch { current: Epoch(2) };
    let reports = vec![report(0, 1, vec![chunk(1, CHUNK, 0, &[1, 2])])];
    assert_eq!(hand_in(&mut machine, file, reports), Err(stale.clone()));
    hand_in(&mut machine, file, vec![report(0, 1, vec![chunk(0, CHUNK, 0, &[1, 3])])]).unwrap();
    // Written again under the present epoch, its old copies count no more.
    hand_in(&mut machine, file, vec![report(0, 2, vec![chunk(0, CHUNK, 1, &[2, 3])])]).unwrap();
    assert_eq!(hand_in(&mut machine, file, vec![report(0, 1, vec![chunk(0, CHUNK, 0, &[1, 2])])]), Err(stale));
    machine.commit(commit_request(file, 1, u64::from(CHUNK), vec![])).unwrap();
    assert_eq!(held(&machine, file), [(2, 1), (3, 1)]);
    let located = &machine.locate(file)[0];
    assert_eq!(
        (located.epoch, located.chunks[0].epoch, located.chunks[0].checksum),
        (Epoch(2), Epoch(2), checksum(0, 1))
    );
}

#[test]
fn chunks_of_one_group_keep_the_epochs_under_which_they_were_written() {
    let mut machine = Machine::with_nodes(4);
    let file = machine.open(1, "a");
    let mut request = allocate_request(file, 1, 0, 2);
    request.reports = vec![report(0, 1, vec![chunk(0, CHUNK, 0, &[1, 2]), chunk(2, CHUNK, 0, &[1, 3])])];
    machine.allocate(request, &[4, 2]).unwrap();
    hand_in(&mut machine, file, vec![report(0, 2, vec![chunk(1, CHUNK, 0, &[4, 2])])]).unwrap();
    machine.commit(commit_request(file, 1, 3 * u64::from(CHUNK), vec![])).unwrap();
    let located = &machine.locate(file)[0];
    let chunks: Vec<_> = located.chunks.iter().map(|chunk| (chunk.epoch.0, chunk.checksum)).collect();
    assert_eq!(chunks, [(1, checksum(0, 0)), (2, checksum(1, 0)), (1, checksum(2, 0))]);
    assert_eq!(held(&machine, file), [(1, 0b101), (2, 0b011), (3, 0b100), (4, 0b010)]);
}

#[test]
fn the_short_chunk_may_become_full_under_a_newer_epoch() {
    let mut machine = Machine::with_nodes(3);
    let file = machine.open(1, "a");
    let mut request = allocate_request(file, 1, 0, 2);
    request.reports = vec![report(0, 1, vec![chunk(0, 100, 0, &[1, 2])])];
    machine.allocate(request, &[1, 2, 3]).unwrap();
    let chunks = vec![chunk(0, CHUNK, 1, &[1, 2]), chunk(1, 7, 0, &[1, 2])];
    hand_in(&mut machine, file, vec![report(0, 2, chunks)]).unwrap();
    machine.commit(commit_request(file, 1, u64::from(CHUNK) + 7, vec![])).unwrap();
}

#[test]
fn late_copies_are_added_to_open_and_committed_files() {
    let mut machine = Machine::with_nodes(4);
    let file = machine.open(1, "a");
    let taken = |taken| Ok(Outcome::Recorded { taken });
    // Its client vanished before it could report chunk 0; one copy of chunk 3 is not enough to make it known.
    let reports = vec![late(file, 1, chunk(0, CHUNK, 0, &[1, 2])), late(file, 1, chunk(3, CHUNK, 0, &[1]))];
    assert_eq!(record(&mut machine, reports), taken(2));
    let unfit = vec![
        late(file, 1, chunk(0, CHUNK, 1, &[1, 3])),
        late(file, 1, chunk(0, CHUNK - 1, 0, &[1, 3])),
        late(file, 1, chunk(0, CHUNK, 0, &[1, 4])),
        late(file, 2, chunk(0, CHUNK, 0, &[1, 3])),
        late(file, 1, chunk(99, CHUNK, 0, &[1, 3])),
        late(FileId(77), 1, chunk(0, CHUNK, 0, &[1, 3])),
    ];
    assert_eq!(record(&mut machine, unfit.clone()), taken(6));
    machine.commit(commit_request(file, 1, u64::from(CHUNK), vec![])).unwrap();
    assert_eq!(held(&machine, file), [(1, 1), (2, 1)]);
    assert_eq!(record(&mut machine, unfit), taken(6));
    assert_eq!(held(&machine, file), [(1, 1), (2, 1)]);
    let new_chunk = late(file, 1, chunk(3, CHUNK, 0, &[1, 2, 3]));
    assert_eq!(record(&mut machine, vec![new_chunk, late(file, 1, chunk(0, CHUNK, 0, &[3]))]), taken(2));
    assert_eq!(held(&machine, file), [(1, 1), (2, 1), (3, 1)]);
    assert_eq!(machine.locate(file)[0].chunks.len(), 1, "a committed file gets no new chunks");
    machine.delete(1, by_name("a")).unwrap();
    let before = machine.state.pairs.clone();
    assert_eq!(record(&mut machine, vec![late(file, 1, chunk(0, CHUNK, 0, &[2]))]), taken(1));
    assert_eq!(machine.state.pairs, before);
}

#[test]
fn late_reports_of_an_older_incarnation_or_a_stranger_are_refused() {
    let mut machine = Machine::with_nodes(3);
    machine.register(1, 99, 1).unwrap();
    assert_eq!(record(&mut machine, vec![]), Err(Refusal::StaleIncarnation));
    let stranger = Command::RecordCopies { reporter: NodeId(9), incarnation: Incarnation(1), reports: vec![] };
    assert_eq!(machine.apply(stranger), Err(Refusal::StaleIncarnation));
    let too_many = vec![late(FileId(1), 1, chunk(0, 1, 0, &[1])); LATE_REPORTS_PER_ENTRY_MAX + 1];
    assert_eq!(record(&mut machine, too_many), Err(Refusal::Malformed));
}

#[test]
fn copies_on_a_store_that_is_gone_do_not_count() {
    let mut machine = Machine::with_nodes(3);
    let info = machine.upload("a", 2);
    assert_eq!(held(&machine, info.file), [(1, 0b11), (2, 0b11)]);
    machine.register(2, 50, 2).unwrap();
    assert_eq!(held(&machine, info.file), [(1, 0b11), (2, 0b11)], "a restart with its store loses nothing");
    machine.register(2, 51, 777).unwrap();
    assert_eq!(held(&machine, info.file), [(1, 0b11)]);
    // A report of the old placement that was under way meanwhile brings nothing back.
    assert!(record(&mut machine, vec![late(info.file, 1, chunk(0, CHUNK, 0, &[2, 3]))]).is_ok());
    assert_eq!(held(&machine, info.file), [(1, 0b11), (3, 0b01)]);
    // The new store counts for what is placed on it.
    let info = machine.upload("b", 1);
    assert_eq!(held(&machine, info.file), [(1, 1), (2, 1)]);
}

#[test]
fn a_late_report_of_an_old_store_does_not_hide_the_copies_on_the_new_one() {
    let mut machine = Machine::with_nodes(3);
    let file = machine.open(1, "a");
    hand_in(&mut machine, file, vec![report(0, 1, vec![chunk(0, CHUNK, 0, &[1, 2])])]).unwrap();
    machine.register(2, 50, 777).unwrap();
    machine.allocate(allocate_request(file, 1, 0, 2), &[2, 3]).unwrap();
    hand_in(&mut machine, file, vec![report(0, 2, vec![chunk(1, CHUNK, 0, &[2, 3])])]).unwrap();
    record(&mut machine, vec![late(file, 1, chunk(0, CHUNK, 0, &[2, 3]))]).unwrap();
    machine.commit(commit_request(file, 1, 2 * u64::from(CHUNK), vec![])).unwrap();
    assert_eq!(held(&machine, file), [(1, 0b01), (2, 0b10), (3, 0b11)]);
}

/// A59.
#[test]
fn a_late_report_counts_from_the_primary_of_its_chunk_only() {
    let mut machine = Machine::with_nodes(4);
    let file = machine.open(1, "a");
    let tell = |machine: &mut Machine, reporter, holders: &[u64]| {
        let reports = vec![late(file, 1, chunk(1, CHUNK, 0, holders))];
        let command = Command::RecordCopies { reporter: NodeId(reporter), incarnation: Incarnation(1), reports };
        assert_eq!(machine.apply(command), Ok(Outcome::Recorded { taken: 1 }));
    };
    let commit = commit_request(file, 1, 2 * u64::from(CHUNK), vec![report(0, 1, vec![chunk(0, CHUNK, 0, &[1, 2])])]);
    // The placement is of nodes 1, 2 and 3, so node 2 is the primary of chunk 1.
    for other in [1, 3, 4] {
        tell(&mut machine, other, &[1, 2]);
    }
    let incomplete = Refusal::Incomplete { reported: 1, expected: 2 };
    assert_eq!(machine.commit(commit.clone()), Err(incomplete), "only its primary makes a chunk known");
    tell(&mut machine, 2, &[1, 2]);
    machine.commit(commit).unwrap();
    for other in [1, 3, 4] {
        tell(&mut machine, other, &[3]);
    }
    assert_eq!(held(&machine, file), [(1, 0b11), (2, 0b11)], "nobody else adds a copy to it");
    tell(&mut machine, 2, &[3]);
    assert_eq!(held(&machine, file), [(1, 0b11), (2, 0b11), (3, 0b10)]);
}
