//! What a sweep came to.

use super::{DETERMINISM, Entry};
use crate::report::{FailureSummary, Number, Span, millis};
use crate::verdict::FailureKind;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// The exit code of what was interrupted.
const INTERRUPTED: u8 = 130;

/// The sum over all seeds of a sweep, those of its log too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// Seeds that have ended.
    pub seeds: u64,
    /// Those of them that the log had already.
    pub resumed: u64,
    /// Those that were run twice.
    pub repeated: u64,
    /// Those in which everything held.
    pub held: u64,
    /// The others, by kind of failure.
    pub failed: BTreeMap<String, u64>,
    /// Virtual time of all runs together.
    pub virtual_ms: u64,
    /// Operations of users.
    pub operations: u64,
    /// Faults.
    pub faults: u64,
    /// Real time of this sweep.
    pub wall_time: Duration,
    /// What did not hold, by seed.
    pub failures: BTreeMap<u64, FailureSummary>,
    /// Whether it was ended before its end.
    pub interrupted: bool,
}

impl Total {
    /// Adds a seed.
    pub fn add(&mut self, entry: &Entry) {
        let summary = &entry.summary;
        self.seeds += 1;
        self.repeated += u64::from(entry.repetition.is_some());
        self.virtual_ms += summary.virtual_ms;
        self.operations += summary.operation_count();
        self.faults += summary.fault_count();
        match &summary.failure {
            None => self.held += 1,
            Some(failure) => {
                *self.failed.entry(failure.kind.clone()).or_default() += 1;
                self.failures.insert(summary.subject.seed, failure.clone());
            }
        }
    }

    /// The exit code: of the worst failure, wrong data first.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        let has = |kind: &str| self.failed.contains_key(kind);
        match () {
            () if has(FailureKind::Correctness.word()) => FailureKind::Correctness.exit_code(),
            () if has(FailureKind::Crash.word()) || has(DETERMINISM) => FailureKind::Crash.exit_code(),
            () if has(FailureKind::Liveness.word()) => FailureKind::Liveness.exit_code(),
            () if self.interrupted => INTERRUPTED,
            () => 0,
        }
    }

    /// One line, as JSON.
    #[must_use]
    pub fn json(&self) -> String {
        let failures: Vec<_> =
            self.failures.iter().map(|(seed, failure)| json!({ "seed": seed, "failure": failure })).collect();
        json!({
            "seeds": self.seeds,
            "resumed": self.resumed,
            "repeated": self.repeated,
            "held": self.held,
            "failed": self.failed,
            "virtual_ms": self.virtual_ms,
            "operations": self.operations,
            "faults": self.faults,
            "wall_ms": millis(self.wall_time),
            "interrupted": self.interrupted,
            "failures": failures,
        })
        .to_string()
    }
}

impl fmt::Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seeds         {}", Number(self.seeds))?;
        write!(f, " ({} of them twice", Number(self.repeated))?;
        match self.resumed {
            0 => writeln!(f, ")")?,
            resumed => writeln!(f, ", {} from the log)", Number(resumed))?,
        }
        writeln!(f, "held          {}", Number(self.held))?;
        writeln!(f, "failed        {}", Number(self.failed.values().sum()))?;
        for (kind, count) in &self.failed {
            writeln!(f, "  {kind:<12}{}", Number(*count))?;
        }
        let hours = self.virtual_ms as f64 / 3_600_000.0;
        writeln!(f, "virtual time  {hours:.1} h")?;
        writeln!(f, "operations    {}", Number(self.operations))?;
        writeln!(f, "faults        {}", Number(self.faults))?;
        writeln!(f, "wall time     {}", Span(millis(self.wall_time)))?;
        for (seed, failure) in &self.failures {
            writeln!(f, "\nseed {seed}: {failure}\n  replay   {}", failure.replay)?;
        }
        if self.interrupted {
            writeln!(f, "\ninterrupted")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Subject, Summary};
    use crate::sweep::Repetition;
    use crate::verdict::Failure;

    fn entry(seed: u64, failure: Option<&str>) -> Entry {
        let subject = Subject { scenario: "life".to_owned(), seed, hours: None };
        let failure = failure.map(|kind| {
            let failure = FailureSummary::new(&Failure::crash("a promise", "was broken"), &subject, "b");
            FailureSummary { kind: kind.to_owned(), ..failure }
        });
        Entry { summary: Summary { failure, ..Summary::empty(subject) }, repetition: Some(Repetition::Same) }
    }

    #[test]
    fn the_worst_failure_gives_the_exit_code_and_failures_are_listed_by_seed() {
        let mut total = Total::default();
        let mut code_after = |failure| {
            total.add(&entry(total.seeds, failure));
            total.exit_code()
        };
        let codes =
            [None, Some("liveness"), Some("determinism"), Some("crash"), Some("correctness")].map(&mut code_after);
        assert_eq!(codes, [0, 3, 4, 4, 1]);
        let shown = total.to_string();
        assert!(shown.starts_with("seeds         5 (5 of them twice)\nheld          1\nfailed        4\n"), "{shown}");
        assert!(shown.contains("\nseed 2: determinism: a promise: was broken\n  replay   dfs-sim replay"), "{shown}");
        assert_eq!(Total { interrupted: true, ..Total::default() }.exit_code(), 130);
    }
}
