//! Hand-made moments for the tests of the invariants.

use super::*;
use crate::inspect::{Known, MetadataSight, State, StorageSight};
use dfs_actors::chunk_store::inspect::{Position, RecordCondition, RecordKey, StoredRecord};
use dfs_actors::raft::inspect::{LogPlace, StoredEntry, StoredVote};
use dfs_core::checksum::Digest;
use dfs_core::id::{
    BootId, ChunkId, ChunkIndex, DirectoryId, Epoch, FileId, GroupIndex, Incarnation, RequestId, StoreId, UploadNonce,
};
use dfs_core::meta::inspect::{
    Answer, Claim, CommittedFile, Counters, DirectoryRecord, FileRecord, FileState, GroupRecord, OpenFile, PlacedNode,
    ReplacedFile, RequestRecord,
};
use dfs_core::meta::{KnownChunk, NodeRecord};
use dfs_core::name::FileName;
use dfs_core::time::{ClusterTime, WallTime};
use dfs_core::unit::ChunkSize;
use dfs_core::wire::metadata::FileInfo;
use std::sync::Arc;

/// A moment, and what is told of it.
#[derive(Clone, Default)]
pub struct Scene {
    pub sight: Sight,
    pub acknowledged: Vec<AcknowledgedFile>,
    pub losses: Losses,
    pub loads: Vec<Load>,
}

impl Scene {
    pub fn new() -> Scene {
        Scene::default()
    }

    pub fn evidence(&self) -> Evidence<'_> {
        let told = Told { acknowledged: &self.acknowledged, losses: &self.losses, loads: &self.loads };
        Evidence { sight: &self.sight, told }
    }

    /// Says what is on a metadata node.
    pub fn metadata(&mut self, node: u64, sight: MetadataSight) {
        self.sight.metadata.insert(NodeId(node), sight);
    }

    /// Says what is on a storage node; all of it is new.
    pub fn storage(&mut self, node: u64, records: &[StoredRecord]) {
        let sight = StorageSight {
            name: format!("storage-{node}"),
            records: records.iter().map(|record| (record.key, *record)).collect(),
            news: records.to_vec(),
            ..StorageSight::default()
        };
        self.sight.storage.insert(NodeId(node), sight);
    }

    /// Says what a complete state knows: keys, contents and holders.
    pub fn known(&mut self, chunks: &[(RecordKey, u64, &[u64])]) {
        let known = chunks.iter().map(|(key, content, holders)| {
            let holders = holders.iter().copied().map(NodeId).collect();
            let RecordKey { chunk, epoch } = *key;
            (chunk, KnownChunk { chunk, epoch, checksum: digest(*content), holders })
        });
        let applied = LogPlace { term: 1, index: 1 };
        let (chunks, nodes, state) = (known.collect(), Vec::new(), Arc::default());
        self.sight.known = Some(Known { applied, chunks, nodes, state, complete: true });
    }

    /// Says which store that state has of a storage node.
    pub fn store(&mut self, node: u64, store: u128) {
        let known = self.sight.known.as_mut().expect("the state is known");
        known.nodes.push(node_record(node, store));
    }

    /// Changes what that state holds.
    pub fn state<R>(&mut self, change: impl FnOnce(&mut State) -> R) -> R {
        let known = self.sight.known.as_mut().expect("the state is known");
        change(Arc::make_mut(&mut known.state))
    }

    /// A state in which all is as it should be, at 1,000 ms: in the root there is directory 1, called `d`; in it file 1,
    /// called `a`, of one chunk on storage nodes 1 and 2 of those placed, 1 to 3 of 4; file 2 is being uploaded, file 3
    /// was deleted by request 1, file 4 replaced.
    pub fn sound() -> Scene {
        let mut scene = Scene::new();
        scene.known(&[(key(1, 0, 1), 7, &[1, 2])]);
        scene.state(|state| *state = sound_state());
        scene
    }
}

fn node_record(node: u64, store: u128) -> NodeRecord {
    NodeRecord {
        node: NodeId(node),
        incarnation: Incarnation(1),
        store: StoreId(store),
        boot: BootId(store),
        address: ([10, 0, 0, 1], 1).into(),
        generation: 0,
    }
}

fn sound_state() -> State {
    let at = ClusterTime(1_000);
    let mut state = State::default();
    state.nodes.extend((1..=4).map(|node| (NodeId(node), node_record(node, u128::from(node)))));
    let directory = DirectoryRecord { parent: DirectoryId::ROOT, component: "d".to_owned(), longest: 4 };
    state.directories.insert(DirectoryId(1), directory);
    state.directory_entries.insert((DirectoryId::ROOT, "d".to_owned()), DirectoryId(1));
    state.file_entries.insert((DirectoryId(1), "a".to_owned()), FileId(1));
    let open = OpenFile {
        name: FileName::new("b").expect("it is a name"),
        nonce: UploadNonce(2),
        size_hint: None,
        progress: at,
        groups: 1,
        reported: 0,
        highest: None,
        short: None,
        claim: Claim::New,
        losses: 0,
        mixed: false,
    };
    let name = FileName::new("c").expect("it is a name");
    let replaced = ReplacedFile { at, name, size: 0, nonce: UploadNonce(4) };
    state.counters = Counters {
        time: at,
        next_file: FileId(5),
        next_directory: DirectoryId(2),
        files: 1,
        file_bytes: 100,
        open_uploads: 1,
        storage_nodes: 4,
        requests: 1,
        oldest_request: at,
        graces_end: replaced.grace_ends(),
        ..Counters::default()
    };
    state.files.insert(FileId(1), committed(1, 1, "a", 100));
    state.files.insert(FileId(2), file(FileState::Open(open)));
    state.files.insert(FileId(3), file(FileState::Deleted { at }));
    state.files.insert(FileId(4), file(FileState::Replaced(replaced)));
    state.nonces.insert(UploadNonce(2), FileId(2));
    state.open_uploads.insert(("b".to_owned(), FileId(2)));
    state.requests.insert(RequestId(1), RequestRecord { at, answer: Answer::Deleted(info(3, "e", 0)) });
    state.requests_by_age.insert((at, RequestId(1)));
    let mut group = GroupRecord::new(Epoch(1), placed(&[1, 2, 3]));
    group.put_chunk(0, digest(7));
    group.add_holders(0, &placed(&[1, 2]));
    state.groups.insert((FileId(1), GroupIndex(0)), group);
    state.groups.insert((FileId(2), GroupIndex(0)), GroupRecord::new(Epoch(1), placed(&[1, 2, 3])));
    state.placed_on.extend([1, 2].map(|node| (NodeId(node), FileId(1), GroupIndex(0))));
    state
}

fn file(state: FileState) -> FileRecord {
    let chunk_size = ChunkSize::try_from(64 * 1024_u32).expect("it is a chunk size");
    FileRecord { chunk_size, replication: 3, modified: WallTime(0), state }
}

/// A visible file.
pub fn committed(nonce: u128, directory: u64, component: &str, size: u64) -> FileRecord {
    let (directory, component, nonce) = (DirectoryId(directory), component.to_owned(), UploadNonce(nonce));
    file(FileState::Committed(CommittedFile { directory, component, size, nonce }))
}

/// What is told of a file.
pub fn info(id: u64, name: &str, size: u64) -> FileInfo {
    file(FileState::Deleted { at: ClusterTime(0) }).info(FileId(id), FileName::new(name).expect("it is a name"), size)
}

/// Nodes as they are placed, on their first stores.
pub fn placed(nodes: &[u64]) -> Vec<PlacedNode> {
    nodes.iter().map(|node| PlacedNode { node: NodeId(*node), generation: 0 }).collect()
}

impl MetadataSight {
    pub(super) fn with_vote(self, vote: StoredVote) -> MetadataSight {
        MetadataSight { vote: Some(vote), ..self }
    }

    /// Gives the entry at `index` another hash.
    pub(super) fn with_hash(mut self, index: u64, hash: u64) -> MetadataSight {
        let entry = self.entries.iter_mut().find(|entry| entry.place.index == index).expect("the log has it");
        entry.hash = digest(hash);
        self
    }

    pub(super) fn with_purged(self, term: u64, index: u64) -> MetadataSight {
        MetadataSight { purged: Some(LogPlace { term, index }), ..self }
    }

    pub(super) fn with_applied(self, term: u64, index: u64) -> MetadataSight {
        MetadataSight { applied: Some(LogPlace { term, index }), ..self }
    }

    pub(super) fn with_state(self, hash: u64) -> MetadataSight {
        MetadataSight { state: Some(digest(hash)), ..self }
    }
}

pub fn digest(number: u64) -> Digest {
    Digest::of(&number.to_be_bytes())
}

pub fn key(file: u64, index: u32, epoch: u32) -> RecordKey {
    RecordKey { chunk: ChunkId { file: FileId(file), index: ChunkIndex(index) }, epoch: Epoch(epoch) }
}

/// A whole record with this content.
pub fn record(file: u64, index: u32, epoch: u32, content: u64) -> StoredRecord {
    let position = Position { segment: 0, offset: u64::from(index) * 4096 };
    let condition = RecordCondition::Whole(digest(content));
    StoredRecord { key: key(file, index, epoch), position, end: position.offset + 4096, length: 9, condition }
}

/// A record whose payload is not what was sealed.
pub fn damaged(file: u64, index: u32, epoch: u32) -> StoredRecord {
    StoredRecord { condition: RecordCondition::Damaged(digest(7)), ..record(file, index, epoch, 7) }
}

pub fn vote(term: u64, node: u64, won: bool) -> StoredVote {
    StoredVote { term, node: NodeId(node), won }
}

/// A metadata node whose log has entries at these terms and indexes; their hashes follow from them.
pub fn metadata(log: &[(u64, u64)]) -> MetadataSight {
    let entry = |(term, index): &(u64, u64)| StoredEntry {
        place: LogPlace { term: *term, index: *index },
        hash: digest(term * 1000 + index),
    };
    MetadataSight { name: "metadata".to_owned(), entries: log.iter().map(entry).collect(), ..MetadataSight::default() }
}
