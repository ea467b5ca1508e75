//! A stored chunk to another node: what catches up a copy that was left behind.
//!
//! The source checks every block as it leaves the disk; the target checks every block as it arrives.

use super::{Transfers, already_held, blocks_of, storage_node};
use crate::chunk_store::READ_BLOCKS_MAX;
use dfs_core::checksum::Digest;
use dfs_core::id::{ChunkId, Epoch};
use dfs_core::refusal::Refusal;
use dfs_core::wire::NodeAddress;
use dfs_core::wire::chunk::{ReplicaWritten, WriteReplica, WriteTrailer};
use dfs_transport::exchange::CallError;
use dfs_transport::peers::Class;
use tokio::time::Instant;

/// Why a copy failed.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The source does not hold the chunk, or cannot read it.
    #[error("the source cannot read the chunk: {0}")]
    Source(Refusal),
    /// The target did not take it.
    #[error("the target did not take the chunk: {0}")]
    Target(#[from] CallError),
    /// The target holds other bytes under the same name and epoch.
    #[error("the target holds other bytes for this chunk and epoch")]
    Conflict,
}

/// Copies a chunk from this node's store to `target`; answers its checksum once the target holds it durably.
pub async fn copy_to(
    transfers: &Transfers,
    chunk: ChunkId,
    epoch: Epoch,
    target: NodeAddress,
    deadline: Instant,
) -> Result<Digest, CopyError> {
    let source = |error| CopyError::Source(Refusal::from(error));
    let reader = transfers.store.read(chunk, epoch).await.map_err(source)?;
    let sums = reader.sums().clone();
    let checksum = sums.checksum();
    let request = WriteReplica { chunk, epoch, length: sums.length };
    let mut exchange = transfers.peers.open(&storage_node(target), Class::Bulk, &request, deadline).await?;
    match already_held(&mut exchange).await? {
        Some(held) if held == checksum => {}
        Some(_) => return Err(CopyError::Conflict),
        None => {
            let (mut block, blocks) = (0, blocks_of(sums.length));
            while block < blocks {
                let count = READ_BLOCKS_MAX.min(blocks - block);
                let payload = reader.next_blocks(block, count).await.map_err(source)?;
                block += count;
                exchange.send_payload(payload).await?;
            }
            exchange.send_message(&WriteTrailer { sums }).await?;
        }
    }
    let written: ReplicaWritten = exchange.receive_message().await?;
    exchange.finish().await?;
    if written.checksum == checksum { Ok(checksum) } else { Err(CopyError::Conflict) }
}
