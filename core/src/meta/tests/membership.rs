//! The cluster and its storage nodes.

use super::*;
use crate::limit::NODES_PAGE_MAX;

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
    assert_eq!(Machine::default().apply(command), Err(Refusal::Malformed));
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
