//! Resuming: a later run of the same upload takes over from an earlier one, from the state alone.
//!
//! Open uploads are kept by name, the newest first; an upload is entered when it is created and leaves when it is
//! committed. Which one fits is told from its record: the name, the size and modification time of the source, the chunk
//! size and the copies. Taking over exchanges the nonce, so that the earlier run can neither place, report nor commit
//! any more. A run that may replace a version means the one that has the name when it takes over.

use super::draft::{Draft, Stop, settle};
use super::generation::Generations;
use super::group::GroupRecord;
use super::record::{Claim, FileRecord, FileState, OpenFile, damaged, read, read_referred};
use super::view::View;
use super::{Allocation, Outcome, cluster, key, totals, upload, version};
use crate::id::{FileId, GroupIndex};
use crate::limit::{LOCATE_PAGE_MAX, RESUME_CANDIDATES_MAX};
use crate::name::FileName;
use crate::refusal::Refusal;
use crate::wire::metadata::{FoundUpload, LocateUpload, RecordedChunk, ResumeUpload, ResumedUpload, UploadDifference};
use std::ops::Bound;

/// Whether taking over needs an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resumption {
    /// It does not; this is the answer.
    Answered(FoundUpload),
    /// There is an upload to be handed over.
    Needed,
}

/// How far one group of an open upload is: [`crate::wire::metadata::UploadGroup`] without addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenGroup {
    /// Its present placement.
    pub allocation: Allocation,
    /// Its chunks with enough counted copies.
    pub chunks: Vec<RecordedChunk>,
}

/// What a look at the open uploads of a name gives.
enum Search {
    Nothing,
    Differs(UploadDifference),
    /// It belongs to this run already.
    Ours(FileId, FileRecord, OpenFile),
    /// It may be handed over, with this claim on its name.
    Fits(FileId, FileRecord, OpenFile, Claim),
}

/// Enters an upload among those that can be resumed.
pub fn enter<V: View>(draft: &mut Draft<'_, V>, name: &FileName, file: FileId) {
    draft.put(key::open_upload(name, file), &());
}

/// Takes an upload from among those that can be resumed.
pub fn leave<V: View>(draft: &mut Draft<'_, V>, name: &FileName, file: FileId) {
    draft.delete(key::open_upload(name, file));
}

/// Hands an open upload over to another run, if there is one that fits.
pub fn resume<V: View>(draft: &mut Draft<'_, V>, request: &ResumeUpload) -> Result<Outcome, Stop<V::Error>> {
    draft.cluster()?;
    let found = match search(&draft.state, request)? {
        Search::Nothing => FoundUpload::Nothing,
        Search::Differs(difference) => FoundUpload::Other(difference),
        Search::Ours(file, record, open) => FoundUpload::Resumed(resumed(file, &record, &open)),
        Search::Fits(file, record, open, claim) => {
            let answer = resumed(file, &record, &open);
            draft.delete(key::nonce(open.nonce));
            draft.put(key::nonce(request.nonce), &file);
            let open = OpenFile { nonce: request.nonce, progress: draft.counters.time, claim, ..open };
            // From here on its chunks may be those of either source, until one run has compared all of them.
            let mixed = open.mixed || record.modified != request.modified;
            let (open, modified) = (OpenFile { mixed, ..open }, request.modified);
            draft.put(key::file(file), &FileRecord { state: FileState::Open(open), modified, ..record });
            FoundUpload::Resumed(answer)
        }
    };
    Ok(Outcome::Resumed(found))
}

/// Whether an upload is to be handed over: what the leader asks before it proposes.
///
/// # Errors
/// What [`Command::Resume`](super::Command::Resume) would be refused for, as the state is now; and outside, that the
/// state can not be read.
pub fn resumption_state<V: View>(view: &V, request: &ResumeUpload) -> Result<Result<Resumption, Refusal>, V::Error> {
    if cluster(view)?.is_none() {
        return Ok(Err(Refusal::Unavailable));
    }
    settle(search(view, request)).map(|found| {
        found.map(|found| match found {
            Search::Nothing => Resumption::Answered(FoundUpload::Nothing),
            Search::Differs(difference) => Resumption::Answered(FoundUpload::Other(difference)),
            Search::Ours(file, record, open) => {
                Resumption::Answered(FoundUpload::Resumed(resumed(file, &record, &open)))
            }
            Search::Fits(..) => Resumption::Needed,
        })
    })
}

fn resumed(file: FileId, record: &FileRecord, open: &OpenFile) -> ResumedUpload {
    ResumedUpload { file, replication: record.replication, groups: open.groups, reported: open.reported }
}

/// Looks for the newest open upload of this name that fits.
fn search<V: View>(view: &V, request: &ResumeUpload) -> Result<Search, Stop<V::Error>> {
    let settings = cluster(view).map_err(Stop::Failed)?.ok_or(Refusal::Unavailable)?.1;
    if let Some(file) = read::<FileId, V>(view, &key::nonce(request.nonce)).map_err(Stop::Failed)? {
        let (record, open) = upload::find_open(view, file, request.nonce)?;
        return Ok(Search::Ours(file, record, open));
    }
    let nodes = totals(view).map_err(Stop::Failed)?.storage_nodes;
    let replication = upload::copies_wanted(request.replication, &settings, nodes)?;
    let claim = version::claim(view, &request.name, request.replace)?;
    let (start, end) = key::open_uploads(&request.name);
    let pairs =
        view.scan(Bound::Included(&start), Bound::Excluded(&end), RESUME_CANDIDATES_MAX).map_err(Stop::Failed)?;
    let mut newest = None;
    for (own, _) in pairs {
        let file = key::parse_open_upload(&own).ok_or_else(|| Stop::Failed(damaged::<FileRecord>(&own).into()))?;
        let record: FileRecord = read_referred(view, &key::file(file)).map_err(Stop::Failed)?;
        let FileState::Open(open) = record.state.clone() else {
            return Err(Stop::Failed(damaged::<FileRecord>(&own).into()));
        };
        match difference(request, replication, &record, &open) {
            None => return Ok(Search::Fits(file, record, open, claim)),
            Some(difference) => newest = newest.or(Some(difference)),
        }
    }
    Ok(newest.map_or(Search::Nothing, Search::Differs))
}

/// How an open upload differs from what is to be uploaded, if it does: the source first, then the parameters.
fn difference(
    request: &ResumeUpload,
    replication: u8,
    record: &FileRecord,
    open: &OpenFile,
) -> Option<UploadDifference> {
    if open.size_hint != Some(request.size) {
        Some(UploadDifference::Size)
    } else if (record.modified != request.modified || open.mixed) && !request.compared {
        Some(UploadDifference::Modified)
    } else if record.chunk_size != request.chunk_size {
        Some(UploadDifference::ChunkSize)
    } else if record.replication != replication {
        Some(UploadDifference::Replication)
    } else {
        None
    }
}

/// How far an open upload is: consecutive groups from the first one wanted. A chunk of which fewer copies are counted
/// than an acknowledgement needs is left out: it is to be written again.
///
/// # Errors
/// [`Refusal::UploadGone`] if the caller is not its writer; and outside, that the state can not be read.
pub fn locate_upload<V: View>(view: &V, request: &LocateUpload) -> Result<Result<Vec<OpenGroup>, Refusal>, V::Error> {
    settle(try_locate(view, request))
}

fn try_locate<V: View>(view: &V, request: &LocateUpload) -> Result<Vec<OpenGroup>, Stop<V::Error>> {
    let (record, open) = upload::find_open(view, request.file, request.nonce)?;
    let mut generations = Generations::default();
    let limit = (request.limit as usize).min(LOCATE_PAGE_MAX);
    (request.first.0..open.groups)
        .take(limit)
        .map(|group| open_group(view, request.file, GroupIndex(group), &record, &mut generations))
        .collect::<Result<_, _>>()
        .map_err(Stop::Failed)
}

fn open_group<V: View>(
    view: &V,
    file: FileId,
    index: GroupIndex,
    record: &FileRecord,
    generations: &mut Generations,
) -> Result<OpenGroup, V::Error> {
    let own = key::group(file, index);
    let group: GroupRecord = read_referred(view, &own)?;
    let mut chunks = Vec::new();
    for slot in generations.safe(view, &group, record.replication)?.slots() {
        let placement = group.placement_of(slot).ok_or_else(|| damaged::<GroupRecord>(&own))?;
        let checksum = group.checksum(slot).ok_or_else(|| damaged::<GroupRecord>(&own))?;
        let index = index.chunk(slot);
        let length = record.chunk_length(index);
        chunks.push(RecordedChunk { index, epoch: placement.epoch, length, checksum });
    }
    let nodes = generations.present(view, &group)?;
    let allocation = Allocation { nodes, ..upload::allocation(index, &group, record.replication) };
    Ok(OpenGroup { allocation, chunks })
}
