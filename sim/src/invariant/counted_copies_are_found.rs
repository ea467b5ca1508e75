//! What metadata counts as a copy is found by the node that has it.
//!
//! Source: the index of a store is a cache of its segments, whose checkpoint promises that every sealed record below it
//! is in the index and every other one is looked for at the next start (`actors/src/chunk_store/index.rs`). A record that
//! both miss is on the disk, whole, and cannot be read; other copies hide that from users.
//!
//! It is looked at where everything is, while the node runs.

use super::{Evidence, Invariant};
use crate::verdict::Failure;
use dfs_actors::chunk_store::inspect::RecordKey;

/// Needs no memory.
#[derive(Debug, Default)]
pub(super) struct CountedCopiesAreFound;

impl Invariant for CountedCopiesAreFound {
    const NAME: &'static str = "counted copies are found";
    const STATEMENT: &'static str = "each copy that metadata counts is in the index of that node's store";

    fn check(&mut self, evidence: &Evidence<'_>) -> Result<u64, Failure> {
        let mut facts = 0;
        for known in evidence.sight.known.iter().flat_map(|known| known.chunks.values()) {
            let key = RecordKey { chunk: known.chunk, epoch: known.epoch };
            for holder in known.holders.iter().filter(|holder| !evidence.told.losses.took(**holder, &key)) {
                let indexed = evidence.sight.storage.get(holder).and_then(|sight| sight.indexed.as_ref());
                let Some(indexed) = indexed else { continue };
                if !indexed.contains(&key) {
                    let detail =
                        format!("storage node {holder} counts for chunk {key}, and its index does not have it");
                    return Err(Failure::correctness(Self::NAME, detail));
                }
                facts += 1;
            }
        }
        Ok(facts)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Scene, key, record};
    use super::*;
    use dfs_core::id::NodeId;
    use std::collections::BTreeSet;

    #[test]
    fn a_counted_copy_must_be_in_the_index_of_a_node_that_runs() {
        let mut scene = Scene::new();
        scene.storage(1, &[record(1, 0, 1, 7)]);
        scene.known(&[(key(1, 0, 1), 7, &[1])]);
        assert_eq!(CountedCopiesAreFound.check(&scene.evidence()).unwrap(), 0, "nothing is known of its index");
        let sight = scene.sight.storage.get_mut(&NodeId(1)).unwrap();
        sight.indexed = Some(BTreeSet::from([key(1, 0, 1), key(2, 0, 1)]));
        assert_eq!(CountedCopiesAreFound.check(&scene.evidence()).unwrap(), 1);
        let sight = scene.sight.storage.get_mut(&NodeId(1)).unwrap();
        sight.indexed = Some(BTreeSet::from([key(1, 0, 2)]));
        assert!(CountedCopiesAreFound.check(&scene.evidence()).is_err());
    }
}
