//! Listings beside that of committed files: one level of the tree, and the open uploads.

use super::FileInfo;
use crate::id::FileId;
use crate::name::FileName;
use crate::unit::ChunkSize;
use crate::wire::{Request, Service};
use serde::{Deserialize, Serialize};

/// Asks for one level of the tree: the files whose names have no slash behind the prefix, and in the place of all
/// others the directories that they are in, once each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListLevel {
    /// Only names that begin with this text; it need not end at a slash.
    pub prefix: String,
    /// Only what comes after this text in the order of names: an entry of the page before, as
    /// [`LevelEntry::text`] gives it.
    pub after: Option<String>,
    /// Entries in the answer at most, up to [`crate::limit::LIST_PAGE_MAX`].
    pub limit: u32,
}

/// One page of a level, in the order of the entries' texts (bytewise).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LevelPage {
    /// The entries.
    pub entries: Vec<LevelEntry>,
    /// Whether there may be more after the last of them.
    pub more: bool,
}

/// An entry of a level.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LevelEntry {
    /// A committed file.
    File(FileInfo),
    /// A directory: there are files below it.
    Directory(FileName),
}

impl LevelEntry {
    /// The name; a directory's with a slash behind it.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            LevelEntry::File(info) => info.name.to_string(),
            LevelEntry::Directory(name) => format!("{name}/"),
        }
    }
}

/// Asks for open uploads, in the order of their names; those of one name from the newest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListUploads {
    /// Only names that begin with this text.
    pub prefix: String,
    /// Only those after this one.
    pub after: Option<(FileName, FileId)>,
    /// Uploads in the answer at most, up to [`crate::limit::LIST_PAGE_MAX`].
    pub limit: u32,
}

/// One page of open uploads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadList {
    /// The uploads.
    pub uploads: Vec<OpenUpload>,
    /// Whether there may be more after the last of them.
    pub more: bool,
}

/// An upload that is neither committed nor gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenUpload {
    /// The id of the new version.
    pub file: FileId,
    /// The name that it will have.
    pub name: FileName,
    /// The size of its chunks.
    pub chunk_size: ChunkSize,
    /// Chunks that metadata knows to be durable.
    pub chunks: u64,
    /// The size of its source, where that was known when it was opened.
    pub size_hint: Option<u64>,
    /// Milliseconds of cluster time since it last made progress.
    pub idle_ms: u64,
}

impl Request for ListLevel {
    const SERVICE: Service = Service::Namespace;
    const METHOD: u8 = 16;
    type Reply = LevelPage;
}

impl Request for ListUploads {
    const SERVICE: Service = Service::Namespace;
    const METHOD: u8 = 17;
    type Reply = UploadList;
}
