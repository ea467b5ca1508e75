//! What was committed once is never otherwise, and every later leader has it.
//!
//! Source: Ongaro and Ousterhout (USENIX ATC 2014), figure 3, §5.4: *Leader Completeness: if a log entry is committed in
//! a given term, then that entry will be present in the logs of the leaders for all higher-numbered terms* and *State
//! Machine Safety: if a server has applied a log entry at a given index to its state machine, no other server will
//! ever apply a different log entry for the same index.*
//!
//! An entry counts as committed once a state has applied it. Which one that was is told by a log that has the very
//! entry up to which its state has come; everything before it in that log was applied too. A log that has not, as
//! while a snapshot takes its place, tells nothing.

use super::{Evidence, Invariant};
use crate::inspect::MetadataSight;
use crate::verdict::Failure;
use dfs_actors::raft::inspect::LogPlace;
use dfs_core::checksum::Digest;
use dfs_core::id::NodeId;
use std::collections::BTreeMap;

/// What was seen to be committed in the whole run, by index.
#[derive(Debug, Default)]
pub(super) struct LeaderCompleteness {
    committed: BTreeMap<u64, Committed>,
    /// How far each log was taken in, and its present state compared.
    taken: BTreeMap<NodeId, u64>,
}

/// A committed entry.
#[derive(Clone, Copy, Debug)]
struct Committed {
    term: u64,
    /// Its hash, once a log showed it.
    hash: Option<Digest>,
    /// The highest term of that moment: it was committed in that one or before.
    by: u64,
}

impl LeaderCompleteness {
    fn take(&mut self, place: LogPlace, hash: Option<Digest>, by: u64, name: &str) -> Result<(), Failure> {
        let known = self.committed.entry(place.index).or_insert(Committed { term: place.term, hash, by });
        let differs = known.hash.is_some() && hash.is_some() && known.hash != hash;
        if known.term != place.term || differs {
            let detail = format!("{name} has applied {place}; one of term {} was applied there before", known.term);
            return Err(Failure::correctness(Self::NAME, detail));
        }
        known.hash = known.hash.or(hash);
        Ok(())
    }

    /// Takes in what a node has applied.
    fn take_applied(&mut self, node: NodeId, sight: &MetadataSight, by: u64) -> Result<u64, Failure> {
        let Some(applied) = sight.applied else { return Ok(0) };
        self.take(applied, None, by, &sight.name)?;
        if sight.entry(applied.index).is_none_or(|entry| entry.place != applied) {
            return Ok(1);
        }
        // What was taken in before is taken again only if the log was read anew.
        let read_anew = sight.news == 0;
        let from = if read_anew { 0 } else { self.taken.get(&node).copied().unwrap_or(0) };
        let first = sight.entries.partition_point(|entry| entry.place.index <= from);
        let mut facts = 1;
        for entry in sight.entries[first..].iter().take_while(|entry| entry.place.index <= applied.index) {
            self.take(entry.place, Some(entry.hash), by, &sight.name)?;
            facts += 1;
        }
        self.taken.insert(node, applied.index);
        Ok(facts)
    }

    /// Compares the log of a leader with what was committed before its term.
    fn check_leader(&self, sight: &MetadataSight, term: u64) -> Result<u64, Failure> {
        let begin = sight.purged.map_or(0, |purged| purged.index);
        let mut facts = 0;
        for (index, committed) in self.committed.range(begin + 1..).filter(|(_, committed)| committed.by < term) {
            let found = sight.entry(*index);
            let same = found.is_some_and(|entry| {
                entry.place.term == committed.term && committed.hash.is_none_or(|hash| hash == entry.hash)
            });
            if !same {
                let detail = format!(
                    "{} leads term {term} without entry {index} of term {}, which was committed before",
                    sight.name, committed.term
                );
                return Err(Failure::correctness(Self::NAME, detail));
            }
            facts += 1;
        }
        Ok(facts)
    }
}

impl Invariant for LeaderCompleteness {
    const NAME: &'static str = "leader completeness";
    const STATEMENT: &'static str =
        "a committed entry of the metadata log stays as it is, and every later leader has it";

    fn check(&mut self, evidence: &Evidence<'_>) -> Result<u64, Failure> {
        let metadata = &evidence.sight.metadata;
        let highest = metadata.values().filter_map(|sight| Some(sight.vote?.term)).max().unwrap_or(0);
        let mut facts = 0;
        for (node, sight) in metadata {
            facts += self.take_applied(*node, sight, highest)?;
        }
        for (node, sight) in metadata {
            if sight.has_won(*node) {
                facts += self.check_leader(sight, sight.vote.map_or(0, |vote| vote.term))?;
            }
        }
        Ok(facts)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Scene, metadata, vote};
    use super::*;

    #[test]
    fn what_was_applied_once_is_not_applied_otherwise() {
        let mut invariant = LeaderCompleteness::default();
        let mut scene = Scene::new();
        scene.metadata(1, metadata(&[(1, 1), (1, 2)]).with_applied(1, 2));
        scene.metadata(2, metadata(&[(1, 1), (2, 2)]).with_applied(1, 1));
        assert_eq!(invariant.check(&scene.evidence()).unwrap(), 5);
        // A log may still have what was not committed; its state may not.
        let mut wrong = scene.clone();
        wrong.metadata(2, metadata(&[(1, 1), (2, 2)]).with_applied(2, 2));
        assert!(invariant.check(&wrong.evidence()).is_err());
        let mut wrong = scene.clone();
        wrong.metadata(2, metadata(&[(1, 1), (1, 2)]).with_hash(2, 99).with_applied(1, 2));
        assert!(invariant.check(&wrong.evidence()).is_err());
        // A state may fall back and come again.
        scene.metadata(1, metadata(&[(1, 1), (1, 2)]).with_applied(1, 1));
        assert!(invariant.check(&scene.evidence()).is_ok());
    }

    #[test]
    fn a_log_that_is_not_what_its_state_has_applied_tells_nothing() {
        let mut invariant = LeaderCompleteness::default();
        let mut scene = Scene::new();
        scene.metadata(1, metadata(&[(1, 1), (1, 2), (1, 3)]).with_applied(1, 3));
        scene.metadata(2, metadata(&[(1, 1), (2, 2)]).with_applied(1, 3));
        assert!(invariant.check(&scene.evidence()).is_ok(), "a snapshot was installed, and the log is still the old");
        scene.metadata(2, metadata(&[(1, 1), (2, 2), (2, 3)]).with_applied(1, 3));
        assert!(invariant.check(&scene.evidence()).is_ok());
        scene.metadata(2, metadata(&[]).with_applied(2, 3));
        assert!(invariant.check(&scene.evidence()).is_err(), "a state tells what it has applied last without a log");
    }

    #[test]
    fn a_later_leader_has_what_was_committed_before() {
        let mut invariant = LeaderCompleteness::default();
        let mut scene = Scene::new();
        scene.metadata(1, metadata(&[(1, 1), (1, 2)]).with_applied(1, 2).with_vote(vote(1, 1, true)));
        scene.metadata(2, metadata(&[(1, 1)]).with_vote(vote(1, 1, true)));
        assert!(invariant.check(&scene.evidence()).is_ok());
        let mut wrong = scene.clone();
        wrong.metadata(2, metadata(&[(1, 1), (2, 2)]).with_vote(vote(2, 2, true)));
        assert!(invariant.check(&wrong.evidence()).is_err());
        let mut wrong = scene.clone();
        wrong.metadata(2, metadata(&[(1, 1)]).with_vote(vote(2, 2, true)));
        assert!(invariant.check(&wrong.evidence()).is_err());
        let mut candidate = scene.clone();
        candidate.metadata(2, metadata(&[(1, 1)]).with_vote(vote(2, 2, false)));
        assert!(invariant.check(&candidate.evidence()).is_ok());
        // The entries may be behind a snapshot.
        scene.metadata(2, metadata(&[(2, 3)]).with_purged(1, 2).with_vote(vote(2, 2, true)));
        assert!(invariant.check(&scene.evidence()).is_ok());
    }

    #[test]
    fn a_leader_of_an_earlier_term_need_not_have_it() {
        let mut invariant = LeaderCompleteness::default();
        let mut scene = Scene::new();
        scene.metadata(1, metadata(&[(1, 1), (2, 2)]).with_applied(2, 2).with_vote(vote(2, 1, true)));
        scene.metadata(2, metadata(&[(1, 1)]).with_vote(vote(1, 2, true)));
        assert!(invariant.check(&scene.evidence()).is_ok());
    }
}
