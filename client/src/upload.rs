//! Uploading a file.
//!
//! A cutter reads the source and cuts it into chunks with their checksums, as far ahead as memory allows. The upload
//! itself keeps several chunks on their way to their primaries, asks for the placement of each group ahead of need, and
//! reports what became durable with the next request. The file becomes visible with its commit and not before; an
//! upload that fails or is dropped leaves nothing visible.
//!
//! What to do next is decided by [`plan`], without any network; this file performs it.
//!
//! An upload that is asked to may go on with what an earlier run left open ([`stock`]): the metadata cluster and the
//! nodes know all that it needs, nothing is kept on the client's side.

mod cutter;
mod feed;
mod plan;
mod reaction;
mod report;
mod request;
mod stock;
mod transfer;

pub use request::{Resume, UploadRequest};

use crate::client::{Inner, PARALLEL_MAX};
use crate::error::{ClientError, Subject, TransferFailure};
use crate::in_flight::InFlight;
use crate::progress::{LeftBehind, Progress};
use crate::source::Source;
use cutter::{Chunk, Cutter};
use dfs_core::checksum::Digest;
use dfs_core::id::{ChunkIndex, FileId, UploadNonce};
use dfs_core::name::FileName;
use dfs_core::wire::chunk::ChunkWritten;
use dfs_core::wire::metadata::{
    CommitFile, CreateFile, CreatedFile, FileInfo, FoundUpload, GroupPlacement, ResumeUpload,
};
use feed::{Fed, Feed, Recorded};
use futures_util::future::{AbortHandle, Abortable, BoxFuture};
use futures_util::stream::{FuturesUnordered, StreamExt};
use plan::{Patience, Plan, Step};
use reaction::Reaction;
use std::collections::BTreeMap;
use std::future::{Future, pending};
use std::sync::Arc;
use stock::{Origin, Stock};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Chunks that are cut ahead of those on their way.
const AHEAD: usize = 2;

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
    let checksum = first.as_ref().map(|chunk| chunk.sums.checksum());
    let begun = Begun::new(client, &request, (said, checksum), size_hint, progress).await?;
    let Begun { file, nonce, first_group, stock, origin } = begun;
    let stock = Arc::new(stock);

    let chunks_total = said.map(|size| request.chunk_size.chunk_count(size));
    let settings = &client.settings;
    let patience = Patience {
        with_group: settings.operation_timeout,
        with_node_first: settings.write_patience.min(settings.stall_timeout),
        with_node_most: settings.stall_timeout,
    };
    let mut plan = Plan::new(file, nonce, chunks_total, parallel, patience, Arc::clone(&stock));
    if let Some(placement) = first_group {
        plan.handle_placed(placement)?;
    }
    let recorded = origin.filter(|_| request.resume == Resume::Compare);
    let recorded = recorded.map(|origin| Recorded::new(client, origin, stock.groups()));
    let mut feed = Feed::new(cutter, stock, first, recorded);
    let (sender, fed) = mpsc::channel(1);
    let feeding = async {
        while let Some(next) = feed.next().await? {
            // A receiver that is gone has failed, which ends both.
            let _ = sender.send(next).await;
        }
        drop(sender);
        Ok::<(), ClientError>(())
    };
    let mut run = Run::new(client, plan, &request.name, progress);
    tokio::try_join!(feeding, run.drive(fed))?;
    let reports = run.plan.take_last_reports();
    let commit = CommitFile { file, nonce, size: feed.given(), reports };
    client.leader.ask(&commit, Subject::Upload(&request.name)).await
}

/// An upload that is open and this run's.
struct Begun<'a> {
    file: FileId,
    nonce: UploadNonce,
    first_group: Option<GroupPlacement>,
    stock: Stock,
    /// What an earlier run had begun with, if this one goes on with it.
    origin: Option<Origin<'a>>,
}

impl<'a> Begun<'a> {
    /// Takes over what an earlier run left open, or opens an upload, for a source that said its size and whose first
    /// chunk has this checksum.
    async fn new(
        client: &Inner,
        request: &'a UploadRequest,
        (said, first): (Option<u64>, Option<Digest>),
        size_hint: Option<u64>,
        progress: &dyn Progress,
    ) -> Result<Begun<'a>, ClientError> {
        // A file of one chunk has nothing to go on with.
        let large = said.filter(|size| *size > u64::from(request.chunk_size.bytes()));
        if let Some(size) = large.filter(|_| request.resume != Resume::Never)
            && let Some(begun) = Begun::again(client, request, (size, first), progress).await?
        {
            return Ok(begun);
        }
        // Another than that of an upload that was taken over and did not fit.
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
        let created: CreatedFile = client.leader.ask(&create, Subject::Upload(&request.name)).await?;
        let CreatedFile { file, first_group, .. } = created;
        Ok(Begun { file, nonce, first_group, stock: Stock::default(), origin: None })
    }

    /// Takes over what an earlier run left open, if it fits.
    async fn again(
        client: &Inner,
        request: &'a UploadRequest,
        (size, first): (u64, Option<Digest>),
        progress: &dyn Progress,
    ) -> Result<Option<Begun<'a>>, ClientError> {
        let nonce = UploadNonce(client.world.entropy.wide_number());
        let (chunk_size, modified) = (request.chunk_size, request.modified);
        let (name, replication, replace) = (request.name.clone(), request.replication, request.replace);
        let compared = request.resume == Resume::Compare;
        let resume = ResumeUpload { nonce, name, size, modified, compared, chunk_size, replication, replace };
        let resumed = match client.leader.ask(&resume, Subject::Upload(&request.name)).await? {
            FoundUpload::Resumed(resumed) => resumed,
            FoundUpload::Other(difference) => {
                progress.began_anew(difference);
                return Ok(None);
            }
            FoundUpload::Nothing => return Ok(None),
        };
        let file = resumed.file;
        let origin = Origin { name: &request.name, nonce, file, size, chunk_size };
        let stock = Stock::take(client, &origin, &resumed).await?;
        // The first chunk was read anyway. If it has other bytes, what is trusted to be the same is not.
        if !compared && !stock.may_begin_with(first) {
            progress.began_with_other_bytes();
            return Ok(None);
        }
        let (chunks, bytes) = stock.chunks_and_bytes();
        progress.resumed(&LeftBehind { chunks, chunks_total: chunk_size.chunk_count(size), bytes, compared });
        Ok(Some(Begun { file, nonce, first_group: None, stock, origin: Some(origin) }))
    }
}

type Placing<'a> = BoxFuture<'a, Result<GroupPlacement, ClientError>>;
type Transfer<'a> = Abortable<BoxFuture<'a, (plan::Send, Result<ChunkWritten, TransferFailure>)>>;

/// One upload on its way.
struct Run<'a> {
    client: &'a Inner,
    plan: Plan,
    name: &'a FileName,
    progress: &'a dyn Progress,
    /// The chunks that are not durable.
    chunks: BTreeMap<ChunkIndex, Arc<Chunk>>,
    placing: Option<Placing<'a>>,
    transfers: FuturesUnordered<Transfer<'a>>,
    stops: BTreeMap<ChunkIndex, AbortHandle>,
}

impl<'a> Run<'a> {
    fn new(client: &'a Inner, plan: Plan, name: &'a FileName, progress: &'a dyn Progress) -> Run<'a> {
        Run {
            client,
            plan,
            name,
            progress,
            chunks: BTreeMap::new(),
            placing: None,
            transfers: FuturesUnordered::new(),
            stops: BTreeMap::new(),
        }
    }

    /// Goes on until every chunk is durable.
    async fn drive(&mut self, mut fed: mpsc::Receiver<Fed>) -> Result<(), ClientError> {
        let mut more = true;
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
                next = fed.recv(), if more => match next {
                    Some(Fed::Missing(chunk)) => self.take(chunk),
                    Some(Fed::There(index, compared)) => {
                        self.plan.handle_there(index);
                        compared.into_iter().for_each(|length| self.progress.advanced(u64::from(length)));
                    }
                    Some(Fed::Differs(chunk, epoch)) => {
                        self.progress.differed(chunk.index, chunk.sums.length);
                        self.plan.handle_differs(chunk.index, epoch);
                        self.take(chunk);
                    }
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
        let (client, name) = (self.client, self.name);
        loop {
            let now = Instant::now();
            match self.plan.next_step(now, &client.standing.blamed(now)) {
                Step::Wait(until) => return until,
                Step::Place(request) => {
                    let asking = async move { client.leader.ask(&request, Subject::Upload(name)).await };
                    self.placing = Some(Box::pin(asking));
                }
                Step::Send(send) => {
                    let index = send.request.chunk.index;
                    let chunk = self.chunks.get(&index).map(Arc::clone).expect("a chunk is kept until it is durable");
                    let sending = async move {
                        let written = transfer::write_chunk(client, &send, &chunk).await;
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
