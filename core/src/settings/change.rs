//! Changes of settings, as they are typed and as they travel.

use super::{CLUSTER_SETTINGS, SettingKey, Unit};
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// A new value for one setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingChange {
    /// Which setting.
    pub key: SettingKey,
    /// Its new value, in its unit.
    pub value: u64,
}

/// A text that is no change of a setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidChange {
    /// It has no `=`.
    #[error("{0:?} is not KEY=VALUE, such as dead_after_ms=5min")]
    NoValue(String),
    /// There is no such setting.
    #[error("there is no setting {key:?}; there are {}", names())]
    Unknown {
        /// What was typed.
        key: String,
    },
    /// The value is not one of the setting's unit.
    #[error("{key} cannot be {value:?}; write {}, from {}", written(.key), .key.setting().bounds())]
    Value {
        /// The setting.
        key: SettingKey,
        /// What was typed.
        value: String,
    },
}

fn names() -> String {
    CLUSTER_SETTINGS.iter().map(|setting| setting.name).collect::<Vec<_>>().join(", ")
}

fn written(key: &SettingKey) -> &'static str {
    match key.setting().unit {
        Unit::Count => "a whole number",
        Unit::Milliseconds => "a whole number with ms, s, min, h or d",
    }
}

impl FromStr for SettingChange {
    type Err = InvalidChange;

    fn from_str(text: &str) -> Result<Self, InvalidChange> {
        let (key, value) = text.split_once('=').ok_or_else(|| InvalidChange::NoValue(text.to_owned()))?;
        let (key, value) = (key.trim(), value.trim());
        let setting = CLUSTER_SETTINGS.iter().find(|setting| setting.name == key);
        let setting = setting.ok_or_else(|| InvalidChange::Unknown { key: key.to_owned() })?;
        let read = setting.read(value).filter(|value| (setting.min..=setting.max).contains(value));
        let value = read.ok_or_else(|| InvalidChange::Value { key: setting.key, value: value.to_owned() })?;
        Ok(SettingChange { key: setting.key, value })
    }
}
