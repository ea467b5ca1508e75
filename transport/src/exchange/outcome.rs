//! What passes through exchanges and how they end, for those who count.

use dfs_core::refusal::Refusal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// How this side ended an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It was given up, or has not ended.
    Failed,
    /// It was finished.
    Done,
    /// It was refused, and may succeed later or elsewhere.
    Retryable,
    /// It was refused.
    Refused,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Outcome; 4] = [Outcome::Failed, Outcome::Done, Outcome::Retryable, Outcome::Refused];
}

/// Bytes on the streams of exchanges, as this side hands them to QUIC and takes them from it: messages, payload, and
/// their frames.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Bytes that were sent.
    pub sent: AtomicU64,
    /// Bytes that were received.
    pub received: AtomicU64,
}

/// Tells how an exchange ended. Clones tell the same.
#[derive(Clone, Debug, Default)]
pub struct Probe(Arc<AtomicU8>);

impl Probe {
    /// How it has ended so far.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        let number = usize::from(self.0.load(Ordering::Relaxed));
        Outcome::ALL.get(number).copied().unwrap_or(Outcome::Failed)
    }

    /// The first end counts.
    pub(super) fn ended(&self, outcome: Outcome) {
        let _ = self.0.compare_exchange(Outcome::Failed as u8, outcome as u8, Ordering::Relaxed, Ordering::Relaxed);
    }

    pub(super) fn refused(&self, refusal: &Refusal) {
        self.ended(if refusal.is_retryable() { Outcome::Retryable } else { Outcome::Refused });
    }
}
