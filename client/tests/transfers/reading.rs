//! Downloads, and what goes wrong with replicas.

use crate::fake::{Cluster, content};
use crate::finding::{download, named, upload};
use crate::storage::Fault;
use bytes::Bytes;
use dfs_client::{ClientError, ClientSettings, DownloadRequest, ErrorKind, Sink};
use dfs_core::id::NodeId;
use std::io;
use std::time::Duration;
use tokio::time::Instant;

const LENGTH: usize = 40 * 65536 + 5;

#[tokio::test]
async fn reads_spread_over_the_replicas() {
    let cluster = Cluster::start();
    let client = cluster.client();
    upload(&client, "file", LENGTH).await.unwrap();
    assert_eq!(download(&client, "file").await.unwrap(), content(LENGTH));
    let reads: Vec<u32> = cluster.storage.iter().map(|node| node.reads()).collect();
    // A third each, but for what is late on a busy machine.
    assert!(reads.iter().all(|reads| (10..=20).contains(reads)), "{reads:?}");
}

#[tokio::test]
async fn a_replica_with_wrong_bytes_is_replaced_and_its_bytes_reach_nobody() {
    for fault in [Fault::Rotten, Fault::Lying, Fault::BreaksOff] {
        let cluster = Cluster::start();
        let client = cluster.client();
        upload(&client, "file", LENGTH).await.unwrap();
        cluster.set_fault(NodeId(2), fault);
        assert_eq!(download(&client, "file").await.unwrap(), content(LENGTH), "{fault:?}");
    }
}

#[tokio::test]
async fn a_replica_that_lost_a_chunk_is_replaced() {
    let cluster = Cluster::start();
    let client = cluster.client();
    upload(&client, "file", LENGTH).await.unwrap();
    cluster.storage[0].forget();
    cluster.storage[2].forget();
    assert_eq!(download(&client, "file").await.unwrap(), content(LENGTH));
}

#[tokio::test]
async fn a_replica_that_hangs_or_is_dead_costs_a_bounded_time() {
    for fault in [Fault::Hangs, Fault::Dead] {
        let cluster = Cluster::start();
        let client = cluster.client();
        upload(&client, "file", LENGTH).await.unwrap();
        match fault {
            Fault::Dead => cluster.kill(NodeId(1)).await,
            fault => cluster.set_fault(NodeId(1), fault),
        }
        let begun = Instant::now();
        assert_eq!(download(&client, "file").await.unwrap(), content(LENGTH));
        assert!(begun.elapsed() < Duration::from_secs(4), "{fault:?}: {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_chunk_without_any_good_replica_is_an_error_that_names_it() {
    let cluster = Cluster::start();
    let client = cluster.client();
    let info = upload(&client, "file", 3 * 65536).await.unwrap();
    cluster.storage[0].forget();
    cluster.set_fault(NodeId(2), Fault::Rotten);
    cluster.set_fault(NodeId(3), Fault::Lying);
    let error = download(&client, "file").await.unwrap_err();
    assert!(matches!(&error, ClientError::ChunkUnreadable { attempts, .. } if attempts.len() == 3), "{error}");
    assert!(error.to_string().contains(&format!("chunk {}:0", info.file)), "{error}");
    assert_eq!(error.kind(), ErrorKind::Storage);
}

#[tokio::test]
async fn hanging_replicas_everywhere_are_a_bounded_wait_and_an_error() {
    let cluster = Cluster::start();
    let tenth = Duration::from_millis(100);
    let settings = ClientSettings {
        read_patience: tenth,
        stall_timeout: 3 * tenth,
        read_timeout: 5 * tenth,
        ..ClientSettings::default()
    };
    let client = cluster.client_with(cluster.metadata.addresses(), settings);
    upload(&client, "file", 65536).await.unwrap();
    (1..=3).for_each(|node| cluster.set_fault(NodeId(node), Fault::Hangs));
    let begun = Instant::now();
    let error = download(&client, "file").await.unwrap_err();
    assert!(matches!(error, ClientError::ChunkUnreadable { .. }), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_sink_that_fails_ends_the_download() {
    struct Full;
    impl Sink for Full {
        async fn write(&mut self, _: Bytes) -> io::Result<()> {
            Err(io::ErrorKind::StorageFull.into())
        }
    }
    let cluster = Cluster::start();
    let client = cluster.client();
    upload(&client, "file", LENGTH).await.unwrap();
    let error = client.download(named("file"), Full, DownloadRequest::default(), &()).await.unwrap_err();
    assert!(matches!(error, ClientError::Sink(_)), "{error}");
}

#[tokio::test]
async fn a_slow_sink_is_not_buried() {
    struct Slow<'a>(&'a Cluster, Vec<u8>, u64);
    impl Sink for Slow<'_> {
        async fn write(&mut self, bytes: Bytes) -> io::Result<()> {
            tokio::time::sleep(Duration::from_millis(5)).await;
            self.1.extend_from_slice(&bytes);
            let read: u64 = self.0.storage.iter().map(|node| u64::from(node.reads())).sum();
            self.2 = self.2.max(read - self.1.len() as u64 / 65536);
            Ok(())
        }
    }
    let cluster = Cluster::start();
    let client = cluster.client();
    upload(&client, "file", LENGTH).await.unwrap();
    let mut sink = Slow(&cluster, Vec::new(), 0);
    client
        .download(named("file"), &mut sink, DownloadRequest { parallel: 3, ..DownloadRequest::default() }, &())
        .await
        .unwrap();
    assert_eq!(sink.1, content(LENGTH));
    // Five, and what was read again because it was late.
    assert!(sink.2 <= 7, "{} chunks were read ahead", sink.2);
}
