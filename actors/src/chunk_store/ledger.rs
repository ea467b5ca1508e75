//! Who writes what at the moment: at most one writer for each chunk and epoch, each in a region of its own.
//!
//! The checkpoint never passes a region that is still written.

use super::lock;
use super::record::{Position, RecordKey};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

/// The writers of one store.
#[derive(Clone, Default)]
pub struct Ledger(Arc<Mutex<Entries>>);

#[derive(Default)]
struct Entries {
    keys: BTreeSet<RecordKey>,
    regions: BTreeSet<Position>,
}

impl Ledger {
    /// Claims a chunk and epoch for one writer, unless another has it.
    #[must_use]
    pub fn claim(&self, key: RecordKey) -> Option<Claim> {
        let claimed = lock(&self.0).keys.insert(key);
        claimed.then(|| Claim { ledger: self.clone(), key, region: None })
    }

    /// The first region that is still written.
    #[must_use]
    pub fn first_region(&self) -> Option<Position> {
        lock(&self.0).regions.first().copied()
    }

    /// How many writers there are.
    #[must_use]
    pub fn writers(&self) -> usize {
        lock(&self.0).keys.len()
    }
}

/// A chunk and epoch, and later a region, that belong to one writer until this is dropped.
pub struct Claim {
    ledger: Ledger,
    key: RecordKey,
    region: Option<Position>,
}

impl Claim {
    /// What is claimed.
    #[must_use]
    pub fn key(&self) -> RecordKey {
        self.key
    }

    /// Adds the region that begins at `position`.
    pub fn add_region(&mut self, position: Position) {
        lock(&self.ledger.0).regions.insert(position);
        self.region = Some(position);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut entries = lock(&self.ledger.0);
        entries.keys.remove(&self.key);
        if let Some(region) = &self.region {
            entries.regions.remove(region);
        }
    }
}
