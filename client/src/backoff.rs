//! How long to wait between tries.

use std::time::Duration;

/// Waits that double up to a cap. The caller adds jitter.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    next: Duration,
    cap: Duration,
}

impl Backoff {
    /// Waits from `first` to `cap`.
    pub(crate) fn new(first: Duration, cap: Duration) -> Backoff {
        Backoff { next: first, cap }
    }

    /// Between tries at the metadata cluster: short, so that a new leader is found soon after its election.
    pub(crate) fn metadata() -> Backoff {
        Backoff::new(Duration::from_millis(40), Duration::from_millis(200))
    }

    /// Between tries at storage nodes.
    pub(crate) fn storage() -> Backoff {
        Backoff::new(Duration::from_millis(50), Duration::from_secs(1))
    }

    /// The next wait.
    pub(crate) fn next(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(self.cap);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_their_cap() {
        let mut backoff = Backoff::metadata();
        let waits: Vec<u128> = (0..5).map(|_| backoff.next().as_millis()).collect();
        assert_eq!(waits, [40, 80, 160, 200, 200]);
    }
}
