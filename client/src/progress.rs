//! How a transfer tells how far it is.

use dfs_core::id::ChunkIndex;
use dfs_core::wire::metadata::UploadDifference;

/// Is told of the progress of one transfer. Calls come from one task at a time and must not block.
pub trait Progress: Send + Sync {
    /// The transfer begins; `total` is its bytes where they are known.
    fn started(&self, total: Option<u64>);
    /// `bytes` more are safe: durable on enough nodes in an upload, checked and handed to the sink in a download,
    /// found right in a local copy.
    fn advanced(&self, bytes: u64);
    /// An upload goes on with what an earlier run left.
    fn resumed(&self, _left: &LeftBehind) {}
    /// An earlier run left an upload open, but it is of another source or has other parameters: this one begins anew.
    fn began_anew(&self, _difference: UploadDifference) {}
    /// An earlier run left an upload of the same size and time open, but it began with other bytes than the source has
    /// now: this one begins anew.
    fn began_with_other_bytes(&self) {}
    /// A chunk that an earlier run left has other bytes than the source has now; it, of so many bytes, is sent again.
    fn differed(&self, _chunk: ChunkIndex, _length: u32) {}
}

/// What an earlier run of an upload left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftBehind {
    /// Chunks that are there.
    pub chunks: u64,
    /// Chunks that the file has.
    pub chunks_total: u64,
    /// The bytes of those that are there.
    pub bytes: u64,
    /// Whether they are compared with the source. Only then are they among those that [`Progress::advanced`] tells of.
    pub compared: bool,
}

/// Nobody listens.
impl Progress for () {
    fn started(&self, _: Option<u64>) {}
    fn advanced(&self, _: u64) {}
}
