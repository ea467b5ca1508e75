//! Uploads, and what goes wrong with primaries.

use crate::fake::{Cluster, content};
use crate::finding::{download, request, upload};
use crate::storage::Fault;
use bytes::Bytes;
use dfs_client::{
    Client, ClientError, ClientSettings, ErrorKind, PipeSource, Progress, Source, TransferFailure, UploadRequest,
};
use dfs_core::id::{Epoch, NodeId};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

const CHUNK: usize = 65536;

/// A client that gives up soon.
fn hasty(cluster: &Cluster) -> Client {
    let settings = ClientSettings {
        stall_timeout: Duration::from_millis(500),
        operation_timeout: Duration::from_secs(2),
        ..ClientSettings::default()
    };
    cluster.client_with(cluster.metadata.addresses(), settings)
}

#[tokio::test]
async fn files_of_every_interesting_size_come_back_identical() {
    let cluster = Cluster::start();
    let client = cluster.client();
    let group = 16 * CHUNK;
    for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, group, group + 1, 3 * group + 7] {
        let before = cluster.metadata.entries();
        let name = format!("known {length}");
        let info = upload(&client, &name, length).await.unwrap();
        assert_eq!(info.size, length as u64);
        assert_eq!(download(&client, &name).await.unwrap(), content(length), "{length}");
        // One to create, one for each further group, one to commit.
        let entries = 1 + u32::try_from(length.div_ceil(group).max(1)).unwrap();
        assert_eq!(cluster.metadata.entries() - before, entries, "{length}");

        let name = format!("piped {length}");
        let source = PipeSource::new(&cluster.world.scope, io::Cursor::new(content(length)));
        let info = client.upload(source, request(&name), &()).await.unwrap();
        assert_eq!(info.size, length as u64);
        assert_eq!(download(&client, &name).await.unwrap(), content(length), "{length}");
        assert_eq!(cluster.metadata.entries() - before, 2 * entries, "{length}");
    }
}

#[tokio::test]
async fn a_name_that_is_taken_is_refused() {
    let cluster = Cluster::start();
    let client = cluster.client();
    upload(&client, "file", 10).await.unwrap();
    let error = upload(&client, "file", 20).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(download(&client, "file").await.unwrap(), content(10));
}

#[tokio::test]
async fn a_primary_that_is_gone_or_wrong_is_replaced() {
    let faults = [
        Fault::Dead,
        Fault::Hangs,
        Fault::HangsMidway,
        Fault::HangsBeforeAcknowledging,
        Fault::Full,
        Fault::AcknowledgesOneCopy,
        Fault::AcknowledgesOtherBytes,
        Fault::BreaksOff,
    ];
    for fault in faults {
        let cluster = Cluster::start();
        let client = hasty(&cluster);
        match fault {
            Fault::Dead => cluster.kill(NodeId(2)).await,
            fault => cluster.set_fault(NodeId(2), fault),
        }
        let begun = Instant::now();
        upload(&client, "file", 40 * CHUNK).await.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        assert!(begun.elapsed() < Duration::from_secs(10), "{fault:?}: {:?}", begun.elapsed());
        assert_eq!(cluster.metadata.highest_epoch(), Epoch(2), "{fault:?}");
        assert_eq!(download(&client, "file").await.unwrap(), content(40 * CHUNK), "{fault:?}");
    }
}

#[tokio::test]
async fn a_primary_that_dies_on_the_way_is_replaced_and_durable_chunks_are_not_sent_again() {
    struct Kill<'a>(&'a Cluster, AtomicU64);
    impl Progress for Kill<'_> {
        fn started(&self, total: Option<u64>) {
            assert_eq!(total, Some(40 * CHUNK as u64));
        }
        fn advanced(&self, bytes: u64) {
            if self.1.fetch_add(bytes, Ordering::Relaxed) > 10 * CHUNK as u64 {
                self.0.set_fault(NodeId(1), Fault::Hangs);
            }
        }
    }
    let cluster = Cluster::start();
    let client = hasty(&cluster);
    let progress = Kill(&cluster, AtomicU64::new(0));
    client.upload(content(40 * CHUNK), request("file"), &progress).await.unwrap();
    assert_eq!(progress.1.load(Ordering::Relaxed), 40 * CHUNK as u64);
    assert_eq!(download(&client, "file").await.unwrap(), content(40 * CHUNK));
    // Three copies at most of each chunk, and of those that were on their way when the node hung, others.
    assert!(cluster.stored_bytes() <= (3 * 40 + 16) * CHUNK as u64);
}

#[tokio::test]
async fn success_is_never_reported_below_the_write_quorum() {
    let cluster = Cluster::start();
    let client = hasty(&cluster);
    (1..=3).for_each(|node| cluster.set_fault(NodeId(node), Fault::AcknowledgesOneCopy));
    let begun = Instant::now();
    let error = upload(&client, "file", 3 * CHUNK).await.unwrap_err();
    let told = matches!(
        error,
        ClientError::ChunkUnwritable { cause: TransferFailure::TooFewCopies { acknowledged: 1, needed: 2 }, .. }
    );
    assert!(told, "{error}");
    assert!(begun.elapsed() < Duration::from_secs(8));
    assert_eq!(download(&client, "file").await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn too_few_living_nodes_are_an_error_and_nothing_is_visible() {
    let cluster = Cluster::start();
    let client = hasty(&cluster);
    cluster.set_fault(NodeId(1), Fault::Hangs);
    cluster.set_fault(NodeId(2), Fault::Full);
    let begun = Instant::now();
    let error = upload(&client, "file", CHUNK).await.unwrap_err();
    assert!(matches!(error, ClientError::ChunkUnwritable { .. }), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(download(&client, "file").await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_pipe_is_uploaded_in_bounded_memory() {
    /// Counts what the upload holds: what was given and is not durable.
    struct Endless<'a>(u64, &'a AtomicU64, &'a AtomicU64);
    impl Source for Endless<'_> {
        fn size(&self) -> Option<u64> {
            None
        }
        async fn read(&mut self, max: usize) -> io::Result<Bytes> {
            let bytes = content(max.min(10_000).min(usize::try_from(self.0).unwrap()));
            self.0 -= bytes.len() as u64;
            let held = self.1.fetch_add(bytes.len() as u64, Ordering::Relaxed) + bytes.len() as u64;
            self.2.fetch_max(held, Ordering::Relaxed);
            Ok(bytes)
        }
    }
    struct Durable<'a>(&'a AtomicU64);
    impl Progress for Durable<'_> {
        fn started(&self, total: Option<u64>) {
            assert_eq!(total, None);
        }
        fn advanced(&self, bytes: u64) {
            self.0.fetch_sub(bytes, Ordering::Relaxed);
        }
    }
    let cluster = Cluster::start();
    cluster.storage.iter().for_each(|node| node.set_delay(Duration::from_millis(5)));
    let client = cluster.client();
    let (held, most) = (AtomicU64::new(0), AtomicU64::new(0));
    let length = 100 * CHUNK as u64 + 5;
    let request = UploadRequest { parallel: 4, ..request("file") };
    let info = client.upload(Endless(length, &held, &most), request, &Durable(&held)).await.unwrap();
    assert_eq!(info.size, length);
    let most = most.load(Ordering::Relaxed);
    assert!((4 * CHUNK as u64..=6 * CHUNK as u64).contains(&most), "{most}");
}

#[tokio::test]
async fn a_source_that_fails_leaves_nothing_visible() {
    struct Failing(u32);
    impl Source for Failing {
        fn size(&self) -> Option<u64> {
            None
        }
        async fn read(&mut self, max: usize) -> io::Result<Bytes> {
            self.0 += 1;
            if self.0 < 20 { Ok(content(max)) } else { Err(io::ErrorKind::BrokenPipe.into()) }
        }
    }
    let cluster = Cluster::start();
    let client = cluster.client();
    let error = client.upload(Failing(0), request("file"), &()).await.unwrap_err();
    assert!(matches!(error, ClientError::Source(_)), "{error}");
    assert_eq!(error.kind(), ErrorKind::Local);
    assert_eq!(download(&client, "file").await.unwrap_err().kind(), ErrorKind::NotFound);
}

/// A22: whichever step a primary hangs or dies in, it is left within a second.
#[tokio::test]
async fn a_primary_that_hangs_at_any_step_costs_less_than_a_second() {
    for fault in [Fault::Dead, Fault::Hangs, Fault::HangsMidway, Fault::HangsBeforeAcknowledging, Fault::WaitsForEver] {
        let cluster = Cluster::with_storage_nodes(4);
        let client = cluster.client_with(cluster.metadata.addresses(), ClientSettings::default());
        upload(&client, "warm", 16 * CHUNK).await.unwrap();
        match fault {
            Fault::Dead => cluster.kill(NodeId(2)).await,
            fault => cluster.set_fault(NodeId(2), fault),
        }
        let begun = Instant::now();
        // One group, so that the node is met once.
        upload(&client, "file", 16 * CHUNK).await.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        // What else there is to do takes a moment on a busy machine.
        assert!(begun.elapsed() < Duration::from_millis(2_500), "{fault:?}: {:?}", begun.elapsed());
        assert_eq!(cluster.metadata.highest_epoch(), Epoch(2), "{fault:?}");
        assert_eq!(download(&client, "file").await.unwrap(), content(16 * CHUNK), "{fault:?}");
    }
}

#[tokio::test]
async fn nodes_that_are_all_slow_are_not_changed_for_each_other() {
    let cluster = Cluster::start();
    cluster.storage.iter().for_each(|node| node.set_delay(Duration::from_millis(1_700)));
    let client = cluster.client_with(cluster.metadata.addresses(), ClientSettings::default());
    upload(&client, "file", 3 * CHUNK).await.unwrap();
    assert_eq!(cluster.metadata.highest_epoch(), Epoch(1));
}
