//! Uploads that are interrupted, and go on.

use crate::cluster::{Cluster, PATIENCE, Ran, bytes, finish, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

const CHUNKS: usize = 200;
const CHUNK: usize = 256 * 1024;

/// An upload of one chunk after the other, so that there is time to interrupt it.
fn arguments(file: &Path, name: &str) -> Vec<String> {
    let file = file.to_str().expect("a path");
    ["upload", "-f", file, "-n", name, "--chunk-size", "256KiB", "--parallel", "1"].map(str::to_owned).to_vec()
}

fn chunks_stored(cluster: &Cluster) -> u64 {
    let nodes = cluster.json(&["nodes"]);
    nodes["storage"].as_array().expect("nodes").iter().map(|node| node["chunks"].as_u64().unwrap_or(0)).sum()
}

/// Bytes that a process has read from files. It reads only a few chunks ahead of what is stored.
fn bytes_read(child: &Child) -> u64 {
    let io = std::fs::read_to_string(format!("/proc/{}/io", child.id())).unwrap_or_default();
    let read = io.lines().find_map(|line| line.strip_prefix("rchar: "));
    read.and_then(|bytes| bytes.trim().parse().ok()).unwrap_or(0)
}

/// Begins an upload and does something when it is about half done; answers how it ended.
fn half_done(cluster: &Cluster, file: &Path, name: &str, then: impl FnOnce(&Child)) -> Ran {
    let mut command = cluster.command(&arguments(file, name));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    wait_until("half of the upload is done", || {
        // It stands still while it is looked at, so that it cannot end meanwhile.
        kill_process(pid, Signal::STOP).unwrap();
        assert!(child.try_wait().unwrap().is_none(), "the upload ended before it could be interrupted");
        let enough = bytes_read(&child) >= (CHUNKS * CHUNK / 2) as u64;
        if !enough {
            kill_process(pid, Signal::CONT).unwrap();
        }
        enough
    });
    then(&child);
    // It may be gone by now.
    let _ = kill_process(pid, Signal::CONT);
    Ran::from(finish(child, PATIENCE))
}

/// Begins an upload and ends it with a signal when it is about half done.
fn interrupted(cluster: &Cluster, file: &Path, name: &str, signal: Signal) -> Ran {
    half_done(cluster, file, name, |child| {
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    })
}

fn json(ran: &Ran) -> serde_json::Value {
    serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {} {}", ran.out, ran.err))
}

/// A15, A16: the server's knowledge is enough to go on, also after SIGKILL.
#[test]
fn an_upload_that_was_killed_at_half_goes_on_and_sends_no_finished_chunk_again() {
    let cluster = Cluster::start(1, 3);
    let scratch = cluster.scratch();
    let (file, content) = (scratch.path().join("source"), bytes(CHUNKS * CHUNK, 15));
    std::fs::write(&file, &content).unwrap();
    interrupted(&cluster, &file, "a15", Signal::KILL);
    assert!(cluster.names("").is_empty(), "nothing is visible");
    let mut again = arguments(&file, "a15");
    again.push("--json".to_owned());
    let done = json(&cluster.run(&again).succeeds());
    let resumed = done["resumed_bytes"].as_u64().unwrap() / CHUNK as u64;
    assert!((CHUNKS as u64 / 2 - 5..CHUNKS as u64).contains(&resumed), "{done}");
    assert_eq!((&done["outcome"], &done["bytes"]), (&"uploaded".into(), &((CHUNKS * CHUNK) as u64).into()), "{done}");
    assert!(cluster.get("a15") == content);
    // Every copy that was not there was sent once, and of the one chunk that was on its way some are there twice.
    let mut stored = 0;
    wait_until("the nodes have told of what they hold", || {
        let before = std::mem::replace(&mut stored, chunks_stored(&cluster));
        stored == before && stored >= 3 * CHUNKS as u64
    });
    assert!(stored <= 3 * CHUNKS as u64 + 6, "{stored} copies of {CHUNKS} chunks");
}

/// A13, A15: Ctrl-C says how to go on, and the user sees that it does.
#[test]
fn an_interrupted_upload_says_how_to_go_on_and_a_changed_source_begins_anew() {
    let cluster = Cluster::start(1, 3);
    let scratch = cluster.scratch();
    let (file, content) = (scratch.path().join("source"), bytes(CHUNKS * CHUNK, 16));
    std::fs::write(&file, &content).unwrap();
    interrupted(&cluster, &file, "a13", Signal::INT).fails(130, "run the same command again");
    // Another size: it is another source, and the user is told.
    std::fs::write(&file, &content[..CHUNKS * CHUNK - 1]).unwrap();
    let ran = cluster.run(&arguments(&file, "a13")).succeeds();
    assert!(ran.err.contains("had another size; beginning anew"), "{}", ran.err);
    assert!(!ran.err.contains("resuming"), "{}", ran.err);
    assert!(cluster.get("a13") == content[..CHUNKS * CHUNK - 1]);

    let mut comparing = arguments(&file, "compared");
    interrupted(&cluster, &file, "compared", Signal::TERM);
    // The same size, another time, and not the same bytes: with --checksum only the bytes count.
    let modified = file.metadata().unwrap().modified().unwrap() - Duration::from_secs(60);
    let mut changed = content[..CHUNKS * CHUNK - 1].to_vec();
    changed[10] ^= 1;
    std::fs::write(&file, &changed).unwrap();
    std::fs::File::options().write(true).open(&file).unwrap().set_modified(modified).unwrap();
    comparing.push("--checksum".to_owned());
    let ran = cluster.run(&comparing).succeeds();
    assert!(ran.err.contains("of 200 chunks are there"), "{}", ran.err);
    assert!(ran.err.contains("1 of the chunks that were there had other bytes"), "{}", ran.err);
    assert!(cluster.get("compared") == changed);
}

/// A source that changes while it is uploaded is noticed and named, whatever changed of it.
#[test]
fn a_file_that_changes_while_it_is_uploaded_is_named_and_nothing_is_visible() {
    let cluster = Cluster::start(1, 1);
    let scratch = cluster.scratch();
    let (file, content) = (scratch.path().join("source"), bytes(CHUNKS * CHUNK, 17));
    let open = || std::fs::File::options().write(true).open(&file).unwrap();
    let longer = || open().set_len((CHUNKS * CHUNK + 1) as u64).unwrap();
    let shorter = || open().set_len((CHUNKS * CHUNK - 1) as u64).unwrap();
    let touched = || open().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    for change in [&longer as &dyn Fn(), &shorter, &touched] {
        std::fs::write(&file, &content).unwrap();
        half_done(&cluster, &file, "changing", |_| change()).fails(9, file.to_str().unwrap());
        assert!(cluster.names("").is_empty());
    }
}

/// A22: a node that hangs (SIGSTOP) in the middle of an upload is left, and the upload goes on elsewhere.
#[test]
#[allow(clippy::disallowed_methods, reason = "a test outside of any node")]
fn a_node_that_hangs_in_the_middle_of_an_upload_costs_little_time() {
    let cluster = Cluster::start(1, 4);
    let scratch = cluster.scratch();
    let (file, content) = (scratch.path().join("source"), bytes(CHUNKS * CHUNK, 22));
    std::fs::write(&file, &content).unwrap();
    let status = cluster.launcher(&["status", "--json"]).succeeds();
    let status: serde_json::Value = serde_json::from_str(&status.out).unwrap();
    let nodes = status["nodes"].as_array().unwrap();
    let node = nodes.iter().find(|node| node["name"] == "storage-2").unwrap();
    let node = Pid::from_raw(i32::try_from(node["pid"].as_i64().unwrap()).unwrap()).unwrap();
    let began = std::time::Instant::now();
    cluster.run(&arguments(&file, "warm")).succeeds();
    let usual = began.elapsed();
    let mut hung = began;
    let ran = half_done(&cluster, &file, "a22", |_| {
        kill_process(node, Signal::STOP).unwrap();
        hung = std::time::Instant::now();
    });
    let took = hung.elapsed();
    // What a first connection, another placement and a busy machine take is allowed for.
    let bound = 2 * usual + std::time::Duration::from_secs(3);
    kill_process(node, Signal::CONT).unwrap();
    ran.succeeds();
    assert!(took < bound, "{took:?} after the node hung; a whole upload takes {usual:?}");
    assert!(cluster.get("a22") == content);
}
