//! Going on with an upload of an earlier run: finding it, and what of it is known.

use super::GroupPlacement;
use crate::checksum::Digest;
use crate::id::{ChunkIndex, Epoch, FileId, GroupIndex, UploadNonce};
use crate::name::FileName;
use crate::time::WallTime;
use crate::unit::ChunkSize;
use crate::wire::{Request, Service};
use serde::{Deserialize, Serialize};

/// Asks for the newest open upload of the same source, to go on with it. From then on it answers to this nonce alone:
/// the run that opened it is told that its upload is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumeUpload {
    /// Drawn by the client for this run; the same nonce again gives the same answer.
    pub nonce: UploadNonce,
    /// The name that the file will have once committed.
    pub name: FileName,
    /// The size of the source.
    pub size: u64,
    /// Its modification time.
    pub modified: WallTime,
    /// Whether all bytes will be compared with what is there. Then another modification time does not make it another
    /// source; the file gets this one.
    pub compared: bool,
    /// The size of the file's chunks.
    pub chunk_size: ChunkSize,
    /// Copies of each chunk; the cluster's setting where absent.
    pub replication: Option<u8>,
    /// Whether the file may replace the version that has the name now, as in [`CreateFile`](super::CreateFile).
    pub replace: bool,
}

/// What there is to go on with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FoundUpload {
    /// No upload under this name is open.
    Nothing,
    /// Only uploads of another source, or with other parameters, are open. It is told how the newest of them differs.
    Other(UploadDifference),
    /// This upload is the caller's now.
    Resumed(ResumedUpload),
}

/// How an open upload differs from what is to be uploaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum UploadDifference {
    /// The source had another size, or an unknown one.
    Size,
    /// The source had another modification time.
    Modified,
    /// The file was cut into chunks of another size.
    ChunkSize,
    /// Another number of copies was asked for.
    Replication,
}

/// An open upload that has been handed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumedUpload {
    /// The id of the new version.
    pub file: FileId,
    /// Copies of each chunk that the cluster aims for.
    pub replication: u8,
    /// Groups that have a placement: all below this number.
    pub groups: u32,
    /// Chunks that metadata knows of.
    pub reported: u64,
}

/// Asks how far an open upload is, group by group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocateUpload {
    /// The upload.
    pub file: FileId,
    /// Its nonce, which proves that the caller is its writer.
    pub nonce: UploadNonce,
    /// The first group wanted.
    pub first: GroupIndex,
    /// Groups in the answer at most, up to [`crate::limit::LOCATE_PAGE_MAX`].
    pub limit: u32,
}

/// How far some consecutive groups of an open upload are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadPage {
    /// The groups, in order, from the first wanted; none behind the last one that is placed.
    pub groups: Vec<UploadGroup>,
}

/// How far one group of an open upload is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadGroup {
    /// Its present placement.
    pub placement: GroupPlacement,
    /// Its chunks that metadata counts enough copies of, in order.
    pub chunks: Vec<RecordedChunk>,
}

/// A chunk that is safe already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedChunk {
    /// The chunk.
    pub index: ChunkIndex,
    /// The epoch under which it was written.
    pub epoch: Epoch,
    /// Its bytes.
    pub length: u32,
    /// Its checksum.
    pub checksum: Digest,
}

impl Request for ResumeUpload {
    const SERVICE: Service = Service::Namespace;
    const METHOD: u8 = 14;
    type Reply = FoundUpload;
}

impl Request for LocateUpload {
    const SERVICE: Service = Service::Namespace;
    const METHOD: u8 = 15;
    type Reply = UploadPage;
}
