//! Downloading a file.
//!
//! The file is looked up once; from then on its id names the version that is read, whatever happens to its name.
//! Several chunks are read at once, each from the replica whose turn it is, and handed to the sink in order once they are
//! checked. The window of chunks that are read ahead bounds the memory.
//!
//! Deliberately absent: ranges, and any way for unchecked bytes to reach the sink.

mod fetch;
mod locations;
mod replicas;

use crate::client::{Inner, PARALLEL_DEFAULT, PARALLEL_MAX};
use crate::error::{ClientError, Subject};
use crate::in_flight::{InFlight, Share};
use crate::progress::Progress;
use crate::sink::Sink;
use bytes::Bytes;
use dfs_core::id::{ChunkId, ChunkIndex, GroupIndex};
use dfs_core::limit::{CHUNKS_PER_GROUP, LOCATE_PAGE_MAX};
use dfs_core::wire::metadata::{FileInfo, FileTarget, StatFile};
use fetch::{Wanted, fetch_chunk};
use futures_util::stream::{FuturesOrdered, StreamExt};
use locations::Locations;
use std::sync::Arc;
use tokio::sync::{OnceCell, mpsc};

/// Chunks that may wait for the sink beside those that are being read.
const AHEAD: usize = 2;
/// Chunks whose locations come in one page.
const CHUNKS_PER_PAGE: u32 = LOCATE_PAGE_MAX as u32 * CHUNKS_PER_GROUP;

/// How to download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DownloadRequest {
    /// Chunks that are read at once, up to [`PARALLEL_MAX`](crate::client::PARALLEL_MAX). Large chunks are fewer, so
    /// that no more than 64 MiB (and at least one chunk) are in memory.
    pub parallel: usize,
}

impl Default for DownloadRequest {
    fn default() -> Self {
        DownloadRequest { parallel: PARALLEL_DEFAULT }
    }
}

/// A page of locations, asked for by the first chunk that needs it.
type Page = Arc<OnceCell<Locations>>;

/// The bytes of a checked chunk, and the memory that they take.
type Checked = (Bytes, Share);

/// Downloads a file. See [`Client::download`](crate::Client::download).
pub(crate) async fn download(
    client: &Inner,
    target: FileTarget,
    mut sink: impl Sink,
    request: &DownloadRequest,
    progress: &dyn Progress,
) -> Result<FileInfo, ClientError> {
    let stat = StatFile { target };
    let info: FileInfo = client.leader.ask(&stat, Subject::File(&stat.target)).await?;
    let chunks = u32::try_from(info.chunk_size.chunk_count(info.size)).map_err(|_| ClientError::TooLarge)?;
    progress.started(Some(info.size));
    let (sender, mut checked) = mpsc::channel(1);
    let reading = read_chunks(client, &info, chunks, request.parallel.clamp(1, PARALLEL_MAX), sender);
    let writing = async {
        while let Some((bytes, memory)) = checked.recv().await {
            let length = bytes.len() as u64;
            sink.write(bytes).await.map_err(ClientError::Sink)?;
            drop(memory);
            progress.advanced(length);
        }
        Ok(())
    };
    tokio::try_join!(reading, writing)?;
    Ok(info)
}

/// Reads all chunks, several at once, and hands them on in order.
async fn read_chunks(
    client: &Inner,
    info: &FileInfo,
    chunks: u32,
    parallel: usize,
    checked: mpsc::Sender<Checked>,
) -> Result<(), ClientError> {
    let in_flight = InFlight::new(info.chunk_size, parallel + AHEAD);
    let mut pages = (0, Page::default());
    let mut reads = FuturesOrdered::new();
    for index in (0..chunks).map(ChunkIndex) {
        let length = info.chunk_size.chunk_length(info.size, u64::from(index.0));
        // Memory is taken in the order of the chunks, so that none can wait for one behind it.
        let memory = loop {
            let free = in_flight.try_take(length as usize).filter(|_| reads.len() < parallel);
            match free {
                Some(memory) => break memory,
                None if reads.is_empty() => break in_flight.take(length as usize).await?,
                None => hand_on(&mut reads, &checked).await?,
            }
        };
        let page = index.0 / CHUNKS_PER_PAGE;
        if page != pages.0 {
            pages = (page, Page::default());
        }
        let wanted = Wanted { chunk: ChunkId { file: info.file, index }, length };
        let page = Arc::clone(&pages.1);
        reads.push_back(async move {
            let locations = page.get_or_try_init(|| locate_page(client, wanted, chunks)).await?;
            Ok((fetch_chunk(client, wanted, locations).await?, memory))
        });
    }
    while !reads.is_empty() {
        hand_on(&mut reads, &checked).await?;
    }
    Ok(())
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

/// Asks for the page of locations that has this chunk.
async fn locate_page(client: &Inner, wanted: Wanted, chunks: u32) -> Result<Locations, ClientError> {
    let page_groups = CHUNKS_PER_PAGE / CHUNKS_PER_GROUP;
    let first = wanted.chunk.index.group().0 / page_groups * page_groups;
    let count = (chunks.div_ceil(CHUNKS_PER_GROUP) - first).min(page_groups);
    Locations::of(client, wanted.chunk.file, GroupIndex(first), count).await
}
