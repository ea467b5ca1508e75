//! The records of one store, read as far as their pages are new.

use super::{Site, StorageSight, unreadable};
use crate::disk::SimDisk;
use crate::verdict::Failure;
use dfs_actors::chunk_store::inspect::{Owner, Position, SegmentReader, StoredRecord, owner, segment_path, segments};
use dfs_actors::disk::{Disk, DiskFile};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// What is remembered between two looks.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    /// The durable disk as it was then.
    seen: Option<SimDisk>,
    owner: Option<Owner>,
    segments: BTreeMap<u32, Segment>,
}

/// A segment as it was then.
#[derive(Debug, Default)]
struct Segment {
    records: Vec<Found>,
    /// Where the file's pages ended.
    end: u64,
}

/// A record, and where the search for it began.
#[derive(Clone, Copy, Debug)]
struct Found {
    from: u64,
    record: StoredRecord,
}

impl Shelf {
    pub fn read(&mut self, site: &Site, sight: &mut StorageSight) -> Result<(), Failure> {
        sight.name.clone_from(&site.name);
        sight.news.clear();
        self.look(&site.disk, sight).map_err(|error| unreadable(&site.name, error))
    }

    fn look(&mut self, disk: &SimDisk, sight: &mut StorageSight) -> io::Result<()> {
        let present = disk.durable_copy(true);
        let mount = present.mount();
        let found = owner(&*mount)?.map(|found| found.owner);
        if found != self.owner {
            *self = Shelf { owner: found, ..Shelf::default() };
            sight.records.clear();
        }
        sight.store = found.map(|owner| owner.store);
        let mut changed = false;
        if let Some(owner) = found {
            let numbers = segments(&*mount)?;
            let before = self.segments.len();
            self.segments.retain(|number, _| numbers.contains(number));
            changed |= self.segments.len() < before;
            for number in numbers {
                let old = self.segments.remove(&number).unwrap_or_default();
                let look = Look { seen: self.seen.as_ref(), present: &present, owner, number };
                let (new, differs) = look.segment(&*mount, old, &mut sight.news)?;
                changed |= differs;
                self.segments.insert(number, new);
            }
        }
        if changed {
            sight.records = by_key(self.segments.values());
        }
        self.seen = Some(present);
        Ok(())
    }
}

/// The record of each key: the last whole one, else the last one.
fn by_key<'s>(segments: impl Iterator<Item = &'s Segment>) -> BTreeMap<super::RecordKey, StoredRecord> {
    let mut records: BTreeMap<_, StoredRecord> = BTreeMap::new();
    for Found { record, .. } in segments.flat_map(|segment| &segment.records) {
        let present = records.get(&record.key);
        if record.whole().is_some() || present.is_none_or(|present| present.whole().is_none()) {
            records.insert(record.key, *record);
        }
    }
    records
}

/// One look at one segment.
struct Look<'l> {
    seen: Option<&'l SimDisk>,
    present: &'l SimDisk,
    owner: Owner,
    number: u32,
}

impl Look<'_> {
    /// The segment as it is now, and whether its records differ. New records are added to `news`.
    fn segment(&self, mount: &dyn Disk, old: Segment, news: &mut Vec<StoredRecord>) -> io::Result<(Segment, bool)> {
        let path = segment_path(self.number);
        let end = self.present.written_end(&path);
        let unchanged = |from, to| self.seen.is_some_and(|seen| self.present.shares(seen, &path, from..to));
        if old.end == end && unchanged(0, end) {
            return Ok((old, false));
        }
        let file = Written { file: mount.open(&path, false)?, end };
        let mut records = Vec::with_capacity(old.records.len());
        let known = news.len();
        let mut kept = 0;
        let mut at = 0;
        let mut olds = old.records.iter().peekable();
        loop {
            while olds.peek().is_some_and(|old| old.from < at) {
                olds.next();
            }
            while let Some(old) = olds.next_if(|old| old.from == at && unchanged(at, old.record.end)) {
                records.push(*old);
                at = old.record.end;
                kept += 1;
            }
            let from = Position { segment: self.number, offset: at };
            let Some(record) = SegmentReader::new(&file, self.owner, from)?.next_record()? else { break };
            records.push(Found { from: at, record });
            news.push(record);
            at = record.end;
        }
        Ok((Segment { records, end }, kept < old.records.len() || news.len() > known))
    }
}

/// A segment without the reserved space behind what was written: there is much of it, and it is empty.
struct Written {
    file: Arc<dyn DiskFile>,
    end: u64,
}

impl DiskFile for Written {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, buffer)
    }

    fn write_at(&self, _: u64, _: &[io::IoSlice<'_>]) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn allocate(&self, _: u64, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.end)
    }

    fn set_length(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}
