//! One replica's share of a primary's write: a task that sends what the primary receives, a little behind it.
//!
//! The primary never waits for a replica's network: it pushes into a buffer of
//! [`FORWARD_BUFFER_BYTES`] and learns through events what became of it. Dropping a forward resets its stream, so
//! that a replica never takes a chunk whose primary did not finish.

use super::{Transfers, already_held, storage_node};
use bytes::Bytes;
use dfs_core::checksum::{ChunkSums, Digest};
use dfs_core::id::NodeId;
use dfs_core::limit::FORWARD_BUFFER_BYTES;
use dfs_core::wire::NodeAddress;
use dfs_core::wire::chunk::{ReplicaWritten, WriteReplica, WriteTrailer};
use dfs_transport::exchange::CallError;
use dfs_transport::peers::Class;
use dfs_transport::world::OwnedTask;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout_at};

/// What a forward tells its primary.
#[derive(Debug)]
pub enum ForwardEvent {
    /// The replica takes the chunk.
    Accepted,
    /// The replica holds the chunk durably, with this checksum.
    Durable(Digest),
    /// The replica does not take the chunk.
    Failed(CallError),
}

/// Where a forward's events go, with the place of the replica among its siblings.
pub type Events = mpsc::UnboundedSender<(usize, ForwardEvent)>;

/// What the primary pushes.
enum Piece {
    Payload(Bytes),
    /// With when it was due.
    Trailer(ChunkSums, Instant),
}

/// The sending of one chunk to one replica.
pub struct Forward {
    /// The replica.
    pub node: NodeId,
    /// Whether the replica takes the chunk.
    pub accepted: bool,
    pieces: mpsc::UnboundedSender<Piece>,
    /// One permit for each byte that the buffer has room for; it bounds `pieces`.
    room: Arc<Semaphore>,
    #[allow(dead_code, reason = "held: the task ends, and its stream is reset, with the forward")]
    task: OwnedTask<()>,
}

/// The buffer had no room until the time given.
#[derive(Debug)]
pub struct Stalled;

impl Forward {
    /// Starts to offer a chunk to `replica`. Events carry `place`.
    #[must_use]
    pub fn open(
        transfers: &Transfers,
        replica: NodeAddress,
        request: WriteReplica,
        deadline: Instant,
        place: usize,
        events: Events,
    ) -> Forward {
        let (sender, pieces) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(FORWARD_BUFFER_BYTES));
        let (transfers_of_task, room_of_task) = (transfers.clone(), room.clone());
        let task = transfers.scope.spawn(async move {
            let sent =
                send(&transfers_of_task, replica, &request, deadline, place, &events, pieces, &room_of_task).await;
            let event = match sent {
                Ok(checksum) => ForwardEvent::Durable(checksum),
                Err(error) => ForwardEvent::Failed(error),
            };
            let _ = events.send((place, event));
        });
        Forward { node: replica.node, accepted: false, pieces: sender, room, task: task.owned() }
    }

    /// Buffers payload, waiting for room until `patience` ends. A piece must fit the buffer.
    pub async fn push(&self, payload: Bytes, patience: Instant) -> Result<(), Stalled> {
        let bytes = u32::try_from(payload.len().min(FORWARD_BUFFER_BYTES)).unwrap_or(u32::MAX);
        match timeout_at(patience, self.room.acquire_many(bytes)).await {
            Ok(Ok(permit)) => permit.forget(),
            // The semaphore is never closed.
            Ok(Err(_)) | Err(_) => return Err(Stalled),
        }
        // If the task has ended, its event is on the way.
        let _ = self.pieces.send(Piece::Payload(payload));
        Ok(())
    }

    /// Ends the payload: the primary found its own checksums to agree.
    pub fn complete(&self, sums: ChunkSums) {
        let _ = self.pieces.send(Piece::Trailer(sums, Instant::now()));
    }
}

#[allow(clippy::too_many_arguments, reason = "it is the body of one task, and these are all it captures")]
async fn send(
    transfers: &Transfers,
    replica: NodeAddress,
    request: &WriteReplica,
    deadline: Instant,
    place: usize,
    events: &Events,
    mut pieces: mpsc::UnboundedReceiver<Piece>,
    room: &Semaphore,
) -> Result<Digest, CallError> {
    let mut exchange = transfers.peers.open(&storage_node(replica), Class::Bulk, request, deadline).await?;
    let held = already_held(&mut exchange).await?;
    let _ = events.send((place, ForwardEvent::Accepted));
    while let Some(piece) = pieces.recv().await {
        match (piece, held) {
            (Piece::Payload(payload), None) => {
                let bytes = payload.len();
                exchange.send_payload(payload).await?;
                room.add_permits(bytes);
            }
            (Piece::Trailer(sums, due), None) => {
                exchange.send_message(&WriteTrailer { sums }).await?;
                let written: ReplicaWritten = exchange.receive_message().await?;
                transfers.record_pace(replica, due.elapsed());
                exchange.finish().await?;
                return Ok(written.checksum);
            }
            (Piece::Payload(payload), Some(_)) => room.add_permits(payload.len()),
            (Piece::Trailer(..), Some(checksum)) => return Ok(checksum),
        }
    }
    // The primary gave up; nobody listens any more.
    Err(CallError::Broken)
}
