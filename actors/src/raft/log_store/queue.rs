//! The queue of writes that wait for the lane: what each changes, and whom its durability is told.

use super::super::codec::{self, LogIdForm, VoteForm};
use super::super::types::{LogId, TypeConfig, Vote};
use super::mark::Mark;
use super::{PURGED_KEY, VOTE_KEY, entry_key};
use crate::key_value::Batch;
use openraft::storage::IOFlushed;
use std::collections::VecDeque;
use std::io;

/// Bytes that one group of writes has at most, and at least one write. What waits in the queue is bounded by what
/// Raft keeps in flight.
const GROUP_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What a write changes.
pub(super) enum Change {
    /// Adds entries at the end.
    Append(Vec<(LogId, Vec<u8>)>),
    /// Saves a vote.
    Vote(Vote),
    /// Takes the entries from `first` to `last` away from the end; `left` is the last one then.
    Truncate { first: u64, last: u64, left: Option<LogId> },
    /// Takes the entries from `first` to `last` away from the beginning; `upto` is the last one purged.
    Purge { first: u64, last: u64, upto: LogId },
}

impl Change {
    fn bytes(&self) -> usize {
        match self {
            Change::Append(entries) => entries.iter().map(|(_, bytes)| bytes.len()).sum(),
            Change::Vote(_) | Change::Truncate { .. } | Change::Purge { .. } => 0,
        }
    }

    /// Moves the change into a batch, and into what is durable after it.
    pub(super) fn add_to(&mut self, batch: &mut Batch, durable: &mut Mark) {
        match self {
            Change::Append(entries) => {
                for (id, bytes) in std::mem::take(entries) {
                    batch.put(entry_key(id.index), bytes);
                    durable.log = Some(id.into());
                }
            }
            Change::Vote(vote) => {
                let vote = VoteForm::from(*vote);
                batch.put(VOTE_KEY, codec::encode(&vote));
                durable.vote = Some(vote);
            }
            Change::Truncate { first, last, left } => {
                for index in *first..=*last {
                    batch.delete(entry_key(index));
                }
                durable.log = left.map(LogIdForm::from);
            }
            Change::Purge { first, last, upto } => {
                for index in *first..=*last {
                    batch.delete(entry_key(index));
                }
                let upto = LogIdForm::from(*upto);
                batch.put(PURGED_KEY, codec::encode(&upto));
                durable.log = durable.log.max(Some(upto));
            }
        }
    }
}

/// A write on its way to the disk. Raft hears of it in any case: a write that is lost stalls the cluster silently.
pub(super) struct Write {
    pub(super) change: Change,
    pub(super) sequence: u64,
    done: Option<IOFlushed<TypeConfig>>,
}

impl Write {
    /// Tells Raft how it went.
    pub(super) fn complete(mut self, outcome: io::Result<()>) {
        if let Some(done) = self.done.take() {
            done.io_completed(outcome);
        }
    }
}

impl Drop for Write {
    fn drop(&mut self) {
        if let Some(done) = self.done.take() {
            done.io_completed(Err(io::Error::other("a write of the Raft log was dropped")));
        }
    }
}

/// The writes that wait.
#[derive(Default)]
pub(super) struct Queue {
    writes: VecDeque<Write>,
    sequence: u64,
    running: bool,
    failed: bool,
}

impl Queue {
    /// The number that the next write will have.
    pub(super) fn next_sequence(&self) -> u64 {
        self.sequence + 1
    }

    /// Puts a write at the end. A log that failed once takes no more.
    pub(super) fn push(&mut self, change: Change, done: IOFlushed<TypeConfig>) {
        self.sequence += 1;
        let write = Write { change, sequence: self.sequence, done: Some(done) };
        if self.failed {
            write.complete(Err(io::Error::other("the Raft log failed before")));
        } else {
            self.writes.push_back(write);
        }
    }

    /// How many writes wait.
    pub(super) fn waiting(&self) -> usize {
        self.writes.len()
    }

    /// Whether a job is to be started now.
    pub(super) fn start(&mut self) -> bool {
        let start = !self.running && !self.writes.is_empty();
        self.running |= start;
        start
    }

    /// The job has ended.
    pub(super) fn finish(&mut self) {
        self.running = false;
    }

    /// The next group, in order.
    pub(super) fn take_group(&mut self) -> Vec<Write> {
        let mut bytes = 0;
        let fits = self.writes.iter().take_while(|write| {
            bytes += write.change.bytes();
            bytes <= GROUP_BYTES_MAX
        });
        let count = fits.count().max(1).min(self.writes.len());
        self.writes.drain(..count).collect()
    }

    /// Ends all writes, present and future, with an error.
    pub(super) fn fail(&mut self) {
        self.failed = true;
        for write in self.writes.drain(..) {
            write.complete(Err(io::Error::other("the Raft log failed before")));
        }
    }
}
