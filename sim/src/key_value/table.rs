//! One model store: rows with the versions that living snapshots still show, and what is durable.

use dfs_actors::key_value::{Batch, Change, KeyValueError, Pairs};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Bound;
use std::sync::Arc;

type Key = Arc<[u8]>;
type Value = Arc<[u8]>;

/// A value, or its absence, since the batch of that number.
struct Version {
    since: u64,
    value: Option<Value>,
}

/// A store.
#[derive(Default)]
pub(super) struct Table {
    failed: bool,
    /// How many batches were committed.
    version: u64,
    rows: BTreeMap<Key, Vec<Version>>,
    /// How many snapshots live, by the version that they show.
    snapshots: BTreeMap<u64, usize>,
    /// Rows that hold more than a snapshot-free store needs.
    overgrown: BTreeSet<Key>,
    durable: BTreeMap<Key, Value>,
    pending: Vec<Vec<(Key, Option<Value>)>>,
}

impl Table {
    /// The table, unless it has failed.
    pub fn alive(&mut self) -> Result<&mut Table, KeyValueError> {
        if self.failed { Err(io::Error::other("the simulated store has failed").into()) } else { Ok(self) }
    }

    pub fn fail(&mut self) {
        self.failed = true;
    }

    pub fn pending_batches(&self) -> usize {
        self.pending.len()
    }

    #[cfg(test)]
    pub fn row_count(&self) -> usize {
        self.rows.len()
    }

    pub fn commit(&mut self, batch: Batch) {
        let changes = batch.changes.into_iter().map(|change| match change {
            Change::Put(key, value) => (Key::from(key), Some(Value::from(value))),
            Change::Delete(key) => (Key::from(key), None),
        });
        self.append(changes.collect());
    }

    fn append(&mut self, changes: Vec<(Key, Option<Value>)>) {
        self.version += 1;
        for (key, value) in &changes {
            let version = Version { since: self.version, value: value.clone() };
            self.rows.entry(key.clone()).or_default().push(version);
            self.prune(key);
        }
        self.pending.push(changes);
    }

    pub fn persist(&mut self) {
        for (key, value) in self.pending.drain(..).flatten() {
            match value {
                Some(value) => self.durable.insert(key, value),
                None => self.durable.remove(&key),
            };
        }
    }

    pub fn take_snapshot(&mut self) -> u64 {
        *self.snapshots.entry(self.version).or_default() += 1;
        self.version
    }

    pub fn release_snapshot(&mut self, version: u64) {
        if let Some(count) = self.snapshots.get_mut(&version) {
            *count -= 1;
            if *count == 0 {
                self.snapshots.remove(&version);
            }
        }
        if self.snapshots.is_empty() {
            for key in std::mem::take(&mut self.overgrown) {
                self.prune(&key);
            }
        }
    }

    /// Forgets the versions of a row that nobody can see any more.
    fn prune(&mut self, key: &Key) {
        let oldest = self.snapshots.first_key_value().map_or(self.version, |(version, _)| *version);
        let Some(row) = self.rows.get_mut(key) else { return };
        let needed = row.iter().rposition(|version| version.since <= oldest).unwrap_or(0);
        row.drain(..needed);
        match row.as_slice() {
            [only] if only.value.is_none() && only.since <= oldest => {
                self.rows.remove(key);
            }
            [_] => {}
            _ => {
                self.overgrown.insert(key.clone());
            }
        }
    }

    pub fn get(&self, version: Option<u64>, key: &[u8]) -> Option<Vec<u8>> {
        visible(self.rows.get(key)?, version).map(|value| value.to_vec())
    }

    pub fn scan(&self, version: Option<u64>, start: Bound<&[u8]>, end: Bound<&[u8]>, limit: usize) -> Pairs {
        self.visible_rows(version, start, end).take(limit).collect()
    }

    pub fn last(&self, version: Option<u64>, start: Bound<&[u8]>, end: Bound<&[u8]>) -> Option<(Vec<u8>, Vec<u8>)> {
        self.visible_rows(version, start, end).next_back()
    }

    fn visible_rows(
        &self,
        version: Option<u64>,
        start: Bound<&[u8]>,
        end: Bound<&[u8]>,
    ) -> impl DoubleEndedIterator<Item = (Vec<u8>, Vec<u8>)> {
        // BTreeMap panics on a range that ends before it starts; for us it is empty.
        let range = (!is_empty(start, end)).then(|| self.rows.range::<[u8], _>((start, end)));
        range
            .into_iter()
            .flatten()
            .filter_map(move |(key, row)| visible(row, version).map(|value| (key.to_vec(), value.to_vec())))
    }

    /// Moves what survives into a new table: what is durable, and the first `kept` batches after it. The old one fails
    /// from now on.
    pub fn crash(&mut self, kept: usize) -> Table {
        self.failed = true;
        let mut survivor = Table::holding(std::mem::take(&mut self.durable));
        self.pending.drain(..).take(kept).for_each(|changes| survivor.append(changes));
        survivor
    }

    /// A table of its own with what is durable.
    pub fn durable_copy(&self) -> Table {
        Table::holding(self.durable.clone())
    }

    /// A table of its own with everything that was committed, all of it durable.
    pub fn live_copy(&self) -> Table {
        let rows = self.rows.iter();
        Table::holding(rows.filter_map(|(key, row)| Some((key.clone(), visible(row, None)?.clone()))).collect())
    }

    fn holding(durable: BTreeMap<Key, Value>) -> Table {
        let row = |(key, value): (&Key, &Value)| (key.clone(), vec![Version { since: 0, value: Some(value.clone()) }]);
        Table { rows: durable.iter().map(row).collect(), durable, ..Table::default() }
    }
}

fn visible(row: &[Version], at: Option<u64>) -> Option<&Value> {
    row.iter().rev().find(|version| at.is_none_or(|at| version.since <= at))?.value.as_ref()
}

fn is_empty(start: Bound<&[u8]>, end: Bound<&[u8]>) -> bool {
    match (start, end) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(start), Bound::Included(end)) => start > end,
        (Bound::Included(start) | Bound::Excluded(start), Bound::Included(end) | Bound::Excluded(end)) => start >= end,
    }
}
