//! The records of one store, read as far as their pages are new.

use super::{Site, StorageSight, unreadable};
use crate::disk::{DurableDisk, DurableFile, Seen};
use crate::verdict::Failure;
use dfs_actors::chunk_store::inspect::{Owner, Position, SegmentReader, StoredRecord, owner, segment_path, segments};
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

/// What is remembered between two looks.
#[derive(Default)]
pub(super) struct Shelf {
    owner: Option<Owner>,
    segments: BTreeMap<u32, Segment>,
}

/// A segment as it was then.
struct Segment {
    file: DurableFile,
    seen: Seen,
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
        self.look(&site.disk.durable(), sight).map_err(|error| unreadable(&site.name, error))
    }

    fn look(&mut self, disk: &DurableDisk, sight: &mut StorageSight) -> io::Result<()> {
        let found = owner(disk)?.map(|found| found.owner);
        if found != self.owner {
            *self = Shelf { owner: found, ..Shelf::default() };
            sight.records.clear();
        }
        sight.store = found.map(|owner| owner.store);
        let Some(owner) = found else { return Ok(()) };
        let numbers = segments(disk)?;
        let before = self.segments.len();
        self.segments.retain(|number, _| numbers.contains(number));
        let mut changed = self.segments.len() < before;
        for number in numbers {
            let file = disk.file(&segment_path(number))?;
            let known = self.segments.remove(&number).filter(|known| known.file.is(&file));
            changed |= known.is_none();
            let mut segment = known.unwrap_or_else(|| Segment::unseen(file));
            changed |= segment.look(owner, number, &mut sight.news)?;
            self.segments.insert(number, segment);
        }
        if changed {
            sight.records = by_key(self.segments.values());
        }
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

impl Segment {
    fn unseen(file: DurableFile) -> Segment {
        Segment { file, seen: Seen::default(), records: Vec::new(), end: 0 }
    }

    /// Reads what is new, adds the records of it to `news`, and says whether any record differs.
    fn look(&mut self, owner: Owner, segment: u32, news: &mut Vec<StoredRecord>) -> io::Result<bool> {
        let (changes, seen) = self.file.news(self.seen);
        let (end, old_end) = (self.file.written_end(), self.end);
        (self.seen, self.end) = (seen, end);
        if changes.is_empty() && end == old_end {
            return Ok(false);
        }
        let old = std::mem::take(&mut self.records);
        let known = news.len();
        let mut kept = 0;
        let mut at = 0;
        let mut olds = old.iter().peekable();
        // What lies where the file ended, or ends now, may read otherwise without having been written.
        let unchanged = |bytes: Range<u64>| bytes.end <= end.min(old_end) && !touches(&changes, &bytes);
        loop {
            while olds.peek().is_some_and(|old| old.from < at) {
                olds.next();
            }
            while let Some(old) = olds.next_if(|old| old.from == at && unchanged(at..old.record.end)) {
                self.records.push(*old);
                at = old.record.end;
                kept += 1;
            }
            let from = Position { segment, offset: at };
            let Some(record) = SegmentReader::new(&self.file, owner, from)?.next_record()? else { break };
            self.records.push(Found { from: at, record });
            news.push(record);
            at = record.end;
        }
        Ok(kept < old.len() || news.len() > known)
    }
}

/// Whether one of the changes, which are apart and rising, lies in a range.
fn touches(changes: &[Range<u64>], bytes: &Range<u64>) -> bool {
    let first = changes.partition_point(|change| change.end <= bytes.start);
    changes.get(first).is_some_and(|change| change.start < bytes.end)
}
