//! `run`: one seed, and a page of what it came to.

use super::play::{Play, PlayArgs, exit_code, on_terminal, tell_failure};
use super::{USAGE, note, print};
use crate::report::Summary;
use crate::runner::Report;
use crate::scenario::Scenario;
use crate::trace::{Only, Reader};
use crate::verdict::Verdict;
use clap::Args;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tracing::level_filters::LevelFilter;

const EXAMPLES: &str = "\
Examples:
  dfs-sim run --seed 7
  dfs-sim run life --seed 7
  dfs-sim run --seed 7 --hours 2
  dfs-sim run --seed 7 --json

If something does not hold, the trace of the run, without packets, is written to dfs-sim-<SCENARIO>-<SEED>.trace in the
present directory, or to the file of --trace.";

/// Run one seed and say what held
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct RunArgs {
    /// The scenario
    #[arg(value_name = "SCENARIO", value_parser = Scenario::named, conflicts_with = "scenario")]
    named: Option<Scenario>,
    /// The scenario
    #[arg(long, value_name = "S", value_parser = Scenario::named, default_value = Scenario::DEFAULT.name())]
    scenario: Scenario,
    /// What everything is drawn from
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Write the trace to FILE as it comes, without packets
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Say what it came to as one line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    play: PlayArgs,
}

impl RunArgs {
    pub(super) fn scenario(&self) -> Scenario {
        self.named.unwrap_or(self.scenario)
    }

    pub(super) fn hours(&self) -> Option<f64> {
        self.play.hours
    }

    pub(super) fn run(self, seed_thread: fn(u64)) -> ExitCode {
        let reader = match self.trace.as_deref().map(File::create).transpose() {
            Ok(file) => {
                file.map(|file| Reader { sink: Box::new(BufWriter::new(file)), packets: false, only: Only::default() })
            }
            Err(error) => {
                note(format_args!("error: the trace cannot be written: {error}\n"));
                return ExitCode::from(USAGE);
            }
        };
        let play = Play {
            scenario: self.scenario(),
            seed: self.seed,
            arguments: self.play,
            until: None,
            reader,
            level: LevelFilter::INFO,
            progress: on_terminal(),
        };
        let (summary, report) = play.run(seed_thread);
        if self.json {
            print(format_args!("{}\n", summary.json()));
        } else {
            print(format_args!("{summary}"));
        }
        tell_failure(&summary, &report);
        if !summary.held {
            let path = self.trace.unwrap_or_else(|| keep(&summary));
            match write_trace(&report, &path) {
                Ok(()) => note(format_args!("  trace    {}\n", path.display())),
                Err(error) => note(format_args!("  trace    cannot be written to {}: {error}\n", path.display())),
            }
        }
        exit_code(&summary)
    }
}

/// Where the trace of a failed run goes if nobody has said where.
fn keep(summary: &Summary) -> PathBuf {
    PathBuf::from(format!("dfs-sim-{}-{}.trace", summary.subject.scenario, summary.subject.seed))
}

fn write_trace(report: &Report<Verdict>, path: &Path) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    if let Some(trace) = &report.trace {
        trace.write_lines(&mut file)?;
    }
    file.flush()
}
