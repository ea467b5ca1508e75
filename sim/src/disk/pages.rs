//! The content of a file, as written and as synced, in pages that both share until one is written.

use super::page::{PAGE_BYTES, ZEROES};
use super::page_map::PageMap;
use crate::random::Random;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A file's content. Pages that are absent are zeroes.
#[derive(Clone, Default)]
pub(super) struct Pages {
    pub(super) written: PageMap,
    pub(super) synced: PageMap,
    /// The pages that the next sync must carry over.
    dirty: BTreeSet<u64>,
    length: u64,
    synced_length: u64,
    /// Whether the next sync carries the length over.
    length_is_dirty: bool,
    /// Pages that may have bits that rotted.
    pub(super) rotten: BTreeSet<u64>,
    /// Ranges of pages that take space, by first page, with the page behind the last; apart from each other.
    occupied: BTreeMap<u64, u64>,
    /// The pages whose durable content changed, in the order of the changes, but for rot: what somebody who looks again
    /// and again must read anew.
    pub(super) journal: Vec<u64>,
}

/// What a power cut did to pages that were not synced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Damage {
    /// Pages of which some sectors are old and some new.
    pub torn: u64,
    /// Pages that are as they were synced, and not as they were written.
    pub lost: u64,
}

impl Pages {
    pub fn length(&self) -> u64 {
        self.length
    }

    /// How much of the file is there whatever happens.
    pub fn durable_length(&self) -> u64 {
        self.length.min(self.synced_length)
    }

    /// Reads what there is of a range, and says how many bytes that was.
    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> usize {
        let end = self.length.min(offset.saturating_add(buffer.len() as u64));
        let mut at = offset;
        while at < end {
            let (number, within) = (at / PAGE_BYTES, (at % PAGE_BYTES) as usize);
            let count = (PAGE_BYTES - at % PAGE_BYTES).min(end - at) as usize;
            let page = self.written.get(number).map_or(&ZEROES, |page| page);
            let done = (at - offset) as usize;
            buffer[done..done + count].copy_from_slice(&page.bytes()[within..within + count]);
            at += count as u64;
        }
        at.saturating_sub(offset) as usize
    }

    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        let (mut at, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            let (number, within) = (at / PAGE_BYTES, (at % PAGE_BYTES) as usize);
            let count = rest.len().min(PAGE_BYTES as usize - within);
            self.written.get_or_insert(number).write(within, &rest[..count]);
            self.dirty.insert(number);
            at += count as u64;
            rest = &rest[count..];
        }
        self.grow(at);
    }

    /// Makes the file at least so long.
    pub fn grow(&mut self, length: u64) {
        self.length = self.length.max(length);
        // Also if it only seems to be that long already, because a failed fsync lost the length.
        self.length_is_dirty |= length > self.synced_length;
    }

    /// Cuts or extends the file.
    pub fn set_length(&mut self, length: u64) {
        if length < self.length {
            let behind: Vec<u64> =
                self.written.range(length.div_ceil(PAGE_BYTES)..u64::MAX).map(|(number, _)| number).collect();
            for number in behind {
                self.written.remove(number);
                self.dirty.insert(number);
            }
            self.clear_tail(length);
            self.vacate(length.div_ceil(PAGE_BYTES));
        }
        self.length_is_dirty |= length != self.length || length != self.synced_length;
        self.length = length;
    }

    /// Zeroes the rest of the page that `length` ends in, so that growing again shows zeroes.
    fn clear_tail(&mut self, length: u64) {
        let (number, within) = (length / PAGE_BYTES, (length % PAGE_BYTES) as usize);
        if within > 0
            && let Some(page) = self.written.get_mut(number)
        {
            page.clear_from(within);
            self.dirty.insert(number);
        }
    }

    /// Makes what is dirty durable, and only that.
    pub fn sync(&mut self) {
        for number in std::mem::take(&mut self.dirty) {
            self.journal.push(number);
            match self.written.get(number) {
                Some(page) => self.synced.insert(number, page.clone()),
                None => self.synced.remove(number),
            };
        }
        if std::mem::take(&mut self.length_is_dirty) {
            self.synced_length = self.length;
        }
    }

    /// What a failed fsync leaves: pages that count as clean and are not on the disk.
    pub fn forget_dirty(&mut self) {
        self.dirty.clear();
        self.length_is_dirty = false;
    }

    /// Reads what there is durably of a range, as it was before any of it rotted, and says how many bytes that was.
    pub fn read_durable(&self, offset: u64, buffer: &mut [u8]) -> usize {
        let end = self.synced_length.min(offset.saturating_add(buffer.len() as u64));
        let mut at = offset;
        while at < end {
            let (number, within) = (at / PAGE_BYTES, (at % PAGE_BYTES) as usize);
            let count = (PAGE_BYTES - at % PAGE_BYTES).min(end - at) as usize;
            let done = (at - offset) as usize;
            let page = self.synced.get(number).map_or(&ZEROES, |page| page);
            let into = &mut buffer[done..done + count];
            if page.is_rotten() {
                let mut healed = page.clone();
                healed.heal();
                into.copy_from_slice(&healed.bytes()[within..within + count]);
            } else {
                into.copy_from_slice(&page.bytes()[within..within + count]);
            }
            at += count as u64;
        }
        at.saturating_sub(offset) as usize
    }

    /// Where the last durable page ends that is not absent.
    pub fn durable_end(&self) -> u64 {
        let end = self.synced.last().map_or(0, |number| (number + 1) * PAGE_BYTES);
        end.min(self.synced_length)
    }

    /// Loses, tears or keeps each unsynced page and the unsynced length.
    pub fn lose_power(&mut self, random: &mut Random) -> Damage {
        // Whole files that keep or lose everything are as interesting as mixtures.
        let mood = random.within(0..=3);
        let keep = |random: &mut Random| match mood {
            0 => false,
            1 => true,
            _ => random.chance(500_000),
        };
        let mut torn_pages = 0;
        for number in std::mem::take(&mut self.dirty) {
            self.journal.push(number);
            let torn = mood > 1 && random.chance(250_000);
            let page = self.written.get(number);
            if torn {
                let (old, new) =
                    (self.synced.get(number).map_or(&ZEROES, |page| page), page.map_or(&ZEROES, |page| page));
                let mixed = old.torn(new, random);
                torn_pages += u64::from(mixed.bytes() != old.bytes() && mixed.bytes() != new.bytes());
                self.synced.insert(number, Arc::new(mixed));
            } else if keep(random) {
                match page {
                    Some(page) => self.synced.insert(number, page.clone()),
                    None => self.synced.remove(number),
                };
            }
        }
        if self.length_is_dirty && keep(random) {
            self.synced_length = self.length;
        }
        let changed = self.written.iter().filter(|(number, page)| {
            let kept = self.synced.get(*number).map_or(&ZEROES, |page| page);
            !std::ptr::eq(kept, &raw const ***page) && kept.bytes() != page.bytes()
        });
        let damage = Damage { torn: torn_pages, lost: (changed.count() as u64).saturating_sub(torn_pages) };
        *self = Pages { journal: std::mem::take(&mut self.journal), ..self.durable() };
        // A truncation that did not last takes its space again.
        let pages: Vec<u64> = self.synced.iter().map(|(number, _)| number).collect();
        pages.into_iter().for_each(|number| self.occupy(number * PAGE_BYTES, PAGE_BYTES));
        damage
    }

    /// The file as it is on the medium, without what was not synced.
    pub fn durable(&self) -> Pages {
        let (written, synced, occupied) = (self.synced.clone(), self.synced.clone(), self.occupied.clone());
        let rotten = self.rotten.clone();
        let mut durable = Pages { written, synced, occupied, rotten, length: u64::MAX, ..Pages::default() };
        durable.set_length(self.synced_length);
        durable.sync();
        durable
    }

    /// The file as it reads, with everything synced.
    pub fn live(&self) -> Pages {
        Pages {
            written: self.written.clone(),
            synced: self.written.clone(),
            length: self.length,
            synced_length: self.length,
            occupied: self.occupied.clone(),
            rotten: self.rotten.clone(),
            ..Pages::default()
        }
    }

    pub fn occupied_pages(&self) -> u64 {
        self.occupied.iter().map(|(first, end)| end - first).sum()
    }

    /// How many pages of a range of bytes take no space yet.
    pub fn unoccupied_pages(&self, offset: u64, length: u64) -> u64 {
        let (first, end) = page_range(offset, length);
        let taken: u64 = self
            .occupied
            .range(..end)
            .rev()
            .take_while(|(_, behind)| **behind > first)
            .map(|(start, behind)| (*behind).min(end) - (*start).max(first))
            .sum();
        (end - first).saturating_sub(taken)
    }

    /// Takes space for a range of bytes.
    pub fn occupy(&mut self, offset: u64, length: u64) {
        let (mut first, mut end) = page_range(offset, length);
        if first == end {
            return;
        }
        let touching: Vec<(u64, u64)> = self
            .occupied
            .range(..=end)
            .rev()
            .take_while(|(_, behind)| **behind >= first)
            .map(|(start, behind)| (*start, *behind))
            .collect();
        for (start, behind) in touching {
            self.occupied.remove(&start);
            first = first.min(start);
            end = end.max(behind);
        }
        self.occupied.insert(first, end);
    }

    /// Gives back the space of `first` and all pages behind it.
    fn vacate(&mut self, first: u64) {
        self.occupied.split_off(&first);
        if let Some(mut last) = self.occupied.last_entry() {
            let end = (*last.get()).min(first);
            last.insert(end);
        }
    }
}

/// The pages that a range of bytes touches: the first, and the one behind the last.
fn page_range(offset: u64, length: u64) -> (u64, u64) {
    let first = offset / PAGE_BYTES;
    (first, if length == 0 { first } else { offset.saturating_add(length).div_ceil(PAGE_BYTES) })
}
