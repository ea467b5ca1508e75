//! The store on a real directory, and on a machine whose power can be cut.

mod damage;
pub(in crate::chunk_store) mod machine;
mod power;

use super::conformance::{self, Place, Wanted, chunk, content, get, put, try_open};
use super::{StoreError, segment};
use crate::disk::directory::DirectoryDisk;
use crate::key_value::KeyValueStores;
use crate::key_value::fjall::FjallStores;
use dfs_core::id::Epoch;
use dfs_transport::world::World;
use machine::Machine;
use std::sync::Arc;
use std::time::Duration;

/// A real directory with an index of its own in memory.
fn place_in(directory: &std::path::Path, index: &Machine, world: &World) -> Place {
    let disk = Arc::new(DirectoryDisk::open(directory).unwrap());
    Place { disk, ..index.place(world) }
}

#[tokio::test]
async fn a_store_in_a_real_directory_keeps_its_promises() {
    let world = World::production("test");
    let directory = tempfile::tempdir().unwrap();
    let index = Machine::new();
    conformance::run(|wanted| {
        if wanted == Wanted::WithoutIndex {
            index.lose_index();
        }
        place_in(directory.path(), &index, &world)
    })
    .await;
}

#[tokio::test]
async fn a_store_with_the_production_index_keeps_its_promises() {
    let world = World::production("test");
    let directory = tempfile::tempdir().unwrap();
    let stores = FjallStores::new(&directory.path().join("index"));
    conformance::run(|wanted| {
        if wanted == Wanted::WithoutIndex {
            stores.remove("chunks").unwrap();
        }
        let disk = Arc::new(DirectoryDisk::open(&directory.path().join("data")).unwrap());
        let (scope, entropy) = (world.scope.clone(), world.entropy.clone());
        Place { scope, disk, index: stores.open("chunks").unwrap(), entropy }
    })
    .await;
}

#[tokio::test]
async fn a_store_on_a_machine_keeps_its_promises() {
    let world = World::production("test");
    let machine = Machine::new();
    conformance::run(|wanted| {
        if wanted == Wanted::WithoutIndex {
            machine.lose_index();
        }
        machine.place(&world)
    })
    .await;
}

#[tokio::test]
async fn a_data_directory_belongs_to_one_process() {
    let world = World::production("test");
    let directory = tempfile::tempdir().unwrap();
    let store = conformance::open(place_in(directory.path(), &Machine::new(), &world)).await;
    let second = try_open(place_in(directory.path(), &Machine::new(), &world)).await;
    assert_eq!(second.err(), Some(StoreError::Locked));
    store.close().await;
    conformance::open(place_in(directory.path(), &Machine::new(), &world)).await;
}

#[tokio::test]
async fn segments_without_an_identity_are_left_alone() {
    let world = World::production("test");
    let machine = Machine::new();
    let store = conformance::open(machine.place(&world)).await;
    put(&store, chunk(0), Epoch(1), &[1; 100]).await.unwrap();
    store.close().await;
    let damaged = machine.duplicate();
    damaged.with_file("STORE", |bytes| bytes[20] ^= 1);
    assert_eq!(try_open(damaged.place(&world)).await.err(), Some(StoreError::IdentityLost));
    let segment = machine.with_file(&segment::path(0), |bytes| bytes.clone());
    machine.remove_file("STORE");
    assert_eq!(try_open(machine.place(&world)).await.err(), Some(StoreError::IdentityLost));
    assert_eq!(machine.with_file(&segment::path(0), |bytes| bytes.clone()), segment);
}

#[tokio::test(start_paused = true)]
async fn a_start_reads_little_of_what_was_saved() {
    let world = World::production("test");
    let machine = Machine::new();
    let store = conformance::open(machine.place(&world)).await;
    for number in 0..4 {
        put(&store, chunk(number), Epoch(1), &content(number, 1 << 20)).await.unwrap();
    }
    // The checkpoint is due within ten seconds; the clock runs as fast as the store is idle.
    for _ in 0..1000 {
        if store.engine.unsaved_bytes.load(std::sync::atomic::Ordering::Acquire) == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.scope.blocking(|| ()).await.unwrap();
    }
    assert_eq!(store.engine.unsaved_bytes.load(std::sync::atomic::Ordering::Acquire), 0, "a checkpoint was written");
    // That one may have come while the last chunk was still on its way; this one has all of them behind it.
    let engine = store.engine.clone();
    store.engine.flushes.run(move || engine.save_checkpoint()).await.unwrap().unwrap();
    drop(store);
    machine.crash(1);
    machine.take_bytes_read();
    let store = conformance::open(machine.place(&world)).await;
    assert!(machine.take_bytes_read() < 3 << 20, "only what was allocated and not used is read");
    assert_eq!(store.load().chunk_count, 4);
    for number in 0..4 {
        assert_eq!(get(&store, chunk(number), Epoch(1)).await.unwrap(), content(number, 1 << 20));
    }
}
