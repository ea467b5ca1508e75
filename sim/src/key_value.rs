//! Model key-value stores, in the place of fjall, whose threads and files no simulation can hold.
//!
//! Each store is what is durable plus the batches that were committed since. A power cut keeps some first part of those
//! batches, in the order of their commits, as a journal does; the end of a process keeps them all. Either way the
//! stores of the life that ended only fail. Making and removing a store is durable at once.

mod table;

use crate::disk::Crash;
use crate::random::Random;
use dfs_actors::key_value::{Batch, Durability, KeyValue, KeyValueError, KeyValueStores, KeyValueView, Pairs};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use table::Table;

/// The stores of one data directory, which survive the crashes of their machine. Clones are the same stores.
#[derive(Clone, Default)]
pub struct ModelStores(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Rises with each crash; handles of an earlier life only fail.
    life: u64,
    stores: BTreeMap<String, Store>,
}

/// What was durable in stores at some moment.
#[derive(Clone)]
pub struct StoresSnapshot(ModelStores);

#[derive(Default)]
struct Store {
    table: Arc<Mutex<Table>>,
    open: bool,
}

impl ModelStores {
    /// No stores.
    #[must_use]
    pub fn new() -> ModelStores {
        ModelStores::default()
    }

    /// The stores, for the present life of their machine.
    #[must_use]
    pub fn mount(&self) -> Arc<dyn KeyValueStores> {
        Arc::new(Mount { stores: self.clone(), life: self.state().life })
    }

    /// Fences whoever has them open, and with a power cut loses some last part of what was not durable.
    pub fn crash(&self, crash: Crash, random: &mut Random) {
        let mut state = self.state();
        state.life += 1;
        for store in state.stores.values_mut() {
            // The old handles keep the old table, where nobody looks any more.
            let mut old = lock(&store.table);
            let pending = old.pending_batches() as u64;
            let kept = match crash {
                Crash::Process => pending,
                Crash::Power => random.within(0..=pending),
            };
            let survivor = old.crash(usize::try_from(kept).unwrap_or(usize::MAX));
            drop(old);
            *store = Store { table: Arc::new(Mutex::new(survivor)), open: false };
        }
    }

    /// Lets a store fail from now on, until its machine has been stopped and started.
    pub fn fail(&self, name: &str) {
        if let Some(store) = self.state().stores.get(name) {
            lock(&store.table).fail();
        }
    }

    /// What is durable now.
    #[must_use]
    pub fn snapshot(&self) -> StoresSnapshot {
        StoresSnapshot(self.durable_copy())
    }

    /// Become what stores once were. Whoever has them open is fenced.
    pub fn restore(&self, snapshot: &StoresSnapshot) {
        let copies = snapshot.0.copy(Table::durable_copy);
        let mut state = self.state();
        state.life += 1;
        for store in std::mem::replace(&mut state.stores, copies).into_values() {
            lock(&store.table).fail();
        }
    }

    /// Lose everything. Whoever has them open is fenced.
    pub fn wipe(&self) {
        self.restore(&StoresSnapshot(ModelStores::new()));
    }

    /// Stores of their own with what is durable here.
    #[must_use]
    pub fn durable_copy(&self) -> ModelStores {
        ModelStores(Arc::new(Mutex::new(State { life: 0, stores: self.copy(Table::durable_copy) })))
    }

    /// Stores of their own with everything that was committed here, all of it durable.
    #[must_use]
    pub fn live_copy(&self) -> ModelStores {
        ModelStores(Arc::new(Mutex::new(State { life: 0, stores: self.copy(Table::live_copy) })))
    }

    fn copy(&self, copy: impl Fn(&Table) -> Table) -> BTreeMap<String, Store> {
        let closed = |table| Store { table: Arc::new(Mutex::new(table)), open: false };
        self.state().stores.iter().map(|(name, store)| (name.clone(), closed(copy(&lock(&store.table))))).collect()
    }

    /// A store as it is, whoever has it open and whether or not its machine runs; nothing if it is not there. The end
    /// of a life detaches what was given out before.
    #[must_use]
    pub fn peek(&self, name: &str) -> Option<Arc<dyn KeyValueView>> {
        Some(Arc::new(Peek { table: self.state().stores.get(name)?.table.clone() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The stores within one life of their machine.
struct Mount {
    stores: ModelStores,
    life: u64,
}

impl Mount {
    fn alive(&self) -> Result<MutexGuard<'_, State>, KeyValueError> {
        let state = self.stores.state();
        if state.life == self.life {
            Ok(state)
        } else {
            Err(io::Error::other("the machine of these stores was stopped").into())
        }
    }
}

impl KeyValueStores for Mount {
    fn open(&self, name: &str) -> Result<Arc<dyn KeyValue>, KeyValueError> {
        let mut state = self.alive()?;
        let store = state.stores.entry(name.to_owned()).or_default();
        if std::mem::replace(&mut store.open, true) {
            return Err(io::Error::from(io::ErrorKind::ResourceBusy).into());
        }
        let table = store.table.clone();
        Ok(Arc::new(OpenStore { stores: self.stores.clone(), life: self.life, name: name.to_owned(), table }))
    }

    fn remove(&self, name: &str) -> Result<(), KeyValueError> {
        let mut state = self.alive()?;
        if state.stores.get(name).is_some_and(|store| store.open) {
            return Err(io::Error::from(io::ErrorKind::ResourceBusy).into());
        }
        state.stores.remove(name);
        Ok(())
    }

    fn names(&self) -> Result<Vec<String>, KeyValueError> {
        Ok(self.alive()?.stores.keys().cloned().collect())
    }
}

/// An open store; dropping it closes it.
struct OpenStore {
    stores: ModelStores,
    life: u64,
    name: String,
    table: Arc<Mutex<Table>>,
}

impl Drop for OpenStore {
    fn drop(&mut self) {
        let mut state = self.stores.state();
        if state.life == self.life
            && let Some(store) = state.stores.get_mut(&self.name)
        {
            store.open = false;
        }
    }
}

impl KeyValueView for OpenStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, KeyValueError> {
        Ok(lock(&self.table).alive()?.get(None, key))
    }

    fn scan(&self, start: Bound<&[u8]>, end: Bound<&[u8]>, limit: usize) -> Result<Pairs, KeyValueError> {
        Ok(lock(&self.table).alive()?.scan(None, start, end, limit))
    }

    fn last(&self, start: Bound<&[u8]>, end: Bound<&[u8]>) -> Result<Option<(Vec<u8>, Vec<u8>)>, KeyValueError> {
        Ok(lock(&self.table).alive()?.last(None, start, end))
    }
}

impl KeyValue for OpenStore {
    fn commit(&self, batch: Batch, durability: Durability) -> Result<(), KeyValueError> {
        let mut table = lock(&self.table);
        table.alive()?.commit(batch);
        if durability == Durability::Synced {
            table.persist();
        }
        Ok(())
    }

    fn persist(&self) -> Result<(), KeyValueError> {
        lock(&self.table).alive()?.persist();
        Ok(())
    }

    fn snapshot(&self) -> Arc<dyn KeyValueView> {
        let version = lock(&self.table).take_snapshot();
        Arc::new(Snapshot { table: self.table.clone(), version })
    }
}

/// A store as it was.
struct Snapshot {
    table: Arc<Mutex<Table>>,
    version: u64,
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        lock(&self.table).release_snapshot(self.version);
    }
}

impl KeyValueView for Snapshot {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, KeyValueError> {
        Ok(lock(&self.table).alive()?.get(Some(self.version), key))
    }

    fn scan(&self, start: Bound<&[u8]>, end: Bound<&[u8]>, limit: usize) -> Result<Pairs, KeyValueError> {
        Ok(lock(&self.table).alive()?.scan(Some(self.version), start, end, limit))
    }

    fn last(&self, start: Bound<&[u8]>, end: Bound<&[u8]>) -> Result<Option<(Vec<u8>, Vec<u8>)>, KeyValueError> {
        Ok(lock(&self.table).alive()?.last(Some(self.version), start, end))
    }
}

impl fmt::Debug for StoresSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoresSnapshot")
    }
}

/// A store as it is now, even if it has failed.
struct Peek {
    table: Arc<Mutex<Table>>,
}

impl KeyValueView for Peek {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, KeyValueError> {
        Ok(lock(&self.table).get(None, key))
    }

    fn scan(&self, start: Bound<&[u8]>, end: Bound<&[u8]>, limit: usize) -> Result<Pairs, KeyValueError> {
        Ok(lock(&self.table).scan(None, start, end, limit))
    }

    fn last(&self, start: Bound<&[u8]>, end: Bound<&[u8]>) -> Result<Option<(Vec<u8>, Vec<u8>)>, KeyValueError> {
        Ok(lock(&self.table).last(None, start, end))
    }
}

impl fmt::Debug for ModelStores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ModelStores")
    }
}

#[cfg(test)]
mod tests;
