//! The command line of the simulator, one file per command.
//!
//! One process runs one seed, because libraries keep process-wide counters. Exit codes tell how a run failed.

mod list;
mod play;
mod replay;
mod run;
mod span;
mod sweep;

use crate::build::BUILD;
use clap::{CommandFactory, Parser, Subcommand};
use std::ffi::OsString;
use std::process::ExitCode;

const AFTER_HELP: &str = "\
Examples:
  dfs-sim run --seed 7                     one simulated life of a cluster, and its verdict
  dfs-sim sweep --seeds 0..500             many, a process each
  dfs-sim replay --seed 7 --only storage-1 the same run again, with what happened on one node
  dfs-sim list                             scenarios, faults and invariants

Exit codes:
    0  everything held
    1  something wrong happened (correctness)
    2  wrong command line; nothing was run
    3  something right did not happen in time (liveness)
    4  something ended or panicked that should not, or a seed did not repeat (crash)
  130  interrupted by Ctrl-C or SIGTERM";

/// The exit code of a command line that is wrong.
const USAGE: u8 = 2;

/// Whole clusters in one thread on virtual time, from a seed.
#[derive(Debug, Parser)]
#[command(name = "dfs-sim", version = BUILD, arg_required_else_help = true, max_term_width = 100,
    after_help = AFTER_HELP)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

/// What the simulator can do.
#[derive(Debug, Subcommand)]
enum Command {
    /// Run one seed and say what held
    Run(run::RunArgs),
    /// Run one seed again and show what happens, line by line
    Replay(replay::ReplayArgs),
    /// Run many seeds, a process each, some of them twice
    Sweep(sweep::SweepArgs),
    /// List scenarios, faults and invariants
    List(list::ListArgs),
}

impl CommandLine {
    fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<CommandLine, clap::Error> {
        let line = CommandLine::try_parse_from(arguments)?;
        let (scenario, hours) = match &line.command {
            Command::Run(run) => (run.scenario(), run.hours()),
            Command::Replay(replay) => (replay.scenario(), replay.hours()),
            Command::Sweep(sweep) => (sweep.scenario(), sweep.hours()),
            Command::List(_) => return Ok(line),
        };
        if hours.is_some() && !scenario.lasts_as_long_as_told() {
            let why = format!("{} ends when it is done, and does not go on for --hours", scenario.name());
            return Err(CommandLine::command().error(clap::error::ErrorKind::ArgumentConflict, why));
        }
        Ok(line)
    }
}

/// Runs the command line `arguments`, the program's name first. `seed_thread` seeds the operating system's randomness
/// for the calling thread.
pub fn run(arguments: impl IntoIterator<Item = OsString>, seed_thread: fn(u64)) -> ExitCode {
    match CommandLine::read(arguments) {
        Ok(CommandLine { command: Command::Run(arguments) }) => arguments.run(seed_thread),
        Ok(CommandLine { command: Command::Replay(arguments) }) => arguments.run(seed_thread),
        Ok(CommandLine { command: Command::Sweep(arguments) }) => arguments.run(),
        Ok(CommandLine { command: Command::List(arguments) }) => arguments.run(),
        Err(error) => {
            // Help and version are no failures, and go to standard output.
            let _ = error.print();
            ExitCode::from(if error.use_stderr() { USAGE } else { 0 })
        }
    }
}

/// Writes to standard output. A reader that went away (`… | head`) is nobody to be told.
fn print(text: std::fmt::Arguments<'_>) {
    use std::io::Write;
    let mut output = std::io::stdout().lock();
    let _ = output.write_fmt(text).and_then(|()| output.flush());
}

/// Writes to standard error.
fn note(text: std::fmt::Arguments<'_>) {
    use std::io::Write;
    let _ = std::io::stderr().lock().write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<CommandLine, clap::Error> {
        CommandLine::read(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn the_command_line_is_consistent_and_every_command_has_examples() {
        CommandLine::command().debug_assert();
        for command in CommandLine::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example"), "{} has no examples", command.get_name());
        }
    }

    #[test]
    fn the_commands_of_the_manual_are_understood() {
        for line in [
            "dfs-sim run",
            "dfs-sim run life --seed 1",
            "dfs-sim run idle --hours 2",
            "dfs-sim run --scenario life --seed 1 --hours 2 --trace out --json --log info",
            "dfs-sim replay --seed 7",
            "dfs-sim replay --seed 7 --scenario life --until 90s --only storage-1,12:3 --packets --trace out --build x",
            "dfs-sim sweep --seeds 0..500",
            "dfs-sim sweep --seeds 5..=9 --scenario life --jobs 2 --log log --twice 20 --json",
            "dfs-sim sweep --minutes 30",
            "dfs-sim sweep --seeds 100.. --minutes 0.5",
            "dfs-sim list --json",
        ] {
            parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }

    #[test]
    fn a_wrong_command_line_is_refused_with_the_reason() {
        for (line, reason) in [
            ("dfs-sim walk", "unrecognized subcommand"),
            ("dfs-sim run --seed=-1", "invalid digit"),
            ("dfs-sim run --seed", "a value is required"),
            ("dfs-sim run nonsense", "there are: life, idle, files, "),
            ("dfs-sim run life --scenario life", "cannot be used with"),
            ("dfs-sim run --hours 0", "is no number of hours"),
            ("dfs-sim run --hours many", "is no number of hours"),
            ("dfs-sim run files --hours 2", "files ends when it is done"),
            ("dfs-sim replay --seed 1 --scenario leader-killed --hours 2", "leader-killed ends when it is done"),
            ("dfs-sim sweep --seeds 0..9 --scenario sizes --hours 2", "sizes ends when it is done"),
            ("dfs-sim replay", "--seed <SEED>"),
            ("dfs-sim replay --seed 1 --until soon", "is no time"),
            ("dfs-sim sweep", "--seeds"),
            ("dfs-sim sweep --seeds 9..9", "has no seeds"),
            ("dfs-sim sweep --seeds many", "is no range"),
            ("dfs-sim sweep --seeds 0..9 --twice 101", "0..=100"),
            ("dfs-sim sweep --seeds 0..9 --jobs 0", "1..="),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.to_string().contains(reason), "{line}: {error}");
            assert_eq!(error.exit_code(), i32::from(USAGE));
        }
    }
}
