//! Reading the log and the state of a metadata node that may be running or stopped, without its help.
//!
//! For those who check stores. Everything is read from the key-value stores and the pointer file themselves, and
//! nothing is changed. Everything blocks.

use super::codec::{self, CodecError, LogIdForm, VoteForm};
use super::log_store::{self, decode_entry};
use super::state_machine::{APPLIED_KEY, read_pointer, store_name};
use crate::disk::Disk;
use crate::key_value::{self, KeyValueError, KeyValueView};
use dfs_core::checksum::Digest;
use dfs_core::id::NodeId;
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::io;
use std::ops::Bound;

pub use super::LOG_STORE;
pub use super::view::StoreView;

/// A place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogPlace {
    /// The term of the entry there.
    pub term: u64,
    /// Its index.
    pub index: u64,
}

impl fmt::Display for LogPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "entry {} of term {}", self.index, self.term)
    }
}

/// An entry of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredEntry {
    /// Where it is.
    pub place: LogPlace,
    /// The SHA-256 of its bytes.
    pub hash: Digest,
}

/// A vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredVote {
    /// Its term.
    pub term: u64,
    /// For whom.
    pub node: NodeId,
    /// Whether that node is known to have won.
    pub won: bool,
}

/// What a log store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredLog {
    /// Whose it is, once it was opened.
    pub node: Option<NodeId>,
    /// The vote.
    pub vote: Option<StoredVote>,
    /// The last entry that was cut off the beginning.
    pub purged: Option<LogPlace>,
    /// The last entry that is known to be committed.
    pub committed: Option<LogPlace>,
    /// The entries that were asked for.
    pub entries: Vec<StoredEntry>,
}

impl From<LogIdForm> for LogPlace {
    fn from(LogIdForm { term, index }: LogIdForm) -> LogPlace {
        LogPlace { term, index }
    }
}

fn damaged(error: CodecError) -> KeyValueError {
    KeyValueError::Damaged(Box::new(error))
}

fn place(view: &dyn KeyValueView, key: &[u8]) -> Result<Option<LogPlace>, KeyValueError> {
    let Some(bytes) = view.get(key)? else { return Ok(None) };
    Ok(Some(codec::decode::<LogIdForm>(&bytes).map_err(damaged)?.into()))
}

/// What the store [`LOG_STORE`] holds; of its entries those from index `first` on.
///
/// # Errors
/// It cannot be read, or something in it is no record of a log.
pub fn log(view: &dyn KeyValueView, first: u64) -> Result<StoredLog, KeyValueError> {
    let node = view.get(log_store::NODE_KEY)?.map(|bytes| codec::decode(&bytes)).transpose().map_err(damaged)?;
    let vote = view.get(log_store::VOTE_KEY)?.map(|bytes| codec::decode(&bytes)).transpose().map_err(damaged)?;
    let vote = vote.map(|VoteForm { term, committed, node }| StoredVote { term, node: NodeId(node), won: committed });
    let (purged, committed) = (place(view, log_store::PURGED_KEY)?, place(view, log_store::COMMITTED_KEY)?);
    let (first, last) = (log_store::entry_key(first), log_store::entry_key(u64::MAX));
    let mut entries = Vec::new();
    for page in key_value::pages(view, Bound::Included(&first), Bound::Included(&last)) {
        for (key, bytes) in page? {
            let id = decode_entry(&bytes).map_err(damaged)?.log_id;
            if log_store::entry_key(id.index) != key[..] {
                return Err(damaged(CodecError::Damaged));
            }
            entries.push(StoredEntry { place: LogIdForm::from(id).into(), hash: Digest::of(&bytes) });
        }
    }
    Ok(StoredLog { node, vote, purged, committed, entries })
}

/// The name of the key-value store that is the state of a data directory.
///
/// # Errors
/// The pointer file cannot be read, or is damaged.
pub fn state_store(disk: &dyn Disk) -> io::Result<String> {
    Ok(store_name(read_pointer(disk)?))
}

/// The last entry that a state has applied.
///
/// # Errors
/// The state cannot be read.
pub fn applied(view: &dyn KeyValueView) -> Result<Option<LogPlace>, KeyValueError> {
    place(view, &APPLIED_KEY)
}

/// A SHA-256 over all pairs of a state, with what it says of how far it has come: equal at equal indexes, whoever
/// applied the log, and in whatever batches.
///
/// # Errors
/// The state cannot be read.
pub fn state_hash(view: &dyn KeyValueView) -> Result<Digest, KeyValueError> {
    let mut hasher = Sha256::new();
    for page in key_value::pages(view, Bound::Unbounded, Bound::Unbounded) {
        for part in page?.iter().flat_map(|(key, value)| [key, value]) {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
    }
    Ok(Digest(hasher.finalize().into()))
}

#[cfg(test)]
mod tests;
