//! Cutting a source into chunks, with their checksums, within a bounded amount of memory.

use crate::error::ClientError;
use crate::in_flight::{InFlight, Share};
use crate::source::Source;
use bytes::Bytes;
use dfs_core::checksum::{ChunkHasher, ChunkSums};
use dfs_core::id::ChunkIndex;
use dfs_core::limit::BLOCK_BYTES;
use dfs_core::unit::ChunkSize;
use dfs_transport::world::Scope;

/// Bytes that are hashed where they are, because handing them to a thread would cost more.
const HASH_INLINE_BYTES: usize = BLOCK_BYTES as usize;

/// One chunk that is to be written. Its memory counts as in flight until it is dropped.
#[derive(Debug)]
pub(super) struct Chunk {
    /// Its place in the file.
    pub(super) index: ChunkIndex,
    /// Its bytes, in order.
    pub(super) pieces: Vec<Bytes>,
    /// Their checksums.
    pub(super) sums: ChunkSums,
    _memory: Share,
}

/// Cuts one source.
#[derive(Debug)]
pub(super) struct Cutter<S> {
    source: S,
    scope: Scope,
    chunk_size: ChunkSize,
    in_flight: InFlight,
    next: u64,
    given: u64,
    said: Option<u64>,
}

impl<S: Source> Cutter<S> {
    /// Cuts `source` as fast as there is memory for its chunks.
    pub(super) fn new(source: S, scope: Scope, chunk_size: ChunkSize, in_flight: InFlight) -> Cutter<S> {
        Cutter { said: source.size(), source, scope, chunk_size, in_flight, next: 0, given: 0 }
    }

    /// How many bytes have been cut so far: the size of the file once there are no more chunks.
    pub(super) fn given(&self) -> u64 {
        self.given
    }

    /// The place of the next chunk.
    pub(super) fn next_index(&self) -> Result<ChunkIndex, ClientError> {
        u32::try_from(self.next).map(ChunkIndex).map_err(|_| ClientError::TooLarge)
    }

    /// Leaves out the next chunk of a source that said its size; nothing at the end.
    pub(super) async fn skip(&mut self) -> Result<Option<ChunkIndex>, ClientError> {
        let index = self.next_index()?;
        let length = self.said.map_or(0, |said| self.chunk_size.chunk_length(said, self.next));
        if length == 0 {
            return Ok(None);
        }
        self.source.skip(u64::from(length)).await.map_err(ClientError::of_source)?;
        self.given += u64::from(length);
        self.next += 1;
        Ok(Some(index))
    }

    /// The next chunk, once there is memory for it; nothing at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Chunk>, ClientError> {
        let wanted = match self.said {
            Some(said) => self.chunk_size.chunk_length(said, self.next) as usize,
            None => self.chunk_size.bytes() as usize,
        };
        let memory = self.in_flight.take(wanted).await?;
        let pieces = self.read(wanted).await?;
        let length: usize = pieces.iter().map(Bytes::len).sum();
        self.given += length as u64;
        // A source that said its size must have given all of it, and then nothing more.
        if let Some(said) = self.said {
            let whole = length == wanted && (wanted > 0 || self.read(1).await?.is_empty());
            if !whole {
                return Err(ClientError::SourceSize { said, given: self.given });
            }
        }
        if length == 0 {
            return Ok(None);
        }
        let index = self.next_index()?;
        self.next += 1;
        let (pieces, sums) =
            if length <= HASH_INLINE_BYTES { hash(pieces) } else { self.scope.blocking(move || hash(pieces)).await? };
        Ok(Some(Chunk { index, pieces, sums, _memory: memory }))
    }

    /// Reads until there are `wanted` bytes, or the source ends.
    async fn read(&mut self, wanted: usize) -> Result<Vec<Bytes>, ClientError> {
        let mut pieces = Vec::new();
        let mut missing = wanted;
        while missing > 0 {
            let piece = self.source.read(missing).await.map_err(ClientError::of_source)?;
            if piece.is_empty() {
                break;
            }
            missing = missing.saturating_sub(piece.len());
            pieces.push(piece);
        }
        Ok(pieces)
    }
}

fn hash(pieces: Vec<Bytes>) -> (Vec<Bytes>, ChunkSums) {
    let mut hasher = ChunkHasher::new();
    for piece in &pieces {
        hasher.update(piece);
    }
    (pieces, hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::PipeSource;
    use dfs_transport::world::World;
    use std::io::Cursor;
    use std::time::Duration;

    const CHUNK: usize = 64 * 1024;

    fn chunk_size() -> ChunkSize {
        ChunkSize::try_from(CHUNK as u64).unwrap()
    }

    #[tokio::test]
    async fn chunks_tile_a_pipe_without_an_empty_tail() {
        let world = World::production("test");
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK] {
            let content: Vec<u8> = (0..length).map(|i| (i % 249) as u8).collect();
            let source = PipeSource::new(&world.scope, Cursor::new(content.clone()));
            let mut cutter = Cutter::new(source, world.scope.clone(), chunk_size(), InFlight::new(chunk_size(), 4));
            let mut all = Vec::new();
            while let Some(chunk) = cutter.next().await.unwrap() {
                let bytes = chunk.pieces.concat();
                assert!((1..=CHUNK).contains(&bytes.len()));
                assert_eq!(chunk.sums, ChunkSums::of(&bytes));
                all.extend(bytes);
            }
            assert_eq!(all, content);
            assert_eq!(cutter.given(), length as u64);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_is_read_than_may_be_in_flight() {
        let world = World::production("test");
        let source = Bytes::from(vec![1; 10 * CHUNK]);
        let mut cutter = Cutter::new(source, world.scope.clone(), chunk_size(), InFlight::new(chunk_size(), 2));
        let first = cutter.next().await.unwrap();
        let _second = cutter.next().await.unwrap();
        assert!(tokio::time::timeout(Duration::from_secs(60), cutter.next()).await.is_err());
        drop(first);
        assert!(cutter.next().await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_source_that_gives_another_size_than_it_said_is_an_error() {
        struct Liar(u64, Bytes);
        impl Source for Liar {
            fn size(&self) -> Option<u64> {
                Some(self.0)
            }
            async fn read(&mut self, max: usize) -> std::io::Result<Bytes> {
                self.1.read(max).await
            }
        }
        let world = World::production("test");
        for said in [0, 99, 101] {
            let source = Liar(said, Bytes::from(vec![1; 100]));
            let mut cutter = Cutter::new(source, world.scope.clone(), chunk_size(), InFlight::new(chunk_size(), 4));
            let mut outcome = cutter.next().await;
            while matches!(outcome, Ok(Some(_))) {
                outcome = cutter.next().await;
            }
            assert!(matches!(outcome, Err(ClientError::SourceSize { .. })), "{said}");
        }
    }
}
