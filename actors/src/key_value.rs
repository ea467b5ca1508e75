//! The seam to ordered key-value stores: Raft log, state machine and chunk index live in one each.
//!
//! A store is one ordered map from byte strings to byte strings; those who need several tables prefix their keys. All
//! methods block: writes are made on a lane only, reads on a lane or as blocking work.

pub mod conformance;
pub mod fjall;
#[cfg(test)]
pub(crate) mod memory;
pub mod metered;

use std::ops::Bound;
use std::sync::Arc;

/// A key and its value.
pub type Pair = (Vec<u8>, Vec<u8>);
/// Keys and values, in the order of the keys.
pub type Pairs = Vec<Pair>;

/// What can be read: a store as it is now, or as it was when a snapshot was taken.
pub trait KeyValueView: Send + Sync + 'static {
    /// The value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, KeyValueError>;
    /// The first `limit` pairs from `start` to `end`, in rising order of keys.
    fn scan(&self, start: Bound<&[u8]>, end: Bound<&[u8]>, limit: usize) -> Result<Pairs, KeyValueError>;
    /// The last pair from `start` to `end`.
    fn last(&self, start: Bound<&[u8]>, end: Bound<&[u8]>) -> Result<Option<Pair>, KeyValueError>;
}

/// Pairs of a page.
const PAGE_PAIRS: usize = 1024;

/// All pairs from `start` to `end` in rising order of keys, page by page: no page is empty, and nothing follows an error.
pub fn pages<'v>(
    view: &'v dyn KeyValueView,
    start: Bound<&[u8]>,
    end: Bound<&'v [u8]>,
) -> impl Iterator<Item = Result<Pairs, KeyValueError>> + 'v {
    let mut next = Some(start.map(<[u8]>::to_vec));
    std::iter::from_fn(move || {
        let page = view.scan(next.take()?.as_ref().map(Vec::as_slice), end, PAGE_PAIRS);
        if let Ok(pairs) = &page {
            let (last, _) = pairs.last()?;
            next = (pairs.len() == PAGE_PAIRS).then(|| Bound::Excluded(last.clone()));
        }
        Some(page)
    })
}

/// A store.
pub trait KeyValue: KeyValueView {
    /// Applies a batch as a whole or not at all, and with [`Durability::Synced`] returns only once it, and everything
    /// before it, is durable.
    fn commit(&self, batch: Batch, durability: Durability) -> Result<(), KeyValueError>;
    /// Makes everything durable that was committed before.
    fn persist(&self) -> Result<(), KeyValueError>;
    /// The store as it is now, in constant time; later commits do not change what it shows.
    fn snapshot(&self) -> Arc<dyn KeyValueView>;
}

/// Where key-value stores come from: one name, one store, within one data directory.
pub trait KeyValueStores: Send + Sync + 'static {
    /// Opens a store, and makes it if it is not there. A store must not be open twice.
    fn open(&self, name: &str) -> Result<Arc<dyn KeyValue>, KeyValueError>;
    /// Removes a store that is not open, if it is there.
    fn remove(&self, name: &str) -> Result<(), KeyValueError>;
    /// The names of the stores that are there, sorted.
    fn names(&self) -> Result<Vec<String>, KeyValueError>;
}

/// Whether a commit waits for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It survives the end of the process, but not a power cut.
    Buffered,
    /// It survives a power cut.
    Synced,
}

/// Changes that are made together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The changes in order; a later one wins over an earlier one of the same key.
    pub changes: Vec<Change>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Gives a key a value.
    Put(Vec<u8>, Vec<u8>),
    /// Takes a key away.
    Delete(Vec<u8>),
}

impl Batch {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Batch {
        Batch::default()
    }

    /// Gives a key a value.
    pub fn put(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.changes.push(Change::Put(key.into(), value.into()));
    }

    /// Takes a key away.
    pub fn delete(&mut self, key: impl Into<Vec<u8>>) {
        self.changes.push(Change::Delete(key.into()));
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

/// A store cannot do what it was asked. Whichever it is, the process that relied on it must end: a store that failed
/// once is never trusted again.
#[derive(Debug, thiserror::Error)]
pub enum KeyValueError {
    /// The disk failed.
    #[error("the key-value store failed on its disk")]
    Io(#[from] std::io::Error),
    /// The store's own files are damaged, or it failed before.
    #[error("the key-value store is damaged or has failed before: {0}")]
    Damaged(Box<dyn std::error::Error + Send + Sync>),
}

impl From<dfs_core::meta::DamagedRecord> for KeyValueError {
    fn from(damaged: dfs_core::meta::DamagedRecord) -> Self {
        KeyValueError::Damaged(Box::new(damaged))
    }
}
