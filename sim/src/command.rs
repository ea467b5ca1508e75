//! The command line of the simulator: `dfs-sim run [SCENARIO] --seed N [--trace FILE] [--log FILTER]`.
//!
//! One process runs one seed, because libraries keep process-wide counters. The summary is one line of JSON on
//! standard output; the exit code is 0 if the scenario held, 1 if it did not, 2 if the command line was wrong.

use crate::runner::{self, RunError, RunSettings};
use crate::scenario::Scenario;
use crate::verdict::Verdict;
use std::fmt;
use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

const USAGE: &str = "usage: dfs-sim run [SCENARIO] [--seed N] [--trace FILE] [--log FILTER]";

/// Virtual time that no scenario needs.
const VIRTUAL_TIME_MAX: Duration = Duration::from_secs(24 * 3600);

/// Real time that no scenario needs.
const WALL_TIME_MAX: Duration = Duration::from_secs(600);

/// Runs the command line `arguments`, without the program's name. `seed_thread` seeds the operating system's
/// randomness for the calling thread.
pub fn run(arguments: impl Iterator<Item = String>, seed_thread: fn(u64)) -> ExitCode {
    match Command::parse(arguments) {
        Ok(command) => command.run(seed_thread),
        Err(error) => {
            eprintln!("{error}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
struct Command {
    scenario: Scenario,
    seed: u64,
    trace: Option<PathBuf>,
    log: Option<String>,
}

/// A command line that cannot be understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum UsageError {
    #[error("the first word must be \"run\"")]
    NotRun,
    #[error("{0:?} is not known")]
    Unknown(String),
    #[error("{0} needs a value")]
    NoValue(String),
    #[error("{0:?} is no seed: a seed is a whole number below 2^64")]
    NotASeed(String),
}

impl Command {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Command, UsageError> {
        if arguments.next().as_deref() != Some("run") {
            return Err(UsageError::NotRun);
        }
        let mut command = Command { scenario: Scenario::default(), seed: 0, trace: None, log: None };
        while let Some(word) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| UsageError::NoValue(word.clone()));
            match word.as_str() {
                "--seed" => {
                    let text = value()?;
                    command.seed = text.parse().map_err(|_| UsageError::NotASeed(text))?;
                }
                "--trace" => command.trace = Some(value()?.into()),
                "--log" => command.log = Some(value()?),
                _ => command.scenario = Scenario::named(&word).ok_or(UsageError::Unknown(word))?,
            }
        }
        Ok(command)
    }

    fn run(self, seed_thread: fn(u64)) -> ExitCode {
        if let Some(filter) = &self.log {
            let subscriber = tracing_subscriber::fmt().with_writer(std::io::stderr).with_timer(VirtualTime);
            subscriber.with_env_filter(EnvFilter::new(filter)).init();
        }
        let trace = match self.trace.as_ref().map(File::create).transpose() {
            Ok(file) => file.map(|file| Box::new(BufWriter::new(file)) as Box<_>),
            Err(error) => {
                eprintln!("the trace cannot be written: {error}");
                return ExitCode::from(2);
            }
        };
        let settings = RunSettings {
            seed: self.seed,
            world: self.scenario.world(),
            virtual_time_max: VIRTUAL_TIME_MAX,
            wall_time_max: WALL_TIME_MAX,
            trace,
            seed_thread,
        };
        let scenario = self.scenario;
        let report = runner::run(settings, async move |world| scenario.play(world).await);
        println!("{}", Summary { scenario, seed: self.seed, report: &report });
        match report {
            Ok(runner::Report { outcome: Ok(()), panics: 0, .. }) => return ExitCode::SUCCESS,
            Ok(runner::Report { outcome: Ok(()), panics, .. }) => eprintln!("seed {}: {panics} panics", self.seed),
            Ok(runner::Report { outcome: Err(failure), .. }) => eprintln!("seed {}: {failure}", self.seed),
            Err(error) => eprintln!("seed {}: {error}", self.seed),
        }
        ExitCode::FAILURE
    }
}

/// The line of JSON. Nothing in it needs escaping.
struct Summary<'r> {
    scenario: Scenario,
    seed: u64,
    report: &'r Result<runner::Report<Verdict>, RunError>,
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, r#"{{"scenario":"{}","seed":{}"#, self.scenario.name(), self.seed)?;
        let Ok(report) = self.report else { return f.write_str(r#","held":false}"#) };
        let held = report.outcome.is_ok() && report.panics == 0;
        write!(f, r#","held":{held},"virtual_ms":{}"#, report.virtual_time.as_millis())?;
        write!(f, r#","wall_ms":{},"events":{}"#, report.wall_time.as_millis(), report.trace.events)?;
        write!(f, r#","packets":{},"packet_bytes":{}"#, report.network.sent, report.network.sent_bytes)?;
        write!(f, r#","trace":"{}"}}"#, report.trace)
    }
}

/// Stamps log lines with virtual time.
struct VirtualTime;

impl FormatTime for VirtualTime {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let time = runner::virtual_time().unwrap_or_default();
        write!(writer, "{:>7}.{:03}", time.as_secs(), time.subsec_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, UsageError> {
        Command::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn the_command_line_names_scenario_seed_and_outputs() {
        let command = parse("run seams --seed 7 --trace out --log info").unwrap();
        assert_eq!((command.scenario, command.seed), (Scenario::Seams, 7));
        assert_eq!((command.trace, command.log), (Some("out".into()), Some("info".into())));
        assert_eq!(parse("run").unwrap().seed, 0);
    }

    #[test]
    fn a_wrong_command_line_is_refused() {
        assert_eq!(parse(""), Err(UsageError::NotRun));
        assert_eq!(parse("run --seed -1"), Err(UsageError::NotASeed("-1".into())));
        assert_eq!(parse("run --seed"), Err(UsageError::NoValue("--seed".into())));
        assert_eq!(parse("run nonsense"), Err(UsageError::Unknown("nonsense".into())));
    }
}
