//! The bound on the chunk payload that one transfer keeps in memory.

use dfs_core::limit::{BLOCK_BYTES, CLIENT_IN_FLIGHT_BYTES};
use dfs_core::unit::ChunkSize;
use dfs_transport::world::Killed;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The memory of one transfer. Chunks get their share in the order of asking.
#[derive(Clone, Debug)]
pub(crate) struct InFlight(Arc<Semaphore>);

/// A share of the memory, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    _permit: OwnedSemaphorePermit,
}

impl InFlight {
    /// Room for so many chunks, as far as the bound allows, and for one in any case.
    pub(crate) fn new(chunk_size: ChunkSize, chunks: usize) -> InFlight {
        let chunk_bytes = chunk_size.bytes() as usize;
        let bytes = chunk_bytes.saturating_mul(chunks).min(CLIENT_IN_FLIGHT_BYTES).max(chunk_bytes);
        InFlight(Arc::new(Semaphore::new(blocks(bytes) as usize)))
    }

    /// Waits for the memory of a chunk of at most `bytes`.
    pub(crate) async fn take(&self, bytes: usize) -> Result<Share, Killed> {
        let permit = Arc::clone(&self.0).acquire_many_owned(blocks(bytes)).await.map_err(|_| Killed)?;
        Ok(Share { _permit: permit })
    }

    /// The memory of a chunk of at most `bytes`, if it is free.
    pub(crate) fn try_take(&self, bytes: usize) -> Option<Share> {
        let permit = Arc::clone(&self.0).try_acquire_many_owned(blocks(bytes)).ok()?;
        Some(Share { _permit: permit })
    }
}

/// Memory is counted in blocks.
fn blocks(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(BLOCK_BYTES as usize)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_holds_for_any_chunk_size_and_leaves_room_for_one() {
        let room = |chunk: u64, chunks| {
            InFlight::new(ChunkSize::try_from(chunk).unwrap(), chunks).0.available_permits() * BLOCK_BYTES as usize
        };
        assert_eq!(room(4 << 20, 8), 32 << 20);
        assert_eq!(room(64 << 20, 8), CLIENT_IN_FLIGHT_BYTES);
        assert_eq!(room(64 << 20, 0), 64 << 20);
        assert_eq!(room(64 << 10, 8), 512 << 10);
    }
}
