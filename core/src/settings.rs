//! Replicated settings: what the whole cluster agrees on, kept in the Raft state.
//!
//! They are given once, at initialisation, and are part of the state from then on. Their relations are checked by
//! [`ClusterSettings::check`] before they enter the log. Times are in milliseconds.

use crate::limit::REPLICATION_MAX;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The settings of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterSettings {
    /// Copies of a chunk where an upload does not say otherwise.
    pub replication: u8,
    /// How often a storage node beats.
    pub beat_interval_ms: u64,
    /// Silence after which a storage node is Suspect.
    pub suspect_after_ms: u64,
    /// Silence after which a storage node is Dead.
    pub dead_after_ms: u64,
    /// How long an upload may stay open without progress, in cluster time.
    pub upload_expiry_ms: u64,
}

/// Settings that contradict each other or lie outside their bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSettings {
    /// No copy, or more than the system allows.
    #[error("replication must lie between 1 and {REPLICATION_MAX}")]
    Replication,
    /// A beat interval that is too short or too long.
    #[error("beat_interval_ms must lie between 50 and 60000")]
    BeatInterval,
    /// One lost beat would make a node Suspect.
    #[error("suspect_after_ms must be at least twice beat_interval_ms")]
    SuspectAfter,
    /// A node would be Dead before it is Suspect.
    #[error("dead_after_ms must be at least suspect_after_ms plus beat_interval_ms")]
    DeadAfter,
    /// Uploads would expire under their writers.
    #[error("upload_expiry_ms must be at least 60000")]
    UploadExpiry,
}

impl Default for ClusterSettings {
    fn default() -> Self {
        ClusterSettings {
            replication: 3,
            beat_interval_ms: 3_000,
            suspect_after_ms: 10_000,
            dead_after_ms: 30_000,
            upload_expiry_ms: 24 * 60 * 60 * 1000,
        }
    }
}

impl ClusterSettings {
    /// Refuses settings that contradict each other.
    pub fn check(&self) -> Result<(), InvalidSettings> {
        if !(1..=REPLICATION_MAX).contains(&self.replication) {
            return Err(InvalidSettings::Replication);
        }
        if !(50..=60_000).contains(&self.beat_interval_ms) {
            return Err(InvalidSettings::BeatInterval);
        }
        if self.suspect_after_ms < 2 * self.beat_interval_ms {
            return Err(InvalidSettings::SuspectAfter);
        }
        if self.dead_after_ms < self.suspect_after_ms.saturating_add(self.beat_interval_ms) {
            return Err(InvalidSettings::DeadAfter);
        }
        if self.upload_expiry_ms < 60_000 {
            return Err(InvalidSettings::UploadExpiry);
        }
        Ok(())
    }

    /// How often a storage node beats.
    #[must_use]
    pub fn beat_interval(&self) -> Duration {
        Duration::from_millis(self.beat_interval_ms)
    }

    /// Silence after which a storage node is Suspect.
    #[must_use]
    pub fn suspect_after(&self) -> Duration {
        Duration::from_millis(self.suspect_after_ms)
    }

    /// Silence after which a storage node is Dead.
    #[must_use]
    pub fn dead_after(&self) -> Duration {
        Duration::from_millis(self.dead_after_ms)
    }
}

/// The durable copies that an acknowledgement needs at a replication factor: a majority, so that one of three nodes
/// may be away and the loss of one store loses nothing.
#[must_use]
pub fn write_quorum(replication: u8) -> u8 {
    replication / 2 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_agree_with_each_other() {
        assert_eq!(ClusterSettings::default().check(), Ok(()));
    }

    #[test]
    fn contradicting_settings_are_refused() {
        let good = ClusterSettings::default();
        let suspects_at_once = ClusterSettings { suspect_after_ms: 3_000, ..good.clone() };
        assert_eq!(suspects_at_once.check(), Err(InvalidSettings::SuspectAfter));
        let dead_before_suspect = ClusterSettings { dead_after_ms: 9_000, ..good.clone() };
        assert_eq!(dead_before_suspect.check(), Err(InvalidSettings::DeadAfter));
        assert_eq!(ClusterSettings { replication: 0, ..good }.check(), Err(InvalidSettings::Replication));
    }

    #[test]
    fn a_quorum_is_a_majority() {
        assert_eq!([1, 2, 3, 4, 5].map(write_quorum), [1, 2, 2, 3, 3]);
    }
}
