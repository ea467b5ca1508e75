//! What the state machine reads, and what it answers with: an ordered map of byte strings, and changes to it.
//!
//! The map is a key-value store in production and a `BTreeMap` in tests. Nothing here knows what keys and values mean.

use super::Outcome;
use crate::refusal::Refusal;
use std::collections::BTreeMap;
use std::ops::Bound;

/// A key and its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// Keys and values, in the order of the keys.
pub type Pairs = Vec<Pair>;

/// The state as it can be read: one ordered map of byte strings.
pub trait View {
    /// Why the map cannot be read. A record that does not decode becomes one too: whichever it is, the state can not
    /// be relied on any more.
    type Error: From<DamagedRecord>;

    /// The value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Self::Error>;

    /// The first `limit` pairs from `start` to `end`, in rising order of keys. Bounds that cross each other give
    /// none.
    fn scan(&self, start: Bound<&[u8]>, end: Bound<&[u8]>, limit: usize) -> Result<Pairs, Self::Error>;
}

/// A record of the state that is not what its key says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {kind} record at key {key:02x?} of the metadata state is damaged or was written by a newer build")]
pub struct DamagedRecord {
    /// What the record should have been.
    pub kind: &'static str,
    /// Where it is.
    pub key: Vec<u8>,
}

/// What an entry does to the state, and what its author is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Keys with their new values, in the order of the keys; a key without a value goes away.
    pub changes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// The answer. A refused command changes nothing; time goes on all the same.
    pub outcome: Result<Outcome, Refusal>,
}

/// A view with changes on top that are not in it yet: what the later entries of a batch read.
#[derive(Debug)]
pub struct Overlay<'v, V> {
    base: &'v V,
    changes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl<V> Clone for Overlay<'_, V> {
    fn clone(&self) -> Self {
        Overlay { base: self.base, changes: self.changes.clone() }
    }
}

impl<'v, V: View> Overlay<'v, V> {
    /// The view as it is.
    #[must_use]
    pub fn new(base: &'v V) -> Overlay<'v, V> {
        Overlay { base, changes: BTreeMap::new() }
    }

    /// Lays a change on top and hands its answer back.
    pub fn add(&mut self, change: Change) -> Result<Outcome, Refusal> {
        self.changes.extend(change.changes);
        change.outcome
    }

    /// All that was laid on top, in the order of the keys: what is to be written as one batch.
    #[must_use]
    pub fn into_changes(self) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        self.changes.into_iter().collect()
    }

    /// Gives a key a value.
    pub(super) fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.changes.insert(key, Some(value));
    }

    /// Takes a key away.
    pub(super) fn delete(&mut self, key: Vec<u8>) {
        self.changes.insert(key, None);
    }
}

impl<V: View> View for Overlay<'_, V> {
    type Error = V::Error;

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, V::Error> {
        match self.changes.get(key) {
            Some(changed) => Ok(changed.clone()),
            None => self.base.get(key),
        }
    }

    fn scan(&self, start: Bound<&[u8]>, end: Bound<&[u8]>, limit: usize) -> Result<Pairs, V::Error> {
        let mut found = Pairs::new();
        let mut start = start.map(<[u8]>::to_vec);
        while found.len() < limit && !is_empty(as_slice(&start), end) {
            let page = self.base.scan(as_slice(&start), end, limit)?;
            // A full page speaks for the keys up to its last one; a short page speaks for all of them.
            let last = page.last().filter(|_| page.len() >= limit).map(|(last, _)| last.clone());
            let covered = last.as_deref().map_or(end, Bound::Included);
            let mut merged: BTreeMap<Vec<u8>, Vec<u8>> = page.into_iter().collect();
            for (key, changed) in self.changes.range::<[u8], _>((as_slice(&start), covered)) {
                match changed {
                    Some(value) => merged.insert(key.clone(), value.clone()),
                    None => merged.remove(key),
                };
            }
            found.extend(merged);
            match last {
                Some(last) => start = Bound::Excluded(last),
                None => break,
            }
        }
        found.truncate(limit);
        Ok(found)
    }
}

fn as_slice(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    bound.as_ref().map(Vec::as_slice)
}

/// Whether no key can lie between the bounds.
pub(super) fn is_empty(start: Bound<&[u8]>, end: Bound<&[u8]>) -> bool {
    match (start, end) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(start), Bound::Included(end)) => start > end,
        (Bound::Included(start) | Bound::Excluded(start), Bound::Included(end) | Bound::Excluded(end)) => start >= end,
    }
}
