//! `replay`: the same run again, with one aligned line per event.

use super::play::{Play, PlayArgs, exit_code, on_terminal, tell_failure};
use super::span;
use super::{USAGE, note};
use crate::build::BUILD;
use crate::scenario::Scenario;
use crate::trace::{Only, Reader};
use clap::Args;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tracing::level_filters::LevelFilter;

const EXAMPLES: &str = "\
Examples:
  dfs-sim replay --seed 7
  dfs-sim replay --seed 7 --until 90s | less
  dfs-sim replay --seed 7 --only storage-1,NodeWatcher
  dfs-sim replay --seed 7 --only 12:3                    all about one chunk
  dfs-sim replay --seed 7 --packets --trace all.trace

A line has virtual time in seconds, node, actor or kind of event, and what happened, log lines of the nodes among them.
The trace goes to standard output, what the run came to to standard error.";

/// Run one seed again and show what happens, line by line
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct ReplayArgs {
    /// What everything is drawn from
    #[arg(long, value_name = "SEED")]
    seed: u64,
    /// The scenario
    #[arg(long, value_name = "S", value_parser = Scenario::named, default_value = Scenario::DEFAULT.name())]
    scenario: Scenario,
    /// End it at this virtual time, such as 90s or 2m
    #[arg(long, value_name = "T", value_parser = span::parse)]
    until: Option<Duration>,
    /// Write the trace to FILE instead
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Only lines with one of these texts in node, actor, kind or text; a chunk is FILE:INDEX
    #[arg(long, value_name = "FILTER", default_value = "", hide_default_value = true)]
    only: String,
    /// Show packets too
    #[arg(long)]
    packets: bool,
    /// The build that the seed failed on; another build may do something else with it
    #[arg(long, value_name = "B")]
    build: Option<String>,
    #[command(flatten)]
    play: PlayArgs,
}

impl ReplayArgs {
    pub(super) fn scenario(&self) -> Scenario {
        self.scenario
    }

    pub(super) fn hours(&self) -> Option<f64> {
        self.play.hours
    }

    pub(super) fn run(self, seed_thread: fn(u64)) -> ExitCode {
        if let Some(build) = self.build.filter(|build| build != BUILD) {
            note(format_args!("warning: the seed is of build {build}; it may not replay on this one, {BUILD}\n"));
        }
        let in_file = self.trace.is_some();
        let sink: Box<dyn Write + Send> = match self.trace.as_deref().map(File::create).transpose() {
            Ok(Some(file)) => Box::new(BufWriter::new(file)),
            Ok(None) => Box::new(BufWriter::new(io::stdout())),
            Err(error) => {
                note(format_args!("error: the trace cannot be written: {error}\n"));
                return ExitCode::from(USAGE);
            }
        };
        let play = Play {
            scenario: self.scenario,
            seed: self.seed,
            arguments: self.play,
            until: self.until,
            reader: Some(Reader { sink, packets: self.packets, only: Only::new(&self.only) }),
            level: LevelFilter::DEBUG,
            progress: in_file && on_terminal(),
        };
        let (summary, report) = play.run(seed_thread);
        note(format_args!("\n{summary}"));
        if in_file {
            tell_failure(&summary, &report);
        }
        exit_code(&summary)
    }
}
