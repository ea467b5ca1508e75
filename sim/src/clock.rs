//! The wall clock of a simulated machine: virtual time plus a skew that a scenario may change.

use dfs_core::time::WallTime;
use dfs_transport::world::WallClock;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tokio::time::Instant;

/// What a right wall clock shows when a simulation starts: 2026-01-01T00:00:00Z.
pub const EPOCH: WallTime = WallTime(1_767_225_600_000);

/// A wall clock that runs with virtual time. Clones are the same clock.
#[derive(Clone, Debug)]
pub struct SimWallClock {
    start: Instant,
    skew_ms: Arc<AtomicI64>,
}

impl SimWallClock {
    /// A right clock, in a simulation that started at `start`.
    #[must_use]
    pub fn new(start: Instant) -> SimWallClock {
        SimWallClock { start, skew_ms: Arc::default() }
    }

    /// Makes it wrong by so many milliseconds, ahead or behind.
    pub fn set_skew_ms(&self, skew_ms: i64) {
        self.skew_ms.store(skew_ms, Ordering::Relaxed);
    }

    /// Moves it by so many milliseconds, forward or back.
    pub fn jump_ms(&self, ms: i64) {
        self.set_skew_ms(self.skew_ms().saturating_add(ms));
    }

    /// By how many milliseconds it is wrong.
    #[must_use]
    pub fn skew_ms(&self) -> i64 {
        self.skew_ms.load(Ordering::Relaxed)
    }
}

impl WallClock for SimWallClock {
    fn now(&self) -> WallTime {
        let right = EPOCH.0.saturating_add(u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX));
        WallTime(right.saturating_add_signed(self.skew_ms()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn the_clock_follows_virtual_time_and_its_skew() {
        let clock = SimWallClock::new(Instant::now());
        assert_eq!(clock.now(), EPOCH);
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert_eq!(clock.now(), WallTime(EPOCH.0 + 3_600_000));
        clock.set_skew_ms(-5_000);
        assert_eq!(clock.now(), WallTime(EPOCH.0 + 3_595_000));
        clock.jump_ms(-1_000);
        clock.jump_ms(3_000);
        assert_eq!(clock.now(), WallTime(EPOCH.0 + 3_597_000));
    }
}
