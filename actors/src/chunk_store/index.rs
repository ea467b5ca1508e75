//! The index: where the record of each chunk and epoch lies.
//!
//! It is a cache in a key-value store. Its checkpoint is a place in the segments below which every sealed record is
//! in the *persisted* index; what lies beyond is scanned at the next start. An index without a checkpoint of this
//! store is thrown away and made anew from the segments. The totals change in the same batch as the entries, so they
//! are right whatever part of the index a crash leaves.
//!
//! All methods block.

use super::record::{Layout, Position, RecordKey, array_at, u32_at, u64_at, u128_at};
use crate::key_value::{self, Batch, Durability, KeyValue, KeyValueError, KeyValueView};
use dfs_core::checksum::Digest;
use dfs_core::id::{ChunkId, ChunkIndex as Index, Epoch, FileId, StoreId};
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

/// Changed whenever keys or values change their form; an index of another form is made anew.
const FORM: u32 = 1;
const CHECKPOINT_KEY: [u8; 1] = [0];
const TOTALS_KEY: [u8; 1] = [1];
const RECORD_TABLE: u8 = 2;
const LOCATION_BYTES: usize = 68;
/// Keys that are removed at once when an index is thrown away.
const CLEAR_BATCH: usize = 1000;

/// Where a record lies, and what can be told of it without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// Where it begins.
    pub position: Position,
    /// Where its parts lie.
    pub layout: Layout,
    /// Ties it to its trailer.
    pub sequence: u64,
    /// The chunk's checksum.
    pub checksum: Digest,
}

/// What a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Chunks.
    pub chunks: u64,
    /// Bytes of their records.
    pub bytes: u64,
}

impl Totals {
    /// Counts one more record.
    pub fn add(&mut self, layout: &Layout) {
        self.chunks += 1;
        self.bytes += layout.record_length;
    }

    /// Counts one record less.
    pub fn subtract(&mut self, layout: &Layout) {
        self.chunks = self.chunks.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(layout.record_length);
    }
}

/// The index of one store.
pub struct ChunkIndex {
    store: StoreId,
    pairs: Arc<dyn KeyValue>,
}

impl ChunkIndex {
    /// The index of `store`, kept in `pairs`.
    #[must_use]
    pub fn new(store: StoreId, pairs: Arc<dyn KeyValue>) -> ChunkIndex {
        ChunkIndex { store, pairs }
    }

    /// Where a record lies.
    pub fn get(&self, key: &RecordKey) -> Result<Option<Location>, KeyValueError> {
        self.pairs.get(&encode_key(key))?.map(|value| decode_location(&value)).transpose()
    }

    /// Adds records, and sets the totals with them. It survives the end of the process.
    pub fn commit(
        &self,
        records: impl IntoIterator<Item = (RecordKey, Location)>,
        totals: &Totals,
    ) -> Result<(), KeyValueError> {
        let mut batch = Batch::new();
        for (key, location) in records {
            batch.put(encode_key(&key), encode_location(&location));
        }
        batch.put(TOTALS_KEY, [totals.chunks.to_le_bytes(), totals.bytes.to_le_bytes()].concat());
        self.pairs.commit(batch, Durability::Buffered)
    }

    /// What the index holds.
    pub fn totals(&self) -> Result<Totals, KeyValueError> {
        match self.pairs.get(&TOTALS_KEY)? {
            None => Ok(Totals::default()),
            Some(value) if value.len() == 16 => Ok(Totals { chunks: u64_at(&value, 0), bytes: u64_at(&value, 8) }),
            Some(_) => Err(damaged()),
        }
    }

    /// The checkpoint, if the index is of this store and form.
    pub fn checkpoint(&self) -> Result<Option<Position>, KeyValueError> {
        let Some(value) = self.pairs.get(&CHECKPOINT_KEY)? else { return Ok(None) };
        let ours = value.len() == 32 && u32_at(&value, 0) == FORM && u128_at(&value, 4) == self.store.0;
        Ok(ours.then(|| Position { segment: u32_at(&value, 20), offset: u64_at(&value, 24) }))
    }

    /// Makes durable all that was committed, and then says so.
    pub fn save_checkpoint(&self, position: Position) -> Result<(), KeyValueError> {
        self.pairs.persist()?;
        let mut value = Vec::with_capacity(32);
        value.extend_from_slice(&FORM.to_le_bytes());
        value.extend_from_slice(&self.store.0.to_le_bytes());
        value.extend_from_slice(&position.segment.to_le_bytes());
        value.extend_from_slice(&position.offset.to_le_bytes());
        let mut batch = Batch::new();
        batch.put(CHECKPOINT_KEY, value);
        self.pairs.commit(batch, Durability::Buffered)
    }

    /// Throws everything away. The checkpoint goes first, so that a crash in between does not leave half an index
    /// that looks whole.
    pub fn clear(&self) -> Result<(), KeyValueError> {
        loop {
            let pairs = self.pairs.scan(Bound::Unbounded, Bound::Unbounded, CLEAR_BATCH)?;
            if pairs.is_empty() {
                return Ok(());
            }
            let mut batch = Batch::new();
            pairs.into_iter().for_each(|(key, _)| batch.delete(key));
            self.pairs.commit(batch, Durability::Synced)?;
        }
    }
}

/// All that an index has, read without the help of whoever has it open.
pub fn indexed(view: &dyn KeyValueView) -> Result<BTreeSet<RecordKey>, KeyValueError> {
    let mut keys = BTreeSet::new();
    for page in key_value::pages(view, Bound::Included(&[RECORD_TABLE]), Bound::Excluded(&[RECORD_TABLE + 1])) {
        for (key, _) in page? {
            keys.insert(decode_key(&key)?);
        }
    }
    Ok(keys)
}

fn damaged() -> KeyValueError {
    KeyValueError::Damaged("a value of the chunk index is malformed".into())
}

/// Big endian, so that the order of keys is the order of files, chunks and epochs.
fn encode_key(key: &RecordKey) -> [u8; 17] {
    let mut bytes = [RECORD_TABLE; 17];
    bytes[1..9].copy_from_slice(&key.chunk.file.0.to_be_bytes());
    bytes[9..13].copy_from_slice(&key.chunk.index.0.to_be_bytes());
    bytes[13..].copy_from_slice(&key.epoch.0.to_be_bytes());
    bytes
}

fn decode_key(bytes: &[u8]) -> Result<RecordKey, KeyValueError> {
    let bytes: [u8; 17] = bytes.try_into().map_err(|_| damaged())?;
    let (file, index, epoch) = (array_at(&bytes, 1), array_at(&bytes, 9), array_at(&bytes, 13));
    let chunk = ChunkId { file: FileId(u64::from_be_bytes(file)), index: Index(u32::from_be_bytes(index)) };
    Ok(RecordKey { chunk, epoch: Epoch(u32::from_be_bytes(epoch)) })
}

fn encode_location(location: &Location) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(LOCATION_BYTES);
    bytes.extend_from_slice(&location.position.segment.to_le_bytes());
    bytes.extend_from_slice(&location.position.offset.to_le_bytes());
    bytes.extend_from_slice(&location.layout.payload_length.to_le_bytes());
    bytes.extend_from_slice(&location.layout.payload_offset.to_le_bytes());
    bytes.extend_from_slice(&location.layout.record_length.to_le_bytes());
    bytes.extend_from_slice(&location.sequence.to_le_bytes());
    bytes.extend_from_slice(&location.checksum.0);
    bytes
}

fn decode_location(value: &[u8]) -> Result<Location, KeyValueError> {
    if value.len() != LOCATION_BYTES {
        return Err(damaged());
    }
    let location = Location {
        position: Position { segment: u32_at(value, 0), offset: u64_at(value, 4) },
        layout: Layout {
            payload_length: u32_at(value, 12),
            payload_offset: u32_at(value, 16),
            record_length: u64_at(value, 20),
        },
        sequence: u64_at(value, 28),
        checksum: Digest(array_at(value, 36)),
    };
    location.layout.is_possible().then_some(location).ok_or_else(damaged)
}
