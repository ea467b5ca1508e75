//! What receipts of finished orders change, and what they cannot.

use super::super::record::Counters;
use super::*;
use crate::id::ChunkId;
use crate::limit::{COMMAND_BYTES_MAX, RECEIPTS_KEPT_MAX, RECEIPTS_PER_BEAT_MAX};
use crate::wire::membership::{CopyOrder, CopyReason, OrderMark, OrderOutcome};

/// A receipt of a copy to `target` in its life `incarnation`, of a chunk of the first group with content 0.
fn made(file: FileId, index: u32, target: u64, incarnation: u64, replaces: Option<u64>) -> Receipt {
    let copy = CopyOrder {
        target: NodeId(target),
        incarnation: Incarnation(incarnation),
        replaces: replaces.map(NodeId),
        reason: CopyReason::NodeDead,
    };
    let outcome = OrderOutcome::Done { read_back: checksum(index, 0) };
    Receipt { copy: Some(copy), outcome, ..verified(file, index) }
}

fn verified(file: FileId, index: u32) -> Receipt {
    let chunk = ChunkId { file, index: ChunkIndex(index) };
    let outcome = OrderOutcome::Done { read_back: checksum(index, 0) };
    Receipt { mark: OrderMark { term: 1, index: 1 }, chunk, epoch: Epoch(1), copy: None, outcome }
}

fn record(machine: &mut Machine, reporter: u64, receipts: Vec<Receipt>) {
    let (reporter, taken) = (NodeId(reporter), receipts.len() as u32);
    let incarnation = node(&machine.state, reporter).unwrap().unwrap().incarnation;
    let outcome = machine.apply(Command::RecordReceipts { reporter, incarnation, receipts });
    assert_eq!(outcome, Ok(Outcome::Recorded { taken }));
}

/// Node 1 tells that it has copied a chunk.
pub fn copy(machine: &mut Machine, file: FileId, index: u32, target: u64, incarnation: u64) {
    record(machine, 1, vec![made(file, index, target, incarnation, None)]);
}

fn counters(machine: &Machine) -> Counters {
    super::super::record::read(&machine.state, &super::super::key::COUNTERS).unwrap().unwrap()
}

/// Node, held, verified.
fn holders(machine: &Machine, file: FileId) -> Vec<(u64, u16, u16)> {
    let one = |holder: &crate::wire::metadata::GroupHolder| (holder.node.0, holder.held.0, holder.verified.0);
    machine.locate(file)[0].holders.iter().map(one).collect()
}

#[test]
fn a_copy_takes_the_place_of_a_dead_nodes_in_one_entry() {
    let mut machine = Machine::with_nodes(4);
    let file = machine.upload("a", 2).file;
    assert_eq!(holders(&machine, file), [(1, 0b11, 0), (2, 0b11, 0)]);
    machine.now = 5;
    record(&mut machine, 1, vec![made(file, 1, 4, 1, Some(2))]);
    assert_eq!(holders(&machine, file), [(1, 0b11, 0b10), (2, 0b01, 0), (4, 0b10, 0b10)]);
    record(&mut machine, 1, vec![made(file, 0, 4, 1, Some(2))]);
    assert_eq!(holders(&machine, file), [(1, 0b11, 0b11), (4, 0b11, 0b11)]);
    assert_eq!(groups_on(&machine.state, NodeId(2), None, 9).unwrap(), [], "nothing of it is on node 2 any more");
    let kept = receipts(&machine.state, None, 9).unwrap();
    let read_back = checksum(1, 0);
    let change =
        CopyChange::Made { target: NodeId(4), replaced: Some(NodeId(2)), reason: CopyReason::NodeDead, read_back };
    assert_eq!(
        kept[0],
        (
            0,
            ReceiptRecord {
                at: ClusterTime(5),
                chunk: ChunkId { file, index: ChunkIndex(1) },
                epoch: Epoch(1),
                source: NodeId(1),
                change
            }
        )
    );
    assert_eq!(receipts(&machine.state, Some(0), 9).unwrap().len(), 1);
    assert_eq!((counters(&machine).copies_made, counters(&machine).receipts_passed_over), (2, 0));
}

#[test]
fn a_receipt_told_twice_counts_once_and_takes_no_further_copy_away() {
    let mut machine = Machine::with_nodes(4);
    let file = machine.upload("a", 1).file;
    record(&mut machine, 1, vec![made(file, 0, 4, 1, None)]);
    let before = machine.locate(file);
    record(&mut machine, 1, vec![made(file, 0, 4, 1, None), made(file, 0, 4, 1, Some(2))]);
    assert_eq!(machine.locate(file), before, "three copies are wanted and there: the named one stays");
    assert_eq!((counters(&machine).copies_made, counters(&machine).receipts_passed_over), (1, 2));
    assert_eq!(receipts(&machine.state, None, 9).unwrap().len(), 1);
}

#[test]
fn what_does_not_fit_any_more_is_passed_over() {
    let mut machine = Machine::with_nodes(4);
    let file = machine.upload("a", 1).file;
    let deleted = machine.upload("b", 1).file;
    machine.delete(1, by_name("b")).unwrap();
    machine.register(4, 50, 4).unwrap();
    let before = machine.state.pairs.iter().filter(|(key, _)| key[0] != 1).count();
    let good = made(file, 0, 3, 1, None);
    let wrong = OrderOutcome::Done { read_back: checksum(0, 7) };
    for (why, receipt) in [
        ("an older epoch", Receipt { epoch: Epoch(9), ..good.clone() }),
        ("other bytes", Receipt { outcome: wrong, ..good.clone() }),
        ("a target that has started anew since", made(file, 0, 4, 1, None)),
        ("a target that never was", made(file, 0, 9, 1, None)),
        ("a chunk that never was", made(file, 5, 3, 1, None)),
        ("a file that is gone", made(deleted, 0, 3, 1, None)),
        ("a file that never was", made(FileId(77), 0, 3, 1, None)),
        ("a target that failed", Receipt { outcome: OrderOutcome::TargetFailed, ..good.clone() }),
        ("a target with other bytes", Receipt { outcome: OrderOutcome::TargetConflicts, ..good.clone() }),
        ("a source whose disk fails", Receipt { outcome: OrderOutcome::SourceUnreadable, ..good.clone() }),
    ] {
        let passed_over = counters(&machine).receipts_passed_over;
        record(&mut machine, 1, vec![receipt]);
        assert_eq!(holders(&machine, file), [(1, 1, 0), (2, 1, 0)], "{why}");
        assert_eq!(counters(&machine).receipts_passed_over, passed_over + 1, "{why}");
    }
    assert_eq!(machine.state.pairs.iter().filter(|(key, _)| key[0] != 1).count(), before);
    record(&mut machine, 1, vec![good]);
    assert_eq!(holders(&machine, file), [(1, 1, 1), (2, 1, 0), (3, 1, 1)]);
}

#[test]
fn receipts_of_an_older_life_or_a_stranger_are_refused() {
    let mut machine = Machine::with_nodes(3);
    let file = machine.upload("a", 1).file;
    machine.register(1, 50, 1).unwrap();
    let told = |reporter, receipts| Command::RecordReceipts {
        reporter: NodeId(reporter),
        incarnation: Incarnation(1),
        receipts,
    };
    assert_eq!(machine.apply(told(1, vec![made(file, 0, 3, 1, None)])), Err(Refusal::StaleIncarnation));
    assert_eq!(machine.apply(told(9, vec![])), Err(Refusal::StaleIncarnation));
    let many = vec![made(file, 0, 3, 1, None); RECEIPTS_PER_BEAT_MAX + 1];
    assert_eq!(machine.apply(told(2, many)), Err(Refusal::Malformed));
}

#[test]
fn verified_means_in_the_present_life_of_the_node() {
    let mut machine = Machine::with_nodes(3);
    let file = machine.upload("a", 2).file;
    record(&mut machine, 2, vec![verified(file, 0), verified(file, 1)]);
    assert_eq!(holders(&machine, file), [(1, 0b11, 0), (2, 0b11, 0b11)]);
    machine.register(2, 50, 2).unwrap();
    assert_eq!(holders(&machine, file), [(1, 0b11, 0), (2, 0b11, 0)], "the copies stay, what was checked lapses");
    record(&mut machine, 2, vec![verified(file, 1)]);
    assert_eq!(holders(&machine, file), [(1, 0b11, 0), (2, 0b11, 0b10)]);
    record(&mut machine, 3, vec![verified(file, 1)]);
    assert_eq!(holders(&machine, file).len(), 2, "who holds nothing verifies nothing");
    assert_eq!(receipts(&machine.state, None, 9).unwrap(), [], "where the chunk is has not changed");
}

#[test]
fn a_copy_that_its_own_node_calls_damaged_counts_no_more_unless_it_is_the_last() {
    let mut machine = Machine::with_nodes(3);
    let file = machine.upload("a", 1).file;
    let damaged = |outcome| Receipt { outcome, ..verified(file, 0) };
    record(&mut machine, 3, vec![damaged(OrderOutcome::SourceDamaged)]);
    assert_eq!(holders(&machine, file).len(), 2, "it had none");
    record(&mut machine, 2, vec![damaged(OrderOutcome::SourceDamaged)]);
    assert_eq!(holders(&machine, file), [(1, 1, 0)]);
    record(&mut machine, 1, vec![damaged(OrderOutcome::SourceMissing)]);
    assert_eq!(holders(&machine, file), [(1, 1, 0)]);
    let kept: Vec<_> = receipts(&machine.state, None, 9).unwrap();
    assert_eq!(kept.iter().map(|(_, it)| &it.change).collect::<Vec<_>>(), [&CopyChange::Damaged]);
}

#[test]
fn a_node_whose_store_went_gets_its_copy_back_and_one_that_is_replaced_leaves() {
    let mut machine = Machine::with_nodes(4);
    let file = machine.upload("a", 2).file;
    machine.register(2, 51, 777).unwrap();
    assert_eq!(holders(&machine, file), [(1, 0b11, 0)]);
    record(&mut machine, 1, vec![made(file, 0, 2, 2, Some(2)), made(file, 1, 3, 1, Some(2))]);
    assert_eq!(holders(&machine, file), [(1, 0b11, 0b11), (2, 0b01, 0b01), (3, 0b10, 0b10)]);
}

#[test]
fn copies_that_two_nodes_take_for_each_other_both_count() {
    let mut machine = Machine::with_nodes(3);
    let file = machine.upload("a", 1).file;
    copy(&mut machine, file, 0, 3, 1);
    machine.register(2, 51, 777).unwrap();
    machine.register(3, 51, 778).unwrap();
    assert_eq!(holders(&machine, file), [(1, 1, 1)], "both stores went");
    let crossed = |target, replaced| {
        let made = made(file, 0, target, 2, Some(replaced));
        let copy = made.copy.map(|copy| CopyOrder { reason: CopyReason::StoreLost, ..copy });
        Receipt { copy, ..made }
    };
    record(&mut machine, 1, vec![crossed(3, 2), crossed(2, 3)]);
    assert_eq!(holders(&machine, file), [(1, 1, 1), (3, 1, 1), (2, 1, 1)]);
    let replaced = |receipt: &ReceiptRecord| match receipt.change {
        CopyChange::Made { replaced, .. } => replaced,
        _ => panic!("{receipt:?}"),
    };
    let kept = receipts(&machine.state, None, 9).unwrap();
    assert_eq!(kept[1..].iter().map(|(_, receipt)| replaced(receipt)).collect::<Vec<_>>(), [Some(NodeId(2)), None]);
}

#[test]
fn the_ring_keeps_the_newest_receipts() {
    let mut machine = Machine::with_nodes(4);
    let file = machine.upload("a", 1).file;
    let key = super::super::key::COUNTERS;
    let mut before = counters(&machine);
    before.next_receipt = RECEIPTS_KEPT_MAX - 1;
    machine.state.pairs.insert(key.to_vec(), super::super::record::Record::to_bytes(&before));
    machine.state.pairs.insert(super::super::key::receipt(0), vec![1]);
    record(&mut machine, 1, vec![made(file, 0, 3, 1, None)]);
    assert!(machine.state.pairs.contains_key(&super::super::key::receipt(0)[..]));
    record(&mut machine, 1, vec![made(file, 0, 4, 1, Some(2))]);
    assert!(!machine.state.pairs.contains_key(&super::super::key::receipt(0)[..]));
    let numbers: Vec<u64> = receipts(&machine.state, None, 9).unwrap().iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [RECEIPTS_KEPT_MAX - 1, RECEIPTS_KEPT_MAX]);
}

#[test]
fn an_entry_full_of_receipts_fits_the_log() {
    let receipt = made(FileId(u64::MAX), 15, u64::MAX, u64::MAX, Some(u64::MAX));
    let mark = OrderMark { term: u64::MAX, index: u64::MAX };
    let receipt = Receipt { mark, epoch: Epoch(u32::MAX), ..receipt };
    let receipts = vec![receipt; RECEIPTS_PER_BEAT_MAX];
    let command = Command::RecordReceipts { reporter: NodeId(u64::MAX), incarnation: Incarnation(1), receipts };
    let entry = Entry { time: ClusterTime(u64::MAX), command };
    assert!(wire::encode(&entry).len() < COMMAND_BYTES_MAX);
}
