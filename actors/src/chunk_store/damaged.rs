//! The records that were seen to be damaged: not told of as held, and written anew by whoever brings the same bytes.
//!
//! It is in memory only. What a start forgets is seen again by whoever reads the record next.

use super::index::Location;
use super::lock;
use super::record::RecordKey;
use std::collections::BTreeMap;
use std::sync::Mutex;

/// Records that are remembered at most, a few MiB. A store that has more is better replaced as a whole; what is beyond
/// is only found damaged by each who reads it.
const REMEMBERED_MAX: usize = 65_536;

/// The damaged records of one store, each with the number that ties it to its trailer: a record that was written anew
/// has another.
#[derive(Default)]
pub struct Damaged(Mutex<BTreeMap<RecordKey, u64>>);

impl Damaged {
    /// The record of a key is damaged.
    pub fn mark(&self, key: RecordKey, location: &Location) {
        let mut marked = lock(&self.0);
        if marked.len() < REMEMBERED_MAX || marked.contains_key(&key) {
            marked.insert(key, location.sequence);
        }
    }

    /// Whether this record of the key was seen to be damaged.
    #[must_use]
    pub fn has(&self, key: &RecordKey, location: &Location) -> bool {
        lock(&self.0).get(key) == Some(&location.sequence)
    }

    /// There is another record of the key now.
    pub fn forget(&self, key: &RecordKey) {
        lock(&self.0).remove(key);
    }
}
