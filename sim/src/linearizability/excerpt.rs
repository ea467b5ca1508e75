//! The few calls of a history that show why no order explains it.

use super::search::{Answer, Obstacle, Problem, State};
use crate::history::{Call, Operation, Outcome};
use std::cell::Cell;
use std::collections::BTreeSet;

/// Configurations that all attempts to leave something out may take. A longer excerpt is better than a longer wait.
const CONFIGURATIONS_MAX: u64 = 100_000;

/// States that are named at most.
const STATES_MAX: usize = 4;

/// The calls that show it, in the order of their invocations, by their places among `calls`. The obstacle is one.
///
/// What began behind the obstacle is left out, then what came before some quiet moment whatever the name held then,
/// then what only looks and is not needed. Of the old writes of unknown outcome, which do not help, few are worth
/// showing; who created what was found is.
pub(super) fn choose(calls: &[Call], obstacle: &Obstacle) -> Vec<usize> {
    let end = calls[obstacle.call].responded.map_or(u64::MAX, |moment| moment.order);
    let mut kept: Vec<usize> =
        (0..calls.len()).filter(|place| calls[*place].invoked.order < end && matters(&calls[*place], end)).collect();
    kept.sort_by_key(|place| calls[*place].invoked.order);
    let budget = Cell::new(CONFIGURATIONS_MAX);
    let mut case = Case { calls, end, kept, from_nothing: true, budget: &budget };
    if case.is_impossible() {
        case.cut();
        case.leave_out_looks(obstacle.call);
        case.cut();
    }
    case.worth_showing(obstacle.call)
}

/// Whether a call has or may have an effect before `end`, or has seen something.
fn matters(call: &Call, end: u64) -> bool {
    match call.outcome {
        Outcome::Failed => false,
        Outcome::Unknown | Outcome::Done => call.operation.writes(),
        _ => ended(call, end),
    }
}

/// Whether the outcome of a call was known at `end`.
fn ended(call: &Call, end: u64) -> bool {
    call.outcome != Outcome::Unknown && call.responded.is_some_and(|moment| moment.order <= end)
}

/// Some of the calls, up to the end of the obstacle.
#[derive(Clone)]
struct Case<'a> {
    calls: &'a [Call],
    end: u64,
    kept: Vec<usize>,
    /// Whether the name is not there in the beginning. Otherwise it may hold anything.
    from_nothing: bool,
    /// Configurations that may still be looked at.
    budget: &'a Cell<u64>,
}

impl Case<'_> {
    fn is_impossible(&self) -> bool {
        // What ends later may have its place behind the obstacle.
        let known_then = |place: &usize| match self.calls[*place] {
            call if ended(&call, self.end) => call,
            call => Call { outcome: Outcome::Unknown, responded: None, ..call },
        };
        let calls: Vec<Call> = self.kept.iter().map(known_then).collect();
        let problem = Problem::new(&calls);
        let impossible = |state| {
            let (answer, explored) = problem.search(state, self.budget.get());
            self.budget.set(self.budget.get() - explored);
            matches!(answer, Answer::Impossible(_))
        };
        impossible(None) && (self.from_nothing || contents(&calls).into_iter().all(|content| impossible(Some(content))))
    }

    /// Leaves out what ended before the last quiet moment that allows it.
    fn cut(&mut self) {
        let ended_calls = self.kept.iter().map(|place| &self.calls[*place]).filter(|call| ended(call, self.end));
        let mut quiet = Vec::new();
        let mut last_end = 0;
        for call in ended_calls {
            if last_end < call.invoked.order {
                quiet.push(call.invoked.order);
            }
            last_end = last_end.max(call.responded.map_or(u64::MAX, |moment| moment.order));
        }
        for begin in quiet.into_iter().skip(1).rev() {
            let stays =
                |place: &usize| self.calls[*place].invoked.order >= begin || !ended(&self.calls[*place], self.end);
            let kept = self.kept.iter().copied().filter(stays).collect();
            let shorter = Case { kept, from_nothing: false, ..*self };
            if shorter.is_impossible() {
                *self = shorter;
                return;
            }
        }
    }

    fn leave_out_looks(&mut self, obstacle: usize) {
        let only_looks = |place: &usize| {
            let call = &self.calls[*place];
            *place != obstacle && ended(call, self.end) && call.outcome != Outcome::Done
        };
        let looks: Vec<usize> = self.kept.iter().copied().filter(only_looks).collect();
        if !self.leave_out(&looks) {
            looks.iter().for_each(|look| {
                self.leave_out(&[*look]);
            });
        }
    }

    /// Leaves calls out if it is impossible without them too.
    fn leave_out(&mut self, calls: &[usize]) -> bool {
        let kept = self.kept.iter().copied().filter(|place| !calls.contains(place)).collect();
        let shorter = Case { kept, ..*self };
        let is_impossible = shorter.is_impossible();
        if is_impossible {
            *self = shorter;
        }
        is_impossible
    }

    fn worth_showing(&self, obstacle: usize) -> Vec<usize> {
        let found = |content| self.kept.iter().any(|place| self.calls[*place].outcome == Outcome::Found(content));
        let creates_what_is_found = |call: &Call| match call.operation {
            Operation::Create { content } | Operation::Overwrite { content } => {
                call.outcome != Outcome::Failed && found(content)
            }
            _ => false,
        };
        let begin = self.kept.iter().map(|place| &self.calls[*place]).find(|call| ended(call, self.end));
        let begin = begin.unwrap_or(&self.calls[obstacle]).invoked.order;
        let stays = |place: &usize| self.calls[*place].invoked.order >= begin && self.kept.contains(place);
        let is_shown = |place: &usize| stays(place) || creates_what_is_found(&self.calls[*place]);
        let mut shown: Vec<usize> = (0..self.calls.len()).filter(is_shown).collect();
        shown.sort_by_key(|place| self.calls[*place].invoked.order);
        shown
    }
}

/// Every content that these calls can tell apart, and one that they cannot.
fn contents(calls: &[Call]) -> BTreeSet<u64> {
    let mut contents = BTreeSet::new();
    for call in calls {
        if let Operation::Create { content } | Operation::Overwrite { content } = call.operation {
            contents.insert(content);
        }
        if let Outcome::Found(content) = call.outcome {
            contents.insert(content);
        }
    }
    contents.extend((0..).find(|content| !contents.contains(content)));
    contents
}

/// What a name may hold, in words.
pub(super) fn described(states: &BTreeSet<State>) -> String {
    let word = |state: &State| state.map_or_else(|| "nothing".to_owned(), |content| content.to_string());
    let mut words: Vec<String> = states.iter().map(word).take(STATES_MAX).collect();
    if states.len() > STATES_MAX {
        words.push("another".to_owned());
    }
    words.join(" or ")
}
