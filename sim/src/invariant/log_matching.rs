//! Two logs that have one entry in common have everything before it in common.
//!
//! Source: Ongaro and Ousterhout (USENIX ATC 2014), figure 3 and §5.3: *Log Matching: if two logs contain an entry with
//! the same index and term, then the logs are identical in all entries up through the given index.* As there, it is
//! checked by induction: an entry has the same hash, and the same entry before it, wherever and whenever it is seen.
//! That a log has no gap is part of it.

use super::{Evidence, Invariant};
use crate::inspect::MetadataSight;
use crate::verdict::Failure;
use dfs_actors::raft::inspect::{LogPlace, StoredEntry};
use dfs_core::checksum::Digest;
use std::collections::BTreeMap;

/// What was seen of entries in the whole run.
#[derive(Debug, Default)]
pub(super) struct LogMatching {
    entries: BTreeMap<LogPlace, Seen>,
}

/// An entry: its hash, and the place of the one before it where that was seen.
#[derive(Clone, Copy, Debug)]
struct Seen {
    hash: Digest,
    before: Option<LogPlace>,
}

impl LogMatching {
    fn take(&mut self, sight: &MetadataSight, before: Option<LogPlace>, entry: &StoredEntry) -> Result<(), String> {
        if let Some(before) = before
            && (before.index + 1 != entry.place.index || before.term > entry.place.term)
        {
            return Err(format!("in the log of {}, {} follows {before}", sight.name, entry.place));
        }
        let seen = self.entries.entry(entry.place).or_insert(Seen { hash: entry.hash, before });
        if seen.hash != entry.hash {
            return Err(format!("{} has another {} than was seen before", sight.name, entry.place));
        }
        match (seen.before, before) {
            (Some(seen), Some(before)) if seen != before => Err(format!(
                "in the log of {}, {before} stands before {}; elsewhere or earlier {seen} did",
                sight.name, entry.place
            )),
            (None, Some(_)) => {
                seen.before = before;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Invariant for LogMatching {
    const NAME: &'static str = "log matching";
    const STATEMENT: &'static str =
        "metadata logs with the same entry at one index and term are the same in everything before it";

    fn check(&mut self, evidence: &Evidence<'_>) -> Result<u64, Failure> {
        let mut facts = 0;
        for sight in evidence.sight.metadata.values() {
            for (number, entry) in sight.entries.iter().enumerate().skip(sight.news) {
                let before = match number.checked_sub(1) {
                    Some(before) => sight.entries.get(before).map(|entry| entry.place),
                    // The first entry may lie further behind what was purged, while a snapshot is being installed.
                    None => sight.purged.filter(|purged| purged.index + 1 == entry.place.index),
                };
                self.take(sight, before, entry).map_err(|detail| Failure::correctness(Self::NAME, detail))?;
                facts += 1;
            }
        }
        Ok(facts)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Scene, metadata};
    use super::*;

    fn check(scene: &Scene) -> Result<u64, Failure> {
        LogMatching::default().check(&scene.evidence())
    }

    #[test]
    fn logs_may_differ_behind_what_they_have_in_common() {
        let mut scene = Scene::new();
        scene.metadata(1, metadata(&[(1, 1), (1, 2), (2, 3)]));
        scene.metadata(2, metadata(&[(1, 1), (1, 2), (3, 3), (3, 4)]));
        assert_eq!(check(&scene).unwrap(), 7);
        // Another history altogether, as long as it has no entry of the others.
        scene.metadata(3, metadata(&[(4, 1), (5, 2)]));
        assert!(check(&scene).is_ok());
    }

    #[test]
    fn a_common_entry_with_something_else_before_it_is_wrong() {
        let mut scene = Scene::new();
        scene.metadata(1, metadata(&[(1, 1), (1, 2), (3, 3)]));
        scene.metadata(2, metadata(&[(1, 1), (2, 2), (3, 3)]));
        assert!(check(&scene).is_err());
        scene.metadata(2, metadata(&[(1, 1), (1, 2), (3, 3)]).with_hash(2, 99));
        assert!(check(&scene).is_err());
    }

    #[test]
    fn what_was_purged_still_stands_before_the_first_entry() {
        let mut scene = Scene::new();
        scene.metadata(1, metadata(&[(1, 1), (1, 2), (3, 3)]));
        scene.metadata(2, metadata(&[(3, 3)]).with_purged(1, 2));
        assert!(check(&scene).is_ok());
        scene.metadata(2, metadata(&[(3, 3)]).with_purged(2, 2));
        assert!(check(&scene).is_err());
    }

    #[test]
    fn a_log_has_no_gap_and_terms_never_fall() {
        let mut scene = Scene::new();
        scene.metadata(1, metadata(&[(1, 1), (1, 3)]));
        assert!(check(&scene).is_err());
        scene.metadata(1, metadata(&[(2, 1), (1, 2)]));
        assert!(check(&scene).is_err());
    }
}
