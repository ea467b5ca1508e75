//! Reading the log: from memory where it is there, else from the store.

use super::super::codec::{self, CodecError, EntryForm};
use super::super::types::{LogEntry, TypeConfig, Vote};
use super::{LogStore, entry_key};
use crate::key_value::KeyValue;
use dfs_core::limit::RAFT_APPEND_BYTES_MAX;
use futures_util::stream::{self, BoxStream, Stream, TryStreamExt};
use openraft::storage::RaftLogReader;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds};

/// Entries that are read from the store in one step.
const PAGE_ENTRIES: usize = 256;

pub(super) fn encode_entry(entry: &LogEntry) -> Vec<u8> {
    codec::encode(&EntryForm::from(entry))
}

pub(in crate::raft) fn decode_entry(bytes: &[u8]) -> Result<LogEntry, CodecError> {
    codec::decode::<EntryForm>(bytes)?.into_entry()
}

impl LogStore {
    /// The entries of a range, as many as fit `bytes_max`, and at least one if there is one.
    async fn read(&self, start: u64, end: u64, bytes_max: usize) -> io::Result<Vec<LogEntry>> {
        // What memory has is taken first: whatever is not in it then is in the store.
        let (stored, mut newest) = {
            let state = self.0.state();
            let start = start.max(state.purged.map_or(0, |purged| purged.index + 1));
            let end = end.min(state.last.map_or(0, |last| last.index + 1));
            if start >= end {
                return Ok(Vec::new());
            }
            let middle = state.tail.first().unwrap_or(end).clamp(start, end);
            (start..middle, state.tail.read(middle, end, bytes_max))
        };
        if stored.is_empty() {
            return Ok(newest);
        }
        let store = self.0.store.clone();
        let mut entries = self.0.scope.blocking(move || read_stored(&*store, stored, bytes_max)).await??;
        // The store's part may be empty, if it was purged meanwhile or if the log begins later.
        let Some(last) = entries.last() else { return Ok(newest) };
        if bytes_max == usize::MAX {
            if newest.first().is_some_and(|first| first.log_id.index != last.log_id.index + 1) {
                return Err(CodecError::Damaged.into());
            }
            entries.append(&mut newest);
        }
        Ok(entries)
    }
}

fn read_stored(store: &dyn KeyValue, range: Range<u64>, bytes_max: usize) -> io::Result<Vec<LogEntry>> {
    let mut entries: Vec<LogEntry> = Vec::new();
    let mut bytes = 0;
    let mut start = range.start;
    while start < range.end {
        let (first, end) = (entry_key(start), entry_key(range.end));
        let page =
            store.scan(Bound::Included(&first), Bound::Excluded(&end), PAGE_ENTRIES).map_err(io::Error::other)?;
        let exhausted = page.len() < PAGE_ENTRIES;
        for (_, value) in page {
            let entry = decode_entry(&value)?;
            bytes += value.len();
            if bytes > bytes_max && !entries.is_empty() {
                return Ok(entries);
            }
            if entries.last().is_some_and(|last| last.log_id.index + 1 != entry.log_id.index) {
                return Err(CodecError::Damaged.into());
            }
            start = entry.log_id.index + 1;
            entries.push(entry);
        }
        if exhausted {
            break;
        }
    }
    Ok(entries)
}

fn bounds(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(start) => start.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(end) => end.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    (start, end)
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + openraft::OptionalSend>(
        &mut self,
        range: R,
    ) -> Result<Vec<LogEntry>, io::Error> {
        let (start, end) = bounds(&range);
        self.read(start, end, usize::MAX).await
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.0.state().vote)
    }

    /// As many as one message carries: Raft's own bound counts entries, not bytes.
    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<LogEntry>, io::Error> {
        self.read(start, end, RAFT_APPEND_BYTES_MAX).await
    }

    /// In pages, so that what is applied does not have to fit memory at once.
    async fn entries_stream<R>(
        &mut self,
        range: R,
    ) -> impl Stream<Item = Result<LogEntry, io::Error>> + openraft::OptionalSend
    where
        R: RangeBounds<u64> + Clone + Debug + openraft::OptionalSend,
    {
        let log = self.clone();
        let pages = stream::try_unfold(bounds(&range), move |(start, end)| {
            let log = log.clone();
            async move {
                let page = log.read(start, end, RAFT_APPEND_BYTES_MAX).await?;
                let next = page.last().map(|last| (last.log_id.index + 1, end));
                Ok::<_, io::Error>(next.map(|next| (stream::iter(page.into_iter().map(Ok)), next)))
            }
        });
        let entries: BoxStream<'static, io::Result<LogEntry>> = Box::pin(pages.try_flatten());
        entries
    }
}
