//! The same log gives the same state.
//!
//! Source: *State Machine Safety* of Ongaro and Ousterhout (USENIX ATC 2014), figure 3, taken to its purpose (§2: *each
//! state machine processes the same sequence of commands [and] produces the same sequence of outputs*), and DESIGN §5:
//! `apply` is pure. A clock, a random number or the order of a hash map in it, a batch that is applied otherwise than
//! its entries one by one, or a snapshot that leaves something out, all show here.

use super::{Evidence, Invariant};
use crate::verdict::Failure;
use dfs_actors::raft::inspect::LogPlace;
use dfs_core::checksum::Digest;
use std::collections::BTreeMap;

/// The hash of the state behind each entry that a state was seen at, in the whole run.
#[derive(Debug, Default)]
pub(super) struct StateAgreement {
    states: BTreeMap<LogPlace, (Digest, String)>,
}

impl Invariant for StateAgreement {
    const NAME: &'static str = "state agreement";
    const STATEMENT: &'static str = "metadata states that have applied the same entry are the same, byte for byte";

    fn check(&mut self, evidence: &Evidence<'_>) -> Result<u64, Failure> {
        let mut facts = 0;
        for sight in evidence.sight.metadata.values() {
            let (Some(applied), Some(state)) = (sight.applied, sight.state) else { continue };
            let (known, by) = self.states.entry(applied).or_insert_with(|| (state, sight.name.clone()));
            if *known != state {
                let detail = format!("the states of {} and {by} differ behind {applied}", sight.name);
                return Err(Failure::correctness(Self::NAME, detail));
            }
            facts += 1;
        }
        Ok(facts)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Scene, metadata};
    use super::*;

    #[test]
    fn states_agree_where_they_have_applied_the_same() {
        let mut invariant = StateAgreement::default();
        let mut scene = Scene::new();
        scene.metadata(1, metadata(&[]).with_applied(1, 5).with_state(1));
        scene.metadata(2, metadata(&[]).with_applied(1, 6).with_state(2));
        assert_eq!(invariant.check(&scene.evidence()).unwrap(), 2);
        scene.metadata(1, metadata(&[]).with_applied(1, 6).with_state(2));
        assert!(invariant.check(&scene.evidence()).is_ok());
        // Nobody is at entry 5 any more, but somebody was.
        scene.metadata(2, metadata(&[]).with_applied(1, 5).with_state(3));
        let failure = invariant.check(&scene.evidence()).unwrap_err();
        assert!(failure.detail.contains("entry 5 of term 1"), "{failure}");
    }
}
