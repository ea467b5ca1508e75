//! What this member does for the others: the other side of [`network`](super::network).
//!
//! Only metadata nodes are served, and only in their own name: a vote that a request carries must be that of the node
//! whose certificate came with it.

use super::RaftHandle;
use super::codec::VoteForm;
use super::network::SNAPSHOT_CHUNK_BYTES;
use super::snapshot::SnapshotFile;
use super::state_machine::StateMachine;
use super::types::TypeConfig;
use super::wire::{
    Append, AppendAnswer, AskPreVote, AskVote, InstallSnapshot, SnapshotAnswer, StreamAppends, TransferLeadership,
    VoteAnswer,
};
use dfs_core::id::{NodeId, Role};
use dfs_core::refusal::Refusal;
use dfs_core::wire::Request;
use dfs_transport::endpoint::Inbound;
use dfs_transport::exchange::{CallError, Exchange, ReceiveHalf};
use futures_util::stream::{self, Stream, StreamExt};
use openraft::raft::AppendEntriesRequest;
use serde::Serialize;
use std::io::{self, IoSlice};
use std::pin::pin;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout};

/// How long a stream of appends may be silent. A leader that is gone ends it much earlier: its connection does.
const STREAM_IDLE: Duration = Duration::from_secs(60 * 60);
/// How long one step of a transfer or of an answer may take.
const STEP_WAIT: Duration = Duration::from_secs(10);

impl RaftHandle {
    /// Serves one request of [`Service::Raft`](dfs_core::wire::Service::Raft) to its end. A stream of appends lasts as
    /// long as the leader does: run this in a task of its own.
    pub async fn serve(&self, inbound: Inbound) {
        // Raft spawns through the scope of the running task.
        self.engine().scope.clone().enter(self.serve_inside(inbound)).await;
    }

    async fn serve_inside(&self, inbound: Inbound) {
        let Some(peer) = inbound.peer.node().filter(|_| inbound.peer.role == Role::Metadata) else {
            return refuse(inbound.exchange, Refusal::NotPermitted).await;
        };
        match inbound.method {
            AskVote::METHOD => self.answer(inbound, peer, |ask: &AskVote| ask.vote, Self::vote).await,
            AskPreVote::METHOD => self.answer(inbound, peer, |ask: &AskPreVote| ask.0.vote, Self::pre_vote).await,
            Append::METHOD => self.answer(inbound, peer, |append: &Append| append.vote, Self::append).await,
            TransferLeadership::METHOD => {
                self.answer(inbound, peer, |transfer: &TransferLeadership| transfer.from, Self::take_leadership).await;
            }
            StreamAppends::METHOD => match inbound.decode::<StreamAppends>() {
                Ok(StreamAppends {}) => self.append_all(inbound.into_exchange(), peer).await,
                Err(refusal) => refuse(inbound.exchange, refusal).await,
            },
            InstallSnapshot::METHOD => match inbound.decode::<InstallSnapshot>() {
                Ok(announced) if announced.vote.node == peer.0 => {
                    let mut exchange = inbound.into_exchange();
                    match self.receive_snapshot(announced, &mut exchange).await {
                        Ok(answer) => reply(exchange, &answer).await,
                        Err(refusal) => refuse(exchange, refusal).await,
                    }
                }
                Ok(_) => refuse(inbound.exchange, Refusal::NotPermitted).await,
                Err(refusal) => refuse(inbound.exchange, refusal).await,
            },
            _ => refuse(inbound.exchange, Refusal::UnknownMethod).await,
        }
    }

    /// Answers a request with one message.
    async fn answer<R: Request>(
        &self,
        inbound: Inbound,
        peer: NodeId,
        vote: impl Fn(&R) -> VoteForm,
        act: impl AsyncFnOnce(&Self, R) -> Result<R::Reply, Refusal>,
    ) {
        let answer = match inbound.decode::<R>() {
            Ok(request) if vote(&request).node == peer.0 => act(self, request).await,
            Ok(_) => Err(Refusal::NotPermitted),
            Err(refusal) => Err(refusal),
        };
        match answer {
            Ok(answer) => reply(inbound.exchange, &answer).await,
            Err(refusal) => refuse(inbound.exchange, refusal).await,
        }
    }

    async fn vote(&self, ask: AskVote) -> Result<VoteAnswer, Refusal> {
        self.engine().raft.vote(ask.into()).await.map(VoteAnswer::from).map_err(|_| Refusal::Stopping)
    }

    async fn pre_vote(&self, ask: AskPreVote) -> Result<VoteAnswer, Refusal> {
        self.engine().raft.pre_vote(ask.0.into()).await.map(VoteAnswer::from).map_err(|_| Refusal::Stopping)
    }

    async fn append(&self, append: Append) -> Result<AppendAnswer, Refusal> {
        let request: AppendEntriesRequest<TypeConfig> = append.try_into().map_err(|_| Refusal::Malformed)?;
        let (previous, last) = (request.prev_log_id, request.entries.last().map(|entry| entry.log_id));
        let response = self.engine().raft.append_entries(request).await.map_err(|_| Refusal::Stopping)?;
        Ok(response.into_stream_result(previous, last.or(previous)).into())
    }

    async fn take_leadership(&self, transfer: TransferLeadership) -> Result<(), Refusal> {
        match self.engine().raft.handle_transfer_leader(transfer.into()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Refusal::Unavailable),
            Err(_) => Err(Refusal::Stopping),
        }
    }

    /// Takes appends and answers them in order, while more come.
    async fn append_all(&self, exchange: Exchange, peer: NodeId) {
        let (mut send, receive) = exchange.into_split();
        let mut answers = pin!(self.engine().raft.stream_append(appends(receive, peer)));
        while let Some(Ok(answer)) = answers.next().await {
            send.set_deadline(Instant::now() + STEP_WAIT);
            if send.send_message(&AppendAnswer::from(answer)).await.is_err() {
                return;
            }
        }
        // Whether the leader sees the end or a reset, it opens the next stream.
        let _ = send.finish();
    }

    async fn receive_snapshot(
        &self,
        announced: InstallSnapshot,
        exchange: &mut Exchange,
    ) -> Result<SnapshotAnswer, Refusal> {
        let engine = self.engine();
        let number = engine.reception.supersede(announced.vote)?;
        let mut newest = engine.reception.newest.subscribe();
        let turn = timeout(STEP_WAIT, engine.reception.turn.acquire()).await;
        let _turn = turn.ok().and_then(Result::ok).ok_or(Refusal::Overloaded)?;
        // However this ends, the file that came in is removed.
        let incoming = Incoming { machine: engine.machine.clone(), path: engine.machine.temporary() };
        let file = tokio::select! {
            biased;
            _ = newest.wait_for(|newest| newest.number != number) => return Err(Refusal::Overloaded),
            file = incoming.receive(announced.length, exchange) => file?,
        };
        let verified = file.clone();
        let checking = engine.scope.blocking(move || verified.verify()).await;
        let meta = checking.map_err(|_| Refusal::Stopping)?.map_err(|error| {
            tracing::warn!(%error, "the leader sent a damaged snapshot");
            Refusal::ChecksumMismatch
        })?;
        let snapshot = openraft::Snapshot { meta, snapshot: file };
        let installing = engine.raft.install_full_snapshot(announced.vote.into(), snapshot).await;
        Ok(SnapshotAnswer { vote: installing.map_err(|_| Refusal::Stopping)?.vote.into() })
    }
}

/// Which snapshot is coming in: one at a time, the newest. An earlier one is of a leader that is gone or has given up on
/// it; to wait for its end would keep this member behind for as long as a connection may be silent.
#[derive(Debug)]
pub(super) struct Reception {
    turn: Semaphore,
    newest: watch::Sender<Announced>,
}

/// The snapshot that was announced last.
#[derive(Clone, Copy, Debug, Default)]
struct Announced {
    /// Under which vote.
    vote: Option<VoteForm>,
    /// How many have been announced.
    number: u64,
}

impl Default for Reception {
    fn default() -> Self {
        Reception { turn: Semaphore::new(1), newest: watch::Sender::new(Announced::default()) }
    }
}

impl Reception {
    /// Ends what is coming in, unless that is of a newer leader. Answers the number of the new one.
    fn supersede(&self, vote: VoteForm) -> Result<u64, Refusal> {
        let mut number = Err(Refusal::Overloaded);
        self.newest.send_if_modified(|newest| {
            if newest.vote <= Some(vote) {
                *newest = Announced { vote: Some(vote), number: newest.number + 1 };
                number = Ok(newest.number);
            }
            number.is_ok()
        });
        number
    }
}

/// A snapshot file that is coming in. Dropping it removes the file; what a crash leaves is removed when the node starts
/// again.
struct Incoming {
    machine: StateMachine,
    path: String,
}

impl Incoming {
    async fn receive(&self, length: u64, exchange: &mut Exchange) -> Result<SnapshotFile, Refusal> {
        exchange.expect_payload(length);
        let mut offset = 0;
        while offset < length {
            let mut pieces = Vec::new();
            let mut bytes = 0;
            while bytes < SNAPSHOT_CHUNK_BYTES {
                exchange.set_deadline(Instant::now() + STEP_WAIT);
                match exchange.receive_payload(SNAPSHOT_CHUNK_BYTES - bytes).await {
                    Ok(Some(piece)) => {
                        bytes += piece.len();
                        pieces.push(piece);
                    }
                    Ok(None) => break,
                    Err(_) => return Err(Refusal::DeadlineExceeded),
                }
            }
            let (machine, path, at) = (self.machine.clone(), self.path.clone(), offset);
            let writing = self.machine.scope().blocking(move || -> io::Result<()> {
                let slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
                machine.disk().open(&path, true)?.write_at(at, &slices)
            });
            writing.await.map_err(|_| Refusal::Stopping)?.map_err(|error| {
                tracing::error!(%error, "a snapshot from the leader cannot be written");
                Refusal::StoreFailed
            })?;
            offset += bytes as u64;
        }
        let (machine, path) = (self.machine.clone(), self.path.clone());
        let opening = self.machine.scope().blocking(move || SnapshotFile::open(machine.disk(), &path));
        opening.await.map_err(|_| Refusal::Stopping)?.map_err(|_| Refusal::StoreFailed)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let (scope, machine) = (self.machine.scope().clone(), self.machine.clone());
        let path = std::mem::take(&mut self.path);
        self.machine.scope().spawn(async move {
            // Should it stay, the next start removes it.
            let _ = scope.blocking(move || machine.disk().remove(&path)).await;
        });
    }
}

/// The appends that come in, as long as they are of the leader that opened the stream.
fn appends(receive: ReceiveHalf, leader: NodeId) -> impl Stream<Item = AppendEntriesRequest<TypeConfig>> + Send {
    stream::unfold(receive, move |mut receive| async move {
        receive.set_deadline(Instant::now() + STREAM_IDLE);
        let append = receive.receive_message_or_end::<Append>().await.ok()??;
        if append.vote.node != leader.0 {
            return None;
        }
        Some((append.try_into().ok()?, receive))
    })
}

async fn reply<T: Serialize>(mut exchange: Exchange, answer: &T) {
    exchange.set_deadline(exchange.deadline().max(Instant::now() + Duration::from_secs(1)));
    log_lost(exchange.reply(answer).await);
}

async fn refuse(exchange: Exchange, refusal: Refusal) {
    log_lost(exchange.refuse(refusal).await);
}

fn log_lost(sent: Result<(), CallError>) {
    if let Err(error) = sent {
        tracing::debug!(%error, "an answer to a metadata node was lost");
    }
}
