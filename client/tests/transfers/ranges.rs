//! Ranges of files: exactly the bytes that were asked for, from exactly the blocks that have them.

use crate::fake::{Cluster, content};
use crate::finding::{named, request};
use crate::storage::Fault;
use dfs_client::{Client, ClientError, DownloadRequest, ErrorKind, UploadRequest};
use dfs_core::id::NodeId;
use dfs_core::limit::BLOCK_BYTES;
use std::collections::BTreeSet;

const BLOCK: usize = BLOCK_BYTES as usize;
const CHUNK: usize = 3 * BLOCK;
const GROUP: usize = 16 * CHUNK;
/// Three groups, the last of which has one chunk of one block and a bit.
const LENGTH: usize = 2 * GROUP + BLOCK + 5;

async fn put(client: &Client) {
    let request = UploadRequest { chunk_size: (3 * BLOCK_BYTES).try_into().unwrap(), ..request("file") };
    client.upload(content(LENGTH), request, &()).await.unwrap();
}

async fn get(client: &Client, range: &str) -> Result<Vec<u8>, ClientError> {
    let request = DownloadRequest { range: Some(range.parse().unwrap()), ..DownloadRequest::default() };
    let mut bytes = Vec::new();
    client.download(named("file"), &mut bytes, request, &()).await?;
    Ok(bytes)
}

/// The blocks that were asked for since this was asked last, each once, counted through the file.
fn blocks_read(cluster: &Cluster) -> Vec<usize> {
    let reads = cluster.storage.iter().flat_map(|node| node.take_reads());
    let mut blocks: Vec<usize> = reads
        .flat_map(|read| {
            let first = read.chunk.index.0 as usize * 3 + read.offset as usize / BLOCK;
            let end = read.chunk.index.0 as usize * 3 + (read.offset + read.length).div_ceil(BLOCK_BYTES) as usize;
            first..end
        })
        .collect();
    blocks.sort_unstable();
    // On a busy machine a read may be late and be asked for again.
    blocks.dedup();
    blocks
}

/// Ends of blocks, chunks, groups and the file, and one byte to either side.
fn edges() -> Vec<usize> {
    let edges = [0, BLOCK, CHUNK, CHUNK + 2 * BLOCK, GROUP, 2 * GROUP, 2 * GROUP + BLOCK, LENGTH];
    let around = edges.into_iter().flat_map(|edge| [edge.saturating_sub(1), edge, edge + 1]);
    around.filter(|byte| *byte < LENGTH).collect::<BTreeSet<usize>>().into_iter().collect()
}

#[tokio::test]
async fn a_range_is_exactly_its_bytes_from_exactly_its_blocks() {
    let cluster = Cluster::start();
    let client = cluster.client();
    put(&client).await;
    let whole = content(LENGTH);
    let edges = edges();
    for (position, first) in edges.iter().enumerate() {
        // Each edge with itself, the next two and the last.
        for last in edges[position..].iter().take(3).chain(edges.last()) {
            let range = format!("{first}-{last}");
            assert!(get(&client, &range).await.unwrap() == whole[*first..=*last], "{range}");
            let wanted: Vec<usize> = (first / BLOCK..=last / BLOCK).collect();
            assert_eq!(blocks_read(&cluster), wanted, "{range}");
        }
    }
}

#[tokio::test]
async fn open_ended_ranges_and_suffixes_end_with_the_file() {
    let cluster = Cluster::start();
    let client = cluster.client();
    put(&client).await;
    let whole = content(LENGTH);
    let last = LENGTH - 1;
    for (range, from) in [
        ("0-".to_owned(), 0),
        (format!("{}-", LENGTH - 7), LENGTH - 7),
        (format!("{last}-"), last),
        (format!("{last}-{}", u64::MAX), last),
        ("-1".to_owned(), last),
        (format!("-{}", GROUP + 1), LENGTH - GROUP - 1),
        (format!("-{}", LENGTH + 1), 0),
    ] {
        assert!(get(&client, &range).await.unwrap() == whole[from..], "{range}");
        assert_eq!(blocks_read(&cluster), (from / BLOCK..=last / BLOCK).collect::<Vec<_>>(), "{range}");
    }
}

#[tokio::test]
async fn a_range_beyond_the_end_is_an_error_that_names_the_size() {
    let cluster = Cluster::start();
    let client = cluster.client();
    put(&client).await;
    for range in [format!("{LENGTH}-"), format!("{LENGTH}-{}", LENGTH + 5), "-0".to_owned()] {
        let error = get(&client, &range).await.unwrap_err();
        assert!(matches!(error, ClientError::RangeBeyondEnd(_)), "{error}");
        assert!(error.to_string().contains(&format!("{LENGTH} bytes")), "{error}");
        assert_eq!(error.kind(), ErrorKind::Refused);
    }
    assert!(blocks_read(&cluster).is_empty());
}

#[tokio::test]
async fn a_part_of_a_chunk_is_checked_as_a_whole_chunk_is() {
    for fault in [Fault::Rotten, Fault::Lying, Fault::BreaksOff] {
        let cluster = Cluster::start();
        let client = cluster.client();
        put(&client).await;
        cluster.set_fault(NodeId(1), fault);
        cluster.set_fault(NodeId(3), fault);
        // The flipped bit is in the middle of the chunk, whose first node is the first.
        let (first, last) = (CHUNK / 2 - 10, CHUNK / 2 + 10);
        let bytes = get(&client, &format!("{first}-{last}")).await.unwrap();
        assert!(bytes == content(LENGTH)[first..=last], "{fault:?}");
    }
}
