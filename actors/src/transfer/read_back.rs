//! A stored chunk, read back and checked against what metadata knows of it: what makes a copy a verified one.

use super::{Transfers, blocks_of};
use crate::chunk_store::READ_BLOCKS_MAX;
use dfs_core::checksum::{ChunkHasher, Digest};
use dfs_core::id::{ChunkId, Epoch};
use dfs_core::refusal::Refusal;

/// Reads the whole chunk from this node's store and computes its tree.
///
/// # Errors
/// [`Refusal::ChunkMissing`]; [`Refusal::ChunkDamaged`] if it is not what it should be; or why the store cannot tell.
pub async fn read_back(
    transfers: &Transfers,
    chunk: ChunkId,
    epoch: Epoch,
    expected: Digest,
) -> Result<Digest, Refusal> {
    let reader = transfers.store.read(chunk, epoch).await?;
    let mut hasher = ChunkHasher::new();
    let (mut block, blocks) = (0, blocks_of(reader.sums().length));
    while block < blocks {
        let count = READ_BLOCKS_MAX.min(blocks - block);
        hasher.update(&reader.next_blocks(block, count).await?);
        block += count;
    }
    let found = hasher.finish();
    if found != *reader.sums() {
        reader.found_damaged().await;
    } else if found.checksum() == expected {
        return Ok(expected);
    }
    tracing::error!(%chunk, %epoch, %expected, found = %found.checksum(), "a stored copy has other bytes than it should");
    Err(Refusal::ChunkDamaged)
}
