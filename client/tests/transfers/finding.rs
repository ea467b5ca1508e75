//! Finding the leader, and what needs nothing but the leader.

use crate::fake::{Cluster, content};
use dfs_client::{Client, ClientError, ClientSettings, DownloadRequest, ErrorKind, UploadRequest};
use dfs_core::id::NodeId;
use dfs_core::name::FileName;
use dfs_core::refusal::Refusal;
use dfs_core::time::WallTime;
use dfs_core::wire::metadata::{FileInfo, FileTarget};
use std::time::Duration;
use tokio::time::Instant;

pub fn named(name: &str) -> FileTarget {
    FileTarget::Name(FileName::new(name).unwrap())
}

pub fn request(name: &str) -> UploadRequest {
    let request = UploadRequest::new(FileName::new(name).unwrap(), WallTime(5));
    UploadRequest { chunk_size: (64_u32 * 1024).try_into().unwrap(), ..request }
}

pub async fn upload(client: &Client, name: &str, length: usize) -> Result<FileInfo, ClientError> {
    client.upload(content(length), request(name), &()).await
}

pub async fn download(client: &Client, name: &str) -> Result<Vec<u8>, ClientError> {
    let mut bytes = Vec::new();
    client.download(named(name), &mut bytes, DownloadRequest::default(), &()).await?;
    Ok(bytes)
}

#[tokio::test]
async fn a_client_seeded_only_with_a_follower_reaches_the_leader() {
    let cluster = Cluster::start();
    let follower = cluster.metadata.addresses()[2];
    let client = cluster.client_with(vec![follower], ClientSettings::default());
    upload(&client, "file", 10).await.unwrap();
    assert_eq!(client.who_leads().await.unwrap().leader.unwrap().node, NodeId(1));
}

#[tokio::test]
async fn a_client_with_one_dead_seed_reaches_the_leader() {
    let cluster = Cluster::start();
    let seeds = vec![cluster.dead_address().await, cluster.metadata.addresses()[1]];
    let client = cluster.client_with(seeds, ClientSettings::default());
    let begun = Instant::now();
    upload(&client, "file", 10).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_client_follows_the_leadership_wherever_it_goes() {
    let cluster = Cluster::start();
    let client = cluster.client();
    for (round, leader) in [1, 3, 2].into_iter().enumerate() {
        cluster.metadata.elect(Some(NodeId(leader)));
        upload(&client, &format!("file {round}"), 10).await.unwrap();
    }
}

#[tokio::test]
async fn a_request_waits_for_an_election() {
    let cluster = Cluster::start();
    let client = cluster.client();
    upload(&client, "before", 10).await.unwrap();
    cluster.metadata.elect(None);
    let metadata = cluster.metadata.clone();
    let electing = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        metadata.elect(Some(NodeId(2)));
    };
    let begun = Instant::now();
    let (uploaded, ()) = tokio::join!(upload(&client, "during", 10), electing);
    uploaded.unwrap();
    assert!(begun.elapsed() < Duration::from_millis(700 + 1500), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_cluster_without_a_leader_or_without_nodes_is_a_bounded_wait_and_a_clear_error() {
    let cluster = Cluster::start();
    let second = Duration::from_secs(1);
    let settings = ClientSettings { operation_timeout: second, connect_timeout: second, ..ClientSettings::default() };
    let client = cluster.client_with(cluster.metadata.addresses(), settings.clone());
    cluster.metadata.elect(None);
    let error = client.stat(named("file")).await.unwrap_err();
    assert!(matches!(error, ClientError::Unavailable { .. }), "{error}");
    let nobody = cluster.dead_address().await;
    let error = cluster.client_with(vec![nobody], settings).stat(named("file")).await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains(&nobody.to_string()), "{error}");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn an_answer_that_is_lost_at_any_step_changes_nothing() {
    let cluster = Cluster::start();
    let client = cluster.client();
    for lost in 1..=2 {
        let created = cluster.metadata.files_created();
        cluster.metadata.lose_answers(lost);
        let name = format!("file {lost}");
        upload(&client, &name, 20 * 65536).await.unwrap();
        assert_eq!(cluster.metadata.files_created(), created + 1);
        cluster.metadata.lose_answers(lost);
        assert_eq!(download(&client, &name).await.unwrap(), content(20 * 65536));
    }
}

#[tokio::test]
async fn a_listing_goes_through_all_pages_in_order() {
    let cluster = Cluster::start();
    let client = cluster.client();
    for name in ["b/2", "a", "b/1", "b/3", "c"] {
        upload(&client, name, 1).await.unwrap();
    }
    let names = |mut listing: dfs_client::Listing| async move {
        let mut names = Vec::new();
        while let Some(file) = listing.next().await.unwrap() {
            names.push(file.name.to_string());
        }
        names
    };
    assert_eq!(names(client.list("")).await, ["a", "b/1", "b/2", "b/3", "c"]);
    assert_eq!(names(client.list("b")).await, ["b/1", "b/2", "b/3"]);
    assert!(names(client.list("x")).await.is_empty());
}

#[tokio::test]
async fn a_deleted_file_is_gone_and_an_unknown_one_is_told_as_such() {
    let cluster = Cluster::start();
    let client = cluster.client();
    let info = upload(&client, "file", 100).await.unwrap();
    assert_eq!(client.stat(FileTarget::Id(info.file)).await.unwrap(), info);
    assert_eq!(client.delete(named("file")).await.unwrap(), info);
    for error in [client.stat(named("file")).await.map(|_| ()), download(&client, "file").await.map(|_| ())] {
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("file named file"), "{error}");
    }
    let error = client.locate_page(info.file, dfs_core::id::GroupIndex(0)).await.unwrap_err();
    assert!(matches!(error, ClientError::NotFound { .. }), "{error}");
    let error = client.status().await.unwrap_err();
    assert!(matches!(error, ClientError::Refused(Refusal::UnknownMethod)), "{error}");
}

#[tokio::test]
async fn all_files_below_a_prefix_are_deleted_though_answers_are_lost() {
    let cluster = Cluster::start();
    let client = cluster.client();
    for file in 0..50 {
        upload(&client, &format!("b/{file}"), 0).await.unwrap();
    }
    upload(&client, "a", 1).await.unwrap();
    let entries = cluster.metadata.entries();
    cluster.metadata.lose_answers(3);
    let mut failures = Vec::new();
    let removal = client.delete_all("b/", |file, error| failures.push(format!("{}: {error}", file.name))).await;
    assert_eq!(failures, [""; 0]);
    assert!(removal.stopped.is_none());
    // The cluster in memory keeps no answers: a repeated deletion finds nothing.
    assert_eq!((removal.files + removal.gone, removal.failed), (50, 0));
    assert!(removal.gone <= 3);
    assert_eq!(cluster.metadata.entries(), entries + 50);
    assert_eq!(client.list("").next().await.unwrap().unwrap().name.as_str(), "a");
}

#[tokio::test]
async fn deleting_many_files_stops_when_the_cluster_does_not_answer() {
    let cluster = Cluster::start();
    let second = Duration::from_secs(1);
    let settings = ClientSettings { operation_timeout: second, connect_timeout: second, ..ClientSettings::default() };
    let client = cluster.client_with(cluster.metadata.addresses(), settings);
    for file in 0..50 {
        upload(&client, &format!("b/{file:02}"), 0).await.unwrap();
    }
    let metadata = cluster.metadata.clone();
    let mut failures = 0;
    let begun = Instant::now();
    let removal = client.delete_all("b/", |_, _| failures += 1);
    let ending = async {
        while metadata.entries() < 100 + 2 {
            tokio::task::yield_now().await;
        }
        metadata.elect(None);
    };
    let (removal, ()) = tokio::join!(removal, ending);
    let stopped = removal.stopped.expect("it stops");
    assert_eq!(stopped.kind(), ErrorKind::Unavailable, "{stopped}");
    assert!(removal.files >= 1 && removal.files + removal.gone + removal.failed < 50);
    assert_eq!(removal.failed, failures);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}
