//! The pipelined stream of appends to one member: requests go out while the answers to earlier ones are under way.
//!
//! A task sends, whoever reads the answers receives; a bounded queue between them counts what is under way. Dropping
//! the answers ends the task and resets the stream.

use super::rpc_error;
use crate::raft::types::TypeConfig;
use crate::raft::wire::{Append, AppendAnswer, StreamAppends};
use dfs_transport::exchange::{CallError, ReceiveHalf, SendHalf};
use dfs_transport::peers::{Class, Destination, Peers};
use dfs_transport::world::{OwnedTask, Scope};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream, Stream};
use openraft::errors::RPCError;
use openraft::raft::{AppendEntriesRequest, StreamAppendResult};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Requests that are under way at most.
const PIPELINE_DEPTH: usize = 64;
/// How long opening the stream may take.
const OPEN_WAIT: Duration = Duration::from_secs(1);
/// How long one request may take to be taken, and its answer to come.
const STEP_WAIT: Duration = Duration::from_secs(5);

type Answers<'s> = BoxStream<'s, Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>>;

/// Opens the stream and sends whatever `requests` yields.
///
/// The first request is awaited before the stream is opened: openraft's pause after a failure is part of it, and
/// without that pause a member that cannot be reached would be tried again at once, for ever.
pub(super) async fn append<'s, S>(
    scope: &'s Scope,
    peers: &'s Peers,
    to: &'s Destination,
    mut requests: S,
) -> Result<Answers<'s>, RPCError<TypeConfig>>
where
    S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
{
    let Some(first) = requests.next().await else { return Ok(Box::pin(stream::empty())) };
    let requests = stream::iter([first]).chain(requests);
    let opened = peers.open(to, Class::Control, &StreamAppends {}, Instant::now() + OPEN_WAIT).await;
    let (send, receive) = opened.map_err(|error| rpc_error(&error))?.into_split();
    let (under_way, awaited) = mpsc::channel(PIPELINE_DEPTH);
    let sender = scope.spawn(send_all(requests, send, under_way)).owned();
    let answers = Receiver { receive, awaited, _sender: sender };
    Ok(Box::pin(stream::unfold(Some(answers), |answers| async move {
        let mut answers = answers?;
        match answers.next().await? {
            Ok(answer) => {
                let answer = StreamAppendResult::<TypeConfig>::from(answer);
                let going_on = answer.is_ok().then_some(answers);
                Some((Ok(answer), going_on))
            }
            Err(error) => Some((Err(rpc_error(&error)), None)),
        }
    })))
}

async fn send_all<S>(mut requests: S, mut send: SendHalf, under_way: mpsc::Sender<Result<(), CallError>>)
where
    S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin,
{
    while let Some(request) = requests.next().await {
        send.set_deadline(Instant::now() + STEP_WAIT);
        let sent = send.send_message(&Append::from(&request)).await;
        let failed = sent.is_err();
        if under_way.send(sent).await.is_err() || failed {
            return;
        }
    }
    // The member has everything; should it not learn that this was all, it learns it from the reset.
    let _ = send.finish();
}

struct Receiver {
    receive: ReceiveHalf,
    awaited: mpsc::Receiver<Result<(), CallError>>,
    _sender: OwnedTask<()>,
}

impl Receiver {
    /// The next answer; nothing once all requests are answered and no more come.
    async fn next(&mut self) -> Option<Result<AppendAnswer, CallError>> {
        match self.awaited.recv().await? {
            Ok(()) => {
                self.receive.set_deadline(Instant::now() + STEP_WAIT);
                Some(self.receive.receive_message().await)
            }
            Err(error) => Some(Err(error)),
        }
    }
}
