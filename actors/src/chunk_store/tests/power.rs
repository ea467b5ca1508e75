//! Power cuts: for every operation of a series of writes, the power goes while it is done.

use super::machine::Machine;
use crate::chunk_store::conformance::{chunk, content, get, open, open_with, put};
use crate::chunk_store::{BeginWrite, ChunkStore, StoreError, StoreSettings};
use bytes::Bytes;
use dfs_core::id::Epoch;
use dfs_transport::world::World;

/// Sizes of the chunks of the series: small, large, with several blocks, and filling more than one segment.
const SIZES: [u32; 9] = [100, 5000, 70_000, 300_000, 61_440, 140_000, 65_536, 1, 550_000];

fn bytes(number: usize) -> Vec<u8> {
    content(number as u64, SIZES[number])
}

/// Opens a store whose segments take two or three chunks.
async fn restart(machine: &Machine, world: &World) -> Result<ChunkStore, StoreError> {
    let settings = StoreSettings { reserve_bytes: Some(0), segment_bytes: 512 * 1024 };
    open_with(machine.place(world), settings).await
}

/// Writes the series, three chunks at a time, with writes that are given up and checkpoints in between. Answers which chunks were
/// acknowledged.
async fn write_series(store: &ChunkStore, world: &World) -> [bool; SIZES.len()] {
    let mut acknowledged = [false; SIZES.len()];
    for first in (0..SIZES.len()).step_by(3) {
        if let Ok(BeginWrite::Write(mut writer)) = store.begin_write(chunk(50), Epoch(1), 400_000).await {
            let _ = writer.write(vec![Bytes::from(vec![5; 390_000])]).await;
        }
        let tasks = [first, first + 1, first + 2].map(|number| {
            let store = store.clone();
            world.scope.spawn(async move { put(&store, chunk(number as u64), Epoch(1), &bytes(number)).await })
        });
        let engine = store.engine.clone();
        let _ = store.engine.flushes.run(move || engine.save_checkpoint()).await;
        for (number, task) in (first..).zip(tasks) {
            acknowledged[number] = task.await.expect("the task ends").is_ok();
        }
    }
    acknowledged
}

/// What was acknowledged is whole; what was not is whole or absent; and everything can be written again.
async fn check(store: &ChunkStore, acknowledged: &[bool]) {
    for (number, acknowledged) in acknowledged.iter().enumerate() {
        match get(store, chunk(number as u64), Epoch(1)).await {
            Ok(read) => assert!(read == bytes(number), "chunk {number} has other bytes"),
            Err(StoreError::Missing) if !acknowledged => {}
            Err(error) => panic!("chunk {number}, acknowledged: {acknowledged}: {error}"),
        }
    }
    assert_eq!(get(store, chunk(50), Epoch(1)).await.err(), Some(StoreError::Missing));
}

#[tokio::test]
async fn an_acknowledged_chunk_survives_a_power_cut_at_any_step() {
    let world = World::production("test");
    for cut in 1_u64.. {
        let machine = Machine::new();
        machine.cut_after(cut);
        let acknowledged = match restart(&machine, &world).await {
            Ok(store) => {
                let acknowledged = write_series(&store, &world).await;
                // Half of the lives end in order, as far as the power lets them.
                if cut.is_multiple_of(2) {
                    store.close().await;
                }
                acknowledged
            }
            Err(_) => [false; SIZES.len()],
        };
        let reached = !machine.has_power();
        for seed in 0..5 {
            let machine = machine.duplicate();
            if seed == 4 {
                // Only the process is killed; what it wrote is in the page cache, and not durable.
                machine.restart();
            } else {
                machine.crash(cut * 16 + seed);
            }
            if seed == 1 {
                machine.lose_index();
            }
            if seed == 2 || seed == 3 {
                // The power goes again, during recovery.
                machine.cut_after(1 + cut * seed % 11);
                drop(restart(&machine, &world).await);
                machine.crash(cut * 16 + seed + 4);
            }
            let store = restart(&machine, &world).await.unwrap();
            check(&store, &acknowledged).await;
            for number in 0..SIZES.len() {
                put(&store, chunk(number as u64), Epoch(1), &bytes(number)).await.unwrap();
            }
            let load = store.load();
            drop(store);
            machine.crash(cut * 16 + seed + 8);
            machine.lose_index();
            let store = restart(&machine, &world).await.unwrap();
            check(&store, &[true; SIZES.len()]).await;
            assert_eq!(store.load().chunk_count, load.chunk_count);
            assert_eq!(store.load().chunk_bytes, load.chunk_bytes);
            assert_eq!(load.chunk_count, SIZES.len() as u64);
        }
        if !reached {
            assert_eq!(acknowledged, [true; SIZES.len()]);
            assert!(cut > 40, "the series has many steps");
            return;
        }
    }
}

#[tokio::test]
async fn a_process_that_is_killed_loses_nothing() {
    let world = World::production("test");
    let machine = Machine::new();
    let store = open(machine.place(&world)).await;
    let acknowledged = write_series(&store, &world).await;
    assert_eq!(acknowledged, [true; SIZES.len()]);
    drop(store);
    machine.restart();
    check(&open(machine.place(&world)).await, &acknowledged).await;
}

#[tokio::test]
async fn a_failed_fdatasync_poisons_the_store() {
    let world = World::production("test");
    let machine = Machine::new();
    let store = open(machine.place(&world)).await;
    put(&store, chunk(0), Epoch(1), &bytes(0)).await.unwrap();
    machine.fail_syncs();
    let (first, second) = (bytes(1), bytes(2));
    let (one, two) = tokio::join!(put(&store, chunk(1), Epoch(1), &first), put(&store, chunk(2), Epoch(1), &second));
    assert_eq!((one, two), (Err(StoreError::Failed), Err(StoreError::Failed)));
    assert!(store.is_failed() && store.load().refuses_chunks);
    store.failed().await;
    assert_eq!(put(&store, chunk(3), Epoch(1), &bytes(3)).await, Err(StoreError::Failed));
    assert_eq!(get(&store, chunk(0), Epoch(1)).await.unwrap(), bytes(0));
    store.close().await;
    drop(store);
    // The next process finds the writes in the page cache, but the disk never got them.
    machine.restart();
    let store = open(machine.place(&world)).await;
    for number in [1, 2] {
        assert_eq!(get(&store, chunk(number), Epoch(1)).await.err(), Some(StoreError::Missing));
    }
    put(&store, chunk(1), Epoch(1), &bytes(1)).await.unwrap();
    drop(store);
    machine.crash(3);
    let store = open(machine.place(&world)).await;
    assert_eq!(get(&store, chunk(0), Epoch(1)).await.unwrap(), bytes(0));
    assert_eq!(get(&store, chunk(1), Epoch(1)).await.unwrap(), bytes(1));
}

#[tokio::test]
async fn a_full_disk_refuses_and_loses_nothing() {
    let world = World::production("test");
    let machine = Machine::new();
    machine.set_capacity(4 << 20);
    let store = open(machine.place(&world)).await;
    let mut held = 0;
    let refused = loop {
        match put(&store, chunk(held), Epoch(1), &content(held, 700_000)).await {
            Ok(()) => held += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, StoreError::Full);
    assert!((4..6).contains(&held), "{held} chunks fit");
    assert!(store.load().refuses_chunks && !store.is_failed());
    // What is small may still fit, and a write that finds the disk full fails alone.
    put(&store, chunk(90), Epoch(1), &[1; 100]).await.unwrap();
    machine.refuse_writes(true);
    assert_eq!(put(&store, chunk(91), Epoch(1), &[1; 100]).await, Err(StoreError::Full));
    machine.refuse_writes(false);
    put(&store, chunk(91), Epoch(1), &[1; 100]).await.unwrap();
    for number in 0..held {
        assert_eq!(get(&store, chunk(number), Epoch(1)).await.unwrap(), content(number, 700_000));
    }
}

#[tokio::test]
async fn chunks_leave_the_reserve_free() {
    let world = World::production("test");
    let machine = Machine::new();
    // The reserve is 1 GiB where nothing else is said, and the machine has no more.
    let store = open_with(machine.place(&world), StoreSettings::default()).await.unwrap();
    assert_eq!(put(&store, chunk(0), Epoch(1), &[1]).await, Err(StoreError::Full));
    assert_eq!((store.load().available_bytes, store.load().refuses_chunks), (0, true));
    store.close().await;
    let reserve = (1 << 30) - (6 << 20);
    let settings = StoreSettings { reserve_bytes: Some(reserve), ..StoreSettings::default() };
    let store = open_with(machine.place(&world), settings).await.unwrap();
    put(&store, chunk(0), Epoch(1), &content(0, 1 << 20)).await.unwrap();
    put(&store, chunk(1), Epoch(1), &content(1, 3 << 20)).await.unwrap();
    assert_eq!(put(&store, chunk(2), Epoch(1), &content(2, 3 << 20)).await, Err(StoreError::Full));
    assert!(store.load().available_bytes < 2 << 20);
}
