//! How storage nodes are, as metadata sees them, and what its own troubles must not do to them.

use crate::cluster::{Cluster, bytes, wait_until};
use crate::metrics::{metrics, value};
use crate::repair::{copies, health};
use crate::slow::Stopped;
use std::time::{Duration, Instant};

/// How long a node may be silent before it is dead, in the clusters of these promises.
const DEAD_AFTER: Duration = Duration::from_secs(4);

/// A cluster with short windows. A leader that was there before them goes by the longer ones for a while.
pub fn quick(metadata: u16, storage: u16) -> Cluster {
    let cluster = Cluster::start(metadata, storage);
    shorten(&cluster);
    cluster
}

fn shorten(cluster: &Cluster) {
    let dead_after = format!("dead_after_ms={}ms", DEAD_AFTER.as_millis());
    cluster.run(&["settings", "set", "beat_interval_ms=300ms", "suspect_after_ms=2s", &dead_after]).succeeds();
    cluster.launcher(&["restart", &cluster.leader()]).succeeds();
}

/// What a node's health became, one change after the other, as the leader noted it.
fn changes(cluster: &Cluster, node: u64) -> Vec<(u64, String)> {
    let node = cluster.json(&["nodes", &format!("storage-{node}")]);
    let history = node["history"].as_array().expect("its history").iter();
    let change = |change: &serde_json::Value| {
        (change["cluster_time_ms"].as_u64().expect("a time"), change["to"].as_str().expect("a state").to_owned())
    };
    history.map(change).collect()
}

/// The chunks that each storage node holds.
fn held(cluster: &Cluster) -> Vec<Option<u64>> {
    let nodes = cluster.json(&["nodes"]);
    nodes["storage"].as_array().expect("storage nodes").iter().map(|node| node["chunks"].as_u64()).collect()
}

/// What the leader tells of repair, once it has listened for the whole window.
fn repair(cluster: &Cluster) -> serde_json::Value {
    let status = cluster.run(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&status.out).unwrap_or_default();
    status["repair"].clone()
}

/// Whether the leader has listened for the whole window and then looked at every chunk.
fn has_looked(cluster: &Cluster) -> bool {
    repair(cluster)["looked_ago_ms"].is_u64()
}

/// Waits until the leader has looked at every chunk, and whatever it then may have ordered has been taken and done.
fn wait_for_orders(cluster: &Cluster) {
    wait_until("the leader has listened and looked", || has_looked(cluster));
    let nodes = cluster.json(&["nodes"]);
    let nodes = nodes["storage"].as_array().expect("storage nodes").iter();
    let addresses: Vec<&str> = nodes.map(|node| node["address"].as_str().expect("an address")).collect();
    let beats = |address: &str| value(&metrics(address), "dfs_beats_total{outcome=\"done\"}");
    let before: Vec<f64> = addresses.iter().map(|address| beats(address)).collect();
    wait_until("every node has beaten again and again", || {
        addresses.iter().zip(&before).all(|(address, before)| beats(address) >= before + 8.0)
    });
}

fn all_have_three_copies(cluster: &Cluster, name: &str) -> bool {
    copies(cluster, name).iter().all(|(holders, _)| holders.len() == 3)
}

/// A36: with the usual windows shown, and shorter ones tried.
#[test]
fn a_silent_node_is_suspect_then_dead_and_a_heartbeat_brings_it_back() {
    let cluster = Cluster::start(1, 2);
    let agreed = cluster.json(&["settings", "show"]);
    let setting = |key: &str| {
        let settings = agreed["settings"].as_array().expect("settings").iter();
        settings.clone().find(|setting| setting["key"] == key).expect("the setting")["value"].clone()
    };
    assert_eq!(["beat_interval_ms", "suspect_after_ms", "dead_after_ms"].map(setting), [3_000, 10_000, 30_000]);
    shorten(&cluster);
    wait_until("the leader has listened, and both beat", || {
        repair(&cluster).is_object() && [1, 2].iter().all(|node| health(&cluster, *node) == "alive")
    });
    let before = changes(&cluster, 2).len();
    let stopped = Stopped::node(&cluster, "storage-2");
    let mut seen = Vec::new();
    wait_until("it is dead", || {
        let state = health(&cluster, 2);
        if seen.last() != Some(&state) {
            seen.push(state);
        }
        seen.last().is_some_and(|state| state == "dead")
    });
    assert_eq!(seen, ["alive", "suspect", "dead"]);
    assert_eq!(health(&cluster, 1), "alive");
    wait_until("its death is noted", || changes(&cluster, 2).last().is_some_and(|(_, to)| to == "dead"));
    let status = cluster.json(&["status"])["storage"].clone();
    let troubled = status["troubled"].as_array().expect("nodes in trouble");
    let named: Vec<_> = troubled.iter().map(|node| (&node["name"], &node["state"])).collect();
    assert_eq!(named, [(&"storage-2".into(), &"dead".into())], "{status}");
    assert!(troubled[0]["cause"].as_str().is_some_and(|cause| cause.starts_with("silent for ")), "{status}");
    drop(stopped);
    wait_until("a heartbeat has brought it back", || health(&cluster, 2) == "alive");
    let node = cluster.json(&["nodes", "storage-2"]);
    assert_eq!(node["incarnation"], 1, "it is the same life");
    let changes = changes(&cluster, 2);
    let states: Vec<&str> = changes[before..].iter().map(|(_, to)| to.as_str()).collect();
    assert_eq!(states, ["suspect", "dead", "alive"]);
    let took_ms = changes[before + 1].0 - changes[before].0;
    assert!(took_ms >= 900, "suspect for two seconds, as it is looked at once a second, and not for {took_ms} ms");
}

/// A37: storage nodes that beat all the while are not dead to the next leader, at no moment, and files stay readable.
#[test]
#[allow(clippy::disallowed_methods, reason = "a test outside of any node")]
fn the_death_of_the_metadata_leader_makes_no_storage_node_dead() {
    let cluster = quick(3, 3);
    let content = bytes(3_000_000, 37);
    cluster.put("file", &content);
    let leader = cluster.leader();
    cluster.launcher(&["kill", &leader]).succeeds();
    let killed = Instant::now();
    wait_until("the next leader has listened", || {
        let nodes = cluster.json(&["nodes"]);
        let storage = nodes["storage"].as_array().expect("storage nodes").iter();
        let states: Vec<&str> = storage.map(|node| node["state"].as_str().expect("a state")).collect();
        assert!(!states.contains(&"dead"), "{states:?}");
        assert!(cluster.get("file") == content);
        killed.elapsed() > DEAD_AFTER && repair(&cluster).is_object()
    });
    assert_ne!(cluster.leader(), leader);
    for node in 1..=3 {
        let changes = changes(&cluster, node);
        assert!(changes.iter().all(|(_, to)| to != "dead"), "{node}: {changes:?}");
    }
    assert!(all_have_three_copies(&cluster, "file"));
}

/// A38: for longer than a node needs to be dead, no node could tell metadata that it lives.
#[test]
#[allow(clippy::disallowed_methods, reason = "a test outside of any node")]
fn metadata_that_was_away_for_long_finds_every_file_readable_and_every_replica_there() {
    let cluster = quick(3, 3);
    let contents: Vec<Vec<u8>> = (0..3).map(|seed| bytes(5_000_000, seed)).collect();
    for (number, content) in contents.iter().enumerate() {
        cluster.put(&format!("file-{number}"), content);
    }
    wait_until("every copy is made and told", || {
        held(&cluster) == [Some(6); 3]
            && (0..3).all(|number| all_have_three_copies(&cluster, &format!("file-{number}")))
    });
    for node in ["metadata-1", "metadata-2", "metadata-3"] {
        cluster.launcher(&["kill", node]).succeeds();
    }
    let killed = Instant::now();
    let storage = ["storage-1", "storage-2", "storage-3"].map(|node| cluster.address(node));
    let failed = "dfs_beats_total{outcome=\"failed\"}";
    wait_until("every node has long been unable to beat", || {
        let all = storage.iter().all(|node| value(&metrics(node), failed) >= 2.0);
        all && killed.elapsed() > DEAD_AFTER + Duration::from_secs(1)
    });
    cluster.launcher(&["up", "-d"]).succeeds();
    for (number, content) in contents.iter().enumerate() {
        assert!(cluster.get(&format!("file-{number}")) == *content, "file {number} is readable at once");
    }
    wait_for_orders(&cluster);
    wait_until("all beat again with every replica", || held(&cluster) == [Some(6); 3]);
    assert!((0..3).all(|number| all_have_three_copies(&cluster, &format!("file-{number}"))));
    for node in 1..=3 {
        let changes = changes(&cluster, node);
        assert!(changes.iter().all(|(_, to)| to != "dead"), "{node}: {changes:?}");
    }
    assert_eq!(repair(&cluster)["copies_made"], 0, "nothing was missing");
}

/// A43: what was written before anybody had listened for a whole window is as safe as all else.
#[test]
fn chunks_of_a_clusters_first_seconds_keep_their_replicas() {
    let cluster = Cluster::start(1, 4);
    let content = bytes(9_000_000, 43);
    cluster.put("first", &content);
    shorten(&cluster);
    let settled = |cluster: &Cluster| held(cluster).into_iter().flatten().sum::<u64>() == 9;
    wait_until("every copy is made", || all_have_three_copies(&cluster, "first") && settled(&cluster));
    let first: Vec<_> = copies(&cluster, "first").into_iter().map(|(holders, _)| holders).collect();
    let replicas = held(&cluster);
    wait_for_orders(&cluster);
    let now: Vec<_> = copies(&cluster, "first").into_iter().map(|(holders, _)| holders).collect();
    assert_eq!(now, first);
    assert_eq!(held(&cluster), replicas);
    assert_eq!(repair(&cluster)["copies_made"], 0);
    assert!(cluster.get("first") == content);
}

/// A52: `status` answers while nodes are down, and calls nothing healthy that nobody has looked at.
#[test]
fn status_tells_what_is_known_and_what_is_not_while_nodes_are_down() {
    let cluster = quick(3, 3);
    cluster.put("file", &bytes(9_000_000, 52));
    wait_until("every copy is made", || all_have_three_copies(&cluster, "file"));
    let leader = cluster.leader();
    for node in ["storage-3", &leader] {
        cluster.launcher(&["kill", node]).succeeds();
    }
    let mut was_unknown = false;
    wait_until("the missing copies are told", || {
        let screen = cluster.run(&["status"]);
        assert!(!screen.out.contains("nothing to do"), "{}", screen.out);
        let repair = repair(&cluster);
        was_unknown |= screen.code == 0 && repair.is_null() && screen.out.contains("not known yet");
        repair["chunks_below"] == 3
    });
    assert!(was_unknown, "a leader that has not listened does not know");
    let status = cluster.json(&["status"]);
    assert_eq!((&status["metadata"]["nodes"], &status["metadata"]["responding"]), (&3.into(), &2.into()));
    assert_eq!((&status["storage"]["alive"], &status["storage"]["dead"]), (&2.into(), &1.into()));
    assert_eq!(status["repair"]["copies_missing"], 3);
    assert_eq!((&status["repair"]["files_below"], &status["repair"]["files_unavailable"]), (&1.into(), &0.into()));
    let actors = cluster.json(&["status", "--actors"]);
    for node in actors["nodes"].as_array().expect("nodes") {
        let is_down = node["name"] == "storage-3" || node["name"] == leader.as_str();
        assert_eq!((node["answers"] == false, node["actors"].is_null()), (is_down, is_down), "{node}");
    }
    for node in ["storage-1", "storage-2"] {
        cluster.launcher(&["kill", node]).succeeds();
    }
    wait_until("nobody beats", || cluster.json(&["status"])["storage"]["alive"] == 0);
    let status = cluster.json(&["status"]);
    assert!(status["capacity_bytes"].is_null() && status["available_bytes"].is_null(), "{status}");
    wait_until("every chunk is told to have no copy", || repair(&cluster)["chunks_unavailable"] == 3);
}
