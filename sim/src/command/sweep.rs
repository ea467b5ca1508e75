//! `sweep`: many seeds, a process each, and what they came to.

use super::play::{clear, on_terminal};
use super::span;
use super::{USAGE, note, print};
use crate::report::{Number, Span, millis};
use crate::scenario::Scenario;
use crate::sweep::{self, Entry, Launch, Log, SeedRange, SweepSettings, Total, Watch};
use clap::Args;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

const EXAMPLES: &str = "\
Examples:
  dfs-sim sweep --seeds 0..500
  dfs-sim sweep --seeds 0..500 --log sweep.jsonl      goes on where it was interrupted
  dfs-sim sweep --minutes 60 --log sweep.jsonl        for an hour, from seed 0 or where the log ends
  dfs-sim sweep --seeds 0..100 --twice 100            every seed in two processes

Failing seeds are told at once, and at the end with the line that replays each. What each run came to is a line of JSON
in the log.";

/// How often a plain line of progress is written.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Run many seeds, a process each, some of them twice
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct SweepArgs {
    /// The seeds: A..B without B, A..=B, or A.. with --minutes
    #[arg(long, value_name = "A..B", required_unless_present = "minutes")]
    seeds: Option<SeedRange>,
    /// Begin no more seeds after so many minutes
    #[arg(long, value_name = "M", value_parser = minutes)]
    minutes: Option<Duration>,
    /// The scenario
    #[arg(long, value_name = "S", value_parser = Scenario::named, default_value = Scenario::DEFAULT.name())]
    scenario: Scenario,
    /// For how many virtual hours each run goes on, if it is life or idle
    #[arg(long, value_name = "H", value_parser = span::parse_hours)]
    hours: Option<f64>,
    /// Processes at once [default: one per core]
    #[arg(short, long, value_name = "J", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// Append results to FILE, and do not run again what it has of this build
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// The share of the seeds that is run twice and compared
    #[arg(long, value_name = "PERCENT", default_value_t = 10, value_parser = clap::value_parser!(u8).range(0..=100))]
    twice: u8,
    /// The real time after which a run is given up
    #[arg(long, value_name = "T", value_parser = span::parse, default_value = "10m")]
    wall_limit: Duration,
    /// Say what it came to as one line of JSON
    #[arg(long)]
    json: bool,
}

fn minutes(text: &str) -> Result<Duration, span::InvalidSpan> {
    span::parse(&format!("{text}m"))
}

impl SweepArgs {
    pub(super) fn scenario(&self) -> Scenario {
        self.scenario
    }

    pub(super) fn hours(&self) -> Option<f64> {
        self.hours
    }

    pub(super) fn run(self) -> ExitCode {
        let seeds = self.seeds.unwrap_or(SeedRange::from(0));
        if seeds.count().is_none() && self.minutes.is_none() {
            note(format_args!("error: seeds without an end need --minutes\n"));
            return ExitCode::from(USAGE);
        }
        let log = self.log.as_deref().map(Log::open).transpose();
        let mut log = match log {
            Ok(log) => log.unwrap_or_default(),
            Err(error) => {
                note(format_args!("error: the log cannot be opened: {error}\n"));
                return ExitCode::from(USAGE);
            }
        };
        match self.sweep(seeds, &mut log) {
            Ok(total) => {
                if self.json {
                    print(format_args!("{}\n", total.json()));
                } else {
                    print(format_args!("{total}"));
                }
                ExitCode::from(total.exit_code())
            }
            Err(error) => {
                note(format_args!("error: the sweep cannot go on: {error}\n"));
                ExitCode::from(USAGE)
            }
        }
    }

    fn sweep(&self, seeds: SeedRange, log: &mut Log) -> io::Result<Total> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let settings = SweepSettings {
            launch: Launch {
                directory: PathBuf::from("."),
                program: std::env::current_exe()?,
                scenario: self.scenario.name().to_owned(),
                hours: self.hours,
                wall_limit: self.wall_limit,
            },
            seeds,
            duration: self.minutes,
            jobs: self.jobs.map_or(cores, usize::from),
            twice_percent: self.twice,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
            let interrupted = async {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            };
            let mut teller = Teller { expected: seeds.count(), terminal: on_terminal(), told: Duration::ZERO };
            let total = sweep::run(&settings, log, &mut teller, interrupted).await;
            teller.clear();
            total
        })
    }
}

/// Tells on standard error how far the sweep is.
struct Teller {
    expected: Option<u64>,
    terminal: bool,
    /// When the latest plain line was written.
    told: Duration,
}

impl Teller {
    fn clear(&self) {
        if self.terminal {
            clear();
        }
    }
}

impl Watch for Teller {
    fn ended(&mut self, entry: &Entry, total: &Total) {
        if let Some(failure) = &entry.summary.failure {
            self.clear();
            note(format_args!("seed {}: {failure}\n  replay   {}\n", entry.summary.subject.seed, failure.replay));
        }
        self.tick(total);
    }

    fn tick(&mut self, total: &Total) {
        let due = self.terminal || total.wall_time >= self.told + LINE_INTERVAL;
        if !due {
            return;
        }
        self.told = total.wall_time;
        let of = self.expected.map(|expected| format!(" of {}", Number(expected))).unwrap_or_default();
        let (begin, end) = if self.terminal { ("\r\x1b[K", "") } else { ("", "\n") };
        note(format_args!(
            "{begin}{}{of} seeds, {} failed, {} virtual, {} real{end}",
            Number(total.seeds),
            Number(total.failed.values().sum()),
            Span(total.virtual_ms),
            Span(millis(total.wall_time)),
        ));
    }
}
