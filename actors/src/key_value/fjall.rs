//! Key-value stores on fjall, an embedded log-structured merge tree: the production [`KeyValueStores`].
//!
//! Each store is one fjall database of its own, because a database's fsync stops all of its writers, and has one
//! keyspace. Caches and write buffers are small, so that the two or three stores of a node stay far below its memory
//! bound. Deliberately absent: compression, key-value separation, and any retry after a failed write; fjall poisons
//! itself then, and every later call fails.

use super::{Batch, Change, Durability, KeyValue, KeyValueError, KeyValueStores, KeyValueView, Pair, Pairs};
use ::fjall::{Database, Guard, Keyspace, KeyspaceCreateOptions, PersistMode, Readable, Snapshot};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of blocks that a store caches.
const CACHE_BYTES: u64 = 8 * 1024 * 1024;
/// Bytes of fresh pairs that a store keeps in memory before it writes them out as a table; a few such buffers may
/// wait for their flush at once.
const MEMTABLE_BYTES: u64 = 4 * 1024 * 1024;
/// Bytes of journals that a store keeps at most; the least that fjall takes.
const JOURNAL_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Files that a store keeps open at most.
const OPEN_FILES_MAX: usize = 64;
/// The one keyspace of each database.
const KEYSPACE: &str = "pairs";
/// What the directory of a store is called after its name.
const SUFFIX: &str = ".kv";
/// What the directory of a store is called while it is being removed.
const REMOVED_SUFFIX: &str = ".kv-removed";

/// The stores of one data directory: the store `name` is the directory `name.kv`.
#[derive(Clone, Debug)]
pub struct FjallStores {
    root: PathBuf,
}

impl FjallStores {
    /// The stores in the directory at `path`, which is made with the first of them.
    #[must_use]
    pub fn new(path: &Path) -> FjallStores {
        FjallStores { root: path.to_owned() }
    }

    fn sync_root(&self) -> io::Result<()> {
        fs::File::open(&self.root)?.sync_all()
    }

    /// Ends removals that a crash cut short, and returns the names of all entries of the root.
    fn sweep(&self) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name.ends_with(REMOVED_SUFFIX) {
                fs::remove_dir_all(entry.path())?;
            } else {
                names.push(name);
            }
        }
        Ok(names)
    }
}

impl KeyValueStores for FjallStores {
    fn open(&self, name: &str) -> Result<Arc<dyn KeyValue>, KeyValueError> {
        fs::create_dir_all(&self.root)?;
        let database = Database::builder(self.root.join(format!("{name}{SUFFIX}")))
            .cache_size(CACHE_BYTES)
            .max_journaling_size(JOURNAL_BYTES_MAX)
            .max_cached_files(Some(OPEN_FILES_MAX))
            .worker_threads(1)
            .open()?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
        let keyspace = database.keyspace(KEYSPACE, options)?;
        self.sync_root()?;
        Ok(Arc::new(FjallStore { database, keyspace }))
    }

    fn remove(&self, name: &str) -> Result<(), KeyValueError> {
        // The rename makes it one step: a crash leaves a whole store or a directory to sweep.
        let removed = self.root.join(format!("{name}{REMOVED_SUFFIX}"));
        match fs::rename(self.root.join(format!("{name}{SUFFIX}")), removed) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            renamed => {
                renamed?;
                self.sync_root()?;
            }
        }
        self.sweep()?;
        Ok(())
    }

    fn names(&self) -> Result<Vec<String>, KeyValueError> {
        let mut names: Vec<String> =
            self.sweep()?.iter().filter_map(|name| name.strip_suffix(SUFFIX)).map(str::to_owned).collect();
        names.sort();
        Ok(names)
    }
}

struct FjallStore {
    database: Database,
    keyspace: Keyspace,
}

impl KeyValueView for FjallStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, KeyValueError> {
        Ok(self.keyspace.get(key)?.map(|value| value.to_vec()))
    }

    fn scan(&self, start: Bound<&[u8]>, end: Bound<&[u8]>, limit: usize) -> Result<Pairs, KeyValueError> {
        if is_empty(start, end) {
            return Ok(Vec::new());
        }
        self.keyspace.range::<&[u8], _>((start, end)).take(limit).map(pair).collect()
    }

    fn last(&self, start: Bound<&[u8]>, end: Bound<&[u8]>) -> Result<Option<Pair>, KeyValueError> {
        if is_empty(start, end) {
            return Ok(None);
        }
        self.keyspace.range::<&[u8], _>((start, end)).next_back().map(pair).transpose()
    }
}

impl KeyValue for FjallStore {
    fn commit(&self, batch: Batch, durability: Durability) -> Result<(), KeyValueError> {
        if batch.is_empty() {
            return match durability {
                Durability::Buffered => Ok(()),
                Durability::Synced => self.persist(),
            };
        }
        // All changes of a fjall batch share one sequence number, so only the last change of each key may be in it.
        let mut last_changes = BTreeMap::new();
        for change in batch.changes {
            match change {
                Change::Put(key, value) => last_changes.insert(key, Some(value)),
                Change::Delete(key) => last_changes.insert(key, None),
            };
        }
        let mut batch = self.database.batch().durability(Some(match durability {
            Durability::Buffered => PersistMode::Buffer,
            Durability::Synced => PersistMode::SyncData,
        }));
        for (key, value) in last_changes {
            match value {
                Some(value) => batch.insert(&self.keyspace, key, value),
                None => batch.remove(&self.keyspace, key),
            }
        }
        Ok(batch.commit()?)
    }

    fn persist(&self) -> Result<(), KeyValueError> {
        Ok(self.database.persist(PersistMode::SyncData)?)
    }

    fn snapshot(&self) -> Arc<dyn KeyValueView> {
        Arc::new(FjallSnapshot { snapshot: self.database.snapshot(), keyspace: self.keyspace.clone() })
    }
}

struct FjallSnapshot {
    snapshot: Snapshot,
    keyspace: Keyspace,
}

impl KeyValueView for FjallSnapshot {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, KeyValueError> {
        Ok(self.snapshot.get(&self.keyspace, key)?.map(|value| value.to_vec()))
    }

    fn scan(&self, start: Bound<&[u8]>, end: Bound<&[u8]>, limit: usize) -> Result<Pairs, KeyValueError> {
        if is_empty(start, end) {
            return Ok(Vec::new());
        }
        self.snapshot.range::<&[u8], _>(&self.keyspace, (start, end)).take(limit).map(pair).collect()
    }

    fn last(&self, start: Bound<&[u8]>, end: Bound<&[u8]>) -> Result<Option<Pair>, KeyValueError> {
        if is_empty(start, end) {
            return Ok(None);
        }
        self.snapshot.range::<&[u8], _>(&self.keyspace, (start, end)).next_back().map(pair).transpose()
    }
}

/// Whether no key can lie between the bounds; ordered maps may panic on such ranges.
fn is_empty(start: Bound<&[u8]>, end: Bound<&[u8]>) -> bool {
    match (start, end) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(start), Bound::Included(end)) => start > end,
        (Bound::Included(start) | Bound::Excluded(start), Bound::Included(end) | Bound::Excluded(end)) => start >= end,
    }
}

fn pair(guard: Guard) -> Result<Pair, KeyValueError> {
    let (key, value) = guard.into_inner()?;
    Ok((key.to_vec(), value.to_vec()))
}

impl From<::fjall::Error> for KeyValueError {
    fn from(error: ::fjall::Error) -> KeyValueError {
        match error {
            ::fjall::Error::Io(error) | ::fjall::Error::Storage(::fjall::LsmError::Io(error)) => {
                KeyValueError::Io(error)
            }
            error => KeyValueError::Damaged(Box::new(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key_value::conformance;

    #[test]
    fn a_fjall_store_behaves_as_every_store_must() {
        let directory = tempfile::tempdir().unwrap();
        conformance::check(&FjallStores::new(directory.path()));
    }

    #[test]
    fn a_removal_that_a_crash_cut_short_is_finished() {
        let directory = tempfile::tempdir().unwrap();
        let stores = FjallStores::new(directory.path());
        drop(stores.open("kept").unwrap());
        drop(stores.open("gone").unwrap());
        fs::rename(directory.path().join("gone.kv"), directory.path().join("gone.kv-removed")).unwrap();
        assert_eq!(stores.names().unwrap(), ["kept"]);
        assert!(!directory.path().join("gone.kv-removed").exists());
    }
}
