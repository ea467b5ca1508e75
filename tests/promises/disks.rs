//! Data directories belong to one process and keep what was acknowledged.

use crate::cluster::{Cluster, Ran, bytes, executable};

/// A57.
#[test]
fn a_second_process_on_a_data_directory_refuses_to_start() {
    let cluster = Cluster::shared();
    for (role, node) in [("storage", "storage-1"), ("metadata", "metadata-1")] {
        let settings = cluster.path().join("nodes").join(node).join("node.toml");
        let mut command = executable();
        command.args(["node", role, "--listen", "127.0.0.1:0", "--config"]).arg(settings);
        let ran = Ran::of(command);
        assert_ne!(ran.code, 0);
        assert!(ran.err.contains("in use by another process"), "{}", ran.err);
        assert!(!ran.err.contains("panicked"), "{}", ran.err);
    }
    cluster.put("a57", b"the first one goes on");
    assert_eq!(cluster.get("a57"), b"the first one goes on");
}

/// A54, its part on real processes: SIGKILL on a storage node under load.
#[test]
fn what_was_acknowledged_is_whole_after_a_storage_node_was_killed_and_restarted() {
    let cluster = Cluster::start(1, 1);
    let content = bytes(6_000_000, 54);
    for round in 0..4 {
        cluster.put(&format!("file-{round}"), &content);
    }
    let scratch = cluster.scratch();
    let file = scratch.path().join("source");
    std::fs::write(&file, bytes(60_000_000, 55)).unwrap();
    let arguments = ["upload", "-f", file.to_str().unwrap(), "-n", "unfinished"];
    let mut upload = cluster.command(&arguments);
    upload.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut upload = upload.spawn().unwrap();
    crate::cluster::wait_until("the upload is under way", || {
        cluster.json(&["nodes"])["storage"][0]["chunks"].as_u64().unwrap_or(0) >= 8
            || upload.try_wait().unwrap().is_some()
    });
    cluster.launcher(&["kill", "storage-1"]).succeeds();
    let _ = upload.kill();
    let _ = upload.wait();
    cluster.launcher(&["restart", "storage-1"]).succeeds();
    for round in 0..4 {
        assert!(cluster.get(&format!("file-{round}")) == content, "file {round} is whole");
    }
    cluster.put("again", &content);
    assert!(cluster.get("again") == content);
}

/// A lost index is rebuilt from the segments.
#[test]
fn a_storage_node_that_lost_its_index_rebuilds_it() {
    let cluster = Cluster::start(1, 1);
    let content = bytes(9_000_000, 58);
    cluster.put("file", &content);
    cluster.launcher(&["stop", "storage-1"]).succeeds();
    std::fs::remove_dir_all(cluster.data("storage-1").join("stores")).unwrap();
    cluster.launcher(&["restart", "storage-1"]).succeeds();
    assert!(cluster.get("file") == content);
}
