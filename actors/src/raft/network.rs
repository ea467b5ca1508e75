//! How this member reaches the others: votes and heartbeats as calls, entries as one pipelined stream for each member,
//! snapshots as payload on a connection of their own.
//!
//! Heartbeats and entries are apart, so that no batch of entries delays a sign of life. Answers to entries wait for
//! the member's disk, which may take long under load: only the stream's bound ends them, not the heartbeat interval
//! that openraft suggests.

mod stream;

use super::snapshot::SnapshotFile;
use super::types::{Member, TypeConfig, Vote};
use super::wire::{Append, AskPreVote, AskVote, InstallSnapshot, TransferLeadership};
use bytes::Bytes;
use dfs_core::id::{NodeId, Role};
use dfs_core::wire::Request;
use dfs_transport::exchange::CallError;
use dfs_transport::peers::{Class, Destination, Peers};
use dfs_transport::world::Scope;
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, Stream};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2, stream_append_sequential};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::alias::SnapshotOf;
use std::future::Future;
use std::io;
use std::time::Duration;
use tokio::time::Instant;

/// How long one step of a snapshot transfer may take.
const SNAPSHOT_STEP: Duration = Duration::from_secs(10);
/// Bytes of a snapshot that are read and sent in one step.
pub(super) const SNAPSHOT_CHUNK_BYTES: usize = 1024 * 1024;

/// Makes clients for members.
pub(super) struct Network {
    pub(super) scope: Scope,
    pub(super) peers: Peers,
}

impl Network {
    fn client(&self, target: u64, member: &Member, heartbeat: bool) -> Client {
        let to = Destination { address: member.address, role: Role::Metadata, node: Some(NodeId(target)) };
        Client { scope: self.scope.clone(), peers: self.peers.clone(), to, heartbeat }
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Client;

    async fn new_client(&mut self, target: u64, member: &Member) -> Client {
        self.client(target, member, false)
    }

    async fn new_heartbeat_client(&mut self, target: u64, member: &Member) -> Client {
        self.client(target, member, true)
    }
}

/// Calls to one member.
pub(super) struct Client {
    scope: Scope,
    peers: Peers,
    to: Destination,
    /// Sends single calls instead of a stream.
    heartbeat: bool,
}

impl Client {
    async fn call<R: Request>(&self, request: &R, option: &RPCOption) -> Result<R::Reply, RPCError<TypeConfig>> {
        let deadline = Instant::now() + option.soft_ttl();
        self.peers.call(&self.to, Class::Control, request, deadline).await.map_err(|error| rpc_error(&error))
    }

    async fn send_snapshot(
        &self,
        vote: Vote,
        snapshot: SnapshotFile,
        answer_wait: Duration,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let announce = InstallSnapshot { vote: vote.into(), length: snapshot.length };
        let failed = |error| StreamingError::from(rpc_error(&error));
        let deadline = Instant::now() + SNAPSHOT_STEP;
        let mut exchange = self.peers.open(&self.to, Class::Bulk, &announce, deadline).await.map_err(failed)?;
        let mut offset = 0;
        while offset < snapshot.length {
            let source = snapshot.clone();
            let reading = self.scope.blocking(move || read_chunk(&source, offset));
            let chunk = reading.await.map_err(io::Error::from).and_then(|read| read).map_err(|error| {
                tracing::error!(%error, "the current metadata snapshot cannot be read");
                StreamingError::Network(NetworkError::new(&error))
            })?;
            offset += chunk.len() as u64;
            exchange.set_deadline(Instant::now() + SNAPSHOT_STEP);
            exchange.send_payload(chunk).await.map_err(failed)?;
        }
        exchange.finish().await.map_err(failed)?;
        exchange.set_deadline(Instant::now() + answer_wait);
        let answer: super::wire::SnapshotAnswer = exchange.receive_message().await.map_err(failed)?;
        Ok(SnapshotResponse::new(answer.vote.into()))
    }
}

fn read_chunk(snapshot: &SnapshotFile, offset: u64) -> io::Result<Bytes> {
    let left = usize::try_from(snapshot.length - offset).unwrap_or(usize::MAX);
    let mut chunk = vec![0; left.min(SNAPSHOT_CHUNK_BYTES)];
    if snapshot.file.read_at(offset, &mut chunk)? == chunk.len() {
        Ok(chunk.into())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

/// What openraft makes of a failed call: it waits before it tries an unreachable member again, and others at once.
fn rpc_error(error: &CallError) -> RPCError<TypeConfig> {
    match error {
        CallError::Unreachable(_) | CallError::Refused(_) => RPCError::Unreachable(Unreachable::new(error)),
        CallError::TimedOut | CallError::Broken => RPCError::Network(NetworkError::new(error)),
    }
}

impl RaftNetworkV2<TypeConfig> for Client {
    type SnapshotData = SnapshotFile;

    /// Only heartbeats come this way; a call with entries would copy them.
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        debug_assert!(request.entries.is_empty(), "entries go through the stream");
        let answer = self.call(&Append::heartbeat(&request), &option).await?;
        Ok(StreamAppendResult::<TypeConfig>::from(answer).into())
    }

    fn stream_append<'s, S>(
        &'s mut self,
        requests: S,
        option: RPCOption,
    ) -> BoxFuture<
        's,
        Result<BoxStream<'s, Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>>, RPCError<TypeConfig>>,
    >
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + openraft::OptionalSend + Unpin + 'static,
    {
        if self.heartbeat {
            return stream_append_sequential(self, requests, option);
        }
        Box::pin(stream::append(&self.scope, &self.peers, &self.to, requests))
    }

    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        Ok(self.call(&AskVote::from(request), &option).await?.into())
    }

    /// Without this, every member that cannot be reached would count as willing.
    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        Ok(self.call(&AskPreVote(request.into()), &option).await?.into())
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: SnapshotOf<TypeConfig, SnapshotFile>,
        cancel: impl Future<Output = ReplicationClosed> + openraft::OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        tokio::select! {
            sent = self.send_snapshot(vote, snapshot.snapshot, option.soft_ttl()) => sent,
            closed = cancel => Err(StreamingError::Closed(closed)),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.call(&TransferLeadership::from(request), &option).await?;
        Ok(Ok(()))
    }
}
