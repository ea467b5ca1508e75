use super::*;
use crate::disk::directory::DirectoryDisk;
use crate::key_value::KeyValueStores;
use crate::key_value::memory::MemoryStores;
use crate::raft::log_store::LogStore;
use crate::raft::state_machine::StateMachine;
use crate::raft::types::{LogEntry, Payload, TypeConfig, Vote, log_id};
use dfs_core::id::ClusterId;
use dfs_core::meta::{self, Command, Entry};
use dfs_core::settings::ClusterSettings;
use dfs_core::time::ClusterTime;
use dfs_transport::world::World;
use openraft::storage::{IOFlushed, RaftLogStorage, RaftSnapshotBuilder, RaftStateMachine};
use openraft::type_config::TypeConfigExt;
use std::sync::Arc;

/// A data directory whose stores are in memory.
struct Site {
    directory: tempfile::TempDir,
    stores: Arc<MemoryStores>,
    world: World,
}

impl Site {
    fn new() -> Site {
        let directory = tempfile::tempdir().unwrap();
        Site { directory, stores: Arc::default(), world: World::production("test") }
    }

    fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(DirectoryDisk::open(self.directory.path()).unwrap())
    }

    async fn log(&self) -> LogStore {
        let store = self.stores.open(LOG_STORE).unwrap();
        LogStore::open(&self.world.scope, NodeId(3), self.disk(), store, false).await.unwrap()
    }

    async fn machine(&self) -> StateMachine {
        StateMachine::open(&self.world.scope, self.disk(), self.stores.clone()).await.unwrap()
    }

    fn state(&self) -> Arc<dyn crate::key_value::KeyValue> {
        self.stores.open(&state_store(&*self.disk()).unwrap()).unwrap()
    }
}

fn entry(term: u64, index: u64, command: Command) -> LogEntry {
    let entry = Entry { time: ClusterTime(index), command };
    LogEntry { log_id: log_id(term, index), payload: Payload::Normal(entry) }
}

async fn append(log: &mut LogStore, entries: Vec<LogEntry>) {
    let (done, durable) = TypeConfig::oneshot();
    log.append(entries, IOFlushed::signal(done)).await.unwrap();
    durable.await.unwrap().unwrap();
}

async fn apply(machine: &mut StateMachine, entries: Vec<LogEntry>) {
    let items: Vec<_> = entries.into_iter().map(|entry| Ok((entry, None))).collect();
    machine.apply(futures_util::stream::iter(items)).await.unwrap();
}

fn place(term: u64, index: u64) -> LogPlace {
    LogPlace { term, index }
}

#[tokio::test]
async fn a_log_is_read_as_it_was_written() {
    let site = Site::new();
    let mut store = site.log().await;
    let view = site.stores.open(LOG_STORE).unwrap();
    assert_eq!(log(&*view, 0).unwrap(), StoredLog { node: Some(NodeId(3)), ..StoredLog::default() });
    // More than one page of them.
    append(&mut store, (1..=1500).map(|index| entry(2, index, Command::Tick)).collect()).await;
    store.save_vote(&Vote::new_committed(2, 3)).await.unwrap();
    store.save_committed(Some(log_id(2, 1400))).await.unwrap();
    store.purge(log_id(2, 10)).await.unwrap();
    let all = log(&*view, 0).unwrap();
    assert_eq!(all.vote, Some(StoredVote { term: 2, node: NodeId(3), won: true }));
    assert_eq!((all.purged, all.committed), (Some(place(2, 10)), Some(place(2, 1400))));
    let places: Vec<_> = all.entries.iter().map(|entry| entry.place).collect();
    assert_eq!(places, (11..=1500).map(|index| place(2, index)).collect::<Vec<_>>());
    assert_eq!(log(&*view, 1499).unwrap().entries, all.entries[1488..]);
    // Another entry at the same place has another hash.
    store.truncate_after(Some(log_id(2, 1499))).await.unwrap();
    append(&mut store, vec![entry(3, 1500, Command::Tick)]).await;
    let last = *log(&*view, 0).unwrap().entries.last().unwrap();
    assert_eq!(last.place, place(3, 1500));
    assert_ne!(last.hash, all.entries.last().unwrap().hash);
}

#[tokio::test]
async fn a_state_has_the_same_hash_in_whatever_batches_it_came_to_be() {
    let (one, other) = (Site::new(), Site::new());
    let (mut first, mut second) = (one.machine().await, other.machine().await);
    let initialise = Command::Initialise { cluster: ClusterId(7), settings: ClusterSettings::default() };
    let entries = vec![entry(1, 1, initialise), entry(1, 2, Command::Tick), entry(1, 3, Command::Tick)];
    assert_eq!(applied(&*one.state()).unwrap(), None);
    apply(&mut first, entries.clone()).await;
    for entry in &entries[..2] {
        apply(&mut second, vec![entry.clone()]).await;
    }
    assert_ne!(state_hash(&*one.state()).unwrap(), state_hash(&*other.state()).unwrap());
    apply(&mut second, entries[2..].to_vec()).await;
    assert_eq!(state_hash(&*one.state()).unwrap(), state_hash(&*other.state()).unwrap());
    assert_eq!(applied(&*one.state()).unwrap(), Some(place(1, 3)));
    assert_eq!(meta::cluster(&StoreView(&*one.state())).unwrap().unwrap().0, ClusterId(7));
}

#[tokio::test]
async fn the_current_state_is_found_after_a_snapshot_took_its_place() {
    let (one, other) = (Site::new(), Site::new());
    let (mut from, mut to) = (one.machine().await, other.machine().await);
    apply(&mut from, (1..=9).map(|index| entry(1, index, Command::Tick)).collect()).await;
    apply(&mut to, vec![entry(1, 1, Command::Tick)]).await;
    assert_eq!(state_store(&*other.disk()).unwrap(), "raft-state-0");
    let snapshot = from.get_snapshot_builder().await.build_snapshot().await.unwrap();
    to.install_snapshot(&snapshot.meta, snapshot.snapshot).await.unwrap();
    assert_eq!(state_store(&*other.disk()).unwrap(), "raft-state-1");
    assert_eq!(state_hash(&*other.state()).unwrap(), state_hash(&*one.state()).unwrap());
}
