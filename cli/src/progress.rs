//! How far a transfer is: a bar on a terminal, a plain line now and then elsewhere, nothing where silence was asked.

use crate::moment;
use crate::output::note;
use dfs_client::{LeftBehind, Progress};
use dfs_core::id::ChunkIndex;
use dfs_core::unit::ByteCount;
use dfs_core::wire::metadata::UploadDifference;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How often a plain line is written at most.
const LINE_INTERVAL: Duration = Duration::from_secs(2);

/// Shows one transfer on standard error.
#[derive(Debug)]
pub struct Display {
    verb: &'static str,
    name: String,
    began: Instant,
    style: Style,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
enum Style {
    Bar(ProgressBar),
    Lines,
    Quiet,
}

#[derive(Debug)]
struct Seen {
    total: Option<u64>,
    bytes: u64,
    /// What an earlier run left, as far as it is taken.
    left: Option<LeftBehind>,
    /// Chunks of it that were sent again, and their bytes.
    differed: (u64, u64),
    next_line: Instant,
}

impl Display {
    /// Shows a transfer called, for example, `uploading` `photos/cat.jpg`, unless `quiet`.
    #[must_use]
    pub fn new(verb: &'static str, name: &str, quiet: bool) -> Display {
        let style = if quiet {
            Style::Quiet
        } else if std::io::stderr().is_terminal() {
            Style::Bar(ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()))
        } else {
            Style::Lines
        };
        let now = Instant::now();
        let seen = Seen { total: None, bytes: 0, left: None, differed: (0, 0), next_line: now + LINE_INTERVAL };
        Display { verb, name: name.to_owned(), began: now, style, seen: Mutex::new(seen) }
    }

    /// Ends with one line about a success, such as `uploaded cat.jpg: 3 MiB in 850 ms (3.5 MiB/s)`.
    pub fn finish(&self, done: &str) {
        if let Style::Bar(bar) = &self.style {
            bar.finish_and_clear();
        }
        if matches!(self.style, Style::Quiet) {
            return;
        }
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = seen.bytes - seen.left.map_or(0, |left| untold(&left));
        note(format_args!("{done} {}: {}", self.name, summary(bytes, self.began.elapsed())));
        if let (chunks @ 1.., _) = seen.differed {
            note(format_args!("{chunks} of the chunks that were there had other bytes and were sent again"));
        }
    }

    /// Bytes that an earlier run left and that were not sent again.
    #[must_use]
    pub fn resumed_bytes(&self) -> u64 {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.left.map_or(0, |left| left.bytes.saturating_sub(seen.differed.1))
    }

    /// Says something about the transfer, unless silence was asked.
    fn remark(&self, text: std::fmt::Arguments<'_>) {
        match &self.style {
            Style::Bar(bar) => bar.suspend(|| note(text)),
            Style::Lines => note(text),
            Style::Quiet => {}
        }
    }
}

/// A bar that was cut short does not stay on the screen.
impl Drop for Display {
    fn drop(&mut self) {
        if let Style::Bar(bar) = &self.style {
            bar.finish_and_clear();
        }
    }
}

impl Progress for Display {
    fn started(&self, total: Option<u64>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.total = total;
        if let Style::Bar(bar) = &self.style {
            let template = match total {
                Some(total) => {
                    bar.set_length(total);
                    "{msg} [{bar:30}] {bytes}/{total_bytes} {binary_bytes_per_sec} {eta}"
                }
                None => "{msg} {spinner} {bytes} {binary_bytes_per_sec} {elapsed}",
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.set_message(format!("{} {}", self.verb, self.name));
        }
    }

    fn advanced(&self, bytes: u64) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.bytes += bytes;
        match &self.style {
            Style::Bar(bar) => bar.set_position(seen.bytes),
            Style::Lines => {
                let now = Instant::now();
                if now >= seen.next_line {
                    seen.next_line = now + LINE_INTERVAL;
                    note(format_args!("{} {}: {}", self.verb, self.name, reached(seen.bytes, seen.total)));
                }
            }
            Style::Quiet => {}
        }
    }

    fn resumed(&self, left: &LeftBehind) {
        let bytes = {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.left = Some(*left);
            seen.bytes += untold(left);
            seen.bytes
        };
        if let Style::Bar(bar) = &self.style {
            bar.set_position(bytes);
            bar.reset_eta();
        }
        let LeftBehind { chunks, chunks_total, .. } = left;
        self.remark(format_args!("resuming {}: {chunks} of {chunks_total} chunks are there", self.name));
    }

    fn began_anew(&self, difference: UploadDifference) {
        let why = match difference {
            UploadDifference::Size => "the file had another size",
            UploadDifference::Modified => "the file was modified at another time",
            UploadDifference::ChunkSize => "it has another chunk size",
            UploadDifference::Replication => "it has another number of copies",
        };
        self.remark(format_args!("{}: an upload was left open, but {why}; beginning anew", self.name));
    }

    fn began_with_other_bytes(&self) {
        self.remark(format_args!(
            "{}: an upload was left open, but the file had other bytes; beginning anew",
            self.name
        ));
    }

    fn differed(&self, _: ChunkIndex, length: u32) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.differed = (seen.differed.0 + 1, seen.differed.1 + u64::from(length));
    }
}

/// The bytes of what an earlier run left that will not be told of as progress.
fn untold(left: &LeftBehind) -> u64 {
    if left.compared { 0 } else { left.bytes }
}

/// Shows many transfers as one, on standard error. How many there will be is not known.
#[derive(Debug)]
pub struct Many {
    shown: Display,
}

impl Many {
    /// Shows transfers below `name`, unless `quiet`.
    #[must_use]
    pub fn new(verb: &'static str, name: &str, quiet: bool) -> Many {
        let shown = Display::new(verb, name, quiet);
        Progress::started(&shown, None);
        Many { shown }
    }

    /// One of them, shown with the others.
    #[must_use]
    pub fn one(&self) -> OneOf<'_> {
        OneOf { all: self, resumed: AtomicU64::new(0) }
    }

    /// Ends with one line, such as `uploaded 7 files below photos: 3 MiB in 850 ms (3.5 MiB/s)`.
    pub fn finish(&self, done: &str) {
        self.shown.finish(done);
    }
}

/// One of many transfers.
#[derive(Debug)]
pub struct OneOf<'a> {
    all: &'a Many,
    resumed: AtomicU64,
}

impl OneOf<'_> {
    /// Bytes that an earlier run left and that were not sent again.
    #[must_use]
    pub fn resumed_bytes(&self) -> u64 {
        self.resumed.load(Ordering::Relaxed)
    }
}

impl Progress for OneOf<'_> {
    fn started(&self, _: Option<u64>) {}

    fn advanced(&self, bytes: u64) {
        self.all.shown.advanced(bytes);
    }

    fn resumed(&self, left: &LeftBehind) {
        self.resumed.store(left.bytes, Ordering::Relaxed);
    }

    fn differed(&self, _: ChunkIndex, length: u32) {
        // Only what was left can differ.
        self.resumed.fetch_sub(u64::from(length), Ordering::Relaxed);
    }
}

fn reached(bytes: u64, total: Option<u64>) -> String {
    match total {
        Some(total) if total > 0 => {
            let percent = u128::from(bytes) * 100 / u128::from(total);
            format!("{} of {} ({percent} %)", ByteCount(bytes), ByteCount(total))
        }
        _ => ByteCount(bytes).to_string(),
    }
}

/// Bytes, time and rate of a finished transfer.
#[must_use]
pub fn summary(bytes: u64, took: Duration) -> String {
    let per_second = u128::from(bytes) * 1000 / took.as_millis().max(1);
    let rate = ByteCount(u64::try_from(per_second).unwrap_or(u64::MAX));
    format!("{} in {} ({rate}/s)", ByteCount(bytes), moment::span(took))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_lines_say_how_far_a_transfer_is() {
        assert_eq!(reached(512 << 20, Some(1 << 30)), "512 MiB of 1 GiB (50 %)");
        assert_eq!(reached(3 << 20, None), "3 MiB");
        assert_eq!(reached(0, Some(0)), "0 B");
        assert_eq!(summary(3 << 20, Duration::from_millis(500)), "3 MiB in 500 ms (6 MiB/s)");
    }
}
