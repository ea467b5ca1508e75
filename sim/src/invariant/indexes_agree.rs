//! What the state keeps twice is the same both times.
//!
//! Source: the table of tables of `core/src/meta.rs`: some have no facts of their own, but make those of others quick to
//! find, or count them. Each is derived here anew from the records, by other means than those that keep it. A copy that
//! the index of a node does not have is not made anew when that node dies; one that it has too many costs a look for
//! ever.

use super::{Evidence, Invariant};
use crate::inspect::State;
use crate::verdict::Failure;
use dfs_core::meta::inspect::FileState;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

/// Needs no memory.
#[derive(Debug, Default)]
pub(super) struct IndexesAgree;

/// Requires that what is kept is what follows from the records.
fn same<T: PartialEq + Debug>(what: &str, kept: &T, derived: &T) -> Result<u64, String> {
    if kept == derived {
        return Ok(1);
    }
    Err(format!("{what}: {kept:?} is kept, and {derived:?} follows from the records"))
}

/// Requires that a table is what follows from the records, and tells the first entry that is not.
fn same_table<T: Ord + Debug>(what: &str, kept: &BTreeSet<T>, derived: &BTreeSet<T>) -> Result<u64, String> {
    match (kept.difference(derived).next(), derived.difference(kept).next()) {
        (None, None) => Ok(kept.len() as u64),
        (Some(extra), _) => Err(format!("{what}: {extra:?} is kept, and does not follow from the records")),
        (None, Some(missing)) => Err(format!("{what}: {missing:?} follows from the records, and is not kept")),
    }
}

fn check_state(state: &State) -> Result<u64, String> {
    let holders = state
        .groups
        .iter()
        .flat_map(|((file, index), group)| group.holders().iter().map(move |holder| (holder.node, *file, *index)));
    let mut facts = same_table("groups of a node", &state.placed_on, &holders.collect())?;

    let (mut nonces, mut names) = (BTreeMap::new(), BTreeSet::new());
    let (mut files, mut bytes, mut graces_end) = (0, 0, state.counters.graces_end);
    for (file, record) in &state.files {
        match &record.state {
            FileState::Open(open) => {
                nonces.insert(open.nonce, *file);
                names.insert((open.name.as_str().to_owned(), *file));
            }
            FileState::Committed(committed) => {
                files += 1;
                bytes += committed.size;
            }
            FileState::Replaced(replaced) => graces_end = graces_end.max(replaced.grace_ends()),
            FileState::Deleted { .. } => {}
        }
    }
    facts += same("nonces of uploads", &state.nonces, &nonces)?;
    facts += same_table("names of uploads", &state.open_uploads, &names)?;
    let ages = state.requests.iter().map(|(request, record)| (record.at, *request));
    facts += same_table("answers by age", &state.requests_by_age, &ages.collect())?;

    let counters = &state.counters;
    facts += same("open uploads", &counters.open_uploads, &(names.len() as u64))?;
    facts += same("files", &counters.files, &files)?;
    facts += same("bytes of files", &counters.file_bytes, &bytes)?;
    facts += same("end of graces", &counters.graces_end, &graces_end)?;
    facts += same("storage nodes", &counters.storage_nodes, &(state.nodes.len() as u64))?;
    facts += same("kept answers", &counters.requests, &(state.requests.len() as u64))?;
    if let Some((oldest, _)) = state.requests_by_age.first() {
        facts += same("time of the oldest answer", &counters.oldest_request, oldest)?;
    }
    let next_receipt = state.receipts.last_key_value().map_or(0, |(number, _)| number + 1);
    facts += same("next receipt", &counters.next_receipt, &next_receipt)?;
    Ok(facts)
}

impl Invariant for IndexesAgree {
    const NAME: &'static str = "indexes agree";
    const STATEMENT: &'static str = "every index and counter of the metadata state is what its records say";

    fn check(&mut self, evidence: &Evidence<'_>) -> Result<u64, Failure> {
        let Some(known) = &evidence.sight.known else { return Ok(0) };
        check_state(&known.state).map_err(|detail| Failure::correctness(Self::NAME, detail))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Scene;
    use super::*;
    use dfs_core::id::{FileId, GroupIndex, NodeId, RequestId, UploadNonce};
    use dfs_core::time::ClusterTime;

    fn fails<R>(change: impl FnOnce(&mut State) -> R) -> bool {
        let mut scene = Scene::sound();
        assert!(IndexesAgree.check(&scene.evidence()).unwrap() > 10);
        scene.state(change);
        IndexesAgree.check(&scene.evidence()).is_err()
    }

    #[test]
    fn an_index_has_what_is_there_and_nothing_else() {
        let group = (NodeId(3), FileId(1), GroupIndex(0));
        assert!(fails(|state| state.placed_on.insert(group)));
        assert!(fails(|state| state.placed_on.pop_first()));
        assert!(fails(|state| state.nonces.clear()));
        assert!(fails(|state| state.nonces.insert(UploadNonce(9), FileId(1))));
        assert!(fails(|state| state.open_uploads.clear()));
        assert!(fails(|state| state.open_uploads.insert(("a".to_owned(), FileId(1)))));
        assert!(fails(|state| state.requests_by_age.clear()));
        assert!(fails(|state| state.requests_by_age.insert((ClusterTime(7), RequestId(7)))));
    }

    #[test]
    fn a_counter_says_how_many_there_are() {
        assert!(fails(|state| state.counters.files += 1));
        assert!(fails(|state| state.counters.file_bytes -= 1));
        assert!(fails(|state| state.counters.open_uploads = 0));
        assert!(fails(|state| state.counters.storage_nodes += 1));
        assert!(fails(|state| state.counters.requests = 0));
        assert!(fails(|state| state.counters.oldest_request = ClusterTime(0)));
        assert!(fails(|state| state.counters.next_receipt += 1));
        assert!(fails(|state| state.counters.graces_end = ClusterTime(0)));
    }
}
