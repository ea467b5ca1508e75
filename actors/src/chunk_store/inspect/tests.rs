use super::*;
use crate::chunk_store::conformance::{chunk, content, open, put};
use crate::chunk_store::record::{HEADER_BYTES, Layout, PAGE_BYTES, State};
use crate::chunk_store::tests::machine::Machine;
use crate::chunk_store::{BeginWrite, ChunkStore};
use crate::disk::Disk;
use bytes::Bytes;
use dfs_core::checksum::ChunkSums;
use dfs_core::id::{ClusterId, Epoch};
use dfs_transport::world::World;
use std::io::IoSlice;
use std::sync::Arc;

const SIZE: u32 = 70_000;

async fn store() -> (World, Arc<dyn Disk>, ChunkStore) {
    let (world, machine) = (World::production("test"), Machine::new());
    let place = machine.place(&world);
    let disk = place.disk.clone();
    let store = open(place).await;
    for number in 0..3 {
        put(&store, chunk(number), Epoch(2), &content(number, SIZE)).await.unwrap();
    }
    (world, disk, store)
}

fn flip(disk: &dyn Disk, offset: u64) {
    let file = disk.open(&segment_path(0), false).unwrap();
    let mut byte = [0];
    file.read_at(offset, &mut byte).unwrap();
    file.write_at(offset, &[IoSlice::new(&[byte[0] ^ 1])]).unwrap();
}

#[tokio::test]
async fn the_records_of_a_running_store_are_read_from_its_segments() {
    let (_world, disk, store) = store().await;
    store.set_cluster(ClusterId(9)).await.unwrap();
    let found = owner(&*disk).unwrap().unwrap();
    assert_eq!((found.owner.store, found.cluster), (store.id(), Some(ClusterId(9))));
    let records = records(&*disk).unwrap();
    assert_eq!(records.len(), 3);
    for (number, record) in (0..).zip(&records) {
        assert_eq!(record.key, RecordKey { chunk: chunk(number), epoch: Epoch(2) });
        assert_eq!(record.whole(), Some(ChunkSums::of(&content(number, SIZE)).checksum()));
        assert_eq!((record.length, record.end), (SIZE, record.position.offset + Layout::of(SIZE).record_length));
    }
}

#[tokio::test]
async fn an_empty_disk_has_no_store_and_no_records() {
    let (world, machine) = (World::production("test"), Machine::new());
    let disk = machine.place(&world).disk;
    assert_eq!(owner(&*disk).unwrap(), None);
    assert!(records(&*disk).unwrap().is_empty());
}

#[tokio::test]
async fn every_kind_of_damage_is_told_apart() {
    let (_world, disk, store) = store().await;
    let BeginWrite::Write(mut writer) = store.begin_write(chunk(7), Epoch(1), SIZE).await.unwrap() else {
        panic!("nobody wrote it before");
    };
    writer.write(vec![Bytes::from(content(7, SIZE / 2))]).await.unwrap();
    let before = records(&*disk).unwrap();
    let condition = |number: usize| records(&*disk).unwrap()[number].condition;
    let layout = Layout::of(SIZE);
    flip(&*disk, before[0].position.offset + u64::from(layout.payload_offset) + 5);
    assert_eq!(condition(0), RecordCondition::Damaged(before[0].whole().unwrap()));
    flip(&*disk, before[1].position.offset + layout.trailer_offset() + 50);
    assert_eq!(condition(1), RecordCondition::Unsealed);
    flip(&*disk, before[2].position.offset + 50);
    let keys: Vec<_> = records(&*disk).unwrap().iter().map(|record| record.key.chunk).collect();
    assert!(!keys.contains(&chunk(2)), "a record without a header is none");
    drop(writer);
}

#[tokio::test]
async fn sealed_bytes_that_are_not_those_of_the_tree_are_damaged() {
    let (_world, disk, store) = store().await;
    // CRCs of the bytes that are written, and digests of others: what a node would seal that checks no SHA-256.
    let (mut sums, other) = (ChunkSums::of(&content(8, SIZE)), ChunkSums::of(&content(9, SIZE)));
    sums.digests = other.digests;
    let BeginWrite::Write(mut writer) = store.begin_write(chunk(8), Epoch(1), SIZE).await.unwrap() else {
        panic!("nobody wrote it before");
    };
    writer.write(vec![Bytes::from(content(8, SIZE))]).await.unwrap();
    writer.seal(&sums).await.unwrap();
    let record = *records(&*disk).unwrap().last().unwrap();
    assert_eq!((record.key.chunk, record.condition), (chunk(8), RecordCondition::Damaged(sums.checksum())));
}

#[tokio::test]
async fn a_record_that_was_taken_away_is_dead() {
    let (_world, disk, _store) = store().await;
    let record = records(&*disk).unwrap()[1];
    let file = disk.open(&segment_path(0), false).unwrap();
    let mut bytes = [0; HEADER_BYTES];
    file.read_at(record.position.offset, &mut bytes).unwrap();
    let owner = owner(&*disk).unwrap().unwrap().owner;
    let header = Header::decode(&bytes, &owner, record.position).unwrap();
    let dead = Header { state: State::Dead, ..header }.encode();
    file.write_at(record.position.offset, &[IoSlice::new(&dead)]).unwrap();
    let found = records(&*disk).unwrap();
    assert_eq!((found[1].condition, found.len()), (RecordCondition::Dead, 3));
    assert_eq!(record.end % PAGE_BYTES, 0);
}
