//! Uploading a file.
//!
//! A cutter reads the source and cuts it into chunks with their checksums, as far ahead as memory allows. The upload
//! itself keeps several chunks on their way to their primaries, asks for the placement of each group ahead of need, and
//! reports what became durable with the next request. The file becomes visible with its commit and not before; an
//! upload that fails or is dropped leaves nothing visible.
//!
//! What to do next is decided by [`plan`], without any network; this file performs it.
//!
//! Deliberately absent: resuming an upload of an earlier run.

mod cutter;
mod plan;
mod reaction;
mod report;
mod transfer;

use crate::client::{Inner, PARALLEL_DEFAULT, PARALLEL_MAX};
use crate::error::{ClientError, Subject, TransferFailure};
use crate::in_flight::InFlight;
use crate::progress::Progress;
use crate::source::Source;
use cutter::{Chunk, Cutter};
use dfs_core::id::{ChunkIndex, UploadNonce};
use dfs_core::name::FileName;
use dfs_core::time::WallTime;
use dfs_core::unit::ChunkSize;
use dfs_core::wire::chunk::ChunkWritten;
use dfs_core::wire::metadata::{CommitFile, CreateFile, CreatedFile, FileInfo, GroupPlacement};
use futures_util::future::{AbortHandle, Abortable, BoxFuture};
use futures_util::stream::{FuturesUnordered, StreamExt};
use plan::{Plan, Step};
use reaction::Reaction;
use std::collections::BTreeMap;
use std::future::{Future, pending};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Chunks that are cut ahead of those on their way.
const AHEAD: usize = 2;

/// What to upload as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadRequest {
    /// The name that the file will have.
    pub name: FileName,
    /// Its size, where the caller knows it and the source does not. It is only a hint.
    pub size_hint: Option<u64>,
    /// The size of its chunks.
    pub chunk_size: ChunkSize,
    /// Copies of each chunk; the cluster's setting where absent.
    pub replication: Option<u8>,
    /// Modification time of the source.
    pub modified: WallTime,
    /// Whether it may replace the version that has the name when the upload begins.
    pub replace: bool,
    /// Chunks on their way at once, up to [`PARALLEL_MAX`]. Large chunks are fewer, so that no more than 64 MiB (and at
    /// least one chunk) are in memory.
    pub parallel: usize,
}

impl UploadRequest {
    /// An upload with the defaults of client and cluster.
    #[must_use]
    pub fn new(name: FileName, modified: WallTime) -> UploadRequest {
        UploadRequest {
            name,
            size_hint: None,
            chunk_size: ChunkSize::default(),
            replication: None,
            modified,
            replace: false,
            parallel: PARALLEL_DEFAULT,
        }
    }
}

/// Uploads a source. See [`Client::upload`](crate::Client::upload).
pub(crate) async fn upload<S: Source>(
    client: &Inner,
    source: S,
    request: UploadRequest,
    progress: &dyn Progress,
) -> Result<FileInfo, ClientError> {
    let parallel = request.parallel.clamp(1, PARALLEL_MAX);
    let said = source.size();
    let in_flight = InFlight::new(request.chunk_size, parallel + AHEAD);
    let mut cutter = Cutter::new(source, client.world.scope.clone(), request.chunk_size, in_flight);
    progress.started(said.or(request.size_hint));

    // The first chunk is read before anything is asked: what cannot be read does not begin an upload, and a short pipe
    // is known by its whole size.
    let first = cutter.next().await?;
    let size_hint = match &first {
        None => Some(0),
        Some(chunk) if said.is_none() && chunk.sums.length < request.chunk_size.bytes() => Some(cutter.given()),
        Some(_) => said.or(request.size_hint).filter(|size| *size > 0),
    };
    let nonce = UploadNonce(client.world.entropy.wide_number());
    let create = CreateFile {
        nonce,
        name: request.name.clone(),
        chunk_size: request.chunk_size,
        replication: request.replication,
        size_hint,
        modified: request.modified,
        replace: request.replace,
    };
    let subject = Subject::NewName(&request.name);
    let created: CreatedFile = client.leader.ask(&create, subject).await?;

    let mut reports = Vec::new();
    if let Some(first) = first {
        let chunks_total = said.map(|size| request.chunk_size.chunk_count(size));
        let patience = client.settings.operation_timeout;
        let mut plan = Plan::new(created.file, nonce, chunks_total, parallel, patience);
        if let Some(placement) = created.first_group {
            plan.handle_placed(placement)?;
        }
        let (sender, chunks) = mpsc::channel(1);
        let cutting = async {
            while let Some(chunk) = cutter.next().await? {
                // A receiver that is gone has failed, which ends both.
                let _ = sender.send(chunk).await;
            }
            drop(sender);
            Ok::<(), ClientError>(())
        };
        let mut run = Run::new(client, plan, progress);
        tokio::try_join!(cutting, run.drive(first, chunks))?;
        reports = run.plan.take_last_reports();
    }
    let commit = CommitFile { file: created.file, nonce, size: cutter.given(), reports };
    client.leader.ask(&commit, subject).await
}

type Placing<'a> = BoxFuture<'a, Result<GroupPlacement, ClientError>>;
type Transfer<'a> = Abortable<BoxFuture<'a, (plan::Send, Result<ChunkWritten, TransferFailure>)>>;

/// One upload on its way.
struct Run<'a> {
    client: &'a Inner,
    plan: Plan,
    progress: &'a dyn Progress,
    /// The chunks that are not durable.
    chunks: BTreeMap<ChunkIndex, Arc<Chunk>>,
    placing: Option<Placing<'a>>,
    transfers: FuturesUnordered<Transfer<'a>>,
    stops: BTreeMap<ChunkIndex, AbortHandle>,
}

impl<'a> Run<'a> {
    fn new(client: &'a Inner, plan: Plan, progress: &'a dyn Progress) -> Run<'a> {
        Run {
            client,
            plan,
            progress,
            chunks: BTreeMap::new(),
            placing: None,
            transfers: FuturesUnordered::new(),
            stops: BTreeMap::new(),
        }
    }

    /// Goes on until every chunk is durable.
    async fn drive(&mut self, first: Chunk, mut chunks: mpsc::Receiver<Chunk>) -> Result<(), ClientError> {
        let mut more = true;
        self.take(first);
        loop {
            let wake = self.perform();
            if self.plan.is_complete() {
                return Ok(());
            }
            tokio::select! {
                biased;
                placed = if_any(&mut self.placing) => {
                    self.placing = None;
                    self.plan.handle_placed(placed?)?;
                }
                Some(outcome) = self.transfers.next() => {
                    // A transfer that was stopped is not counted any more.
                    if let Ok((send, outcome)) = outcome {
                        self.finish(&send, outcome)?;
                    }
                }
                chunk = chunks.recv(), if more => match chunk {
                    Some(chunk) => self.take(chunk),
                    None => {
                        more = false;
                        self.plan.handle_end();
                    }
                },
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
            }
        }
    }

    fn take(&mut self, chunk: Chunk) {
        self.plan.handle_cut(chunk.index, chunk.sums.length);
        self.chunks.insert(chunk.index, Arc::new(chunk));
    }

    /// Begins everything that can begin now. Answers when to look again.
    fn perform(&mut self) -> Option<Instant> {
        let client = self.client;
        loop {
            let now = Instant::now();
            match self.plan.next_step(now, &client.standing.blamed(now)) {
                Step::Wait(until) => return until,
                Step::Place(request) => {
                    let asking = async move { client.leader.ask(&request, Subject::Cluster).await };
                    self.placing = Some(Box::pin(asking));
                }
                Step::Send(send) => {
                    let index = send.request.chunk.index;
                    let chunk = self.chunks.get(&index).map(Arc::clone).expect("a chunk is kept until it is durable");
                    let sending = async move {
                        let written = transfer::write_chunk(&client.peers, &client.settings, &send, &chunk).await;
                        (send, written)
                    };
                    let (stop, registration) = AbortHandle::new_pair();
                    self.transfers.push(Abortable::new(Box::pin(sending), registration));
                    self.stops.insert(index, stop);
                }
            }
        }
    }

    /// A transfer has ended.
    fn finish(&mut self, send: &plan::Send, outcome: Result<ChunkWritten, TransferFailure>) -> Result<(), ClientError> {
        let (client, now) = (self.client, Instant::now());
        let index = send.request.chunk.index;
        self.stops.remove(&index);
        match outcome {
            Ok(written) => {
                client.standing.praise(send.primary.node);
                self.chunks.remove(&index);
                self.plan.handle_written(send, written);
                self.progress.advanced(u64::from(send.request.length));
            }
            Err(failure) => {
                let reaction = Reaction::to(&failure, send.primary.node);
                tracing::info!(
                    chunk = %send.request.chunk, epoch = %send.request.epoch, primary = %send.primary.node, %failure,
                    "a chunk could not be written; trying on"
                );
                if let Reaction::Elsewhere { blamed } = &reaction {
                    blamed.iter().for_each(|node| client.standing.blame(*node, now));
                }
                let entropy = &client.world.entropy;
                for stopped in self.plan.handle_failed(send, failure, &reaction, now, entropy)? {
                    if let Some(stop) = self.stops.remove(&stopped) {
                        stop.abort();
                    }
                }
            }
        }
        Ok(())
    }
}

/// What a future gives, if there is one.
async fn if_any<F: Future + Unpin>(future: &mut Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => pending().await,
    }
}
