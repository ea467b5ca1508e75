//! What all listings share: the pairs of a range in batches, and how much a page still takes.

use super::view::{Pair, Pairs, View};
use crate::limit::{LIST_PAGE_BYTES_MAX, LIST_PAGE_MAX};
use std::ops::Bound;

/// Pairs that are read at once, first and at most.
const BATCH_FIRST: usize = 8;
const BATCH_MAX: usize = 128;
/// Bytes of one entry of a listing in a message besides its name, at most.
const INFO_BYTES_MAX: usize = 64;

/// The pairs of a range, in the order of their keys. One batch is in memory; the first are small, since most listings are
/// short.
#[derive(Debug)]
pub(super) struct Scan {
    rest: Bound<Vec<u8>>,
    end: Vec<u8>,
    /// Pairs of the last batch, the next one last.
    batch: Pairs,
    batch_size: usize,
    is_read: bool,
}

impl Scan {
    /// The pairs from `start` to before `end`.
    pub(super) fn new(start: Bound<Vec<u8>>, end: &[u8]) -> Scan {
        Scan { rest: start, end: end.to_vec(), batch: Pairs::new(), batch_size: BATCH_FIRST, is_read: false }
    }

    /// The next pair.
    pub(super) fn next<V: View>(&mut self, view: &V) -> Result<Option<Pair>, V::Error> {
        if self.batch.is_empty() && !self.is_read {
            let start = self.rest.as_ref().map(Vec::as_slice);
            self.batch = view.scan(start, Bound::Excluded(&self.end), self.batch_size)?;
            self.is_read = self.batch.len() < self.batch_size;
            self.batch_size = (self.batch_size * 2).min(BATCH_MAX);
            if let Some((last, _)) = self.batch.last() {
                self.rest = Bound::Excluded(last.clone());
            }
            self.batch.reverse();
        }
        Ok(self.batch.pop())
    }

    /// Drops what is in memory, to read on behind `key` later.
    pub(super) fn leave_behind(&mut self, key: Vec<u8>) {
        if !self.batch.is_empty() {
            *self = Scan::new(Bound::Excluded(key), &self.end);
        }
    }
}

/// How much a page still takes: [`LIST_PAGE_MAX`] entries at most, and about [`LIST_PAGE_BYTES_MAX`] bytes.
#[derive(Debug)]
pub(super) struct Room {
    entries: usize,
    bytes: usize,
    is_untouched: bool,
}

impl Room {
    /// For as many entries as were asked for, and no more than a page may have.
    pub(super) fn new(limit: u32) -> Room {
        Room { entries: (limit as usize).min(LIST_PAGE_MAX), bytes: LIST_PAGE_BYTES_MAX, is_untouched: true }
    }

    /// Takes room for an entry with a name of so many bytes; answers whether there is. For one entry there is always,
    /// so that every page gets on.
    pub(super) fn take(&mut self, name_bytes: usize) -> bool {
        let cost = name_bytes + INFO_BYTES_MAX;
        if self.entries == 0 || (cost > self.bytes && !self.is_untouched) {
            return false;
        }
        *self = Room { entries: self.entries - 1, bytes: self.bytes.saturating_sub(cost), is_untouched: false };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::tests::Memory;

    #[test]
    fn a_scan_reads_every_pair_of_its_range_once() {
        let keys = |range: std::ops::Range<u16>| range.map(|number| number.to_be_bytes().to_vec()).collect::<Vec<_>>();
        let pairs = keys(0..1002).into_iter().map(|key| (key.clone(), key)).collect();
        let map = Memory { pairs, ..Memory::default() };
        for count in [0, 1, 7, 8, 9, 24, 500, 990] {
            let mut scan = Scan::new(Bound::Excluded(keys(9..10).remove(0)), &keys(10 + count..11 + count)[0]);
            let mut found = Vec::new();
            while let Some((key, value)) = scan.next(&map).unwrap() {
                assert_eq!(key, value);
                // Every third time what was read ahead is dropped and read again.
                if found.len() % 3 == 0 {
                    scan.leave_behind(key.clone());
                }
                found.push(key);
            }
            assert_eq!(found, keys(10..10 + count));
        }
    }

    #[test]
    fn a_page_has_a_bound_of_entries_and_of_bytes_and_takes_at_least_one() {
        let taken = |limit, bytes| {
            let mut room = Room::new(limit);
            (0..100_000).take_while(|_| room.take(bytes)).count()
        };
        assert_eq!([taken(0, 1), taken(7, 1), taken(7, LIST_PAGE_BYTES_MAX)], [0, 7, 1]);
        assert_eq!(taken(u32::MAX, 1), LIST_PAGE_MAX);
        assert_eq!(taken(u32::MAX, LIST_PAGE_BYTES_MAX / 4), 3);
    }
}
