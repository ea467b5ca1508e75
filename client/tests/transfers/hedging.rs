//! Slow and silent replicas: a reader goes on with another one soon, and leaves them alone afterwards.

use crate::fake::{Cluster, content};
use crate::finding::{download, named, request, upload};
use crate::storage::Fault;
use bytes::Bytes;
use dfs_client::{ClientSettings, DownloadRequest, Sink, UploadRequest};
use dfs_core::id::NodeId;
use std::io;
use std::time::Duration;
use tokio::time::Instant;

const CHUNKS: usize = 41;
const LENGTH: usize = CHUNKS * 65536;
const SECOND: Duration = Duration::from_secs(1);

/// Measures the longest wait between two writes, and breaks a node on the way.
struct Watching<'a> {
    cluster: &'a Cluster,
    fault: Fault,
    bytes: Vec<u8>,
    last: Instant,
    longest: Duration,
}

impl<'a> Watching<'a> {
    fn new(cluster: &'a Cluster, fault: Fault) -> Watching<'a> {
        Watching { cluster, fault, bytes: Vec::new(), last: Instant::now(), longest: Duration::ZERO }
    }
}

impl Sink for Watching<'_> {
    async fn write(&mut self, bytes: Bytes) -> io::Result<()> {
        self.longest = self.longest.max(self.last.elapsed());
        self.bytes.extend_from_slice(&bytes);
        if self.bytes.len() >= LENGTH / 2 {
            self.cluster.set_fault(NodeId(1), self.fault);
        }
        self.last = Instant::now();
        Ok(())
    }
}

#[tokio::test]
async fn no_read_waits_for_a_second_because_of_one_bad_node() {
    for fault in [Fault::Hangs, Fault::Late(5 * SECOND), Fault::Trickles(SECOND / 3)] {
        let cluster = Cluster::start();
        let client = cluster.client();
        upload(&client, "file", LENGTH).await.unwrap();
        let mut sink = Watching::new(&cluster, fault);
        client.download(named("file"), &mut sink, DownloadRequest::default(), &()).await.unwrap();
        assert!(sink.bytes == content(LENGTH), "{fault:?}");
        // With slack for a busy machine; the simulation holds it to the second.
        assert!(sink.longest < 2 * SECOND, "{fault:?}: {:?}", sink.longest);
    }
}

#[tokio::test]
async fn where_all_nodes_are_busy_and_say_so_a_read_waits_for_its_turn() {
    let cluster = Cluster::start();
    let settings = ClientSettings { stall_timeout: SECOND, read_timeout: SECOND, ..ClientSettings::default() };
    let client = cluster.client_with(cluster.metadata.addresses(), settings);
    upload(&client, "file", 100_000).await.unwrap();
    cluster.storage.iter().for_each(|node| node.set_fault(Fault::Busy(2 * SECOND)));
    assert!(download(&client, "file").await.unwrap() == content(100_000));
}

#[tokio::test]
async fn a_node_that_was_slow_gets_less_work() {
    for fault in [Fault::Hangs, Fault::Late(2 * SECOND), Fault::Trickles(SECOND / 3)] {
        let cluster = Cluster::start();
        let client = cluster.client();
        upload(&client, "file", LENGTH).await.unwrap();
        cluster.set_fault(NodeId(1), fault);
        for _ in 0..2 {
            assert!(download(&client, "file").await.unwrap() == content(LENGTH), "{fault:?}");
        }
        let reads: Vec<u32> = cluster.storage.iter().map(|node| node.reads()).collect();
        // Those that were under way when it was found out, of 82.
        assert!(reads[0] <= 10, "{fault:?}: {reads:?}");
    }
}

#[tokio::test]
async fn a_read_that_comes_in_drops_is_overtaken() {
    let cluster = Cluster::start();
    let client = cluster.client();
    let request = UploadRequest { chunk_size: (1024_u32 * 1024).try_into().unwrap(), ..request("file") };
    client.upload(content(3 << 20), request, &()).await.unwrap();
    // It never stands still for long, but would take thirteen seconds.
    cluster.set_fault(NodeId(1), Fault::Trickles(SECOND / 10));
    let begun = Instant::now();
    assert!(download(&client, "file").await.unwrap() == content(3 << 20));
    assert!(begun.elapsed() < 4 * SECOND, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn without_memory_for_one_more_the_one_that_stands_still_makes_room() {
    /// Takes nothing more before the replica that stands still was replaced.
    struct Waiting<'a>(&'a Cluster, Vec<u8>);
    impl Sink for Waiting<'_> {
        async fn write(&mut self, bytes: Bytes) -> io::Result<()> {
            let reads = || self.0.storage.iter().map(|node| node.reads()).sum::<u32>();
            let end = Instant::now() + 4 * SECOND;
            // There is memory for three chunks. The node that hangs does not count what it was asked for, so that the third
            // read is the one in its place.
            while reads() < 3 && Instant::now() < end {
                tokio::time::sleep(SECOND / 100).await;
            }
            self.1.extend_from_slice(&bytes);
            if reads() < 3 { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
        }
    }
    let cluster = Cluster::start();
    let client = cluster.client();
    upload(&client, "file", LENGTH).await.unwrap();
    cluster.set_fault(NodeId(3), Fault::Hangs);
    let mut sink = Waiting(&cluster, Vec::new());
    let request = DownloadRequest { parallel: 1, ..DownloadRequest::default() };
    client.download(named("file"), &mut sink, request, &()).await.unwrap();
    assert!(sink.1 == content(LENGTH));
}

#[tokio::test]
async fn a_cluster_that_is_slow_as_a_whole_is_not_asked_much_more_often() {
    let cluster = Cluster::start();
    let client = cluster.client();
    upload(&client, "file", LENGTH).await.unwrap();
    cluster.storage.iter().for_each(|node| cluster.set_fault(node.node(), Fault::Late(SECOND / 3)));
    let begun = Instant::now();
    assert!(download(&client, "file").await.unwrap() == content(LENGTH));
    let reads: u32 = cluster.storage.iter().map(|node| node.reads()).sum();
    let chunks = u32::try_from(CHUNKS).unwrap();
    assert!(reads <= chunks + chunks / 10 + 8, "{reads} reads of {CHUNKS} chunks");
    assert!(begun.elapsed() < 10 * SECOND, "{:?}", begun.elapsed());
}
