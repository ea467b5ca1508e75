//! The one binary: a thin front of the library.

fn main() -> std::process::ExitCode {
    dfs_cli::main()
}
