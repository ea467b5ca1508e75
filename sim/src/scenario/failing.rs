//! Scenarios that fail, each in another way: they prove that every failure is told apart. They are not listed.

use crate::verdict::{Failure, Verdict};
use crate::world::SimWorld;
use std::time::Duration;

/// How one fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failing {
    /// Something wrong happens.
    Correctness,
    /// Something right does not happen.
    Liveness,
    /// An error of no known kind.
    Error,
    /// The scenario panics.
    Panic,
    /// A task panics, and the scenario does not notice.
    TaskPanic,
    /// Virtual time goes on for ever.
    Endless,
    /// Virtual time stands still, and real time goes on.
    Stuck,
}

impl Failing {
    pub(super) const ALL: [Failing; 7] = [
        Failing::Correctness,
        Failing::Liveness,
        Failing::Error,
        Failing::Panic,
        Failing::TaskPanic,
        Failing::Endless,
        Failing::Stuck,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Failing::Correctness => "fail-correctness",
            Failing::Liveness => "fail-liveness",
            Failing::Error => "fail-error",
            Failing::Panic => "fail-panic",
            Failing::TaskPanic => "fail-task-panic",
            Failing::Endless => "fail-endless",
            Failing::Stuck => "fail-stuck",
        }
    }
}

pub(super) async fn play(how: Failing, world: &mut SimWorld) -> Verdict {
    let mut random = world.random("failing");
    for number in 1..=30 {
        tokio::time::sleep(Duration::from_millis(random.within(1..=100))).await;
        world.trace().record("count", format_args!("{number} \"quoted\""));
        world.tally().operation("count", "done");
    }
    world.tally().fault("proof");
    match how {
        Failing::Correctness => Err(Failure::correctness("the proof is right", "it says \"no\"").into()),
        Failing::Liveness => Err(Failure::liveness("the proof is quick", "it is slow").into()),
        Failing::Error => Err("an error of no known kind".into()),
        Failing::Panic => panic!("the proof panics"),
        Failing::TaskPanic => {
            let task = world.scope().spawn(async { panic!("a task of the proof panics") });
            let _: Result<(), _> = task.await;
            Ok(())
        }
        Failing::Endless => loop {
            tokio::time::sleep(Duration::from_secs(3600)).await;
        },
        Failing::Stuck => loop {
            tokio::task::yield_now().await;
        },
    }
}
