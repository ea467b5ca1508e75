//! A version is told apart from all others for ever, and stays what it is.
//!
//! Source: DESIGN §3: "File ids come from a counter in the replicated state and are never reused", and "each group of
//! chunks has [an epoch], raised by every re-placement and every resume", so that "a replaced primary, an older run of
//! an upload, and a late retry cannot mix"; §5: "Content is immutable per version". A version goes one way: it is
//! uploaded, visible, and then replaced or deleted. Cluster time, which expiries go by, never falls.
//!
//! Compared are the furthest states at two moments. What an entry did between them and another undid is not seen.

use super::{Evidence, Invariant};
use crate::inspect::{Known, State};
use crate::verdict::Failure;
use dfs_core::checksum::Digest;
use dfs_core::id::{ChunkId, Epoch, FileId, GroupIndex, NodeId};
use dfs_core::meta::inspect::{Counters, FileRecord, FileState};
use dfs_core::unit::ChunkSize;
use std::collections::BTreeMap;

/// What was seen in the whole run, and last.
#[derive(Debug, Default)]
pub(super) struct VersionsStay {
    counters: Counters,
    versions: BTreeMap<FileId, Version>,
    /// Where each group was placed under each epoch.
    placements: BTreeMap<(FileId, GroupIndex), BTreeMap<Epoch, Vec<NodeId>>>,
    /// The epochs and contents of chunks of versions that are not uploaded any more.
    chunks: BTreeMap<ChunkId, (Epoch, Digest)>,
}

/// What does not change of a version, and how far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    chunk_size: ChunkSize,
    replication: u8,
    size: Option<u64>,
    stage: Stage,
}

/// How far a version has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    Visible,
    Replaced,
    Deleted,
    /// Its record has gone.
    Freed,
}

impl Version {
    fn of(record: &FileRecord) -> Version {
        let (stage, size) = match &record.state {
            FileState::Open(_) => (Stage::Open, None),
            FileState::Committed(committed) => (Stage::Visible, Some(committed.size)),
            FileState::Replaced(replaced) => (Stage::Replaced, Some(replaced.size)),
            FileState::Deleted { .. } => (Stage::Deleted, None),
        };
        Version { chunk_size: record.chunk_size, replication: record.replication, size, stage }
    }

    /// Whether this can have become of an earlier one.
    fn follows(&self, before: &Version) -> bool {
        let goes_on = match before.stage {
            Stage::Open => true,
            Stage::Visible => self.stage != Stage::Open,
            Stage::Replaced | Stage::Deleted => self.stage == before.stage,
            Stage::Freed => false,
        };
        let same_size = self.size.is_none() || before.size.is_none() || self.size == before.size;
        goes_on && same_size && self.chunk_size == before.chunk_size && self.replication == before.replication
    }
}

/// Requires that nothing falls that only rises.
fn check_counters(before: &Counters, now: &Counters) -> Result<u64, String> {
    let rises = [
        ("cluster time", before.time.0, now.time.0),
        ("the next file id", before.next_file.0, now.next_file.0),
        ("the next directory id", before.next_directory.0, now.next_directory.0),
        ("the next receipt's number", before.next_receipt, now.next_receipt),
        ("the number of copies made", before.copies_made, now.copies_made),
        ("the number of storage nodes", before.storage_nodes, now.storage_nodes),
        ("the time up to which answers are forgotten", before.forgotten_before.0, now.forgotten_before.0),
        ("the end of graces", before.graces_end.0, now.graces_end.0),
    ];
    match rises.iter().find(|(_, before, now)| before > now) {
        Some((what, before, now)) => Err(format!("{what} was {before}, and is {now}")),
        None => Ok(rises.len() as u64),
    }
}

impl VersionsStay {
    fn check_files(&mut self, state: &State) -> Result<u64, String> {
        for (file, record) in &state.files {
            let now = Version::of(record);
            match self.versions.get(file) {
                Some(before) if now.follows(before) => {}
                Some(before) => return Err(format!("file {file} was {before:?}, and is {now:?}")),
                None if *file < self.counters.next_file || *file >= state.counters.next_file => {
                    let (from, to) = (self.counters.next_file, state.counters.next_file);
                    return Err(format!("file {file} is new, and only ids from {from} to below {to} were given"));
                }
                None => {}
            }
            self.versions.insert(*file, now);
        }
        for (_, gone) in self.versions.iter_mut().filter(|(file, _)| !state.files.contains_key(file)) {
            gone.stage = Stage::Freed;
        }
        Ok(state.files.len() as u64)
    }

    fn check_groups(&mut self, state: &State) -> Result<u64, String> {
        let mut facts = 0;
        for (place, group) in &state.groups {
            let known = self.placements.entry(*place).or_default();
            let (highest, current) = (known.last_key_value().map(|(epoch, _)| *epoch), group.current().epoch);
            if highest.is_some_and(|highest| current < highest) {
                return Err(format!("group {} of file {} is back at epoch {current}", place.1, place.0));
            }
            for placement in group.placements() {
                let nodes: Vec<NodeId> = placement.nodes.iter().map(|placed| placed.node).collect();
                let epoch = placement.epoch;
                let before = known.entry(epoch).or_insert_with(|| nodes.clone());
                if *before != nodes {
                    let ((file, group), before) = (place, &*before);
                    return Err(format!(
                        "group {group} of file {file} was placed on {before:?} and on {nodes:?} under epoch {epoch}"
                    ));
                }
                facts += 1;
            }
        }
        Ok(facts)
    }

    fn check_chunks(&mut self, known: &Known) -> Result<u64, String> {
        for chunk in known.chunks.values() {
            let version = self.versions.get(&chunk.chunk.file);
            if version.is_none_or(|version| version.stage == Stage::Open) {
                continue;
            }
            let now = (chunk.epoch, chunk.checksum);
            let before = *self.chunks.entry(chunk.chunk).or_insert(now);
            if before != now {
                return Err(format!(
                    "chunk {} was {} of epoch {}, and is {} of epoch {}",
                    chunk.chunk, before.1, before.0, now.1, now.0
                ));
            }
        }
        Ok(self.chunks.len() as u64)
    }

    fn check_known(&mut self, known: &Known) -> Result<u64, String> {
        let state = &*known.state;
        let facts = check_counters(&self.counters, &state.counters)?
            + self.check_files(state)?
            + self.check_groups(state)?
            + self.check_chunks(known)?;
        self.counters = state.counters.clone();
        Ok(facts)
    }
}

impl Invariant for VersionsStay {
    const NAME: &'static str = "versions stay";
    const STATEMENT: &'static str =
        "ids, epochs and times only rise, and a version never holds anything else and never comes back";

    fn check(&mut self, evidence: &Evidence<'_>) -> Result<u64, Failure> {
        let Some(known) = &evidence.sight.known else { return Ok(0) };
        self.check_known(known).map_err(|detail| Failure::correctness(Self::NAME, detail))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Scene, committed, key, placed};
    use super::*;
    use dfs_core::meta::inspect::GroupRecord;
    use dfs_core::time::ClusterTime;

    fn fails<R>(change: impl FnOnce(&mut Known) -> R) -> bool {
        let mut invariant = VersionsStay::default();
        let mut scene = Scene::sound();
        assert!(invariant.check(&scene.evidence()).unwrap() > 10);
        assert!(invariant.check(&scene.evidence()).is_ok());
        change(scene.sight.known.as_mut().unwrap());
        invariant.check(&scene.evidence()).is_err()
    }

    fn changed<R>(change: impl FnOnce(&mut State) -> R) -> bool {
        fails(|known| change(std::sync::Arc::make_mut(&mut known.state)))
    }

    #[test]
    fn nothing_falls_that_only_rises() {
        assert!(!changed(|state| state.counters.time = ClusterTime(5_000)));
        assert!(changed(|state| state.counters.time = ClusterTime(500)));
        assert!(changed(|state| state.counters.next_file = FileId(4)));
        assert!(changed(|state| state.counters.graces_end = ClusterTime(0)));
    }

    #[test]
    fn an_id_is_given_once() {
        let new = |file, next| {
            changed(|state| {
                state.files.insert(FileId(file), committed(9, 1, "new", 0));
                state.counters.next_file = FileId(next);
            })
        };
        assert!(!new(5, 6));
        assert!(new(5, 5), "not given yet");
        let mut invariant = VersionsStay::default();
        let mut scene = Scene::sound();
        assert!(invariant.check(&scene.evidence()).is_ok());
        let gone = scene.state(|state| state.files.remove(&FileId(3))).unwrap();
        assert!(invariant.check(&scene.evidence()).is_ok(), "what was deleted may be freed");
        scene.state(|state| state.files.insert(FileId(3), gone));
        assert!(invariant.check(&scene.evidence()).is_err(), "and does not come back");
    }

    #[test]
    fn a_version_goes_one_way_and_stays_what_it_is() {
        let becomes = |file, of: u64, record: fn(FileRecord) -> FileRecord| {
            changed(|state| {
                let record = record(state.files[&FileId(of)].clone());
                state.files.insert(FileId(file), record);
            })
        };
        assert!(becomes(1, 2, |open| open), "uploaded again");
        assert!(becomes(3, 1, |visible| visible), "visible again");
        assert!(becomes(4, 3, |deleted| deleted), "replaced, and deleted");
        assert!(!becomes(1, 3, |deleted| deleted));
        assert!(becomes(1, 1, |visible| FileRecord { replication: 2, ..visible }));
        assert!(becomes(1, 1, |_| committed(1, 1, "a", 101)), "of another size");
        assert!(!becomes(1, 1, |_| committed(1, 0, "moved", 100)));
    }

    #[test]
    fn an_epoch_has_one_placement_and_a_chunk_one_content() {
        let place = (FileId(1), GroupIndex(0));
        let replaced = |state: &mut State, epoch, nodes: &[u64]| {
            state.groups.insert(place, GroupRecord::new(Epoch(epoch), placed(nodes)));
        };
        assert!(!changed(|state| replaced(state, 2, &[1, 2, 4])));
        assert!(changed(|state| replaced(state, 1, &[1, 2, 4])));
        assert!(changed(|state| replaced(state, 0, &[1, 2, 3])));
        let chunk = key(1, 0, 1).chunk;
        assert!(fails(|known| known.chunks.get_mut(&chunk).unwrap().epoch = Epoch(2)));
        assert!(!fails(|known| known.chunks.remove(&chunk)));
    }
}
