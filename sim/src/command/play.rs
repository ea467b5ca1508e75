//! What `run` and `replay` share: which scenario is played, from which seed, and how.

use super::note;
use super::span;
use crate::report::{Subject, Summary};
use crate::runner::{self, Progress, Report, RunSettings};
use crate::scenario::Scenario;
use crate::trace::{LogLines, Reader};
use crate::verdict::{FailureKind, Verdict};
use crate::world::WorldSettings;
use clap::Args;
use std::fmt;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// Virtual time that no scenario of its own length needs.
const VIRTUAL_TIME_MAX: Duration = Duration::from_secs(24 * 3600);

/// Lines of the trace that are shown with a failure.
const LAST_LINES: usize = 20;

/// How a scenario is played.
#[derive(Args, Clone, Debug)]
pub(super) struct PlayArgs {
    /// For how many virtual hours it goes on, if it is life or idle
    #[arg(long, value_name = "H", value_parser = span::parse_hours)]
    pub(super) hours: Option<f64>,
    /// The real time after which it is given up
    #[arg(long, value_name = "T", value_parser = span::parse, default_value = "10m")]
    pub(super) wall_limit: Duration,
    /// Write the log lines that FILTER lets through to standard error, such as `info` or `dfs_actors=debug`
    #[arg(long, value_name = "FILTER")]
    pub(super) log: Option<String>,
}

/// A play, ready to begin.
pub(super) struct Play {
    pub(super) scenario: Scenario,
    pub(super) seed: u64,
    pub(super) arguments: PlayArgs,
    pub(super) until: Option<Duration>,
    pub(super) reader: Option<Reader>,
    /// From which level on log lines become lines of the trace.
    pub(super) level: LevelFilter,
    pub(super) progress: bool,
}

impl Play {
    /// Plays it.
    pub(super) fn run(self, seed_thread: fn(u64)) -> (Summary, Report<Verdict>) {
        let Play { scenario, seed, arguments, until, reader, level, progress } = self;
        log(arguments.log.as_deref(), level);
        let length = arguments.hours.map(|hours| Duration::from_secs_f64(hours * 3600.0));
        let settings = RunSettings {
            seed,
            world: WorldSettings { length, ..scenario.world() },
            virtual_time_max: VIRTUAL_TIME_MAX.max(length.unwrap_or_default() * 2),
            wall_time_max: arguments.wall_limit,
            until,
            reader,
            progress: progress.then_some(show as fn(&Progress)),
            seed_thread,
        };
        let report = runner::run(settings, async move |world| scenario.play(world).await);
        if progress {
            clear();
        }
        let subject = Subject { scenario: scenario.name().to_owned(), seed, hours: arguments.hours };
        (Summary::new(subject, &report), report)
    }
}

/// The exit code of a run.
pub(super) fn exit_code(summary: &Summary) -> ExitCode {
    let kinds = [FailureKind::Correctness, FailureKind::Liveness, FailureKind::Crash];
    let kind = summary.failure.as_ref().map(|failure| {
        kinds.into_iter().find(|kind| kind.word() == failure.kind).unwrap_or(FailureKind::Crash).exit_code()
    });
    ExitCode::from(kind.unwrap_or_default())
}

/// Tells on standard error what a failed run came to, but for its numbers.
pub(super) fn tell_failure(summary: &Summary, report: &Report<Verdict>) {
    let Some(failure) = &summary.failure else { return };
    let lines = report.trace.as_ref().map(|trace| trace.last_lines(LAST_LINES).concat()).unwrap_or_default();
    if !lines.is_empty() {
        note(format_args!("\nthe last lines of its trace:\n{lines}"));
    }
    note(format_args!(
        "\n{} of seed {} of {}, build {}\n  promise  {}\n  seen     {}\n  replay   {}\n",
        failure.kind,
        summary.subject.seed,
        summary.subject.scenario,
        summary.build,
        failure.promise,
        failure.detail,
        failure.replay
    ));
}

/// Whether standard error is a terminal, on which progress can be shown.
pub(super) fn on_terminal() -> bool {
    std::io::stderr().is_terminal()
}

fn show(progress: &Progress) {
    let Progress { virtual_time, wall_time, counts } = progress;
    let operations: u64 = counts.operations.values().sum();
    let faults: u64 = counts.faults.values().sum();
    note(format_args!(
        "\r\x1b[K{} s virtual, {}.{} s real, {operations} operations, {faults} faults",
        virtual_time.as_secs(),
        wall_time.as_secs(),
        wall_time.subsec_millis() / 100
    ));
}

/// Takes the line of progress away.
pub(super) fn clear() {
    note(format_args!("\r\x1b[K"));
}

/// Begins to log, once in a process: to the trace, and to standard error if somebody asks.
fn log(filter: Option<&str>, level: LevelFilter) {
    let lines = filter.map(|filter| {
        let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_timer(VirtualTime);
        layer.with_filter(EnvFilter::new(filter))
    });
    // Whoever logs already in this process goes on.
    let _ = tracing_subscriber::registry().with(LogLines::layer(level)).with(lines).try_init();
}

/// Stamps log lines with virtual time.
struct VirtualTime;

impl FormatTime for VirtualTime {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let time = runner::virtual_time().unwrap_or_default();
        write!(writer, "{:>7}.{:03}", time.as_secs(), time.subsec_millis())
    }
}
