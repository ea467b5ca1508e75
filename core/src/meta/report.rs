//! Reports of durable chunks: the client's, which ride its requests, and a primary's late ones, which ride its beats.
//!
//! A chunk becomes known by a report of the group's current epoch with a quorum of holders. A report of a chunk that
//! is known under the report's epoch already only adds holders, also when the group has been placed anew since, so
//! that a repeated request is answered like the first.

use super::draft::{Draft, Stop};
use super::group::GroupRecord;
use super::record::{FileRecord, FileState, OpenFile, ShortChunk};
use super::view::View;
use super::{Outcome, key};
use crate::checksum::Digest;
use crate::id::{ChunkIndex, Epoch, FileId, Incarnation, NodeId};
use crate::limit::{LATE_REPORTS_PER_ENTRY_MAX, REPORT_GROUPS_MAX};
use crate::mask::ChunkMask;
use crate::refusal::Refusal;
use crate::settings::write_quorum;
use crate::unit::ChunkSize;
use crate::wire::membership::LateReport;
use crate::wire::metadata::{ChunkReport, GroupReport};
use std::collections::BTreeSet;

/// A chunk as a report tells it, whoever sent it.
struct Told {
    index: ChunkIndex,
    epoch: Epoch,
    length: u32,
    checksum: Digest,
    holders: BTreeSet<NodeId>,
}

impl Told {
    fn by_client(epoch: Epoch, chunk: &ChunkReport) -> Told {
        let holders = chunk.holders.iter().copied().collect();
        Told { index: chunk.index, epoch, length: chunk.length, checksum: chunk.checksum, holders }
    }

    fn by_primary(report: &LateReport) -> Told {
        let holders = report.holders.iter().copied().collect();
        let LateReport { epoch, length, checksum, .. } = *report;
        Told { index: report.chunk.index, epoch, length, checksum, holders }
    }

    fn has_quorum(&self, replication: u8) -> bool {
        self.holders.len() >= usize::from(write_quorum(replication))
    }

    /// Whether the chunk is known under this very epoch.
    fn is_known(&self, group: &GroupRecord) -> bool {
        group.placement_of(self.index.slot()).is_some_and(|placement| placement.epoch == self.epoch)
    }

    /// Whether `node` is the chunk's primary in the placement that it was written under.
    fn is_of_primary(&self, group: &GroupRecord, node: NodeId) -> bool {
        let slot = self.index.slot();
        let written = group.placement_of(slot).filter(|placement| placement.epoch == self.epoch);
        written.unwrap_or(group.current()).primary(slot) == Some(node)
    }

    /// Adds holders of a chunk that is known under this very epoch, with these `length` bytes.
    fn merge(&self, group: &mut GroupRecord, length: u32) -> Result<(), Refusal> {
        let slot = self.index.slot();
        let placed = group.placement_of(slot).and_then(|placement| placement.select(self.holders.iter().copied()));
        let placed = placed.ok_or(Refusal::BadReport)?;
        if group.checksum(slot) != Some(self.checksum) || self.length != length {
            return Err(Refusal::BadReport);
        }
        group.add_holders(slot, &placed);
        Ok(())
    }

    /// Makes a chunk known that was written under the current epoch.
    fn record(&self, group: &mut GroupRecord, open: &mut OpenFile, chunk_size: ChunkSize) -> Result<(), Refusal> {
        let current = group.current();
        if self.epoch != current.epoch {
            return Err(Refusal::StaleEpoch { current: current.epoch });
        }
        let placed = current.select(self.holders.iter().copied()).ok_or(Refusal::BadReport)?;
        let slot = self.index.slot();
        open.count_chunk(self.index, self.length, chunk_size, !group.known().has(slot))?;
        group.put_chunk(slot, self.checksum);
        group.add_holders(slot, &placed);
        Ok(())
    }
}

impl OpenFile {
    /// The bytes of a known chunk.
    pub(super) fn chunk_length(&self, index: ChunkIndex, chunk_size: ChunkSize) -> u32 {
        self.short.filter(|short| short.index == index).map_or(chunk_size.bytes(), |short| short.length)
    }

    /// Counts a reported chunk. Only one chunk of a file may be short.
    fn count_chunk(
        &mut self,
        index: ChunkIndex,
        length: u32,
        chunk_size: ChunkSize,
        is_new: bool,
    ) -> Result<(), Refusal> {
        let was_short = self.short.is_some_and(|short| short.index == index);
        if length == 0 || length > chunk_size.bytes() {
            return Err(Refusal::BadReport);
        }
        if length < chunk_size.bytes() {
            if self.short.is_some() && !was_short {
                return Err(Refusal::BadReport);
            }
            self.short = Some(ShortChunk { index, length });
        } else if was_short {
            self.short = None;
        }
        if is_new {
            self.reported += 1;
            self.highest = self.highest.max(Some(index));
        }
        Ok(())
    }
}

/// Takes in the reports that ride a client's request: all of them, or the request is refused.
pub fn take<V: View>(
    draft: &mut Draft<'_, V>,
    file: FileId,
    record: &FileRecord,
    open: &mut OpenFile,
    reports: &[GroupReport],
) -> Result<(), Stop<V::Error>> {
    if reports.len() > REPORT_GROUPS_MAX {
        return Err(Refusal::Malformed.into());
    }
    for report in reports {
        check_shape(report)?;
        let own = key::group(file, report.group);
        let mut group: GroupRecord = draft.get(&own)?.ok_or(Refusal::BadReport)?;
        for chunk in &report.chunks {
            let told = Told::by_client(report.epoch, chunk);
            if !told.has_quorum(record.replication) {
                return Err(Refusal::BadReport.into());
            }
            if told.is_known(&group) {
                told.merge(&mut group, open.chunk_length(told.index, record.chunk_size))?;
            } else {
                told.record(&mut group, open, record.chunk_size)?;
            }
        }
        draft.put_group(file, report.group, &group)?;
    }
    if !reports.is_empty() {
        open.progress = draft.counters.time;
    }
    Ok(())
}

/// Refuses a report with chunks of another group, or with two reports of one chunk.
fn check_shape(report: &GroupReport) -> Result<(), Refusal> {
    let mut seen = ChunkMask::EMPTY;
    for chunk in &report.chunks {
        if chunk.index.group() != report.group || seen.has(chunk.index.slot()) {
            return Err(Refusal::Malformed);
        }
        seen = seen.union(ChunkMask::of(chunk.index.slot()));
    }
    Ok(())
}

/// Records late copies. One that does not fit (any more) is passed over: its chunk was written again, or its file
/// is gone, and nobody waits for it. A chunk's primary speaks for its copies, and no other node.
pub fn record_copies<V: View>(
    draft: &mut Draft<'_, V>,
    reporter: NodeId,
    incarnation: Incarnation,
    reports: &[LateReport],
) -> Result<Outcome, Stop<V::Error>> {
    draft.cluster()?;
    if reports.len() > LATE_REPORTS_PER_ENTRY_MAX {
        return Err(Refusal::Malformed.into());
    }
    if draft.node(reporter)?.is_none_or(|node| node.incarnation != incarnation) {
        return Err(Refusal::StaleIncarnation.into());
    }
    for report in reports {
        take_late(draft, reporter, report)?;
    }
    Ok(Outcome::Recorded { taken: u32::try_from(reports.len()).unwrap_or(u32::MAX) })
}

fn take_late<V: View>(draft: &mut Draft<'_, V>, reporter: NodeId, report: &LateReport) -> Result<(), Stop<V::Error>> {
    let file_key = key::file(report.chunk.file);
    let Some(mut record) = draft.get::<FileRecord>(&file_key)? else { return Ok(()) };
    let group_key = key::group(report.chunk.file, report.chunk.index.group());
    let Some(mut group) = draft.get::<GroupRecord>(&group_key)? else { return Ok(()) };
    let told = Told::by_primary(report);
    if !told.is_of_primary(&group, reporter) {
        return Ok(());
    }
    let length = record.chunk_length(told.index);
    let taken = match &mut record.state {
        FileState::Open(_) | FileState::Committed(_) | FileState::Replaced(_) if told.is_known(&group) => {
            told.merge(&mut group, length)
        }
        FileState::Open(open) if told.has_quorum(record.replication) => {
            open.progress = draft.counters.time;
            told.record(&mut group, open, record.chunk_size)
        }
        FileState::Open(_) | FileState::Committed(_) | FileState::Deleted { .. } | FileState::Replaced(_) => {
            return Ok(());
        }
    };
    if taken.is_ok() {
        draft.put_group(report.chunk.file, report.chunk.index.group(), &group)?;
        if matches!(record.state, FileState::Open(_)) {
            draft.put(file_key, &record);
        }
    }
    Ok(())
}
