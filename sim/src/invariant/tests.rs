//! Hand-made moments for the tests of the invariants.

use super::*;
use crate::inspect::{Known, MetadataSight, StorageSight};
use dfs_actors::chunk_store::inspect::{Position, RecordCondition, RecordKey, StoredRecord};
use dfs_actors::raft::inspect::{LogPlace, StoredEntry, StoredVote};
use dfs_core::checksum::Digest;
use dfs_core::id::{BootId, ChunkId, ChunkIndex, Epoch, FileId, Incarnation, StoreId};
use dfs_core::meta::{KnownChunk, NodeRecord};

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
        self.sight.known = Some(Known { applied, chunks: known.collect(), nodes: Vec::new(), complete: true });
    }

    /// Says which store that state has of a storage node.
    pub fn store(&mut self, node: u64, store: u128) {
        let known = self.sight.known.as_mut().expect("the state is known");
        known.nodes.push(NodeRecord {
            node: NodeId(node),
            incarnation: Incarnation(1),
            store: StoreId(store),
            boot: BootId(store),
            address: ([10, 0, 0, 1], 1).into(),
            generation: 0,
        });
    }
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
