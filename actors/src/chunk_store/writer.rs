//! A writer: streams one chunk into its own region.
//!
//! Pieces are gathered to a few hundred KiB and written by the write lane, one job of a writer at a time, while the
//! next pieces come in. The trailer goes out with the last pieces. A writer that is dropped before it is sealed
//! leaves a header without a trailer: a hole that recovery steps over.

use super::StoreError;
use super::engine::Engine;
use super::flush::Sealed;
use super::index::Location;
use super::ledger::Claim;
use super::record::{HEADER_BYTES, Header, Trailer, ZERO_PAGE};
use super::segment::Segment;
use bytes::Bytes;
use dfs_core::checksum::ChunkSums;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// Bytes that a writer gathers before it bothers the lane.
const GATHER_BYTES: u32 = 256 * 1024;

/// Writes one chunk. Dropping it before [`ChunkWriter::seal`] gives the write up.
#[must_use = "dropping a writer gives the write up"]
pub struct ChunkWriter {
    engine: Arc<Engine>,
    claim: Claim,
    segment: Arc<Segment>,
    header: Header,
    /// The damaged record that this one is to replace.
    replaces: Option<Location>,
    /// Taken in and not yet posted to the lane.
    gathered: Vec<Bytes>,
    gathered_bytes: u32,
    /// Payload bytes that were posted to the lane.
    posted_bytes: u32,
    /// The job that the lane has.
    posted: Option<oneshot::Receiver<Result<(), StoreError>>>,
    failure: Option<StoreError>,
}

impl ChunkWriter {
    pub(super) fn new(
        engine: Arc<Engine>,
        claim: Claim,
        segment: Arc<Segment>,
        header: Header,
        replaces: Option<Location>,
    ) -> ChunkWriter {
        ChunkWriter {
            engine,
            claim,
            segment,
            header,
            replaces,
            gathered: Vec::new(),
            gathered_bytes: 0,
            posted_bytes: 0,
            posted: None,
            failure: None,
        }
    }

    /// Takes the next bytes of the chunk. It holds at most what was given last and a few hundred KiB more; a slow
    /// disk makes it wait.
    ///
    /// # Errors
    /// [`StoreError::WrongLength`] if more bytes come than were announced, [`StoreError::Full`] or another one of
    /// the disk. After any of them the writer is of no more use.
    pub async fn write(&mut self, pieces: Vec<Bytes>) -> Result<(), StoreError> {
        self.check()?;
        for piece in pieces {
            let room = self.header.layout.payload_length - self.posted_bytes - self.gathered_bytes;
            match u32::try_from(piece.len()).ok().filter(|length| *length <= room) {
                Some(0) => {}
                Some(length) => {
                    self.gathered_bytes += length;
                    self.gathered.push(piece);
                }
                None => return Err(self.broken(StoreError::WrongLength)),
            }
        }
        if self.gathered_bytes < GATHER_BYTES {
            return Ok(());
        }
        self.settle().await?;
        let permit = self.permit().await?;
        let job = self.next_job(Vec::new(), permit);
        let (result, posted) = oneshot::channel();
        self.posted = Some(posted);
        self.engine.writes.post(
            move || job.run(),
            move |outcome| {
                let _ = result.send(outcome);
            },
        );
        Ok(())
    }

    /// Ends the chunk. When this returns, it is durable and can be read. The caller has checked that `sums` are those
    /// of the bytes written: every later read relies on them.
    ///
    /// If the future is dropped, the chunk may become durable all the same.
    ///
    /// # Errors
    /// [`StoreError::WrongLength`] if fewer bytes came than were announced, [`StoreError::BadSums`] if the sums are
    /// not those of a chunk of this length, [`StoreError::OtherBytes`] if a damaged record that it was to replace had
    /// others, [`StoreError::Failed`] if the disk cannot make it durable.
    pub async fn seal(mut self, sums: &ChunkSums) -> Result<(), StoreError> {
        self.check()?;
        let length = self.header.layout.payload_length;
        if self.posted_bytes + self.gathered_bytes != length {
            return Err(StoreError::WrongLength);
        }
        if sums.length != length || sums.check_shape().is_err() {
            return Err(StoreError::BadSums);
        }
        let checksum = sums.checksum();
        if self.replaces.is_some_and(|damaged| damaged.checksum != checksum) {
            return Err(StoreError::OtherBytes);
        }
        let trailer = Trailer { key: self.header.key, sequence: self.header.sequence, sums: sums.clone(), checksum };
        self.settle().await?;
        let permit = self.permit().await?;
        let job = self.next_job(trailer.encode(), permit);
        let ChunkWriter { engine, claim, segment, header, replaces, .. } = self;
        let (done, outcome) = oneshot::channel();
        let sealed = Sealed { claim, segment, header, replaces, checksum, done };
        engine.clone().writes.post(
            move || job.run(),
            move |written| match written {
                Ok(()) => engine.enqueue(sealed),
                Err(error) => sealed.complete(Err(error)),
            },
        );
        outcome.await.unwrap_or(Err(StoreError::Stopping))
    }

    fn check(&mut self) -> Result<(), StoreError> {
        self.failure.map_or(Ok(()), Err)?;
        self.engine.check()
    }

    fn broken(&mut self, error: StoreError) -> StoreError {
        self.failure = Some(error);
        error
    }

    /// Waits for the job that the lane has.
    async fn settle(&mut self) -> Result<(), StoreError> {
        let Some(posted) = &mut self.posted else { return Ok(()) };
        let outcome = posted.await.unwrap_or(Err(StoreError::Stopping));
        self.posted = None;
        outcome.map_err(|error| self.broken(error))
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        self.engine.write_permits.clone().acquire_owned().await.map_err(|_| StoreError::Stopping)
    }

    /// Everything gathered, at its place.
    fn next_job(&mut self, trailer: Vec<u8>, permit: OwnedSemaphorePermit) -> WriteJob {
        let begins = self.posted_bytes == 0;
        let layout = &self.header.layout;
        let payload_at = u64::from(layout.payload_offset) + u64::from(self.posted_bytes);
        let job = WriteJob {
            engine: self.engine.clone(),
            segment: self.segment.clone(),
            offset: self.header.position.offset + if begins { 0 } else { payload_at },
            header: begins.then(|| self.header.encode()),
            gap: layout.payload_offset as usize - HEADER_BYTES,
            pieces: std::mem::take(&mut self.gathered),
            trailer,
            _permit: permit,
        };
        self.posted_bytes += std::mem::take(&mut self.gathered_bytes);
        job
    }
}

/// One vectored write.
struct WriteJob {
    engine: Arc<Engine>,
    segment: Arc<Segment>,
    offset: u64,
    /// The header, if the record begins with this job.
    header: Option<[u8; HEADER_BYTES]>,
    /// Bytes between header and payload.
    gap: usize,
    pieces: Vec<Bytes>,
    /// The trailer, if the record ends with this job.
    trailer: Vec<u8>,
    _permit: OwnedSemaphorePermit,
}

impl WriteJob {
    fn run(self) -> Result<(), StoreError> {
        if self.engine.writes_closed.load(Ordering::Acquire) {
            return Err(StoreError::Stopping);
        }
        self.write().map_err(|error| {
            tracing::warn!(%error, segment = self.segment.number, "a chunk could not be written");
            StoreError::of_write(&error)
        })
    }

    fn write(&self) -> io::Result<()> {
        let mut slices = Vec::with_capacity(self.pieces.len() + 3);
        if let Some(header) = &self.header {
            slices.push(IoSlice::new(header));
            slices.push(IoSlice::new(&ZERO_PAGE[..self.gap]));
        }
        slices.extend(self.pieces.iter().map(|piece| IoSlice::new(piece)));
        slices.push(IoSlice::new(&self.trailer));
        self.segment.file.write_at(self.offset, &slices)
    }
}
