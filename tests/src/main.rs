//! `dfs-cli` as the tests run it: `cargo test` builds no other package's executable, so the tests bring their own.

use std::process::ExitCode;

fn main() -> ExitCode {
    dfs_cli::main()
}
