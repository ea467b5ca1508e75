//! The cluster and its storage nodes.

use super::*;
use crate::limit::{NODES_PAGE_MAX, REQUEST_KEPT_MS};
use crate::settings::{InvalidSettings, SettingKey};
use crate::wire::metadata::ChangeSettings;

#[test]
fn a_cluster_is_initialised_once() {
    let mut machine = Machine::with_nodes(1);
    let settings = ClusterSettings { replication: 1, ..ClusterSettings::default() };
    let again = |cluster| Command::Initialise { cluster: ClusterId(cluster), settings: settings.clone() };
    let before = machine.state.pairs.clone();
    assert_eq!(machine.apply(again(1)), Ok(Outcome::Done));
    assert_eq!(machine.apply(again(2)), Err(Refusal::WrongCluster));
    assert_eq!(machine.state.pairs, before);
    assert_eq!(cluster(&machine.state).unwrap(), Some((ClusterId(1), ClusterSettings::default())));
    let contradiction = ClusterSettings { replication: 0, ..settings };
    let command = Command::Initialise { cluster: ClusterId(1), settings: contradiction };
    let key = SettingKey::Replication;
    let invalid = InvalidSettings::OutOfBounds { key, value: 0 };
    assert_eq!(Machine::default().apply(command), Err(Refusal::Settings(invalid)));
}

fn change(request: u128, tried: u64, changes: &[&str]) -> Command {
    let changes = changes.iter().map(|text| text.parse().unwrap()).collect();
    Command::ChangeSettings {
        request: ChangeSettings { request: RequestId(request), first_tried: ClusterTime(tried), changes },
    }
}

fn settings(machine: &Machine) -> ClusterSettings {
    cluster(&machine.state).unwrap().unwrap().1
}

#[test]
fn settings_change_together_or_not_at_all() {
    let mut machine = Machine::with_nodes(4);
    let wanted = ClusterSettings { replication: 4, beat_interval_ms: 500, ..ClusterSettings::default() };
    let outcome = machine.apply(change(1, 0, &["beat_interval_ms=500ms", "replication=4"]));
    assert_eq!(outcome, Ok(Outcome::SettingsChanged(wanted.clone())));
    assert_eq!(cluster(&machine.state).unwrap(), Some((ClusterId(1), wanted.clone())));
    let contradiction = machine.apply(change(2, 0, &["upload_expiry_ms=1h", "dead_after_ms=1s"]));
    assert!(matches!(contradiction, Err(Refusal::Settings(InvalidSettings::TooShort { .. }))), "{contradiction:?}");
    let copies = machine.apply(change(3, 0, &["upload_expiry_ms=1h", "replication=5"]));
    assert_eq!(copies, Err(Refusal::TooManyCopies { asked: 5, nodes: 4 }));
    for unclear in [&[][..], &["replication=3", "replication=4"]] {
        assert_eq!(machine.apply(change(4, 0, unclear)), Err(Refusal::Malformed));
    }
    assert_eq!(settings(&machine), wanted);
    assert_eq!(Machine::default().apply(change(5, 0, &["replication=1"])), Err(Refusal::Unavailable));
}

#[test]
fn a_retried_change_of_settings_undoes_no_later_one() {
    let mut machine = Machine::with_nodes(3);
    let first = change(1, 0, &["dead_after_ms=1min"]);
    let outcome = machine.apply(first.clone());
    machine.apply(change(2, 0, &["dead_after_ms=2min"])).unwrap();
    assert_eq!(machine.apply(first.clone()), outcome, "the answer that was kept");
    assert_eq!(settings(&machine).dead_after_ms, 120_000);
    machine.now += REQUEST_KEPT_MS + 1;
    assert_eq!(machine.apply(first), Err(Refusal::OutcomeUnknown));
    assert_eq!(settings(&machine).dead_after_ms, 120_000);
}

#[test]
fn settings_of_fewer_nodes_than_copies_can_change_but_for_the_copies() {
    let mut machine = Machine::with_nodes(1);
    machine.apply(change(1, 0, &["dead_after_ms=1min"])).unwrap();
    assert_eq!(settings(&machine).replication, 3);
}

#[test]
fn each_start_of_a_node_begins_a_higher_incarnation() {
    let mut machine = Machine::with_nodes(0);
    assert_eq!(machine.register(7, 100, 1), Ok(Incarnation(1)));
    assert_eq!(machine.register(7, 100, 1), Ok(Incarnation(1)), "the same start again");
    assert_eq!(machine.register(7, 101, 1), Ok(Incarnation(2)));
    assert_eq!(machine.register(7, 102, 2), Ok(Incarnation(3)));
    assert_eq!(machine.register(8, 200, 3), Ok(Incarnation(1)));
    assert_eq!(totals(&machine.state).unwrap().storage_nodes, 2);
    let record = node(&machine.state, NodeId(7)).unwrap().unwrap();
    assert_eq!((record.incarnation, record.store, record.generation), (Incarnation(3), StoreId(2), 1));
    assert_eq!(node(&machine.state, NodeId(9)).unwrap(), None);
}

#[test]
fn nodes_come_in_pages() {
    let mut machine = Machine::with_nodes(5);
    machine.register(u64::MAX, 1, 1).unwrap();
    let page = |after: Option<u64>, limit| {
        let page = nodes(&machine.state, after.map(NodeId), limit).unwrap();
        page.into_iter().map(|record| record.node.0).collect::<Vec<_>>()
    };
    assert_eq!(page(None, 2), [1, 2]);
    assert_eq!(page(Some(2), 2), [3, 4]);
    assert_eq!(page(Some(4), usize::MAX), [5, u64::MAX]);
    assert_eq!(page(Some(u64::MAX), 2), [0; 0]);
    assert!(machine.state.scan_limit_max.get() <= NODES_PAGE_MAX);
}
