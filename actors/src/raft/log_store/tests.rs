use super::super::state_machine::StateMachine;
use super::super::types::{Payload, log_id};
use super::*;
use crate::disk::directory::DirectoryDisk;
use crate::key_value::KeyValueStores;
use crate::key_value::fjall::FjallStores;
use crate::key_value::memory::{MemoryStore, MemoryStores};
use dfs_core::checksum::Digest;
use dfs_core::id::{ChunkId, ChunkIndex, Epoch, FileId, Incarnation};
use dfs_core::limit::RAFT_APPEND_BYTES_MAX;
use dfs_core::meta::{Command, Entry};
use dfs_core::time::ClusterTime;
use dfs_core::wire::membership::LateReport;
use dfs_transport::world::World;
use openraft::StorageError;
use openraft::storage::RaftLogReader;
use openraft::testing::log::{StoreBuilder, Suite};
use std::sync::atomic::Ordering;
use tempfile::TempDir;

const NODE: NodeId = NodeId(1);

/// A data directory whose stores are in memory, and outlive the log.
struct Site {
    directory: TempDir,
    stores: MemoryStores,
    world: World,
}

impl Site {
    fn new() -> Site {
        Site {
            directory: tempfile::tempdir().unwrap(),
            stores: MemoryStores::default(),
            world: World::production("test"),
        }
    }

    fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(DirectoryDisk::open(self.directory.path()).unwrap())
    }

    fn store(&self) -> Arc<MemoryStore> {
        self.stores.store("raft-log")
    }

    async fn open(&self) -> Result<LogStore, LogOpenError> {
        self.open_as(NODE, false).await
    }

    async fn open_as(&self, node: NodeId, remembers_entries: bool) -> Result<LogStore, LogOpenError> {
        let store = self.stores.open("raft-log").unwrap();
        LogStore::open(&self.world.scope, node, self.disk(), store, remembers_entries).await
    }

    /// Waits until the mark on the disk is `index`.
    async fn wait_for_mark(&self, index: u64) {
        let reached = async {
            loop {
                let (_, mark) = MarkFile::open(&*self.disk()).unwrap();
                if mark.and_then(|mark| mark.log).is_some_and(|log| log.index == index) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), reached).await.expect("the mark follows the log");
    }
}

fn tick(term: u64, index: u64) -> LogEntry {
    let entry = Entry { time: ClusterTime(index), command: Command::Tick };
    LogEntry { log_id: log_id(term, index), payload: Payload::Normal(entry) }
}

/// Appends entries of term one and returns what awaits their durability.
async fn begin_append(
    log: &mut LogStore,
    indices: std::ops::RangeInclusive<u64>,
) -> impl Future<Output = io::Result<()>> + use<> {
    let (done, durable) = TypeConfig::oneshot();
    log.append(indices.map(|index| tick(1, index)), IOFlushed::signal(done)).await.unwrap();
    async move { durable.await.expect("every write is completed") }
}

async fn append(log: &mut LogStore, indices: std::ops::RangeInclusive<u64>) {
    begin_append(log, indices).await.await.unwrap();
}

async fn indices(log: &mut LogStore) -> Vec<u64> {
    let entries = log.try_get_log_entries(0..u64::MAX).await.unwrap();
    entries.into_iter().map(|entry| entry.log_id.index).collect()
}

struct Builder {
    in_memory: bool,
}

impl StoreBuilder<TypeConfig, LogStore, StateMachine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore, StateMachine), StorageError<TypeConfig>> {
        let directory = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(DirectoryDisk::open(directory.path()).unwrap());
        let stores: Arc<dyn KeyValueStores> = if self.in_memory {
            Arc::new(MemoryStores::default())
        } else {
            Arc::new(FjallStores::new(directory.path()))
        };
        let scope = Scope::current().expect("the suite runs in a scope");
        let machine = StateMachine::open(&scope, disk.clone(), stores.clone()).await.unwrap();
        let store = stores.open("raft-log").unwrap();
        let log = LogStore::open(&scope, NodeId(0), disk, store, false).await.unwrap();
        Ok((directory, log, machine))
    }
}

#[tokio::test]
async fn log_and_state_do_what_openraft_asks_of_them_in_memory() {
    let world = World::production("test");
    world.scope.enter(Suite::test_all(Builder { in_memory: true })).await.unwrap();
}

#[tokio::test]
async fn log_and_state_do_what_openraft_asks_of_them_on_fjall() {
    let world = World::production("test");
    world.scope.enter(Suite::test_all(Builder { in_memory: false })).await.unwrap();
}

#[tokio::test]
async fn writes_that_arrive_during_a_flush_share_the_next_one() {
    let site = Site::new();
    let mut log = site.open().await.unwrap();
    let store = site.store();
    let before = store.synced.load(Ordering::SeqCst);
    let mut waiting = Vec::new();
    store.hold(true);
    waiting.push(begin_append(&mut log, 1..=1).await);
    let taken = async {
        while log.0.state().queue.waiting() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), taken).await.expect("the lane takes the first write");
    for index in 2..=65 {
        waiting.push(begin_append(&mut log, index..=index).await);
    }
    let readable = indices(&mut log).await;
    assert_eq!(readable, (1..=65).collect::<Vec<_>>(), "entries are readable before they are durable");
    store.hold(false);
    for durable in waiting {
        durable.await.unwrap();
    }
    assert_eq!(store.synced.load(Ordering::SeqCst) - before, 2, "one flush for the first write, one for all others");
}

#[tokio::test]
async fn a_log_opened_again_has_everything() {
    let site = Site::new();
    let mut log = site.open().await.unwrap();
    let vote = Vote::new_committed(3, 2);
    append(&mut log, 1..=10).await;
    log.save_vote(&vote).await.unwrap();
    log.purge(log_id(1, 2)).await.unwrap();
    log.truncate_after(Some(log_id(1, 8))).await.unwrap();
    log.save_committed(Some(log_id(1, 7))).await.unwrap();
    append(&mut log, 9..=9).await;
    drop(log);
    let mut log = site.open().await.unwrap();
    let state = log.get_log_state().await.unwrap();
    assert_eq!((state.last_purged_log_id, state.last_log_id), (Some(log_id(1, 2)), Some(log_id(1, 9))));
    assert_eq!(log.read_vote().await.unwrap(), Some(vote));
    assert_eq!(log.read_committed().await.unwrap(), Some(log_id(1, 7)));
    assert_eq!(indices(&mut log).await, (3..=9).collect::<Vec<_>>());
    assert_eq!(log.limited_get_log_entries(4, 6).await.unwrap(), [tick(1, 4), tick(1, 5)]);
}

#[tokio::test]
async fn nothing_is_called_committed_that_is_not_durable() {
    let site = Site::new();
    let mut log = site.open().await.unwrap();
    append(&mut log, 1..=3).await;
    // Raft goes on with what it has handed over, while this waits for a slow disk.
    log.save_committed(Some(log_id(1, 8))).await.unwrap();
    append(&mut log, 4..=4).await;
    drop(log);
    let mut log = site.open().await.unwrap();
    assert_eq!(log.read_committed().await.unwrap(), Some(log_id(1, 4)));
    drop(log);
    // Nor where an earlier version wrote it down.
    let mut batch = Batch::new();
    batch.put(COMMITTED_KEY, codec::encode(&LogIdForm::from(log_id(1, 8))));
    site.stores.open("raft-log").unwrap().commit(batch, Durability::Synced).unwrap();
    let mut log = site.open().await.unwrap();
    assert_eq!(log.read_committed().await.unwrap(), Some(log_id(1, 4)));
}

#[tokio::test]
async fn one_read_returns_as_many_bytes_as_a_message_carries() {
    let site = Site::new();
    let mut log = site.open().await.unwrap();
    let report = LateReport {
        chunk: ChunkId { file: FileId(1), index: ChunkIndex(1) },
        epoch: Epoch(1),
        length: 1,
        checksum: Digest([7; 32]),
        holders: vec![NODE; 200],
    };
    let command = Command::RecordCopies { reporter: NODE, incarnation: Incarnation(1), reports: vec![report; 1000] };
    let large = |index| LogEntry {
        log_id: log_id(1, index),
        payload: Payload::Normal(Entry { time: ClusterTime(0), command: command.clone() }),
    };
    let bytes = read::encode_entry(&large(1)).len();
    let fitting = RAFT_APPEND_BYTES_MAX / bytes;
    let (done, durable) = TypeConfig::oneshot();
    log.append((1..=60).map(large), IOFlushed::signal(done)).await.unwrap();
    durable.await.unwrap().unwrap();
    for reopened in [false, true] {
        if reopened {
            drop(log);
            log = site.open().await.unwrap();
        }
        let read = log.limited_get_log_entries(1, 61).await.unwrap();
        assert!(read.len().abs_diff(fitting) <= 1, "{} entries of {bytes} bytes", read.len());
        let last = log.limited_get_log_entries(60, 61).await.unwrap();
        assert_eq!(last.len(), 1);
        assert_eq!(indices(&mut log).await.len(), 60);
    }
}

#[tokio::test]
async fn a_log_that_lost_its_tail_is_refused() {
    let site = Site::new();
    let mut log = site.open().await.unwrap();
    append(&mut log, 1..=10).await;
    site.wait_for_mark(10).await;
    drop(log);
    let mut batch = Batch::new();
    batch.delete(entry_key(10));
    site.stores.open("raft-log").unwrap().commit(batch, Durability::Synced).unwrap();
    assert!(matches!(site.open().await, Err(LogOpenError::TailLost { marked: 10, found: 9 })));
    site.stores.remove("raft-log").unwrap();
    assert!(matches!(site.open().await, Err(LogOpenError::TailLost { marked: 10, found: 0 })));
}

#[tokio::test]
async fn a_log_that_forgot_a_vote_is_refused() {
    let site = Site::new();
    let mut log = site.open().await.unwrap();
    append(&mut log, 1..=1).await;
    log.save_vote(&Vote::new(4, 1)).await.unwrap();
    append(&mut log, 2..=2).await;
    site.wait_for_mark(2).await;
    drop(log);
    let mut batch = Batch::new();
    batch.put(VOTE_KEY, codec::encode(&VoteForm::from(Vote::new(3, 2))));
    site.stores.open("raft-log").unwrap().commit(batch, Durability::Synced).unwrap();
    assert!(matches!(site.open().await, Err(LogOpenError::VoteLost { marked: 4 })));
}

#[tokio::test]
async fn a_log_that_is_gone_is_refused_where_the_state_remembers_it() {
    let site = Site::new();
    assert!(matches!(site.open_as(NODE, true).await, Err(LogOpenError::Lost)));
    assert!(matches!(site.open_as(NodeId(2), false).await, Err(LogOpenError::OtherNode(NODE))));
}

#[tokio::test]
async fn a_log_that_was_cut_on_purpose_is_not_refused() {
    let site = Site::new();
    let mut log = site.open().await.unwrap();
    append(&mut log, 1..=10).await;
    site.wait_for_mark(10).await;
    log.truncate_after(Some(log_id(1, 5))).await.unwrap();
    drop(log);
    let mut log = site.open().await.unwrap();
    assert_eq!(indices(&mut log).await, [1, 2, 3, 4, 5]);
    log.purge(log_id(2, 20)).await.unwrap();
    site.wait_for_mark(20).await;
    drop(log);
    let mut log = site.open().await.unwrap();
    assert_eq!(log.get_log_state().await.unwrap().last_log_id, Some(log_id(2, 20)));
}

#[tokio::test]
async fn a_log_that_cannot_write_tells_everybody_and_takes_no_more() {
    let site = Site::new();
    let mut log = site.open().await.unwrap();
    site.store().broken.store(true, Ordering::SeqCst);
    assert!(begin_append(&mut log, 1..=1).await.await.is_err());
    site.store().broken.store(false, Ordering::SeqCst);
    assert!(begin_append(&mut log, 2..=2).await.await.is_err());
    assert!(log.save_vote(&Vote::new(1, 1)).await.is_err());
}
