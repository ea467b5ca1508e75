//! Key-value stores in memory, for tests: they count commits, can be held up, and can fail.

use super::{Batch, Change, Durability, KeyValue, KeyValueError, KeyValueStores, KeyValueView, Pair, Pairs};
use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, RwLock};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// Stores that live as long as this does. Clones are the same stores.
#[derive(Clone, Default)]
pub(crate) struct MemoryStores(Arc<Mutex<BTreeMap<String, Arc<MemoryStore>>>>);

/// One store.
#[derive(Default)]
pub(crate) struct MemoryStore {
    map: RwLock<Map>,
    /// Synced commits so far.
    pub(crate) synced: AtomicUsize,
    /// Makes every later commit fail.
    pub(crate) broken: AtomicBool,
    /// Makes every later read panic.
    pub(crate) panics: AtomicBool,
    /// Whether commits wait.
    held: Mutex<bool>,
    released: Condvar,
}

impl MemoryStores {
    /// The store of this name, made if it is not there.
    pub(crate) fn store(&self, name: &str) -> Arc<MemoryStore> {
        self.0.lock().unwrap().entry(name.to_owned()).or_default().clone()
    }
}

impl MemoryStore {
    /// Holds commits up, or lets them go on.
    pub(crate) fn hold(&self, held: bool) {
        *self.held.lock().unwrap() = held;
        self.released.notify_all();
    }
}

impl KeyValueStores for MemoryStores {
    fn open(&self, name: &str) -> Result<Arc<dyn KeyValue>, KeyValueError> {
        Ok(Arc::new(Handle(self.store(name))))
    }

    fn remove(&self, name: &str) -> Result<(), KeyValueError> {
        self.0.lock().unwrap().remove(name);
        Ok(())
    }

    fn names(&self) -> Result<Vec<String>, KeyValueError> {
        Ok(self.0.lock().unwrap().keys().cloned().collect())
    }
}

/// A store as it was opened; the content outlives it.
struct Handle(Arc<MemoryStore>);

impl KeyValueView for Handle {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, KeyValueError> {
        assert!(!self.0.panics.load(Ordering::SeqCst), "a store that panics on purpose");
        Ok(self.0.map.read().unwrap().get(key).cloned())
    }

    fn scan(&self, start: Bound<&[u8]>, end: Bound<&[u8]>, limit: usize) -> Result<Pairs, KeyValueError> {
        Ok(pairs(&self.0.map.read().unwrap(), start, end).take(limit).collect())
    }

    fn last(&self, start: Bound<&[u8]>, end: Bound<&[u8]>) -> Result<Option<Pair>, KeyValueError> {
        Ok(pairs(&self.0.map.read().unwrap(), start, end).next_back())
    }
}

impl KeyValue for Handle {
    fn commit(&self, batch: Batch, durability: Durability) -> Result<(), KeyValueError> {
        drop(self.0.released.wait_while(self.0.held.lock().unwrap(), |held| *held).unwrap());
        if self.0.broken.load(Ordering::SeqCst) {
            return Err(io::Error::other("a store that was broken on purpose").into());
        }
        let mut map = self.0.map.write().unwrap();
        for change in batch.changes {
            match change {
                Change::Put(key, value) => map.insert(key, value),
                Change::Delete(key) => map.remove(&key),
            };
        }
        if durability == Durability::Synced {
            self.0.synced.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }

    fn persist(&self) -> Result<(), KeyValueError> {
        Ok(())
    }

    fn snapshot(&self) -> Arc<dyn KeyValueView> {
        Arc::new(Frozen(self.0.map.read().unwrap().clone()))
    }
}

struct Frozen(Map);

impl KeyValueView for Frozen {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, KeyValueError> {
        Ok(self.0.get(key).cloned())
    }

    fn scan(&self, start: Bound<&[u8]>, end: Bound<&[u8]>, limit: usize) -> Result<Pairs, KeyValueError> {
        Ok(pairs(&self.0, start, end).take(limit).collect())
    }

    fn last(&self, start: Bound<&[u8]>, end: Bound<&[u8]>) -> Result<Option<Pair>, KeyValueError> {
        Ok(pairs(&self.0, start, end).next_back())
    }
}

/// The pairs within the bounds; a map's own range panics on bounds that cross each other.
fn pairs<'m>(map: &'m Map, start: Bound<&[u8]>, end: Bound<&[u8]>) -> impl DoubleEndedIterator<Item = Pair> + 'm {
    let crossed = match (start, end) {
        (Bound::Included(start), Bound::Included(end)) => start > end,
        (Bound::Included(start) | Bound::Excluded(start), Bound::Included(end) | Bound::Excluded(end)) => start >= end,
        _ => false,
    };
    let range = (!crossed).then(|| map.range::<[u8], _>((start, end)));
    range.into_iter().flatten().map(|(key, value)| (key.clone(), value.clone()))
}

#[test]
fn a_store_in_memory_behaves_as_every_store_must() {
    super::conformance::check(&MemoryStores::default());
}
