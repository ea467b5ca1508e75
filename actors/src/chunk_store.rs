//! The chunk store: a node's chunks in append-only segment files, write-once and durable.
//!
//! **Owns** one data directory for as long as it lives (the directory is locked): `STORE` says who it is, `segments/`
//! has the records ([`record`] is their format), and a key-value store is the index over them, which is a cache that
//! can be lost.
//!
//! **Promises.** What [`ChunkWriter::seal`] acknowledged is on stable storage, whole, and stays. At most one record
//! counts for each (file, index, epoch), and other bytes for it are never taken: one that was seen to be damaged is not
//! told of any more, and is written anew from the same bytes. No byte leaves that failed its checksum. What was not
//! sealed is absent or whole after a crash.
//!
//! **Life of a write.** [`ChunkStore::begin_write`] claims the key and reserves a region at the tail. The writer
//! streams pieces through the *writes* lane, many writers side by side, each into its own region. Sealing writes the
//! trailer and hands the record to the *flushes* lane, which makes all that is waiting durable with one fdatasync per
//! segment, enters it into the index, and only then answers.
//!
//! **Failing.** A write that fails fails alone. A failed fdatasync, and a failed index, poison the store for ever
//! ([`ChunkStore::failed`]); the node must end. A full disk refuses and loses nothing.
//!
//! **Bounds.** A writer holds what it was given last and 256 KiB; the lane has at most 64 jobs; segments kept open,
//! idle read buffers and recovery's batches are bounded. How many writers and readers there are is for the caller to
//! bound.
//!
//! **Absent**: deleting, compaction, direct IO; they come later without another format. Checking payload against
//! checksums on the way in: whoever takes a chunk from the network does that while the bytes pass.

mod buffer;
pub mod conformance;
mod damaged;
mod engine;
mod flush;
mod identity;
mod index;
pub mod inspect;
mod ledger;
mod reader;
pub mod record;
mod recovery;
mod scan;
mod segment;
mod space;
mod tail;
#[cfg(test)]
mod tests;
mod writer;

pub use reader::{ChunkReader, READ_BLOCKS_MAX};
pub use writer::ChunkWriter;

use crate::disk::Disk;
use crate::key_value::KeyValue;
use dfs_core::checksum::Digest;
use dfs_core::id::{ChunkId, ClusterId, Epoch, FileId, GroupIndex, StoreId};
use dfs_core::limit::CHUNK_BYTES_MAX;
use dfs_core::refusal::Refusal;
use dfs_core::wire::chunk::HeldChunk;
use dfs_core::wire::metadata::StorageLoad;
use dfs_transport::world::{Entropy, OwnedTask, Scope};
use engine::Engine;
use identity::Identity;
use record::RecordKey;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::time::Instant;

/// Bytes of a segment where the settings do not say.
const SEGMENT_BYTES_DEFAULT: u64 = 1024 * 1024 * 1024;
/// How often the store looks whether something is due.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(2);
/// A checkpoint is due after so many bytes of records: a start scans little more than them.
const CHECKPOINT_BYTES: u64 = 64 * 1024 * 1024;
/// A checkpoint is due this long after the last one, if there is anything new.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(10);

/// Why the store does not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// There is no record of this chunk and epoch.
    #[error("the store does not hold this chunk")]
    Missing,
    /// The record is not what was written.
    #[error("the store's copy of this chunk is damaged")]
    Damaged,
    /// The disk does not give the record's bytes: whether they are what was written is unknown.
    #[error("the disk cannot read the store's copy of this chunk ({0})")]
    Unreadable(io::ErrorKind),
    /// Another writer has the chunk and epoch.
    #[error("another writer is writing this chunk")]
    WriteInProgress,
    /// More or fewer bytes than announced, or more than any chunk has.
    #[error("the bytes are not as many as a chunk of the announced length has")]
    WrongLength,
    /// The checksums do not fit the length.
    #[error("the checksums do not fit the chunk")]
    BadSums,
    /// The damaged record that was to be written anew had other bytes.
    #[error("the store's copy of this chunk is damaged, and had other bytes than these")]
    OtherBytes,
    /// The disk has no room for it.
    #[error("the disk is full")]
    Full,
    /// The disk refused a write. Nothing that was acknowledged is touched by it.
    #[error("the disk refused a write ({0})")]
    WriteFailed(io::ErrorKind),
    /// The store has failed for ever.
    #[error("the disk failed; what it holds is unknown until the node starts again")]
    Failed,
    /// The store was closed, or the node is ending.
    #[error("the store is stopping")]
    Stopping,
    /// The store belongs to another cluster.
    #[error("the data directory belongs to another cluster")]
    WrongCluster,
    /// Another process has the data directory.
    #[error("another process uses this data directory")]
    Locked,
    /// There are segments, but no valid identity.
    #[error("the data directory has segments, but its STORE file is missing or damaged; restore it from a backup")]
    IdentityLost,
    /// The data directory cannot be read or written.
    #[error("the data directory cannot be opened ({0})")]
    OpenFailed(io::ErrorKind),
    /// The index cannot be read or written.
    #[error("the chunk index cannot be opened; if it is damaged, remove it and it is made anew")]
    IndexFailed,
}

impl StoreError {
    fn of_write(error: &io::Error) -> StoreError {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::WriteZero => StoreError::Full,
            kind => StoreError::WriteFailed(kind),
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Refusal {
        match error {
            StoreError::Missing => Refusal::ChunkMissing,
            StoreError::Damaged => Refusal::ChunkDamaged,
            StoreError::Unreadable(_) => Refusal::ChunkUnreadable,
            StoreError::WriteInProgress => Refusal::WriteInProgress,
            StoreError::WrongLength | StoreError::BadSums => Refusal::Malformed,
            StoreError::OtherBytes => Refusal::ConflictingContent,
            StoreError::Full => Refusal::StoreFull,
            StoreError::Stopping => Refusal::Stopping,
            StoreError::WrongCluster => Refusal::WrongCluster,
            StoreError::WriteFailed(_)
            | StoreError::Failed
            | StoreError::Locked
            | StoreError::IdentityLost
            | StoreError::OpenFailed(_)
            | StoreError::IndexFailed => Refusal::StoreFailed,
        }
    }
}

/// How a store works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// Bytes of the file system that chunks leave free; the larger of 1 GiB and 5 % where absent.
    pub reserve_bytes: Option<u64>,
    /// Bytes of a segment at most, but for a single record that is larger.
    pub segment_bytes: u64,
}

impl Default for StoreSettings {
    fn default() -> StoreSettings {
        StoreSettings { reserve_bytes: None, segment_bytes: SEGMENT_BYTES_DEFAULT }
    }
}

/// What a store is opened with.
pub struct OpenStore<'s> {
    /// Owns its lanes and tasks.
    pub scope: &'s Scope,
    /// The data directory.
    pub disk: Arc<dyn Disk>,
    /// Keeps the index; for this store alone.
    pub index: Arc<dyn KeyValue>,
    /// Draws the identity of a new store.
    pub entropy: Entropy,
    /// How it works.
    pub settings: StoreSettings,
}

/// What a write begins with.
#[allow(clippy::large_enum_variant, reason = "it is taken apart at once; a box would cost each write an allocation")]
pub enum BeginWrite {
    /// The bytes are wanted.
    Write(ChunkWriter),
    /// There is a durable record with this checksum, which was not seen to be damaged. There will be no other bytes.
    Held(Digest),
}

/// A handle to a store. Clones are the same store.
#[derive(Clone)]
pub struct ChunkStore {
    engine: Arc<Engine>,
    _housekeeper: Arc<OwnedTask<()>>,
}

impl ChunkStore {
    /// Opens a store, and makes one if the data directory is empty. It scans what is beyond the index's checkpoint,
    /// which is everything if the index was lost.
    ///
    /// # Errors
    /// [`StoreError::Locked`], [`StoreError::IdentityLost`], [`StoreError::OpenFailed`], [`StoreError::IndexFailed`].
    pub async fn open(open: OpenStore<'_>) -> Result<ChunkStore, StoreError> {
        let OpenStore { scope, disk, index, entropy, settings } = open;
        let (fresh, sequence) = (recovery::draw_owner(&entropy), entropy.number());
        let (owned, now) = (scope.clone(), Instant::now());
        let work = move || {
            let recovered = recovery::recover(&owned, &disk, index, fresh)?;
            Ok(Arc::new(Engine::new(owned, disk, recovered, settings, sequence, now)))
        };
        let engine = scope_blocking(scope, work).await?;
        let housekeeper = scope.spawn(keep_house(Arc::downgrade(&engine))).owned();
        Ok(ChunkStore { engine, _housekeeper: Arc::new(housekeeper) })
    }

    /// Begins to write a chunk of `length` bytes under an epoch.
    ///
    /// # Errors
    /// [`StoreError::WriteInProgress`], [`StoreError::Full`], [`StoreError::WrongLength`] for a length that no chunk
    /// has.
    pub async fn begin_write(&self, chunk: ChunkId, epoch: Epoch, length: u32) -> Result<BeginWrite, StoreError> {
        self.engine.check()?;
        if !(1..=CHUNK_BYTES_MAX).contains(&length) {
            return Err(StoreError::WrongLength);
        }
        let key = RecordKey { chunk, epoch };
        let claim = self.engine.ledger.claim(key).ok_or(StoreError::WriteInProgress)?;
        let (engine, now) = (self.engine.clone(), Instant::now());
        scope_blocking(&self.engine.scope, move || engine.begin(claim, length, now)).await
    }

    /// Begins to read a chunk.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Damaged`], [`StoreError::Unreadable`].
    pub async fn read(&self, chunk: ChunkId, epoch: Epoch) -> Result<ChunkReader, StoreError> {
        if self.engine.closed.load(Ordering::Acquire) {
            return Err(StoreError::Stopping);
        }
        let engine = self.engine.clone();
        scope_blocking(&self.engine.scope, move || ChunkReader::open(engine, RecordKey { chunk, epoch })).await
    }

    /// The durable records of a group's chunks under an epoch, in order, without those that were seen to be damaged.
    /// Nothing of them is read but the index.
    ///
    /// # Errors
    /// [`StoreError::Stopping`], [`StoreError::Failed`].
    pub async fn held(&self, file: FileId, group: GroupIndex, epoch: Epoch) -> Result<Vec<HeldChunk>, StoreError> {
        self.engine.check()?;
        let engine = self.engine.clone();
        scope_blocking(&self.engine.scope, move || engine.held(file, group, epoch)).await
    }

    /// Takes up to `most` of the records that were seen to be damaged and not taken yet.
    #[must_use]
    pub fn take_damaged(&self, most: usize) -> Vec<(ChunkId, Epoch)> {
        let taken = self.engine.damaged.take_untold(most);
        taken.into_iter().map(|key| (key.chunk, key.epoch)).collect()
    }

    /// Whether the record that the store has of this chunk and epoch was seen to be damaged.
    #[must_use]
    pub fn is_damaged(&self, chunk: ChunkId, epoch: Epoch) -> bool {
        self.engine.damaged.remembers(&RecordKey { chunk, epoch })
    }

    /// All that is damaged may be taken again: whoever took it has lost it.
    pub fn tell_damaged_again(&self) {
        self.engine.damaged.tell_again();
    }

    /// The identity of the store.
    #[must_use]
    pub fn id(&self) -> StoreId {
        self.engine.owner.store
    }

    /// The cluster that the store belongs to, once it does.
    #[must_use]
    pub fn cluster(&self) -> Option<ClusterId> {
        *lock(&self.engine.cluster)
    }

    /// Gives the store to a cluster, for good and durably.
    ///
    /// # Errors
    /// [`StoreError::WrongCluster`] if it belongs to another one.
    pub async fn set_cluster(&self, cluster: ClusterId) -> Result<(), StoreError> {
        self.engine.check()?;
        let engine = self.engine.clone();
        let save = move || {
            match *lock(&engine.cluster) {
                Some(present) if present == cluster => return Ok(()),
                Some(_) => return Err(StoreError::WrongCluster),
                None => {}
            }
            let identity = Identity { owner: engine.owner, cluster: Some(cluster) };
            identity.save(&*engine.disk).map_err(|error| StoreError::of_write(&error))?;
            *lock(&engine.cluster) = Some(cluster);
            Ok(())
        };
        self.engine.flushes.run(save).await.map_err(|_| StoreError::Stopping)?
    }

    /// How many jobs wait for each of its workers.
    #[must_use]
    pub fn queues(&self) -> [(&'static str, usize); 2] {
        [("chunk-writes", self.engine.writes.waiting()), ("chunk-flushes", self.engine.flushes.waiting())]
    }

    /// What it holds and can take, without asking the disk.
    #[must_use]
    pub fn load(&self) -> StorageLoad {
        self.engine.load()
    }

    /// Whether the store has failed for ever.
    #[must_use]
    pub fn is_failed(&self) -> bool {
        self.engine.is_failed()
    }

    /// Waits until the store has failed for ever.
    pub async fn failed(&self) {
        let mut failed = self.engine.failed.subscribe();
        // The sender lives in the engine, which `self` holds.
        let _ = failed.wait_for(|failed| *failed).await;
    }

    /// Takes no more work, finishes what was sealed, saves the index and gives the data directory back. Writers that
    /// are not sealed are given up. Again: does nothing.
    pub async fn close(&self) {
        if self.engine.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        let engine = self.engine.clone();
        let _ = self.engine.writes.run(move || engine.writes_closed.store(true, Ordering::Release)).await;
        let engine = self.engine.clone();
        let _ = self.engine.flushes.run(move || engine.finish()).await;
    }
}

/// Saves the index when that is due, and keeps the room for chunks known while nobody writes.
async fn keep_house(engine: Weak<Engine>) {
    let mut saved = Instant::now();
    loop {
        tokio::time::sleep(HOUSEKEEPING_INTERVAL).await;
        let Some(engine) = engine.upgrade() else { return };
        let now = Instant::now();
        let looking = engine.clone();
        let _ = engine.scope.blocking(move || looking.look_at_space(now)).await;
        let unsaved = engine.unsaved_bytes.load(Ordering::Acquire);
        if unsaved >= CHECKPOINT_BYTES || (unsaved > 0 && now.saturating_duration_since(saved) >= CHECKPOINT_INTERVAL) {
            let saving = engine.clone();
            let outcome = engine.flushes.run(move || saving.save_checkpoint()).await;
            if outcome != Ok(Ok(())) {
                return;
            }
            saved = now;
        }
    }
}

async fn scope_blocking<T: Send + 'static>(
    scope: &Scope,
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    scope.blocking(work).await.unwrap_or(Err(StoreError::Stopping))
}

/// Locks a mutex that guards plain memory: a panic elsewhere leaves nothing half done in it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
