//! How quick reads have been lately, and so how long to wait for one before another replica is read beside it.
//!
//! Owns the times of the last reads that brought their bytes, whichever replica they came from, and the budget of
//! reads that may be begun only because others are slow: a share of all reads and a small burst (after Dean and
//! Barroso, "The Tail at Scale", CACM 2013). A cluster that is slow as a whole is not made slower by its readers.
//!
//! Deliberately absent: anything about single nodes, which is [`Standing`](crate::standing::Standing)'s.

use dfs_core::limit::{EXTRA_READS_BURST, EXTRA_READS_PERMILLE, READ_STILL_MAX_MS, READ_STILL_MIN_MS};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Reads that are remembered.
const REMEMBERED: usize = 64;
/// Reads before what is remembered says anything.
const REMEMBERED_MIN: usize = 8;
/// How long a read may stand still before anything is known.
const STILL_UNKNOWN: Duration = Duration::from_millis(250);
/// The time for a mebibyte before anything is known.
const MEBIBYTE_UNKNOWN: Duration = Duration::from_millis(100);
/// A mebibyte is given at least so long.
const MEBIBYTE_MIN: Duration = Duration::from_millis(10);
/// Reads of fewer bytes say nothing about throughput.
const THROUGHPUT_BYTES_MIN: u32 = 256 * 1024;
/// A read is late when it stands still for so many times the 95th percentile until the first byte.
const STILL_FACTOR: u32 = 2;
/// A read is late when its bytes take so many times the median.
const WHOLE_FACTOR: u32 = 4;
/// What one read costs of the budget, in thousandths.
const ONE: u32 = 1000;

/// What one read took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    /// From asking to the first byte of the answer.
    pub(crate) first_byte: Duration,
    /// From the first byte to the last.
    pub(crate) flow: Duration,
    /// Bytes of payload.
    pub(crate) bytes: u32,
}

impl Service {
    /// The time for a mebibyte after the first byte, if the read was long enough to tell.
    pub(crate) fn per_mebibyte(&self) -> Option<Duration> {
        let long = self.bytes >= THROUGHPUT_BYTES_MIN;
        long.then(|| self.flow.mul_f64(f64::from(1 << 20) / f64::from(self.bytes)))
    }
}

/// How long to wait for a read of so many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patience {
    /// How long it may stand still.
    pub(crate) still: Duration,
    /// How long it may take in all.
    pub(crate) whole: Duration,
    /// Whether reads of so many bytes have been seen, so that `whole` is more than a guess.
    pub(crate) known: bool,
}

/// How quick the reads of a client have been lately. All of a client's transfers share it.
#[derive(Debug, Default)]
pub(crate) struct Pace(Mutex<Recent>);

#[derive(Debug)]
struct Recent {
    first_byte: VecDeque<Duration>,
    per_mebibyte: VecDeque<Duration>,
    /// Thousandths of a read that may be begun beside a slow one.
    budget: u32,
}

impl Default for Recent {
    fn default() -> Recent {
        Recent { first_byte: VecDeque::new(), per_mebibyte: VecDeque::new(), budget: EXTRA_READS_BURST * ONE }
    }
}

impl Pace {
    /// A read begins. Answers how long to wait for its `bytes`.
    pub(crate) fn begin(&self, bytes: u32) -> Patience {
        let mut recent = self.recent();
        recent.budget = (recent.budget + EXTRA_READS_PERMILLE * ONE / 1000).min(EXTRA_READS_BURST * ONE);
        let still = quantile(&recent.first_byte, 95).map_or(STILL_UNKNOWN, |time| time * STILL_FACTOR);
        let still = still.clamp(Duration::from_millis(READ_STILL_MIN_MS), Duration::from_millis(READ_STILL_MAX_MS));
        let median = quantile(&recent.per_mebibyte, 50);
        let mebibyte = median.unwrap_or(MEBIBYTE_UNKNOWN).max(MEBIBYTE_MIN);
        let flow = (mebibyte * WHOLE_FACTOR).mul_f64(f64::from(bytes) / f64::from(1 << 20));
        let short = bytes < THROUGHPUT_BYTES_MIN && recent.first_byte.len() >= REMEMBERED_MIN;
        Patience { still, whole: still + flow, known: short || median.is_some() }
    }

    /// A read has brought its bytes.
    pub(crate) fn served(&self, service: &Service) {
        let mut recent = self.recent();
        remember(&mut recent.first_byte, service.first_byte);
        if let Some(time) = service.per_mebibyte() {
            remember(&mut recent.per_mebibyte, time);
        }
    }

    /// Takes one read out of the budget, if it has one.
    pub(crate) fn spend(&self) -> bool {
        let mut recent = self.recent();
        let left = recent.budget.checked_sub(ONE);
        recent.budget = left.unwrap_or(recent.budget);
        left.is_some()
    }

    fn recent(&self) -> std::sync::MutexGuard<'_, Recent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn remember(times: &mut VecDeque<Duration>, time: Duration) {
    if times.len() == REMEMBERED {
        times.pop_front();
    }
    times.push_back(time);
}

/// The time that so many of a hundred reads keep to, once there are enough of them.
fn quantile(times: &VecDeque<Duration>, percent: usize) -> Option<Duration> {
    if times.len() < REMEMBERED_MIN {
        return None;
    }
    let mut sorted: Vec<Duration> = times.iter().copied().collect();
    sorted.sort_unstable();
    sorted.get((sorted.len() * percent / 100).min(sorted.len() - 1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn milliseconds(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    fn known(still: u64, whole: u64) -> Patience {
        Patience { still: milliseconds(still), whole: milliseconds(whole), known: true }
    }

    fn serve(pace: &Pace, count: u32, first_byte: u64, flow: u64, bytes: u32) {
        let service = Service { first_byte: milliseconds(first_byte), flow: milliseconds(flow), bytes };
        (0..count).for_each(|_| pace.served(&service));
    }

    #[test]
    fn patience_follows_what_reads_have_taken_lately() {
        let pace = Pace::default();
        assert_eq!(pace.begin(0).still, STILL_UNKNOWN);
        serve(&pace, 7, 400, 4, 1 << 20);
        assert_eq!(pace.begin(0).still, STILL_UNKNOWN, "too little is known");
        serve(&pace, 64, 100, 50, 1 << 20);
        assert_eq!(pace.begin(2 << 20), known(200, 600));
        // What was slow long ago is forgotten, and what is rare does not count.
        serve(&pace, 61, 40, 20, 1 << 20);
        serve(&pace, 3, 5000, 5000, 1 << 20);
        assert_eq!(pace.begin(1 << 20), known(80, 160));
    }

    #[test]
    fn patience_is_never_too_short_nor_too_long() {
        let pace = Pace::default();
        serve(&pace, 64, 0, 0, 1 << 20);
        assert_eq!(pace.begin(1 << 20), known(50, 90));
        serve(&pace, 64, 3000, 0, 1 << 20);
        assert_eq!(pace.begin(0).still, milliseconds(500));
    }

    #[test]
    fn small_reads_say_nothing_about_throughput() {
        let pace = Pace::default();
        serve(&pace, 64, 1, 1000, 4096);
        let guess = Patience { known: false, ..known(50, 450) };
        assert_eq!(pace.begin(1 << 20), guess);
        assert!(pace.begin(THROUGHPUT_BYTES_MIN - 1).known, "but the first byte is most of a small read");
    }

    #[test]
    fn extra_reads_are_a_share_of_all_reads_and_a_burst() {
        let pace = Pace::default();
        let spent = |pace: &Pace| (0..100).take_while(|_| pace.spend()).count();
        assert_eq!(spent(&pace), 8);
        (0..95).for_each(|_| _ = pace.begin(1));
        assert_eq!(spent(&pace), 8, "no more than a burst is saved up");
        (0..39).for_each(|_| _ = pace.begin(1));
        assert_eq!(spent(&pace), 3);
    }
}
