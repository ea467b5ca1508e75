//! Actors that fail on a node that goes on, and on one that does not.

use super::*;
use dfs_actors::disk::directory::DirectoryDisk;
use dfs_actors::disk::{DiskFile, DiskLock, DiskSpace};
use dfs_core::wire::metadata::{ActorInfo, DescribeNode};
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory in which so many renames fail, once one has succeeded.
struct Failing {
    directory: DirectoryDisk,
    renames: AtomicU32,
    failures: u32,
}

impl Failing {
    fn open(path: &Path, failures: u32) -> Arc<Failing> {
        let directory = DirectoryDisk::open(path).unwrap();
        Arc::new(Failing { directory, renames: AtomicU32::new(0), failures })
    }
}

impl Disk for Failing {
    fn open(&self, path: &str, create: bool) -> io::Result<Arc<dyn DiskFile>> {
        self.directory.open(path, create)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let before = self.renames.fetch_add(1, Ordering::Relaxed);
        if (1..=self.failures).contains(&before) {
            return Err(io::Error::other("the disk does not rename"));
        }
        self.directory.rename(from, to)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.directory.remove(path)
    }

    fn create_directory(&self, path: &str) -> io::Result<()> {
        self.directory.create_directory(path)
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        self.directory.list(path)
    }

    fn sync_directory(&self, path: &str) -> io::Result<()> {
        self.directory.sync_directory(path)
    }

    fn space(&self) -> io::Result<DiskSpace> {
        self.directory.space()
    }

    fn lock(&self) -> io::Result<DiskLock> {
        self.directory.lock()
    }
}

impl TestCluster {
    /// A storage node that cannot keep whose it is, so many times.
    async fn forgetful_node(&self, failures: u32) -> Node {
        let role = RoleSettings::Storage { metadata: vec![self.metadata], reserve: Some(Default::default()) };
        let settings = self.settings(role, 1);
        let disk = Failing::open(&settings.data, failures);
        self.start_on(settings, disk).await
    }
}

#[tokio::test]
async fn actors_that_fail_are_restarted_and_shown_with_their_reason() {
    let mut cluster = TestCluster::new();
    let metadata = cluster.metadata_node().await;
    let storage = cluster.forgetful_node(2).await;
    let client = cluster.client();
    client.wait_for_storage(1).await;
    let to = Destination { address: storage.address(), role: Role::Storage, node: None };
    let described = client.peers.call(&to, Class::Control, &DescribeNode {}, deadline()).await.unwrap();
    let failed: Vec<&ActorInfo> = described.actors.iter().filter(|actor| actor.restarts > 0).collect();
    assert!(described.ready && described.actor_restarts == 2, "{described:?}");
    assert_eq!((failed.len(), failed[0].name.as_str(), failed[0].restarts), (1, "HeartbeatActor", 2));
    assert!(failed[0].running && failed[0].last_failure.is_some(), "{failed:?}");
    storage.stop().await;
    metadata.stop().await;
}

#[tokio::test]
async fn an_actor_that_fails_again_and_again_ends_its_node_with_the_reason() {
    let mut cluster = TestCluster::new();
    let metadata = cluster.metadata_node().await;
    let storage = cluster.forgetful_node(u32::MAX).await;
    let why = tokio::time::timeout(PATIENCE, storage.ended()).await.expect("it ends").to_string();
    assert!(why.contains("HeartbeatActor failed 6 times within 60s"), "{why}");
    storage.stop().await;
    metadata.stop().await;
}
