//! How much of a local copy is right, and reading only the rest.

use crate::fake::{Cluster, content};
use crate::finding::{named, request};
use dfs_client::{Client, ClientError, DownloadRequest, TransferMemory, UploadRequest};
use dfs_core::limit::BLOCK_BYTES;
use dfs_core::range::ByteRange;
use dfs_core::wire::metadata::FileInfo;
use std::collections::BTreeSet;
use std::io::{self, Cursor, Read};

const CHUNK: usize = 2 * BLOCK_BYTES as usize;
const LENGTH: usize = 3 * 16 * CHUNK + CHUNK + 9;

async fn put(client: &Client) -> FileInfo {
    let request = UploadRequest { chunk_size: (2 * BLOCK_BYTES).try_into().unwrap(), ..request("file") };
    client.upload(content(LENGTH), request, &()).await.unwrap()
}

#[tokio::test]
async fn a_copy_is_right_up_to_the_first_chunk_that_is_not_whole_or_differs() {
    let cluster = Cluster::start();
    let client = cluster.client();
    let info = put(&client).await;
    let whole = content(LENGTH).to_vec();
    for (length, right) in [
        (0, 0),
        (CHUNK - 1, 0),
        (CHUNK, CHUNK),
        (17 * CHUNK + 5, 17 * CHUNK),
        (LENGTH - 1, LENGTH - 9),
        (LENGTH, LENGTH),
    ] {
        let copy = Cursor::new(whole[..length].to_vec());
        assert_eq!(client.verified_prefix(&info, copy, &()).await.unwrap(), right as u64, "{length}");
    }
    for (flipped, right) in [(0, 0), (CHUNK - 1, 0), (20 * CHUNK + 3, 20 * CHUNK), (LENGTH - 1, LENGTH - 9)] {
        let mut copy = whole.clone();
        copy[flipped] ^= 1;
        assert_eq!(client.verified_prefix(&info, Cursor::new(copy), &()).await.unwrap(), right as u64, "{flipped}");
    }
    let longer = Cursor::new([&whole[..], b"more"].concat());
    assert_eq!(client.verified_prefix(&info, longer, &()).await.unwrap(), LENGTH as u64);
    assert!(cluster.storage.iter().all(|node| node.reads() == 0), "only checksums were asked for");
}

#[tokio::test]
async fn a_copy_that_cannot_be_read_counts_as_not_there_and_a_version_that_is_gone_is_an_error() {
    struct Failing(Cursor<Vec<u8>>);
    impl Read for Failing {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            // In pieces of odd sizes, and with an error in the third chunk.
            let piece = buffer.len().min(1001);
            match self.0.position() {
                position if position > 2 * CHUNK as u64 + 7 => Err(io::ErrorKind::PermissionDenied.into()),
                _ => self.0.read(&mut buffer[..piece]),
            }
        }
    }
    let cluster = Cluster::start();
    let client = cluster.client();
    let info = put(&client).await;
    let copy = Failing(Cursor::new(content(LENGTH).to_vec()));
    assert_eq!(client.verified_prefix(&info, copy, &()).await.unwrap(), 2 * CHUNK as u64);
    client.delete(named("file")).await.unwrap();
    let error = client.verified_prefix(&info, Cursor::new(content(LENGTH).to_vec()), &()).await.unwrap_err();
    assert!(matches!(error, ClientError::NotFound { .. }), "{error}");
}

#[tokio::test]
async fn the_rest_of_a_version_is_read_without_what_comes_before() {
    let cluster = Cluster::start();
    let client = cluster.client();
    let info = put(&client).await;
    let first = 30 * CHUNK;
    let range = Some(ByteRange::From { first: first as u64, last: None });
    let request = DownloadRequest { range, memory: Some(TransferMemory::default()), ..DownloadRequest::default() };
    let mut rest = Vec::new();
    client.download_version(&info, &mut rest, request, &()).await.unwrap();
    assert!(rest == content(LENGTH)[first..]);
    let reads: BTreeSet<u32> =
        cluster.storage.iter().flat_map(|node| node.take_reads()).map(|read| read.chunk.index.0).collect();
    let chunks = u32::try_from(LENGTH.div_ceil(CHUNK)).unwrap();
    assert_eq!(reads, (30..chunks).collect());
}
