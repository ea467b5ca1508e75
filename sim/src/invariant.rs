//! What must hold at every moment of every run, whatever faults there are: one file each, with its reason or source.
//!
//! They look straight at what the machines hold ([`crate::inspect`]), so that no report of a node is believed. They
//! remember what they saw: what was once so may not be otherwise later in the run. Each answers how many single facts
//! it compared, so that a check of nothing shows as one.
//!
//! Deliberately absent: what only users can tell (wrong bytes, histories, deadlines), and liveness.

mod acknowledged_data_is_kept;
mod bounded_queues;
mod copies_are_accounted_for;
mod counted_copies_are_durable;
mod counted_copies_are_found;
mod election_safety;
mod indexes_agree;
mod leader_completeness;
mod lives_are_told_apart;
mod log_matching;
pub mod losses;
mod one_content;
mod repair_keeps_copies;
mod requests_are_done_once;
mod state_agreement;
mod the_tree_is_sound;
mod versions_stay;
mod votes_only_rise;

#[cfg(test)]
mod tests;

pub use acknowledged_data_is_kept::AcknowledgedFile;
pub use bounded_queues::Load;

use crate::inspect::{Depth, Inspector, Sight, Site};
use crate::verdict::{Failure, Tally};
use acknowledged_data_is_kept::AcknowledgedDataIsKept;
use bounded_queues::BoundedQueues;
use copies_are_accounted_for::CopiesAreAccountedFor;
use counted_copies_are_durable::CountedCopiesAreDurable;
use counted_copies_are_found::CountedCopiesAreFound;
use dfs_core::id::NodeId;
use election_safety::ElectionSafety;
use indexes_agree::IndexesAgree;
use leader_completeness::LeaderCompleteness;
use lives_are_told_apart::LivesAreToldApart;
use log_matching::LogMatching;
use losses::Losses;
use one_content::OneContent;
use repair_keeps_copies::RepairKeepsCopies;
use requests_are_done_once::RequestsAreDoneOnce;
use state_agreement::StateAgreement;
use the_tree_is_sound::TheTreeIsSound;
use versions_stay::VersionsStay;
use votes_only_rise::VotesOnlyRise;

/// What must hold.
trait Invariant {
    /// Its name.
    const NAME: &'static str;
    /// What it says, in a sentence.
    const STATEMENT: &'static str;

    /// Judges one moment, and says how many facts were compared.
    ///
    /// # Errors
    /// It does not hold.
    fn check(&mut self, evidence: &Evidence<'_>) -> Result<u64, Failure>;
}

/// What is judged: one moment.
struct Evidence<'e> {
    sight: &'e Sight,
    told: Told<'e>,
}

/// What the world knows and no disk tells.
#[derive(Clone, Copy, Debug)]
pub struct Told<'t> {
    /// Files whose upload was acknowledged and whose deletion was not asked for.
    pub acknowledged: &'t [AcknowledgedFile],
    /// What was destroyed.
    pub losses: &'t Losses,
    /// What the running nodes have to do.
    pub loads: &'t [Load],
}

/// All invariants, with what they remember of one run.
#[derive(Debug, Default)]
pub struct Invariants {
    inspector: Inspector,
    election_safety: ElectionSafety,
    votes_only_rise: VotesOnlyRise,
    log_matching: LogMatching,
    leader_completeness: LeaderCompleteness,
    state_agreement: StateAgreement,
    requests_are_done_once: RequestsAreDoneOnce,
    the_tree_is_sound: TheTreeIsSound,
    indexes_agree: IndexesAgree,
    versions_stay: VersionsStay,
    lives_are_told_apart: LivesAreToldApart,
    one_content: OneContent,
    counted_copies_are_durable: CountedCopiesAreDurable,
    counted_copies_are_found: CountedCopiesAreFound,
    copies_are_accounted_for: CopiesAreAccountedFor,
    repair_keeps_copies: RepairKeepsCopies,
    acknowledged_data_is_kept: AcknowledgedDataIsKept,
    bounded_queues: BoundedQueues,
}

impl Invariants {
    /// For a run that begins.
    #[must_use]
    pub fn new() -> Invariants {
        Invariants::default()
    }

    /// Name and statement of each.
    #[must_use]
    pub fn list() -> Vec<(&'static str, &'static str)> {
        fn one<I: Invariant>() -> (&'static str, &'static str) {
            (I::NAME, I::STATEMENT)
        }
        vec![
            one::<ElectionSafety>(),
            one::<VotesOnlyRise>(),
            one::<LogMatching>(),
            one::<LeaderCompleteness>(),
            one::<StateAgreement>(),
            one::<RequestsAreDoneOnce>(),
            one::<TheTreeIsSound>(),
            one::<IndexesAgree>(),
            one::<VersionsStay>(),
            one::<LivesAreToldApart>(),
            one::<OneContent>(),
            one::<CountedCopiesAreDurable>(),
            one::<CountedCopiesAreFound>(),
            one::<CopiesAreAccountedFor>(),
            one::<RepairKeepsCopies>(),
            one::<AcknowledgedDataIsKept>(),
            one::<BoundedQueues>(),
        ]
    }

    /// Tells that a node was seen to lead a term: it said so itself.
    ///
    /// # Errors
    /// Another led the same term.
    pub fn observe_leader(&mut self, term: u64, node: NodeId) -> Result<(), Failure> {
        self.election_safety.observe_leader(term, node)
    }

    /// Looks at all machines at this moment, and judges it.
    ///
    /// # Errors
    /// What does not hold.
    pub fn check(&mut self, sites: &[Site], depth: Depth, told: Told<'_>, tally: &Tally) -> Result<(), Failure> {
        let evidence = Evidence { sight: self.inspector.look(sites, depth)?, told };
        judge(&mut self.election_safety, &evidence, tally)?;
        judge(&mut self.votes_only_rise, &evidence, tally)?;
        judge(&mut self.log_matching, &evidence, tally)?;
        judge(&mut self.leader_completeness, &evidence, tally)?;
        judge(&mut self.state_agreement, &evidence, tally)?;
        judge(&mut self.requests_are_done_once, &evidence, tally)?;
        judge(&mut self.the_tree_is_sound, &evidence, tally)?;
        judge(&mut self.indexes_agree, &evidence, tally)?;
        judge(&mut self.versions_stay, &evidence, tally)?;
        judge(&mut self.lives_are_told_apart, &evidence, tally)?;
        judge(&mut self.one_content, &evidence, tally)?;
        judge(&mut self.counted_copies_are_durable, &evidence, tally)?;
        judge(&mut self.counted_copies_are_found, &evidence, tally)?;
        judge(&mut self.copies_are_accounted_for, &evidence, tally)?;
        judge(&mut self.repair_keeps_copies, &evidence, tally)?;
        judge(&mut self.acknowledged_data_is_kept, &evidence, tally)?;
        judge(&mut self.bounded_queues, &evidence, tally)
    }
}

fn judge<I: Invariant>(invariant: &mut I, evidence: &Evidence<'_>, tally: &Tally) -> Result<(), Failure> {
    let facts = invariant.check(evidence)?;
    tally.checked(I::NAME, facts);
    Ok(())
}
