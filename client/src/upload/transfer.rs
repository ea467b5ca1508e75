//! Sending one chunk to its primary.
//!
//! An acknowledgement is believed only if it fits: the checksum is our own, and at least as many different nodes of
//! the placement hold the chunk as a write needs.

use super::cutter::Chunk;
use super::plan::Send;
use crate::error::TransferFailure;
use crate::settings::ClientSettings;
use bytes::Bytes;
use dfs_core::id::{NodeId, Role};
use dfs_core::wire::chunk::{ChunkWritten, WriteAnswer, WriteChunk, WriteTrailer};
use dfs_transport::exchange::{CallError, Exchange};
use dfs_transport::peers::{Class, Destination, Peers};
use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Bytes that are handed to the transport at once: progress is noticed in steps of this size.
const PIECE_BYTES: usize = 256 * 1024;
/// The slowest transfer that is worth waiting for, in bytes per second.
const BYTES_PER_SECOND_MIN: u32 = 256 * 1024;

/// Sends a chunk and waits until enough nodes have it durably.
pub(super) async fn write_chunk(
    peers: &Peers,
    settings: &ClientSettings,
    send: &Send,
    chunk: &Chunk,
) -> Result<ChunkWritten, TransferFailure> {
    let stall = settings.stall_timeout;
    let seconds = u64::from(send.request.length / BYTES_PER_SECOND_MIN);
    let deadline = Instant::now() + 4 * stall + Duration::from_secs(seconds);
    let primary = send.primary;
    let to = Destination { address: primary.address, role: Role::Storage, node: Some(primary.node) };
    let patience = settings.answer_timeout.min(stall);
    let mut exchange = moving(patience, peers.open(&to, Class::Bulk, &send.request, deadline)).await?;
    match moving(patience, exchange.receive_message()).await? {
        WriteAnswer::Held { checksum } if checksum != chunk.sums.checksum() => return Err(TransferFailure::Conflict),
        WriteAnswer::Held { .. } => {}
        WriteAnswer::Send => send_bytes(&mut exchange, stall, chunk).await?,
    }
    // Durability may wait for a busy disk, so it gets twice the patience of a step that only needs the network.
    let written: ChunkWritten = moving(2 * stall, exchange.receive_message()).await?;
    check_written(&send.request, primary.node, chunk, &written)?;
    Ok(written)
}

async fn send_bytes(exchange: &mut Exchange, stall: Duration, chunk: &Chunk) -> Result<(), TransferFailure> {
    for piece in &chunk.pieces {
        for part in parts(piece) {
            moving(stall, exchange.send_payload(part)).await?;
        }
    }
    moving(stall, exchange.send_message(&WriteTrailer { sums: chunk.sums.clone() })).await?;
    moving(stall, exchange.finish()).await
}

/// Cuts a piece without copying it.
fn parts(piece: &Bytes) -> impl Iterator<Item = Bytes> {
    (0..piece.len()).step_by(PIECE_BYTES).map(|start| piece.slice(start..piece.len().min(start + PIECE_BYTES)))
}

/// Waits for one step of a transfer, but not for ever.
async fn moving<T>(stall: Duration, step: impl Future<Output = Result<T, CallError>>) -> Result<T, TransferFailure> {
    Ok(timeout(stall, step).await.map_err(|_| TransferFailure::Stalled)??)
}

/// Refuses an acknowledgement that does not say what was asked for.
fn check_written(
    request: &WriteChunk,
    primary: NodeId,
    chunk: &Chunk,
    written: &ChunkWritten,
) -> Result<(), TransferFailure> {
    if written.checksum != chunk.sums.checksum() {
        return Err(TransferFailure::WrongBytes);
    }
    let placed: BTreeSet<NodeId> = request.replicas.iter().map(|replica| replica.node).chain([primary]).collect();
    let holders: BTreeSet<NodeId> = written.holders.iter().copied().collect();
    let fits = holders.len() == written.holders.len() && holders.is_subset(&placed);
    if !fits || holders.len() < usize::from(request.write_quorum) {
        return Err(TransferFailure::TooFewCopies {
            acknowledged: holders.intersection(&placed).count(),
            needed: request.write_quorum,
        });
    }
    Ok(())
}
