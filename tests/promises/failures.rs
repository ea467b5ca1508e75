//! Bytes and nodes that go wrong.

use crate::cluster::{Cluster, bytes, wait_until};
use bytes::Bytes;
use dfs_client::cluster::ClusterFile;
use dfs_core::checksum::ChunkSums;
use dfs_core::id::{ChunkId, ChunkIndex, Epoch, FileId, NodeId, Role};
use dfs_core::refusal::Refusal;
use dfs_core::wire::chunk::{
    ChunkWritten, FoundBytes, ReadAnswer, ReadChunk, WriteAnswer, WriteChunk, WriteReplica, WriteReply, WriteTrailer,
};
use dfs_transport::endpoint::{Endpoint, EndpointSettings};
use dfs_transport::exchange::{CallError, Exchange};
use dfs_transport::peers::{Class, Destination, Peers};
use dfs_transport::world::World;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;

/// The segment files of a storage node.
fn segments(cluster: &Cluster, node: &str) -> Vec<PathBuf> {
    let directory = cluster.data(node).join("segments");
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Flips a bit in every place of a node's segments where `pattern` stands; answers how many there were.
pub fn flip(cluster: &Cluster, node: &str, pattern: &[u8]) -> usize {
    let mut flipped = 0;
    for path in segments(cluster, node) {
        let content = std::fs::read(&path).unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        for place in
            content.windows(pattern.len()).enumerate().filter(|(_, window)| *window == pattern).map(|(place, _)| place)
        {
            file.write_all_at(&[content[place] ^ 1], place as u64).unwrap();
            flipped += 1;
        }
    }
    flipped
}

/// A26, A28: a bit flipped on two of three replicas is never served; the third one is found by the client itself.
#[test]
fn a_flipped_bit_is_never_served_and_another_replica_is_used() {
    let cluster = Cluster::start(1, 3);
    let content = bytes(300_000, 28);
    cluster.put("file", &content);
    wait_until("all three hold the chunk", || {
        let nodes = cluster.json(&["nodes"]);
        nodes["storage"].as_array().unwrap().iter().all(|node| node["chunks"] == 1)
    });
    let pattern = &content[150_000..150_032];
    assert_eq!(flip(&cluster, "storage-1", pattern), 1);
    assert_eq!(flip(&cluster, "storage-2", pattern), 1);
    for _ in 0..3 {
        assert!(cluster.get("file") == content);
    }
    assert_eq!(flip(&cluster, "storage-3", pattern), 1);
    let scratch = cluster.scratch();
    let file = scratch.path().join("copy");
    cluster.download("file", &file).fails(7, "1:0");
    assert!(!file.exists());
}

/// A24 and half of A23: with one of three nodes down at replication 3 a write succeeds, with two down it is refused
/// and nothing is there; the copy that is missing is caught up when its node returns.
#[test]
fn success_is_never_reported_below_the_write_quorum() {
    let cluster = Cluster::start(1, 3);
    let content = bytes(5_000_000, 24);
    cluster.put("whole", &content);
    cluster.launcher(&["kill", "storage-3"]).succeeds();
    cluster.put("degraded", &content);
    assert!(cluster.get("degraded") == content);
    cluster.launcher(&["kill", "storage-2"]).succeeds();
    let scratch = cluster.scratch();
    let file = scratch.path().join("source");
    std::fs::write(&file, &content).unwrap();
    let arguments = ["upload", "-f", file.to_str().unwrap(), "-n", "refused", "--timeout", "4s"];
    let ran = cluster.run(&arguments);
    assert!(ran.code == 5 || ran.code == 6, "{} {}", ran.code, ran.err);
    assert_eq!(cluster.names(""), ["degraded", "whole"]);
    assert!(cluster.get("whole") == content, "one of three replicas is enough to read");
    cluster.launcher(&["restart", "storage-2"]).succeeds();
    cluster.launcher(&["restart", "storage-3"]).succeeds();
    cluster.put("healed", &content);
    assert!(cluster.get("healed") == content);
}

/// A writer that speaks the protocol by hand.
pub struct Writer {
    peers: Peers,
    storage: Destination,
    #[allow(dead_code, reason = "held: its tasks end with it")]
    world: World,
}

impl Writer {
    /// A writer to the first storage node.
    pub fn new(cluster: &Cluster) -> Writer {
        let file = ClusterFile::find(&cluster.path()).unwrap();
        let nodes = cluster.json(&["nodes"]);
        let address = nodes["storage"][0]["address"].as_str().unwrap().parse().unwrap();
        let world = World::production("writer");
        let settings = EndpointSettings { listen: "127.0.0.1:0".parse().unwrap(), ..EndpointSettings::default() };
        let endpoint = Endpoint::bind(&world, file.identity().unwrap(), settings).unwrap();
        let storage = Destination { address, role: Role::Storage, node: Some(NodeId(1)) };
        Writer { peers: endpoint.peers(), storage, world }
    }

    fn deadline() -> tokio::time::Instant {
        tokio::time::Instant::now() + Duration::from_secs(10)
    }

    /// Offers a chunk and answers the exchange, with the node's answer to the offer.
    pub async fn offer(&self, index: u32, length: usize) -> Result<(Exchange, WriteAnswer), CallError> {
        let request = WriteChunk {
            chunk: ChunkId { file: FileId(1_000_000), index: ChunkIndex(index) },
            epoch: Epoch::FIRST,
            length: u32::try_from(length).unwrap(),
            write_quorum: 1,
            replicas: Vec::new(),
            patience_ms: 5_000,
        };
        let mut exchange = self.peers.open(&self.storage, Class::Bulk, &request, Self::deadline()).await.unwrap();
        loop {
            match exchange.receive_message().await? {
                WriteAnswer::Waiting => {}
                answer => return Ok((exchange, answer)),
            }
        }
    }

    /// Sends a chunk with these sums and answers what the node says of it.
    pub async fn write(&self, index: u32, content: &[u8], sums: ChunkSums) -> Result<ChunkWritten, CallError> {
        let (mut exchange, answer) = self.offer(index, content.len()).await?;
        assert_eq!(answer, WriteAnswer::Send);
        exchange.send_payload(Bytes::copy_from_slice(content)).await?;
        exchange.send_message(&WriteTrailer { sums }).await?;
        Writer::written(&mut exchange).await
    }

    /// What the node says once it has all of a chunk.
    pub async fn written(exchange: &mut Exchange) -> Result<ChunkWritten, CallError> {
        loop {
            if let WriteReply::Written(written) = exchange.receive_message().await? {
                return Ok(written);
            }
        }
    }

    /// What the node says of a read of a whole chunk.
    pub async fn read(&self, index: u32) -> Result<FoundBytes, CallError> {
        Ok(self.begin_read(index).await?.1)
    }

    /// Asks for a whole chunk, and answers the exchange, with what the node says of it once it is its turn.
    pub async fn begin_read(&self, index: u32) -> Result<(Exchange, FoundBytes), CallError> {
        let chunk = ChunkId { file: FileId(1_000_000), index: ChunkIndex(index) };
        let request = ReadChunk { chunk, epoch: Epoch::FIRST, offset: 0, length: u32::MAX };
        let mut exchange = self.peers.open(&self.storage, Class::Bulk, &request, Self::deadline()).await.unwrap();
        loop {
            if let ReadAnswer::Found(found) = exchange.receive_message().await? {
                return Ok((exchange, found));
            }
        }
    }
}

/// A17, and what a node owes to A18 and A19: the first content under a name and epoch stays.
#[tokio::test]
async fn bytes_that_do_not_match_or_end_early_are_refused_and_nothing_is_stored() {
    let cluster = Cluster::shared();
    let writer = Writer::new(&cluster);
    let (content, other) = (bytes(200_000, 17), bytes(200_000, 18));
    let missing = |answer: Result<FoundBytes, CallError>| {
        assert!(matches!(answer, Err(CallError::Refused(Refusal::ChunkMissing))), "{answer:?}");
    };

    let refused = writer.write(0, &content, ChunkSums::of(&other)).await;
    assert!(matches!(refused, Err(CallError::Refused(Refusal::ChecksumMismatch))), "{refused:?}");
    missing(writer.read(0).await);

    let (mut early, _) = writer.offer(0, content.len()).await.unwrap();
    early.send_payload(Bytes::copy_from_slice(&content[..100_000])).await.unwrap();
    drop(early);
    missing(writer.read(0).await);

    // While the node takes the dropped stream back, another writer of the chunk is told to wait.
    let end = Writer::deadline();
    let written = loop {
        assert!(tokio::time::Instant::now() < end, "the node takes the dropped stream back in time");
        match writer.write(0, &content, ChunkSums::of(&content)).await {
            Err(CallError::Refused(Refusal::WriteInProgress)) => tokio::task::yield_now().await,
            offered => break offered.unwrap(),
        }
    };
    assert_eq!(written.checksum, ChunkSums::of(&content).checksum());
    assert_eq!(written.holders, [NodeId(1)]);

    let (_, answer) = writer.offer(0, other.len()).await.unwrap();
    assert_eq!(answer, WriteAnswer::Held { checksum: written.checksum }, "the first content stays");
    let read = writer.read(0).await.unwrap();
    assert_eq!(read.sums, ChunkSums::of(&content));
}

/// A59, its first part: what is for storage nodes is not for clients.
#[tokio::test]
async fn a_client_cannot_act_as_a_storage_node() {
    let cluster = Cluster::shared();
    let writer = Writer::new(&cluster);
    let chunk = ChunkId { file: FileId(1_000_001), index: ChunkIndex(0) };
    let request = WriteReplica { chunk, epoch: Epoch::FIRST, length: 10, expected: None };
    let mut exchange = writer.peers.open(&writer.storage, Class::Bulk, &request, Writer::deadline()).await.unwrap();
    let answer: Result<WriteAnswer, _> = exchange.receive_message().await;
    assert!(matches!(answer, Err(CallError::Refused(Refusal::NotPermitted))), "{answer:?}");
}
