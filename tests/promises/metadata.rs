//! The metadata cluster answers, leads and remembers.

use crate::cluster::{Cluster, bytes, finish, wait_until};
use crate::health::quick;
use crate::metrics::{metrics, value};
use dfs_actors::key_value::KeyValueStores;
use dfs_actors::key_value::fjall::FjallStores;
use dfs_actors::raft::inspect::{self, LOG_STORE};
use std::io::Write;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
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
    assert!(outage < Duration::from_secs(15), "a write took {outage:?} after the leader was killed");
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
    let ran = ask(&["nodes"]).fails(5, "has not answered for");
    assert_eq!(ran.out.matches("  does not answer").count(), 2, "{}", ran.out);
    let ran = ask(&["status", "--actors"]).fails(5, "has not answered for");
    assert!(ran.out.contains("RaftActor"), "{}", ran.out);
    let ran = ask(&["status", "--json"]).fails(5, "has not answered for");
    let told: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let answering = told["metadata"].as_array().expect("members").iter().filter(|member| member["answers"] == true);
    assert_eq!((&told["leader"], &told["storage"], answering.count()), (&().into(), &().into(), 1), "{told}");
}

/// A52: a leader that no other member hears takes no beats, and blames no storage node for that.
#[test]
fn without_a_quorum_an_upload_blames_no_storage_node() {
    let cluster = quick(3, 2);
    let leader = cluster.leader();
    for other in ["metadata-1", "metadata-2", "metadata-3"].into_iter().filter(|other| *other != leader) {
        cluster.launcher(&["kill", other]).succeeds();
    }
    let file = cluster.scratch();
    let path = file.path().join("a");
    std::fs::write(&path, bytes(1000, 52)).expect("a file");
    let path = path.to_str().expect("UTF-8");
    // Each asks for two seconds: long enough together for every node to be suspect, if its silence counted.
    for _ in 0..4 {
        cluster.run(&["upload", "-f", path, "--timeout", "2s"]).fails(5, "");
    }
    // Alarms hear of it, too.
    let page = metrics(&cluster.address(&leader));
    assert_eq!((value(&page, "dfs_raft_leads"), value(&page, "dfs_raft_leader_known")), (0.0, 0.0));
}

/// Log entries after which the clusters of the endurance run take a snapshot.
const SNAPSHOT_ENTRIES: u64 = 100;

/// Users who upload small files, one tree after the other, until they are told to end. Each tree is acknowledged.
struct Load<'c> {
    cluster: &'c Cluster,
    tree: tempfile::TempDir,
    ended: AtomicBool,
}

impl<'c> Load<'c> {
    const FILES: usize = 60;

    fn new(cluster: &'c Cluster) -> Load<'c> {
        let tree = cluster.scratch();
        for number in 0..Load::FILES {
            std::fs::write(tree.path().join(format!("f{number:02}")), bytes(700, number as u64)).expect("a file");
        }
        Load { cluster, tree, ended: AtomicBool::new(false) }
    }

    fn upload(&self, round: usize) -> Child {
        let mut command = self.cluster.command(&["upload", "-r"]);
        command.arg(self.tree.path()).args(["-n", &format!("load/{round:03}"), "--timeout", "30s"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the executable starts")
    }

    /// Answers how many trees were acknowledged.
    fn run(&self) -> usize {
        for round in 0.. {
            if self.ended.load(Ordering::Relaxed) {
                return round;
            }
            let output = finish(self.upload(round), Duration::from_secs(60));
            assert!(output.status.success(), "round {round}: {}", String::from_utf8_lossy(&output.stderr));
        }
        unreachable!("the users end at some time")
    }
}

/// Ends the users, also if the test fails.
struct Ending<'l>(&'l AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A32, A33 and A30 at length: under load all the while, a follower is killed and stays away until the log that it lacks
/// is cut, comes back by a snapshot, and then the leader is killed. All that was acknowledged is there, and no log grows
/// beyond what its snapshots leave of it.
#[test]
#[allow(clippy::disallowed_methods, reason = "a test outside of any node")]
fn a_follower_that_lacks_what_was_cut_comes_back_by_snapshot_under_load_and_nothing_is_lost() {
    const NODES: [&str; 3] = ["metadata-1", "metadata-2", "metadata-3"];
    let cluster = Cluster::start(3, 3);
    for node in NODES {
        let settings = cluster.path().join("nodes").join(node).join("node.toml");
        let mut file = std::fs::File::options().append(true).open(settings).expect("its settings");
        writeln!(file, "snapshot_entries = {SNAPSHOT_ENTRIES}").expect("a setting");
        cluster.launcher(&["restart", node]).succeeds();
    }
    let addresses = NODES.map(|node| (node, cluster.address(node)));
    let address = |node: &str| &addresses.iter().find(|(name, _)| *name == node).expect("a node").1;
    let tell = |node: &str, sample: &str| value(&metrics(address(node)), sample);
    let load = Load::new(&cluster);
    let rounds = std::thread::scope(|scope| {
        let users = scope.spawn(|| load.run());
        let ending = Ending(&load.ended);
        let leader = cluster.leader();
        let follower = NODES.into_iter().find(|node| *node != leader).expect("a follower");
        cluster.launcher(&["kill", follower]).succeeds();
        let installed = || {
            let log = std::fs::read_to_string(cluster.path().join("nodes").join(follower).join("log")).expect("a log");
            log.matches("a metadata snapshot of the leader is the state now").count()
        };
        let (last, before) = (tell(&leader, "dfs_raft_last_index"), installed());
        let leads = || cluster.leader();
        // Whoever leads then.
        wait_until("the log that the follower lacks is cut", || {
            NODES.iter().filter(|node| **node != follower).all(|node| tell(node, "dfs_raft_cut_index") > last)
        });
        cluster.launcher(&["restart", follower]).succeeds();
        let there = tell(&leads(), "dfs_raft_applied_index");
        wait_until("the follower has caught up", || tell(follower, "dfs_raft_applied_index") >= there);
        let snapshot = tell(follower, "dfs_raft_snapshot_index");
        assert!(snapshot > last && installed() > before, "by a snapshot: {snapshot}, behind {last}");
        let leader = leads();
        cluster.launcher(&["kill", &leader]).succeeds();
        wait_until("another leads", || {
            let nodes = cluster.run(&["status", "--json"]);
            nodes.code == 0 && cluster.leader() != leader
        });
        cluster.launcher(&["restart", &leader]).succeeds();
        wait_until("all three answer", || cluster.json(&["status"])["metadata"]["responding"] == 3);
        drop(ending);
        users.join().expect("no user was refused")
    });
    let expected: Vec<String> = (0..rounds)
        .flat_map(|round| (0..Load::FILES).map(move |number| format!("load/{round:03}/f{number:02}")))
        .collect();
    assert!(cluster.names("load/") == expected, "{rounds} rounds");
    let copy = cluster.scratch();
    let last = format!("load/{:03}", rounds - 1);
    let target = copy.path().join("last");
    cluster.run(&["download", "-r", &last, "-o", target.to_str().expect("a path")]).succeeds();
    for number in 0..Load::FILES {
        let content = std::fs::read(target.join(format!("f{number:02}"))).expect("a file");
        assert!(content == bytes(700, number as u64));
    }
    let written = (rounds * Load::FILES) as u64;
    for node in NODES {
        cluster.launcher(&["stop", node]).succeeds();
        let store = FjallStores::new(&cluster.data(node).join("stores")).open(LOG_STORE).expect("its log");
        let log = inspect::log(&*store.snapshot(), 0).expect("its log");
        let entries = log.entries.len() as u64;
        assert!(entries <= SNAPSHOT_ENTRIES * 2 && entries < written, "{node}: {entries} entries");
    }
}
