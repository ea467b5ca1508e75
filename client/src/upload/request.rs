//! What to upload as, and whether to go on with what an earlier run left.

use crate::client::PARALLEL_DEFAULT;
use dfs_core::name::FileName;
use dfs_core::time::WallTime;
use dfs_core::unit::ChunkSize;

/// What to upload as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadRequest {
    /// The name that the file will have.
    pub name: FileName,
    /// Its size, where the caller knows it and the source does not. It is only a hint.
    pub size_hint: Option<u64>,
    /// The size of its chunks.
    pub chunk_size: ChunkSize,
    /// Copies of each chunk; the cluster's setting where absent.
    pub replication: Option<u8>,
    /// Modification time of the source.
    pub modified: WallTime,
    /// Whether it may replace the version that has the name when the upload begins.
    pub replace: bool,
    /// Chunks on their way at once, up to [`PARALLEL_MAX`](crate::client::PARALLEL_MAX). Large chunks are fewer, so that
    /// no more than 64 MiB (and at least one chunk) are in memory.
    pub parallel: usize,
    /// Whether to go on with an upload that an earlier run of the same request left open.
    pub resume: Resume,
}

/// Whether an upload goes on with what an earlier run left. Only a source that knows its size can, and one that is
/// larger than a chunk. An earlier run that still lives is out from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resume {
    /// It begins anew.
    Never,
    /// It goes on with an upload of the same name, size, modification time, chunk size and copies, and trusts that
    /// the source has the same bytes. If it begins with another chunk than what is there, it begins anew.
    Trust,
    /// It goes on with an upload of the same name, size, chunk size and copies, and compares every byte of the source
    /// with the checksums of what is there; what differs is sent again.
    Compare,
}

impl UploadRequest {
    /// An upload with the defaults of client and cluster, which begins anew.
    #[must_use]
    pub fn new(name: FileName, modified: WallTime) -> UploadRequest {
        UploadRequest {
            name,
            size_hint: None,
            chunk_size: ChunkSize::default(),
            replication: None,
            modified,
            replace: false,
            parallel: PARALLEL_DEFAULT,
            resume: Resume::Never,
        }
    }
}
