//! Rot: bytes on the disk that are not what was written.

use super::machine::Machine;
use crate::chunk_store::conformance::{chunk, content, get, open, open_with, put};
use crate::chunk_store::segment::path;
use crate::chunk_store::{BeginWrite, ChunkStore, StoreError, StoreSettings};
use dfs_core::checksum::ChunkSums;
use dfs_core::id::{Epoch, FileId, GroupIndex};
use dfs_transport::world::World;

/// A store with a small and a large chunk, and one behind each.
async fn filled(machine: &Machine, world: &World) -> ChunkStore {
    let store = open(machine.place(world)).await;
    for (number, size) in [(0, 5000), (1, 3000), (2, 150_000), (3, 10)] {
        put(&store, chunk(number), Epoch(1), &content(number, size)).await.unwrap();
    }
    store
}

#[tokio::test]
async fn a_flipped_bit_is_never_served() {
    let world = World::production("test");
    let machine = Machine::new();
    let store = filled(&machine, &world).await;
    let mut refused = 0;
    for (number, size, from, to) in [(0, 5000, 0, 8192), (2, 150_000, 12_288, 12_288 + 155_648)] {
        for at in (from..to).step_by(if number == 0 { 7 } else { 401 }) {
            let flip = || machine.with_file(&path(0), |bytes| bytes[at] ^= 1 << (at % 8));
            flip();
            match get(&store, chunk(number), Epoch(1)).await {
                Ok(bytes) => assert!(bytes == content(number, size), "byte {at}"),
                Err(StoreError::Damaged) => refused += 1,
                Err(error) => panic!("byte {at}: {error}"),
            }
            flip();
        }
    }
    assert!(refused > 800, "{refused} reads were refused");
    assert!(!store.is_failed());
}

#[tokio::test]
async fn a_lost_index_finds_everything_behind_what_is_damaged() {
    let world = World::production("test");
    // Within the header, the payload and the trailer of the first and of the third record. Whose it was is known as
    // long as there is a header.
    for (at, lost, is_known) in [
        (0, 0, false),
        (50, 0, false),
        (1000, 0, true),
        (5200, 0, true),
        (12_288 + 3, 2, false),
        (30_000, 2, true),
        (12_288 + 4096 + 150_050, 2, true),
    ] {
        let machine = Machine::new();
        let store = filled(&machine, &world).await;
        store.close().await;
        machine.with_file(&path(0), |bytes| bytes[at] ^= 4);
        machine.lose_index();
        let store = open(machine.place(&world)).await;
        for number in 0..4 {
            let read = get(&store, chunk(number), Epoch(1)).await;
            if number == lost {
                assert_eq!(read.err(), Some(StoreError::Missing), "byte {at}");
            } else {
                assert!(read.is_ok(), "byte {at} cost chunk {number}");
            }
        }
        assert_eq!(store.load().chunk_count, 3);
        let told = if is_known { vec![(chunk(lost), Epoch(1))] } else { Vec::new() };
        assert_eq!(store.take_damaged(10), told, "byte {at}");
        put(&store, chunk(lost), Epoch(1), b"anew").await.unwrap();
        assert!(!store.is_damaged(chunk(lost), Epoch(1)), "byte {at}");
    }
}

#[tokio::test]
async fn a_segment_that_is_cut_short_costs_only_what_is_cut() {
    let world = World::production("test");
    let machine = Machine::new();
    let store = filled(&machine, &world).await;
    machine.with_file(&path(0), |bytes| bytes.truncate(50_000));
    assert_eq!(get(&store, chunk(2), Epoch(1)).await.err(), Some(StoreError::Damaged));
    assert!(get(&store, chunk(1), Epoch(1)).await.is_ok());
    store.close().await;
    // The index speaks of more than there is: it is made anew.
    machine.with_file(&path(0), |bytes| bytes.truncate(50_000));
    let store = open(machine.place(&world)).await;
    assert_eq!(get(&store, chunk(2), Epoch(1)).await.err(), Some(StoreError::Missing));
    assert!(get(&store, chunk(1), Epoch(1)).await.is_ok());
    assert_eq!(store.load().chunk_count, 2);
}

#[tokio::test]
async fn a_chunk_that_looks_like_records_is_not_taken_for_them() {
    let world = World::production("test");
    let machine = Machine::new();
    let store = filled(&machine, &world).await;
    // A user stores a copy of a segment; its pages then lie at pages of another segment's record.
    let mut copy = machine.with_file(&path(0), |bytes| bytes.clone());
    copy.truncate(256 * 1024);
    put(&store, chunk(8), Epoch(1), &copy).await.unwrap();
    store.close().await;
    let before = store.load().chunk_count;
    drop(store);
    let outer = machine.with_file(&path(0), |bytes| {
        let headers = (0..bytes.len()).step_by(4096).filter(|at| bytes[*at..].starts_with(b"DFS-REC\n"));
        let outer = headers.clone().nth(4).expect("the fifth record");
        assert_eq!(headers.count(), 9, "four records, the chunk's own, and four in the chunk");
        bytes[outer] ^= 1;
        outer
    });
    assert!(outer > 0);
    machine.lose_index();
    let store = open(machine.place(&world)).await;
    assert_eq!(store.load().chunk_count, before - 1);
    for (number, size) in [(0, 5000), (1, 3000), (2, 150_000), (3, 10)] {
        assert_eq!(get(&store, chunk(number), Epoch(1)).await.unwrap(), content(number, size));
    }
}

#[tokio::test]
async fn the_index_of_another_store_is_not_used() {
    let world = World::production("test");
    let (machine, other) = (Machine::new(), Machine::new());
    let store = filled(&machine, &world).await;
    store.close().await;
    let foreign = open(other.place(&world)).await;
    put(&foreign, chunk(9), Epoch(1), &[9; 90]).await.unwrap();
    foreign.close().await;
    let mut place = machine.place(&world);
    place.index = other.place(&world).index;
    let store = open(place).await;
    assert_eq!(store.load().chunk_count, 4);
    assert_eq!(get(&store, chunk(9), Epoch(1)).await.err(), Some(StoreError::Missing));
    assert!(get(&store, chunk(2), Epoch(1)).await.is_ok());
}

/// The chunks of a file's first group that are told of as held.
async fn held(store: &ChunkStore, file: FileId) -> usize {
    store.held(file, GroupIndex(0), Epoch(1)).await.unwrap().len()
}

#[tokio::test]
async fn a_damaged_record_is_written_anew_from_the_same_bytes_alone() {
    let world = World::production("test");
    // Within the small chunk, its trailer, the large one's first and last block, and its trailer.
    for (number, at) in [(0, 1000), (0, 5200), (2, 30_000), (2, 12_288 + 4096 + 149_000), (2, 12_288 + 4096 + 150_050)]
    {
        let machine = Machine::new();
        let store = filled(&machine, &world).await;
        let (damaged, size) = (chunk(number), if number == 0 { 5000 } else { 150_000 });
        let (before, all) = (store.load(), held(&store, damaged.file).await);
        machine.with_file(&path(0), |bytes| bytes[at] ^= 4);
        // Nobody has seen it yet.
        assert_eq!(held(&store, damaged.file).await, all);
        assert_eq!(get(&store, damaged, Epoch(1)).await.err(), Some(StoreError::Damaged));
        assert_eq!(held(&store, damaged.file).await, all - 1);
        // Metadata is told once, however often it is read.
        assert_eq!(store.take_damaged(10), [(damaged, Epoch(1))]);
        assert!(store.is_damaged(damaged, Epoch(1)));
        assert_eq!(get(&store, damaged, Epoch(1)).await.err(), Some(StoreError::Damaged));
        assert_eq!(store.take_damaged(10), []);
        store.tell_damaged_again();
        assert_eq!(store.take_damaged(0), []);
        assert_eq!(store.take_damaged(10), [(damaged, Epoch(1))]);
        let begun = store.begin_write(damaged, Epoch(1), size + 1).await;
        assert!(matches!(begun, Ok(BeginWrite::Held(_))), "another length is another chunk");
        let other = content(99, size);
        assert_eq!(put(&store, damaged, Epoch(1), &other).await, Err(StoreError::OtherBytes));
        assert_eq!(get(&store, damaged, Epoch(1)).await.err(), Some(StoreError::Damaged));
        put(&store, damaged, Epoch(1), &content(number, size)).await.unwrap();
        assert_eq!(get(&store, damaged, Epoch(1)).await.unwrap(), content(number, size));
        assert_eq!(held(&store, damaged.file).await, all);
        store.tell_damaged_again();
        assert_eq!(store.take_damaged(10), []);
        assert!(!store.is_damaged(damaged, Epoch(1)));
        let again = store.begin_write(damaged, Epoch(1), size).await;
        assert!(matches!(again, Ok(BeginWrite::Held(sum)) if sum == ChunkSums::of(&content(number, size)).checksum()));
        let load = store.load();
        assert_eq!((load.chunk_count, load.chunk_bytes), (before.chunk_count, before.chunk_bytes));
        store.close().await;
        for loses_index in [false, true] {
            if loses_index {
                machine.lose_index();
            }
            let store = open(machine.place(&world)).await;
            assert_eq!(get(&store, damaged, Epoch(1)).await.unwrap(), content(number, size), "byte {at}");
            assert_eq!(store.load().chunk_count, before.chunk_count);
            assert_eq!(store.load().chunk_bytes, before.chunk_bytes);
            store.close().await;
        }
    }
}

#[tokio::test]
async fn a_slow_reader_of_what_was_damaged_says_nothing_of_the_record_in_its_place() {
    let world = World::production("test");
    let machine = Machine::new();
    let store = filled(&machine, &world).await;
    let slow = store.read(chunk(2), Epoch(1)).await.unwrap();
    machine.with_file(&path(0), |bytes| bytes[30_000] ^= 4);
    assert_eq!(get(&store, chunk(2), Epoch(1)).await.err(), Some(StoreError::Damaged));
    assert_eq!(store.take_damaged(10), [(chunk(2), Epoch(1))]);
    put(&store, chunk(2), Epoch(1), &content(2, 150_000)).await.unwrap();
    assert_eq!(slow.next_blocks(0, 3).await.err(), Some(StoreError::Damaged));
    slow.found_damaged().await;
    assert_eq!(store.take_damaged(10), []);
    assert!(matches!(store.begin_write(chunk(2), Epoch(1), 150_000).await, Ok(BeginWrite::Held(_))));
}

#[tokio::test]
async fn a_record_that_was_written_anew_survives_a_power_cut_at_any_step() {
    let world = World::production("test");
    let settings = StoreSettings { reserve_bytes: Some(0), segment_bytes: 256 * 1024 };
    let mut refused = 0;
    for cut in 1_u64.. {
        let machine = Machine::new();
        let store = filled(&machine, &world).await;
        store.close().await;
        drop(store);
        machine.with_file(&path(0), |bytes| bytes[30_000] ^= 4);
        machine.cut_after(cut);
        let mut acknowledged = false;
        if let Ok(store) = open_with(machine.place(&world), settings).await
            && get(&store, chunk(2), Epoch(1)).await.is_err()
        {
            acknowledged = put(&store, chunk(2), Epoch(1), &content(2, 150_000)).await.is_ok();
        }
        let reached = !machine.has_power();
        for seed in 0..4 {
            let machine = machine.duplicate();
            machine.crash(cut * 16 + seed);
            if seed == 1 {
                machine.lose_index();
            }
            let store = open_with(machine.place(&world), settings).await.unwrap();
            match get(&store, chunk(2), Epoch(1)).await {
                Ok(read) => assert!(read == content(2, 150_000)),
                Err(StoreError::Damaged | StoreError::Missing) if !acknowledged => refused += 1,
                Err(error) => panic!("acknowledged: {acknowledged}: {error}"),
            }
            put(&store, chunk(2), Epoch(1), &content(2, 150_000)).await.unwrap();
            assert_eq!(store.load().chunk_count, 4);
            for (number, size) in [(0, 5000), (1, 3000), (2, 150_000), (3, 10)] {
                assert_eq!(get(&store, chunk(number), Epoch(1)).await.unwrap(), content(number, size));
            }
        }
        if !reached {
            assert!(acknowledged && refused > 0 && cut > 5);
            return;
        }
    }
}
