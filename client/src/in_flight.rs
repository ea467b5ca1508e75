//! The bound on the chunk payload that transfers keep in memory.

use dfs_core::limit::{BLOCK_BYTES, CLIENT_IN_FLIGHT_BYTES};
use dfs_core::unit::ChunkSize;
use dfs_transport::world::Killed;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The memory of several transfers together: 64 MiB. Clones are the same memory.
#[derive(Clone, Debug)]
pub struct TransferMemory(Arc<Semaphore>);

/// The memory of one transfer. Chunks get their share in the order of asking.
#[derive(Clone, Debug)]
pub(crate) struct InFlight {
    own: Arc<Semaphore>,
    /// What it has in common with other transfers.
    common: Option<Arc<Semaphore>>,
}

/// A share of the memory, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    _own: OwnedSemaphorePermit,
    _common: Option<OwnedSemaphorePermit>,
}

impl Default for TransferMemory {
    fn default() -> TransferMemory {
        TransferMemory(Arc::new(Semaphore::new(blocks(CLIENT_IN_FLIGHT_BYTES) as usize)))
    }
}

impl InFlight {
    /// Room for so many chunks, as far as the bound allows, and for one in any case.
    pub(crate) fn new(chunk_size: ChunkSize, chunks: usize) -> InFlight {
        let chunk_bytes = chunk_size.bytes() as usize;
        let bytes = chunk_bytes.saturating_mul(chunks).min(CLIENT_IN_FLIGHT_BYTES).max(chunk_bytes);
        InFlight { own: Arc::new(Semaphore::new(blocks(bytes) as usize)), common: None }
    }

    /// The same, within what several transfers have together.
    pub(crate) fn within(self, memory: Option<&TransferMemory>) -> InFlight {
        InFlight { common: memory.map(|memory| Arc::clone(&memory.0)), ..self }
    }

    /// Waits for the memory of a chunk of at most `bytes`.
    pub(crate) async fn take(&self, bytes: usize) -> Result<Share, Killed> {
        let own = Arc::clone(&self.own).acquire_many_owned(blocks(bytes)).await.map_err(|_| Killed)?;
        let common = match &self.common {
            Some(common) => Some(Arc::clone(common).acquire_many_owned(blocks(bytes)).await.map_err(|_| Killed)?),
            None => None,
        };
        Ok(Share { _own: own, _common: common })
    }

    /// The memory of a chunk of at most `bytes`, if it is free.
    pub(crate) fn try_take(&self, bytes: usize) -> Option<Share> {
        let own = Arc::clone(&self.own).try_acquire_many_owned(blocks(bytes)).ok()?;
        let common = match &self.common {
            Some(common) => Some(Arc::clone(common).try_acquire_many_owned(blocks(bytes)).ok()?),
            None => None,
        };
        Some(Share { _own: own, _common: common })
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
            InFlight::new(ChunkSize::try_from(chunk).unwrap(), chunks).own.available_permits() * BLOCK_BYTES as usize
        };
        assert_eq!(room(4 << 20, 8), 32 << 20);
        assert_eq!(room(64 << 20, 8), CLIENT_IN_FLIGHT_BYTES);
        assert_eq!(room(64 << 20, 0), 64 << 20);
        assert_eq!(room(64 << 10, 8), 512 << 10);
    }

    #[test]
    fn transfers_share_what_they_have_together() {
        let memory = TransferMemory::default();
        let size = ChunkSize::try_from(16_u64 << 20).unwrap();
        let transfers: Vec<InFlight> = (0..3).map(|_| InFlight::new(size, 2).within(Some(&memory))).collect();
        let mut shares: Vec<Share> = Vec::new();
        for transfer in &transfers {
            shares.extend((0..4).map_while(|_| transfer.try_take(16 << 20)));
        }
        // Two each of the first two; the third finds nothing left.
        assert_eq!(shares.len() * (16 << 20), CLIENT_IN_FLIGHT_BYTES);
        assert!(transfers[2].try_take(1).is_none());
        shares.pop();
        assert!(transfers[2].try_take(16 << 20).is_some());
    }
}
