//! The layers that settings come from, and their precedence.

use super::value::{Value, Wrong};
use super::{Origin, SETTINGS, Setting, SettingsError};
use dfs_core::id::Role;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What all variables of the system begin with.
pub const VARIABLE_PREFIX: &str = "DFS_";

/// Variables with that prefix that are not node settings: the clients' way to their cluster.
const OTHER_VARIABLES: [&str; 1] = ["DFS_CLUSTER"];

/// A settings file that was read.
#[derive(Clone, Copy, Debug)]
pub struct SettingsFile<'a> {
    /// Where it lies. Relative paths in it are relative to its directory.
    pub path: &'a Path,
    /// Its text (TOML).
    pub text: &'a str,
}

/// Where settings come from, each source stronger than the one before.
#[derive(Clone, Debug, Default)]
pub struct Sources<'a> {
    /// The settings file.
    pub file: Option<SettingsFile<'a>>,
    /// The process environment; variables that do not begin with `DFS_` are ignored.
    pub environment: Vec<(String, String)>,
    /// Flags, by setting key.
    pub flags: Vec<(&'static str, String)>,
}

struct Given {
    value: Value,
    origin: Origin,
}

/// All values that were given, the strongest of each key.
pub struct Layers(BTreeMap<&'static str, Given>);

impl Layers {
    /// Reads all sources.
    pub fn read(role: Role, sources: &Sources<'_>) -> Result<Layers, SettingsError> {
        let mut layers = Layers(BTreeMap::new());
        if let Some(file) = &sources.file {
            layers.read_file(role, file)?;
        }
        for (name, text) in &sources.environment {
            let Some(key) = name.strip_prefix(VARIABLE_PREFIX) else { continue };
            if OTHER_VARIABLES.contains(&name.as_str()) {
                continue;
            }
            let origin = Origin::Variable(name.clone());
            layers.give(role, &key.to_ascii_lowercase(), Value::Text(text.clone()), origin)?;
        }
        for (key, text) in &sources.flags {
            let flag = Setting::find(key).map(Setting::flag).unwrap_or_default();
            layers.give(role, key, Value::Text(text.clone()), Origin::Flag(flag))?;
        }
        Ok(layers)
    }

    fn read_file(&mut self, role: Role, file: &SettingsFile<'_>) -> Result<(), SettingsError> {
        let table: toml::Table = toml::from_str(file.text).map_err(|error| {
            let line = error
                .span()
                .map_or(1, |span| file.text.get(..span.start).map_or(1, |before| before.matches('\n').count() + 1));
            let message = error.message().replace('\n', " ");
            SettingsError::Syntax { path: file.path.to_owned(), reason: format!("line {line}: {message}") }
        })?;
        for (key, value) in table {
            self.give(role, &key, Value::from_toml(value), Origin::File(file.path.to_owned()))?;
        }
        Ok(())
    }

    fn give(&mut self, role: Role, key: &str, value: Value, origin: Origin) -> Result<(), SettingsError> {
        let Some(setting) = Setting::find(key) else {
            return Err(SettingsError::Unknown { key: key.to_owned(), origin, near: nearest(key) });
        };
        if !setting.roles.contains(&role) {
            return Err(SettingsError::OtherRole { key: setting.key, origin, role });
        }
        self.0.insert(setting.key, Given { value, origin });
        Ok(())
    }

    /// The value of a setting that has a default.
    pub fn optional<T>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&Value) -> Result<T, Wrong>,
    ) -> Result<Option<T>, SettingsError> {
        let Some(given) = self.0.get(key) else { return Ok(None) };
        parse(&given.value).map(Some).map_err(|Wrong| SettingsError::Invalid {
            key,
            value: given.value.shown(),
            origin: given.origin.clone(),
        })
    }

    /// The value of a setting that must be set.
    pub fn required<T>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&Value) -> Result<T, Wrong>,
    ) -> Result<T, SettingsError> {
        self.optional(key, parse)?.ok_or(SettingsError::Missing { key })
    }

    /// The path that must be set under `key`; in a file it is relative to the file's directory.
    pub fn required_path(&self, key: &'static str) -> Result<PathBuf, SettingsError> {
        let path = self.required(key, super::value::path)?;
        Ok(match self.0.get(key).map(|given| &given.origin) {
            Some(Origin::File(file)) => file.parent().map_or(path.clone(), |directory| directory.join(&path)),
            _ => path,
        })
    }
}

/// The key that was probably meant: within two edits.
fn nearest(key: &str) -> Option<&'static str> {
    let plain = key.replace('-', "_");
    let distances = SETTINGS.iter().map(|setting| (edits(&plain, setting.key), setting.key));
    distances.min().filter(|(edits, candidate)| *edits <= 2 && *edits < candidate.len()).map(|(_, key)| key)
}

/// How many letters must be put in, left out or changed to get from one text to the other (Levenshtein 1966).
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    // A key that is much longer than any setting is near to none of them.
    for (line, letter) in from.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, other) in to.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}
