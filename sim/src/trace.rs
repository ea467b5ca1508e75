//! The trace: what happens, in order, and a running hash over it.
//!
//! Two runs are the same if their hashes are. The hash takes virtual time, kind and detail of every event, and every
//! packet with its bytes, so that ciphertext that differs is noticed at once. Log lines of the system stand in the
//! trace for its reader; they are not hashed, so that their level changes nothing.
//!
//! The latest lines are kept in memory for whoever wants to know what came before a failure. Packets are hashed as
//! numbers and become lines only for a [`Reader`] who asks for them: they are nearly all that happens.

mod line;
mod log;
mod only;

pub use log::LogLines;
pub use only::Only;

use dfs_transport::world::Scope;
use line::Line;
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Lines that are kept in memory: some minutes of a busy cluster.
const LINES_MAX: usize = 100_000;

/// What begins the fields of an event, and of a packet, in the hash.
const EVENT: u8 = 0;
const PACKET: u8 = 1;

/// Collects what happens. Clones are the same trace.
#[derive(Clone)]
pub struct Trace(Arc<Shared>);

struct Shared {
    start: Instant,
    /// The time of the latest event, for whoever watches from another thread.
    virtual_us: AtomicU64,
    inner: Mutex<Inner>,
}

struct Inner {
    hash: Sha256,
    events: u64,
    latest: VecDeque<String>,
    reader: Option<Reader>,
}

/// Where lines go as they come, and which.
pub struct Reader {
    /// Takes the lines.
    pub sink: Box<dyn Write + Send>,
    /// Whether packets become lines too.
    pub packets: bool,
    /// The lines that are wanted.
    pub only: Only,
}

/// What a trace came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceSummary {
    /// Events so far.
    pub events: u64,
    /// The hash over all of them.
    pub hash: [u8; 32],
}

impl Trace {
    /// An empty trace that starts now.
    #[must_use]
    pub fn new(reader: Option<Reader>) -> Trace {
        let inner = Inner { hash: Sha256::new(), events: 0, latest: VecDeque::new(), reader };
        Trace(Arc::new(Shared { start: Instant::now(), virtual_us: AtomicU64::new(0), inner: Mutex::new(inner) }))
    }

    /// Adds an event of the node whose task is running, if one is.
    pub fn record(&self, kind: &str, detail: fmt::Arguments<'_>) {
        let (time, text) = (self.tick(), detail.to_string());
        let mut inner = self.lock();
        inner.count(EVENT, time, kind);
        inner.hash.update((text.len() as u64).to_le_bytes());
        inner.hash.update(text.as_bytes());
        let scope = Scope::current();
        inner.show(&Line { time, node: name(scope.as_ref()), kind, text: &text });
    }

    /// Adds what became of a packet of so many bytes; `payload` is empty where its bytes have been counted before.
    pub fn packet(&self, fate: &str, from: SocketAddr, to: SocketAddr, bytes: usize, payload: &[u8]) {
        let time = self.tick();
        let mut inner = self.lock();
        inner.count(PACKET, time, fate);
        inner.hash_address(from);
        inner.hash_address(to);
        inner.hash.update((bytes as u64).to_le_bytes());
        // Nobody forges traces: a checksum notices ciphertext that differs, for a tenth of the price of the hash.
        let checksum = crc32c::crc32c(payload);
        inner.hash.update(checksum.to_le_bytes());
        if let Some(reader) = &mut inner.reader
            && reader.packets
        {
            let mut text = format!("{from:>18} > {to:<18} {bytes:>5}");
            if !payload.is_empty() {
                text.push_str(&format!(" {checksum:08x}"));
            }
            let scope = Scope::current();
            reader.read(&Line { time, node: name(scope.as_ref()), kind: fate, text: &text });
        }
    }

    /// Adds a line that is only for reading: it neither counts nor is hashed.
    pub fn note(&self, node: &str, kind: &str, text: &str) {
        let time = self.0.start.elapsed();
        self.lock().show(&Line { time, node, kind, text });
    }

    /// What it came to so far.
    #[must_use]
    pub fn summary(&self) -> TraceSummary {
        let mut inner = self.lock();
        if let Some(reader) = &mut inner.reader {
            let _ = reader.sink.flush();
        }
        TraceSummary { events: inner.events, hash: inner.hash.clone().finalize().into() }
    }

    /// The last `count` lines, without packets.
    #[must_use]
    pub fn last_lines(&self, count: usize) -> Vec<String> {
        let inner = self.lock();
        inner.latest.iter().skip(inner.latest.len().saturating_sub(count)).cloned().collect()
    }

    /// Writes all lines that are kept, without packets.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn write_lines(&self, to: &mut impl Write) -> io::Result<()> {
        self.lock().latest.iter().try_for_each(|line| to.write_all(line.as_bytes()))
    }

    /// When it started: the zero of all virtual times.
    #[must_use]
    pub fn start(&self) -> Instant {
        self.0.start
    }

    /// The virtual time of its latest event. Any thread may ask.
    #[must_use]
    pub fn virtual_time(&self) -> Duration {
        Duration::from_micros(self.0.virtual_us.load(Ordering::Relaxed))
    }

    fn tick(&self) -> Duration {
        let time = self.0.start.elapsed();
        self.0.virtual_us.store(micros(time), Ordering::Relaxed);
        time
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Counts an event and hashes what every event has. Every field has a fixed length, or its length before it.
    fn count(&mut self, family: u8, time: Duration, kind: &str) {
        self.events += 1;
        self.hash.update([family]);
        self.hash.update(micros(time).to_le_bytes());
        self.hash.update((kind.len() as u64).to_le_bytes());
        self.hash.update(kind.as_bytes());
    }

    fn hash_address(&mut self, address: SocketAddr) {
        match address.ip() {
            IpAddr::V4(ip) => self.hash.update(ip.to_ipv6_mapped().octets()),
            IpAddr::V6(ip) => self.hash.update(ip.octets()),
        }
        self.hash.update(address.port().to_le_bytes());
    }

    fn show(&mut self, line: &Line<'_>) {
        if let Some(reader) = &mut self.reader {
            reader.read(line);
        }
        if self.latest.len() == LINES_MAX {
            self.latest.pop_front();
        }
        self.latest.push_back(line.to_string());
    }
}

impl Reader {
    /// The lines are an aid to the reader of a run; losing them must not change it.
    fn read(&mut self, line: &Line<'_>) {
        if self.only.wants(line) && self.sink.write_all(line.to_string().as_bytes()).is_err() {
            self.sink = Box::new(io::sink());
        }
    }
}

/// Who an event is of, in lines.
fn name(scope: Option<&Scope>) -> &str {
    scope.map_or("-", Scope::name)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
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
mod tests;
