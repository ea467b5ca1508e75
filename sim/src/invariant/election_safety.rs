//! At most one leader in a term.
//!
//! Source: Ongaro and Ousterhout, *In Search of an Understandable Consensus Algorithm* (USENIX ATC 2014), figure 3 and
//! §5.2: *Election Safety: at most one leader can be elected in a given term.* Seen three ways: in the votes on the
//! disks, which name the winner of a term; in what leaders said of themselves; and in the entries, because only the
//! leader of a term makes entries of it, one for each index: two different entries of one term and index had two
//! makers.

use super::{Evidence, Invariant};
use crate::verdict::Failure;
use dfs_actors::raft::inspect::LogPlace;
use dfs_core::checksum::Digest;
use dfs_core::id::NodeId;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// What was seen of terms in the whole run.
#[derive(Debug, Default)]
pub(super) struct ElectionSafety {
    leaders: BTreeMap<u64, NodeId>,
    entries: BTreeMap<LogPlace, Digest>,
}

impl ElectionSafety {
    /// Takes in who leads a term.
    pub fn observe_leader(&mut self, term: u64, node: NodeId) -> Result<(), Failure> {
        let known = *self.leaders.entry(term).or_insert(node);
        if known == node {
            return Ok(());
        }
        Err(Failure::correctness(Self::NAME, format_args!("nodes {known} and {node} both lead term {term}")))
    }
}

impl Invariant for ElectionSafety {
    const NAME: &'static str = "election safety";
    const STATEMENT: &'static str = "at most one metadata node is ever elected leader in a term";

    fn check(&mut self, evidence: &Evidence<'_>) -> Result<u64, Failure> {
        let mut facts = 0;
        for sight in evidence.sight.metadata.values() {
            if let Some(vote) = sight.vote.filter(|vote| vote.won) {
                self.observe_leader(vote.term, vote.node)?;
                facts += 1;
            }
            for entry in &sight.entries[sight.news..] {
                facts += 1;
                match self.entries.entry(entry.place) {
                    Entry::Vacant(vacant) => {
                        vacant.insert(entry.hash);
                    }
                    Entry::Occupied(known) if *known.get() == entry.hash => {}
                    Entry::Occupied(_) => {
                        let detail = format!("{} has another {} than was seen before", sight.name, entry.place);
                        return Err(Failure::correctness(Self::NAME, detail));
                    }
                }
            }
        }
        Ok(facts)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Scene, metadata, vote};
    use super::*;

    fn fails(invariant: &mut ElectionSafety, scene: &Scene) -> bool {
        invariant.check(&scene.evidence()).is_err()
    }

    #[test]
    fn one_leader_in_a_term_is_right_and_two_are_wrong() {
        let mut invariant = ElectionSafety::default();
        let mut scene = Scene::new();
        scene.metadata(1, metadata(&[(1, 1)]).with_vote(vote(1, 1, true)));
        scene.metadata(2, metadata(&[]).with_vote(vote(1, 1, true)));
        assert_eq!(invariant.check(&scene.evidence()).unwrap(), 3);
        invariant.observe_leader(2, NodeId(2)).unwrap();
        // Votes for somebody who has not won yet may differ.
        scene.metadata(1, metadata(&[]).with_vote(vote(2, 1, false)));
        assert!(!fails(&mut invariant, &scene));
        scene.metadata(1, metadata(&[]).with_vote(vote(2, 1, true)));
        assert!(fails(&mut invariant, &scene));
        assert!(invariant.observe_leader(2, NodeId(3)).is_err());
    }

    #[test]
    fn a_term_has_one_entry_at_an_index_even_if_the_first_is_gone() {
        let mut invariant = ElectionSafety::default();
        let mut scene = Scene::new();
        scene.metadata(1, metadata(&[(1, 1), (1, 2)]));
        assert!(!fails(&mut invariant, &scene));
        scene.metadata(1, metadata(&[(1, 1), (2, 2)]));
        assert!(!fails(&mut invariant, &scene));
        scene.metadata(1, metadata(&[(1, 1)]));
        scene.metadata(2, metadata(&[(1, 1), (1, 2)]).with_hash(2, 99));
        assert!(fails(&mut invariant, &scene));
    }
}
