//! One command starts a cluster, another ends it, and wrong settings are told.

use crate::cluster::{Cluster, Ran, executable, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::process::{Child, Stdio};
use tempfile::TempDir;

/// A63.
#[test]
fn one_command_starts_a_cluster_and_another_leaves_nothing_behind() {
    let cluster = Cluster::start(1, 2);
    let status = cluster.launcher(&["status", "--json"]).succeeds();
    let status: serde_json::Value = serde_json::from_str(&status.out).unwrap();
    let nodes = status["nodes"].as_array().expect("nodes");
    assert_eq!(nodes.len(), 3, "{status}");
    let pids: Vec<u64> = nodes.iter().map(|node| node["pid"].as_u64().expect("a running process")).collect();
    // Starting again changes nothing.
    cluster.launcher(&["up", "-d"]).succeeds();
    cluster.put("file", b"content");
    cluster.launcher(&["down"]).succeeds();
    wait_until("all processes are gone", || pids.iter().all(|pid| !Path::new(&format!("/proc/{pid}/exe")).exists()));
    // Started again, it has its data.
    cluster.launcher(&["up", "-d"]).succeeds();
    assert_eq!(cluster.get("file"), b"content");
    cluster.launcher(&["down", "--purge"]).succeeds();
    assert!(!cluster.path().exists());
}

/// A63, A65: shapes that make no sense, and another shape than the directory's.
#[test]
fn shapes_that_make_no_sense_are_refused() {
    let directory = TempDir::new().unwrap();
    let up = |arguments: &[&str]| {
        let mut command = executable();
        command.args(["cluster", "up", "-d", "--dir"]).arg(directory.path().join("cluster")).args(arguments);
        Ran::of(command)
    };
    up(&["-m", "2"]).fails(2, "-m 1 or -m 3");
    up(&["-m", "0"]).fails(2, "metadata");
    up(&["-s", "0"]).fails(2, "storage");
    assert!(!directory.path().join("cluster").exists());
    let cluster = Cluster::start(1, 1);
    cluster.launcher(&["up", "-d", "-m", "1", "-s", "3"]).fails(2, "-s 1");
    cluster.launcher(&["kill", "storage-9"]).fails(3, "storage-9");
}

/// A65.
#[test]
fn a_wrong_setting_is_told_with_its_key_and_the_fix() {
    let directory = TempDir::new().unwrap();
    let config = directory.path().join("node.toml");
    let start = |text: &str, flags: &[&str]| {
        std::fs::write(&config, text).unwrap();
        let mut command = executable();
        command.args(["node", "storage", "--config"]).arg(&config).args(flags);
        Ran::of(command)
    };
    let whole = "node = 1\nlisten = \"127.0.0.1:0\"\nmetadata = [\"127.0.0.1:7001\"]\ndata = \"d\"\nca = \"ca.pem\"\n\
                 certificate = \"c.pem\"\nkey = \"c.key\"\n";
    start(&format!("{whole}reserve = 7\n"), &[]).fails(2, "reserve");
    start(&format!("{whole}reserve_bytes = \"7 parsecs\"\n"), &[]).fails(2, "reserve_bytes");
    start(&whole.replace("127.0.0.1:0", "0.0.0.0:0"), &[]).fails(2, "advertise");
    start("", &[]).fails(2, "node");
    start(whole, &["--max-udp-payload-bytes", "64"]).fails(2, "max-udp-payload-bytes");
    let ran = start(whole, &[]);
    assert_ne!(ran.code, 0);
    assert!(ran.err.contains("ca.pem"), "{}", ran.err);
}

/// A65: what the whole cluster agrees on.
#[test]
fn settings_of_the_cluster_change_while_it_runs_and_contradictions_are_told() {
    let cluster = Cluster::start(1, 1);
    let value = |key: &str| {
        let shown = cluster.json(&["settings", "show"]);
        let settings = shown["settings"].as_array().expect("settings").clone();
        settings.iter().find(|setting| setting["key"] == key).unwrap_or_else(|| panic!("no {key}"))["value"].clone()
    };
    assert_eq!(value("dead_after_ms"), 30_000);
    let set = |changes: &[&str]| cluster.run(&[&["settings", "set"], changes].concat());
    let ran = set(&["suspect_after_ms=1s"]).fails(2, "suspect_after_ms = 1 s is too short for beat_interval_ms = 3 s");
    assert!(ran.err.contains("hint: set suspect_after_ms to 6 s or more"), "{}", ran.err);
    set(&["replication=2"]).fails(6, "1 storage nodes");
    set(&["beat_interval_ms=200ms", "suspect_after_ms=600ms", "dead_after_ms=1s"]).succeeds();
    assert_eq!((value("beat_interval_ms"), value("dead_after_ms")), (200.into(), 1000.into()));
    // The storage node learns of it with its next beat, and is judged by it once it had time to.
    let storage = || cluster.json(&["nodes"])["storage"][0].clone();
    let mut in_time = 0;
    wait_until("the node beats several times a second, again and again", || {
        in_time = if storage()["silent_ms"].as_u64().is_some_and(|ms| ms < 500) { in_time + 1 } else { 0 };
        in_time == 10
    });
    // A restart of everything forgets nothing.
    cluster.launcher(&["restart", "metadata-1"]).succeeds();
    wait_until("there is a leader", || cluster.run(&["settings", "show"]).code == 0);
    assert_eq!(value("dead_after_ms"), 1000);
    cluster.launcher(&["kill", "storage-1"]).succeeds();
    wait_until("a dead node is known after a second", || storage()["state"] == "dead");
}

/// A storage process by hand, with the configuration of `storage-1` and a data directory of its own.
fn twin(cluster: &Cluster, data: &Path, more: &[&str]) -> Child {
    let mut command = executable();
    command.current_dir(cluster.path().join("nodes/storage-1"));
    command
        .args(["node", "storage", "--config", "node.toml", "--listen", "127.0.0.1:0", "--data"])
        .arg(data)
        .args(more);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the executable starts")
}

fn signal(process: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(process.id()).expect("a process id")).expect("a process id");
    kill_process(pid, signal).expect("it runs");
}

/// A process whose place another one has taken ends with the reason, and leaves it its place.
#[test]
fn of_two_processes_with_the_certificate_of_one_node_the_earlier_ends() {
    let cluster = Cluster::start(1, 1);
    cluster.run(&["settings", "set", "beat_interval_ms=200ms", "suspect_after_ms=1s"]).succeeds();
    let data = cluster.scratch();
    let twin = twin(&cluster, data.path(), &[]);
    wait_until("the earlier one ends", || {
        let local = cluster.launcher(&["status", "--json"]).succeeds().out;
        let local: serde_json::Value = serde_json::from_str(&local).expect("JSON");
        let nodes = local["nodes"].as_array().expect("nodes").clone();
        nodes.iter().any(|node| node["name"] == "storage-1" && node["pid"].is_null())
    });
    let log = cluster.launcher(&["logs", "storage-1", "--lines", "200"]).succeeds().out;
    assert!(log.contains("the cluster refuses this node"), "{log}");
    let storage = || cluster.json(&["nodes"])["storage"][0].clone();
    wait_until("the later one lives", || storage()["state"] == "alive");
    assert_eq!(storage()["incarnation"], 2);
    signal(&twin, Signal::TERM);
    assert!(crate::cluster::finish(twin, crate::cluster::PATIENCE).status.success());
}

/// A66: an actor that fails again and again ends its node with the reason; `status --actors` shows the trees. That it
/// shows restarts too is a test of `nodes`.
#[test]
fn an_actor_that_fails_again_and_again_ends_the_node_with_the_reason() {
    let cluster = Cluster::start(1, 1);
    let shown = cluster.json(&["status", "--actors"])["nodes"].as_array().expect("nodes").clone();
    let names: Vec<String> = shown
        .iter()
        .flat_map(|node| node["actors"].as_array().cloned().unwrap_or_default())
        .map(|actor| format!("{} {}", actor["name"].as_str().unwrap_or_default(), actor["restarts"]))
        .collect();
    assert!(shown.len() == 2 && names.contains(&"HeartbeatActor 0".to_owned()), "{names:?}");
    // A new store that cannot keep whose it is: nobody tells it while it is made, and the way is blocked after that.
    let data = cluster.scratch();
    let new = twin(&cluster, data.path(), &["--metadata", "127.0.0.1:1"]);
    wait_until("the store is made", || data.path().join("STORE").exists());
    signal(&new, Signal::KILL);
    crate::cluster::finish(new, crate::cluster::PATIENCE);
    std::fs::create_dir(data.path().join("STORE.new")).unwrap();
    let told = crate::cluster::finish(twin(&cluster, data.path(), &[]), crate::cluster::PATIENCE);
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(told.contains("HeartbeatActor failed 6 times within 60s"), "{told}");
}

#[test]
fn a_bench_measures_a_running_cluster_and_leaves_no_file_behind() {
    let cluster = Cluster::start(1, 1);
    let bench = ["bench", "--duration", "300ms", "--size", "1MiB", "--total", "4MiB", "--parallel", "2"];
    let measured = cluster.json(&bench);
    let work = measured["work"].as_array().expect("work");
    let names: Vec<&str> = work.iter().map(|line| line["work"].as_str().expect("a name")).collect();
    let expected = ["upload", "download", "small write", "small read", "create", "stat", "list", "delete"];
    assert_eq!(names, expected);
    for line in work {
        assert!(line["operations"].as_u64() > Some(0), "{line}");
        assert!(line["latency_ms"]["max"].as_f64() >= line["latency_ms"]["p50"].as_f64(), "{line}");
        assert!(line["cpu_ms_per_operation"]["storage"].is_number(), "{line}");
    }
    assert!(work[0]["bytes"].as_u64() <= Some(4 << 20), "{}", work[0]);
    assert!(measured["memory_peak_bytes"]["metadata"].as_u64() > Some(1 << 20), "{measured}");
    assert!(cluster.names("").is_empty());
    cluster.run(&["bench", "--size", "0"]).fails(2, "--size");
}
