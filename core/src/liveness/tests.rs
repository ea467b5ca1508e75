use super::*;
use crate::slowness::PeerTimes;

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
}

#[test]
fn the_time_in_which_a_leader_stands_still_is_nobodys_silence() {
    let mut watch = watch();
    for at in 1..=40 {
        watch.heard(NODE, Incarnation(1), seconds(at), load(1));
        assert_eq!(watch.goes_on(seconds(at)), None);
    }
    assert_eq!(watch.goes_on(seconds(45)), None, "it is a little late");
    assert_eq!(watch.silent_for(NODE, seconds(45)), Some(Duration::from_secs(5)));
    // It hangs for an hour, and every node seems silent for as long.
    let back = 45 + 3600;
    assert_eq!(watch.goes_on(seconds(back)), Some(Duration::from_secs(3600)));
    assert_eq!(watch.observe([NODE, NodeId(2)], seconds(back), ClusterTime(1))[0].1.to, Health::Alive);
    assert_eq!(watch.silent_for(NODE, seconds(back)), Some(Duration::from_secs(5)));
    assert!(watch.has_listened(seconds(back)), "as before");
    // Who is silent from now on is so.
    for at in back + 1..back + 25 {
        assert_eq!(watch.goes_on(seconds(at)), None);
    }
    let health: Vec<_> = [4, 5, 24, 25].map(|at| watch.health(NODE, seconds(back + at))).into();
    assert_eq!(health, [Health::Alive, Health::Suspect, Health::Suspect, Health::Dead]);
}

#[test]
fn where_windows_are_short_a_short_pause_of_the_leader_is_nobodys_silence_either() {
    let short = |dead_after_ms| ClusterSettings { suspect_after_ms: 500, dead_after_ms, ..ClusterSettings::default() };
    let mut watch = Watch::new(&short(1_000), START);
    watch.heard(NODE, Incarnation(1), seconds(1), load(1));
    assert_eq!(watch.goes_on(seconds(2)), None, "as long as lies between two looks");
    assert_eq!(watch.goes_on(seconds(5)), Some(Duration::from_secs(3)));
    assert_eq!(watch.silent_for(NODE, seconds(5)), Some(Duration::from_secs(1)));
}

#[test]
fn a_leader_that_stands_still_while_it_listens_has_not_listened() {
    let mut watch = watch();
    assert_eq!(watch.goes_on(seconds(40)), Some(Duration::from_secs(40)));
    assert!(!watch.has_listened(seconds(69)));
    assert_eq!(watch.health(NODE, seconds(49)), Health::Unknown);
    assert!(watch.has_listened(seconds(70)));
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
    let alive = Candidate { node: NodeId(1), available_bytes: 7, writes: 4, fresh: true, slow: false };
    let unheard = Candidate { node: NodeId(3), available_bytes: 0, writes: 0, fresh: false, slow: false };
    assert_eq!(watch.candidates(registered(), seconds(5)), [alive, unheard]);
    assert_eq!(watch.candidates(registered(), seconds(11)), [alive]);
    assert_eq!(watch.candidates(registered(), seconds(14)), []);
}

#[test]
fn a_candidate_that_several_find_slow_is_told_so_by_the_leader_that_heard_it() {
    let mut watch = watch();
    for node in 1..=3 {
        watch.heard(NodeId(node), Incarnation(1), seconds(3), load(7));
    }
    let times = PeerTimes { copy_ms: 300, round_trip_ms: 1 };
    let slow = |watch: &Watch| -> Vec<bool> {
        watch.candidates([NodeId(1), NodeId(3)], seconds(4)).iter().map(|candidate| candidate.slow).collect()
    };
    for teller in [1, 2] {
        assert_eq!(slow(&watch), [false, false]);
        watch.told_of_slow(NodeId(teller), vec![SlowPeer { node: NodeId(3), times, usual: times }], seconds(4));
    }
    assert_eq!(slow(&watch), [false, true]);
    assert!(watch.is_slow(NodeId(3), seconds(4)));
    watch.leaves(NodeId(3), Incarnation(1));
    assert!(!watch.is_slow(NodeId(3), seconds(4)), "who stops is not called slow for it");
}

#[test]
fn every_change_of_health_is_noted_with_what_it_rests_on() {
    let mut watch = watch();
    let time = |at: u64| ClusterTime(at * 1000);
    let look = |watch: &mut Watch, at: u64| watch.observe([NODE], seconds(at), time(at));
    assert_eq!(look(&mut watch, 1), [], "nothing is known yet");
    watch.heard(NODE, Incarnation(3), seconds(2), load(1));
    let alive = Transition {
        at: time(2),
        from: Health::Unknown,
        to: Health::Alive,
        cause: Cause::Beat { incarnation: Incarnation(3) },
    };
    assert_eq!(look(&mut watch, 2), [(NODE, alive)]);
    assert_eq!(look(&mut watch, 11), []);
    let cause = Cause::Silence { silent_ms: 10_000 };
    let suspect = Transition { at: time(12), from: Health::Alive, to: Health::Suspect, cause };
    assert_eq!(look(&mut watch, 12), [(NODE, suspect)]);
    let cause = Cause::Silence { silent_ms: 31_000 };
    let dead = Transition { at: time(33), from: Health::Suspect, to: Health::Dead, cause };
    assert_eq!(look(&mut watch, 33), [(NODE, dead)]);
    watch.heard(NODE, Incarnation(3), seconds(40), load(1));
    let cause = Cause::Beat { incarnation: Incarnation(3) };
    let revived = Transition { at: time(40), from: Health::Dead, to: Health::Alive, cause };
    assert_eq!(look(&mut watch, 40), [(NODE, revived)]);
    assert_eq!(watch.history(NODE), [alive, suspect, dead, revived]);
    assert_eq!(watch.history(NodeId(9)), []);
}

#[test]
fn the_history_of_a_node_is_bounded() {
    let mut watch = watch();
    for beat in 0..40 {
        watch.heard(NODE, Incarnation(1), seconds(beat * 20), load(1));
        watch.observe([NODE], seconds(beat * 20), ClusterTime(beat));
        watch.observe([NODE], seconds(beat * 20 + 15), ClusterTime(beat));
    }
    let history = watch.history(NODE);
    assert_eq!(history.len(), HEALTH_HISTORY_MAX);
    assert_eq!(history.last().map(|last| (last.at, last.to)), Some((ClusterTime(39), Health::Suspect)));
}

#[test]
fn a_node_that_leaves_gets_no_work_and_is_dead_only_after_the_window() {
    let mut watch = watch();
    watch.heard(NODE, Incarnation(2), seconds(40), load(1));
    watch.leaves(NODE, Incarnation(1));
    assert_eq!(watch.health(NODE, seconds(40)), Health::Alive, "an earlier life has no say");
    watch.leaves(NODE, Incarnation(2));
    assert_eq!(watch.candidates([NODE], seconds(40)), []);
    let health: Vec<_> = [40, 69, 70].map(|at| watch.health(NODE, seconds(at))).into();
    assert_eq!(health, [Health::Suspect, Health::Suspect, Health::Dead]);
    let changes = watch.observe([NODE], seconds(41), ClusterTime(1));
    assert_eq!(changes[0].1.cause, Cause::Leaving);
    assert!(watch.is_leaving(NODE));
    watch.heard(NODE, Incarnation(3), seconds(71), load(1));
    assert_eq!(watch.health(NODE, seconds(71)), Health::Alive);
    assert!(!watch.is_leaving(NODE));
}

#[test]
fn nobody_is_dead_before_a_leader_has_listened_for_the_whole_window() {
    let mut watch = watch();
    assert!(!watch.has_listened(seconds(29)));
    assert!(watch.has_listened(seconds(30)));
    // Shorter windows take effect at once.
    watch.follow(&ClusterSettings { suspect_after_ms: 6_000, dead_after_ms: 9_000, ..ClusterSettings::default() });
    let health: Vec<_> = [5, 6, 9].map(|at| watch.health(NODE, seconds(at))).into();
    assert_eq!(health, [Health::Unknown, Health::Suspect, Health::Dead]);
}
