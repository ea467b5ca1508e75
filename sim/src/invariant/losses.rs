//! What the world destroyed: the copies that stores had and have no more, by no fault of the system.
//!
//! Whoever empties a disk, sets it back to an older copy, or lets bits of it rot, compares it before and after. So a
//! loss is known per chunk, and not more is forgiven than was done.

use crate::inspect::WholeRecords;
use dfs_actors::chunk_store::inspect::RecordKey;
use dfs_core::id::NodeId;
use std::collections::{BTreeMap, BTreeSet};

/// The copies that were destroyed in a run.
#[derive(Clone, Debug, Default)]
pub struct Losses {
    taken: BTreeMap<RecordKey, BTreeSet<NodeId>>,
}

impl Losses {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Losses {
        Losses::default()
    }

    /// Takes in the whole records of a node's durable disk right before and right after something was destroyed, and
    /// says how many that took.
    pub fn note(&mut self, node: NodeId, before: &WholeRecords, after: &WholeRecords) -> u64 {
        let gone = before.iter().filter(|(key, checksum)| after.get(key) != Some(checksum));
        gone.map(|(key, _)| u64::from(self.taken.entry(*key).or_default().insert(node))).sum()
    }

    /// Whether the copy of a node was destroyed.
    #[must_use]
    pub fn took(&self, node: NodeId, key: &RecordKey) -> bool {
        self.taken.get(key).is_some_and(|nodes| nodes.contains(&node))
    }

    /// How many stores lost their copy of this record.
    #[must_use]
    pub fn stores(&self, key: &RecordKey) -> usize {
        self.taken.get(key).map_or(0, BTreeSet::len)
    }

    /// How many copies were destroyed.
    #[must_use]
    pub fn copies(&self) -> usize {
        self.taken.values().map(BTreeSet::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{digest, key};
    use super::*;

    #[test]
    fn a_loss_is_what_was_there_before_and_is_not_after() {
        let mut losses = Losses::new();
        let (one, two, three) = (key(1, 0, 1), key(1, 1, 1), key(1, 2, 1));
        let before = WholeRecords::from([(one, digest(1)), (two, digest(2))]);
        let after = WholeRecords::from([(one, digest(1)), (three, digest(3))]);
        assert_eq!(losses.note(NodeId(1), &before, &after), 1);
        assert_eq!(losses.note(NodeId(1), &before, &after), 0, "a store loses a copy once");
        assert_eq!(losses.note(NodeId(2), &before, &WholeRecords::new()), 2);
        assert!(losses.took(NodeId(1), &two) && !losses.took(NodeId(1), &one) && !losses.took(NodeId(3), &two));
        assert_eq!([one, two, three].map(|key| losses.stores(&key)), [1, 2, 0]);
        assert_eq!(losses.copies(), 3);
    }
}
