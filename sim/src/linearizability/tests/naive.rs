//! Linearizability by its definition: every order is tried. For a handful of calls.

use crate::history::{Call, Operation, Outcome};

type State = Option<u64>;

/// Whether some order of the calls that keeps to real time, with or without each call whose outcome is not known, gives
/// every outcome.
pub(super) fn is_linearizable(calls: &[Call]) -> bool {
    is_explained(None, calls)
}

fn is_explained(state: State, calls: &[Call]) -> bool {
    if calls.iter().all(|call| !is_known(call)) {
        return true;
    }
    calls.iter().enumerate().any(|(place, call)| {
        let has_its_turn = calls.iter().all(|other| !ended_before(other, call));
        let others = || [&calls[..place], &calls[place + 1..]].concat();
        has_its_turn && step(state, call).is_some_and(|after| is_explained(after, &others()))
    })
}

fn is_known(call: &Call) -> bool {
    !matches!(call.outcome, Outcome::Unknown | Outcome::Failed)
}

fn ended_before(one: &Call, other: &Call) -> bool {
    is_known(one) && one.responded.is_some_and(|end| end < other.invoked)
}

/// The state after a call, if it can have its outcome in this state.
pub(super) fn step(state: State, call: &Call) -> Option<State> {
    match (call.operation, call.outcome) {
        (_, Outcome::Failed) => Some(state),
        (Operation::Create { content }, Outcome::Done) => state.is_none().then_some(Some(content)),
        (Operation::Create { .. }, Outcome::Exists) => state.is_some().then_some(state),
        (Operation::Create { content }, Outcome::Unknown) => Some(state.or(Some(content))),
        (Operation::Overwrite { content }, Outcome::Done | Outcome::Unknown) => Some(Some(content)),
        (Operation::Overwrite { .. }, Outcome::Exists) => state.is_some().then_some(state),
        (Operation::Delete, Outcome::Done) => state.is_some().then_some(None),
        (Operation::Delete, Outcome::NotFound) => state.is_none().then_some(None),
        (Operation::Delete, Outcome::Unknown) => Some(None),
        (Operation::Read | Operation::Stat | Operation::List, outcome) => match outcome {
            Outcome::Found(content) => (state == Some(content)).then_some(state),
            Outcome::Present => state.is_some().then_some(state),
            Outcome::Absent => state.is_none().then_some(state),
            Outcome::Unknown => Some(state),
            _ => None,
        },
        _ => None,
    }
}
