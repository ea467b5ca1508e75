//! The newest entries of the log, in memory: all that are not durable yet, and as many others as fit.

use super::super::types::LogEntry;
use std::collections::BTreeMap;

/// Bytes of durable entries that are kept in memory at most.
const TAIL_BYTES_MAX: usize = 8 * 1024 * 1024;

struct Kept {
    entry: LogEntry,
    bytes: usize,
    /// The write that makes it durable.
    sequence: u64,
}

/// A contiguous run of entries that ends with the last one of the log.
#[derive(Default)]
pub(super) struct Tail {
    entries: BTreeMap<u64, Kept>,
    bytes: usize,
    flushed: u64,
}

impl Tail {
    /// Adds an entry behind the last one.
    pub(super) fn push(&mut self, entry: LogEntry, bytes: usize, sequence: u64) {
        self.bytes += bytes;
        let replaced = self.entries.insert(entry.log_id.index, Kept { entry, bytes, sequence });
        self.bytes -= replaced.map_or(0, |kept| kept.bytes);
        self.evict();
    }

    /// All writes up to `sequence` are durable.
    pub(super) fn flushed(&mut self, sequence: u64) {
        self.flushed = sequence;
        self.evict();
    }

    /// Forgets the entries from `first` on.
    pub(super) fn truncate(&mut self, first: u64) {
        let cut = self.entries.split_off(&first);
        self.bytes -= cut.values().map(|kept| kept.bytes).sum::<usize>();
    }

    /// Forgets the entries up to `last`.
    pub(super) fn purge(&mut self, last: u64) {
        let kept = self.entries.split_off(&last.saturating_add(1));
        let cut = std::mem::replace(&mut self.entries, kept);
        self.bytes -= cut.values().map(|kept| kept.bytes).sum::<usize>();
    }

    /// The index of its first entry.
    pub(super) fn first(&self) -> Option<u64> {
        self.entries.keys().next().copied()
    }

    /// The entries from `start` up to, but not including, `end`, as many as fit `bytes_max`, and at least one.
    pub(super) fn read(&self, start: u64, end: u64, bytes_max: usize) -> Vec<LogEntry> {
        let mut bytes = 0;
        let fitting = self.entries.range(start..end).enumerate().take_while(|(number, (_, kept))| {
            bytes += kept.bytes;
            *number == 0 || bytes <= bytes_max
        });
        fitting.map(|(_, (_, kept))| kept.entry.clone()).collect()
    }

    fn evict(&mut self) {
        while self.bytes > TAIL_BYTES_MAX {
            match self.entries.first_entry() {
                Some(first) if first.get().sequence <= self.flushed => self.bytes -= first.remove().bytes,
                _ => return,
            }
        }
    }
}
