//! The trace: one line per event, and a running hash over all of them.
//!
//! Two runs are the same if their hashes are. The lines are made for reading side by side: virtual time, kind, detail,
//! aligned. Packets add their bytes to the hash, so that ciphertext that differs is noticed at once.

use sha2::{Digest, Sha256};
use std::fmt::{self, Write as _};
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::Instant;

/// Collects what happens. Clones are the same trace.
#[derive(Clone)]
pub struct Trace(Arc<Mutex<Inner>>);

struct Inner {
    start: Instant,
    hash: Sha256,
    events: u64,
    line: String,
    sink: Option<Box<dyn Write + Send>>,
}

/// What a trace came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceSummary {
    /// Events so far.
    pub events: u64,
    /// The hash over all of them.
    pub hash: [u8; 32],
}

impl Trace {
    /// An empty trace that starts now, and writes its lines to `sink` if there is one.
    #[must_use]
    pub fn new(sink: Option<Box<dyn Write + Send>>) -> Trace {
        let start = Instant::now();
        Trace(Arc::new(Mutex::new(Inner { start, hash: Sha256::new(), events: 0, line: String::new(), sink })))
    }

    /// Adds an event.
    pub fn record(&self, kind: &str, detail: fmt::Arguments<'_>) {
        self.record_bytes(kind, detail, &[]);
    }

    /// Adds an event with bytes that count for the hash but are not shown.
    pub fn record_bytes(&self, kind: &str, detail: fmt::Arguments<'_>, bytes: &[u8]) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Inner { start, hash, events, line, sink } = &mut *inner;
        let time = start.elapsed();
        line.clear();
        // Writing to a string cannot fail.
        let _ = writeln!(line, "{:>7}.{:06} {kind:<10} {detail}", time.as_secs(), time.subsec_micros());
        hash.update(line.as_bytes());
        hash.update(bytes);
        *events += 1;
        // The lines are an aid to the reader of a failed run; losing them must not change the run.
        if let Some(sink) = sink
            && sink.write_all(line.as_bytes()).is_err()
        {
            inner.sink = None;
        }
    }

    /// What it came to so far.
    #[must_use]
    pub fn summary(&self) -> TraceSummary {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sink) = &mut inner.sink {
            let _ = sink.flush();
        }
        TraceSummary { events: inner.events, hash: inner.hash.clone().finalize().into() }
    }

    /// When it started: the zero of all virtual times.
    #[must_use]
    pub fn start(&self) -> Instant {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).start
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trace")
    }
}

impl fmt::Display for TraceSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Half of the hash is plenty to compare by eye and by machine.
        self.hash[..16].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_traces_have_equal_hashes_and_bytes_count() {
        let runtime =
            || tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let hash = |bytes: &'static [u8]| {
            runtime().block_on(async {
                let trace = Trace::new(None);
                trace.record("event", format_args!("{}", 1));
                trace.record_bytes("packet", format_args!(""), bytes);
                trace.summary()
            })
        };
        assert_eq!(hash(b"a"), hash(b"a"));
        assert_ne!(hash(b"a").hash, hash(b"b").hash);
        assert_eq!(hash(b"a").events, 2);
    }
}
