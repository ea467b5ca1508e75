//! What the whole cluster agrees on changes while it runs.

use crate::story::{Story, all_metadata, all_storage, it, kib, leader, seconds, storage, story};
use dfs_core::settings::SettingKey;
use dfs_core::settings::SettingKey::{BeatIntervalMs, DeadAfterMs, SuspectAfterMs};
use dfs_core::wire::metadata::Health;

pub(super) fn all() -> Vec<Story> {
    vec![settings_changed()]
}

/// Windows that are longer than the default.
const LONG: &[(SettingKey, u64)] = &[(SuspectAfterMs, 25_000), (DeadAfterMs, 60_000)];

/// Windows that are much shorter, for which nodes have to beat more often.
const SHORT: &[(SettingKey, u64)] = &[(BeatIntervalMs, 1_000), (SuspectAfterMs, 3_000), (DeadAfterMs, 8_000)];

/// They contradict each other: one lost beat would make a node Suspect.
const CONTRADICTORY: &[(SettingKey, u64)] = &[(DeadAfterMs, 20_000), (SuspectAfterMs, 1_500)];

/// A new leader does not know yet whom it has not heard from.
const NOT_SUSPECTED: &[Health] = &[Health::Alive, Health::Unknown];

fn settings_changed() -> Story {
    story("settings-changed", "Windows that are changed while a node is silent hold from then on, for good (65).", 3, 4)
        .upload("a", kib(300))
        .expect_copies("a", 3)
        .unplug(storage(2))
        .expect_health(it(), Health::Suspect)
        .change_settings(LONG)
        .expect_health(it(), Health::Alive)
        .within(seconds(2))
        .expect_health(it(), Health::Suspect)
        .within(seconds(18))
        .expect_health_for(seconds(25), it(), &[Health::Suspect])
        .expect_health(it(), Health::Dead)
        .within(seconds(15))
        .mend(it())
        .until_whole()
        .change_settings(SHORT)
        .settings_refused(CONTRADICTORY, "suspect_after_ms")
        .by_another()
        .expect_settings(SHORT)
        .expect_health_for(seconds(30), all_storage(), &[Health::Alive])
        .unplug(storage(3))
        .expect_health(it(), Health::Suspect)
        .within(seconds(5))
        .expect_health(it(), Health::Dead)
        .within(seconds(7))
        .mend(it())
        .until_whole()
        .cut_power(leader())
        .expect_other_leader()
        .expect_settings(SHORT)
        .start(it())
        .expect_health_for(seconds(20), all_storage(), NOT_SUSPECTED)
        .unplug(storage(1))
        .expect_health(it(), Health::Dead)
        .within(seconds(12))
        .mend(it())
        .until_whole()
        .cut_power(all_metadata())
        .start(all_metadata())
        .until_whole()
        .expect_settings(SHORT)
        .expect_health_for(seconds(20), all_storage(), &[Health::Alive])
        .unplug(storage(4))
        .expect_health(it(), Health::Dead)
        .within(seconds(12))
        .mend(it())
        .until_whole()
        .expect_readable("a")
}
