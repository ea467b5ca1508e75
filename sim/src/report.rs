//! What a run came to, for people on one page and for programs on one line.

mod page;

pub(crate) use page::{Number, Span};

use crate::build::BUILD;
use crate::runner::{Report, RunError};
use crate::verdict::{Counts, Failure, Verdict};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// The promise that a run breaks which real time runs out on: the one failure that a slow machine alone can bring about.
pub const ENDS_IN_REAL_TIME: &str = "a run ends in real time";

/// What is run: all that a replay needs to know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Subject {
    /// The name of the scenario.
    pub scenario: String,
    /// What everything is drawn from.
    pub seed: u64,
    /// For how many virtual hours, if that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<f64>,
}

/// A run, by its numbers. Its keys are stable: programs read them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// What was run.
    #[serde(flatten)]
    pub subject: Subject,
    /// The build that ran it.
    pub build: String,
    /// Whether everything held that was promised, as far as it came.
    pub held: bool,
    /// Whether it was ended before its end, as was asked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ended_early: bool,
    /// How long it took in its own world.
    pub virtual_ms: u64,
    /// How long it took in ours.
    pub wall_ms: u64,
    /// Events of the trace, packets among them.
    pub events: u64,
    /// Packets sent.
    pub packets: u64,
    /// Bytes of their payload.
    pub packet_bytes: u64,
    /// The hash of the trace.
    pub trace: String,
    /// Tasks and jobs that panicked.
    pub panics: u64,
    /// Operations of users, by what they did and how they ended.
    pub operations: BTreeMap<String, BTreeMap<String, u64>>,
    /// Faults, by kind.
    pub faults: BTreeMap<String, u64>,
    /// Recoveries, by what from.
    pub recoveries: BTreeMap<String, Recovery>,
    /// How often each invariant was checked.
    pub invariants: BTreeMap<String, u64>,
    /// What did not hold.
    pub failure: Option<FailureSummary>,
}

/// Recoveries from one kind of fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovery {
    /// How many.
    pub count: u64,
    /// The time that half of them stayed within.
    pub median_ms: u64,
    /// The time of the slowest.
    pub max_ms: u64,
}

/// What did not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureSummary {
    /// The kind, as one word.
    pub kind: String,
    /// The invariant, or the promise of the scenario.
    pub promise: String,
    /// What was seen.
    pub detail: String,
    /// The command that runs the same again.
    pub replay: String,
}

/// What did not hold in a run, if something did not.
#[must_use]
pub fn failure(report: &Report<Verdict>) -> Option<Failure> {
    let panicked = |panics: &crate::runner::Panics| {
        let first = panics.first.as_deref().unwrap_or("of unknown cause");
        Failure::crash("nothing panics", format_args!("{} panicked; the first: {first}", panics.count))
    };
    match &report.outcome {
        Err(RunError::Panicked) => Some(panicked(&report.panics)),
        Err(error @ RunError::VirtualTimeOver(_)) => Some(Failure::liveness("a run ends", error)),
        Err(error @ RunError::WallTimeOver(_)) => Some(Failure::crash(ENDS_IN_REAL_TIME, error)),
        Ok(Err(error)) => Some(Failure::of(error)),
        Ok(Ok(())) | Err(RunError::Ended(_)) if report.panics.count > 0 => Some(panicked(&report.panics)),
        Ok(Ok(())) | Err(RunError::Ended(_)) => None,
    }
}

impl Subject {
    /// The command that runs it again and shows what happens.
    #[must_use]
    pub fn replay(&self, build: &str) -> String {
        let Subject { scenario, seed, hours } = self;
        let hours = hours.map(|hours| format!(" --hours {hours}")).unwrap_or_default();
        format!("dfs-sim replay --scenario {scenario} --seed {seed}{hours} --build {build}")
    }
}

impl Summary {
    /// Of a run of `subject` by this build of which nothing else is known.
    #[must_use]
    pub(crate) fn empty(subject: Subject) -> Summary {
        Summary {
            subject,
            build: BUILD.to_owned(),
            held: false,
            ended_early: false,
            virtual_ms: 0,
            wall_ms: 0,
            events: 0,
            packets: 0,
            packet_bytes: 0,
            trace: String::new(),
            panics: 0,
            operations: BTreeMap::new(),
            faults: BTreeMap::new(),
            recoveries: BTreeMap::new(),
            invariants: BTreeMap::new(),
            failure: None,
        }
    }

    /// Of a run of `subject` by this build.
    #[must_use]
    pub fn new(subject: Subject, report: &Report<Verdict>) -> Summary {
        let Counts { operations, faults, recoveries, invariants } = &report.counts;
        let mut by_kind: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
        for ((what, outcome), count) in operations {
            by_kind.entry((*what).to_owned()).or_default().insert((*outcome).to_owned(), *count);
        }
        let owned = |counts: &BTreeMap<&'static str, u64>| {
            counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
        };
        let failure = failure(report).map(|failure| FailureSummary::new(&failure, &subject, BUILD));
        Summary {
            build: BUILD.to_owned(),
            held: failure.is_none(),
            ended_early: matches!(report.outcome, Err(RunError::Ended(_))),
            virtual_ms: millis(report.virtual_time),
            wall_ms: millis(report.wall_time),
            events: report.summary.events,
            packets: report.network.sent,
            packet_bytes: report.network.sent_bytes,
            trace: report.summary.to_string(),
            panics: report.panics.count,
            operations: by_kind,
            faults: owned(faults),
            recoveries: recoveries.iter().map(|(from, times)| ((*from).to_owned(), Recovery::new(times))).collect(),
            invariants: owned(invariants),
            failure,
            subject,
        }
    }

    /// Operations of all kinds.
    #[must_use]
    pub fn operation_count(&self) -> u64 {
        self.operations.values().flat_map(BTreeMap::values).sum()
    }

    /// Faults of all kinds.
    #[must_use]
    pub fn fault_count(&self) -> u64 {
        self.faults.values().sum()
    }

    /// One line, as JSON.
    #[must_use]
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("a summary is made of text and numbers")
    }
}

impl Recovery {
    fn new(times: &[Duration]) -> Recovery {
        let mut times = times.to_vec();
        times.sort_unstable();
        let at = |place: usize| times.get(place).copied().map(millis).unwrap_or_default();
        // The smallest time that at least half of them stay within.
        let (median_ms, max_ms) = (at(times.len().saturating_sub(1) / 2), at(times.len().saturating_sub(1)));
        Recovery { count: times.len() as u64, median_ms, max_ms }
    }
}

impl FailureSummary {
    /// Of a run of `subject` by `build`.
    #[must_use]
    pub fn new(failure: &Failure, subject: &Subject, build: &str) -> FailureSummary {
        let Failure { kind, promise, detail } = failure;
        let (kind, promise) = (kind.word().to_owned(), (*promise).to_owned());
        FailureSummary { kind, promise, detail: detail.clone(), replay: subject.replay(build) }
    }
}

impl fmt::Display for FailureSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.kind, self.promise, self.detail)
    }
}

pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_names_all_that_was_said() {
        let subject = Subject { scenario: "life".to_owned(), seed: 7, hours: None };
        assert_eq!(subject.replay("0.1.0+ab"), "dfs-sim replay --scenario life --seed 7 --build 0.1.0+ab");
        let subject = Subject { hours: Some(2.5), ..subject };
        assert_eq!(subject.replay("0.1.0"), "dfs-sim replay --scenario life --seed 7 --hours 2.5 --build 0.1.0");
    }

    #[test]
    fn recoveries_are_told_by_median_and_slowest() {
        let seconds = |times: &[u64]| Recovery::new(&times.iter().map(|&s| Duration::from_secs(s)).collect::<Vec<_>>());
        assert_eq!(seconds(&[3, 1, 9]), Recovery { count: 3, median_ms: 3000, max_ms: 9000 });
        assert_eq!(seconds(&[3, 1]), Recovery { count: 2, median_ms: 1000, max_ms: 3000 });
        assert_eq!(seconds(&[]), Recovery { count: 0, median_ms: 0, max_ms: 0 });
    }
}
