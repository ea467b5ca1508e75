//! Uploads that go on where an earlier run ended.

use crate::fake::{Cluster, content};
use crate::finding::{download, request};
use crate::storage::Fault;
use bytes::Bytes;
use dfs_client::{ClientError, ErrorKind, LeftBehind, Progress, Resume, Source, UploadRequest};
use dfs_core::id::{ChunkIndex, Epoch, NodeId};
use dfs_core::time::WallTime;
use dfs_core::wire::metadata::UploadDifference;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

const CHUNK: usize = 65536;
const CHUNKS: usize = 40;
const SIZE: usize = CHUNKS * CHUNK - 5;

fn resuming(resume: Resume) -> UploadRequest {
    UploadRequest { resume, ..request("file") }
}

/// What the user is told.
#[derive(Default)]
struct Told {
    left: Mutex<Option<LeftBehind>>,
    anew: Mutex<Option<UploadDifference>>,
    other_bytes: AtomicU64,
    differed: Mutex<Vec<ChunkIndex>>,
    advanced: AtomicU64,
}

impl Progress for Told {
    fn started(&self, total: Option<u64>) {
        assert_eq!(total, Some(SIZE as u64));
    }
    fn advanced(&self, bytes: u64) {
        self.advanced.fetch_add(bytes, Ordering::Relaxed);
    }
    fn resumed(&self, left: &LeftBehind) {
        *self.left.lock().unwrap() = Some(*left);
    }
    fn began_anew(&self, difference: UploadDifference) {
        *self.anew.lock().unwrap() = Some(difference);
    }
    fn began_with_other_bytes(&self) {
        self.other_bytes.fetch_add(1, Ordering::Relaxed);
    }
    fn differed(&self, chunk: ChunkIndex, _: u32) {
        self.differed.lock().unwrap().push(chunk);
    }
}

impl Told {
    fn chunks_left(&self) -> Option<u64> {
        self.left.lock().unwrap().map(|left| left.chunks)
    }
}

/// A source that breaks when so many bytes of it are durable, however far it was read.
struct Breaking<'a>(Bytes, &'a AtomicU64, u64);

impl Source for Breaking<'_> {
    fn size(&self) -> Option<u64> {
        Some(SIZE as u64)
    }
    async fn read(&mut self, max: usize) -> io::Result<Bytes> {
        if self.1.load(Ordering::Relaxed) >= self.2 { Err(io::ErrorKind::Other.into()) } else { self.0.read(max).await }
    }
}

/// Runs an upload of [`content`] that breaks off about half way; answers the bytes that were acknowledged.
async fn half(cluster: &Cluster) -> u64 {
    let client = cluster.client();
    let told = Told::default();
    let source = Breaking(content(SIZE), &told.advanced, SIZE as u64 / 2);
    let error = client.upload(source, resuming(Resume::Trust), &told).await.unwrap_err();
    assert!(matches!(error, ClientError::Source(_)), "{error}");
    assert_eq!(told.chunks_left(), None);
    for storage in &cluster.storage {
        storage.writes_have_ended().await;
    }
    told.advanced.into_inner()
}

fn received(cluster: &Cluster) -> u64 {
    cluster.storage.iter().map(|node| node.received()).sum()
}

#[tokio::test]
async fn an_upload_that_broke_off_at_half_sends_only_the_rest() {
    let cluster = Cluster::start();
    let durable = half(&cluster).await;
    let before = received(&cluster);
    let (client, told) = (cluster.client(), Told::default());
    let info = client.upload(content(SIZE), resuming(Resume::Trust), &told).await.unwrap();
    assert_eq!((info.size, cluster.metadata.files_created()), (SIZE as u64, 1));
    assert_eq!(download(&client, "file").await.unwrap(), content(SIZE));
    let left = told.left.lock().unwrap().unwrap();
    // What was acknowledged is there, and what was on its way may be.
    assert!(left.bytes >= durable && left.bytes <= durable + 6 * CHUNK as u64, "{left:?}, {durable}");
    assert_eq!((left.chunks, left.chunks_total), (left.bytes / CHUNK as u64, CHUNKS as u64));
    assert_eq!(received(&cluster) - before, SIZE as u64 - left.bytes);
    assert_eq!(told.advanced.into_inner(), SIZE as u64 - left.bytes);
}

#[tokio::test]
async fn what_became_durable_with_nobody_to_tell_is_found_with_the_nodes() {
    let cluster = Cluster::start();
    // The nodes take everything and never say so.
    (1..=3).for_each(|node| cluster.set_fault(NodeId(node), Fault::KeepsSilent));
    let client = cluster.client();
    let upload = client.upload(content(SIZE), resuming(Resume::Trust), &());
    tokio::select! {
        outcome = upload => panic!("{outcome:?}"),
        () = async {
            while cluster.stored_bytes() < 3 * 6 * CHUNK as u64 {
                tokio::task::yield_now().await;
            }
        } => {}
    }
    (1..=3).for_each(|node| cluster.set_fault(NodeId(node), Fault::None));
    let (client, told) = (cluster.client(), Told::default());
    client.upload(content(SIZE), resuming(Resume::Trust), &told).await.unwrap();
    assert!(told.chunks_left().unwrap() >= 6, "{:?}", told.left);
    assert_eq!(download(&client, "file").await.unwrap(), content(SIZE));
    // The first six were never written under another epoch.
    let again = cluster.storage[0].chunks().into_iter().filter(|(index, epoch)| index.0 < 6 && *epoch > Epoch::FIRST);
    assert_eq!(again.count(), 0);
}

#[tokio::test]
async fn a_node_that_does_not_answer_does_not_stop_a_resumed_upload() {
    for fault in [Fault::Dead, Fault::Hangs] {
        let cluster = Cluster::with_storage_nodes(4);
        let durable = half(&cluster).await;
        match fault {
            Fault::Dead => cluster.kill(NodeId(2)).await,
            fault => cluster.set_fault(NodeId(2), fault),
        }
        let (client, told) = (cluster.client(), Told::default());
        client.upload(content(SIZE), resuming(Resume::Trust), &told).await.unwrap();
        assert!(told.left.lock().unwrap().unwrap().bytes >= durable, "two of three copies are told of");
        assert_eq!(download(&client, "file").await.unwrap(), content(SIZE));
    }
}

#[tokio::test]
async fn another_run_takes_over_and_the_first_is_told_so() {
    let cluster = Cluster::start();
    cluster.storage.iter().for_each(|node| node.set_delay(std::time::Duration::from_millis(20)));
    let (first, second) = (cluster.client(), cluster.client());
    let started = Told::default();
    let outrun = first.upload(content(SIZE), resuming(Resume::Trust), &started);
    let taking_over = async {
        while started.advanced.load(Ordering::Relaxed) < 18 * CHUNK as u64 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        second.upload(content(SIZE), resuming(Resume::Trust), &()).await
    };
    let (outrun, done) = tokio::join!(outrun, taking_over);
    done.unwrap();
    let error = outrun.unwrap_err();
    assert!(matches!(error, ClientError::UploadGone { .. }), "{error}");
    assert!(error.to_string().contains("another run of it took over"), "{error}");
    assert_eq!(download(&second, "file").await.unwrap(), content(SIZE));
}

#[tokio::test]
async fn another_source_or_other_parameters_begin_anew_and_say_so() {
    let cluster = Cluster::start();
    half(&cluster).await;
    let later = UploadRequest { modified: WallTime(6), ..resuming(Resume::Trust) };
    let (client, told) = (cluster.client(), Told::default());
    client.upload(content(SIZE), later, &told).await.unwrap();
    assert_eq!(*told.anew.lock().unwrap(), Some(UploadDifference::Modified));
    assert_eq!((told.chunks_left(), cluster.metadata.files_created()), (None, 2));
    assert_eq!(told.advanced.into_inner(), SIZE as u64);
    assert_eq!(download(&client, "file").await.unwrap(), content(SIZE));
}

#[tokio::test]
async fn another_source_of_the_same_size_and_time_begins_anew_if_its_first_chunk_shows_it() {
    let cluster = Cluster::start();
    half(&cluster).await;
    let changed: Bytes = content(SIZE).iter().map(|byte| byte ^ 1).collect();
    let (client, told) = (cluster.client(), Told::default());
    client.upload(changed.clone(), resuming(Resume::Trust), &told).await.unwrap();
    assert!(download(&client, "file").await.unwrap() == changed, "two sources are not mixed");
    assert_eq!((told.chunks_left(), cluster.metadata.files_created()), (None, 2));
    assert_eq!((told.other_bytes.into_inner(), told.advanced.into_inner()), (1, SIZE as u64));
}

#[tokio::test]
async fn an_upload_that_is_not_asked_to_resume_does_not() {
    let cluster = Cluster::start();
    half(&cluster).await;
    let (client, told) = (cluster.client(), Told::default());
    client.upload(content(SIZE), resuming(Resume::Never), &told).await.unwrap();
    assert_eq!((told.chunks_left(), cluster.metadata.files_created()), (None, 2));
}

#[tokio::test]
async fn a_comparing_run_sends_again_what_differs_and_nothing_else() {
    let cluster = Cluster::start();
    half(&cluster).await;
    let before = received(&cluster);
    // The same size and time, but not the same bytes.
    let mut changed = content(SIZE).to_vec();
    changed[3 * CHUNK + 7] ^= 1;
    changed[9 * CHUNK] ^= 1;
    let (client, told) = (cluster.client(), Told::default());
    client.upload(Bytes::from(changed.clone()), resuming(Resume::Compare), &told).await.unwrap();
    assert!(download(&client, "file").await.unwrap() == changed, "what is read back is the second source");
    assert_eq!(*told.differed.lock().unwrap(), [ChunkIndex(3), ChunkIndex(9)]);
    let left = told.left.lock().unwrap().unwrap();
    let sent = SIZE - left.chunks as usize * CHUNK + 2 * CHUNK;
    assert_eq!(received(&cluster) - before, sent as u64);
    assert_eq!(told.advanced.into_inner(), SIZE as u64, "what was compared counts as progress");
}

#[tokio::test]
async fn every_lost_answer_of_a_resumed_upload_ends_in_success_once() {
    for lost in 1..=4 {
        let cluster = Cluster::start();
        half(&cluster).await;
        cluster.metadata.lose_answers(lost);
        let (client, told) = (cluster.client(), Told::default());
        client.upload(content(SIZE), resuming(Resume::Trust), &told).await.unwrap();
        assert!(told.chunks_left().unwrap() >= CHUNKS as u64 / 2 - 1, "{lost}");
        assert_eq!(cluster.metadata.files_created(), 1, "{lost}");
        assert_eq!(download(&client, "file").await.unwrap(), content(SIZE), "{lost}");
    }
}

#[tokio::test]
async fn a_name_that_was_taken_meanwhile_is_refused_before_anything_is_sent() {
    let cluster = Cluster::start();
    let client = cluster.client();
    half(&cluster).await;
    client.upload(content(SIZE), resuming(Resume::Never), &()).await.unwrap();
    let before = received(&cluster);
    let error = client.upload(content(SIZE), resuming(Resume::Trust), &()).await.unwrap_err();
    assert_eq!((error.kind(), received(&cluster)), (ErrorKind::AlreadyExists, before));
}
