//! Transfers: the streams that carry chunks, one task each.
//!
//! A transfer is admitted by the `ChunkStoreActor` and runs in a task of its own: it moves bytes between a stream and
//! the chunk store, and no byte passes a mailbox. What it must tell an actor (copies still pending, reports that
//! missed their client) it tells through [`Transfers`].
//!
//! - [`primary_write`]: a client's chunk, stored and forwarded at once.
//! - [`replica_write`]: a forwarded or copied chunk, stored.
//! - [`read`]: a chunk's bytes, checked block by block as they leave the disk.
//! - [`held`]: what there is of a group, for an upload that is resumed.
//! - [`copy`]: a stored chunk, sent to another node.
//! - [`read_back`]: a stored chunk, checked against what metadata knows of it.
//! - [`forward`]: one replica's share of a primary's write.

pub mod copy;
pub mod forward;
pub mod held;
mod intake;
pub mod primary_write;
pub mod read;
pub mod read_back;
pub mod replica_write;

use crate::chunk_store::ChunkStore;
use crate::heartbeat::HeartbeatHandle;
use crate::replicator::ReplicatorHandle;
use dfs_core::checksum::Digest;
use dfs_core::id::{NodeId, Role};
use dfs_core::limit::BLOCK_BYTES;
use dfs_core::refusal::Refusal;
use dfs_core::slowness::{Paces, SlowPeer};
use dfs_core::wire::NodeAddress;
use dfs_core::wire::chunk::WriteAnswer;
use dfs_transport::exchange::{CallError, Exchange};
use dfs_transport::peers::{Destination, Peers};
use dfs_transport::world::{Entropy, Scope};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// What every transfer of a storage node shares.
#[derive(Clone)]
pub struct Transfers {
    /// The owner of the transfers' tasks.
    pub scope: Scope,
    /// What back-offs are drawn from.
    pub entropy: Entropy,
    /// This node.
    pub node: NodeId,
    /// Its chunks.
    pub store: ChunkStore,
    /// The way to other storage nodes.
    pub peers: Peers,
    /// Who catches up copies that were left behind.
    pub replicator: ReplicatorHandle,
    /// Who tells metadata what its client could not.
    pub heartbeat: HeartbeatHandle,
    /// How long other storage nodes take.
    pub paces: PeerPaces,
}

/// How long other storage nodes take for copies, as this one sees it. Clones are the same.
#[derive(Clone, Debug)]
pub struct PeerPaces {
    started: Instant,
    paces: Arc<Mutex<Paces>>,
}

impl Default for PeerPaces {
    fn default() -> PeerPaces {
        PeerPaces { started: Instant::now(), paces: Arc::default() }
    }
}

impl PeerPaces {
    /// The peers that are slow for this node.
    #[must_use]
    pub fn slow(&self) -> Vec<SlowPeer> {
        self.paces.lock().unwrap_or_else(PoisonError::into_inner).slow(self.started.elapsed())
    }
}

impl Transfers {
    /// A replica took so long, after its last byte was there, or was given up after so long.
    fn record_pace(&self, replica: NodeAddress, took: Duration) {
        let round_trip = self.peers.round_trip(&storage_node(replica)).unwrap_or_default();
        let now = self.paces.started.elapsed();
        let mut paces = self.paces.paces.lock().unwrap_or_else(PoisonError::into_inner);
        paces.record(replica.node, took, round_trip, now);
    }
}

/// Why a transfer ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The peer is told why.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The peer is gone, late or garbled: there is nobody to tell.
    #[error(transparent)]
    Lost(#[from] CallError),
}

/// Where a storage node of a placement is reached, and who it must prove to be.
fn storage_node(address: NodeAddress) -> Destination {
    Destination { address: address.address, role: Role::Storage, node: Some(address.node) }
}

/// Whether a replica that was offered a chunk wants its bytes: it says the checksum of what it holds, if it does not.
async fn already_held(exchange: &mut Exchange) -> Result<Option<Digest>, CallError> {
    loop {
        match exchange.receive_message().await? {
            WriteAnswer::Waiting => {}
            WriteAnswer::Send => return Ok(None),
            WriteAnswer::Held { checksum } => return Ok(Some(checksum)),
        }
    }
}

/// How many blocks `length` bytes of a chunk have.
fn blocks_of(length: u32) -> u32 {
    length.div_ceil(BLOCK_BYTES)
}
