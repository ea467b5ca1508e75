//! Key-value stores that count how often, and how long, they wait for the disk.

use super::{Batch, Durability, KeyValue, KeyValueError, KeyValueStores, KeyValueView, Pair, Pairs};
use crate::meter::Histogram;
use std::ops::Bound;
use std::sync::Arc;

/// Stores with a meter.
pub struct MeteredStores {
    stores: Arc<dyn KeyValueStores>,
    syncs: Arc<Histogram>,
}

impl MeteredStores {
    /// The same stores; commits that wait for the disk are counted in `syncs`.
    #[must_use]
    pub fn new(stores: Arc<dyn KeyValueStores>, syncs: Arc<Histogram>) -> MeteredStores {
        MeteredStores { stores, syncs }
    }
}

impl KeyValueStores for MeteredStores {
    fn open(&self, name: &str) -> Result<Arc<dyn KeyValue>, KeyValueError> {
        Ok(Arc::new(MeteredStore { store: self.stores.open(name)?, syncs: self.syncs.clone() }))
    }

    fn remove(&self, name: &str) -> Result<(), KeyValueError> {
        self.stores.remove(name)
    }

    fn names(&self) -> Result<Vec<String>, KeyValueError> {
        self.stores.names()
    }
}

struct MeteredStore {
    store: Arc<dyn KeyValue>,
    syncs: Arc<Histogram>,
}

impl KeyValueView for MeteredStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, KeyValueError> {
        self.store.get(key)
    }

    fn scan(&self, start: Bound<&[u8]>, end: Bound<&[u8]>, limit: usize) -> Result<Pairs, KeyValueError> {
        self.store.scan(start, end, limit)
    }

    fn last(&self, start: Bound<&[u8]>, end: Bound<&[u8]>) -> Result<Option<Pair>, KeyValueError> {
        self.store.last(start, end)
    }
}

impl KeyValue for MeteredStore {
    fn commit(&self, batch: Batch, durability: Durability) -> Result<(), KeyValueError> {
        match durability {
            Durability::Synced => self.syncs.time(|| self.store.commit(batch, durability)),
            Durability::Buffered => self.store.commit(batch, durability),
        }
    }

    fn persist(&self) -> Result<(), KeyValueError> {
        self.syncs.time(|| self.store.persist())
    }

    fn snapshot(&self) -> Arc<dyn KeyValueView> {
        self.store.snapshot()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key_value::memory::MemoryStores;

    #[test]
    fn only_what_waits_for_the_disk_is_counted() {
        let syncs = Arc::new(Histogram::default());
        let stores = MeteredStores::new(Arc::new(MemoryStores::default()), syncs.clone());
        let store = stores.open("a").unwrap();
        let batch = || {
            let mut batch = Batch::new();
            batch.put(*b"k", *b"v");
            batch
        };
        store.commit(batch(), Durability::Buffered).unwrap();
        assert_eq!(syncs.distribution().count(), 0);
        store.commit(batch(), Durability::Synced).unwrap();
        store.persist().unwrap();
        assert_eq!(syncs.distribution().count(), 2);
        assert_eq!(store.get(b"k").unwrap().as_deref(), Some(&b"v"[..]));
        assert_eq!(stores.names().unwrap(), ["a"]);
    }
}
