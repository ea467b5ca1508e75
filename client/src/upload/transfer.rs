//! Sending one chunk to its primary.
//!
//! An acknowledgement is believed only if it fits: the checksum is our own, and at least as many different nodes of
//! the placement hold the chunk as a write needs.
//!
//! A primary that waits for its disk or its replicas says so every quarter of a second. So one that is silent is gone or
//! hangs, and is left soon; one that lives may take its time, unless others are quicker.

use super::cutter::Chunk;
use super::plan::Send;
use crate::client::Inner;
use crate::error::TransferFailure;
use crate::flow::{self, PIECE_BYTES};
use bytes::Bytes;
use dfs_core::id::{NodeId, Role};
use dfs_core::wire::chunk::{ChunkWritten, WriteAnswer, WriteChunk, WriteReply, WriteTrailer};
use dfs_transport::exchange::{CallError, SendHalf};
use dfs_transport::peers::{Class, Destination};
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout};

/// How long the reason of a primary that stopped the sender may take.
const REASON_WAIT: Duration = Duration::from_millis(500);
/// How often a transfer that makes no progress is compared with others.
const LOOK: Duration = Duration::from_millis(100);

/// Sends a chunk and waits until enough nodes have it durably.
pub(super) async fn write_chunk(client: &Inner, send: &Send, chunk: &Chunk) -> Result<ChunkWritten, TransferFailure> {
    let (pulse, begun) = (Pulse::new(send.patience), Instant::now());
    let primary = send.primary.node;
    let written = tokio::select! {
        biased;
        written = deliver(client, send, chunk, &pulse) => written?,
        () = pulse.stop() => return Err(TransferFailure::Stalled),
        () = pulse.fall_behind(|since| client.standing.others_are_quicker(primary, since, Instant::now())) => {
            return Err(TransferFailure::Stalled);
        }
    };
    check_written(&send.request, primary, chunk, &written)?;
    client.standing.stored(primary, begun.elapsed(), Instant::now());
    Ok(written)
}

async fn deliver(client: &Inner, send: &Send, chunk: &Chunk, pulse: &Pulse) -> Result<ChunkWritten, TransferFailure> {
    let deadline = Instant::now() + 4 * client.settings.stall_timeout + flow::longest(send.request.length);
    let primary = send.primary;
    let to = Destination { address: primary.address, role: Role::Storage, node: Some(primary.node) };
    let mut exchange = client.peers.open(&to, Class::Bulk, &send.request, deadline).await?;
    pulse.progress();
    let is_wanted = loop {
        match exchange.receive_message().await? {
            WriteAnswer::Waiting => pulse.beat(),
            WriteAnswer::Held { checksum } if checksum != chunk.sums.checksum() => {
                return Err(TransferFailure::Conflict);
            }
            WriteAnswer::Held { .. } => break false,
            WriteAnswer::Send => break true,
        }
    };
    pulse.progress();
    let (mut to_primary, mut from_primary) = exchange.into_split();
    let sending = async {
        if is_wanted {
            send_bytes(&mut to_primary, chunk, pulse).await?;
        }
        Ok::<(), CallError>(())
    };
    let listening = async {
        loop {
            match from_primary.receive_message().await? {
                WriteReply::Waiting => pulse.beat(),
                WriteReply::Written(written) => return Ok::<ChunkWritten, CallError>(written),
            }
        }
    };
    tokio::pin!(sending, listening);
    tokio::select! {
        biased;
        written = &mut listening => return Ok(written?),
        sent = &mut sending => {
            if let Err(broken) = sent {
                // A primary that refuses stops the sender; its reason is on the way.
                return match timeout(REASON_WAIT, listening).await {
                    Ok(Err(reason @ CallError::Refused(_))) => Err(reason.into()),
                    _ => Err(broken.into()),
                };
            }
        }
    }
    Ok(listening.await?)
}

async fn send_bytes(to_primary: &mut SendHalf, chunk: &Chunk, pulse: &Pulse) -> Result<(), CallError> {
    for piece in &chunk.pieces {
        for part in parts(piece) {
            to_primary.send_payload(part).await?;
            pulse.progress();
        }
    }
    to_primary.send_message(&WriteTrailer { sums: chunk.sums.clone() }).await?;
    pulse.progress();
    to_primary.finish()
}

/// The signs of life of a primary, and the progress that it lets the transfer make.
#[derive(Debug)]
struct Pulse {
    patience: Duration,
    seen: Mutex<Seen>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    beat: Instant,
    progress: Instant,
}

impl Pulse {
    fn new(patience: Duration) -> Pulse {
        let now = Instant::now();
        Pulse { patience, seen: Mutex::new(Seen { beat: now, progress: now }) }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The primary lives.
    fn beat(&self) {
        self.seen().beat = Instant::now();
    }

    /// The primary lives, and the transfer goes on.
    fn progress(&self) {
        let now = Instant::now();
        *self.seen() = Seen { beat: now, progress: now };
    }

    /// Ends when the primary has given no sign of life for too long.
    async fn stop(&self) {
        loop {
            let end = self.seen().beat + self.patience;
            if end <= Instant::now() {
                return;
            }
            sleep_until(end).await;
        }
    }

    /// Ends when the transfer has made no progress for too long, and others have meanwhile, as `others` says of the
    /// time since the last progress. A node that lives but whose disk hangs is left so, and not where all are slow.
    async fn fall_behind(&self, others: impl Fn(Instant) -> bool) {
        loop {
            let since = self.seen().progress;
            let end = since + self.patience;
            let now = Instant::now();
            if end <= now && others(since) {
                return;
            }
            sleep_until(end.max(now + LOOK)).await;
        }
    }
}

/// Cuts a piece without copying it.
fn parts(piece: &Bytes) -> impl Iterator<Item = Bytes> {
    (0..piece.len()).step_by(PIECE_BYTES).map(|start| piece.slice(start..piece.len().min(start + PIECE_BYTES)))
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
