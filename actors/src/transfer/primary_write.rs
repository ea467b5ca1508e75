//! A client's chunk at its primary: stored and forwarded while it arrives (cut-through, as the pipelined writes of
//! GFS, section 3.2, Ghemawat et al. 2003, but in a star).
//!
//! 1. W − 1 replicas must accept before payload flows, so that too few nodes are refused before bytes move.
//!    Whoever is needed and stands still for the client's patience ends the write, so that the client can go elsewhere.
//! 2. Each piece goes to the checksums, to the forwards' buffers and to the disk. A replica that stands still for
//!    [`FORWARD_STALL_MS`] is dropped while enough others remain.
//! 3. The trailer is forwarded only after the primary's own checksums agree with the client's.
//!
//! Meanwhile, and while the write waits for its turn, the client is told every [`SIGN_OF_LIFE_MS`] that the node is at
//! it.
//! 4. Once W copies are durable, the rest gets [`STRAGGLER_WAIT_MS`]; who is not done then is caught up by the
//!    `ReplicatorActor` from the stored record.

use super::copy::{CopyJob, copy_to};
use super::forward::{Forward, ForwardEvent};
use super::intake::Intake;
use super::{TransferError, Transfers};
use crate::chunk_store::BeginWrite;
use crate::replicator::PendingCopies;
use bytes::Bytes;
use dfs_core::checksum::{ChunkHasher, ChunkSums, Digest};
use dfs_core::id::NodeId;
use dfs_core::limit::{
    CHUNK_BYTES_MAX, FORWARD_STALL_MS, REPLICA_PATIENCE_MAX_MS, REPLICATION_MAX, SIGN_OF_LIFE_MS, STRAGGLER_WAIT_MS,
    WRITE_PIECE_BYTES,
};
use dfs_core::refusal::Refusal;
use dfs_core::wire::NodeAddress;
use dfs_core::wire::chunk::{ChunkWritten, WriteAnswer, WriteChunk, WriteReplica, WriteReply, WriteTrailer};
use dfs_core::wire::membership::LateReport;
use dfs_transport::endpoint::Inbound;
use dfs_transport::exchange::{CallError, ReceiveHalf, SendHalf};
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde::Serialize;
use std::future::{Future, pending};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

/// Serves one [`WriteChunk`] once its turn has come, while it holds what that gives. It waits no longer than its deadline.
pub async fn serve<T>(transfers: Transfers, turn: impl Future<Output = T>, inbound: Inbound) {
    let request = match inbound.decode::<WriteChunk>().and_then(|request| check(&transfers, request)) {
        Ok(request) => request,
        Err(refusal) => return drop(inbound.exchange.refuse(refusal).await),
    };
    let (deadline, exchange) = (inbound.deadline, inbound.exchange);
    let (mut send, mut receive) = exchange.into_split();
    let turn = timeout_at(deadline, turn);
    let Ok(_permit) = telling(&mut send, &WriteAnswer::Waiting, turn).await else {
        return drop(send.refuse(Refusal::Overloaded).await);
    };
    match write(&transfers, &request, &mut send, &mut receive, deadline).await {
        Ok((written, length)) => {
            let report = LateReport {
                chunk: request.chunk,
                epoch: request.epoch,
                length,
                checksum: written.checksum,
                holders: written.holders.clone(),
            };
            if reply(send, written).await.is_err() {
                // The client vanished; metadata learns of the copies with a beat.
                transfers.heartbeat.late_report(report);
            }
        }
        Err(TransferError::Refused(refusal)) => {
            tracing::info!(chunk = %request.chunk, epoch = %request.epoch, %refusal, "chunk write refused");
            let _ = send.refuse(refusal).await;
        }
        Err(TransferError::Lost(error)) => {
            tracing::debug!(chunk = %request.chunk, epoch = %request.epoch, %error, "chunk write lost its client");
        }
    }
}

async fn reply(mut send: SendHalf, written: ChunkWritten) -> Result<(), CallError> {
    send.send_message(&WriteReply::Written(written)).await?;
    send.finish()
}

/// Does something that may take its time, and gives a sign of life now and then. A client that cannot be told any more
/// does not stop it.
async fn telling<T>(send: &mut SendHalf, sign: &impl Serialize, doing: impl Future<Output = T>) -> T {
    let signs = async {
        loop {
            sleep(Duration::from_millis(SIGN_OF_LIFE_MS)).await;
            if send.send_message(sign).await.is_err() {
                return pending::<T>().await;
            }
        }
    };
    tokio::select! {
        biased;
        done = doing => done,
        never = signs => never,
    }
}

fn check(transfers: &Transfers, request: WriteChunk) -> Result<WriteChunk, Refusal> {
    let copies = request.replicas.len() + 1;
    let distinct = request.replicas.iter().enumerate().all(|(place, replica)| {
        replica.node != transfers.node && request.replicas[..place].iter().all(|other| other.node != replica.node)
    });
    let sound = (1..=CHUNK_BYTES_MAX).contains(&request.length)
        && copies <= usize::from(REPLICATION_MAX)
        && (1..=copies).contains(&usize::from(request.write_quorum))
        && distinct;
    if sound { Ok(request) } else { Err(Refusal::Malformed) }
}

async fn write(
    transfers: &Transfers,
    request: &WriteChunk,
    send: &mut SendHalf,
    receive: &mut ReceiveHalf,
    deadline: Instant,
) -> Result<(ChunkWritten, u32), TransferError> {
    let begin = transfers.store.begin_write(request.chunk, request.epoch, request.length);
    match telling(send, &WriteAnswer::Waiting, begin).await {
        Ok(BeginWrite::Held(checksum)) => {
            send.send_message(&WriteAnswer::Held { checksum }).await?;
            let copying = held(transfers, request, checksum, deadline);
            Ok((telling(send, &WriteReply::Waiting, copying).await?, request.length))
        }
        Ok(BeginWrite::Write(writer)) => {
            let mut replication = Replication::open(transfers, request, deadline);
            telling(send, &WriteAnswer::Waiting, replication.await_accepts()).await?;
            send.send_message(&WriteAnswer::Send).await?;
            let taking = async {
                let mut intake = Intake::new(writer);
                let sums = replication.stream(receive, &mut intake).await?;
                let written = replication.settle(intake, &sums).await?;
                Ok((written, sums.length))
            };
            telling(send, &WriteReply::Waiting, taking).await
        }
        Err(error) => Err(TransferError::Refused(error.into())),
    }
}

/// The chunk is here already: brings the other copies up from it.
async fn held(
    transfers: &Transfers,
    request: &WriteChunk,
    checksum: Digest,
    deadline: Instant,
) -> Result<ChunkWritten, TransferError> {
    let quorum = usize::from(request.write_quorum);
    let mut holders = vec![transfers.node];
    let mut copies: FuturesUnordered<_> = request
        .replicas
        .iter()
        .map(|replica| async move {
            let job = CopyJob { chunk: request.chunk, epoch: request.epoch, target: *replica, expected: None };
            copy_to(transfers, job, deadline).await.map(|_| replica.node)
        })
        .collect();
    let mut patience = deadline.min(Instant::now() + patience_of(request));
    loop {
        if holders.len() >= quorum {
            patience = patience.min(Instant::now() + Duration::from_millis(STRAGGLER_WAIT_MS));
        }
        match timeout_at(patience, copies.next()).await {
            Ok(Some(Ok(node))) => holders.push(node),
            Ok(Some(Err(error))) => tracing::debug!(chunk = %request.chunk, %error, "a copy failed"),
            Ok(None) | Err(_) => break,
        }
    }
    drop(copies);
    finish(transfers, request, request.length, checksum, holders)
}

/// How long a replica that is needed may stand still.
fn patience_of(request: &WriteChunk) -> Duration {
    Duration::from_millis(request.patience_ms.min(REPLICA_PATIENCE_MAX_MS).into())
}

/// Judges who holds the chunk in the end, and hands over the copies that are missing.
fn finish(
    transfers: &Transfers,
    request: &WriteChunk,
    length: u32,
    checksum: Digest,
    holders: Vec<NodeId>,
) -> Result<ChunkWritten, TransferError> {
    let missing: Vec<NodeAddress> =
        request.replicas.iter().filter(|replica| !holders.contains(&replica.node)).copied().collect();
    if holders.len() < usize::from(request.write_quorum) {
        let durable = u8::try_from(holders.len()).unwrap_or(u8::MAX);
        let failed = missing.iter().map(|replica| replica.node).collect();
        return Err(Refusal::TooFewCopies { needed: request.write_quorum, durable, failed }.into());
    }
    tracing::debug!(chunk = %request.chunk, epoch = %request.epoch, length, ?holders, "a chunk is durable");
    if !missing.is_empty() {
        let (chunk, epoch) = (request.chunk, request.epoch);
        transfers.replicator.catch_up(PendingCopies { chunk, epoch, length, checksum, targets: missing });
    }
    Ok(ChunkWritten { checksum, holders })
}

/// One chunk on its way to its replicas.
struct Replication<'a> {
    transfers: &'a Transfers,
    request: &'a WriteChunk,
    deadline: Instant,
    /// The forwards that may still become copies, by the place of their replica.
    forwards: Vec<Option<Forward>>,
    accepted: usize,
    /// The replicas that hold the chunk durably, with the checksum that they told.
    durable: Vec<(NodeId, Digest)>,
    events: mpsc::UnboundedReceiver<(usize, ForwardEvent)>,
}

impl<'a> Replication<'a> {
    fn open(transfers: &'a Transfers, request: &'a WriteChunk, deadline: Instant) -> Replication<'a> {
        let (sender, events) = mpsc::unbounded_channel();
        let WriteChunk { chunk, epoch, length, .. } = *request;
        let offer = WriteReplica { chunk, epoch, length, expected: None };
        let forwards = request
            .replicas
            .iter()
            .enumerate()
            .map(|(place, replica)| {
                Some(Forward::open(transfers, *replica, offer.clone(), deadline, place, sender.clone()))
            })
            .collect();
        Replication { transfers, request, deadline, forwards, accepted: 0, durable: Vec::new(), events }
    }

    /// Copies that may still come to be, the primary's own included.
    fn possible(&self) -> usize {
        1 + self.durable.len() + self.forwards.iter().flatten().count()
    }

    fn quorum(&self) -> usize {
        usize::from(self.request.write_quorum)
    }

    fn too_few(&self) -> TransferError {
        let alive = |node: NodeId| {
            self.forwards.iter().flatten().any(|forward| forward.node == node)
                || self.durable.iter().any(|(holder, _)| *holder == node)
        };
        let failed = self.request.replicas.iter().map(|replica| replica.node).filter(|node| !alive(*node)).collect();
        Refusal::TooFewCopies { needed: self.request.write_quorum, durable: 0, failed }.into()
    }

    fn take(&mut self, place: usize, event: ForwardEvent) {
        let Some(forward) = &mut self.forwards[place] else { return };
        let node = forward.node;
        match event {
            ForwardEvent::Accepted => {
                forward.accepted = true;
                self.accepted += 1;
            }
            ForwardEvent::Durable(checksum) => {
                self.durable.push((node, checksum));
                self.forwards[place] = None;
            }
            ForwardEvent::Failed(error) => {
                tracing::info!(chunk = %self.request.chunk, replica = %node, %error, "a replica does not take the chunk");
                self.forwards[place] = None;
            }
        }
    }

    async fn await_accepts(&mut self) -> Result<(), TransferError> {
        let patience = Instant::now() + patience_of(self.request);
        while self.accepted + 1 < self.quorum() {
            if self.possible() < self.quorum() {
                return Err(self.too_few());
            }
            match timeout_at(self.deadline.min(patience), self.events.recv()).await {
                Ok(Some((place, event))) => self.take(place, event),
                Ok(None) => return Err(self.too_few()),
                Err(_) => {
                    // Who has not said a word is to blame.
                    let silent = |forward: &Option<Forward>| forward.as_ref().is_some_and(|forward| !forward.accepted);
                    self.forwards.iter_mut().filter(|forward| silent(forward)).for_each(|forward| *forward = None);
                    return Err(self.too_few());
                }
            }
        }
        Ok(())
    }

    /// Takes the payload in, until the client's trailer agrees with what arrived.
    async fn stream(&mut self, exchange: &mut ReceiveHalf, intake: &mut Intake) -> Result<ChunkSums, TransferError> {
        let mut hasher = ChunkHasher::new();
        exchange.expect_payload(u64::from(self.request.length));
        while let Some(payload) = exchange.receive_payload(WRITE_PIECE_BYTES).await? {
            hasher.update(&payload);
            self.forward(&payload).await?;
            intake.push(payload).await.map_err(Refusal::from)?;
        }
        let trailer: WriteTrailer = exchange.receive_message().await?;
        let sums = hasher.finish();
        if trailer.sums != sums {
            return Err(Refusal::ChecksumMismatch.into());
        }
        Ok(sums)
    }

    async fn forward(&mut self, payload: &Bytes) -> Result<(), TransferError> {
        while let Ok((place, event)) = self.events.try_recv() {
            self.take(place, event);
        }
        let request = self.request;
        for (place, replica) in request.replicas.iter().enumerate() {
            let Some(forward) = &self.forwards[place] else { continue };
            let needed = self.possible() <= self.quorum();
            let stall = if needed { patience_of(self.request) } else { Duration::from_millis(FORWARD_STALL_MS) };
            let patience = self.deadline.min(Instant::now() + stall);
            if forward.push(payload.clone(), patience).await.is_ok() {
                continue;
            }
            tracing::info!(chunk = %self.request.chunk, replica = %forward.node, "a replica stands still and is left behind");
            self.transfers.record_pace(*replica, stall);
            self.forwards[place] = None;
        }
        if self.possible() < self.quorum() { Err(self.too_few()) } else { Ok(()) }
    }

    /// Makes the own copy durable while the replicas do the same, and waits for as many as are needed.
    async fn settle(mut self, intake: Intake, sums: &ChunkSums) -> Result<ChunkWritten, TransferError> {
        let checksum = sums.checksum();
        for forward in self.forwards.iter().flatten() {
            forward.complete(sums.clone());
        }
        let seal = intake.seal(sums);
        tokio::pin!(seal);
        let begun = Instant::now();
        let (mut sealed, mut patience) = (false, self.deadline);
        while !sealed || self.forwards.iter().any(Option::is_some) {
            if sealed && self.durable.len() + 1 >= self.quorum() {
                patience = patience.min(Instant::now() + Duration::from_millis(STRAGGLER_WAIT_MS));
            }
            tokio::select! {
                biased;
                outcome = &mut seal, if !sealed => {
                    outcome.map_err(Refusal::from)?;
                    sealed = true;
                    // The own disk is the measure of how slow disks are today.
                    patience = patience.min(Instant::now() + begun.elapsed() + patience_of(self.request));
                }
                Some((place, event)) = self.events.recv() => self.take(place, event),
                () = sleep_until(patience) => break,
            }
        }
        if !sealed {
            return Err(Refusal::DeadlineExceeded.into());
        }
        // Who is left behind took at least so long.
        for (forward, replica) in self.forwards.iter().zip(&self.request.replicas) {
            if forward.is_some() {
                self.transfers.record_pace(*replica, begun.elapsed());
            }
        }
        let agreeing = self.durable.iter().filter(|(_, told)| *told == checksum).map(|(node, _)| *node);
        let holders = std::iter::once(self.transfers.node).chain(agreeing).collect();
        finish(self.transfers, self.request, sums.length, checksum, holders)
    }
}
