//! Nodes that stop in order, with real SIGTERM.

use crate::cluster::{Cluster, PATIENCE, bytes, executable, finish, wait_until};
use crate::failures::Writer;
use bytes::Bytes;
use dfs_core::checksum::ChunkSums;
use dfs_core::refusal::Refusal;
use dfs_core::wire::chunk::{ReadTrailer, WriteAnswer, WriteTrailer};
use dfs_transport::exchange::CallError;
use rustix::process::{Pid, Signal, kill_process};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// What a storage node may take to end: the bound on transfers, and slack for a loaded machine.
const ENDS_WITHIN: Duration = Duration::from_secs(12);

/// A node of a cluster as a process of the test's own, so that the test learns how it ends.
struct ByHand(Option<Child>);

impl ByHand {
    /// Takes a node over from the launcher.
    fn start(cluster: &Cluster, node: &str) -> ByHand {
        cluster.launcher(&["stop", node]).succeeds();
        let (role, _) = node.split_once('-').expect("a role and a number");
        let mut command = executable();
        command.current_dir(cluster.path().join("nodes").join(node)).args(["node", role, "--config", "node.toml"]);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        ByHand(Some(command.spawn().expect("the executable starts")))
    }

    fn terminate(&self) {
        let id = self.0.as_ref().expect("it runs").id();
        let pid = Pid::from_raw(i32::try_from(id).expect("a process id")).expect("a process id");
        kill_process(pid, Signal::TERM).expect("a signal");
    }

    /// Waits for its end.
    fn ended(mut self) -> Output {
        finish(self.0.take().expect("it runs"), PATIENCE)
    }
}

impl Drop for ByHand {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Starts a command and leaves it to itself.
fn in_background(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the executable starts")
}

#[track_caller]
fn succeeded(output: &Output) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(!told.contains("panicked"), "{told}");
}

/// A64: a transfer of either direction that is in flight at SIGTERM ends well, nothing new begins, one that stands still
/// holds the node up for no longer than the bound, and the exit code is zero.
#[tokio::test]
#[allow(clippy::disallowed_methods, reason = "a test outside of any node")]
async fn a_storage_node_that_stops_finishes_transfers_in_flight() {
    let cluster = Cluster::start(1, 1);
    let node = ByHand::start(&cluster, "storage-1");
    wait_until("the node beats again", || cluster.json(&["nodes"])["storage"][0]["incarnation"] == 2);
    let writer = Writer::new(&cluster);
    // More than the windows of a stream and of its sender take, so that a read of it is under way until it is read.
    let (stored, new) = (bytes(16_000_000, 64), bytes(3_000_000, 65));
    writer.write(0, &stored, ChunkSums::of(&stored)).await.unwrap();

    let (mut reading, answer) = writer.begin_read(0).await.unwrap();
    reading.expect_payload(u64::from(answer.length));
    let mut read = reading.receive_payload(100_000).await.unwrap().expect("payload").to_vec();
    let (mut writing, answer) = writer.offer(1, new.len()).await.unwrap();
    assert_eq!(answer, WriteAnswer::Send);
    writing.send_payload(Bytes::copy_from_slice(&new[..1_000_000])).await.unwrap();
    let (standing_still, _) = writer.offer(2, 100).await.unwrap();

    node.terminate();
    let stopping = Instant::now();
    let mut index = 100;
    let refused = loop {
        assert!(stopping.elapsed() < ENDS_WITHIN, "new work is refused soon");
        index += 1;
        match writer.offer(index, 100).await {
            Ok((offer, _)) => drop(offer),
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused, CallError::Refused(Refusal::Stopping));
    writing.send_payload(Bytes::copy_from_slice(&new[1_000_000..])).await.unwrap();
    writing.send_message(&WriteTrailer { sums: ChunkSums::of(&new) }).await.unwrap();
    let written = Writer::written(&mut writing).await.unwrap();
    assert_eq!(written.checksum, ChunkSums::of(&new).checksum());
    while let Some(piece) = reading.receive_payload(1 << 20).await.unwrap() {
        read.extend_from_slice(&piece);
    }
    assert!(read == stored);
    assert_eq!(reading.receive_message::<ReadTrailer>().await.unwrap().length, answer_length(&stored));
    let ended = tokio::task::spawn_blocking(|| node.ended()).await.unwrap();
    succeeded(&ended);
    assert!(stopping.elapsed() < ENDS_WITHIN, "{:?}", stopping.elapsed());
    drop(standing_still);

    cluster.launcher(&["restart", "storage-1"]).succeeds();
    let writer = Writer::new(&cluster);
    assert_eq!(writer.read(1).await.unwrap().sums, ChunkSums::of(&new), "what was acknowledged is there");
    assert!(matches!(writer.read(2).await, Err(CallError::Refused(Refusal::ChunkMissing))));
}

fn answer_length(content: &[u8]) -> u32 {
    u32::try_from(content.len()).expect("a chunk's length")
}

/// A64: users see nothing of a leader and a storage node that stop in order while they work.
#[test]
fn users_see_nothing_of_nodes_that_stop_in_order() {
    let cluster = Cluster::start(3, 4);
    let mut metadata: Vec<(String, ByHand)> = (1..=3)
        .map(|node| {
            let name = format!("metadata-{node}");
            let by_hand = ByHand::start(&cluster, &name);
            wait_until("it answers the leader", || {
                let status = cluster.run(&["status", "--json"]);
                status.code == 0 && status.out.contains("\"responding\": 3")
            });
            (name, by_hand)
        })
        .collect();
    let storage = ByHand::start(&cluster, "storage-2");
    wait_until("the storage node is there again", || cluster.json(&["status"])["storage"]["alive"] == 4);

    let scratch = cluster.scratch();
    let content = bytes(48_000_000, 66);
    let (large, tree) = (scratch.path().join("large"), scratch.path().join("tree"));
    std::fs::write(&large, &content).unwrap();
    std::fs::create_dir(&tree).unwrap();
    for number in 0..400 {
        std::fs::write(tree.join(format!("f{number}")), bytes(500, number)).unwrap();
    }
    cluster.upload(&large, "there").succeeds();
    let copy = scratch.path().join("copy");
    let path = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let work = [
        in_background(cluster.command(&["upload", "-r", &path(&tree), "-n", "tree"])),
        in_background(cluster.command(&["upload", "-f", &path(&large), "-n", "new"])),
        in_background(cluster.command(&["download", "-n", "there", "-o", &path(&copy)])),
    ];
    wait_until("the work is under way", || !cluster.names("tree/").is_empty());
    let leader = cluster.leader();
    let place = metadata.iter().position(|(name, _)| *name == leader).expect("the leader");
    let leading = metadata.remove(place).1;
    leading.terminate();
    storage.terminate();
    succeeded(&leading.ended());
    succeeded(&storage.ended());
    for child in work {
        succeeded(&finish(child, PATIENCE));
    }
    assert_ne!(cluster.leader(), leader);
    assert_eq!(cluster.names("tree/").len(), 400);
    assert!(std::fs::read(&copy).unwrap() == content);
    assert!(cluster.get("new") == content);
}
