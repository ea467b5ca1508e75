//! dfs-cli, the one binary: file verbs, node daemon and local cluster launcher.
//!
//! A library, so that tests have executables of their own that are the same program: [`main`] is all of it. One file
//! per verb lies under `verb/`; [`command_line`] lists them. [`launcher`] runs local clusters.
//!
//! Deliberately absent: anything that a gateway would need too (that is `dfs-client`), and anything that decides how
//! nodes behave (that is `dfs-nodes` and below).

pub mod actors;
pub mod certificate;
pub mod command_line;
pub mod connect;
pub mod exit;
pub mod failure;
pub mod interrupt;
pub mod json;
pub mod launcher;
pub mod leaderless;
pub mod local_file;
pub mod local_tree;
pub mod logging;
pub mod moment;
pub mod output;
pub mod part_file;
pub mod progress;
pub mod runtime;
pub mod table;
pub mod transfer;
pub mod verb;

use clap::Parser;
use command_line::CommandLine;
use exit::Exit;
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

/// Runs the program with the process's arguments. A `main` has nothing else to do.
#[must_use]
pub fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(|place| format!(" at {}:{}", place.file(), place.line()));
        let cause = panic.payload_as_str().unwrap_or("unknown cause").replace('\n', " ");
        output::note(format_args!("error: this is a bug{}: {cause}", place.unwrap_or_default()));
    }));
    let exit = std::panic::catch_unwind(|| run(std::env::args_os())).unwrap_or(Exit::Failure);
    exit.into()
}

/// Runs the program with these arguments, the program's name first.
#[must_use]
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let verb = match CommandLine::try_parse_from(arguments) {
        Ok(command_line) => command_line.verb,
        Err(error) => {
            // Help and version are no failures, and go to standard output.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Done };
        }
    };
    match verb.run() {
        Ok(()) => Exit::Done,
        Err(failure) => {
            let _ = write!(std::io::stderr().lock(), "{failure}");
            failure.exit
        }
    }
}
