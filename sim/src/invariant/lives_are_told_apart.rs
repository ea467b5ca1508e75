//! Each life of a storage node, and each store of it, is told apart from those before.
//!
//! Source: DESIGN §3, *Incarnation*: "each start of a storage node commits a higher one, with the UUID of its store", and
//! "a changed store UUID uncounts every replica of the old store at once", which is what a higher generation does.
//! Without it what an earlier life said late would count, and the copies of a store that is gone.
//!
//! What is compared are the records of the furthest state at two moments; lives that began and ended between them are
//! not seen, but counted by those that follow.

use super::{Evidence, Invariant};
use crate::verdict::Failure;
use dfs_core::id::NodeId;
use dfs_core::meta::NodeRecord;
use std::collections::BTreeMap;

/// The record of each node as it was seen last.
#[derive(Debug, Default)]
pub(super) struct LivesAreToldApart {
    nodes: BTreeMap<NodeId, NodeRecord>,
}

impl Invariant for LivesAreToldApart {
    const NAME: &'static str = "lives are told apart";
    const STATEMENT: &'static str =
        "each start of a storage node has a higher incarnation, and each other store of it a higher generation";

    fn check(&mut self, evidence: &Evidence<'_>) -> Result<u64, Failure> {
        let mut facts = 0;
        for now in evidence.sight.known.iter().flat_map(|known| &known.nodes) {
            if let Some(before) = self.nodes.insert(now.node, now.clone()) {
                let same_life = now.boot == before.boot && now.incarnation == before.incarnation;
                let same_store = now.store == before.store && now.generation == before.generation;
                if !(same_life || now.incarnation > before.incarnation) {
                    let (node, was, is) = (now.node, before.incarnation, now.incarnation);
                    let detail = format!("storage node {node} was started again, and its incarnation {was} is {is}");
                    return Err(Failure::correctness(Self::NAME, detail));
                }
                if !(same_store || now.generation > before.generation) {
                    let (node, was, is) = (now.node, before.generation, now.generation);
                    let detail = format!("storage node {node} has another store, and its generation {was} is {is}");
                    return Err(Failure::correctness(Self::NAME, detail));
                }
            }
            facts += 1;
        }
        Ok(facts)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Scene;
    use super::*;
    use dfs_core::id::{BootId, Incarnation, StoreId};

    fn seen(boot: u128, incarnation: u64, store: u128, generation: u32) -> Scene {
        let mut scene = Scene::new();
        scene.known(&[]);
        let record = NodeRecord {
            node: NodeId(1),
            incarnation: Incarnation(incarnation),
            store: StoreId(store),
            boot: BootId(boot),
            address: ([10, 0, 0, 1], 1).into(),
            generation,
        };
        scene.sight.known.as_mut().unwrap().nodes.push(record);
        scene
    }

    fn fails(then: &Scene) -> bool {
        let mut invariant = LivesAreToldApart::default();
        assert_eq!(invariant.check(&seen(7, 2, 5, 0).evidence()).unwrap(), 1);
        invariant.check(&then.evidence()).is_err()
    }

    #[test]
    fn a_life_has_a_higher_incarnation_than_the_one_before() {
        assert!(!fails(&seen(7, 2, 5, 0)));
        assert!(!fails(&seen(8, 3, 5, 0)));
        assert!(fails(&seen(8, 2, 5, 0)));
        assert!(fails(&seen(7, 1, 5, 0)));
    }

    #[test]
    fn another_store_has_a_higher_generation() {
        assert!(!fails(&seen(8, 3, 6, 1)));
        assert!(fails(&seen(8, 3, 6, 0)));
        // The old store may have come back meanwhile.
        assert!(!fails(&seen(9, 4, 5, 2)));
    }
}
