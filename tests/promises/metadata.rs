//! The metadata cluster answers, leads and remembers.

use crate::cluster::{Cluster, bytes, wait_until};
use std::time::{Duration, Instant};

/// A29. The client's file names one dead address and one follower only.
#[test]
fn a_client_that_knows_a_dead_seed_and_a_follower_reaches_the_leader() {
    let cluster = Cluster::shared();
    cluster.put("a29/file", b"found");
    let leader = cluster.leader();
    let nodes = cluster.json(&["nodes"]);
    let follower = nodes["metadata"].as_array().unwrap().iter().find(|node| node["name"] != leader.as_str()).unwrap();
    let own = std::fs::read_to_string(cluster.path().join("client.toml")).unwrap();
    let rest: String = own.lines().filter(|line| !line.starts_with("addresses")).collect::<Vec<_>>().join("\n");
    let file = cluster.path().join(format!("a29-{}.toml", std::process::id()));
    let address = follower["address"].as_str().unwrap();
    std::fs::write(&file, format!("addresses = [\"127.0.0.1:9\", \"{address}\"]\n{rest}\n")).unwrap();
    for _ in 0..3 {
        cluster.run(&["stat", "-n", "a29/file", "--cluster", file.to_str().unwrap()]).succeeds();
    }
    std::fs::remove_file(file).unwrap();
}

/// A30, with real SIGKILL. The bound has slack for a loaded machine; the simulation holds it to the promise.
#[test]
#[allow(clippy::disallowed_methods, reason = "a test outside of any node")]
fn writes_and_reads_go_on_soon_after_the_leader_is_killed() {
    let cluster = Cluster::start(3, 3);
    let content = bytes(3_000_000, 30);
    cluster.put("before", &content);
    let leader = cluster.leader();
    cluster.launcher(&["kill", &leader]).succeeds();
    let killed = Instant::now();
    cluster.put("after", &content);
    let outage = killed.elapsed();
    assert!(outage < Duration::from_secs(5), "a write took {outage:?} after the leader was killed");
    assert_eq!(cluster.get("before"), content);
    assert_eq!(cluster.get("after"), content);
    assert_ne!(cluster.leader(), leader);
    assert_eq!(cluster.names(""), ["after", "before"]);
    cluster.launcher(&["restart", &leader]).succeeds();
    wait_until("the old leader follows", || {
        let status = cluster.json(&["status"]);
        status["metadata"]["responding"] == 3
    });
}

/// A33.
#[test]
fn everything_acknowledged_is_there_after_all_metadata_nodes_were_killed_at_once() {
    let cluster = Cluster::start(3, 3);
    let content = bytes(200_000, 33);
    for round in 0..5 {
        cluster.put(&format!("file-{round}"), &content);
    }
    cluster.run(&["delete", "-n", "file-3"]).succeeds();
    for node in ["metadata-1", "metadata-2", "metadata-3"] {
        cluster.launcher(&["kill", node]).succeeds();
    }
    cluster.launcher(&["up", "-d"]).succeeds();
    assert_eq!(cluster.names(""), ["file-0", "file-1", "file-2", "file-4"]);
    assert_eq!(cluster.get("file-4"), content);
    cluster.put("file-5", &content);
}

/// A35, its first half.
#[test]
fn a_single_metadata_node_works_and_remembers() {
    let cluster = Cluster::start(1, 1);
    let content = bytes(100_000, 35);
    cluster.put("only", &content);
    cluster.launcher(&["kill", "metadata-1"]).succeeds();
    cluster.launcher(&["restart", "metadata-1"]).succeeds();
    assert_eq!(cluster.get("only"), content);
    cluster.put("another", &content);
    assert_eq!(cluster.names(""), ["another", "only"]);
}

/// A52: without a leader it is told what is known and what is not, and nothing goes in a circle.
#[test]
fn without_a_leader_status_and_nodes_say_who_answers_and_what_is_not_known() {
    let cluster = Cluster::start(3, 1);
    let leader = cluster.leader();
    let other = if leader == "metadata-1" { "metadata-2" } else { "metadata-1" };
    cluster.launcher(&["kill", &leader]).succeeds();
    cluster.launcher(&["kill", other]).succeeds();
    let ask = |arguments: &[&str]| cluster.run(&[arguments, &["--timeout", "2s"]].concat());
    let ran = ask(&["status"]).fails(5, "1 of 3 metadata nodes answer, and most of them must: start the others");
    assert!(ran.out.contains("leader     none in term"), "{}", ran.out);
    assert_eq!(ran.out.matches(": does not answer").count(), 2, "{}", ran.out);
    assert!(ran.out.contains("storage    not known without a leader"), "{}", ran.out);
    let ran = ask(&["nodes"]).fails(5, "has had no leader");
    assert_eq!(ran.out.matches("  does not answer").count(), 2, "{}", ran.out);
    let ran = ask(&["status", "--actors"]).fails(5, "has had no leader");
    assert!(ran.out.contains("RaftActor"), "{}", ran.out);
    let ran = ask(&["status", "--json"]).fails(5, "has had no leader");
    let told: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let answering = told["metadata"].as_array().expect("members").iter().filter(|member| member["answers"] == true);
    assert_eq!((&told["leader"], &told["storage"], answering.count()), (&().into(), &().into(), 1), "{told}");
}
