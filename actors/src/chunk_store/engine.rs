//! The state that a store's handles, writers, readers and lanes share, and the steps that need more than one part of
//! it.
//!
//! Two lanes work for it: *writes* puts payload into segments, *flushes* makes it durable and enters it into the
//! index. Locks are held for memory only, but for the tail's, which is taken by blocking work alone.

use super::buffer::Buffers;
use super::damaged::Damaged;
use super::flush::FlushQueue;
use super::index::{self, Location, Totals};
use super::ledger::{Claim, Ledger};
use super::record::{Header, Layout, Owner, Position, RecordKey, State};
use super::recovery::Recovered;
use super::segment::Segments;
use super::space::Space;
use super::tail::Tail;
use super::writer::ChunkWriter;
use super::{BeginWrite, StoreError, StoreSettings, lock};
use crate::disk::{Disk, DiskLock};
use dfs_core::id::{ChunkId, ChunkIndex, ClusterId, Epoch, FileId, GroupIndex};
use dfs_core::limit::{CHUNK_BYTES_DEFAULT, CHUNKS_PER_GROUP};
use dfs_core::wire::chunk::HeldChunk;
use dfs_core::wire::metadata::StorageLoad;
use dfs_transport::world::{Lane, Scope};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

/// Write jobs that wait for the lane at most, each with a few hundred KiB of payload.
pub const WRITE_JOBS_MAX: usize = 64;

pub struct Engine {
    pub scope: Scope,
    pub disk: Arc<dyn Disk>,
    pub owner: Owner,
    pub cluster: Mutex<Option<ClusterId>>,
    pub segment_bytes: u64,
    pub segments: Segments,
    pub index: index::ChunkIndex,
    pub damaged: Damaged,
    pub totals: Mutex<Totals>,
    pub tail: Mutex<Tail>,
    pub ledger: Ledger,
    pub space: Space,
    pub buffers: Buffers,
    pub writes: Lane,
    pub write_permits: Arc<Semaphore>,
    pub flushes: Lane,
    pub flush_queue: Mutex<FlushQueue>,
    pub reads: AtomicU32,
    /// Ties trailers to headers: drawn at random at the start, then counted.
    pub next_sequence: AtomicU64,
    /// Bytes of records that became durable since the last checkpoint.
    pub unsaved_bytes: AtomicU64,
    pub failed: watch::Sender<bool>,
    /// No request is taken any more.
    pub closed: AtomicBool,
    /// No job of the write lane writes any more.
    pub writes_closed: AtomicBool,
    pub lock: Mutex<Option<DiskLock>>,
}

impl Engine {
    pub fn new(
        scope: Scope,
        disk: Arc<dyn Disk>,
        recovered: Recovered,
        settings: StoreSettings,
        first_sequence: u64,
        now: Instant,
    ) -> Engine {
        let Recovered { lock, identity, index, damaged, totals, next_segment } = recovered;
        let space = Space::new(settings.reserve_bytes);
        space.refresh(now, &*disk, 0);
        Engine {
            owner: identity.owner,
            cluster: Mutex::new(identity.cluster),
            segment_bytes: settings.segment_bytes,
            segments: Segments::new(disk.clone()),
            index,
            damaged,
            totals: Mutex::new(totals),
            tail: Mutex::new(Tail::new(next_segment)),
            ledger: Ledger::default(),
            space,
            buffers: Buffers::default(),
            writes: scope.lane("chunk-writes"),
            write_permits: Arc::new(Semaphore::new(WRITE_JOBS_MAX)),
            flushes: scope.lane("chunk-flushes"),
            flush_queue: Mutex::default(),
            reads: AtomicU32::new(0),
            next_sequence: AtomicU64::new(first_sequence),
            unsaved_bytes: AtomicU64::new(0),
            failed: watch::Sender::new(false),
            closed: AtomicBool::new(false),
            writes_closed: AtomicBool::new(false),
            lock: Mutex::new(Some(lock)),
            disk,
            scope,
        }
    }

    /// Refuses work if the store is stopping or has failed.
    pub fn check(&self) -> Result<(), StoreError> {
        if self.is_failed() {
            Err(StoreError::Failed)
        } else if self.closed.load(Ordering::Acquire) {
            Err(StoreError::Stopping)
        } else {
            Ok(())
        }
    }

    pub fn is_failed(&self) -> bool {
        *self.failed.borrow()
    }

    /// Poisons the store for ever: what its disk has is unknown from now on.
    pub fn fail(&self, error: &(dyn std::error::Error + 'static), what: &'static str) -> StoreError {
        tracing::error!(error, what, "the chunk store failed and takes no work any more");
        self.failed.send_replace(true);
        StoreError::Failed
    }

    /// Answers what is held, or makes a writer with a region of its own: also for a record that is damaged, which is left
    /// where it lies and stands for what the new one must be. Blocks.
    pub fn begin(self: &Arc<Self>, mut claim: Claim, length: u32, now: Instant) -> Result<BeginWrite, StoreError> {
        let key = claim.key();
        // The claim is older than this look: whoever wrote the key before has entered it already.
        let present = self.index.get(&key).map_err(|error| self.fail(&error, "read the index"))?;
        if let Some(held) = present
            && !(self.damaged.has(&key, &held) && held.layout.payload_length == length)
        {
            return Ok(BeginWrite::Held(held.checksum));
        }
        let layout = Layout::of(length);
        let mut tail = lock(&self.tail);
        self.space.refresh(now, &*self.disk, tail.unused_bytes());
        if !self.space.take(layout.record_length) {
            return Err(StoreError::Full);
        }
        let (segment, position) = tail
            .reserve(&self.segments, self.segment_bytes, layout.record_length)
            .map_err(|error| StoreError::of_write(&error))?;
        claim.add_region(position);
        drop(tail);
        let sequence = self.next_sequence.fetch_add(1, Ordering::Relaxed);
        let header = Header { state: State::Live, owner: self.owner, key, layout, position, sequence };
        Ok(BeginWrite::Write(ChunkWriter::new(self.clone(), claim, segment, header, present)))
    }

    /// The records of a group's chunks under an epoch, in order. Only durable ones are in the index, and those that were
    /// seen to be damaged are left out. Blocks.
    pub fn held(&self, file: FileId, group: GroupIndex, epoch: Epoch) -> Result<Vec<HeldChunk>, StoreError> {
        let mut held = Vec::new();
        for slot in 0..CHUNKS_PER_GROUP {
            let Some(first) = group.0.checked_mul(CHUNKS_PER_GROUP) else { break };
            let index = ChunkIndex(first + slot);
            let key = RecordKey { chunk: ChunkId { file, index }, epoch };
            let found = self.index.get(&key).map_err(|error| self.fail(&error, "read the index"))?;
            let sound = found.filter(|location| !self.damaged.has(&key, location));
            held.extend(sound.map(|location| HeldChunk {
                index,
                length: location.layout.payload_length,
                checksum: location.checksum,
            }));
        }
        Ok(held)
    }

    /// Remembers a record as damaged, if that is what a read of it has found, and if no other was written in its place
    /// meanwhile. Blocks.
    pub fn remember_if_damaged(&self, found: StoreError, key: RecordKey, location: &Location) {
        let is_present = || self.index.get(&key).is_ok_and(|present| present.as_ref() == Some(location));
        if found == StoreError::Damaged && is_present() {
            self.damaged.mark(key, location.sequence);
        }
    }

    /// Where a checkpoint may stand now: no record behind it is unfinished.
    fn settled(&self) -> Position {
        let tail = lock(&self.tail);
        let end = tail.position();
        self.ledger.first_region().map_or(end, |region| region.min(end))
    }

    /// Moves the checkpoint of the index as far as it may. On the flush lane only.
    pub fn save_checkpoint(&self) -> Result<(), StoreError> {
        if self.is_failed() {
            return Err(StoreError::Failed);
        }
        let unsaved = self.unsaved_bytes.swap(0, Ordering::AcqRel);
        let saved = self.index.save_checkpoint(self.settled());
        saved.map_err(|error| {
            self.unsaved_bytes.fetch_add(unsaved, Ordering::AcqRel);
            self.fail(&error, "save the index")
        })
    }

    /// Asks the file system for its room, if that was not done lately. Blocks.
    pub fn look_at_space(&self, now: Instant) {
        let tail = lock(&self.tail);
        self.space.refresh(now, &*self.disk, tail.unused_bytes());
    }

    /// The last job of the flush lane: saves the index and gives the data directory back.
    pub fn finish(&self) {
        if self.save_checkpoint().is_ok() {
            lock(&self.tail).trim();
        }
        lock(&self.lock).take();
    }

    /// What the beats tell.
    pub fn load(&self) -> StorageLoad {
        let totals = *lock(&self.totals);
        let (capacity_bytes, available_bytes) = self.space.capacity_and_available();
        StorageLoad {
            capacity_bytes,
            available_bytes,
            chunk_bytes: totals.bytes,
            chunk_count: totals.chunks,
            writes: u32::try_from(self.ledger.writers()).unwrap_or(u32::MAX),
            reads: self.reads.load(Ordering::Relaxed),
            refuses_chunks: self.check().is_err() || available_bytes < u64::from(CHUNK_BYTES_DEFAULT),
            pending_copies: 0,
        }
    }
}
