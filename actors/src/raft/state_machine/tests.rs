use super::*;
use crate::disk::directory::DirectoryDisk;
use crate::key_value::fjall::FjallStores;
use crate::key_value::memory::MemoryStores;
use crate::raft::types::log_id;
use dfs_core::id::{BootId, NodeId, StoreId};
use dfs_core::meta::{Command, Entry};
use dfs_core::settings::ClusterSettings;
use dfs_transport::world::World;
use std::ops::Bound;

fn entry(index: u64, command: Command) -> LogEntry {
    LogEntry { log_id: log_id(1, index), payload: Payload::Normal(Entry { time: ClusterTime(index * 10), command }) }
}

/// The first entry, and registrations of some nodes.
fn entries() -> Vec<LogEntry> {
    let first = Command::Initialise { cluster: ClusterId(7), settings: ClusterSettings::default() };
    let register = |node: u64| Command::Register {
        node: NodeId(node),
        boot: BootId(u128::from(node)),
        store: StoreId(u128::from(node)),
        address: ([127, 0, 0, 1], 4000).into(),
    };
    let nodes = (2..3000).map(|index| entry(index, register(index)));
    std::iter::once(entry(1, first)).chain(nodes).collect()
}

async fn apply_all(machine: &mut StateMachine, entries: Vec<LogEntry>) {
    let items: Vec<_> = entries.into_iter().map(|entry| Ok((entry, None))).collect();
    machine.apply(futures_util::stream::iter(items)).await.unwrap();
}

/// All pairs of the state, the adaptor's own included.
fn bytes(machine: &StateMachine) -> Vec<(Vec<u8>, Vec<u8>)> {
    use dfs_core::meta::View;
    machine.view().scan(Bound::Unbounded, Bound::Unbounded, usize::MAX).unwrap()
}

#[tokio::test]
async fn a_snapshot_survives_a_restart_unless_it_is_damaged() {
    let directory = tempfile::tempdir().unwrap();
    let stores = Arc::new(MemoryStores::default());
    let world = World::production("test");
    let disk: Arc<dyn Disk> = Arc::new(DirectoryDisk::open(directory.path()).unwrap());
    let open = || StateMachine::open(&world.scope, disk.clone(), stores.clone());
    let mut machine = open().await.unwrap();
    apply_all(&mut machine, vec![entry(1, Command::Tick), entry(2, Command::Tick)]).await;
    machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
    drop(machine);
    let mut machine = open().await.unwrap();
    assert_eq!(machine.applied_state().await.unwrap().0, Some(log_id(1, 2)));
    let current = machine.get_current_snapshot().await.unwrap().unwrap();
    assert_eq!(current.meta.last_log_id, Some(log_id(1, 2)));
    drop(machine);
    let path = directory.path().join("raft/snapshot");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let mut machine = open().await.unwrap();
    assert!(machine.get_current_snapshot().await.unwrap().is_none());
    assert_eq!(machine.applied_state().await.unwrap().0, Some(log_id(1, 2)));
}

#[tokio::test]
async fn a_snapshot_restores_the_same_bytes_and_the_store_of_before_goes() {
    let world = World::production("test");
    let (leader, member) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let leader_disk: Arc<dyn Disk> = Arc::new(DirectoryDisk::open(leader.path()).unwrap());
    let leader_stores = Arc::new(FjallStores::new(leader.path()));
    let mut from = StateMachine::open(&world.scope, leader_disk, leader_stores).await.unwrap();
    apply_all(&mut from, entries()).await;
    let snapshot = from.get_snapshot_builder().await.build_snapshot().await.unwrap();

    let disk: Arc<dyn Disk> = Arc::new(DirectoryDisk::open(member.path()).unwrap());
    let stores = Arc::new(FjallStores::new(member.path()));
    let mut to = StateMachine::open(&world.scope, disk.clone(), stores.clone()).await.unwrap();
    apply_all(&mut to, vec![entry(1, Command::Tick)]).await;
    let old = to.view();
    to.install_snapshot(&snapshot.meta, snapshot.snapshot.clone()).await.unwrap();
    assert_eq!(bytes(&to), bytes(&from));
    assert_eq!(to.summary().borrow().cluster, Some(ClusterId(7)));
    assert_eq!(stores.names().unwrap(), ["raft-state-0", "raft-state-1"], "what is read is kept");
    drop(old);
    to.install_snapshot(&snapshot.meta, snapshot.snapshot).await.unwrap();
    assert_eq!(stores.names().unwrap(), ["raft-state-2"]);
    let installed = bytes(&to);
    let store = to.close();
    assert_eq!(store.strong_count(), 0);
    drop(to);
    let to = StateMachine::open(&world.scope, disk, stores).await.unwrap();
    assert_eq!(bytes(&to), installed);
    assert_eq!(to.summary().borrow().applied, Some(2999));
}

#[tokio::test]
async fn an_incomplete_snapshot_file_is_not_taken_for_a_whole_one() {
    let world = World::production("test");
    let directory = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(DirectoryDisk::open(directory.path()).unwrap());
    let mut machine = StateMachine::open(&world.scope, disk, Arc::new(MemoryStores::default())).await.unwrap();
    apply_all(&mut machine, entries()).await;
    let whole = machine.get_snapshot_builder().await.build_snapshot().await.unwrap().snapshot;
    assert!(whole.verify().is_ok());
    for cut in [1, 9, 10, 20, whole.length / 2] {
        let short = SnapshotFile { file: whole.file.clone(), length: whole.length - cut };
        assert_eq!(short.verify().unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
