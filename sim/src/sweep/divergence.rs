//! Where two runs of one seed part: the first line of their traces that differs.

use super::Launch;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

/// How often a seed is run twice until the difference shows again.
const ATTEMPTS: u32 = 3;

/// The first line that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// Its number, from one.
    pub line: u64,
    /// The line before it, which is the same in both.
    pub before: Option<String>,
    /// The line in one run; nothing if it has ended.
    pub one: Option<String>,
    /// The line in the other run.
    pub other: Option<String>,
}

/// Runs `seed` twice and compares all that happens. Nothing is found if it happens to be the same, however often it is
/// tried.
///
/// # Errors
/// A process cannot be started, or its trace cannot be read.
pub async fn find(launch: &Launch, seed: u64) -> io::Result<Option<Divergence>> {
    for _ in 0..ATTEMPTS {
        let (one, other) = (TraceFile::new(seed, "one"), TraceFile::new(seed, "other"));
        launch.write_trace(seed, &one.0).await?;
        launch.write_trace(seed, &other.0).await?;
        let open = |file: &TraceFile| File::open(&file.0).map(BufReader::new);
        let found = compare(open(&one)?, open(&other)?)?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Finds the first line that differs.
///
/// # Errors
/// One of them cannot be read.
pub fn compare(one: impl BufRead, other: impl BufRead) -> io::Result<Option<Divergence>> {
    let (mut one, mut other) = (one.lines(), other.lines());
    let mut before = None;
    for line in 1.. {
        let (left, right) = (one.next().transpose()?, other.next().transpose()?);
        if left != right {
            return Ok(Some(Divergence { line, before, one: left, other: right }));
        }
        if left.is_none() {
            break;
        }
        before = left;
    }
    Ok(None)
}

/// A trace that is gone when it is dropped.
struct TraceFile(PathBuf);

impl TraceFile {
    fn new(seed: u64, which: &str) -> TraceFile {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let (process, number) = (std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let name = format!("dfs-sim-{process}-{number}-{seed}-{which}.trace");
        TraceFile(std::env::temp_dir().join(name))
    }
}

impl Drop for TraceFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |line: &Option<String>| line.clone().unwrap_or_else(|| "(the trace has ended)".to_owned());
        write!(f, "two runs differ from line {} of their traces on", self.line)?;
        if let Some(before) = &self.before {
            write!(f, "\n    before   {before}")?;
        }
        write!(f, "\n    one      {}\n    another  {}", shown(&self.one), shown(&self.other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_differs_is_found() {
        let find = |one: &'static str, other: &'static str| compare(one.as_bytes(), other.as_bytes()).unwrap();
        assert_eq!(find("a\nb\n", "a\nb\n"), None);
        let found = find("a\nb\nc\n", "a\nB\nc\n").unwrap();
        assert_eq!((found.line, found.before.as_deref()), (2, Some("a")));
        assert_eq!((found.one.as_deref(), found.other.as_deref()), (Some("b"), Some("B")));
        let shorter = find("a\n", "a\nb\n").unwrap();
        assert!(shorter.to_string().ends_with("one      (the trace has ended)\n    another  b"), "{shorter}");
    }
}
