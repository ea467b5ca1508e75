//! Downloading a file.
//!
//! The file is looked up once; from then on its id names the version that is read, whatever happens to its name.
//! Several chunks are read at once, each from the replica whose turn it is, and handed to the sink in order once they are
//! checked. The window of chunks that are read ahead bounds the memory. Of a range, only the groups are located, only the
//! chunks are asked for and only the blocks are sent that it needs.
//!
//! Deliberately absent: any way for unchecked bytes to reach the sink.

mod fetch;
mod locations;
mod prefix;
mod race;
mod replica;
mod replicas;

pub(crate) use prefix::verified_prefix;

use crate::client::{Inner, PARALLEL_DEFAULT, PARALLEL_MAX};
use crate::error::{ClientError, Subject};
use crate::in_flight::{InFlight, Share, TransferMemory};
use crate::progress::Progress;
use crate::sink::Sink;
use bytes::Bytes;
use dfs_core::id::{ChunkId, ChunkIndex, FileId, GroupIndex};
use dfs_core::limit::{CHUNKS_PER_GROUP, LOCATE_PAGE_MAX};
use dfs_core::range::{ByteRange, Span};
use dfs_core::wire::metadata::{FileInfo, FileTarget, StatFile};
use fetch::{Wanted, fetch_part};
use futures_util::stream::{FuturesOrdered, StreamExt};
use locations::Locations;
use std::sync::Arc;
use tokio::sync::{OnceCell, mpsc};

/// Chunks that may wait for the sink beside those that are being read.
const AHEAD: usize = 2;
/// Chunks of which a span may need a part only: its first and its last.
const PARTIAL: usize = 2;
/// Chunks whose locations come in one page.
const CHUNKS_PER_PAGE: u32 = LOCATE_PAGE_MAX as u32 * CHUNKS_PER_GROUP;

/// How to download.
#[derive(Clone, Debug)]
pub struct DownloadRequest {
    /// Chunks that are read at once, up to [`PARALLEL_MAX`](crate::client::PARALLEL_MAX). Large chunks are fewer, so
    /// that no more than 64 MiB (and at least one chunk) are in memory.
    pub parallel: usize,
    /// The bytes that are wanted; all of the file where absent.
    pub range: Option<ByteRange>,
    /// The memory that it shares with other downloads; its own where absent.
    pub memory: Option<TransferMemory>,
}

impl Default for DownloadRequest {
    fn default() -> Self {
        DownloadRequest { parallel: PARALLEL_DEFAULT, range: None, memory: None }
    }
}

/// A page of locations, asked for by whichever of its chunks is read first.
#[derive(Clone)]
struct Page {
    number: u32,
    /// Its first group that is wanted.
    first: GroupIndex,
    cell: Arc<OnceCell<Locations>>,
}

/// The bytes of a checked chunk, and the memory that they take.
type Checked = (Bytes, Share);

/// Downloads a file. See [`Client::download`](crate::Client::download).
pub(crate) async fn download(
    client: &Inner,
    target: FileTarget,
    sink: impl Sink,
    request: &DownloadRequest,
    progress: &dyn Progress,
) -> Result<FileInfo, ClientError> {
    let stat = StatFile { target };
    let info: FileInfo = client.leader.ask(&stat, Subject::File(&stat.target)).await?;
    download_version(client, &info, sink, request, progress).await?;
    Ok(info)
}

/// Downloads a version that was looked up. See [`Client::download_version`](crate::Client::download_version).
pub(crate) async fn download_version(
    client: &Inner,
    info: &FileInfo,
    mut sink: impl Sink,
    request: &DownloadRequest,
    progress: &dyn Progress,
) -> Result<(), ClientError> {
    let span = match request.range {
        Some(range) => range.resolve(info.size)?,
        None => Span { offset: 0, length: info.size },
    };
    progress.started(Some(span.length));
    let parallel = request.parallel.clamp(1, PARALLEL_MAX);
    // There is room for every part that has memory, so that those that are read never stand still because of the sink,
    // which would look as if their nodes did.
    let (sender, mut checked) = mpsc::channel(parallel + AHEAD + PARTIAL);
    let in_flight = InFlight::new(info.chunk_size, parallel + AHEAD).within(request.memory.as_ref());
    let reading = read_span(client, info, span, (parallel, in_flight), sender);
    let writing = async {
        while let Some((bytes, memory)) = checked.recv().await {
            let length = bytes.len() as u64;
            sink.write(bytes).await.map_err(ClientError::Sink)?;
            drop(memory);
            progress.advanced(length);
        }
        Ok(())
    };
    tokio::try_join!(reading, writing).map(drop)
}

/// Reads the chunks that a span needs, several at once, and hands their part of it on in order.
async fn read_span(
    client: &Inner,
    info: &FileInfo,
    span: Span,
    (parallel, in_flight): (usize, InFlight),
    checked: mpsc::Sender<Checked>,
) -> Result<(), ClientError> {
    // What cannot be counted is not begun.
    let last = chunk_index(span.end().saturating_sub(1) / u64::from(info.chunk_size.bytes()))?.group();
    let mut page = Page { number: u32::MAX, first: GroupIndex(0), cell: Arc::default() };
    let mut reads = FuturesOrdered::new();
    for part in span.parts(info.chunk_size) {
        let index = chunk_index(part.index)?;
        let chunk_length = info.chunk_size.chunk_length(info.size, part.index);
        let wanted = Wanted { chunk: ChunkId { file: info.file, index }, chunk_length, part };
        // Memory is taken in the order of the chunks, so that none can wait for one behind it.
        let bytes = wanted.blocks().length as usize;
        let memory = loop {
            let free = in_flight.try_take(bytes).filter(|_| reads.len() < parallel);
            match free {
                Some(memory) => break memory,
                None if reads.is_empty() => break in_flight.take(bytes).await?,
                None => hand_on(&mut reads, &checked).await?,
            }
        };
        let number = index.0 / CHUNKS_PER_PAGE;
        if page.number != number {
            page = Page { number, first: index.group(), cell: Arc::default() };
        }
        let (page, in_flight) = (page.clone(), in_flight.clone());
        reads.push_back(async move {
            let locate = || locate_page(client, info.file, &page, last);
            let locations = page.cell.get_or_try_init(locate).await?;
            Ok((fetch_part(client, wanted, locations, &in_flight).await?, memory))
        });
    }
    while !reads.is_empty() {
        hand_on(&mut reads, &checked).await?;
    }
    Ok(())
}

/// The place of a chunk, if it can be counted.
fn chunk_index(index: u64) -> Result<ChunkIndex, ClientError> {
    u32::try_from(index).map(ChunkIndex).map_err(|_| ClientError::TooLarge)
}

/// Waits for the next chunk, and hands it on.
async fn hand_on<F>(reads: &mut FuturesOrdered<F>, checked: &mpsc::Sender<Checked>) -> Result<(), ClientError>
where
    F: Future<Output = Result<Checked, ClientError>>,
{
    if let Some(read) = reads.next().await {
        // A writer that is gone has failed, which ends both.
        let _ = checked.send(read?).await;
    }
    Ok(())
}

/// Asks where the groups of a page are, up to the last that is wanted.
async fn locate_page(client: &Inner, file: FileId, page: &Page, last: GroupIndex) -> Result<Locations, ClientError> {
    let page_groups = CHUNKS_PER_PAGE / CHUNKS_PER_GROUP;
    let end = (page.number + 1).saturating_mul(page_groups).min(last.0 + 1);
    Locations::of(client, file, page.first, end - page.first.0).await
}
