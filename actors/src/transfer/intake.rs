//! The way from a stream to the disk: small pieces as they arrive, gathered until they are worth a write.

use crate::chunk_store::{ChunkWriter, StoreError};
use bytes::Bytes;
use dfs_core::checksum::ChunkSums;
use dfs_core::limit::WRITE_PIECE_BYTES;

/// A chunk on its way to the store.
pub struct Intake {
    writer: ChunkWriter,
    pieces: Vec<Bytes>,
    gathered: usize,
}

impl Intake {
    /// Begins with nothing.
    #[must_use]
    pub fn new(writer: ChunkWriter) -> Intake {
        Intake { writer, pieces: Vec::new(), gathered: 0 }
    }

    /// Takes the next bytes of the chunk; waits where the disk is behind.
    ///
    /// # Errors
    /// The store does not take them.
    pub async fn push(&mut self, payload: Bytes) -> Result<(), StoreError> {
        self.gathered += payload.len();
        self.pieces.push(payload);
        if self.gathered >= WRITE_PIECE_BYTES { self.flush().await } else { Ok(()) }
    }

    /// Makes the chunk durable under the checksums that the caller found to be its own.
    ///
    /// # Errors
    /// The store does not take it; nothing of it is visible then.
    pub async fn seal(mut self, sums: &ChunkSums) -> Result<(), StoreError> {
        self.flush().await?;
        self.writer.seal(sums).await
    }

    async fn flush(&mut self) -> Result<(), StoreError> {
        self.gathered = 0;
        match std::mem::take(&mut self.pieces) {
            pieces if pieces.is_empty() => Ok(()),
            pieces => self.writer.write(pieces).await,
        }
    }
}
