//! Nodes that stand still, with real SIGSTOP.

use crate::cluster::{Cluster, bytes};
use rustix::process::{Pid, Signal, kill_process};
use std::time::{Duration, Instant};

/// A storage node that stands still for as long as this lives.
pub struct Stopped(Pid);

impl Stopped {
    /// Stops a node where it is.
    pub fn node(cluster: &Cluster, node: &str) -> Stopped {
        let pid = cluster.process(node);
        kill_process(pid, Signal::STOP).unwrap();
        Stopped(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::CONT);
    }
}

/// A26, A27. The bound on one file is that of one bad node, and slack for a loaded machine; the simulation holds it to
/// the promise.
#[test]
#[allow(clippy::disallowed_methods, reason = "a test outside of any node")]
fn a_node_that_stands_still_costs_a_reader_hardly_more_than_nothing() {
    let cluster = Cluster::start(1, 3);
    let content = bytes(12_000_000, 27);
    cluster.put("file", &content);
    let took = |what: &str| {
        let began = Instant::now();
        assert!(cluster.get("file") == content, "{what}");
        began.elapsed()
    };
    let usual = took("all is well");
    for node in ["storage-1", "storage-2", "storage-3"] {
        let stopped = Stopped::node(&cluster, node);
        let slow = took(node);
        drop(stopped);
        assert!(slow < usual + Duration::from_secs(3), "{node}: {slow:?}, where {usual:?} is usual");
    }
    // Two of three: the one that is left is enough.
    let _two = [Stopped::node(&cluster, "storage-1"), Stopped::node(&cluster, "storage-3")];
    let slow = took("two stand still");
    assert!(slow < usual + Duration::from_secs(4), "{slow:?}, where {usual:?} is usual");
}
