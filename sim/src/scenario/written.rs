//! A file that a user has written: what must be read back.

use crate::cluster::User;
use crate::random::Random;
use bytes::Bytes;
use dfs_client::{ClientError, DownloadRequest, UploadRequest};
use dfs_core::name::FileName;
use dfs_core::unit::ChunkSize;
use dfs_core::wire::metadata::{FileInfo, FileTarget};

/// Small, so that a small file has many chunks.
const CHUNK_BYTES: u32 = 128 * 1024;

/// A file's name and content.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub(super) name: FileName,
    pub(super) bytes: Bytes,
}

/// Why a file could not be read, or should not have been.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("{name} was read back as {read} bytes that are not the {written} that were written")]
    OtherBytes { name: FileName, written: usize, read: usize },
}

impl Written {
    /// A file that is not written yet, of random bytes.
    pub(super) fn new(name: FileName, length: usize, random: &mut Random) -> Written {
        let mut bytes = vec![0; length];
        random.fill(&mut bytes);
        Written { name, bytes: bytes.into() }
    }

    /// Writes it.
    pub(super) async fn upload(&self, user: &User) -> Result<FileInfo, ClientError> {
        let mut request = UploadRequest::new(self.name.clone(), user.world().wall_clock.now());
        request.chunk_size = ChunkSize::try_from(CHUNK_BYTES).expect("the chunk size lies within its bounds");
        user.client().upload(self.bytes.clone(), request, &()).await
    }

    /// Reads it back by its name, and compares.
    pub(super) async fn check(&self, user: &User) -> Result<FileInfo, ReadError> {
        let mut read = Vec::new();
        let target = FileTarget::Name(self.name.clone());
        let info = user.client().download(target, &mut read, DownloadRequest::default(), &()).await?;
        if info.name == self.name && info.size == self.bytes.len() as u64 && read == self.bytes {
            return Ok(info);
        }
        Err(ReadError::OtherBytes { name: info.name, written: self.bytes.len(), read: read.len() })
    }
}
