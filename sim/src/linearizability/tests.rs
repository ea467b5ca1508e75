mod lives;
mod naive;

use super::*;
use crate::history::Operation::{Delete, List, Read, Stat};
use crate::history::Outcome::{Absent, Done, Exists, Failed, Found, NotFound, Present, Unknown};
use crate::history::{CallId, Operation, Outcome};
use crate::random::{Random, Seed};
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, TestRunner};
use std::cell::Cell;
use std::time::Duration;

/// A call, at times of no unit.
#[derive(Clone, Copy, Debug)]
struct Line {
    operation: Operation,
    outcome: Outcome,
    invoked: u64,
    responded: Option<u64>,
}

fn of(operation: Operation, outcome: Outcome, invoked: u64, responded: u64) -> Line {
    Line { operation, outcome, invoked, responded: Some(responded) }
}

fn create(content: u64) -> Operation {
    Operation::Create { content }
}

fn overwrite(content: u64) -> Operation {
    Operation::Overwrite { content }
}

fn name() -> FileName {
    FileName::new("a/file").unwrap()
}

/// Records calls in the order of their times. What begins when another ends overlaps with it.
fn history(lines: &[Line]) -> History {
    let mut events = Vec::new();
    for (place, line) in lines.iter().enumerate() {
        events.push((line.invoked, false, place));
        events.extend(line.responded.map(|responded| (responded, true, place)));
    }
    events.sort_unstable();
    let history = History::new();
    let mut open: Vec<Option<CallId>> = lines.iter().map(|_| None).collect();
    for (_, is_response, place) in events {
        let line = &lines[place];
        if is_response {
            history.respond(open[place].take().expect("a call begins before it ends"), line.outcome);
        } else {
            open[place] = Some(history.invoke(place as u64, &name(), line.operation));
        }
    }
    history
}

fn accepted(lines: &[Line]) {
    if let Err(error) = check(&history(lines)) {
        panic!("{error}");
    }
}

/// The operation that cannot be, its outcome, and how many calls show it.
fn refused(lines: &[Line]) -> (Operation, Outcome, usize) {
    match check(&history(lines)) {
        Err(CheckError::Violation(violation)) => {
            assert!(violation.to_string().contains("\n  > "), "{violation}");
            (violation.call.operation, violation.call.outcome, violation.excerpt.len())
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_thing_after_the_other_is_linearizable() {
    accepted(&[
        of(Read, Absent, 0, 1),
        of(Delete, NotFound, 2, 3),
        of(create(1), Done, 4, 5),
        of(create(2), Exists, 6, 7),
        of(Read, Found(1), 8, 9),
        of(List, Present, 10, 11),
        of(Delete, Done, 12, 13),
        of(List, Absent, 14, 15),
        of(create(2), Done, 16, 17),
        of(Stat, Found(2), 18, 19),
    ]);
}

#[test]
fn calls_that_overlap_may_happen_in_any_order() {
    accepted(&[of(create(1), Done, 0, 10), of(Read, Found(1), 1, 2), of(Read, Found(1), 3, 4)]);
    accepted(&[of(create(1), Done, 0, 10), of(Read, Absent, 1, 2), of(Read, Found(1), 3, 4)]);
    accepted(&[
        of(create(1), Done, 0, 9),
        of(create(2), Done, 0, 9),
        of(Delete, Done, 0, 9),
        of(Read, Found(1), 10, 11),
    ]);
    accepted(&[
        of(create(1), Done, 0, 9),
        of(create(2), Done, 0, 9),
        of(Delete, Done, 0, 9),
        of(Read, Found(2), 10, 11),
    ]);
}

#[test]
fn a_read_does_not_go_back_in_time() {
    let lines = [of(create(1), Done, 0, 10), of(Read, Found(1), 1, 2), of(Read, Absent, 3, 4)];
    assert_eq!(refused(&lines), (Read, Absent, 3));
}

#[test]
fn a_stale_read_after_a_delete_is_refused() {
    let lines = [of(create(1), Done, 0, 1), of(Delete, Done, 2, 3), of(Read, Found(1), 4, 5)];
    assert_eq!(refused(&lines), (Read, Found(1), 3));
    let lines = [of(create(1), Done, 0, 1), of(Delete, Done, 2, 3), of(List, Present, 4, 5)];
    assert_eq!(refused(&lines), (List, Present, 2));
}

#[test]
fn a_lost_create_is_refused() {
    let lines = [of(create(1), Done, 0, 1), of(Read, Found(1), 2, 3), of(Read, Absent, 4, 5)];
    assert_eq!(refused(&lines), (Read, Absent, 3));
    assert_eq!(refused(&[of(create(1), Done, 0, 1), of(Delete, NotFound, 2, 3)]), (Delete, NotFound, 2));
}

#[test]
fn a_content_that_was_never_written_is_refused() {
    assert_eq!(refused(&[of(create(1), Done, 0, 1), of(Read, Found(2), 2, 3)]), (Read, Found(2), 2));
    // Nor one that is written only later.
    assert_eq!(refused(&[of(Read, Found(1), 0, 1), of(create(1), Done, 2, 3)]), (Read, Found(1), 2));
}

#[test]
fn a_refusal_needs_a_reason() {
    assert_eq!(refused(&[of(create(1), Exists, 0, 1)]), (create(1), Exists, 1));
    assert_eq!(refused(&[of(create(1), Failed, 0, 1), of(create(2), Exists, 2, 3)]), (create(2), Exists, 1));
    accepted(&[of(create(1), Unknown, 0, 1), of(create(2), Exists, 2, 3)]);
}

#[test]
fn a_name_is_created_once_and_deleted_once() {
    assert_eq!(refused(&[of(create(1), Done, 0, 5), of(create(2), Done, 1, 6)]), (create(2), Done, 2));
    let lines = [of(create(1), Done, 0, 1), of(Delete, Done, 2, 5), of(Delete, Done, 3, 6)];
    assert_eq!(refused(&lines), (Delete, Done, 2));
    accepted(&[of(create(1), Done, 0, 1), of(Delete, Done, 2, 5), of(Delete, NotFound, 3, 6)]);
}

#[test]
fn an_unknown_create_may_show_late_but_then_it_stays() {
    let late =
        [of(create(1), Unknown, 0, 1), of(Read, Absent, 2, 3), of(Delete, NotFound, 4, 5), of(Read, Found(1), 6, 7)];
    accepted(&late);
    let vanished = [&late[..], &[of(Read, Absent, 8, 9)]].concat();
    assert_eq!(refused(&vanished).1, Absent);
    accepted(&[&vanished[..], &[of(Delete, Unknown, 0, 1)]].concat());
    let twice = [&late[..], &[of(Delete, Done, 8, 9), of(Read, Found(1), 10, 11)]].concat();
    assert_eq!(refused(&twice).1, Found(1));
}

#[test]
fn a_vanished_client_is_as_unknown_as_one_that_gave_up() {
    let vanished = Line { responded: None, ..of(create(1), Unknown, 0, 0) };
    accepted(&[vanished, of(Read, Absent, 2, 3), of(Read, Found(1), 4, 5)]);
    accepted(&[vanished, of(Read, Unknown, 2, 3), of(Read, Absent, 4, 5)]);
}

#[test]
fn an_unknown_create_may_be_hidden_by_the_delete_that_it_explains() {
    accepted(&[of(create(1), Unknown, 0, 1), of(Delete, Done, 2, 3), of(Read, Absent, 4, 5)]);
    // The one whose content is found later must be kept for that.
    accepted(&[
        of(create(1), Unknown, 0, 1),
        of(create(2), Unknown, 0, 1),
        of(Delete, Done, 2, 3),
        of(Read, Found(1), 4, 5),
    ]);
}

#[test]
fn an_overwrite_takes_the_place_of_whatever_is_there() {
    accepted(&[
        of(overwrite(1), Done, 0, 1),
        of(overwrite(2), Done, 2, 3),
        of(Read, Found(2), 4, 5),
        of(create(3), Exists, 6, 7),
    ]);
    let lines = [of(overwrite(1), Done, 0, 1), of(overwrite(2), Done, 2, 3), of(Read, Found(1), 4, 5)];
    assert_eq!(refused(&lines), (Read, Found(1), 3));
    let lines = [of(create(1), Done, 0, 1), of(overwrite(2), Done, 2, 3), of(Read, Absent, 2, 4)];
    assert_eq!(refused(&lines).0, Read, "it is never away while it is replaced");
    assert_eq!(refused(&[of(overwrite(1), Exists, 0, 1)]), (overwrite(1), Exists, 1));
}

#[test]
fn an_unknown_overwrite_may_show_late_but_then_it_stays() {
    let late = [of(create(1), Done, 0, 1), of(overwrite(2), Unknown, 2, 3), of(Read, Found(1), 4, 5)];
    let late = [&late[..], &[of(Read, Found(2), 6, 7)]].concat();
    accepted(&late);
    assert_eq!(refused(&[&late[..], &[of(Read, Found(1), 8, 9)]].concat()).1, Found(1));
    accepted(&[&late[..], &[of(Delete, Done, 8, 9), of(Read, Absent, 10, 11)]].concat());
    assert_eq!(refused(&[&late[..], &[of(Delete, Done, 8, 9), of(Read, Found(2), 10, 11)]].concat()).1, Found(2));
}

#[test]
fn an_order_that_spares_unknown_calls_is_tried_after_one_that_used_them_up() {
    // Beginning with 1 uses up both unknown calls, and nothing is left that explains the last.
    accepted(&[
        of(Delete, Unknown, 0, 0),
        of(create(3), Unknown, 0, 0),
        of(create(1), Done, 0, 20),
        of(create(2), Done, 0, 25),
        of(Read, Found(2), 1, 2),
        of(Delete, Done, 3, 30),
        of(Delete, Done, 4, 30),
        of(List, Present, 40, 41),
    ]);
}

#[test]
fn names_are_judged_by_themselves() {
    let history = history(&[of(create(1), Done, 0, 1)]);
    let other = FileName::new("b").unwrap();
    history.respond(history.invoke(1, &other, Read), Absent);
    assert_eq!(check(&history), Ok(Checked { names: 2, operations: 2, unknown: 0, configurations: 3 }));
    history.respond(history.invoke(1, &other, Read), Found(1));
    let Err(CheckError::Violation(violation)) = check(&history) else { panic!("nobody wrote that") };
    assert_eq!(violation.name, other);
}

#[tokio::test(start_paused = true)]
async fn a_violation_shows_the_calls_that_cannot_be() {
    let history = History::new();
    let record = async |operation, outcome| {
        let call = history.invoke(7, &name(), operation);
        tokio::time::advance(Duration::from_millis(250)).await;
        history.respond(call, outcome);
    };
    for content in 0..50 {
        record(create(content), Done).await;
        record(Read, Found(content)).await;
        record(Delete, Done).await;
    }
    record(Stat, Absent).await;
    record(Read, Found(49)).await;
    record(create(50), Done).await;
    let error = check(&history).unwrap_err().to_string();
    let expected = "\
no order of its calls explains a/file: read came to \"found 49\" when the name can only have held nothing
         invoked    responded client  operation        outcome
        36.750 s     37.000 s      7  create 49        done
        37.500 s     37.750 s      7  stat             absent
  >     37.750 s     38.000 s      7  read             found 49
    150 more calls are not shown";
    assert_eq!(error, expected);
}

/// Runs a property over many random cases.
fn for_each<S: Strategy>(cases: u32, strategy: &S, property: impl Fn(S::Value))
where
    S::Value: Clone,
{
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(strategy, |value| {
        property(value);
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

#[test]
fn what_one_object_may_show_is_always_accepted() {
    for_each(500, &lives::life(80), |lines| accepted(&lines));
}

/// Compares with the definition, and counts both verdicts.
fn agrees_with_the_definition(strategy: &impl Strategy<Value = Vec<Line>>) {
    let (yes, no) = (Cell::new(0), Cell::new(0));
    for_each(4_000, strategy, |lines| {
        let history = history(&lines);
        let calls = history.calls().remove(&name()).unwrap();
        let by_definition = naive::is_linearizable(&calls);
        let count = if by_definition { &yes } else { &no };
        count.set(count.get() + 1);
        match check(&history) {
            Ok(_) => assert!(by_definition, "accepted, but no order explains {lines:#?}"),
            Err(CheckError::Violation(violation)) => assert!(!by_definition, "refused, but it is fine: {violation}"),
            Err(error) => panic!("{error}"),
        }
    });
    assert!(yes.get() > 400 && no.get() > 400, "both happen: {yes:?} and {no:?}");
}

#[test]
fn lives_with_one_false_outcome_are_judged_as_by_the_definition() {
    agrees_with_the_definition(&lives::doubtful_life(7));
}

#[test]
fn nonsense_is_judged_as_by_the_definition() {
    agrees_with_the_definition(&lives::nonsense(7));
}

/// Some hundred calls of a few clients at once on one name, one in five with an unknown outcome.
fn long_life(random: &mut Random, calls: u64, spread: u64) -> Vec<Line> {
    let mut state: Option<u64> = None;
    let mut lines = Vec::new();
    for number in 0..calls {
        let moment = spread + number * 10;
        let operation = match random.within(0..=5) {
            0 => create(number),
            1 => overwrite(number),
            2 => Delete,
            3 => List,
            _ => Read,
        };
        let (invoked, responded) = (moment - random.within(0..=spread), moment + random.within(0..=spread));
        let unknown = random.chance(200_000);
        let outcome = match (operation, state) {
            (Operation::Create { .. }, Some(_)) => Exists,
            (Operation::Overwrite { .. }, _) => Done,
            (Operation::Create { .. } | Delete, _) if !unknown && (operation != Delete || state.is_some()) => Done,
            (Delete, None) => NotFound,
            (List, Some(_)) => Present,
            (Read, Some(content)) => Found(content),
            (List | Read, None) => Absent,
            _ => Unknown,
        };
        let outcome = if unknown { Unknown } else { outcome };
        if !unknown || random.chance(500_000) {
            state = match operation {
                Operation::Create { content } => state.or(Some(content)),
                Operation::Overwrite { content } => Some(content),
                Delete => None,
                _ => state,
            };
        }
        lines.push(of(operation, outcome, invoked, responded));
    }
    lines
}

#[test]
fn long_lives_with_many_unknown_calls_are_judged_with_little_work() {
    let mut refusals = 0;
    for (seed, spread) in (0..20).flat_map(|seed| [(seed, 25), (seed, 100)]) {
        let mut random = Seed::new(seed).random();
        let mut lines = long_life(&mut random, 600, spread);
        let checked = check(&history(&lines)).unwrap_or_else(|error| panic!("{error}"));
        assert!(checked.unknown > 40 && checked.configurations < 20_000, "{checked:?}");
        // A read of something old: mostly impossible.
        let late = lines.iter().rposition(|line| matches!(line.outcome, Found(_))).unwrap();
        let early = lines.iter().position(|line| line.outcome == Done && line.operation != Delete).unwrap();
        let (Operation::Create { content } | Operation::Overwrite { content }) = lines[early].operation else {
            panic!("a create was looked for")
        };
        lines[late].outcome = Found(content);
        match check(&history(&lines)) {
            Ok(_) => {}
            Err(CheckError::Violation(violation)) => {
                refusals += 1;
                assert!(violation.excerpt.len() <= SHOWN_MAX, "{violation}");
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(refusals >= 38);
}
