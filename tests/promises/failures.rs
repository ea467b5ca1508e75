//! Bytes and nodes that go wrong.

use crate::cluster::{Cluster, bytes, wait_until};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// The segment files of a storage node.
fn segments(cluster: &Cluster, node: &str) -> Vec<PathBuf> {
    let directory = cluster.data(node).join("segments");
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Flips a bit in every place of a node's segments where `pattern` stands; answers how many there were.
fn flip(cluster: &Cluster, node: &str, pattern: &[u8]) -> usize {
    let mut flipped = 0;
    for path in segments(cluster, node) {
        let content = std::fs::read(&path).unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        for place in content.windows(pattern.len()).enumerate().filter(|(_, window)| *window == pattern).map(|(place, _)| place) {
            file.write_all_at(&[content[place] ^ 1], place as u64).unwrap();
            flipped += 1;
        }
    }
    flipped
}

/// A26, A28: a bit flipped on two of three replicas is never served; the third one is found by the client itself.
#[test]
fn a_flipped_bit_is_never_served_and_another_replica_is_used() {
    let cluster = Cluster::start(1, 3);
    let content = bytes(300_000, 28);
    cluster.put("file", &content);
    wait_until("all three hold the chunk", || {
        let nodes = cluster.json(&["nodes"]);
        nodes["storage"].as_array().unwrap().iter().all(|node| node["chunks"] == 1)
    });
    let pattern = &content[150_000..150_032];
    assert_eq!(flip(&cluster, "storage-1", pattern), 1);
    assert_eq!(flip(&cluster, "storage-2", pattern), 1);
    for _ in 0..3 {
        assert!(cluster.get("file") == content);
    }
    assert_eq!(flip(&cluster, "storage-3", pattern), 1);
    let scratch = cluster.scratch();
    let file = scratch.path().join("copy");
    cluster.download("file", &file).fails(7, "1:0");
    assert!(!file.exists());
}

/// A24 and half of A23: with one of three nodes down at replication 3 a write succeeds, with two down it is refused
/// and nothing is there; the copy that is missing is caught up when its node returns.
#[test]
fn success_is_never_reported_below_the_write_quorum() {
    let cluster = Cluster::start(1, 3);
    let content = bytes(5_000_000, 24);
    cluster.put("whole", &content);
    cluster.launcher(&["kill", "storage-3"]).succeeds();
    cluster.put("degraded", &content);
    assert!(cluster.get("degraded") == content);
    cluster.launcher(&["kill", "storage-2"]).succeeds();
    let scratch = cluster.scratch();
    let file = scratch.path().join("source");
    std::fs::write(&file, &content).unwrap();
    let arguments = ["upload", "-f", file.to_str().unwrap(), "-n", "refused", "--timeout", "4s"];
    let ran = cluster.run(&arguments);
    assert!(ran.code == 5 || ran.code == 6, "{} {}", ran.code, ran.err);
    assert_eq!(cluster.names(""), ["degraded", "whole"]);
    assert!(cluster.get("whole") == content, "one of three replicas is enough to read");
    cluster.launcher(&["restart", "storage-2"]).succeeds();
    cluster.launcher(&["restart", "storage-3"]).succeeds();
    cluster.put("healed", &content);
    assert!(cluster.get("healed") == content);
}
