//! Repair never leaves a chunk with fewer copies than it had.
//!
//! Source: DESIGN §7: "a finished repair swaps (− dead, + target) in one entry", and the receipts of `core`'s state
//! machine: a copy goes from the locations only with the entry that counts another, or because its own node has told
//! that it is not what it should be. So between two moments the copies of a chunk become fewer only by those that the
//! world destroyed, and by those of a node that came with another store, unless as many as are wanted are left.
//!
//! Compared are the counted copies of one epoch in the furthest states at two moments. What an entry did between them
//! and another undid is not seen.

use super::{Evidence, Invariant};
use crate::verdict::Failure;
use dfs_actors::chunk_store::inspect::RecordKey;
use dfs_core::id::{NodeId, StoreId};
use std::collections::{BTreeMap, BTreeSet};

/// Copies that every file of a simulated cluster has at most.
const WANTED: usize = 3;

/// The counted copies of each chunk as they were seen last.
#[derive(Debug, Default)]
pub(super) struct RepairKeepsCopies {
    counted: BTreeMap<RecordKey, BTreeSet<NodeId>>,
    /// The stores that the nodes had then.
    stores: BTreeMap<NodeId, StoreId>,
}

impl Invariant for RepairKeepsCopies {
    const NAME: &'static str = "repair keeps copies";
    const STATEMENT: &'static str =
        "the counted copies of a chunk become fewer only by those that were destroyed, or where enough are left";

    fn check(&mut self, evidence: &Evidence<'_>) -> Result<u64, Failure> {
        let Some(known) = &evidence.sight.known else { return Ok(0) };
        let stores: BTreeMap<NodeId, StoreId> = known.nodes.iter().map(|node| (node.node, node.store)).collect();
        let has_another = |node: &NodeId| self.stores.get(node) != stores.get(node);
        let mut counted = BTreeMap::new();
        for known in known.chunks.values() {
            let key = RecordKey { chunk: known.chunk, epoch: known.epoch };
            let now: BTreeSet<NodeId> = known.holders.iter().copied().collect();
            if let Some(before) = self.counted.get(&key) {
                let losses = &evidence.told.losses;
                // A node with another store may have been given a copy anew.
                let is_gone = |node: &&NodeId| has_another(node) || !now.contains(node) && losses.took(**node, &key);
                let destroyed = before.iter().filter(is_gone).count();
                if now.len() + destroyed < before.len().min(WANTED) {
                    let detail = format!("chunk {key} was on storage nodes {before:?}, and is on {now:?}");
                    return Err(Failure::correctness(Self::NAME, detail));
                }
            }
            counted.insert(key, now);
        }
        (self.counted, self.stores) = (counted, stores);
        Ok(self.counted.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Scene, digest, key};
    use super::*;
    use crate::inspect::WholeRecords;

    fn holds(before: &[u64], now: &[u64], destroyed: &[u64]) -> bool {
        let mut invariant = RepairKeepsCopies::default();
        let mut scene = Scene::new();
        scene.known(&[(key(1, 0, 1), 7, before)]);
        assert_eq!(invariant.check(&scene.evidence()).unwrap(), 1);
        scene.known(&[(key(1, 0, 1), 7, now)]);
        let whole = WholeRecords::from([(key(1, 0, 1), digest(7))]);
        for node in destroyed {
            scene.losses.note(NodeId(*node), &whole, &WholeRecords::new());
        }
        invariant.check(&scene.evidence()).is_ok()
    }

    #[test]
    fn what_was_counted_of_a_store_goes_with_it() {
        for (now, store, holds) in [(&[1, 2][..], 8, true), (&[1, 3], 8, true), (&[1, 2], 7, false)] {
            let mut invariant = RepairKeepsCopies::default();
            let mut scene = Scene::new();
            scene.known(&[(key(1, 0, 1), 7, &[1, 2, 3])]);
            scene.store(3, 7);
            assert!(invariant.check(&scene.evidence()).is_ok());
            scene.known(&[(key(1, 0, 1), 7, now)]);
            scene.store(3, store);
            assert_eq!(invariant.check(&scene.evidence()).is_ok(), holds);
        }
    }

    #[test]
    fn a_copy_goes_only_for_another_or_because_it_was_destroyed() {
        assert!(holds(&[1, 2, 3], &[1, 2, 4], &[]), "swapped");
        assert!(holds(&[1, 2], &[1, 2, 3], &[]), "added");
        assert!(!holds(&[1, 2, 3], &[1, 2], &[]), "gone");
        assert!(holds(&[1, 2, 3], &[1, 2], &[3]), "destroyed");
        assert!(!holds(&[1, 2, 3], &[1, 2], &[2]), "another was destroyed");
        assert!(holds(&[1, 2], &[4], &[1]), "one was destroyed, the other swapped");
        assert!(!holds(&[1, 2, 3], &[4], &[1]), "one was destroyed and another is gone");
        assert!(holds(&[1, 2, 3, 4], &[1, 2, 3], &[]), "enough are left");
    }
}
