//! What the machines hold, read from their disks and key-value stores alone: no node is asked, so none has to be
//! believed, and nodes that are stopped are read as well.
//!
//! An [`Inspector`] looks at all machines at one moment and keeps what it saw: what did not change since the last look
//! is not read again, unless everything is asked for. What it saw is a [`Sight`]: plain values, for invariants to
//! judge.
//!
//! Two moments are told apart on purpose. Chunk records are read as a power cut at this moment would leave them, and
//! without the rot that the simulator brought about: what counts is what is durable. Logs and states are read as they
//! are: what is in a state was committed, whether or not this member has made its own copy durable.

mod ledger;
mod shelf;
mod state;

pub use state::State;

use crate::cluster::Member;
use crate::disk::SimDisk;
use crate::key_value::ModelStores;
use crate::verdict::Failure;
use dfs_actors::chunk_store::inspect::{RecordKey, StoredRecord, indexed, records, segment_path};
use dfs_actors::chunk_store::record::Layout;
use dfs_actors::raft::inspect::{LogPlace, StoredEntry, StoredVote};
use dfs_core::checksum::Digest;
use dfs_core::id::{ChunkId, NodeId, Role, StoreId};
use dfs_core::meta::{KnownChunk, NodeRecord};
use ledger::Ledger;
use shelf::Shelf;
use state::Register;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};
use std::io::ErrorKind;
use std::sync::Arc;

/// The key-value store that is a storage node's index.
const INDEX_STORE: &str = "chunks";

/// What is said where a disk or a store cannot be read at all.
const READABLE: &str = "what a machine holds can be read";

/// One machine and the node that lives on it, whether or not it runs.
#[derive(Clone, Debug)]
pub struct Site {
    /// What the machine is called.
    pub name: String,
    /// What the node is.
    pub role: Role,
    /// Who it is, within its role.
    pub node: NodeId,
    /// Its data directory.
    pub disk: SimDisk,
    /// Its key-value stores.
    pub stores: ModelStores,
    /// Whether it runs.
    pub runs: bool,
}

impl Site {
    /// The site of a member of a cluster.
    #[must_use]
    pub fn of(member: &Member) -> Site {
        let machine = member.machine();
        Site {
            name: machine.name().to_owned(),
            role: member.destination().role,
            node: member.id(),
            disk: machine.disk().clone(),
            stores: machine.stores().clone(),
            runs: member.runs(),
        }
    }
}

/// How much is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// What changed since the last look.
    News,
    /// Everything, as if for the first time.
    Everything,
}

/// What was seen on all machines at one moment.
#[derive(Clone, Debug, Default)]
pub struct Sight {
    /// The metadata nodes.
    pub metadata: BTreeMap<NodeId, MetadataSight>,
    /// The storage nodes.
    pub storage: BTreeMap<NodeId, StorageSight>,
    /// What the state knows that has come furthest; nothing while no state is where one was seen before, as after a
    /// power cut, until the log has been applied again.
    pub known: Option<Known>,
}

/// What was seen of a metadata node.
#[derive(Clone, Debug, Default)]
pub struct MetadataSight {
    /// What its machine is called.
    pub name: String,
    /// Whether it runs.
    pub runs: bool,
    /// Its vote.
    pub vote: Option<StoredVote>,
    /// The last entry that was cut off the beginning of its log.
    pub purged: Option<LogPlace>,
    /// Its log.
    pub entries: Vec<StoredEntry>,
    /// The entries from here on are new.
    pub news: usize,
    /// The last entry that its state has applied.
    pub applied: Option<LogPlace>,
    /// The hash of its state.
    pub state: Option<Digest>,
}

/// What was seen of a storage node.
#[derive(Clone, Debug, Default)]
pub struct StorageSight {
    /// What its machine is called.
    pub name: String,
    /// Its store.
    pub store: Option<StoreId>,
    /// The durable record of each key; where there are several, the last whole one.
    pub records: BTreeMap<RecordKey, StoredRecord>,
    /// The records that are new.
    pub news: Vec<StoredRecord>,
    /// What its index has; only known if it runs and everything was looked at.
    pub indexed: Option<BTreeSet<RecordKey>>,
}

/// What a metadata state knows of chunks.
#[derive(Clone, Debug)]
pub struct Known {
    /// The last entry that it has applied.
    pub applied: LogPlace,
    /// The chunks.
    pub chunks: BTreeMap<ChunkId, KnownChunk>,
    /// The storage nodes.
    pub nodes: Vec<NodeRecord>,
    /// All that it holds.
    pub state: Arc<State>,
    /// Whether nothing can have been acknowledged that it lacks: it is the state of a leader that runs, is of the
    /// highest term, and has applied its whole log.
    pub complete: bool,
}

impl MetadataSight {
    /// The entry at `index`, if the log has it.
    #[must_use]
    pub fn entry(&self, index: u64) -> Option<&StoredEntry> {
        let first = self.entries.first()?.place.index;
        self.entries.get(usize::try_from(index.checked_sub(first)?).ok()?).filter(|entry| entry.place.index == index)
    }

    /// The last entry, purged or not.
    #[must_use]
    pub fn last(&self) -> Option<LogPlace> {
        self.entries.last().map(|entry| entry.place).or(self.purged)
    }

    /// Whether it has won the vote that it knows of.
    #[must_use]
    pub fn has_won(&self, node: NodeId) -> bool {
        self.vote.is_some_and(|vote| vote.won && vote.node == node)
    }
}

/// The whole records of a store, by their checksums.
pub type WholeRecords = BTreeMap<RecordKey, Digest>;

/// The whole durable records of a disk as it is now: to be compared before and after something is destroyed on it.
/// With `without_rot`, bits that the simulator flipped are as they were before. A store that does not know any more who
/// it is has none.
///
/// # Errors
/// The store cannot be read.
pub fn whole_records(disk: &SimDisk, without_rot: bool) -> Result<WholeRecords, Failure> {
    let found = match records(&*disk.durable_copy(without_rot).mount()) {
        Err(error) if error.kind() == ErrorKind::InvalidData => Vec::new(),
        found => found.map_err(|error| unreadable("a disk", error))?,
    };
    Ok(found.iter().filter_map(|record| Some((record.key, record.whole()?))).collect())
}

/// Where the middle of a chunk's payload lies on a disk, by path and offset, if there is a whole copy of it.
///
/// # Errors
/// The store cannot be read.
pub fn payload_place(disk: &SimDisk, chunk: ChunkId) -> Result<Option<(String, u64)>, Failure> {
    let found = records(&*disk.durable_copy(false).mount()).map_err(|error| unreadable("a disk", error))?;
    let whole = found.iter().filter(|record| record.key.chunk == chunk && record.whole().is_some());
    Ok(whole.max_by_key(|record| record.key.epoch).map(|record| {
        let begins = u64::from(Layout::of(record.length).payload_offset);
        (segment_path(record.position.segment), record.position.offset + begins + u64::from(record.length / 2))
    }))
}

/// Looks at machines.
#[derive(Default)]
pub struct Inspector {
    sight: Sight,
    ledgers: BTreeMap<NodeId, Ledger>,
    shelves: BTreeMap<NodeId, Shelf>,
    register: Register,
    /// The furthest that any state was ever seen.
    furthest: Option<LogPlace>,
}

impl Inspector {
    /// Somebody who has seen nothing.
    #[must_use]
    pub fn new() -> Inspector {
        Inspector::default()
    }

    /// Looks at these machines, which are all that there are.
    ///
    /// # Errors
    /// Something cannot be read at all.
    pub fn look(&mut self, sites: &[Site], depth: Depth) -> Result<&Sight, Failure> {
        if depth == Depth::Everything {
            self.ledgers.clear();
            self.shelves.clear();
            self.register = Register::default();
            self.sight = Sight::default();
        }
        for site in sites.iter().filter(|site| site.role == Role::Metadata) {
            let sight = self.sight.metadata.entry(site.node).or_default();
            self.ledgers.entry(site.node).or_default().read(site, sight)?;
        }
        for site in sites.iter().filter(|site| site.role == Role::Storage) {
            let sight = self.sight.storage.entry(site.node).or_default();
            self.shelves.entry(site.node).or_default().read(site, sight)?;
            let index = site.stores.peek(INDEX_STORE).filter(|_| site.runs && depth == Depth::Everything);
            let keys = index.map(|index| indexed(&*index)).transpose();
            sight.indexed = keys.map_err(|error| unreadable(&site.name, error))?;
        }
        self.know(sites)?;
        Ok(&self.sight)
    }

    /// Reads what the furthest state knows. It stands for the others: where they have come as far, they are the same.
    fn know(&mut self, sites: &[Site]) -> Result<(), Failure> {
        let metadata = &self.sight.metadata;
        let furthest = metadata.iter().filter_map(|(node, sight)| Some((sight.applied?, *node))).max();
        let Some((applied, node)) = furthest.filter(|(applied, _)| Some(*applied) >= self.furthest) else {
            self.sight.known = None;
            return Ok(());
        };
        self.furthest = Some(applied);
        let highest = metadata.values().filter_map(|sight| Some(sight.vote?.term)).max();
        let complete = metadata.iter().any(|(node, sight)| {
            let leads = sight.runs && sight.has_won(*node) && sight.vote.map(|vote| vote.term) == highest;
            // A leader's first entry is of its own term: with it, everything before is applied.
            let whole = sight.applied == sight.last() && sight.applied.map(|applied| applied.term) == highest;
            leads && whole && sight.applied == Some(applied)
        });
        if let Some(known) = self.sight.known.as_mut().filter(|known| known.applied == applied) {
            known.complete = complete;
            return Ok(());
        }
        let site = sites.iter().find(|site| site.role == Role::Metadata && site.node == node);
        // What was known goes first, so that what it holds can be changed where it is.
        self.sight.known = None;
        let register = &mut self.register;
        let (chunks, nodes, state) = site.map(|site| ledger::known(site, register)).transpose()?.unwrap_or_default();
        self.sight.known = Some(Known { applied, chunks, nodes, state, complete });
        Ok(())
    }
}

impl fmt::Debug for Inspector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inspector").field("sight", &self.sight).finish_non_exhaustive()
    }
}

fn unreadable(what: &str, error: impl Display) -> Failure {
    Failure::correctness(READABLE, format_args!("{what}: {error}"))
}

#[cfg(test)]
mod tests;
