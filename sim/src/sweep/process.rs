//! One run in a process of its own: this same executable, started again.

use crate::report::{FailureSummary, Subject, Summary};
use crate::verdict::Failure;
use std::ffi::OsStr;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::process::Command;

/// How a process is started.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The executable.
    pub program: PathBuf,
    /// Where it runs, and leaves the traces of runs that fail.
    pub directory: PathBuf,
    /// The name of the scenario.
    pub scenario: String,
    /// For how many virtual hours.
    pub hours: Option<f64>,
    /// The real time after which a run is given up.
    pub wall_limit: Duration,
}

impl Launch {
    /// What a process runs that is given `seed`.
    #[must_use]
    pub fn subject(&self, seed: u64) -> Subject {
        Subject { scenario: self.scenario.clone(), seed, hours: self.hours }
    }

    /// Runs `seed`. Nothing comes of it if somebody ended the process with Ctrl-C or SIGTERM.
    pub(super) async fn run(&self, seed: u64) -> io::Result<Option<Summary>> {
        let output = self.output(seed, "run", ["--json"]).await?;
        if let Some(libc::SIGINT | libc::SIGTERM) = output.status.signal() {
            return Ok(None);
        }
        let summary = serde_json::from_slice(&output.stdout);
        Ok(Some(summary.unwrap_or_else(|_| self.ended_without_a_word(seed, &output))))
    }

    /// Runs `seed` again and writes all that happens, packets too, to the file `trace`.
    pub(super) async fn write_trace(&self, seed: u64, trace: &Path) -> io::Result<()> {
        let arguments = [OsStr::new("--packets"), OsStr::new("--trace"), trace.as_os_str()];
        self.output(seed, "replay", arguments).await.map(drop)
    }

    async fn output<A: AsRef<OsStr>>(
        &self,
        seed: u64,
        command: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> io::Result<Output> {
        let mut process = Command::new(&self.program);
        process.args([command, "--scenario", &self.scenario, "--seed", &seed.to_string()]);
        process.args(["--wall-limit", &format!("{}s", self.wall_limit.as_secs_f64())]);
        if let Some(hours) = self.hours {
            process.args(["--hours", &hours.to_string()]);
        }
        process.args(arguments).current_dir(&self.directory).stdin(Stdio::null()).kill_on_drop(true).output().await
    }

    /// What is known of a run whose process told nothing.
    fn ended_without_a_word(&self, seed: u64, output: &Output) -> Summary {
        let errors = String::from_utf8_lossy(&output.stderr);
        let last = errors.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        let failure = Failure::crash("a run ends with a verdict", format_args!("{}; {last}", output.status));
        let subject = self.subject(seed);
        let failure = FailureSummary::new(&failure, &subject, crate::build::BUILD);
        Summary { failure: Some(failure), ..Summary::empty(subject) }
    }
}
