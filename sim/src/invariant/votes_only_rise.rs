//! A metadata node never forgets a vote, nor takes one back.
//!
//! Source: Ongaro and Ousterhout (USENIX ATC 2014), figure 2: `currentTerm` "increases monotonically", `votedFor` is the
//! "candidateId that received vote in current term", and both are "persistent state …, updated on stable storage before
//! responding". A node that forgets a vote may give another one in the same term, and two leaders are elected. Nor does
//! a log ever begin earlier than it did: what was cut off its beginning is in the state alone.
//!
//! Every write of the log's store is synced, so what is seen in it is durable at any moment, and a power cut changes
//! nothing. In one term a vote may go from a candidate to another node only once that one is known to have won.
//!
//! No fault of the world gives a metadata node another disk.

use super::{Evidence, Invariant};
use crate::inspect::MetadataSight;
use crate::verdict::Failure;
use dfs_actors::raft::inspect::{LogPlace, StoredVote};
use dfs_core::id::NodeId;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// What each node had when it was looked at last.
#[derive(Debug, Default)]
pub(super) struct VotesOnlyRise {
    nodes: BTreeMap<NodeId, (Option<StoredVote>, Option<LogPlace>)>,
}

/// Whether a vote can have followed another.
fn follows(before: StoredVote, now: StoredVote) -> bool {
    match now.term.cmp(&before.term) {
        Ordering::Less => false,
        Ordering::Greater => true,
        Ordering::Equal if before.won => now == before,
        Ordering::Equal => now.won || now.node == before.node,
    }
}

impl VotesOnlyRise {
    fn check_node(&mut self, node: NodeId, sight: &MetadataSight) -> Result<(), String> {
        let (vote, purged) = self.nodes.insert(node, (sight.vote, sight.purged)).unwrap_or_default();
        if let Some(vote) = vote.filter(|before| !sight.vote.is_some_and(|now| follows(*before, now))) {
            return Err(format!("the vote of {} was {vote:?}, and is {:?}", sight.name, sight.vote));
        }
        if sight.purged < purged {
            return Err(format!("the log of {} was cut up to {purged:?}, and is up to {:?}", sight.name, sight.purged));
        }
        Ok(())
    }
}

impl Invariant for VotesOnlyRise {
    const NAME: &'static str = "votes only rise";
    const STATEMENT: &'static str =
        "a metadata node never falls back to an earlier term or vote, nor its log behind what it has cut off";

    fn check(&mut self, evidence: &Evidence<'_>) -> Result<u64, Failure> {
        for (node, sight) in &evidence.sight.metadata {
            self.check_node(*node, sight).map_err(|detail| Failure::correctness(Self::NAME, detail))?;
        }
        Ok(evidence.sight.metadata.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Scene, metadata, vote};
    use super::*;

    fn holds(before: MetadataSight, now: MetadataSight) -> bool {
        let mut invariant = VotesOnlyRise::default();
        let mut scene = Scene::new();
        scene.metadata(1, before);
        assert_eq!(invariant.check(&scene.evidence()).unwrap(), 1);
        scene.metadata(1, now);
        invariant.check(&scene.evidence()).is_ok()
    }

    fn votes(before: StoredVote, now: StoredVote) -> bool {
        holds(metadata(&[]).with_vote(before), metadata(&[]).with_vote(now))
    }

    #[test]
    fn a_vote_is_neither_forgotten_nor_taken_back() {
        assert!(votes(vote(2, 1, false), vote(2, 1, true)));
        assert!(votes(vote(2, 1, false), vote(2, 3, true)), "the other one has won");
        assert!(votes(vote(2, 1, true), vote(3, 3, false)));
        assert!(!votes(vote(2, 1, false), vote(1, 1, true)), "an earlier term");
        assert!(!votes(vote(2, 1, false), vote(2, 3, false)), "a second vote in one term");
        assert!(!votes(vote(2, 1, true), vote(2, 1, false)), "it had won");
        assert!(!holds(metadata(&[]).with_vote(vote(1, 1, true)), metadata(&[])), "forgotten");
    }

    #[test]
    fn a_log_never_begins_earlier_than_it_did() {
        let cut = |index| metadata(&[]).with_purged(1, index);
        assert!(holds(cut(4), cut(4)));
        assert!(holds(cut(4), cut(9)));
        assert!(!holds(cut(4), cut(3)));
        assert!(!holds(cut(4), metadata(&[])));
    }
}
