//! The simulator: runs one scenario from one seed, in a process whose randomness is seeded.

mod interposition;

use std::process::ExitCode;

fn main() -> ExitCode {
    dfs_sim::command::run(std::env::args_os(), interposition::seed_thread)
}
