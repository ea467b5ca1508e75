//! Random lives of a name: what clients may see of an object that does one thing after the other.

use super::{Line, of};
use crate::history::{Operation, Outcome};
use proptest::collection::vec;
use proptest::prelude::*;

/// Between the moments at which two calls happen.
const STEP: u64 = 10;

/// A call that happens at some moment, and how far around it its client saw it begin and end.
#[derive(Clone, Debug)]
struct Planned {
    operation: Operation,
    fate: Fate,
    early: u64,
    late: u64,
    vague: bool,
}

#[derive(Clone, Copy, Debug)]
enum Fate {
    /// It happens, and the client learns the outcome.
    Answered,
    /// It happens, and the client never knows; it may have given up long before.
    Lost,
    /// It does not happen, and the client does not know.
    NeverArrived { vanished: bool },
    /// It does not happen, and the client knows.
    Failed,
}

fn planned() -> impl Strategy<Value = Planned> {
    let operation = prop_oneof![
        3 => (0..3_u64).prop_map(|content| Operation::Create { content }),
        2 => (0..3_u64).prop_map(|content| Operation::Overwrite { content }),
        2 => Just(Operation::Delete),
        2 => Just(Operation::Read),
        1 => Just(Operation::Stat),
        1 => Just(Operation::List),
    ];
    let fate = prop_oneof![
        7 => Just(Fate::Answered),
        1 => Just(Fate::Lost),
        1 => any::<bool>().prop_map(|vanished| Fate::NeverArrived { vanished }),
        1 => Just(Fate::Failed),
    ];
    (operation, fate, 0..=3 * STEP, 0..=3 * STEP, prop::bool::weighted(0.2))
        .prop_map(|(operation, fate, early, late, vague)| Planned { operation, fate, early, late, vague })
}

/// A life, which is always linearizable.
pub(super) fn life(calls_max: usize) -> impl Strategy<Value = Vec<Line>> {
    vec(planned(), 1..=calls_max).prop_map(|calls| live(&calls))
}

/// A life in which one outcome was replaced by another of the same operation.
pub(super) fn doubtful_life(calls_max: usize) -> impl Strategy<Value = Vec<Line>> {
    (life(calls_max), any::<prop::sample::Index>(), any::<prop::sample::Index>()).prop_map(
        |(mut lines, line, outcome)| {
            let line = line.get_mut(&mut lines);
            line.outcome = *outcome.get(&outcomes(line.operation));
            line.responded.get_or_insert(line.invoked);
            lines
        },
    )
}

/// Calls with outcomes and times that have nothing to do with each other.
pub(super) fn nonsense(calls_max: usize) -> impl Strategy<Value = Vec<Line>> {
    let line = (planned(), any::<prop::sample::Index>(), 0..40_u64).prop_map(|(planned, outcome, invoked)| {
        let Planned { operation, late, .. } = planned;
        of(operation, *outcome.get(&outcomes(operation)), invoked, invoked + late / 2)
    });
    vec(line, 1..=calls_max)
}

fn outcomes(operation: Operation) -> Vec<Outcome> {
    match operation {
        Operation::Create { .. } | Operation::Overwrite { .. } => {
            vec![Outcome::Done, Outcome::Exists, Outcome::Unknown]
        }
        Operation::Delete => vec![Outcome::Done, Outcome::NotFound, Outcome::Unknown],
        Operation::Read | Operation::Stat | Operation::List => {
            let found = (0..=3).map(Outcome::Found);
            found.chain([Outcome::Present, Outcome::Absent]).collect()
        }
    }
}

fn live(calls: &[Planned]) -> Vec<Line> {
    let mut state = None;
    let mut lines = Vec::new();
    for (call, turn) in calls.iter().zip(4_u64..) {
        let Planned { operation, fate, early, late, vague } = *call;
        let moment = turn * STEP;
        let invoked = moment - early;
        let (after, seen) = happen(operation, state, vague);
        lines.push(match fate {
            Fate::Answered => of(operation, seen, invoked, moment + late),
            Fate::Lost => of(operation, Outcome::Unknown, invoked, invoked + late),
            Fate::NeverArrived { vanished: true } => {
                Line { responded: None, ..of(operation, Outcome::Unknown, invoked, invoked) }
            }
            Fate::NeverArrived { vanished: false } => of(operation, Outcome::Unknown, invoked, invoked + late),
            Fate::Failed => of(operation, Outcome::Failed, invoked, invoked + late),
        });
        if matches!(fate, Fate::Answered | Fate::Lost) {
            state = after;
        }
    }
    lines
}

fn happen(operation: Operation, state: Option<u64>, vague: bool) -> (Option<u64>, Outcome) {
    match (operation, state) {
        (Operation::Create { content }, None) => (Some(content), Outcome::Done),
        (Operation::Create { .. }, Some(_)) => (state, Outcome::Exists),
        (Operation::Overwrite { .. }, Some(_)) if vague => (state, Outcome::Exists),
        (Operation::Overwrite { content }, _) => (Some(content), Outcome::Done),
        (Operation::Delete, Some(_)) => (None, Outcome::Done),
        (Operation::Delete, None) => (None, Outcome::NotFound),
        (_, None) => (state, Outcome::Absent),
        (Operation::List, Some(_)) => (state, Outcome::Present),
        (_, Some(_)) if vague => (state, Outcome::Present),
        (_, Some(content)) => (state, Outcome::Found(content)),
    }
}
