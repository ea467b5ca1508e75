//! Replicated settings: what the whole cluster agrees on, kept in the Raft state.
//!
//! They are given at initialisation and changed by an entry of the log, several at once. What there is, with units,
//! bounds and meaning, is one table ([`CLUSTER_SETTINGS`]), which the command line, the operator's manual and the checks
//! share; how settings relate is [`ClusterSettings::check`], which holds before settings enter the state. Times are in
//! milliseconds.

mod change;
mod table;

pub use change::{InvalidChange, SettingChange};
pub use table::{CLUSTER_SETTINGS, ClusterSetting, SettingKey, Unit};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum InvalidSettings {
    /// One lies outside its bounds.
    #[error("{key} = {} is not valid", key.setting().shown(*value))]
    OutOfBounds {
        /// Which.
        key: SettingKey,
        /// What it would be.
        value: u64,
    },
    /// One is too small for another.
    #[error("{key} = {} is too short for {other} = {}", key.setting().shown(*value), other.setting().shown(*other_value))]
    TooShort {
        /// The one.
        key: SettingKey,
        /// What it would be.
        value: u64,
        /// What it must be at least.
        least: u64,
        /// The other.
        other: SettingKey,
        /// What that would be.
        other_value: u64,
    },
}

impl InvalidSettings {
    /// What to do about it, on one line.
    #[must_use]
    pub fn fix(&self) -> String {
        match self {
            InvalidSettings::OutOfBounds { key, .. } => format!("choose {key} from {}", key.setting().bounds()),
            InvalidSettings::TooShort { key, least, other, .. } => {
                format!("set {key} to {} or more, or lower {other} with it", key.setting().shown(*least))
            }
        }
    }
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
    ///
    /// # Errors
    /// The first that lies outside its bounds, else the first that does not fit another.
    pub fn check(&self) -> Result<(), InvalidSettings> {
        for setting in CLUSTER_SETTINGS {
            let value = self.get(setting.key);
            if !(setting.min..=setting.max).contains(&value) {
                return Err(InvalidSettings::OutOfBounds { key: setting.key, value });
            }
        }
        let (beat, suspect) = (self.beat_interval_ms, self.suspect_after_ms);
        // One lost beat does not make a node Suspect, and no node is Dead before it is Suspect.
        for (key, least, other) in [
            (SettingKey::SuspectAfterMs, beat.saturating_mul(2), SettingKey::BeatIntervalMs),
            (SettingKey::DeadAfterMs, suspect.saturating_add(beat), SettingKey::SuspectAfterMs),
        ] {
            let value = self.get(key);
            if value < least {
                let other_value = self.get(other);
                return Err(InvalidSettings::TooShort { key, value, least, other, other_value });
            }
        }
        Ok(())
    }

    /// These settings with some changed, if they then agree with each other.
    ///
    /// # Errors
    /// As [`ClusterSettings::check`] says of the result.
    pub fn changed(&self, changes: &[SettingChange]) -> Result<ClusterSettings, InvalidSettings> {
        let mut settings = self.clone();
        for change in changes {
            settings.set(change.key, change.value)?;
        }
        settings.check()?;
        Ok(settings)
    }

    /// The same with the longer windows of both: what silence is judged by just after a change, until every node that
    /// lives has heard of its new interval. For how long is [`ClusterSettings::suspect_after`] of the old.
    #[must_use]
    pub fn lenient(&self, old: &ClusterSettings) -> ClusterSettings {
        ClusterSettings {
            suspect_after_ms: self.suspect_after_ms.max(old.suspect_after_ms),
            dead_after_ms: self.dead_after_ms.max(old.dead_after_ms),
            ..self.clone()
        }
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
mod tests;
