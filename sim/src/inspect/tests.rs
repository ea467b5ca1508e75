use super::*;
use crate::cluster::{Cluster, ClusterShape, User};
use crate::disk::{Crash, DiskSettings};
use crate::invariant::losses::Losses;
use crate::invariant::{AcknowledgedFile, Invariants, Told};
use crate::trace::Trace;
use crate::verdict::Tally;
use crate::world::{Life, SimWorld, WorldSettings};
use bytes::Bytes;
use dfs_actors::chunk_store::conformance::{Place, chunk, content, open, put};
use dfs_actors::chunk_store::inspect::RecordCondition;
use dfs_actors::chunk_store::{BeginWrite, ChunkStore};
use dfs_actors::key_value::{Batch, Durability, KeyValue};
use dfs_actors::raft::inspect::StoreView;
use dfs_client::UploadRequest;
use dfs_core::checksum::ChunkSums;
use dfs_core::id::{ClusterId, Epoch, FileId, RequestId, UploadNonce};
use dfs_core::meta::{self, Command, Entry};
use dfs_core::name::FileName;
use dfs_core::settings::ClusterSettings;
use dfs_core::time::{ClusterTime, WallTime};
use dfs_core::unit::ChunkSize;
use dfs_core::wire::metadata::{CommitFile, CreateFile, DeleteFile, FileTarget};
use std::sync::Arc;

const SIZE: u32 = 100_000;

/// A store on a simulated machine, and whoever looks at it.
struct Scene {
    site: Site,
    inspector: Inspector,
    store: ChunkStore,
    _life: Life,
}

impl Scene {
    async fn new() -> Scene {
        let mut world = SimWorld::new(1, WorldSettings::default(), Trace::new(None));
        let life = world.add_machine("storage-1").boot();
        let disk = SimDisk::new(DiskSettings::default());
        let stores = ModelStores::new();
        let place = Place {
            scope: life.world.scope.clone(),
            disk: disk.mount(),
            index: stores.mount().open("chunks").unwrap(),
            entropy: life.world.entropy.clone(),
        };
        let site =
            Site { name: "storage-1".to_owned(), role: Role::Storage, node: NodeId(1), disk, stores, runs: true };
        Scene { site, inspector: Inspector::new(), store: open(place).await, _life: life }
    }

    async fn put(&self, number: u64) {
        put(&self.store, chunk(number), Epoch(1), &content(number, SIZE)).await.unwrap();
    }

    fn look(&mut self) -> &StorageSight {
        let site = std::slice::from_ref(&self.site);
        &self.inspector.look(site, Depth::News).unwrap().storage[&NodeId(1)]
    }
}

fn key(number: u64) -> RecordKey {
    RecordKey { chunk: chunk(number), epoch: Epoch(1) }
}

fn checksum(number: u64) -> Digest {
    ChunkSums::of(&content(number, SIZE)).checksum()
}

fn keys(records: &[StoredRecord]) -> Vec<RecordKey> {
    records.iter().map(|record| record.key).collect()
}

#[tokio::test(start_paused = true)]
async fn only_what_is_new_on_a_disk_is_read_again() {
    let mut scene = Scene::new().await;
    assert!(scene.look().records.is_empty());
    scene.put(1).await;
    scene.put(2).await;
    let sight = scene.look();
    assert_eq!(keys(&sight.news), [key(1), key(2)]);
    assert_eq!(sight.records[&key(2)].whole(), Some(checksum(2)));
    assert_eq!(scene.store.id(), scene.look().store.unwrap());
    assert!(scene.look().news.is_empty());
    scene.put(3).await;
    let sight = scene.look();
    assert_eq!((keys(&sight.news), sight.records.len()), (vec![key(3)], 3));
    let again = scene.inspector.look(std::slice::from_ref(&scene.site), Depth::Everything).unwrap();
    assert_eq!(keys(&again.storage[&NodeId(1)].news), [key(1), key(2), key(3)]);
}

#[tokio::test(start_paused = true)]
async fn a_record_is_seen_once_it_is_durable() {
    let mut scene = Scene::new().await;
    scene.put(1).await;
    let BeginWrite::Write(mut writer) = scene.store.begin_write(chunk(2), Epoch(1), SIZE).await.unwrap() else {
        panic!("nobody wrote it before");
    };
    let bytes = content(2, SIZE);
    writer.write(vec![bytes.clone().into()]).await.unwrap();
    assert!(!scene.look().records.contains_key(&key(2)));
    // A neighbour behind it becomes durable first; what is between is looked at again.
    scene.put(3).await;
    scene.look();
    writer.seal(&ChunkSums::of(&bytes)).await.unwrap();
    let sight = scene.look();
    assert_eq!(sight.records.len(), 3);
    assert!([1, 2, 3].iter().all(|number| sight.records[&key(*number)].whole() == Some(checksum(*number))));
}

#[tokio::test(start_paused = true)]
async fn rot_is_no_fault_of_the_store_and_other_damage_is() {
    let mut scene = Scene::new().await;
    scene.put(1).await;
    scene.put(2).await;
    let position = scene.look().records[&key(2)].position;
    let before = whole_records(&scene.site.disk, false).unwrap();
    scene.site.disk.flip_bit("segments/00000000.seg", position.offset + 5000, 3).unwrap();
    assert_eq!(scene.look().records[&key(2)].whole(), Some(checksum(2)));
    let after = whole_records(&scene.site.disk, false).unwrap();
    let mut losses = Losses::new();
    assert_eq!(losses.note(NodeId(1), &before, &after), 1);
    assert!(losses.took(NodeId(1), &key(2)));
    scene.site.disk.flip_bit("STORE", 20, 3).unwrap();
    assert!(whole_records(&scene.site.disk, false).unwrap().is_empty(), "a store without a name has lost everything");
    assert_eq!(whole_records(&scene.site.disk, true).unwrap(), before);
    let file = scene.site.disk.mount().open("segments/00000000.seg", false).unwrap();
    file.write_at(position.offset + 6000, &[std::io::IoSlice::new(&[0; 10])]).unwrap();
    file.sync_data().unwrap();
    let sight = scene.look();
    assert_eq!(sight.records[&key(2)].condition, RecordCondition::Damaged(checksum(2)));
    assert_eq!(keys(&sight.news), [key(2)]);
}

#[tokio::test(start_paused = true)]
async fn another_disk_in_its_place_is_read_from_its_beginning() {
    let mut scene = Scene::new().await;
    scene.put(1).await;
    scene.look();
    let older = scene.site.disk.durable_copy(false);
    scene.put(2).await;
    scene.look();
    let newer = std::mem::replace(&mut scene.site.disk, older);
    assert_eq!(scene.look().records.keys().copied().collect::<Vec<_>>(), [key(1)]);
    scene.site.disk = SimDisk::new(DiskSettings::default());
    assert_eq!((scene.look().records.len(), scene.look().store), (0, None));
    scene.site.disk = newer;
    assert_eq!(scene.look().records.len(), 2);
}

/// A metadata node's machine, and its log with entries that change nothing: as the Raft engine stores them.
struct LogScene {
    site: Site,
    log: Arc<dyn KeyValue>,
}

impl LogScene {
    fn new() -> LogScene {
        let stores = ModelStores::new();
        let log = stores.mount().open("raft-log").unwrap();
        let disk = SimDisk::new(DiskSettings::default());
        let name = "metadata-1".to_owned();
        LogScene { site: Site { name, role: Role::Metadata, node: NodeId(1), disk, stores, runs: true }, log }
    }

    /// Adds entries of these terms and indexes, after it has removed those of the other indexes; from the first index
    /// on, that is a purge.
    fn change(&self, added: &[(u8, u8)], removed: &[u8]) {
        let key = |index: u8| [&b"e"[..], &u64::from(index).to_be_bytes()].concat();
        let mut batch = Batch::new();
        removed.iter().for_each(|index| batch.delete(key(*index)));
        added.iter().for_each(|(term, index)| batch.put(key(*index), [1, *term, *index, 0]));
        if let Some(purged) = removed.first().filter(|first| **first == 1).and(removed.last()) {
            batch.put("p", [1, 1, *purged]);
        }
        self.log.commit(batch, Durability::Synced).unwrap();
    }
}

#[test]
fn a_log_is_read_on_from_its_end_unless_that_has_changed() {
    let scene = LogScene::new();
    let mut inspector = Inspector::new();
    let mut look = || {
        let sight = &inspector.look(std::slice::from_ref(&scene.site), Depth::News).unwrap().metadata[&NodeId(1)];
        let places: Vec<_> = sight.entries.iter().map(|entry| (entry.place.term, entry.place.index)).collect();
        (places, sight.news, sight.purged.map(|purged| purged.index))
    };
    assert_eq!(look(), (vec![], 0, None));
    scene.change(&[(1, 1), (1, 2), (1, 3)], &[]);
    assert_eq!(look(), (vec![(1, 1), (1, 2), (1, 3)], 0, None));
    scene.change(&[(1, 4)], &[]);
    assert_eq!(look(), (vec![(1, 1), (1, 2), (1, 3), (1, 4)], 3, None));
    assert_eq!(look().1, 4, "nothing is new");
    // Another leader has other entries in place of the last two.
    scene.change(&[(2, 3), (2, 4), (2, 5)], &[3, 4]);
    assert_eq!(look(), (vec![(1, 1), (1, 2), (2, 3), (2, 4), (2, 5)], 0, None));
    scene.change(&[(2, 6)], &[1, 2]);
    assert_eq!(look(), (vec![(2, 3), (2, 4), (2, 5), (2, 6)], 3, Some(2)));
    scene.change(&[], &[5, 6]);
    assert_eq!(look(), (vec![(2, 3), (2, 4)], 0, Some(2)));
}

/// Names are made and taken away; what is read on is at every moment what is read anew.
#[test]
fn a_state_is_read_on_as_far_as_it_has_changed() {
    let store = ModelStores::new().mount().open("state").unwrap();
    let (mut register, mut entries) = (Register::default(), 0);
    let mut apply = |command: Command| {
        entries += 1;
        let entry = Entry { time: ClusterTime(entries), command };
        let change = meta::apply(&StoreView(&*store.snapshot()), &entry).unwrap();
        assert!(change.outcome.is_ok(), "{:?}", change.outcome);
        let mut batch = Batch::new();
        for (key, value) in change.changes {
            match value {
                Some(value) => batch.put(key, value),
                None => batch.delete(key),
            }
        }
        store.commit(batch, Durability::Synced).unwrap();
        let read_on = register.read(&*store.snapshot()).unwrap();
        assert_eq!(read_on, Register::default().read(&*store.snapshot()).unwrap());
        State::clone(&read_on)
    };
    apply(Command::Initialise { cluster: ClusterId(1), settings: ClusterSettings::default() });
    for (number, name) in [(1, "a"), (2, "d/b"), (3, "d/e/c")] {
        let (name, nonce) = (FileName::new(name).unwrap(), UploadNonce(number.into()));
        let (chunk_size, modified) = (ChunkSize::default(), WallTime(0));
        let size_hint = Some(0);
        let request = CreateFile { name, nonce, chunk_size, modified, size_hint, replication: None, replace: false };
        assert_eq!(apply(Command::Create { request, nodes: Vec::new() }).open_uploads.len(), 1);
        let request = CommitFile { file: FileId(number), nonce, size: 0, reports: Vec::new() };
        let state = apply(Command::Commit { request });
        assert_eq!((state.nonces.len(), state.file_entries.len() as u64), (0, number));
    }
    for (number, left) in [(2, (2, 2)), (3, (1, 0)), (1, (0, 0))] {
        let (target, request) = (FileTarget::Id(FileId(number)), RequestId(number.into()));
        let state = apply(Command::Delete {
            request: DeleteFile { target, request, first_tried: ClusterTime(1), named: None },
        });
        assert_eq!((state.file_entries.len(), state.directories.len()), left);
    }
}

async fn upload(user: &User, name: &str, bytes: Vec<u8>) -> AcknowledgedFile {
    let mut request = UploadRequest::new(FileName::new(name).unwrap(), user.world().wall_clock.now());
    request.chunk_size = ChunkSize::try_from(64 * 1024_u32).unwrap();
    let info = user.client().upload(Bytes::from(bytes), request, &()).await.unwrap();
    let chunks = u32::try_from(info.chunk_size.chunk_count(info.size)).unwrap();
    AcknowledgedFile { file: info.file, chunks, write_quorum: 2 }
}

/// A cluster of three and three, as production composes it, and everything that is checked of it.
#[tokio::test(start_paused = true)]
async fn a_whole_cluster_keeps_the_invariants_and_each_kind_of_loss_is_noticed() {
    let mut world = SimWorld::new(7, WorldSettings::default(), Trace::new(None));
    let (mut cluster, users) = Cluster::prepare(&mut world, ClusterShape::of(3, 3, 1)).unwrap();
    let (user, tally) = (&users[0], Tally::default());
    let mut invariants = Invariants::new();
    let sites = |cluster: &Cluster| cluster.members().map(Site::of).collect::<Vec<_>>();
    let nothing = Told { acknowledged: &[], losses: &Losses::new(), loads: &[] };
    invariants.check(&sites(&cluster), Depth::News, nothing, &tally).unwrap();
    cluster.start().await.unwrap();
    cluster.initialise(0, ClusterSettings::default()).await.unwrap();
    let serves = async || user.client().status().await.ok().filter(|status| status.storage_alive == 3).map(drop);
    cluster.until("a cluster that serves", serves).await.unwrap();
    invariants.check(&sites(&cluster), Depth::News, nothing, &tally).unwrap();

    let mut acknowledged = vec![upload(user, "a", content(1, 300_000)).await];
    let told = Told { acknowledged: &acknowledged, ..nothing };
    invariants.check(&sites(&cluster), Depth::News, told, &tally).unwrap();
    let kept = "acknowledged data is kept";
    assert!(tally.counts().invariants.get(kept) >= Some(&1), "{:?}", tally.counts());
    acknowledged.push(AcknowledgedFile { file: FileId(99), chunks: 1, write_quorum: 2 });
    let told = Told { acknowledged: &acknowledged, ..nothing };
    let failure = invariants.check(&sites(&cluster), Depth::News, told, &tally).unwrap_err();
    assert_eq!(failure.promise, kept, "a file that metadata has lost: {failure}");
    acknowledged.pop();

    // All at once lose their power, and come back.
    for member in cluster.members_mut() {
        member.crash(Crash::Power);
    }
    let told = Told { acknowledged: &acknowledged, ..nothing };
    invariants.check(&sites(&cluster), Depth::News, told, &tally).unwrap();
    cluster.start().await.unwrap();
    cluster.until("a cluster that serves again", serves).await.unwrap();
    acknowledged.push(upload(user, "b", content(2, 200_000)).await);
    let told = Told { acknowledged: &acknowledged, ..nothing };
    invariants.check(&sites(&cluster), Depth::Everything, told, &tally).unwrap();
    let counts = tally.counts().invariants;
    let vacuous: Vec<_> = Invariants::list().into_iter().filter(|(name, _)| counts.get(name) == Some(&0)).collect();
    assert_eq!(vacuous.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["bounded queues"], "{counts:?}");

    // An emptied store is noticed unless it is told.
    let mut emptied = sites(&cluster);
    let place = emptied.iter().position(|site| site.role == Role::Storage).unwrap();
    let before = whole_records(&emptied[place].disk, true).unwrap();
    emptied[place].disk = SimDisk::new(DiskSettings::default());
    let failure = invariants.check(&emptied, Depth::News, told, &tally).unwrap_err();
    assert_eq!(failure.promise, "counted copies are durable", "{failure}");
    let mut losses = Losses::new();
    assert!(losses.note(emptied[place].node, &before, &WholeRecords::new()) > 0);
    let told = Told { losses: &losses, ..told };
    invariants.check(&emptied, Depth::News, told, &tally).unwrap();
}
