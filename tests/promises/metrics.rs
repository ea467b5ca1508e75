//! What a node tells operators.

use crate::cluster::{Cluster, executable, wait_until};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// What is answered at the metrics port of a node.
fn ask(address: &str, request: &str) -> String {
    let mut connection = TcpStream::connect(address).unwrap_or_else(|error| panic!("{address}: {error}"));
    connection.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    connection.write_all(request.as_bytes()).expect("a request");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("an answer");
    answer
}

/// The metrics that a node tells at this address.
pub fn metrics(address: &str) -> String {
    ask(address, "GET /metrics HTTP/1.1\r\nHost: node\r\n\r\n")
}

/// A sample of a page, if it is there.
pub fn sample(page: &str, sample: &str) -> Option<f64> {
    let line = page.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.map(|line| line.parse().expect("a number"))
}

/// A sample of a page.
#[track_caller]
pub fn value(page: &str, name: &str) -> f64 {
    sample(page, name).unwrap_or_else(|| panic!("no {name} in:\n{page}"))
}

#[test]
fn every_node_tells_its_metrics_on_loopback_and_survives_what_is_no_http() {
    let cluster = Cluster::start(1, 1);
    cluster.put("counted", &[7; 100_000]);
    let (metadata, storage) = (cluster.address("metadata-1"), cluster.address("storage-1"));
    for garbage in ["\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "\u{0}\u{1}\u{2}\r\n\r\n"] {
        assert!(ask(&storage, garbage).starts_with("HTTP/1.1 4"), "{garbage:?}");
    }
    let page = metrics(&storage);
    let written = "dfs_requests_total{service=\"chunks\",method=\"write_chunk\",outcome=\"done\"}";
    assert_eq!(value(&page, written), 1.0);
    assert!(value(&page, "dfs_disk_bytes_total{operation=\"write\"}") >= 100_000.0);
    assert!(value(&page, "dfs_network_bytes_total{direction=\"received\"}") >= 100_000.0);
    assert!(value(&page, "process_cpu_seconds_total") > 0.0);
    assert!(value(&page, "process_resident_memory_bytes") > 1_000_000.0);
    wait_until("the leader counts the storage node", || {
        value(&metrics(&metadata), "dfs_storage_nodes{state=\"alive\"}") == 1.0
    });
    assert_eq!(value(&metrics(&metadata), "dfs_files"), 1.0);
}

/// A file of 4 KiB costs two entries of the Raft log, to create and to commit it, and one flush at each replica.
#[test]
fn a_small_file_costs_two_entries_and_one_flush() {
    const FILES: u32 = 20;
    let cluster = Cluster::start(1, 3);
    let metadata = cluster.address("metadata-1");
    let storage = ["storage-1", "storage-2", "storage-3"].map(|name| cluster.address(name));
    let entries = || value(&metrics(&metadata), "dfs_raft_last_index");
    let flushes = || -> f64 {
        let sample = "dfs_disk_operation_duration_seconds_count{operation=\"fsync\"}";
        storage.iter().map(|storage| value(&metrics(storage), sample)).sum()
    };
    // The first one makes segments, which have names to be made durable.
    cluster.put("small/first", &[0; 4096]);
    // One that is late is not waited for by the writer.
    let count_copies = || {
        let nodes = cluster.json(&["nodes"]);
        let counts = nodes["storage"].as_array().expect("storage nodes").iter().map(|node| node["chunks"].as_u64());
        counts.map(Option::unwrap_or_default).sum::<u64>()
    };
    wait_until("the first is everywhere", || count_copies() == 3);
    let (entries_before, flushes_before) = (entries(), flushes());
    for number in 0..FILES {
        cluster.put(&format!("small/{number}"), &[7; 4096]);
    }
    let entries = entries() - entries_before;
    wait_until("all are everywhere", || count_copies() == u64::from(3 * (FILES + 1)));
    let flushes = flushes() - flushes_before;
    // Now and then the leader writes down the time, and a store the checkpoint of its index.
    assert!(entries <= f64::from(2 * FILES + 3), "{entries} entries for {FILES} files");
    assert!(flushes <= f64::from(3 * FILES + 6), "{flushes} flushes for {FILES} files");
    assert!(entries >= f64::from(2 * FILES) && flushes >= f64::from(3 * FILES), "{entries} and {flushes}");
}

/// A65: an address that is taken is told with its key, and nothing listens where none is wanted.
#[test]
fn an_address_for_metrics_that_was_set_must_be_free() {
    let cluster = Cluster::start(1, 1);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("its address").to_string();
    cluster.launcher(&["stop", "storage-1"]).succeeds();
    let node = cluster.path().join("nodes/storage-1");
    let mut command = executable();
    command.current_dir(&node).args(["node", "storage", "--config", "node.toml", "--metrics-listen", &taken]);
    let ran = crate::cluster::Ran::of(command);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains(&taken) && ran.err.contains("metrics_listen"), "{}", ran.err);
}
