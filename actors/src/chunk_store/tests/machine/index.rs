//! The machine's index: a sorted map of which a crash keeps the batches up to some one.

use super::Machine;
use crate::key_value::{Batch, Change, Durability, KeyValue, KeyValueError, KeyValueView, Pairs};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// A handle to the index, for one life of the machine.
pub struct MachineIndex {
    pub machine: Machine,
    pub life: u64,
}

/// Makes the changes of a batch.
pub fn apply(batch: &Batch, pairs: &mut BTreeMap<Vec<u8>, Vec<u8>>) {
    for change in &batch.changes {
        match change {
            Change::Put(key, value) => pairs.insert(key.clone(), value.clone()),
            Change::Delete(key) => pairs.remove(key),
        };
    }
}

impl KeyValueView for MachineIndex {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, KeyValueError> {
        Ok(self.machine.with(self.life, |state| Ok(state.pairs.get(key).cloned()))?)
    }

    fn scan(&self, start: Bound<&[u8]>, end: Bound<&[u8]>, limit: usize) -> Result<Pairs, KeyValueError> {
        Ok(self.machine.with(self.life, |state| {
            let range = state.pairs.range::<[u8], _>((start, end));
            Ok(range.take(limit).map(|(key, value)| (key.clone(), value.clone())).collect())
        })?)
    }

    fn last(&self, start: Bound<&[u8]>, end: Bound<&[u8]>) -> Result<Option<(Vec<u8>, Vec<u8>)>, KeyValueError> {
        Ok(self.machine.with(self.life, |state| {
            let last = state.pairs.range::<[u8], _>((start, end)).next_back();
            Ok(last.map(|(key, value)| (key.clone(), value.clone())))
        })?)
    }
}

impl KeyValue for MachineIndex {
    fn commit(&self, batch: Batch, durability: Durability) -> Result<(), KeyValueError> {
        self.machine.change(self.life, |state| {
            apply(&batch, &mut state.pairs);
            state.pending_batches.push(batch);
            Ok(())
        })?;
        if durability == Durability::Synced { self.persist() } else { Ok(()) }
    }

    fn persist(&self) -> Result<(), KeyValueError> {
        self.machine.change(self.life, |state| {
            state.pending_batches.clear();
            state.durable_pairs.clone_from(&state.pairs);
            Ok(())
        })?;
        Ok(())
    }

    fn snapshot(&self) -> Arc<dyn KeyValueView> {
        let machine = self.machine.duplicate();
        Arc::new(MachineIndex { machine, life: self.life })
    }
}
