//! The last day: every file is read, and the history of everything that users saw is judged.

use crate::history::Outcome;
use crate::life::SERVES_AGAIN;
use crate::linearizability;
use crate::scenario::NO_TASK_IS_LEFT;
use crate::stage::{ACTORS_STAY, NODES_STAY, RECOVERS, STOPS};
use crate::verdict::{Failure, Verdict};
use crate::work::{NOTHING_FROM_NOWHERE, OPERATIONS_END, RIGHT_BYTES, UNMIXED, Work};

/// What must hold besides the invariants, each with a sentence.
pub const PROMISES: [(&str, &str); 12] = [
    (KEPT, "Every acknowledged file that nobody asked to delete is there, and can be read."),
    (LINEARIZABLE, "What users saw of each name is what a single copy of it would have shown."),
    (RIGHT_BYTES, "Every byte that a user is given is the one that was written."),
    (UNMIXED, "A reader is never given bytes of two versions, whatever happens to the name between its requests."),
    (NOTHING_FROM_NOWHERE, "Whatever is seen was written by somebody."),
    (OPERATIONS_END, "Every operation of a user ends, in success or failure, in time."),
    (RECOVERS, "Once the faults are over everything serves again, without help, and nothing is owed."),
    (SERVES_AGAIN, "Once the faults are over a write succeeds, and is read."),
    (NODES_STAY, "A node ends by itself only if its disk or its store failed."),
    (ACTORS_STAY, "No actor fails that no fault excuses."),
    (NO_TASK_IS_LEFT, "Once every node and user has ended, none of their tasks is left."),
    (STOPS, "A node that is asked to stop stops within a minute."),
];

/// Every acknowledged file that nobody asked to delete is there, and can be read.
pub const KEPT: &str = "acknowledged-files-are-kept";

/// What users saw of each name is what a single copy of it would have shown (Herlihy and Wing 1990).
pub const LINEARIZABLE: &str = "linearizable";

/// Reads every name, and judges the whole history.
///
/// # Errors
/// What does not hold.
pub async fn look_at_everything(judge: Work<'_>) -> Verdict {
    let oracle = &judge.shared.oracle;
    for name in oracle.names() {
        let outcome = judge.read(&name, true).await?.outcome;
        if let Some(kept) = oracle.kept_as(&name) {
            judge.shared.tally.checked(KEPT, 1);
            if outcome != Outcome::Found(kept.content) {
                let detail = format!("{name} holds content {}, and was read as {outcome:?}", kept.content);
                return Err(Failure::correctness(KEPT, detail).into());
            }
        }
    }
    match linearizability::check(&judge.shared.history) {
        Ok(checked) => judge.shared.tally.checked(LINEARIZABLE, checked.operations),
        Err(error) => return Err(Failure::correctness(LINEARIZABLE, error).into()),
    }
    Ok(())
}
