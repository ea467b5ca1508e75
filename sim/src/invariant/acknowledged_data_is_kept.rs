//! No acknowledged data is lost.
//!
//! Source: DESIGN §1, *Fault model*: "A file acknowledged with W copies survives any crashes, power cuts, pauses and
//! partitions, and the permanent loss of W − 1 of the stores that hold it before repair has made new copies." So each
//! chunk of it has at least W whole copies on all durable disks together, less one for each store that lost its copy to
//! the world. Copies count whether or not metadata knows of them: they can be found. What metadata must know is the
//! chunk, and its checksum.
//!
//! A state that may lack what was acknowledged last, as while a leader is elected, is judged only for the chunks that
//! it knows.

use super::{Evidence, Invariant};
use crate::inspect::Known;
use crate::verdict::Failure;
use dfs_actors::chunk_store::inspect::RecordKey;
use dfs_core::id::{ChunkId, ChunkIndex, FileId};
use dfs_core::meta::KnownChunk;

/// A file whose upload was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcknowledgedFile {
    /// The version.
    pub file: FileId,
    /// How many chunks it has.
    pub chunks: u32,
    /// How many copies of each were promised.
    pub write_quorum: u8,
}

/// Needs no memory.
#[derive(Debug, Default)]
pub(super) struct AcknowledgedDataIsKept;

impl AcknowledgedDataIsKept {
    fn check_file(evidence: &Evidence<'_>, known: &Known, file: &AcknowledgedFile) -> Result<u64, Failure> {
        let mut facts = 0;
        for index in (0..file.chunks).map(ChunkIndex) {
            let chunk = ChunkId { file: file.file, index };
            match known.chunks.get(&chunk) {
                Some(known) => Self::check_chunk(evidence, known, file.write_quorum)?,
                None if known.complete => {
                    let detail = format!("metadata does not know chunk {chunk} behind {}", known.applied);
                    return Err(Failure::correctness(Self::NAME, detail));
                }
                None => continue,
            }
            facts += 1;
        }
        Ok(facts)
    }

    fn check_chunk(evidence: &Evidence<'_>, known: &KnownChunk, write_quorum: u8) -> Result<(), Failure> {
        let key = RecordKey { chunk: known.chunk, epoch: known.epoch };
        let lost = evidence.told.losses.stores(&key);
        let needed = usize::from(write_quorum).saturating_sub(lost);
        let records = evidence.sight.storage.values().filter_map(|sight| sight.records.get(&key));
        let copies = records.filter(|record| record.whole() == Some(known.checksum)).count();
        if copies >= needed {
            return Ok(());
        }
        let detail = format!(
            "chunk {key} was acknowledged with {write_quorum} copies, {lost} were destroyed, and {copies} are left"
        );
        Err(Failure::correctness(Self::NAME, detail))
    }
}

impl Invariant for AcknowledgedDataIsKept {
    const NAME: &'static str = "acknowledged data is kept";
    const STATEMENT: &'static str =
        "each chunk of an acknowledged file has W durable copies, less one for each store that the world destroyed";

    fn check(&mut self, evidence: &Evidence<'_>) -> Result<u64, Failure> {
        let Some(known) = &evidence.sight.known else { return Ok(0) };
        evidence.told.acknowledged.iter().map(|file| Self::check_file(evidence, known, file)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Scene, damaged, digest, key, record};
    use super::*;
    use crate::inspect::WholeRecords;
    use dfs_core::id::NodeId;

    fn check(scene: &Scene) -> Result<u64, Failure> {
        AcknowledgedDataIsKept.check(&scene.evidence())
    }

    /// A file of two chunks, the second of which has been written under another epoch.
    fn scene() -> Scene {
        let mut scene = Scene::new();
        scene.storage(1, &[record(1, 0, 1, 7), record(1, 1, 2, 8)]);
        scene.storage(2, &[record(1, 0, 1, 7)]);
        scene.storage(3, &[record(1, 1, 2, 8)]);
        scene.known(&[(key(1, 0, 1), 7, &[1, 2]), (key(1, 1, 2), 8, &[1, 3])]);
        scene.acknowledged = vec![AcknowledgedFile { file: FileId(1), chunks: 2, write_quorum: 2 }];
        scene
    }

    #[test]
    fn an_acknowledged_chunk_has_its_quorum_of_durable_copies() {
        let mut scene = scene();
        assert_eq!(check(&scene).unwrap(), 2);
        for wrong in [vec![], vec![damaged(1, 1, 2)], vec![record(1, 1, 1, 8)], vec![record(1, 1, 2, 9)]] {
            scene.storage(3, &wrong);
            assert!(check(&scene).is_err(), "{wrong:?}");
        }
        // A copy that metadata does not know of is one all the same.
        scene.storage(2, &[record(1, 0, 1, 7), record(1, 1, 2, 8)]);
        assert!(check(&scene).is_ok());
    }

    #[test]
    fn loss_is_accepted_only_for_what_was_destroyed() {
        let mut scene = scene();
        let before = WholeRecords::from([(key(1, 1, 2), digest(8))]);
        scene.storage(3, &[]);
        scene.losses.note(NodeId(3), &before, &WholeRecords::new());
        assert!(check(&scene).is_ok());
        scene.storage(1, &[record(1, 0, 1, 7)]);
        assert!(check(&scene).is_err(), "one store was destroyed, and two copies are gone");
        scene.losses.note(NodeId(1), &before, &WholeRecords::new());
        assert!(check(&scene).is_ok(), "beyond the fault model");
        scene.storage(2, &[]);
        assert!(check(&scene).is_err(), "the loss of one chunk does not excuse that of another");
    }

    #[test]
    fn a_complete_state_knows_every_acknowledged_chunk() {
        let mut scene = scene();
        scene.known(&[(key(1, 0, 1), 7, &[1, 2])]);
        assert!(check(&scene).is_err());
        scene.sight.known.as_mut().unwrap().complete = false;
        assert_eq!(check(&scene).unwrap(), 1);
        scene.sight.known = None;
        assert_eq!(check(&scene).unwrap(), 0);
    }
}
