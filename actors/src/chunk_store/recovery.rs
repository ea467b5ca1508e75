//! Opening a data directory: who it is, what it holds, and where to go on.
//!
//! What lies beyond the index's checkpoint is scanned, with the CRCs of every payload: after a power cut a whole
//! trailer may stand behind payload that never reached the disk. A segment is made durable before it is scanned, so
//! that nothing enters the index (and is answered as held) that only the page cache has. Of two whole records of one
//! key the later wins: the earlier was never acknowledged, else there were no later one. A key of which only broken
//! records are found may be one of a copy that counts: metadata is told of it, and passes over what never counted.

use super::StoreError;
use super::damaged::Damaged;
use super::identity::Identity;
use super::index::{ChunkIndex, Location, Totals};
use super::record::{Owner, PAGE_BYTES, Position, RecordKey};
use super::scan::{Found, Scan};
use super::segment::{self, Segments};
use crate::disk::{Disk, DiskLock};
use crate::key_value::{KeyValue, KeyValueError};
use dfs_core::id::StoreId;
use dfs_transport::world::Scope;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// Records that enter the index at once.
const BATCH_RECORDS: usize = 1000;

/// A data directory that is ready for work.
pub struct Recovered {
    pub lock: DiskLock,
    pub identity: Identity,
    pub index: ChunkIndex,
    pub damaged: Damaged,
    pub totals: Totals,
    /// The number of the next new segment.
    pub next_segment: u32,
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> StoreError {
        tracing::error!(%error, "the data directory cannot be opened");
        StoreError::OpenFailed(error.kind())
    }
}

impl From<KeyValueError> for StoreError {
    fn from(error: KeyValueError) -> StoreError {
        tracing::error!(error = &error as &dyn std::error::Error, "the chunk index cannot be opened");
        StoreError::IndexFailed
    }
}

/// Opens a data directory; makes a new store, called `fresh`, if it is empty. Blocks.
pub fn recover(
    scope: &Scope,
    disk: &Arc<dyn Disk>,
    pairs: Arc<dyn KeyValue>,
    fresh: Owner,
) -> Result<Recovered, StoreError> {
    let lock = disk.lock().map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => StoreError::Locked,
        _ => error.into(),
    })?;
    disk.create_directory(segment::DIRECTORY)?;
    // What an earlier life created and did not make durable must not go once the index names it.
    disk.sync_directory("")?;
    disk.sync_directory(segment::DIRECTORY)?;
    let numbers = Segments::numbers(&**disk)?;
    let identity = load_identity(&**disk, fresh, numbers.is_empty())?;
    let index = ChunkIndex::new(identity.owner.store, pairs);
    let from = start(&**disk, &index, &numbers)?;
    let mut recovery =
        Recovery { index: &index, totals: index.totals()?, batch: BTreeMap::new(), damaged: Damaged::default() };
    for number in numbers.iter().copied().filter(|number| *number >= from.segment) {
        let offset = if number == from.segment { from.offset } else { 0 };
        recovery.take_segment(scope, &**disk, identity.owner, Position { segment: number, offset })?;
    }
    recovery.commit()?;
    let Recovery { totals, damaged, .. } = recovery;
    let next_segment = numbers.last().map_or(0, |last| last + 1).max(from.segment + u32::from(from.offset > 0));
    index.save_checkpoint(Position { segment: next_segment, offset: 0 })?;
    Ok(Recovered { lock, identity, index, damaged, totals, next_segment })
}

fn load_identity(disk: &dyn Disk, fresh: Owner, empty: bool) -> Result<Identity, StoreError> {
    match Identity::load(disk) {
        Ok(Some(identity)) => Ok(identity),
        Ok(None) if empty => {
            let identity = Identity { owner: fresh, cluster: None };
            identity.save(disk)?;
            Ok(identity)
        }
        Ok(None) => Err(StoreError::IdentityLost),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(StoreError::IdentityLost),
        Err(error) => Err(error.into()),
    }
}

/// Where to begin the scan: at the checkpoint, or at the first segment with an empty index.
fn start(disk: &dyn Disk, index: &ChunkIndex, numbers: &[u32]) -> Result<Position, StoreError> {
    if let Some(checkpoint) = index.checkpoint()?
        && checkpoint_fits(disk, checkpoint, numbers)?
    {
        return Ok(checkpoint);
    }
    if !numbers.is_empty() {
        tracing::warn!(segments = numbers.len(), "the chunk index is missing; it is made anew from the segments");
    }
    index.clear()?;
    Ok(Position { segment: 0, offset: 0 })
}

/// Whether the files are at least what the checkpoint says that they were. If not, they are other ones.
fn checkpoint_fits(disk: &dyn Disk, checkpoint: Position, numbers: &[u32]) -> io::Result<bool> {
    if checkpoint.offset == 0 {
        return Ok(true);
    }
    if !numbers.contains(&checkpoint.segment) {
        return Ok(false);
    }
    let length = disk.open(&segment::path(checkpoint.segment), false)?.length()?;
    Ok(length.next_multiple_of(PAGE_BYTES) >= checkpoint.offset)
}

struct Recovery<'r> {
    index: &'r ChunkIndex,
    totals: Totals,
    batch: BTreeMap<RecordKey, Location>,
    /// Keys of which there is no whole record, in the segments that were scanned.
    damaged: Damaged,
}

impl Recovery<'_> {
    fn take_segment(&mut self, scope: &Scope, disk: &dyn Disk, owner: Owner, from: Position) -> Result<(), StoreError> {
        let file = disk.open(&segment::path(from.segment), false)?;
        file.sync_data()?;
        let mut scan = Scan::new(&*file, owner, from)?;
        let (mut records, mut holes) = (0_u64, 0_u64);
        loop {
            if scope.is_killed() {
                return Err(StoreError::Stopping);
            }
            match scan.step()? {
                Found::Record(key, location) => {
                    records += 1;
                    self.take(key, location)?;
                }
                Found::Broken(key, sequence) => {
                    holes += 1;
                    // The index may have been saved further than its checkpoint says, and name this very record.
                    if self.present(&key)?.is_none_or(|present| present.sequence == sequence) {
                        self.damaged.mark(key, sequence);
                    }
                }
                Found::Hole => holes += 1,
                Found::End { used } => {
                    tracing::info!(segment = from.segment, records, holes, "scanned a segment");
                    // Only zeros are cut off: space that an earlier life allocated and never used.
                    if used < file.length()? {
                        file.set_length(used)?;
                    }
                    return Ok(());
                }
            }
        }
    }

    fn take(&mut self, key: RecordKey, location: Location) -> Result<(), StoreError> {
        self.damaged.forget(&key);
        match self.present(&key)? {
            Some(present) if present.position >= location.position => return Ok(()),
            Some(present) => self.totals.subtract(&present.layout),
            None => {}
        }
        self.totals.add(&location.layout);
        self.batch.insert(key, location);
        if self.batch.len() >= BATCH_RECORDS { self.commit() } else { Ok(()) }
    }

    fn present(&self, key: &RecordKey) -> Result<Option<Location>, StoreError> {
        Ok(match self.batch.get(key) {
            Some(present) => Some(*present),
            None => self.index.get(key)?,
        })
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        Ok(self.index.commit(std::mem::take(&mut self.batch), &self.totals)?)
    }
}

/// Names for a store that is made now.
pub fn draw_owner(entropy: &dfs_transport::world::Entropy) -> Owner {
    Owner { store: StoreId(entropy.wide_number()), mark: entropy.wide_number() }
}
