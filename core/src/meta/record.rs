//! The records of the state: one version byte, then postcard. The order of fields and variants is the format.
//!
//! A decoder takes exactly one record, or refuses: foreign bytes, trailing bytes and contradictions all become a
//! [`DamagedRecord`], never a panic.

use super::view::{DamagedRecord, View};
use crate::checksum::Digest;
use crate::id::{
    BootId, ChunkId, ChunkIndex, ClusterId, DirectoryId, Epoch, FileId, Incarnation, NodeId, StoreId, UploadNonce,
};
use crate::limit::{CHUNKS_PER_GROUP, GROUPS_AHEAD_MAX, VERSION_GRACE_MS};
use crate::name::FileName;
use crate::settings::ClusterSettings;
use crate::time::{ClusterTime, WallTime};
use crate::unit::ChunkSize;
use crate::wire;
use crate::wire::membership::CopyReason;
use crate::wire::metadata::{FileInfo, MovedName};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::time::Duration;

/// The version of every record that this build writes.
const VERSION: u8 = 1;

/// What can stand at a key.
pub trait Record: Serialize + DeserializeOwned {
    /// What it is called where it is damaged.
    const KIND: &'static str;

    /// Whether its parts agree with each other.
    fn is_sound(&self) -> bool {
        true
    }

    /// The value of its key.
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend(wire::encode(self));
        bytes
    }

    /// Reads the value of a key.
    fn from_bytes(key: &[u8], bytes: &[u8]) -> Result<Self, DamagedRecord> {
        bytes
            .strip_prefix(&[VERSION])
            .and_then(|bytes| wire::decode::<Self>(bytes).ok())
            .filter(Self::is_sound)
            .ok_or_else(|| damaged::<Self>(key))
    }
}

/// What to say of a key whose record contradicts the rest of the state.
pub fn damaged<R: Record>(key: &[u8]) -> DamagedRecord {
    DamagedRecord { kind: R::KIND, key: key.to_vec() }
}

/// The record at a key.
pub fn read<R: Record, V: View>(view: &V, key: &[u8]) -> Result<Option<R>, V::Error> {
    let Some(bytes) = view.get(key)? else { return Ok(None) };
    Ok(Some(R::from_bytes(key, &bytes)?))
}

/// The record at a key that others refer to, so that it must be there.
pub fn read_referred<R: Record, V: View>(view: &V, key: &[u8]) -> Result<R, V::Error> {
    read(view, key)?.ok_or_else(|| damaged::<R>(key).into())
}

/// What the cluster is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterRecord {
    /// Its id.
    pub cluster: ClusterId,
    /// Its settings.
    pub settings: ClusterSettings,
}

/// Everything that is counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// The highest time that any entry had.
    pub time: ClusterTime,
    /// The id of the next file.
    pub next_file: FileId,
    /// The id of the next directory.
    pub next_directory: DirectoryId,
    /// Committed files.
    pub files: u64,
    /// Bytes of committed files.
    pub file_bytes: u64,
    /// Uploads that are open.
    pub open_uploads: u64,
    /// Storage nodes that ever registered.
    pub storage_nodes: u64,
    /// Kept answers.
    pub requests: u64,
    /// The bytes of their keys and values.
    pub request_bytes: u64,
    /// When the oldest kept answer was given, if there is one.
    pub oldest_request: ClusterTime,
    /// Answers given before this time may have been forgotten.
    pub forgotten_before: ClusterTime,
    /// The number of the next receipt.
    pub next_receipt: u64,
    /// Copies that repair has made, and that were counted.
    pub copies_made: u64,
    /// Receipts that told of nothing that counts any more.
    pub receipts_passed_over: u64,
    /// When the last of the replaced versions stops being readable.
    pub graces_end: ClusterTime,
    /// How often copies that were counted have stopped counting.
    pub losses: u64,
}

impl Default for Counters {
    fn default() -> Self {
        Counters {
            time: ClusterTime::default(),
            next_file: FileId(1),
            next_directory: DirectoryId(DirectoryId::ROOT.0 + 1),
            files: 0,
            file_bytes: 0,
            open_uploads: 0,
            storage_nodes: 0,
            requests: 0,
            request_bytes: 0,
            oldest_request: ClusterTime::default(),
            forgotten_before: ClusterTime::default(),
            next_receipt: 0,
            copies_made: 0,
            receipts_passed_over: 0,
            graces_end: ClusterTime::default(),
            losses: 0,
        }
    }
}

/// Where a directory stands in the tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryRecord {
    /// The directory that it is in.
    pub parent: DirectoryId,
    /// What it is called there.
    pub component: String,
    /// No name below it was ever longer, in bytes from behind its slash on: a bound that only grows, by which moving it
    /// is refused where names could become too long, without looking at any of them.
    pub longest: u16,
}

/// One version of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// The bytes of each chunk but the last.
    pub chunk_size: ChunkSize,
    /// Copies wanted of each chunk.
    pub replication: u8,
    /// What its writer says of when it was modified.
    pub modified: WallTime,
    /// How far it has come.
    pub state: FileState,
}

/// How far a file has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileState {
    /// Being uploaded; not visible.
    Open(OpenFile),
    /// Visible under its name.
    Committed(CommittedFile),
    /// Gone from the tree; its groups are freed later.
    Deleted {
        /// When it was deleted.
        at: ClusterTime,
    },
    /// Its name belongs to a later version; for a while it can still be read by its id.
    Replaced(ReplacedFile),
}

/// An upload. It counts its reported chunks, so that a commit need not look at them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenFile {
    /// The name that it is to have.
    pub name: FileName,
    /// Whose upload it is.
    pub nonce: UploadNonce,
    /// The size of its source, where that was known when it was opened.
    pub size_hint: Option<u64>,
    /// When it last made progress.
    pub progress: ClusterTime,
    /// Groups that have a placement: all below this number.
    pub groups: u32,
    /// Chunks that have a checksum.
    pub reported: u64,
    /// The highest of them.
    pub highest: Option<ChunkIndex>,
    /// The one that is shorter than the chunk size.
    pub short: Option<ShortChunk>,
    /// What its commit may do with the name.
    pub claim: Claim,
    /// [`Counters::losses`] when it was opened: if there were none since, what was reported counts.
    pub losses: u64,
    /// Whether runs with sources of different times have had it: only one that compares all bytes may go on with it.
    pub mixed: bool,
}

/// What the commit of an upload may do with its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Claim {
    /// Take it if it is free.
    New,
    /// Take it if it is free, or if the version that had it when the upload was opened still has it.
    Replace {
        /// That version.
        seen: Option<FileId>,
    },
}

impl OpenFile {
    /// How many groups may have a placement: so many that a commit can drop those that the file did not reach.
    pub fn groups_max(&self) -> u32 {
        let reached = self.highest.map_or(0, |highest| highest.group().0 + 1);
        reached.saturating_add(GROUPS_AHEAD_MAX)
    }
}

/// The last chunk of a file, where it does not fill the chunk size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShortChunk {
    /// Its place in the file.
    pub index: ChunkIndex,
    /// Its bytes.
    pub length: u32,
}

/// A visible file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommittedFile {
    /// The directory that it is in.
    pub directory: DirectoryId,
    /// What it is called there.
    pub component: String,
    /// Its bytes.
    pub size: u64,
    /// The nonce of its upload, by which a repeated commit is known.
    pub nonce: UploadNonce,
}

/// A version whose name another one took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplacedFile {
    /// When it was replaced.
    pub at: ClusterTime,
    /// The name that it had: its directory may go before it.
    pub name: FileName,
    /// Its bytes.
    pub size: u64,
    /// The nonce of its upload, by which a repeated commit is known.
    pub nonce: UploadNonce,
}

impl ReplacedFile {
    /// Whether it can still be read.
    pub fn is_in_grace(&self, now: ClusterTime) -> bool {
        now < self.grace_ends()
    }

    /// When it stops being readable.
    pub fn grace_ends(&self) -> ClusterTime {
        self.at.plus(Duration::from_millis(VERSION_GRACE_MS))
    }
}

impl FileRecord {
    /// What is told of it once it is committed under `name`.
    pub fn info(&self, file: FileId, name: FileName, size: u64) -> FileInfo {
        FileInfo {
            file,
            name,
            size,
            chunk_size: self.chunk_size,
            replication: self.replication,
            modified: self.modified,
        }
    }

    /// The bytes of a chunk that is known. Of a deleted file, whose size is forgotten, those of a whole chunk.
    pub(super) fn chunk_length(&self, index: ChunkIndex) -> u32 {
        let of_size = |size| self.chunk_size.chunk_length(size, u64::from(index.0));
        match &self.state {
            FileState::Open(open) => open.chunk_length(index, self.chunk_size),
            FileState::Committed(committed) => of_size(committed.size),
            FileState::Replaced(replaced) => of_size(replaced.size),
            FileState::Deleted { .. } => self.chunk_size.bytes(),
        }
    }

    /// Its state, if it is visible.
    pub fn committed(&self) -> Option<&CommittedFile> {
        match &self.state {
            FileState::Committed(committed) => Some(committed),
            FileState::Open(_) | FileState::Deleted { .. } | FileState::Replaced(_) => None,
        }
    }

    /// Its state, if another version took its name and it can still be read.
    pub fn replaced(&self, now: ClusterTime) -> Option<&ReplacedFile> {
        match &self.state {
            FileState::Replaced(replaced) if replaced.is_in_grace(now) => Some(replaced),
            FileState::Open(_) | FileState::Committed(_) | FileState::Deleted { .. } | FileState::Replaced(_) => None,
        }
    }
}

/// How many groups so many chunks make.
pub fn group_count(chunks: u64) -> u64 {
    chunks.div_ceil(u64::from(CHUNKS_PER_GROUP))
}

/// A storage node that has registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// The node.
    pub node: NodeId,
    /// The life of its process that registered last.
    pub incarnation: Incarnation,
    /// Its store.
    pub store: StoreId,
    /// The start of its process that registered last.
    pub boot: BootId,
    /// Where others reach it.
    pub address: SocketAddr,
    /// How often it has come with another store: copies of an older generation do not count.
    pub generation: u32,
}

/// The kept answer to an administrative request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestRecord {
    /// When it was given.
    pub at: ClusterTime,
    /// The answer.
    pub answer: Answer,
}

/// What a finished order has changed about the copies of a chunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptRecord {
    /// When it was recorded.
    pub at: ClusterTime,
    /// The chunk.
    pub chunk: ChunkId,
    /// Its epoch.
    pub epoch: Epoch,
    /// The node that read it, and told.
    pub source: NodeId,
    /// What changed.
    pub change: CopyChange,
}

/// A change of where a chunk is. Append-only once released.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CopyChange {
    /// A copy was made, and counts.
    Made {
        /// The node that has it.
        target: NodeId,
        /// Whose copy it took the place of.
        replaced: Option<NodeId>,
        /// Why it was made.
        reason: CopyReason,
        /// Its checksum as it was read back at the target.
        read_back: Digest,
    },
    /// The source does not have its copy: it counts no more.
    Missing,
    /// The source has other bytes than it should: its copy counts no more, and stays where it is.
    Damaged,
}

/// What can be kept. Append-only once released.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// This file was deleted.
    Deleted(FileInfo),
    /// The settings are these now.
    SettingsChanged(ClusterSettings),
    /// This has another name.
    Moved(MovedName),
}

impl Record for ClusterRecord {
    const KIND: &'static str = "cluster";
}

impl Record for Counters {
    const KIND: &'static str = "counters";
}

impl Record for DirectoryId {
    const KIND: &'static str = "directory entry";
}

impl Record for FileId {
    const KIND: &'static str = "file entry";
}

impl Record for DirectoryRecord {
    const KIND: &'static str = "directory";
}

impl Record for FileRecord {
    const KIND: &'static str = "file";

    fn is_sound(&self) -> bool {
        match &self.state {
            FileState::Open(open) => open.groups <= open.groups_max(),
            FileState::Committed(_) | FileState::Deleted { .. } | FileState::Replaced(_) => true,
        }
    }
}

impl Record for NodeRecord {
    const KIND: &'static str = "node";
}

impl Record for ReceiptRecord {
    const KIND: &'static str = "receipt";
}

impl Record for RequestRecord {
    const KIND: &'static str = "request";
}

impl Record for () {
    const KIND: &'static str = "request age";
}
