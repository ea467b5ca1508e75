//! The records that were seen to be damaged: not told of as held, told to metadata once, and written anew by whoever
//! brings the same bytes.
//!
//! It is in memory only. What a start forgets is seen again by whoever reads the record next; what a scan finds broken
//! is not entered into the index, and remembered here without.

use super::index::Location;
use super::lock;
use super::record::RecordKey;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

/// Records that are remembered at most, a few MiB. A store that has more is better replaced as a whole; what is beyond
/// is only found damaged by each who reads it.
const REMEMBERED_MAX: usize = 65_536;

/// The damaged records of one store.
#[derive(Default)]
pub struct Damaged(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    /// Each with the number that ties it to its trailer: a record that was written anew has another.
    records: BTreeMap<RecordKey, u64>,
    /// Those of them that metadata has not been told of.
    untold: BTreeSet<RecordKey>,
}

impl Damaged {
    /// The record of a key that has this number is damaged.
    pub fn mark(&self, key: RecordKey, sequence: u64) {
        let mut seen = lock(&self.0);
        let has_room = seen.records.len() < REMEMBERED_MAX || seen.records.contains_key(&key);
        if has_room && seen.records.insert(key, sequence) != Some(sequence) {
            seen.untold.insert(key);
        }
    }

    /// Whether this record of the key was seen to be damaged.
    #[must_use]
    pub fn has(&self, key: &RecordKey, location: &Location) -> bool {
        lock(&self.0).records.get(key) == Some(&location.sequence)
    }

    /// Whether any record of the key was, that no other has replaced.
    #[must_use]
    pub fn remembers(&self, key: &RecordKey) -> bool {
        lock(&self.0).records.contains_key(key)
    }

    /// There is another record of the key now.
    pub fn forget(&self, key: &RecordKey) {
        let mut seen = lock(&self.0);
        seen.records.remove(key);
        seen.untold.remove(key);
    }

    /// Takes up to `most` of those that metadata has not been told of.
    pub fn take_untold(&self, most: usize) -> Vec<RecordKey> {
        let mut seen = lock(&self.0);
        let taken: Vec<RecordKey> = seen.untold.iter().take(most).copied().collect();
        for key in &taken {
            seen.untold.remove(key);
        }
        taken
    }

    /// Whoever was to tell of them has lost what it took.
    pub fn tell_again(&self) {
        let mut seen = lock(&self.0);
        seen.untold = seen.records.keys().copied().collect();
    }
}
