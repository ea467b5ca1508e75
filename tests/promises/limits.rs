//! What one client can take of a node, however much it asks for: a bounded share, and nothing of what others need.

use crate::caller::{Caller, destination};
use crate::cluster::{Cluster, bytes, wait_until};
use crate::failures::Writer;
use crate::metrics::{metrics, value};
use dfs_core::checksum::ChunkSums;
use dfs_core::id::{ChunkId, ChunkIndex, Epoch, FileId, Role, UploadNonce};
use dfs_core::name::FileName;
use dfs_core::time::WallTime;
use dfs_core::unit::ChunkSize;
use dfs_core::wire::Request;
use dfs_core::wire::chunk::{ReadChunk, WriteChunk};
use dfs_core::wire::metadata::{CommitFile, CreateFile, ListFiles, WhoLeads};
use dfs_transport::exchange::{CallError, Exchange};
use dfs_transport::peers::{Class, Destination};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::Instant;

/// Names that there are.
const NAMES: u64 = 20_500;
/// Connections of the client that wants everything.
const CONNECTIONS: usize = 20;
/// Its streams on each of them, to each node: nearly as many as a connection may have.
const STREAMS: usize = 500;
/// Bytes that each node may take in memory at most, whatever it is asked for.
const MEMORY_BYTES_MAX: u64 = 400 << 20;

/// The most memory that a node ever had.
fn memory(cluster: &Cluster, node: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", cluster.process(node).as_raw_nonzero()));
    let status = status.expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

/// Makes empty files with long names, many at once.
async fn plant_names(cluster: &Cluster) {
    let maker = Arc::new(Caller::new(cluster, Role::Client, "maker"));
    let metadata = destination(cluster, "metadata-1");
    let mut making = JoinSet::new();
    for number in 0..NAMES {
        if making.len() >= 200 {
            making.join_next().await.expect("one").expect("a file");
        }
        let maker = maker.clone();
        making.spawn(async move {
            let name = format!("names/{number:06}-{}", "x".repeat(200));
            let nonce = UploadNonce(u128::from(number) + 1);
            let create = CreateFile {
                nonce,
                name: FileName::new(&name).unwrap(),
                chunk_size: ChunkSize::default(),
                replication: None,
                size_hint: Some(0),
                modified: WallTime(1),
                replace: false,
            };
            let file = maker.call(&metadata, &create).await.expect("an upload").file;
            maker.call(&metadata, &CommitFile { file, nonce, size: 0, reports: Vec::new() }).await.expect("a file");
        });
    }
    while let Some(made) = making.join_next().await {
        made.expect("a file");
    }
}

/// Opens a stream with a request, and leaves it at that. A node that is busy may take long to let a connection in.
async fn open<R: Request>(caller: &Caller, to: &Destination, request: &R) -> Exchange {
    // As long as a node lets a stream wait: until all are open, and others have been served beside them.
    let deadline = Instant::now() + Duration::from_secs(600);
    loop {
        match caller.peers.open(to, Class::Control, request, deadline).await {
            Err(CallError::Unreachable(_)) if Instant::now() < deadline => tokio::task::yield_now().await,
            opened => return opened.expect("a stream"),
        }
    }
}

/// One client with a certificate of its own opens ten thousand streams to a metadata node and as many to a storage node,
/// most of them for something large, and takes none of what it is sent. The nodes stay small, say what they refuse, and
/// serve others all the while.
#[tokio::test]
#[allow(clippy::disallowed_methods, reason = "a test outside of any node")]
async fn a_client_that_asks_for_everything_and_takes_nothing_is_no_trouble_to_others() {
    let cluster = Arc::new(Cluster::start(1, 3));
    let (metadata, storage) = (destination(&cluster, "metadata-1"), destination(&cluster, "storage-1"));
    plant_names(&cluster).await;
    let content = bytes(9_000_000, 60);
    cluster.put("before", &content);
    let large = bytes(8_000_000, 61);
    Writer::new(&cluster).write(0, &large, ChunkSums::of(&large)).await.unwrap();

    let greedy: Vec<Caller> = (0..CONNECTIONS).map(|_| Caller::new(&cluster, Role::Client, "greedy")).collect();
    let mut held: Vec<Exchange> = Vec::new();
    let chunk = |index| ChunkId { file: FileId(1_000_000), index: ChunkIndex(index) };
    let mut index = 1_000;
    for caller in &greedy {
        for stream in 0..STREAMS {
            held.push(if stream % 4 == 0 {
                let list = ListFiles { prefix: String::new(), after: None, limit: 1_000 };
                open(caller, &metadata, &list).await
            } else {
                open(caller, &metadata, &WhoLeads {}).await
            });
            held.push(if stream % 2 == 0 {
                let read = ReadChunk { chunk: chunk(0), epoch: Epoch::FIRST, offset: 0, length: u32::MAX };
                open(caller, &storage, &read).await
            } else {
                index += 1;
                let (chunk, epoch, length) = (chunk(index), Epoch::FIRST, 4 << 20);
                let write =
                    WriteChunk { chunk, epoch, length, write_quorum: 1, replicas: Vec::new(), patience_ms: 10_000 };
                open(caller, &storage, &write).await
            });
        }
    }
    assert_eq!(held.len(), 2 * CONNECTIONS * STREAMS);

    let others = cluster.clone();
    let expected = content.clone();
    spawn_blocking(move || {
        for round in 0..2 {
            let name = format!("after-{round}");
            others.put(&name, &expected);
            assert!(others.get(&name) == expected);
            assert!(others.get("before") == expected);
            assert_eq!(others.names("names/").len() as u64, NAMES);
        }
    })
    .await
    .expect("others are served");

    for (node, pools) in
        [("metadata-1", &["namespace"][..]), ("storage-1", &["chunks", "chunk_reads", "primary_writes"])]
    {
        let page = metrics(&cluster.address(node));
        for pool in pools {
            let permits = ["held", "limit"].map(|what| value(&page, &format!("dfs_permits_{what}{{pool=\"{pool}\"}}")));
            assert!(0.0 < permits[0] && permits[0] < permits[1] * 0.8, "{permits:?} of {pool} leave room for others");
        }
        let turned_away = format!("dfs_requests_turned_away_total{{service=\"{}\",reason=\"client_share\"}}", pools[0]);
        assert!(value(&page, &turned_away) >= 1_000.0);
        let memory = memory(&cluster, node);
        assert!(memory <= MEMORY_BYTES_MAX, "{node} took {} MiB", memory >> 20);
    }
    drop(held);
    for (node, pool) in [("metadata-1", "namespace"), ("storage-1", "chunks"), ("storage-1", "chunk_reads")] {
        let permits = format!("dfs_permits_held{{pool=\"{pool}\"}}");
        wait_until("the permits are given back", || value(&metrics(&cluster.address(node)), &permits) == 0.0);
    }
}
