use super::*;

const START: Duration = Duration::from_secs(1000);
const NODE: NodeId = NodeId(1);

fn seconds(count: u64) -> Duration {
    START + Duration::from_secs(count)
}

fn watch() -> Watch {
    Watch::new(&ClusterSettings::default(), START)
}

fn load(available_bytes: u64) -> StorageLoad {
    StorageLoad { available_bytes, ..StorageLoad::default() }
}

#[test]
fn a_node_goes_from_alive_to_suspect_to_dead_by_its_silence() {
    let mut watch = watch();
    assert!(watch.heard(NODE, Incarnation(1), seconds(5), load(1)));
    let health: Vec<_> = [5, 14, 15, 34, 35].map(|at| watch.health(NODE, seconds(at))).into();
    assert_eq!(health, [Health::Alive, Health::Alive, Health::Suspect, Health::Suspect, Health::Dead]);
    assert_eq!(watch.silent_for(NODE, seconds(35)), Some(Duration::from_secs(30)));
    assert!(watch.is_fresh(NODE, seconds(14)) && !watch.is_fresh(NODE, seconds(15)));
}

#[test]
fn a_new_leader_counts_silence_from_its_own_beginning() {
    let watch = watch();
    let health: Vec<_> = [0, 9, 10, 29, 30].map(|at| watch.health(NODE, seconds(at))).into();
    assert_eq!(health, [Health::Unknown, Health::Unknown, Health::Suspect, Health::Suspect, Health::Dead]);
    assert_eq!((watch.silent_for(NODE, seconds(30)), watch.load(NODE)), (None, None));
}

#[test]
fn a_beat_revives_a_dead_node() {
    let mut watch = watch();
    watch.heard(NODE, Incarnation(1), seconds(0), load(1));
    assert_eq!(watch.health(NODE, seconds(60)), Health::Dead);
    assert!(watch.heard(NODE, Incarnation(1), seconds(60), load(2)));
    assert_eq!((watch.health(NODE, seconds(60)), watch.load(NODE)), (Health::Alive, Some(load(2))));
}

#[test]
fn a_beat_of_an_older_incarnation_does_not_count() {
    let mut watch = watch();
    assert!(watch.heard(NODE, Incarnation(2), seconds(0), load(1)));
    assert!(!watch.heard(NODE, Incarnation(1), seconds(20), load(2)));
    assert_eq!((watch.health(NODE, seconds(20)), watch.load(NODE)), (Health::Suspect, Some(load(1))));
    assert!(watch.heard(NODE, Incarnation(3), seconds(20), load(3)));
    assert_eq!(watch.incarnation(NODE), Some(Incarnation(3)));
    assert_eq!(watch.health(NODE, seconds(20)), Health::Alive);
}

#[test]
fn beats_that_come_out_of_order_do_not_turn_time_back() {
    let mut watch = watch();
    watch.heard(NODE, Incarnation(1), seconds(8), load(1));
    watch.heard(NODE, Incarnation(1), seconds(2), load(1));
    assert_eq!(watch.silent_for(NODE, seconds(9)), Some(Duration::from_secs(1)));
}

#[test]
fn nodes_that_beat_are_candidates_and_unheard_ones_only_while_the_leader_listens() {
    let mut watch = watch();
    let beating = StorageLoad { writes: 4, ..load(7) };
    let full = StorageLoad { refuses_chunks: true, ..load(7) };
    watch.heard(NodeId(1), Incarnation(1), seconds(3), beating);
    watch.heard(NodeId(2), Incarnation(1), seconds(3), full);
    let registered = || (1..=3).map(NodeId);
    let alive = Candidate { node: NodeId(1), available_bytes: 7, writes: 4, fresh: true };
    let unheard = Candidate { node: NodeId(3), available_bytes: 0, writes: 0, fresh: false };
    assert_eq!(watch.candidates(registered(), seconds(5)), [alive, unheard]);
    assert_eq!(watch.candidates(registered(), seconds(11)), [alive]);
    assert_eq!(watch.candidates(registered(), seconds(14)), []);
}
