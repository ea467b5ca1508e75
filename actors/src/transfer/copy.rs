//! A stored chunk to another node: what catches up a copy that was left behind, and what repair makes.
//!
//! The source checks every block as it leaves the disk; the target checks every block as it arrives. For a copy that
//! repair orders, both compute the whole tree and compare it with what metadata knows, also where the target holds the
//! chunk already, and the target reads its copy back: no byte that was not verified becomes a copy that counts.

use super::read_back::read_back;
use super::{Transfers, already_held, blocks_of, storage_node};
use crate::chunk_store::READ_BLOCKS_MAX;
use dfs_core::checksum::{ChunkHasher, Digest};
use dfs_core::id::{ChunkId, Epoch};
use dfs_core::refusal::Refusal;
use dfs_core::wire::NodeAddress;
use dfs_core::wire::chunk::{ReplicaWritten, WriteReplica, WriteTrailer};
use dfs_transport::exchange::CallError;
use dfs_transport::peers::Class;
use tokio::time::Instant;

/// A copy to be made from what this node holds.
#[derive(Clone, Copy, Debug)]
pub struct CopyJob {
    /// The chunk.
    pub chunk: ChunkId,
    /// Its epoch.
    pub epoch: Epoch,
    /// Where it goes.
    pub target: NodeAddress,
    /// What its checksum must be, where metadata has told.
    pub expected: Option<Digest>,
}

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

/// Copies a chunk from this node's store to the target; answers its checksum once the target holds it durably.
pub async fn copy_to(transfers: &Transfers, job: CopyJob, deadline: Instant) -> Result<Digest, CopyError> {
    let CopyJob { chunk, epoch, target, expected } = job;
    let source = |error| CopyError::Source(Refusal::from(error));
    let reader = transfers.store.read(chunk, epoch).await.map_err(source)?;
    let sums = reader.sums().clone();
    let checksum = sums.checksum();
    if expected.is_some_and(|expected| expected != checksum) {
        tracing::error!(%chunk, %epoch, %checksum, ?expected, "a stored copy has another checksum than it should");
        return Err(CopyError::Source(Refusal::ChunkDamaged));
    }
    let request = WriteReplica { chunk, epoch, length: sums.length, expected };
    let mut exchange = transfers.peers.open(&storage_node(target), Class::Bulk, &request, deadline).await?;
    match already_held(&mut exchange).await? {
        // No byte has left this node's disk: its own copy is checked all the same, because the receipt speaks for both.
        Some(held) if held == checksum => {
            if let Some(expected) = expected {
                read_back(transfers, chunk, epoch, expected).await.map_err(CopyError::Source)?;
            }
        }
        Some(_) => return Err(CopyError::Conflict),
        None => {
            let mut hasher = expected.map(|_| ChunkHasher::new());
            let (mut block, blocks) = (0, blocks_of(sums.length));
            while block < blocks {
                let count = READ_BLOCKS_MAX.min(blocks - block);
                let payload = reader.next_blocks(block, count).await.map_err(source)?;
                block += count;
                if let Some(hasher) = &mut hasher {
                    hasher.update(&payload);
                }
                exchange.send_payload(payload).await?;
            }
            if hasher.is_some_and(|hasher| hasher.finish() != sums) {
                reader.found_damaged().await;
                tracing::error!(%chunk, %epoch, "a stored copy has other bytes than it should, and is not copied");
                return Err(CopyError::Source(Refusal::ChunkDamaged));
            }
            exchange.send_message(&WriteTrailer { sums }).await?;
        }
    }
    let written: ReplicaWritten = exchange.receive_message().await?;
    exchange.finish().await?;
    if written.checksum == checksum { Ok(checksum) } else { Err(CopyError::Conflict) }
}
