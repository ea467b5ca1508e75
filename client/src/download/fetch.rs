//! Reading one chunk from whichever replica gives the right bytes.
//!
//! Replicas are tried in order. One that refuses, breaks off, is slow or sends other bytes is replaced by the next at
//! once; if none is left, metadata is asked again where the chunk is, because repair may have moved it meanwhile. Only
//! bytes of whole blocks whose digests lead to the checksum that metadata knows are ever returned.

use super::locations::{Location, Locations};
use crate::backoff::Backoff;
use crate::client::Inner;
use crate::error::{ClientError, TransferFailure};
use bytes::{Bytes, BytesMut};
use dfs_core::checksum::ChunkSums;
use dfs_core::id::{ChunkId, NodeId, Role};
use dfs_core::limit::BLOCK_BYTES;
use dfs_core::range::Part;
use dfs_core::refusal::Refusal;
use dfs_core::wire::chunk::{ReadAnswer, ReadChunk, ReadTrailer};
use dfs_transport::exchange::CallError;
use dfs_transport::peers::{Class, Destination};
use dfs_transport::world::Scope;
use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Bytes that are taken from the transport at once at most.
const PIECE_BYTES: usize = 256 * 1024;
/// The slowest transfer that is worth waiting for, in bytes per second.
const BYTES_PER_SECOND_MIN: u32 = 256 * 1024;
/// Rounds over all replicas before faults that time does not heal are believed.
const ROUNDS_MIN: u32 = 2;

/// A part of one chunk to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// The chunk's name.
    pub(super) chunk: ChunkId,
    /// The chunk's bytes.
    pub(super) chunk_length: u32,
    /// The bytes of it that are wanted.
    pub(super) part: Part,
}

impl Wanted {
    /// The whole blocks that must be read for it.
    pub(super) fn blocks(&self) -> Part {
        self.part.blocks(self.chunk_length)
    }
}

/// Reads a part of a chunk, from any replica.
pub(super) async fn fetch_part(client: &Inner, wanted: Wanted, locations: &Locations) -> Result<Bytes, ClientError> {
    const UNKNOWN: ClientError = ClientError::Nonsense("a chunk of the file is not known");
    let begun = Instant::now();
    let (file, index) = (wanted.chunk.file, wanted.chunk.index);
    let mut backoff = Backoff::storage();
    let mut failures: BTreeMap<NodeId, TransferFailure> = BTreeMap::new();
    let mut location = locations.find(index, &client.standing.blamed(begun)).ok_or(UNKNOWN)?;
    // The first round looks for a replica that is quick; later ones are content with one that answers at all.
    let mut patience = client.settings.first_byte_timeout;
    for round in 1.. {
        for (node, address) in &location.replicas {
            match read_replica(client, wanted, &location, *node, *address, patience).await {
                Ok(bytes) => {
                    client.standing.praise(*node);
                    return Ok(bytes);
                }
                Err(failure) => {
                    tracing::info!(chunk = %wanted.chunk, %node, %failure, "a replica could not be read; trying on");
                    if is_fault_of_node(&failure) {
                        client.standing.blame(*node, Instant::now());
                    }
                    failures.insert(*node, failure);
                }
            }
        }
        let hopeless = round >= ROUNDS_MIN && failures.values().all(is_lasting);
        if hopeless || begun.elapsed() >= client.settings.read_timeout {
            break;
        }
        sleep(client.world.entropy.jitter(backoff.next())).await;
        let again = Locations::of(client, file, index.group(), 1).await?;
        location = again.find(index, &client.standing.blamed(Instant::now())).ok_or(UNKNOWN)?;
        patience = client.settings.stall_timeout;
    }
    Err(ClientError::ChunkUnreadable { chunk: wanted.chunk, attempts: failures.into_iter().collect() })
}

/// Reads a part of a chunk from one replica and checks it.
async fn read_replica(
    client: &Inner,
    wanted: Wanted,
    location: &Location,
    node: NodeId,
    address: Option<SocketAddr>,
    patience: Duration,
) -> Result<Bytes, TransferFailure> {
    let address = address.ok_or(TransferFailure::NoAddress)?;
    let stall = client.settings.stall_timeout;
    let blocks = wanted.blocks();
    let seconds = u64::from(blocks.length / BYTES_PER_SECOND_MIN);
    let deadline = Instant::now() + patience + 2 * stall + Duration::from_secs(seconds);
    let to = Destination { address, role: Role::Storage, node: Some(node) };
    let request =
        ReadChunk { chunk: wanted.chunk, epoch: location.epoch, offset: blocks.offset, length: blocks.length };
    let (mut exchange, answer) = moving(patience, async {
        let mut exchange = client.peers.open(&to, Class::Bulk, &request, deadline).await?;
        exchange.finish().await?;
        let answer: ReadAnswer = exchange.receive_message().await?;
        Ok((exchange, answer))
    })
    .await?;
    let sums = answer.sums;
    let fits = sums.check_shape().is_ok()
        && (sums.length, answer.offset, answer.length) == (wanted.chunk_length, blocks.offset, blocks.length)
        && sums.checksum() == location.checksum;
    if !fits {
        return Err(TransferFailure::WrongBytes);
    }
    exchange.expect_payload(u64::from(blocks.length));
    let mut bytes = BytesMut::with_capacity(blocks.length as usize);
    while let Some(piece) = moving(stall, exchange.receive_payload(PIECE_BYTES)).await? {
        bytes.extend_from_slice(&piece);
    }
    let trailer: ReadTrailer = moving(stall, exchange.receive_message()).await?;
    if trailer.length != blocks.length {
        return Err(TransferFailure::WrongBytes);
    }
    let bytes = check_bytes(&client.world.scope, bytes.freeze(), blocks.offset, sums).await?;
    let from = (wanted.part.offset - blocks.offset) as usize;
    Ok(bytes.slice(from..from + wanted.part.length as usize))
}

/// Lets whole blocks pass only if they are those of the sums, from `offset` on.
async fn check_bytes(scope: &Scope, bytes: Bytes, offset: u32, sums: ChunkSums) -> Result<Bytes, TransferFailure> {
    let cheap = bytes.len() <= BLOCK_BYTES as usize;
    let check = move || if sums.are_blocks_at(offset, &bytes) { Ok(bytes) } else { Err(TransferFailure::WrongBytes) };
    if cheap { check() } else { scope.blocking(check).await.unwrap_or(Err(TransferFailure::Stalled)) }
}

/// Waits for one step of a transfer, but not for ever.
async fn moving<T>(patience: Duration, step: impl Future<Output = Result<T, CallError>>) -> Result<T, TransferFailure> {
    Ok(timeout(patience, step).await.map_err(|_| TransferFailure::Stalled)??)
}

/// Whether a failure says something of the node's other chunks too.
fn is_fault_of_node(failure: &TransferFailure) -> bool {
    match failure {
        TransferFailure::Call(CallError::Refused(refusal)) => {
            matches!(refusal, Refusal::Stopping | Refusal::StoreFailed | Refusal::Internal)
        }
        TransferFailure::Call(_) | TransferFailure::Stalled => true,
        _ => false,
    }
}

/// Whether a replica that failed so will fail so again.
fn is_lasting(failure: &TransferFailure) -> bool {
    match failure {
        TransferFailure::Call(error) => !error.is_retryable(),
        TransferFailure::WrongBytes | TransferFailure::NoAddress => true,
        _ => false,
    }
}
