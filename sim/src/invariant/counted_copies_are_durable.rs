//! What metadata counts as a copy is whole on that node's durable disk.
//!
//! Source: DESIGN §1: "an acknowledgement means W copies are on stable storage", and §5: a report names only durable
//! holders. Everything else rests on it: what may be read from where, and later what may be removed. It is checked at
//! any moment, not only after a power cut, because a copy that would not survive one is none.
//!
//! Exempt is what the world destroyed. A copy that was destroyed and counted again since is not told apart from one
//! that is still missing. The copies are those of the furthest state; a state that has fallen back behind what was seen
//! is not judged by.

use super::{Evidence, Invariant};
use crate::verdict::Failure;
use dfs_actors::chunk_store::inspect::RecordKey;

/// Needs no memory.
#[derive(Debug, Default)]
pub(super) struct CountedCopiesAreDurable;

impl Invariant for CountedCopiesAreDurable {
    const NAME: &'static str = "counted copies are durable";
    const STATEMENT: &'static str =
        "each copy that metadata counts is a whole record with the recorded checksum on that node's durable disk";

    fn check(&mut self, evidence: &Evidence<'_>) -> Result<u64, Failure> {
        let mut facts = 0;
        for known in evidence.sight.known.iter().flat_map(|known| known.chunks.values()) {
            let key = RecordKey { chunk: known.chunk, epoch: known.epoch };
            for holder in known.holders.iter().filter(|holder| !evidence.told.losses.took(**holder, &key)) {
                let record = evidence.sight.storage.get(holder).and_then(|sight| sight.records.get(&key));
                if record.and_then(|record| record.whole()) != Some(known.checksum) {
                    let found = record.map_or("nothing".to_owned(), |record| format!("{:?}", record.condition));
                    let checksum = known.checksum;
                    let detail = format!("storage node {holder} counts for chunk {key} ({checksum}) and has {found}");
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
    use super::super::tests::{Scene, damaged, digest, key, record};
    use super::*;
    use crate::inspect::WholeRecords;
    use dfs_core::id::NodeId;

    fn check(scene: &Scene) -> Result<u64, Failure> {
        CountedCopiesAreDurable.check(&scene.evidence())
    }

    #[test]
    fn a_counted_copy_must_be_there_whole_and_the_same() {
        let mut scene = Scene::new();
        scene.storage(1, &[record(1, 0, 1, 7)]);
        scene.storage(2, &[record(1, 0, 1, 7)]);
        scene.known(&[(key(1, 0, 1), 7, &[1, 2])]);
        assert_eq!(check(&scene).unwrap(), 2);
        for wrong in [vec![], vec![damaged(1, 0, 1)], vec![record(1, 0, 1, 8)], vec![record(1, 0, 2, 7)]] {
            scene.storage(2, &wrong);
            assert!(check(&scene).is_err(), "{wrong:?}");
        }
        scene.known(&[(key(1, 0, 1), 7, &[1])]);
        assert!(check(&scene).is_ok(), "what is not counted need not be there");
    }

    #[test]
    fn only_the_very_copy_that_was_destroyed_is_forgiven() {
        let mut scene = Scene::new();
        scene.storage(1, &[record(1, 0, 1, 7)]);
        scene.storage(2, &[]);
        scene.known(&[(key(1, 0, 1), 7, &[1, 2])]);
        let before = WholeRecords::from([(key(1, 0, 1), digest(7))]);
        scene.losses.note(NodeId(2), &before, &WholeRecords::new());
        assert_eq!(check(&scene).unwrap(), 1);
        scene.storage(1, &[]);
        assert!(check(&scene).is_err());
    }
}
