//! Copies that are lost, or were never made, are made anew without a command.

use crate::cluster::{Cluster, bytes, wait_until, wait_within};
use dfs_actors::disk::directory::DirectoryDisk;
use dfs_actors::key_value::KeyValueStores;
use dfs_actors::key_value::fjall::FjallStores;
use dfs_actors::raft::inspect::{self, StoreView};
use dfs_core::id::NodeId;
use dfs_core::meta::{self, CopyChange, ReceiptRecord};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What repair may take here: a node's death, the wait for copies that a primary may still make, and slack.
const REPAIRED_WITHIN: Duration = Duration::from_secs(120);

/// A cluster that notices within seconds that a node is gone.
pub fn quick(metadata: u16, storage: u16) -> Cluster {
    let cluster = Cluster::start(metadata, storage);
    let windows = ["beat_interval_ms=500ms", "suspect_after_ms=2s", "dead_after_ms=5s"];
    cluster.run(&[&["settings", "set"][..], &windows].concat()).succeeds();
    cluster
}

/// The numbers of the nodes that hold each chunk of a file, and of those that have verified it.
pub fn copies(cluster: &Cluster, name: &str) -> Vec<(BTreeSet<u64>, BTreeSet<u64>)> {
    let file = cluster.json(&["stat", "--name", name]);
    let groups = file["groups"].as_array().expect("groups").iter();
    let chunks = groups.flat_map(|group| group["chunks"].as_array().expect("chunks").clone());
    let nodes =
        |list: &serde_json::Value| list.as_array().expect("nodes").iter().filter_map(|it| it.as_u64()).collect();
    chunks.map(|chunk| (nodes(&chunk["holders"]), nodes(&chunk["verified"]))).collect()
}

/// How a storage node is.
pub fn health(cluster: &Cluster, node: u64) -> String {
    let nodes = cluster.json(&["nodes"]);
    let storage = nodes["storage"].as_array().expect("storage nodes").iter();
    let found = storage.clone().find(|other| other["node"] == node).expect("the node");
    found["state"].as_str().expect("its state").to_owned()
}

/// How many chunks the nodes that are alive hold together.
fn held(cluster: &Cluster) -> u64 {
    let nodes = cluster.json(&["nodes"]);
    let storage = nodes["storage"].as_array().expect("storage nodes").iter();
    let alive = storage.filter(|node| node["state"] == "alive");
    alive.filter_map(|node| node["chunks"].as_u64()).sum()
}

/// A39: one of five nodes is killed; every chunk that it held comes back to three verified copies, the dead node is gone
/// from the locations, exactly as many copies were made as were missing, and its return changes nothing.
#[test]
fn a_dead_nodes_chunks_come_back_to_three_verified_copies() {
    let cluster = quick(1, 5);
    let contents: Vec<Vec<u8>> = (0..6).map(|i| bytes(9_000_000 + i * 1_000, i as u64)).collect();
    let name = |i: usize| format!("file-{i}");
    for (i, content) in contents.iter().enumerate() {
        cluster.put(&name(i), content);
    }
    let all = |cluster: &Cluster| (0..contents.len()).flat_map(|i| copies(cluster, &name(i))).collect::<Vec<_>>();
    wait_until("every chunk has three copies", || all(&cluster).iter().all(|(holders, _)| holders.len() == 3));
    let before = all(&cluster);
    let victim = *before[0].0.first().expect("a holder");
    cluster.launcher(&["kill", &format!("storage-{victim}")]).succeeds();
    let is_repaired = |cluster: &Cluster| {
        all(cluster).iter().zip(&before).all(|((holders, verified), (had, _))| {
            let was_hit = had.contains(&victim);
            holders.len() == 3 && !holders.contains(&victim) && (!was_hit || verified == holders)
        })
    };
    wait_within(REPAIRED_WITHIN, "every chunk is back to three verified copies", || is_repaired(&cluster));
    wait_until("no copy too many was made", || held(&cluster) == 3 * before.len() as u64);
    for (i, content) in contents.iter().enumerate() {
        assert!(cluster.get(&name(i)) == *content);
    }
    let settled: Vec<_> = all(&cluster).into_iter().map(|(holders, _)| holders).collect();
    cluster.launcher(&["restart", &format!("storage-{victim}")]).succeeds();
    wait_until("the dead node is alive again", || health(&cluster, victim) == "alive");
    let now: Vec<_> = all(&cluster).into_iter().map(|(holders, _)| holders).collect();
    assert_eq!(now, settled);
}

/// A45: no node can take the copies that are missing, then one joins.
#[test]
fn repair_waits_for_a_node_that_can_take_copies_and_starts_by_itself() {
    let cluster = quick(1, 4);
    cluster.launcher(&["kill", "storage-4"]).succeeds();
    wait_until("node 4 is dead", || health(&cluster, 4) == "dead");
    let content = bytes(9_000_000, 45);
    cluster.put("file", &content);
    wait_until("three copies", || copies(&cluster, "file").iter().all(|(holders, _)| holders.len() == 3));
    cluster.launcher(&["kill", "storage-1"]).succeeds();
    wait_until("node 1 is dead", || health(&cluster, 1) == "dead");
    assert!(copies(&cluster, "file").iter().all(|(holders, _)| holders.contains(&1)), "its copies stay named");
    cluster.launcher(&["restart", "storage-4"]).succeeds();
    let expected = BTreeSet::from([2, 3, 4]);
    wait_within(REPAIRED_WITHIN, "node 4 has taken the copies", || {
        copies(&cluster, "file").iter().all(|(holders, verified)| *holders == expected && *verified == expected)
    });
    assert!(cluster.get("file") == content);
}

/// A23's healing, and A40: what was uploaded while a node was down is whole once it is back, also after every node was
/// restarted in turn, so that no primary remembers what it owed; and no copy is ever lost over it.
#[test]
fn a_degraded_upload_heals_and_restarts_in_turn_lose_no_copy() {
    let cluster = quick(1, 3);
    cluster.launcher(&["kill", "storage-3"]).succeeds();
    wait_until("node 3 is not alive", || health(&cluster, 3) != "alive");
    let content = bytes(9_000_000, 23);
    cluster.put("file", &content);
    assert!(copies(&cluster, "file").iter().all(|(holders, _)| holders.len() == 2));
    for node in ["storage-1", "storage-2"] {
        cluster.launcher(&["restart", node]).succeeds();
    }
    cluster.launcher(&["restart", "storage-3"]).succeeds();
    wait_within(REPAIRED_WITHIN, "node 3 has its copies", || {
        copies(&cluster, "file").iter().all(|(holders, _)| holders.len() == 3)
    });
    for node in 1..=3 {
        cluster.launcher(&["restart", &format!("storage-{node}")]).succeeds();
        wait_until("it is alive again", || health(&cluster, node) == "alive");
        assert!(copies(&cluster, "file").iter().all(|(holders, _)| holders.len() == 3));
    }
    assert!(cluster.get("file") == content);
}

/// The receipts of a metadata node that is stopped, oldest first.
fn receipts(cluster: &Cluster, node: &str) -> Vec<ReceiptRecord> {
    let data = cluster.data(node);
    let name = inspect::state_store(&DirectoryDisk::open(&data).expect("a data directory")).expect("a state");
    let store = FjallStores::new(&data.join("stores")).open(&name).expect("its store");
    let view = store.snapshot();
    let (mut receipts, mut after) = (Vec::new(), None);
    loop {
        let page = meta::receipts(&StoreView(&*view), after, 256).expect("a page");
        let Some((last, _)) = page.last() else { return receipts };
        after = Some(*last);
        receipts.extend(page.into_iter().map(|(_, receipt)| receipt));
    }
}

/// A46: of five nodes two are killed at once, and each of those left sends the copies of what it alone has before any
/// other, as the receipts show.
#[test]
fn chunks_with_one_copy_left_are_repaired_before_those_with_two() {
    // Many groups, each with nodes of its own, of many small chunks.
    const CHUNKS: usize = 24 * 16;
    let cluster = Cluster::start(1, 5);
    // Nobody is dead until both have been silent for long, so that one moment finds both dead.
    cluster.run(&["settings", "set", "beat_interval_ms=300ms", "suspect_after_ms=1s", "dead_after_ms=1h"]).succeeds();
    let scratch = cluster.scratch();
    let (file, content) = (scratch.path().join("source"), bytes(CHUNKS * 65_536, 46));
    std::fs::write(&file, &content).expect("a file");
    let file = file.to_str().expect("a path");
    cluster.run(&["upload", "-f", file, "-n", "file", "--chunk-size", "64KiB"]).succeeds();
    let holders =
        || -> Vec<BTreeSet<u64>> { copies(&cluster, "file").into_iter().map(|(holders, _)| holders).collect() };
    wait_until("three copies of each", || {
        held(&cluster) == 3 * CHUNKS as u64 && holders().iter().all(|holders| holders.len() == 3)
    });
    let before = holders();
    assert_eq!(before.len(), CHUNKS);
    let left: BTreeSet<u64> = BTreeSet::from([1, 2, 3]);
    let alone = before.iter().filter(|holders| holders.intersection(&left).count() == 1).count();
    assert!(alone > 0 && alone < CHUNKS, "chance has it that {alone} of {CHUNKS} have one copy left");

    for node in ["storage-4", "storage-5"] {
        cluster.launcher(&["kill", node]).succeeds();
    }
    cluster.run(&["settings", "set", "dead_after_ms=4s"]).succeeds();
    // The next leader finds both dead once it has listened.
    cluster.launcher(&["restart", "metadata-1"]).succeeds();
    wait_within(REPAIRED_WITHIN, "all are back to three", || {
        let status = cluster.run(&["status", "--json"]);
        let status: serde_json::Value = serde_json::from_str(&status.out).unwrap_or_default();
        status["repair"]["copies_missing"] == 0 && status["repair"]["copies_made"].as_u64() > Some(0)
    });
    assert!(holders().iter().all(|holders| *holders == left));
    assert!(cluster.get("file") == content);

    cluster.launcher(&["stop", "metadata-1"]).succeeds();
    let mut live: BTreeMap<_, usize> = BTreeMap::new();
    let mut sent: BTreeMap<NodeId, Vec<usize>> = BTreeMap::new();
    // What each receipt found: how many copies were left when its order was made.
    let receipts = receipts(&cluster, "metadata-1");
    for receipt in receipts.iter().filter(|receipt| matches!(receipt.change, CopyChange::Made { .. })) {
        *live.entry(receipt.chunk).or_default() += 1;
    }
    for receipt in receipts.iter().filter(|receipt| matches!(receipt.change, CopyChange::Made { .. })) {
        sent.entry(receipt.source).or_default().push(3 - live[&receipt.chunk]);
    }
    assert_eq!(live.values().filter(|made| **made == 2).count(), alone, "two copies for each that had one left");
    assert!(live.values().all(|made| *made <= 2));
    for (source, left) in sent {
        // Some are on their way at once, and which of these ends first is a matter of chance.
        let last_urgent = left.iter().rposition(|left| *left == 1).unwrap_or(0);
        let early = left[..last_urgent].iter().filter(|left| **left == 2).count();
        assert!(early < dfs_core::limit::ORDERED_COPIES_MAX, "node {source}: {left:?}");
    }
}
