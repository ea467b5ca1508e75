//! Group commit: whatever was sealed while the disk was busy becomes durable together.
//!
//! One flush takes all sealed records, makes each segment that they touch durable once (and the directory, if a
//! segment is new), enters them into the index, and only then tells their writers. A failed fdatasync poisons the
//! store: nothing is acknowledged afterwards, since nobody can know any more what the disk has.

use super::engine::Engine;
use super::index::Location;
use super::ledger::Claim;
use super::record::{Header, State};
use super::segment::Segment;
use super::{StoreError, lock};
use dfs_core::checksum::Digest;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::oneshot;

/// A record whose last byte was written, and which is not durable yet.
pub struct Sealed {
    pub claim: Claim,
    pub segment: Arc<Segment>,
    pub header: Header,
    /// The damaged record in whose place it comes.
    pub replaces: Option<Location>,
    pub checksum: Digest,
    pub done: oneshot::Sender<Result<(), StoreError>>,
}

/// Records that wait for the next flush. Each belongs to a writer that waits for it, so it needs no bound of its own.
#[derive(Default)]
pub struct FlushQueue {
    sealed: Vec<Sealed>,
    posted: bool,
}

impl Sealed {
    /// Tells the writer how it went, after giving up the claim: who hears it may begin the next write at once.
    pub fn complete(self, outcome: Result<(), StoreError>) {
        drop(self.claim);
        let _ = self.done.send(outcome);
    }
}

impl Engine {
    /// Lets the next flush take a record, and sees to it that there is one.
    pub fn enqueue(self: &Arc<Self>, sealed: Sealed) {
        let mut queue = lock(&self.flush_queue);
        queue.sealed.push(sealed);
        if !std::mem::replace(&mut queue.posted, true) {
            let engine = self.clone();
            self.flushes.post(
                move || {
                    let batch = engine.take_sealed();
                    let outcome = engine.flush(&batch);
                    (batch, outcome)
                },
                |(batch, outcome)| batch.into_iter().for_each(|sealed| sealed.complete(outcome)),
            );
        }
    }

    fn take_sealed(&self) -> Vec<Sealed> {
        let mut queue = lock(&self.flush_queue);
        queue.posted = false;
        std::mem::take(&mut queue.sealed)
    }

    fn flush(&self, batch: &[Sealed]) -> Result<(), StoreError> {
        let synced = if self.is_failed() {
            Err(StoreError::Failed)
        } else {
            self.sync(batch).map_err(|error| self.fail(&error, "make chunks durable"))
        };
        if synced.is_err() {
            batch.iter().for_each(Sealed::disown);
            return synced;
        }
        let mut totals = lock(&self.totals);
        let mut new_totals = *totals;
        for sealed in batch {
            sealed.replaces.iter().for_each(|damaged| new_totals.subtract(&damaged.layout));
            new_totals.add(&sealed.header.layout);
        }
        self.index
            .commit(batch.iter().map(|sealed| (sealed.header.key, sealed.location())), &new_totals)
            .map_err(|error| self.fail(&error, "enter chunks into the index"))?;
        *totals = new_totals;
        batch.iter().for_each(|sealed| self.damaged.forget(&sealed.header.key));
        let bytes = batch.iter().map(|sealed| sealed.header.layout.record_length).sum();
        self.unsaved_bytes.fetch_add(bytes, Ordering::AcqRel);
        Ok(())
    }

    fn sync(&self, batch: &[Sealed]) -> io::Result<()> {
        let segments: BTreeMap<u32, _> = batch.iter().map(|sealed| (sealed.segment.number, &sealed.segment)).collect();
        segments.values().try_for_each(|segment| segment.file.sync_data())?;
        self.segments.sync_names(segments.values().copied())
    }
}

impl Sealed {
    fn location(&self) -> Location {
        Location {
            position: self.header.position,
            layout: self.header.layout,
            sequence: self.header.sequence,
            checksum: self.checksum,
        }
    }

    /// Marks a record dead that nobody was promised. After a failed fdatasync the page cache may hold what the disk
    /// never got, and the next process would take it for durable. This helps if it succeeds and harms nobody if not.
    fn disown(&self) {
        let header = Header { state: State::Dead, ..self.header }.encode();
        let _ = self.segment.file.write_at(self.header.position.offset, &[io::IoSlice::new(&header)]);
    }
}
