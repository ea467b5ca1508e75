//! `settings`: what the whole cluster agrees on, shown and changed.

use crate::connect::ClusterArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::json;
use crate::output::{note, print};
use crate::runtime;
use crate::table::{Align, Table};
use clap::{Args, Subcommand};
use dfs_core::settings::{CLUSTER_SETTINGS, ClusterSetting, ClusterSettings, SettingChange, Unit, write_quorum};
use serde::Serialize;
use std::collections::BTreeSet;

const EXAMPLES: &str = "\
Examples:
  dfs-cli settings show
  dfs-cli settings set dead_after_ms=5min
  dfs-cli settings set beat_interval_ms=1s suspect_after_ms=3s dead_after_ms=10s

Settings of one node are another matter: see dfs-cli node --help.";

const SHOW_EXAMPLES: &str = "\
Examples:
  dfs-cli settings show
  dfs-cli settings show --json | jq '.settings[] | select(.value != .default) | .key'

With --json: settings, an array with the fields key, value, default, unit (count or ms), min, max, relation and about;
and write_quorum, the durable copies behind an acknowledgement at the present replication.";

const SET_EXAMPLES: &str = "\
Examples:
  dfs-cli settings set replication=2
  dfs-cli settings set beat_interval_ms=1s suspect_after_ms=3s dead_after_ms=10s

All are changed together, or none. Nodes go by new values within one beat of the old interval. Times have a unit: ms,
s, min, h or d.";

/// Show or change what the whole cluster agrees on
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct SettingsVerbs {
    #[command(subcommand)]
    verb: SettingsVerb,
}

#[derive(Debug, Subcommand)]
enum SettingsVerb {
    /// Show all settings, with their defaults and bounds
    #[command(after_help = SHOW_EXAMPLES)]
    Show {
        /// Write JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        cluster: ClusterArgs,
    },
    /// Change settings, all together or none
    #[command(after_help = SET_EXAMPLES)]
    Set {
        /// New values
        #[arg(required = true, value_name = "KEY=VALUE")]
        changes: Vec<SettingChange>,
        /// Do not show success
        #[arg(short, long)]
        quiet: bool,
        #[command(flatten)]
        cluster: ClusterArgs,
    },
}

impl SettingsVerbs {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self.verb {
            SettingsVerb::Show { json, cluster } => runtime::run_interruptible("settings", async |world| {
                let client = cluster.client(&world)?;
                let settings = client.settings().await?;
                client.close().await;
                if json {
                    print(format_args!("{}\n", json::pretty(&SettingsJson::of(&settings))))
                } else {
                    print(format_args!("{}", screen(&settings)))
                }
            }),
            SettingsVerb::Set { changes, quiet, cluster } => {
                refuse_twice(&changes)?;
                runtime::run_interruptible("settings", async |world| {
                    let client = cluster.client(&world)?;
                    let settings = client.change_settings(changes.clone()).await?;
                    client.close().await;
                    for SettingChange { key, .. } in changes.iter().filter(|_| !quiet) {
                        note(format_args!("{key} = {}", key.setting().shown(settings.get(*key))));
                    }
                    Ok(())
                })
            }
        }
    }
}

fn refuse_twice(changes: &[SettingChange]) -> Result<(), Failure> {
    let mut seen = BTreeSet::new();
    match changes.iter().find(|change| !seen.insert(change.key)) {
        Some(change) => {
            Err(Failure::new(Exit::Usage, format_args!("{} is given twice", change.key)).hint("name each setting once"))
        }
        None => Ok(()),
    }
}

fn screen(settings: &ClusterSettings) -> String {
    let mut table = Table::new(&[
        ("SETTING", Align::Left),
        ("VALUE", Align::Right),
        ("DEFAULT", Align::Right),
        ("BOUNDS", Align::Left),
        ("MEANS", Align::Left),
    ]);
    for setting in CLUSTER_SETTINGS {
        table.row([
            setting.name.to_owned(),
            setting.shown(settings.get(setting.key)),
            setting.shown(setting.default()),
            setting.bounds(),
            setting.about.to_owned(),
        ]);
    }
    let (copies, quorum) = (settings.replication, write_quorum(settings.replication));
    format!("{table}\nAn upload is acknowledged once {quorum} of {copies} copies of every chunk are durable.\n")
}

/// All settings, as `settings show --json` writes them.
#[derive(Serialize)]
struct SettingsJson {
    settings: Vec<SettingJson>,
    write_quorum: u8,
}

#[derive(Serialize)]
struct SettingJson {
    key: &'static str,
    value: u64,
    default: u64,
    unit: &'static str,
    min: u64,
    max: u64,
    relation: Option<&'static str>,
    about: &'static str,
}

impl SettingsJson {
    fn of(settings: &ClusterSettings) -> SettingsJson {
        let of = |setting: &ClusterSetting| SettingJson {
            key: setting.name,
            value: settings.get(setting.key),
            default: setting.default(),
            unit: match setting.unit {
                Unit::Count => "count",
                Unit::Milliseconds => "ms",
            },
            min: setting.min,
            max: setting.max,
            relation: setting.relation,
            about: setting.about,
        };
        SettingsJson {
            settings: CLUSTER_SETTINGS.iter().map(of).collect(),
            write_quorum: write_quorum(settings.replication),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_manual_has_every_setting_of_the_cluster() {
        let manual = include_str!("../../../docs/OPERATIONS.md");
        for setting in CLUSTER_SETTINGS {
            let (name, about, bounds) = (setting.name, setting.about, setting.bounds());
            let row = format!("| `{name}` | {} | {bounds} | {about} |", setting.shown(setting.default()));
            assert!(manual.contains(&row), "docs/OPERATIONS.md lacks: {row}");
        }
    }

    #[test]
    fn values_are_shown_with_their_units_beside_their_defaults() {
        let settings = ClusterSettings { replication: 2, dead_after_ms: 90_000, ..ClusterSettings::default() };
        let screen = screen(&settings);
        let line = |name: &str| screen.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        let words: Vec<String> = line("dead_after_ms").split_whitespace().take(5).map(str::to_owned).collect();
        assert_eq!(words, ["dead_after_ms", "90", "s", "30", "s"]);
        assert!(screen.contains("2 of 2 copies"), "{screen}");
        let json = json::line(&SettingsJson::of(&settings));
        assert!(
            json.contains("{\"key\":\"dead_after_ms\",\"value\":90000,\"default\":30000,\"unit\":\"ms\""),
            "{json}"
        );
    }

    #[test]
    fn a_setting_is_named_once() {
        let changes = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
        assert!(refuse_twice(&changes(&["replication=1", "dead_after_ms=1min"])).is_ok());
        let failure = refuse_twice(&changes(&["replication=1", "replication=2"])).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.message.contains("replication"), "{failure}");
    }
}
