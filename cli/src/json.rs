//! What `--json` writes: stable field names for programs.
//!
//! A field is never renamed or given another meaning; new ones may come. Units stand in the names. Times are RFC 3339
//! in UTC.

mod status;

pub use status::Status;

use crate::moment;
use dfs_core::wire::metadata::{self, FileInfo, Health, MetadataNodeInfo, StorageNodeInfo};
use serde::Serialize;

/// One line of JSON.
#[must_use]
pub fn line<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| unreachable!("these types have a JSON form: {error}"))
}

/// JSON over several lines.
#[must_use]
pub fn pretty<T: Serialize>(value: &T) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|error| unreachable!("these types have a JSON form: {error}"))
}

/// A file, as `list` and `stat` write it.
#[derive(Clone, Debug, Serialize)]
pub struct File {
    /// The id of this version.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub size_bytes: u64,
    /// The bytes of each of its chunks but the last.
    pub chunk_size_bytes: u32,
    /// How many chunks it has.
    pub chunks: u64,
    /// Copies of each chunk that the cluster aims for.
    pub replicas: u8,
    /// When its source was modified.
    pub modified: String,
}

impl File {
    /// The JSON form of a file.
    #[must_use]
    pub fn of(file: &FileInfo) -> File {
        File {
            id: file.file.0,
            name: file.name.to_string(),
            size_bytes: file.size,
            chunk_size_bytes: file.chunk_size.bytes(),
            chunks: file.chunk_size.chunk_count(file.size),
            replicas: file.replication,
            modified: moment::for_programs(file.modified),
        }
    }
}

/// An entry of one level, as `list --delimiter` writes it.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum LevelEntry {
    /// A file.
    File(File),
    /// A directory.
    Directory {
        /// Its name, with a slash behind it.
        name: String,
    },
}

impl LevelEntry {
    /// The JSON form of an entry.
    #[must_use]
    pub fn of(entry: &metadata::LevelEntry) -> LevelEntry {
        match entry {
            metadata::LevelEntry::File(file) => LevelEntry::File(File::of(file)),
            metadata::LevelEntry::Directory(_) => LevelEntry::Directory { name: entry.text() },
        }
    }
}

/// An upload that is not finished, as `list --all` writes it.
#[derive(Clone, Debug, Serialize)]
pub struct OpenUpload {
    /// The id of the version that it will be.
    pub id: u64,
    /// The name that it will have.
    pub name: String,
    /// The bytes of each of its chunks but the last.
    pub chunk_size_bytes: u32,
    /// How many of its chunks are known to be durable.
    pub chunks: u64,
    /// The bytes of its source, if that was known when it began.
    pub size_bytes: Option<u64>,
    /// Since when it has made no progress, by the cluster's time.
    pub idle_ms: u64,
}

impl OpenUpload {
    /// The JSON form of an open upload.
    #[must_use]
    pub fn of(upload: &metadata::OpenUpload) -> OpenUpload {
        OpenUpload {
            id: upload.file.0,
            name: upload.name.to_string(),
            chunk_size_bytes: upload.chunk_size.bytes(),
            chunks: upload.chunks,
            size_bytes: upload.size_hint,
            idle_ms: upload.idle_ms,
        }
    }
}
/// A file that was stored, as `upload` writes it.
#[derive(Clone, Debug, Serialize)]
pub struct Uploaded {
    /// The file.
    #[serde(flatten)]
    pub file: File,
    /// Chunks that an earlier run had stored and that were not sent again.
    pub resumed_chunks: u64,
}

impl Uploaded {
    /// The JSON form of an upload.
    #[must_use]
    pub fn of(file: &FileInfo, resumed_chunks: u64) -> Uploaded {
        Uploaded { file: File::of(file), resumed_chunks }
    }
}
/// One file of a download, as `download` writes it.
#[derive(Clone, Debug, Serialize)]
pub struct Download<'a> {
    /// The id of its version.
    pub id: u64,
    /// Its name.
    pub name: &'a str,
    /// The bytes that were asked for: its size, or those of the range.
    pub bytes: u64,
    /// `downloaded`, `there` if the local file was right already, `verified` or `failed`.
    pub outcome: &'static str,
    /// The local file.
    pub path: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
}

/// A whole download of many files, as `download` writes it last.
#[derive(Clone, Debug, Serialize)]
pub struct Downloads {
    /// Files that were downloaded or verified.
    pub done: u64,
    /// Files whose local files were right already.
    pub there: u64,
    /// Files that failed.
    pub failed: u64,
    /// Bytes of those that were downloaded or verified.
    pub bytes: u64,
}

/// What became of one entry of a directory, as `upload -r` writes it.
#[derive(Clone, Debug, Serialize)]
pub struct TreeFile {
    /// The local path.
    pub path: String,
    /// `uploaded`, `there` (with the same size and time already) or `failed`.
    pub result: &'static str,
    /// The file, where it is stored.
    #[serde(flatten)]
    pub file: Option<File>,
    /// Why it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What became of a directory: the last line of `upload -r`.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct TreeSummary {
    /// Files that were uploaded.
    pub uploaded: u64,
    /// Their bytes.
    pub uploaded_bytes: u64,
    /// Files that were there already.
    pub there: u64,
    /// Entries that are not stored.
    pub failed: u64,
}

/// A file with its groups, as `stat` writes it.
#[derive(Clone, Debug, Serialize)]
pub struct FileDetail {
    /// The file.
    #[serde(flatten)]
    pub file: File,
    /// Its groups, in order.
    pub groups: Vec<Group>,
}

/// A group of chunks that share a placement.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    /// Its place in the file, from zero.
    pub group: u32,
    /// The epoch of its present placement.
    pub epoch: u32,
    /// Its chunks, in order.
    pub chunks: Vec<Chunk>,
}

/// One chunk.
#[derive(Clone, Debug, Serialize)]
pub struct Chunk {
    /// Its place in the file, from zero.
    pub chunk: u32,
    /// The epoch under which it was written.
    pub epoch: u32,
    /// Its bytes.
    pub length_bytes: u32,
    /// Its checksum in hexadecimal.
    pub checksum: String,
    /// The storage nodes that hold it.
    pub holders: Vec<u64>,
    /// Those of them whose copy was read back and checked since they started.
    pub verified: Vec<u64>,
}

/// The nodes, as `nodes` writes them.
#[derive(Clone, Debug, Serialize)]
pub struct Nodes {
    /// The members of the metadata cluster.
    pub metadata: Vec<MetadataNode>,
    /// The storage nodes that have ever registered.
    pub storage: Vec<StorageNode>,
}

/// A metadata node.
#[derive(Clone, Debug, Serialize)]
pub struct MetadataNode {
    /// Its name in a local cluster, such as `metadata-1`.
    pub name: String,
    /// Its number.
    pub node: u64,
    /// Where it is.
    pub address: String,
    /// Whether it leads.
    pub leader: bool,
    /// The leader's term.
    pub term: u64,
    /// The highest log index known to be on it, where the leader knows.
    pub matched_index: Option<u64>,
    /// Time since it last answered the leader, where the leader knows.
    pub silent_ms: Option<u64>,
}

impl MetadataNode {
    /// The JSON form of a metadata node.
    #[must_use]
    pub fn of(node: &MetadataNodeInfo) -> MetadataNode {
        MetadataNode {
            name: format!("metadata-{}", node.address.node),
            node: node.address.node.0,
            address: node.address.address.to_string(),
            leader: node.leads,
            term: node.term,
            matched_index: node.matched,
            silent_ms: node.silent_ms,
        }
    }
}

/// A storage node. Absent numbers are not known: the leader has not heard it.
#[derive(Clone, Debug, Serialize)]
pub struct StorageNode {
    /// Its name in a local cluster, such as `storage-1`.
    pub name: String,
    /// Its number.
    pub node: u64,
    /// Where it is.
    pub address: String,
    /// `unknown`, `alive`, `suspect` or `dead`.
    pub state: &'static str,
    /// The life of its process.
    pub incarnation: u64,
    /// Its store.
    pub store: String,
    /// Time since its last beat.
    pub silent_ms: Option<u64>,
    /// Bytes of its file system.
    pub capacity_bytes: Option<u64>,
    /// Bytes that it can still take as chunks.
    pub available_bytes: Option<u64>,
    /// Chunks that it holds.
    pub chunks: Option<u64>,
    /// Their bytes.
    pub chunk_bytes: Option<u64>,
    /// Copies that it still owes to other nodes, or that metadata has not taken note of.
    pub pending_copies: Option<u64>,
    /// Whether it refuses chunks because its disk is full or failed.
    pub refuses_chunks: Option<bool>,
    /// Whether several others find it slow, so that it gets less work.
    pub slow: bool,
}

impl StorageNode {
    /// The JSON form of a storage node.
    #[must_use]
    pub fn of(node: &StorageNodeInfo) -> StorageNode {
        StorageNode {
            name: format!("storage-{}", node.address.node),
            node: node.address.node.0,
            address: node.address.address.to_string(),
            state: state(node.health),
            incarnation: node.incarnation.0,
            store: node.store.to_string(),
            silent_ms: node.silent_ms,
            capacity_bytes: node.load.map(|load| load.capacity_bytes),
            available_bytes: node.load.map(|load| load.available_bytes),
            chunks: node.load.map(|load| load.chunk_count),
            chunk_bytes: node.load.map(|load| load.chunk_bytes),
            pending_copies: node.load.map(|load| load.pending_copies),
            refuses_chunks: node.load.map(|load| load.refuses_chunks),
            slow: node.slow,
        }
    }
}

/// The word for a storage node's health.
#[must_use]
pub fn state(health: Health) -> &'static str {
    match health {
        Health::Unknown => "unknown",
        Health::Alive => "alive",
        Health::Suspect => "suspect",
        Health::Dead => "dead",
    }
}

/// A local cluster, as `cluster status` writes it.
#[derive(Clone, Debug, Serialize)]
pub struct LocalCluster {
    /// Its directory.
    pub directory: String,
    /// Its nodes, metadata first.
    pub nodes: Vec<LocalNode>,
}

/// One process of a local cluster.
#[derive(Clone, Debug, Serialize)]
pub struct LocalNode {
    /// Its name.
    pub name: String,
    /// Where it listens.
    pub address: String,
    /// Its process id; null if it does not run.
    pub pid: Option<i32>,
    /// Where it logs.
    pub log: String,
}
