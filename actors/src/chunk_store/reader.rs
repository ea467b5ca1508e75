//! A reader: serves the blocks of one chunk, each checked against its CRC after it came from the disk.
//!
//! A block that fails is never served, and its record not told of as held any more. Small chunks come whole with their
//! trailer in one read.

use super::StoreError;
use super::buffer::BUFFER_BYTES;
use super::engine::Engine;
use super::index::Location;
use super::record::{Position, RecordKey, Trailer};
use super::segment::Segment;
use bytes::Bytes;
use dfs_core::checksum::{ChunkSums, block_count};
use dfs_core::limit::BLOCK_BYTES;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Blocks that one call serves at most.
pub const READ_BLOCKS_MAX: u32 = BUFFER_BYTES as u32 / BLOCK_BYTES;
/// Chunks up to this are read at once with their trailer.
const SMALL_BYTES_MAX: u32 = BLOCK_BYTES;

/// Reads one chunk.
pub struct ChunkReader {
    engine: Arc<Engine>,
    record: Arc<Record>,
}

struct Record {
    key: RecordKey,
    segment: Arc<Segment>,
    location: Location,
    sums: ChunkSums,
    /// The payload, if it is small.
    whole: Option<Bytes>,
}

impl ChunkReader {
    /// Finds a record and reads its trailer. Blocks.
    pub(super) fn open(engine: Arc<Engine>, key: RecordKey) -> Result<ChunkReader, StoreError> {
        let found = engine.index.get(&key).map_err(|error| engine.fail(&error, "read the index"))?;
        let location = found.ok_or(StoreError::Missing)?;
        let record = Record::open(&engine, key, location);
        let record = record.inspect_err(|error| engine.remember_if_damaged(*error, key, &location))?;
        engine.reads.fetch_add(1, Ordering::Relaxed);
        Ok(ChunkReader { engine, record: Arc::new(record) })
    }

    /// The checksums of the chunk, as its record keeps them.
    #[must_use]
    pub fn sums(&self) -> &ChunkSums {
        &self.record.sums
    }

    /// The bytes of up to `count` blocks from `first_block`, at most [`READ_BLOCKS_MAX`], fewer at the chunk's end;
    /// no bytes behind it.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if the disk has other bytes than were written; [`StoreError::Unreadable`] if it cannot
    /// read them.
    pub async fn next_blocks(&self, first_block: u32, count: u32) -> Result<Bytes, StoreError> {
        let length = self.record.sums.length;
        let blocks = block_count(length) as u32;
        let end_block = first_block.saturating_add(count.min(READ_BLOCKS_MAX)).min(blocks);
        if first_block >= end_block {
            return Ok(Bytes::new());
        }
        if let Some(whole) = &self.record.whole {
            return Ok(whole.clone());
        }
        let from = first_block * BLOCK_BYTES;
        let bytes = (end_block * BLOCK_BYTES).min(length) - from;
        let (record, engine) = (self.record.clone(), self.engine.clone());
        let read = move || {
            let filled = engine.buffers.filled(bytes as usize, |buffer| record.read(from, buffer));
            filled.inspect_err(|error| engine.remember_if_damaged(*error, record.key, &record.location))
        };
        self.engine.scope.blocking(read).await.map_err(|_| StoreError::Stopping)?
    }

    /// Whoever has read all of it found other bytes than [`sums`](Self::sums) says, though each block fits its CRC.
    pub async fn found_damaged(&self) {
        let (record, engine) = (self.record.clone(), self.engine.clone());
        let remember = move || engine.remember_if_damaged(StoreError::Damaged, record.key, &record.location);
        // A store that stops tells nobody any more.
        let _ = self.engine.scope.blocking(remember).await;
    }
}

impl Drop for ChunkReader {
    fn drop(&mut self) {
        self.engine.reads.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What it means that the disk gives an error instead of bytes. A segment that is not there has lost them; of any other
/// error it is unknown what stands behind it.
fn unreadable(key: &RecordKey, position: Position, error: &io::Error) -> StoreError {
    tracing::error!(%key, ?position, %error, "a chunk cannot be read");
    match error.kind() {
        io::ErrorKind::NotFound => StoreError::Damaged,
        kind => StoreError::Unreadable(kind),
    }
}

impl Record {
    /// Reads the trailer of a record, and all of a small one.
    fn open(engine: &Engine, key: RecordKey, location: Location) -> Result<Record, StoreError> {
        let layout = location.layout;
        let damaged = |why: &str| {
            tracing::error!(%key, ?location.position, why, "a chunk is damaged");
            StoreError::Damaged
        };
        let segment = engine.segments.get(location.position.segment);
        let segment = segment.map_err(|error| unreadable(&key, location.position, &error))?;
        let small = layout.payload_length <= SMALL_BYTES_MAX;
        let (from, payload_bytes) = if small {
            (u64::from(layout.payload_offset), layout.payload_length as usize)
        } else {
            (layout.trailer_offset(), 0)
        };
        let mut bytes = vec![0; payload_bytes + layout.trailer_bytes()];
        match segment.file.read_at(location.position.offset + from, &mut bytes) {
            Ok(length) if length == bytes.len() => {}
            Ok(_) => return Err(damaged("its segment is too short")),
            Err(error) => return Err(unreadable(&key, location.position, &error)),
        }
        let trailer = Trailer::decode(&bytes[payload_bytes..], layout.payload_length)
            .filter(|trailer| trailer.key == key && trailer.sequence == location.sequence)
            .ok_or_else(|| damaged("its trailer is not whole"))?;
        let whole = small.then(|| {
            bytes.truncate(payload_bytes);
            Bytes::from(bytes)
        });
        if let Some(payload) = &whole
            && crc32c::crc32c(payload) != trailer.sums.crcs[0]
        {
            return Err(damaged("its payload fails its checksum"));
        }
        Ok(Record { key, segment, location, sums: trailer.sums, whole })
    }

    /// Fills `buffer` with payload from `from`, the start of a block, and checks it.
    fn read(&self, from: u32, buffer: &mut [u8]) -> Result<(), StoreError> {
        let damaged = |why: &str| {
            tracing::error!(key = %self.key, position = ?self.location.position, from, why, "a chunk is damaged");
            StoreError::Damaged
        };
        let at = self.location.position.offset + u64::from(self.location.layout.payload_offset) + u64::from(from);
        match self.segment.file.read_at(at, buffer) {
            Ok(length) if length == buffer.len() => {}
            Ok(_) => return Err(damaged("its segment is too short")),
            Err(error) => return Err(unreadable(&self.key, self.location.position, &error)),
        }
        let crcs = &self.sums.crcs[(from / BLOCK_BYTES) as usize..];
        let good = buffer.chunks(BLOCK_BYTES as usize).zip(crcs).all(|(block, crc)| crc32c::crc32c(block) == *crc);
        if good { Ok(()) } else { Err(damaged("its payload fails its checksum")) }
    }
}
