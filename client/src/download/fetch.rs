//! Reading a part of one chunk from whichever replica gives the right bytes first.
//!
//! Replicas are asked in order, as [`Race`] decides: one that refuses, breaks off or sends other bytes is replaced by the
//! next at once, and one that is late gets another beside it; the first to deliver wins, and the others are cancelled. If
//! none is left, metadata is asked again where the chunk is, because repair may have moved it meanwhile.
//!
//! Each further read at a time takes its memory from the transfer's. Where none is left, the one that stands still for
//! longest gives its own.

use super::locations::{Location, Locations};
use super::race::{Race, Step};
use super::replica::{Movement, read_replica};
use crate::backoff::Backoff;
use crate::client::Inner;
use crate::error::{ClientError, TransferFailure};
use crate::in_flight::{InFlight, Share};
use crate::standing::Rank;
use bytes::Bytes;
use dfs_core::id::{ChunkId, NodeId};
use dfs_core::range::Part;
use dfs_core::refusal::Refusal;
use dfs_transport::exchange::CallError;
use futures_util::future::{AbortHandle, Abortable};
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::time::{Instant, sleep, sleep_until};

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

/// The reads that run, and how to stop them.
type Running = BTreeMap<NodeId, (Arc<Movement>, AbortHandle)>;

/// Why each replica failed last.
type Failures = BTreeMap<NodeId, TransferFailure>;

/// Reads a part of a chunk, from any replica. The caller has taken the memory for it; what is read beside it takes its
/// own of `in_flight`.
pub(super) async fn fetch_part(
    client: &Inner,
    wanted: Wanted,
    locations: &Locations,
    in_flight: &InFlight,
) -> Result<Bytes, ClientError> {
    const UNKNOWN: ClientError = ClientError::Nonsense("a chunk of the file is not known");
    let begun = Instant::now();
    let (file, index) = (wanted.chunk.file, wanted.chunk.index);
    let mut backoff = Backoff::storage();
    let mut failures = Failures::new();
    let mut location = locations.find(index, &client.standing.ranks(begun)).ok_or(UNKNOWN)?;
    for round in 1.. {
        if let Some(bytes) = race_once(client, wanted, &location, in_flight, &mut failures).await {
            return Ok(bytes);
        }
        let hopeless = round >= ROUNDS_MIN && failures.values().all(is_lasting);
        if hopeless || begun.elapsed() >= client.settings.read_timeout {
            break;
        }
        sleep(client.world.entropy.jitter(backoff.next())).await;
        let again = Locations::of(client, file, index.group(), 1).await?;
        location = again.find(index, &client.standing.ranks(Instant::now())).ok_or(UNKNOWN)?;
    }
    Err(ClientError::ChunkUnreadable { chunk: wanted.chunk, attempts: failures.into_iter().collect() })
}

/// Reads from the replicas until one delivers or all have failed.
async fn race_once(
    client: &Inner,
    wanted: Wanted,
    location: &Location,
    in_flight: &InFlight,
    failures: &mut Failures,
) -> Option<Bytes> {
    let length = wanted.blocks().length;
    let mut race = Race::new(&location.replicas, client.pace.begin(length), client.settings.read_patience);
    let mut reads = FuturesUnordered::new();
    let mut running = Running::new();
    // The memory of every read but one, which is the caller's.
    let mut further: Vec<Share> = Vec::new();
    loop {
        let now = Instant::now();
        watch(&mut race, &running);
        let leave = |late: &[NodeId], next: NodeId| {
            has_room(running.len(), &mut further, in_flight, length)
                && (is_better(&client.standing.ranks(now), late, next) || client.pace.spend())
        };
        let step = race.next_step(now, leave);
        let until = match step {
            Step::Over => return None,
            Step::Wait(until) => until,
            Step::Begin(replica) => {
                if !has_room(running.len(), &mut further, in_flight, length)
                    && let Some((node, (_, stop))) = race.stillest().and_then(|node| running.remove_entry(&node))
                {
                    stop.abort();
                    race.give_up(node);
                    client.standing.overtaken(node, now);
                }
                let movement = Arc::new(Movement::new(now));
                let (stop, registration) = AbortHandle::new_pair();
                running.insert(replica.0, (Arc::clone(&movement), stop));
                let reading =
                    async move { (replica.0, read_replica(client, wanted, location, replica, &movement).await) };
                reads.push(Abortable::new(Box::pin(reading), registration));
                continue;
            }
        };
        let ended = tokio::select! {
            biased;
            Some(ended) = reads.next() => ended,
            () = sleep_until(until.unwrap_or(now)), if until.is_some() => continue,
        };
        // One that was given up is not counted any more.
        let Ok((node, outcome)) = ended else { continue };
        let now = Instant::now();
        running.remove(&node);
        match outcome {
            Ok((bytes, service)) => {
                watch(&mut race, &running);
                for slow in race.overtaken_by(node, now) {
                    tracing::debug!(chunk = %wanted.chunk, node = %slow, by = %node, "a replica was overtaken");
                    client.standing.overtaken(slow, now);
                }
                client.standing.served(node, &service, now);
                client.pace.served(&service);
                return Some(bytes);
            }
            Err(failure) => {
                tracing::info!(chunk = %wanted.chunk, %node, %failure, "a replica could not be read; trying on");
                if is_fault_of_node(&failure) {
                    client.standing.blame(node, now);
                }
                failures.insert(node, failure);
                race.handle_failed(node);
            }
        }
    }
}

/// Tells the race how its runners move.
fn watch(race: &mut Race, running: &Running) {
    for (node, (movement, _)) in running {
        race.handle_moved(*node, movement.last(), movement.has_arrived());
    }
}

/// Whether there is memory for one more read than are running, taking it if need be.
fn has_room(running: usize, further: &mut Vec<Share>, in_flight: &InFlight, length: u32) -> bool {
    if running > further.len() {
        further.extend(in_flight.try_take(length as usize));
    }
    running <= further.len()
}

/// Whether the next node has not been found wanting while all that are late have: reading from it costs nothing that
/// was well spent.
fn is_better(ranks: &BTreeMap<NodeId, Rank>, late: &[NodeId], next: NodeId) -> bool {
    let rank = |node: &NodeId| ranks.get(node).copied().unwrap_or(Rank::Good);
    rank(&next) == Rank::Good && late.iter().all(|node| rank(node) != Rank::Good)
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
