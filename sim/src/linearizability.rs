//! Whether a history is linearizable: whether each call can have happened at one moment between its invocation and its
//! response, so that the outcomes are those of one client after the other.
//!
//! A name is nothing or holds one content. Names are checked one by one, which says the same as all at once (locality:
//! Herlihy and Wing, *Linearizability*, 1990). A violation shows the calls of the name that cannot be put in order.
//!
//! An overwrite is one write here, though it looks at its name twice, when its upload begins and when it ends. That no
//! version is lost between the two looks is shown by stories, where it is known when they are.
//!
//! A move is two calls at once: a deletion of the one name, and the creation of what was there under the other. Each of
//! them must fit the calls of its own name, which follows from the move being one step but does not say it: with a
//! call that concerns two names, names could not be checked one by one any more. That a move happens at once is shown
//! by stories, in listings.
//!
//! Deliberately absent: promises about several names, such as that a listing of many pages is a snapshot. None is
//! given.

mod bits;
mod excerpt;
mod search;
#[cfg(test)]
mod tests;

use crate::history::{Call, History};
use dfs_core::name::FileName;
use search::{Answer, Obstacle, Problem};
use std::fmt;

/// Configurations that are looked at for one name before it is given up as too hard.
pub const CONFIGURATIONS_MAX: u64 = 1_000_000;

/// Calls that a violation shows at most.
const SHOWN_MAX: usize = 16;

/// What was checked, without finding a violation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Names that had calls.
    pub names: u64,
    /// Their calls.
    pub operations: u64,
    /// Those of them that wrote, with an unknown outcome.
    pub unknown: u64,
    /// Configurations that the search looked at.
    pub configurations: u64,
}

/// Why a history is not known to be linearizable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// It is not.
    #[error("{0}")]
    Violation(Box<Violation>),
    /// The search was given up. This says nothing about the system: fewer clients should work on a name.
    #[error("{name} has {operations} operations, {unknown} of them unknown: no order was found among {limit} tries")]
    TooHard {
        /// The name.
        name: FileName,
        /// Its calls.
        operations: u64,
        /// Those of them that wrote, with an unknown outcome.
        unknown: u64,
        /// Configurations that were looked at.
        limit: u64,
    },
}

/// Calls of one name that no order explains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The name.
    pub name: FileName,
    /// The first call, by its response, that cannot have happened as its client saw it.
    pub call: Call,
    /// What the name may have held when it happened, in words.
    pub held: String,
    /// What shows it, in the order of invocations; the call itself is one of them.
    pub excerpt: Vec<Call>,
    /// How many calls of the name are not needed to see it.
    pub left_out: usize,
}

/// Checks every name of a history.
///
/// # Errors
/// The first name that is not linearizable, or too hard.
pub fn check(history: &History) -> Result<Checked, CheckError> {
    let mut checked = Checked::default();
    for (name, calls) in history.calls() {
        let problem = Problem::new(&calls);
        let (operations, unknown) = (calls.len() as u64, problem.unknown() as u64);
        let (answer, configurations) = problem.search(None, CONFIGURATIONS_MAX);
        checked.names += 1;
        checked.operations += operations;
        checked.unknown += unknown;
        checked.configurations += configurations;
        match answer {
            Answer::Ordered => {}
            Answer::TooHard => {
                return Err(CheckError::TooHard { name, operations, unknown, limit: CONFIGURATIONS_MAX });
            }
            Answer::Impossible(obstacle) => {
                return Err(CheckError::Violation(Box::new(Violation::new(name, &calls, &obstacle))));
            }
        }
    }
    Ok(checked)
}

impl Violation {
    fn new(name: FileName, calls: &[Call], obstacle: &Obstacle) -> Violation {
        let mut chosen = excerpt::choose(calls, obstacle);
        let surplus = chosen.len().saturating_sub(SHOWN_MAX);
        let mut place = 0;
        chosen.retain(|call| {
            place += 1;
            place > surplus || *call == obstacle.call
        });
        Violation {
            name,
            call: calls[obstacle.call],
            held: excerpt::described(&obstacle.states),
            excerpt: chosen.iter().map(|place| calls[*place]).collect(),
            left_out: calls.len() - chosen.len(),
        }
    }
}

/// A sentence, and a line for each call of the excerpt. The call that cannot be is marked.
impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Violation { name, call, held, left_out, .. } = self;
        write!(f, "no order of its calls explains {name}: {} came to \"{}\"", call.operation, call.outcome)?;
        write!(f, " when the name can only have held {held}")?;
        write!(f, "\n    {:>12} {:>12} {:>6}  {:<16} outcome", "invoked", "responded", "client", "operation")?;
        for shown in &self.excerpt {
            let mark = if shown == call { '>' } else { ' ' };
            let invoked = seconds(shown.invoked.at);
            let responded = shown.responded.map_or_else(|| "never".to_owned(), |moment| seconds(moment.at));
            let (client, operation, outcome) = (shown.client, shown.operation.to_string(), shown.outcome);
            write!(f, "\n  {mark} {invoked:>12} {responded:>12} {client:>6}  {operation:<16} {outcome}")?;
        }
        if *left_out > 0 {
            write!(f, "\n    {left_out} more calls are not shown")?;
        }
        Ok(())
    }
}

fn seconds(at: std::time::Duration) -> String {
    format!("{:.3} s", at.as_secs_f64())
}
