//! Uploads that are interrupted, and go on.

use crate::cluster::{Cluster, PATIENCE, Ran, bytes, finish, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::process::{Child, Stdio};

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

/// Begins an upload and ends it with a signal when it is about half done.
fn interrupted(cluster: &Cluster, file: &Path, name: &str, signal: Signal) -> Ran {
    let mut command = cluster.command(&arguments(file, name));
    let mut child: Child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("half of the upload is done", || {
        assert!(child.try_wait().unwrap().is_none(), "the upload ended before it could be interrupted");
        bytes_read(&child) >= (CHUNKS * CHUNK / 2) as u64
    });
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
    Ran::from(finish(child, PATIENCE))
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
    let resumed = done["resumed_chunks"].as_u64().unwrap();
    assert!((CHUNKS as u64 / 2 - 5..CHUNKS as u64).contains(&resumed), "{done}");
    assert_eq!(done["chunks"], CHUNKS as u64);
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
    // The same size and time, but not the same bytes: only --checksum can know.
    let modified = file.metadata().unwrap().modified().unwrap();
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
