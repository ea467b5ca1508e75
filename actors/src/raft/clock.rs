//! Cluster time on the leader: the applied time, advanced by what the monotonic clock has counted since.
//!
//! Without a leader cluster time stands still, and a new leader goes on from what the state has: the time between two
//! leaders is not counted. It never goes back, because the state takes the highest time that it has seen.

use dfs_core::time::ClusterTime;
use std::sync::{Mutex, PoisonError};
use tokio::time::Instant;

/// The leader's clock.
#[derive(Debug, Default)]
pub(super) struct Clock(Mutex<Option<Reading>>);

#[derive(Clone, Copy, Debug)]
struct Reading {
    term: u64,
    time: ClusterTime,
    at: Instant,
}

impl Clock {
    /// Cluster time now, on the leader of `term`, whose state has `applied`. The clock of a term starts when it is
    /// first read.
    pub(super) fn read(&self, term: u64, applied: ClusterTime) -> ClusterTime {
        let now = Instant::now();
        let mut reading = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let going_on = reading.filter(|reading| reading.term == term);
        let started = going_on.unwrap_or(Reading { term, time: applied, at: now });
        let time = started.time.plus(now.saturating_duration_since(started.at));
        // Entries of an earlier leader may be applied after this clock has started.
        let started = if applied > time { Reading { term, time: applied, at: now } } else { started };
        *reading = Some(started);
        time.max(applied)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn cluster_time_counts_while_a_leader_leads_and_never_goes_back() {
        let clock = Clock::default();
        assert_eq!(clock.read(1, ClusterTime(100)), ClusterTime(100));
        tokio::time::advance(Duration::from_millis(40)).await;
        assert_eq!(clock.read(1, ClusterTime(100)), ClusterTime(140));
        tokio::time::advance(Duration::from_millis(10)).await;
        assert_eq!(clock.read(1, ClusterTime(500)), ClusterTime(500), "entries of an earlier leader were applied");
        tokio::time::advance(Duration::from_millis(10)).await;
        assert_eq!(clock.read(1, ClusterTime(500)), ClusterTime(510));
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(clock.read(4, ClusterTime(505)), ClusterTime(505), "the time between leaders does not count");
    }
}
