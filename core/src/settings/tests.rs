//! What settings may be, alone and together.

use super::*;
use crate::unit::Milliseconds;

fn change(text: &str) -> SettingChange {
    text.parse().unwrap()
}

#[test]
fn the_defaults_agree_with_each_other() {
    assert_eq!(ClusterSettings::default().check(), Ok(()));
}

#[test]
fn the_table_has_every_setting_in_the_order_of_the_keys() {
    let shown = format!("{:?}", ClusterSettings::default());
    assert_eq!(CLUSTER_SETTINGS.len(), shown.matches(": ").count(), "{shown}");
    for (place, setting) in CLUSTER_SETTINGS.iter().enumerate() {
        assert_eq!(setting.key as usize, place);
        assert!(shown.contains(&format!("{}: {}", setting.name, setting.default())), "{}", setting.name);
        assert_eq!(setting.read(&setting.shown(setting.max)), Some(setting.max), "{}", setting.name);
        assert!((setting.min..=setting.max).contains(&setting.default()), "{}", setting.name);
        assert_eq!(setting.unit == Unit::Milliseconds, setting.name.ends_with("_ms"));
    }
}

#[test]
fn each_setting_is_set_and_read_by_its_key() {
    let mut settings = ClusterSettings::default();
    for (setting, value) in CLUSTER_SETTINGS.iter().zip(1..) {
        settings.set(setting.key, value).unwrap();
    }
    let read: Vec<u64> = CLUSTER_SETTINGS.iter().map(|setting| settings.get(setting.key)).collect();
    assert_eq!(read, (1..=CLUSTER_SETTINGS.len() as u64).collect::<Vec<_>>());
}

#[test]
fn contradicting_settings_are_refused_with_the_keys_and_the_fix() {
    let good = ClusterSettings::default();
    for (settings, message, fix) in [
        (
            ClusterSettings { suspect_after_ms: 3_000, ..good.clone() },
            "suspect_after_ms = 3 s is too short for beat_interval_ms = 3 s",
            "set suspect_after_ms to 6 s or more, or lower beat_interval_ms with it",
        ),
        (
            ClusterSettings { dead_after_ms: 12_999, ..good.clone() },
            "dead_after_ms = 12999 ms is too short for suspect_after_ms = 10 s",
            "set dead_after_ms to 13 s or more, or lower suspect_after_ms with it",
        ),
        (
            ClusterSettings { replication: 0, ..good.clone() },
            "replication = 0 is not valid",
            "choose replication from 1 to 8; at most as many as storage nodes",
        ),
        (
            ClusterSettings { upload_expiry_ms: u64::MAX, ..good.clone() },
            "upload_expiry_ms = 18446744073709551615 ms is not valid",
            "choose upload_expiry_ms from 1 min to 720 h",
        ),
    ] {
        let invalid = settings.check().unwrap_err();
        assert_eq!((invalid.to_string().as_str(), invalid.fix().as_str()), (message, fix));
    }
    assert_eq!(ClusterSettings { dead_after_ms: 13_000, ..good }.check(), Ok(()));
}

#[test]
fn several_changes_are_judged_together() {
    let settings = ClusterSettings::default();
    let slower = [change("beat_interval_ms=30s"), change("suspect_after_ms=2min"), change("dead_after_ms=1h")];
    let changed = settings.changed(&slower).unwrap();
    assert_eq!(
        (changed.beat_interval_ms, changed.suspect_after_ms, changed.dead_after_ms),
        (30_000, 120_000, 3_600_000)
    );
    assert_eq!(changed.replication, settings.replication);
    assert!(matches!(settings.changed(&slower[..1]), Err(InvalidSettings::TooShort { .. })));
    let too_many = SettingChange { key: SettingKey::Replication, value: 256 + 3 };
    assert_eq!(
        settings.changed(&[too_many]),
        Err(InvalidSettings::OutOfBounds { key: SettingKey::Replication, value: 259 }),
        "a number is not cut to what fits"
    );
}

#[test]
fn nobody_is_judged_by_an_interval_that_it_has_not_heard_of() {
    let old = ClusterSettings { dead_after_ms: 20_000, ..ClusterSettings::default() };
    let new =
        old.changed(&[change("beat_interval_ms=1s"), change("suspect_after_ms=2s"), change("dead_after_ms=1min")]);
    let lenient = new.as_ref().unwrap().lenient(&old);
    assert_eq!((lenient.suspect_after_ms, lenient.dead_after_ms), (10_000, 60_000));
    assert_eq!(lenient.beat_interval_ms, 1_000);
}

#[test]
fn changes_are_read_as_people_type_them() {
    assert_eq!(change("replication=5"), SettingChange { key: SettingKey::Replication, value: 5 });
    assert_eq!(change("dead_after_ms = 5 min").value, 300_000);
    assert_eq!(change("upload_expiry_ms=2d").value, 2 * 24 * 3_600_000);
    let wrong = |text: &str| text.parse::<SettingChange>().unwrap_err().to_string();
    assert!(wrong("replication").contains("KEY=VALUE"));
    assert!(wrong("replicas=3").contains("there are replication, beat_interval_ms"), "{}", wrong("replicas=3"));
    for text in ["replication=9", "replication=0", "replication=-1", "replication=3s", "replication="] {
        assert!(wrong(text).contains("replication cannot be") && wrong(text).contains("1 to 8"), "{}", wrong(text));
    }
    for text in ["beat_interval_ms=3000", "beat_interval_ms=1.5s", "beat_interval_ms=10ms", "beat_interval_ms=2h"] {
        assert!(wrong(text).contains("with ms, s, min, h or d, from 50 ms to 1 min"), "{}", wrong(text));
    }
}

#[test]
fn times_are_shown_exactly_and_read_back() {
    for (value, shown) in [(0, "0 ms"), (999, "999 ms"), (90_000, "90 s"), (60_000, "1 min"), (86_400_000, "24 h")] {
        assert_eq!(Milliseconds(value).to_string(), shown);
        assert_eq!(shown.parse(), Ok(Milliseconds(value)));
    }
}

#[test]
fn a_quorum_is_a_majority() {
    assert_eq!([1, 2, 3, 4, 5].map(write_quorum), [1, 2, 2, 3, 3]);
}
