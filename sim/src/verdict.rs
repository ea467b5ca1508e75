//! What a run came to: what did not hold, and what was done and seen on the way.

use crate::cluster::Unhealthy;
use crate::stage::RECOVERS;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Whether everything held, or what did not: a [`Failure`], or an error that made it impossible to find out.
pub type Verdict = Result<(), AnyError>;

/// Any error that ends a run.
pub type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// What kind of promise was broken; each has an exit code of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailureKind {
    /// Something wrong happened: lost or wrong data, or state that no history explains.
    Correctness,
    /// Something right did not happen in time.
    Liveness,
    /// Something of the system, or of the simulator, ended that should not: a node, an actor, a task that panicked.
    Crash,
}

impl FailureKind {
    /// The exit code of a process whose run failed so.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            FailureKind::Correctness => 1,
            FailureKind::Liveness => 3,
            FailureKind::Crash => 4,
        }
    }

    /// The word for it in reports.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            FailureKind::Correctness => "correctness",
            FailureKind::Liveness => "liveness",
            FailureKind::Crash => "crash",
        }
    }
}

/// What did not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {promise}: {detail}", kind.word())]
pub struct Failure {
    /// What kind of promise it was.
    pub kind: FailureKind,
    /// The invariant, or the promise of a scenario.
    pub promise: &'static str,
    /// What was seen.
    pub detail: String,
}

impl Failure {
    /// Something wrong happened.
    pub fn correctness(promise: &'static str, detail: impl fmt::Display) -> Failure {
        Failure { kind: FailureKind::Correctness, promise, detail: detail.to_string() }
    }

    /// Something right did not happen in time.
    pub fn liveness(promise: &'static str, detail: impl fmt::Display) -> Failure {
        Failure { kind: FailureKind::Liveness, promise, detail: detail.to_string() }
    }

    /// What an error that ended a run says about it. What no part of the simulator calls a failure is a crash.
    #[must_use]
    pub fn of(error: &AnyError) -> Failure {
        if let Some(Unhealthy::NotInTime { .. }) = error.downcast_ref::<Unhealthy>() {
            return Failure::liveness(RECOVERS, error);
        }
        error.downcast_ref::<Failure>().cloned().unwrap_or_else(|| Failure::crash("the-run-goes-on", error))
    }

    /// Something ended that should not.
    pub fn crash(promise: &'static str, detail: impl fmt::Display) -> Failure {
        Failure { kind: FailureKind::Crash, promise, detail: detail.to_string() }
    }
}

/// What was done and seen in a run. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Tally(Arc<Mutex<Counts>>);

/// The counts of a tally.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Operations of users, by what they did and how they ended.
    pub operations: BTreeMap<(&'static str, &'static str), u64>,
    /// Faults, by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// How long the system took to recover, by what from.
    pub recoveries: BTreeMap<&'static str, Vec<Duration>>,
    /// How often each invariant was checked.
    pub invariants: BTreeMap<&'static str, u64>,
}

impl Tally {
    /// Counts an operation of a user.
    pub fn operation(&self, what: &'static str, outcome: &'static str) {
        *self.lock().operations.entry((what, outcome)).or_default() += 1;
    }

    /// Counts a fault.
    pub fn fault(&self, kind: &'static str) {
        *self.lock().faults.entry(kind).or_default() += 1;
    }

    /// Adds a recovery.
    pub fn recovery(&self, from: &'static str, took: Duration) {
        self.lock().recoveries.entry(from).or_default().push(took);
    }

    /// Counts checks of an invariant.
    pub fn checked(&self, invariant: &'static str, times: u64) {
        *self.lock().invariants.entry(invariant).or_default() += times;
    }

    /// What was counted so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
