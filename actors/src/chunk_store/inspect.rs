//! Reading a store that may be running, damaged or stopped, without its help: from the segments alone.
//!
//! For those who check stores. The index is not asked, because it is a cache of what stands here ([`indexed`] tells
//! what that has); nothing is repaired, cut or locked. Beyond what recovery looks at, a payload is compared with its
//! checksum tree. Everything blocks.

pub use super::index::indexed;
pub use super::record::{Owner, Position, RecordKey};
pub use super::segment::path as segment_path;

use super::identity::Identity;
use super::record::{Header, Trailer};
use super::scan::{Condition, Scan, Seen};
use super::segment::{DIRECTORY, Segments};
use crate::disk::{Disk, DiskFile};
use dfs_core::checksum::{ChunkHasher, Digest};
use dfs_core::id::ClusterId;
use std::io;

/// Bytes of payload that are read at once.
const WINDOW_BYTES: usize = 1024 * 1024;

/// Whose a data directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreOwner {
    /// The store, and the mark of its records.
    pub owner: Owner,
    /// The cluster that it belongs to, once it does.
    pub cluster: Option<ClusterId>,
}

/// What stands behind a whole header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// The chunk, and the epoch under which it was written.
    pub key: RecordKey,
    /// Where it begins.
    pub position: Position,
    /// Where the next record may begin.
    pub end: u64,
    /// Bytes of the chunk.
    pub length: u32,
    /// In what condition it is.
    pub condition: RecordCondition,
}

/// In what condition a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordCondition {
    /// Header, trailer and payload fit each other, the payload by its CRCs and by its checksum tree.
    Whole(Digest),
    /// Header and trailer fit each other; the payload is not what they say. This is the checksum that they say.
    Damaged(Digest),
    /// There is no whole trailer: the record was never sealed, or its trailer is damaged.
    Unsealed,
    /// It was taken away.
    Dead,
}

impl StoredRecord {
    /// The chunk's checksum, if the record is whole.
    #[must_use]
    pub fn whole(&self) -> Option<Digest> {
        match self.condition {
            RecordCondition::Whole(checksum) => Some(checksum),
            RecordCondition::Damaged(_) | RecordCondition::Unsealed | RecordCondition::Dead => None,
        }
    }
}

/// Whose a data directory is; nothing if it has no store yet.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] if its `STORE` file is damaged or of another version.
pub fn owner(disk: &dyn Disk) -> io::Result<Option<StoreOwner>> {
    Ok(Identity::load(disk)?.map(|Identity { owner, cluster }| StoreOwner { owner, cluster }))
}

/// The numbers of a store's segments, rising.
///
/// # Errors
/// The directory cannot be read.
pub fn segments(disk: &dyn Disk) -> io::Result<Vec<u32>> {
    match disk.list(DIRECTORY) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
        Ok(_) => Segments::numbers(disk),
    }
}

/// All records of a store, in their order.
///
/// # Errors
/// The disk cannot be read, or its `STORE` file is damaged.
pub fn records(disk: &dyn Disk) -> io::Result<Vec<StoredRecord>> {
    let mut records = Vec::new();
    let Some(owner) = owner(disk)? else { return Ok(records) };
    for segment in segments(disk)? {
        let file = disk.open(&segment_path(segment), false)?;
        let mut reader = SegmentReader::new(&*file, owner.owner, Position { segment, offset: 0 })?;
        while let Some(record) = reader.next_record()? {
            records.push(record);
        }
    }
    Ok(records)
}

/// Reads one segment.
pub struct SegmentReader<'f> {
    file: &'f dyn DiskFile,
    scan: Scan<'f>,
}

impl<'f> SegmentReader<'f> {
    /// Begins at the start of a segment, or where a record of it ends.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn new(file: &'f dyn DiskFile, owner: Owner, from: Position) -> io::Result<SegmentReader<'f>> {
        Ok(SegmentReader { file, scan: Scan::new(file, owner, from)? })
    }

    /// The next record, in whatever condition; nothing at the end.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn next_record(&mut self) -> io::Result<Option<StoredRecord>> {
        let Seen::Region(header, condition) = self.scan.examine()? else { return Ok(None) };
        let condition = match condition {
            Condition::Whole(checksum) if self.fits_its_tree(&header)? => RecordCondition::Whole(checksum),
            Condition::Whole(checksum) | Condition::Damaged(checksum) => RecordCondition::Damaged(checksum),
            Condition::Unsealed => RecordCondition::Unsealed,
            Condition::Dead => RecordCondition::Dead,
        };
        let Header { key, position, layout, .. } = header;
        let end = position.offset + layout.record_length;
        Ok(Some(StoredRecord { key, position, end, length: layout.payload_length, condition }))
    }

    /// Whether the payload of a whole record has the SHA-256 tree that its trailer says. Where CRCs fit and this does
    /// not, other bytes were sealed than those that were checked on their way in.
    fn fits_its_tree(&self, header: &Header) -> io::Result<bool> {
        let layout = &header.layout;
        let (mut at, end) = (u64::from(layout.payload_offset), layout.trailer_offset());
        let mut hasher = ChunkHasher::new();
        let mut window = vec![0; WINDOW_BYTES.min(layout.payload_length as usize)];
        while at < end {
            let wanted = window.len().min((end - at) as usize);
            let filled = self.file.read_at(header.position.offset + at, &mut window[..wanted])?;
            if filled == 0 {
                return Ok(false);
            }
            hasher.update(&window[..filled]);
            at += filled as u64;
        }
        let mut trailer = vec![0; layout.trailer_bytes()];
        let filled = self.file.read_at(header.position.offset + layout.trailer_offset(), &mut trailer)?;
        let trailer = Trailer::decode(&trailer[..filled], layout.payload_length);
        Ok(trailer.is_some_and(|trailer| trailer.sums == hasher.finish()))
    }
}

#[cfg(test)]
mod tests;
