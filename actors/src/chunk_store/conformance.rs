//! What every chunk store promises, as one test body over any disk and index: the production ones in this crate's
//! tests, the simulated ones in the simulator's.
//!
//! It panics where a promise is broken. Power cuts are not part of it; they need a disk that can lose writes.

use super::{BeginWrite, ChunkStore, OpenStore, READ_BLOCKS_MAX, StoreError, StoreSettings};
use crate::disk::Disk;
use crate::key_value::KeyValue;
use bytes::Bytes;
use dfs_core::checksum::{ChunkSums, Digest, block_count};
use dfs_core::id::{ChunkId, ChunkIndex, ClusterId, Epoch, FileId, GroupIndex};
use dfs_core::limit::BLOCK_BYTES;
use dfs_core::wire::chunk::HeldChunk;
use dfs_transport::world::{Entropy, Scope};
use std::sync::Arc;

/// What a store is opened with.
pub struct Place {
    /// A scope that lives at least as long as the store.
    pub scope: Scope,
    /// The data directory.
    pub disk: Arc<dyn Disk>,
    /// The index.
    pub index: Arc<dyn KeyValue>,
    /// Randomness.
    pub entropy: Entropy,
}

/// Which place is wanted. The store of the place before is closed and dropped by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// An empty data directory and an empty index.
    Fresh,
    /// Those of the place before.
    Same,
    /// The data directory of the place before and an empty index.
    WithoutIndex,
}

/// Small, so that a few chunks fill several segments.
const SEGMENT_BYTES: u64 = 3 * 1024 * 1024;

/// Sizes at which something changes.
const SIZES: [u32; 15] = [
    1,
    // With header and trailer just within a page, and just beyond.
    4096 - 128 - 112,
    4096 - 128 - 111,
    4096,
    // The last that lies behind its header, and the first on a page of its own.
    60 * 1024,
    60 * 1024 + 1,
    BLOCK_BYTES - 1,
    BLOCK_BYTES,
    BLOCK_BYTES + 1,
    // What a writer gathers.
    256 * 1024,
    256 * 1024 + 1,
    // What one read serves.
    READ_BLOCKS_MAX * BLOCK_BYTES - 1,
    READ_BLOCKS_MAX * BLOCK_BYTES + 1,
    2 * 1024 * 1024,
    // Larger than a segment.
    4 * 1024 * 1024 + 17,
];

/// Holds a store to its promises.
pub async fn run(mut make: impl FnMut(Wanted) -> Place) {
    let store = open(make(Wanted::Fresh)).await;
    a_new_store_is_empty(&store);
    chunks_of_any_size_are_read_as_they_were_written(&store).await;
    a_record_is_never_replaced(&store).await;
    a_chunk_has_one_writer_at_a_time(&store).await;
    an_abandoned_write_leaves_nothing(&store).await;
    what_does_not_fit_is_refused(&store).await;
    writers_do_not_mix(&store).await;
    reads_start_and_end_where_they_are_told(&store).await;
    what_is_held_of_a_group_is_told(&store).await;
    a_store_belongs_to_one_cluster(&store).await;

    let (id, load) = (store.id(), store.load());
    let held_everywhere = |store: ChunkStore| async move {
        assert_eq!(store.id(), id);
        assert_eq!(store.cluster(), Some(ClusterId(5)));
        let now = store.load();
        assert_eq!((now.chunk_count, now.chunk_bytes), (load.chunk_count, load.chunk_bytes));
        for (number, size) in (0_u64..).zip(SIZES) {
            assert_eq!(get(&store, chunk(number), Epoch(1)).await.unwrap(), content(number, size));
        }
        what_is_held_of_a_group_is_told(&store).await;
        store
    };
    close(store).await;
    let store = held_everywhere(open(make(Wanted::Same)).await).await;
    put(&store, chunk(90), Epoch(1), &content(90, 5000)).await.unwrap();
    let load = store.load();
    close(store).await;
    let store = open(make(Wanted::WithoutIndex)).await;
    assert_eq!(store.load().chunk_count, load.chunk_count);
    assert_eq!(get(&store, chunk(90), Epoch(1)).await.unwrap(), content(90, 5000));
    a_held_chunk_is_not_written_again(&store).await;
    close(store).await;
}

/// A chunk of some file.
#[must_use]
pub fn chunk(number: u64) -> ChunkId {
    ChunkId { file: FileId(number / 4 + 1), index: ChunkIndex((number % 4) as u32) }
}

/// Bytes that differ from chunk to chunk and from block to block.
#[must_use]
pub fn content(seed: u64, length: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(length as usize + 8);
    while bytes.len() < length as usize {
        // xorshift64 (Marsaglia, 2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length as usize);
    bytes
}

/// Opens a store with small segments and no reserve.
///
/// # Panics
/// The store cannot be opened.
pub async fn open(place: Place) -> ChunkStore {
    try_open(place).await.expect("the store opens")
}

/// Opens a store with small segments and no reserve.
///
/// # Errors
/// Those of the store.
pub async fn try_open(place: Place) -> Result<ChunkStore, StoreError> {
    open_with(place, StoreSettings { reserve_bytes: Some(0), segment_bytes: SEGMENT_BYTES }).await
}

/// Opens a store as it is told.
///
/// # Errors
/// Those of the store.
pub async fn open_with(place: Place, settings: StoreSettings) -> Result<ChunkStore, StoreError> {
    let Place { scope, disk, index, entropy } = place;
    ChunkStore::open(OpenStore { scope: &scope, disk, index, entropy, settings }).await
}

/// Writes a chunk in pieces of odd sizes and seals it.
///
/// # Errors
/// Those of the store; a chunk that is held already counts as written if its checksum is that of `bytes`, and panics
/// otherwise.
pub async fn put(store: &ChunkStore, chunk: ChunkId, epoch: Epoch, bytes: &[u8]) -> Result<(), StoreError> {
    let sums = ChunkSums::of(bytes);
    let mut writer = match store.begin_write(chunk, epoch, sums.length).await? {
        BeginWrite::Write(writer) => writer,
        BeginWrite::Held(checksum) => {
            assert_eq!(checksum, sums.checksum(), "other bytes are held for {chunk}");
            return Ok(());
        }
    };
    let bytes = Bytes::copy_from_slice(bytes);
    let mut at = 0;
    while at < bytes.len() {
        let end = (at + 100_001).min(bytes.len());
        let middle = at + (end - at) / 3;
        writer.write(vec![bytes.slice(at..middle), bytes.slice(middle..end)]).await?;
        at = end;
    }
    writer.seal(&sums).await
}

/// Reads a chunk as a whole, and checks its tree.
///
/// # Errors
/// Those of the store.
pub async fn get(store: &ChunkStore, chunk: ChunkId, epoch: Epoch) -> Result<Vec<u8>, StoreError> {
    let reader = store.read(chunk, epoch).await?;
    let mut bytes = Vec::new();
    while bytes.len() < reader.sums().length as usize {
        let first = bytes.len() as u32 / BLOCK_BYTES;
        bytes.extend_from_slice(&reader.next_blocks(first, READ_BLOCKS_MAX).await?);
    }
    assert_eq!(&ChunkSums::of(&bytes), reader.sums(), "the sums of {chunk} are not those of its bytes");
    Ok(bytes)
}

async fn close(store: ChunkStore) {
    store.close().await;
    assert_eq!(store.read(chunk(0), Epoch(1)).await.err(), Some(StoreError::Stopping));
    assert_eq!(store.begin_write(chunk(0), Epoch(7), 1).await.err(), Some(StoreError::Stopping));
    store.close().await;
}

async fn held(store: &ChunkStore, chunk: ChunkId, epoch: Epoch, length: u32) -> Option<Digest> {
    match store.begin_write(chunk, epoch, length).await {
        Ok(BeginWrite::Held(checksum)) => Some(checksum),
        _ => None,
    }
}

async fn writer(store: &ChunkStore, chunk: ChunkId, length: u32) -> super::ChunkWriter {
    match store.begin_write(chunk, Epoch(1), length).await {
        Ok(BeginWrite::Write(writer)) => writer,
        Ok(BeginWrite::Held(_)) => panic!("{chunk} is held"),
        Err(error) => panic!("{chunk} cannot be written: {error}"),
    }
}

fn a_new_store_is_empty(store: &ChunkStore) {
    let load = store.load();
    assert_eq!((load.chunk_count, load.chunk_bytes, load.writes, load.reads), (0, 0, 0, 0));
    assert!(load.capacity_bytes >= load.available_bytes && load.available_bytes > 0 && !load.refuses_chunks);
    assert_eq!(store.cluster(), None);
    assert!(!store.is_failed());
}

async fn chunks_of_any_size_are_read_as_they_were_written(store: &ChunkStore) {
    for (number, size) in (0_u64..).zip(SIZES) {
        assert_eq!(get(store, chunk(number), Epoch(1)).await.err(), Some(StoreError::Missing));
        put(store, chunk(number), Epoch(1), &content(number, size)).await.unwrap();
        assert_eq!(get(store, chunk(number), Epoch(1)).await.unwrap(), content(number, size), "{size} bytes");
    }
    let load = store.load();
    assert_eq!(load.chunk_count, SIZES.len() as u64);
    let bytes: u64 = SIZES.iter().map(|size| u64::from(*size)).sum();
    assert!((bytes..bytes + 12 * 1024 * load.chunk_count).contains(&load.chunk_bytes));
    assert_eq!((load.writes, load.reads), (0, 0));
}

async fn a_record_is_never_replaced(store: &ChunkStore) {
    let (first, other) = (content(20, 70_000), content(21, 70_000));
    put(store, chunk(20), Epoch(1), &first).await.unwrap();
    assert_eq!(held(store, chunk(20), Epoch(1), 70_000).await, Some(ChunkSums::of(&first).checksum()));
    // Whatever length is announced: what is held decides.
    assert_eq!(held(store, chunk(20), Epoch(1), 1).await, Some(ChunkSums::of(&first).checksum()));
    // Another epoch is another record.
    put(store, chunk(20), Epoch(2), &other).await.unwrap();
    assert_eq!(get(store, chunk(20), Epoch(1)).await.unwrap(), first);
    assert_eq!(get(store, chunk(20), Epoch(2)).await.unwrap(), other);
}

async fn a_chunk_has_one_writer_at_a_time(store: &ChunkStore) {
    let first = writer(store, chunk(24), 10).await;
    assert_eq!(store.begin_write(chunk(24), Epoch(1), 10).await.err(), Some(StoreError::WriteInProgress));
    assert_eq!(store.load().writes, 1);
    drop(first);
    put(store, chunk(24), Epoch(1), &[7; 10]).await.unwrap();
}

async fn an_abandoned_write_leaves_nothing(store: &ChunkStore) {
    let before = store.load().chunk_count;
    let bytes = content(28, 600_000);
    for written in [0, 1000, 300_000, 600_000] {
        let mut writer = writer(store, chunk(28), 600_000).await;
        writer.write(vec![Bytes::copy_from_slice(&bytes[..written])]).await.unwrap();
        drop(writer);
        assert_eq!(get(store, chunk(28), Epoch(1)).await.err(), Some(StoreError::Missing));
    }
    assert_eq!(store.load().chunk_count, before);
    put(store, chunk(28), Epoch(1), &bytes).await.unwrap();
    assert_eq!(get(store, chunk(28), Epoch(1)).await.unwrap(), bytes);
}

async fn what_does_not_fit_is_refused(store: &ChunkStore) {
    let before = store.load().chunk_count;
    for length in [0, u32::MAX] {
        assert_eq!(store.begin_write(chunk(32), Epoch(1), length).await.err(), Some(StoreError::WrongLength));
    }
    let bytes = content(32, 1000);
    let sums = ChunkSums::of(&bytes);
    let pieces = || vec![Bytes::copy_from_slice(&bytes)];

    let mut too_many = writer(store, chunk(32), 999).await;
    assert_eq!(too_many.write(pieces()).await, Err(StoreError::WrongLength));
    assert_eq!(too_many.seal(&sums).await, Err(StoreError::WrongLength));

    let mut too_few = writer(store, chunk(32), 1001).await;
    too_few.write(pieces()).await.unwrap();
    assert_eq!(too_few.seal(&ChunkSums { length: 1001, ..sums.clone() }).await, Err(StoreError::WrongLength));

    let mut other_sums = writer(store, chunk(32), 1000).await;
    other_sums.write(pieces()).await.unwrap();
    assert_eq!(other_sums.seal(&ChunkSums { crcs: vec![], ..sums }).await, Err(StoreError::BadSums));

    assert_eq!(get(store, chunk(32), Epoch(1)).await.err(), Some(StoreError::Missing));
    assert_eq!(store.load().chunk_count, before);
}

async fn writers_do_not_mix(store: &ChunkStore) {
    let scope = Scope::current().unwrap_or_else(|| store.engine.scope.clone());
    let tasks: Vec<_> = (40..56)
        .map(|number| {
            let store = store.clone();
            let size = 1 + (number as u32 - 40) * 30_011;
            scope.spawn(async move { put(&store, chunk(number), Epoch(1), &content(number, size)).await })
        })
        .collect();
    for task in tasks {
        task.await.expect("the task ends").unwrap();
    }
    for number in 40..56 {
        let size = 1 + (number as u32 - 40) * 30_011;
        assert_eq!(get(store, chunk(number), Epoch(1)).await.unwrap(), content(number, size));
    }
}

async fn reads_start_and_end_where_they_are_told(store: &ChunkStore) {
    let (number, size) = (SIZES.len() as u64 - 1, SIZES[SIZES.len() - 1]);
    let bytes = content(number, size);
    let reader = store.read(chunk(number), Epoch(1)).await.unwrap();
    assert_eq!(store.load().reads, 1);
    let blocks = block_count(size) as u32;
    for (first, count) in [(0, 1), (1, 3), (5, READ_BLOCKS_MAX), (5, u32::MAX), (blocks - 1, 9), (blocks, 1), (7, 0)] {
        let from = (first * BLOCK_BYTES).min(size) as usize;
        let to = (first.saturating_add(count.min(READ_BLOCKS_MAX)) * BLOCK_BYTES).min(size) as usize;
        assert_eq!(reader.next_blocks(first, count).await.unwrap(), &bytes[from..to], "{count} from {first}");
    }
}

async fn what_is_held_of_a_group_is_told(store: &ChunkStore) {
    // The last three of the sizes are one file's.
    let file = chunk(12).file;
    let expected: Vec<HeldChunk> = (12..15)
        .map(|number| {
            let length = SIZES[number as usize];
            let checksum = ChunkSums::of(&content(number, length)).checksum();
            HeldChunk { index: chunk(number).index, length, checksum }
        })
        .collect();
    let unsealed = writer(store, ChunkId { file, index: ChunkIndex(9) }, 10).await;
    assert_eq!(store.held(file, GroupIndex(0), Epoch(1)).await.unwrap(), expected);
    drop(unsealed);
    for (group, epoch) in [(1, 1), (0, 2), (u32::MAX, 1)] {
        assert_eq!(store.held(file, GroupIndex(group), Epoch(epoch)).await.unwrap(), []);
    }
}

async fn a_store_belongs_to_one_cluster(store: &ChunkStore) {
    store.set_cluster(ClusterId(5)).await.unwrap();
    store.set_cluster(ClusterId(5)).await.unwrap();
    assert_eq!(store.set_cluster(ClusterId(6)).await, Err(StoreError::WrongCluster));
    assert_eq!(store.cluster(), Some(ClusterId(5)));
}

async fn a_held_chunk_is_not_written_again(store: &ChunkStore) {
    let bytes = content(90, 5000);
    assert_eq!(held(store, chunk(90), Epoch(1), 5000).await, Some(ChunkSums::of(&bytes).checksum()));
}
