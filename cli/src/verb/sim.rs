//! `sim`: hands over to the simulator, an executable of its own: it replaces functions of the C library, which no
//! program that keeps real data may do.

use crate::exit::Exit;
use crate::failure::{Failure, plain};
use clap::Args;
use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const EXAMPLES: &str = "\
Examples:
  dfs-cli sim run --seed 7            one simulated life of a cluster, and its verdict
  dfs-cli sim replay --seed 7         the same run again, line by line
  dfs-cli sim sweep --seeds 0..500    many, a process each
  dfs-cli sim --help                  all that the simulator can do

It runs dfs-sim, which is looked for beside this program and then on the PATH, and ends with its exit code.";

/// The simulator's executable.
const PROGRAM: &str = "dfs-sim";

/// Run whole simulated clusters on virtual time, from a seed
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, disable_help_flag = true)]
pub struct SimArgs {
    /// What dfs-sim is told
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    arguments: Vec<OsString>,
}

impl SimArgs {
    pub(super) fn run(self) -> Result<(), Failure> {
        let own = env::current_exe().ok();
        let beside = own.as_deref().and_then(Path::parent);
        let Some(program) = find(beside, env::var_os("PATH").as_deref()) else {
            let message = format!("the simulator, {PROGRAM}, is neither beside this program nor on the PATH");
            return Err(Failure::new(Exit::NotFound, message).hint("build it: cargo build --release -p dfs-sim"));
        };
        // It returns only if it fails.
        let cause = Command::new(&program).args(self.arguments).exec();
        Err(Failure::new(Exit::Failure, format_args!("cannot run {}: {}", program.display(), plain(&cause))))
    }
}

/// The simulator: first in the directory `beside`, then in those of `path`.
fn find(beside: Option<&Path>, path: Option<&OsStr>) -> Option<PathBuf> {
    let listed = path.into_iter().flat_map(env::split_paths);
    let candidates = beside.map(Path::to_owned).into_iter().chain(listed).map(|directory| directory.join(PROGRAM));
    candidates.into_iter().find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_simulator_is_found_beside_the_program_and_then_on_the_path() {
        let place = tempfile::tempdir().unwrap();
        let make = |directory: &str, mode: u32| {
            let directory = place.path().join(directory);
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join(PROGRAM), "").unwrap();
            fs::set_permissions(directory.join(PROGRAM), fs::Permissions::from_mode(mode)).unwrap();
            directory
        };
        let (beside, plain, listed) = (make("beside", 0o755), make("plain", 0o644), make("listed", 0o755));
        let path = env::join_paths([&plain, &listed]).unwrap();
        assert_eq!(find(Some(&beside), Some(&path)), Some(beside.join(PROGRAM)));
        assert_eq!(find(Some(&plain), Some(&path)), Some(listed.join(PROGRAM)), "a file that cannot be run is none");
        assert_eq!(find(Some(&plain), None), None);
        assert_eq!(find(None, Some(plain.as_os_str())), None);
    }
}
