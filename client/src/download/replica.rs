//! Reading a part of a chunk from one replica.
//!
//! What comes back has been checked: the list of the chunk's blocks leads to the checksum that metadata knows, and every
//! block is the one in the list.

use super::fetch::Wanted;
use super::locations::Location;
use super::race::Replica;
use crate::client::Inner;
use crate::error::TransferFailure;
use crate::flow::{self, PIECE_BYTES};
use crate::pace::Service;
use bytes::{Bytes, BytesMut};
use dfs_core::checksum::ChunkSums;
use dfs_core::id::Role;
use dfs_core::limit::BLOCK_BYTES;
use dfs_core::wire::chunk::{ReadAnswer, ReadChunk, ReadTrailer};
use dfs_transport::exchange::CallError;
use dfs_transport::peers::{Class, Destination};
use dfs_transport::world::Scope;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// How a read moves, for those who watch it.
#[derive(Debug)]
pub(super) struct Movement {
    begun: Instant,
    /// Microseconds until it moved last.
    last: AtomicU64,
    arrived: AtomicBool,
}

impl Movement {
    pub(super) fn new(begun: Instant) -> Movement {
        Movement { begun, last: AtomicU64::new(0), arrived: AtomicBool::new(false) }
    }

    /// When it moved last.
    pub(super) fn last(&self) -> Instant {
        self.begun + Duration::from_micros(self.last.load(Ordering::Relaxed))
    }

    /// Whether all its bytes have come.
    pub(super) fn has_arrived(&self) -> bool {
        self.arrived.load(Ordering::Relaxed)
    }

    fn moved(&self) {
        let micros = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.last.store(micros, Ordering::Relaxed);
    }
}

/// Reads a part of a chunk from one replica and checks it. Answers what the read took, too.
pub(super) async fn read_replica(
    client: &Inner,
    wanted: Wanted,
    location: &Location,
    (node, address): Replica,
    movement: &Movement,
) -> Result<(Bytes, Service), TransferFailure> {
    let address = address.ok_or(TransferFailure::NoAddress)?;
    let stall = client.settings.stall_timeout;
    let blocks = wanted.blocks();
    // Its turn may come late, but a node that is at others says so.
    let deadline = Instant::now() + client.settings.operation_timeout + flow::longest(blocks.length);
    let to = Destination { address, role: Role::Storage, node: Some(node) };
    let request =
        ReadChunk { chunk: wanted.chunk, epoch: location.epoch, offset: blocks.offset, length: blocks.length };
    let mut exchange = moving(stall, async {
        let mut exchange = client.peers.open(&to, Class::Bulk, &request, deadline).await?;
        exchange.finish().await?;
        Ok(exchange)
    })
    .await?;
    // For those who watch it, it stands still meanwhile: another replica may have room.
    let answer = loop {
        match moving(stall, exchange.receive_message()).await? {
            ReadAnswer::Waiting => {}
            ReadAnswer::Found(found) => break found,
        }
    };
    movement.moved();
    let first_byte = movement.begun.elapsed();
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
        movement.moved();
        bytes.extend_from_slice(&piece);
    }
    let trailer: ReadTrailer = moving(stall, exchange.receive_message()).await?;
    if trailer.length != blocks.length {
        return Err(TransferFailure::WrongBytes);
    }
    movement.arrived.store(true, Ordering::Relaxed);
    let flow = movement.begun.elapsed().saturating_sub(first_byte);
    let bytes = check_bytes(&client.world.scope, bytes.freeze(), blocks.offset, sums).await?;
    let from = (wanted.part.offset - blocks.offset) as usize;
    let service = Service { first_byte, flow, bytes: blocks.length };
    Ok((bytes.slice(from..from + wanted.part.length as usize), service))
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
