//! Decoders take exactly what encoders write, and refuse everything else without a panic.

use super::super::group::{GroupRecord, PlacedNode};
use super::super::record::{
    ClusterRecord, Counters, DirectoryRecord, FileRecord, NodeRecord, ReceiptRecord, Record, RequestRecord,
};
use super::*;
use crate::id::DirectoryId;
use crate::repair::GroupPlace;
use proptest::collection::vec;
use proptest::prelude::*;

/// Whether any decoder took these bytes. What is taken must be usable.
fn decode_all(bytes: &[u8]) {
    let _ = wire::decode::<Entry>(bytes).map(|entry| entry.to_string());
    let _ = wire::decode::<Outcome>(bytes);
    let _ = ClusterRecord::from_bytes(b"", bytes);
    let _ = Counters::from_bytes(b"", bytes);
    let _ = DirectoryId::from_bytes(b"", bytes);
    let _ = DirectoryRecord::from_bytes(b"", bytes);
    let _ = FileId::from_bytes(b"", bytes);
    let _ = FileRecord::from_bytes(b"", bytes);
    let _ = NodeRecord::from_bytes(b"", bytes);
    let _ = RequestRecord::from_bytes(b"", bytes);
    let _ = ReceiptRecord::from_bytes(b"", bytes);
    if let Ok(mut group) = GroupRecord::from_bytes(b"", bytes) {
        for slot in 0..16 {
            let _ = (group.placement_of(slot).is_some(), group.checksum(slot));
            group.put_chunk(slot, checksum(slot, 0));
            assert!(group.is_sound());
        }
        group.replace(Epoch(u32::MAX), vec![]);
    }
}

/// A machine that has a record of every kind.
fn full_machine() -> Machine {
    let mut machine = Machine::with_nodes(3);
    machine.open(1, "open/file");
    machine.upload("d/e/f", 3);
    machine.upload("g", 1);
    machine.delete(1, by_name("g")).unwrap();
    machine.register(3, 4, 3).unwrap();
    super::receipts::copy(&mut machine, FileId(2), 0, 3, 2);
    let old = machine.upload("h", 1).file;
    let new = machine.open_over(2, "h");
    machine.commit(commit_request(new, 2, 0, vec![])).unwrap();
    assert!(stat(&machine.state, &FileTarget::Id(old)).unwrap().is_ok());
    machine.upload("i/j", 1);
    machine.rename(3, "i", "k/l").unwrap();
    machine
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(mut bytes in vec(any::<u8>(), 0..400)) {
        decode_all(&bytes);
        if let Some(version) = bytes.first_mut() {
            *version = 1;
        }
        decode_all(&bytes);
    }

    #[test]
    fn damaged_records_and_entries_never_panic(
        pick in any::<prop::sample::Index>(), place in any::<prop::sample::Index>(), byte: u8, operation in 0..3,
    ) {
        let machine = full_machine();
        let mut all: Vec<Vec<u8>> = machine.state.pairs.values().cloned().collect();
        all.extend(machine.log.iter().map(wire::encode));
        let bytes = &mut all[pick.index(machine.state.pairs.len() + machine.log.len())];
        let place = place.index(bytes.len());
        match operation {
            0 => bytes[place] = byte,
            1 => bytes.truncate(place),
            _ => bytes.insert(place, byte),
        }
        decode_all(bytes);
    }

    #[test]
    fn a_damaged_key_is_told_and_never_a_panic(
        pick in any::<prop::sample::Index>(), place in any::<prop::sample::Index>(), byte: u8, operation in 0..3,
    ) {
        let machine = full_machine();
        let (key, value) = machine.state.pairs.iter().nth(pick.index(machine.state.pairs.len())).unwrap();
        let mut key = key.clone();
        let place = place.index(key.len());
        match operation {
            0 => key[place] = byte,
            1 => key.truncate(place),
            _ => key.insert(place, byte),
        }
        let _ = inspect::record(&key, value);
    }

    #[test]
    fn a_damaged_state_is_an_error_and_never_a_panic(
        pick in any::<prop::sample::Index>(), place in any::<prop::sample::Index>(), byte: u8,
    ) {
        let mut machine = full_machine();
        let key = machine.state.pairs.keys().nth(pick.index(machine.state.pairs.len())).unwrap().clone();
        let value = machine.state.pairs.get_mut(&key).unwrap();
        let place = place.index(value.len());
        value[place] = byte;
        let _ = list(&machine.state, &ListFiles { prefix: String::new(), after: None, limit: 10 });
        for file in 1..5 {
            let _ = locate(&machine.state, &LocateGroups { file: FileId(file), first: GroupIndex(0), limit: 9 });
            let _ = stat(&machine.state, &FileTarget::Id(FileId(file)));
        }
        let places: Vec<GroupPlace> = groups_after(&machine.state, None, 100).unwrap_or_default();
        let _ = (group_facts(&machine.state, &places), groups_on(&machine.state, NodeId(1), None, 100));
        let _ = receipts(&machine.state, None, 100);
        for entry in &machine.log {
            if let Ok(change) = apply(&machine.state, entry) {
                machine.state.write(change.changes);
            }
        }
    }
}

#[test]
fn a_record_with_a_byte_too_many_or_too_few_is_damaged() {
    let group = GroupRecord::new(Epoch(1), vec![PlacedNode { node: NodeId(1), generation: 0 }]);
    let mut bytes = group.to_bytes();
    assert_eq!(GroupRecord::from_bytes(b"k", &bytes), Ok(group));
    bytes.push(0);
    let damaged = DamagedRecord { kind: "group", key: b"k".to_vec() };
    assert_eq!(GroupRecord::from_bytes(b"k", &bytes), Err(damaged.clone()));
    bytes.truncate(bytes.len() - 2);
    assert_eq!(GroupRecord::from_bytes(b"k", &bytes), Err(damaged.clone()));
    assert_eq!(GroupRecord::from_bytes(b"k", &[]), Err(damaged));
}

#[test]
fn a_record_of_another_version_is_damaged() {
    let mut bytes = FileId(1).to_bytes();
    bytes[0] = 2;
    assert!(FileId::from_bytes(b"", &bytes).is_err());
}

#[test]
fn entries_and_outcomes_read_back_what_was_written() {
    for entry in full_machine().log {
        assert_eq!(wire::decode::<Entry>(&wire::encode(&entry)), Ok(entry));
    }
    let outcome = Outcome::Registered { incarnation: Incarnation(3) };
    assert_eq!(wire::decode::<Outcome>(&wire::encode(&outcome)), Ok(outcome));
}

#[test]
fn every_pair_of_a_state_is_of_a_table() {
    let mut kinds = std::collections::BTreeSet::new();
    for (key, value) in &full_machine().state.pairs {
        let record = inspect::record(key, value).unwrap().expect("it is the state machine's");
        let told = format!("{record:?}");
        kinds.extend(told.split('(').next().map(str::to_owned));
        let longer = [key.as_slice(), b"\xff"].concat();
        assert!(inspect::record(&longer, value).is_err(), "{told}");
    }
    assert_eq!(kinds.len(), 14, "{kinds:?}");
    assert_eq!(inspect::record(&[key::ADAPTOR], b"anything"), Ok(None));
    assert!(inspect::record(&[key::ADAPTOR - 1], b"anything").is_err());
    assert!(inspect::record(&[], &[]).is_err());
}

#[test]
fn every_key_lies_below_the_tables_of_the_log() {
    assert!(full_machine().state.pairs.keys().all(|key| key[0] < key::ADAPTOR));
}

#[test]
fn directories_that_contain_each_other_are_an_error_and_never_a_loop() {
    let mut machine = full_machine();
    let (outer, inner) = (DirectoryId(1), DirectoryId(2));
    let entry = super::super::key::directory_entry(outer, "e");
    assert_eq!(machine.state.pairs.insert(entry, outer.to_bytes()), Some(inner.to_bytes()));
    let own = super::super::key::directory(outer);
    let record = DirectoryRecord { parent: inner, component: "d".to_owned(), longest: 3 };
    machine.state.pairs.insert(own, record.to_bytes());
    let request = ListFiles { prefix: String::new(), after: None, limit: 10 };
    assert!(list(&machine.state, &request).is_err());
    assert!(stat(&machine.state, &FileTarget::Id(FileId(2))).is_err());
}
