//! The table of replicated settings: the one list of what there is.

use super::{ClusterSettings, InvalidSettings};
use crate::limit::REPLICATION_MAX;
use crate::unit::Milliseconds;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Which setting. Append-only once released: the order is the wire format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SettingKey {
    /// [`ClusterSettings::replication`].
    Replication,
    /// [`ClusterSettings::beat_interval_ms`].
    BeatIntervalMs,
    /// [`ClusterSettings::suspect_after_ms`].
    SuspectAfterMs,
    /// [`ClusterSettings::dead_after_ms`].
    DeadAfterMs,
    /// [`ClusterSettings::upload_expiry_ms`].
    UploadExpiryMs,
}

/// What a setting counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// Milliseconds; written with a unit of time, such as `10s`.
    Milliseconds,
}

/// One setting, as its documentation says.
#[derive(Clone, Copy, Debug)]
pub struct ClusterSetting {
    /// Which it is.
    pub key: SettingKey,
    /// What it is called.
    pub name: &'static str,
    /// What it counts.
    pub unit: Unit,
    /// Its least value.
    pub min: u64,
    /// Its greatest value.
    pub max: u64,
    /// How it relates to others, if it does.
    pub relation: Option<&'static str>,
    /// What it means.
    pub about: &'static str,
}

const HOUR_MS: u64 = 60 * 60 * 1000;

/// Every setting of a cluster, in the order of [`SettingKey`].
pub const CLUSTER_SETTINGS: &[ClusterSetting] = &[
    ClusterSetting {
        key: SettingKey::Replication,
        name: "replication",
        unit: Unit::Count,
        min: 1,
        max: REPLICATION_MAX as u64,
        relation: Some("at most as many as storage nodes"),
        about: "copies of a chunk where an upload does not say otherwise; files that exist keep theirs",
    },
    ClusterSetting {
        key: SettingKey::BeatIntervalMs,
        name: "beat_interval_ms",
        unit: Unit::Milliseconds,
        min: 50,
        max: 60_000,
        relation: None,
        about: "how often a storage node beats",
    },
    ClusterSetting {
        key: SettingKey::SuspectAfterMs,
        name: "suspect_after_ms",
        unit: Unit::Milliseconds,
        min: 100,
        max: HOUR_MS,
        relation: Some("at least twice beat_interval_ms"),
        about: "silence after which a storage node gets no new work",
    },
    ClusterSetting {
        key: SettingKey::DeadAfterMs,
        name: "dead_after_ms",
        unit: Unit::Milliseconds,
        min: 150,
        max: 24 * HOUR_MS,
        relation: Some("at least suspect_after_ms plus beat_interval_ms"),
        about: "silence after which a storage node's copies do not count",
    },
    ClusterSetting {
        key: SettingKey::UploadExpiryMs,
        name: "upload_expiry_ms",
        unit: Unit::Milliseconds,
        min: 60_000,
        max: 30 * 24 * HOUR_MS,
        relation: None,
        about: "how long an upload may stay open without progress (not acted on yet)",
    },
];

impl SettingKey {
    /// What the table says of it.
    #[must_use]
    pub fn setting(self) -> &'static ClusterSetting {
        &CLUSTER_SETTINGS[self as usize]
    }
}

impl fmt::Display for SettingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.setting().name)
    }
}

impl ClusterSetting {
    /// A value as people write it, with its unit.
    #[must_use]
    pub fn shown(&self, value: u64) -> String {
        match self.unit {
            Unit::Count => value.to_string(),
            Unit::Milliseconds => Milliseconds(value).to_string(),
        }
    }

    /// The value that a text stands for: a whole number, for times with a unit.
    #[must_use]
    pub fn read(&self, text: &str) -> Option<u64> {
        match self.unit {
            Unit::Count => text.parse().ok(),
            Unit::Milliseconds => text.parse().ok().map(|Milliseconds(value)| value),
        }
    }

    /// Its default.
    #[must_use]
    pub fn default(&self) -> u64 {
        ClusterSettings::default().get(self.key)
    }

    /// What it may be, in words.
    #[must_use]
    pub fn bounds(&self) -> String {
        let bounds = format!("{} to {}", self.shown(self.min), self.shown(self.max));
        self.relation.map_or(bounds.clone(), |relation| format!("{bounds}; {relation}"))
    }
}

impl ClusterSettings {
    /// The value of a setting, in its unit.
    #[must_use]
    pub fn get(&self, key: SettingKey) -> u64 {
        match key {
            SettingKey::Replication => u64::from(self.replication),
            SettingKey::BeatIntervalMs => self.beat_interval_ms,
            SettingKey::SuspectAfterMs => self.suspect_after_ms,
            SettingKey::DeadAfterMs => self.dead_after_ms,
            SettingKey::UploadExpiryMs => self.upload_expiry_ms,
        }
    }

    /// Gives a setting a value, in its unit. What it has to do with others is left to [`ClusterSettings::check`].
    pub(super) fn set(&mut self, key: SettingKey, value: u64) -> Result<(), InvalidSettings> {
        match key {
            SettingKey::Replication => {
                self.replication = u8::try_from(value).map_err(|_| InvalidSettings::OutOfBounds { key, value })?;
            }
            SettingKey::BeatIntervalMs => self.beat_interval_ms = value,
            SettingKey::SuspectAfterMs => self.suspect_after_ms = value,
            SettingKey::DeadAfterMs => self.dead_after_ms = value,
            SettingKey::UploadExpiryMs => self.upload_expiry_ms = value,
        }
        Ok(())
    }
}
