//! Uploads: create, allocate, commit. Each is idempotent, and each refuses as a whole.

use super::draft::{Draft, Stop};
use super::generation::Generations;
use super::group::{GroupRecord, PlacedNode};
use super::record::{CommittedFile, FileRecord, FileState, OpenFile, group_count, read, read_referred};
use super::view::View;
use super::{Allocation, CreatedUpload, Outcome, key, report, resume, tree, version};
use crate::id::{ChunkIndex, Epoch, FileId, GroupIndex, NodeId, UploadNonce};
use crate::limit::REPLICATION_MAX;
use crate::refusal::Refusal;
use crate::settings::{ClusterSettings, write_quorum};
use crate::unit::ChunkSize;
use crate::wire::metadata::{AllocateGroup, CommitFile, CreateFile};
use std::collections::BTreeSet;

/// Opens an upload.
pub fn create<V: View>(
    draft: &mut Draft<'_, V>,
    request: &CreateFile,
    nodes: &[NodeId],
) -> Result<Outcome, Stop<V::Error>> {
    let settings = draft.cluster()?.settings;
    if let Some(created) = created(&draft.state, request.nonce).map_err(Stop::Failed)? {
        return Ok(Outcome::Created(created));
    }
    let replication = copies_wanted(request.replication, &settings, draft.counters.storage_nodes)?;
    let claim = version::claim(&draft.state, &request.name, request.replace)?;
    let placed =
        if nodes.is_empty() && request.size_hint == Some(0) { None } else { Some(place(draft, nodes, replication)?) };
    let file = draft.draw_file();
    let open = OpenFile {
        name: request.name.clone(),
        nonce: request.nonce,
        size_hint: request.size_hint,
        progress: draft.counters.time,
        groups: u32::from(placed.is_some()),
        reported: 0,
        highest: None,
        short: None,
        claim,
        losses: draft.counters.losses,
        mixed: false,
    };
    let record = FileRecord {
        chunk_size: request.chunk_size,
        replication,
        modified: request.modified,
        state: FileState::Open(open),
    };
    let group = placed.map(|nodes| GroupRecord::new(Epoch::FIRST, nodes));
    let first_group = group.as_ref().map(|group| allocation(GroupIndex(0), group, replication));
    if let Some(group) = &group {
        draft.put_group(file, GroupIndex(0), group)?;
    }
    draft.put(key::file(file), &record);
    draft.put(key::nonce(request.nonce), &file);
    resume::enter(draft, &request.name, file);
    draft.counters.open_uploads += 1;
    Ok(Outcome::Created(CreatedUpload { file, replication, first_group }))
}

/// The copies that a new upload aims for.
pub fn copies_wanted(asked: Option<u8>, settings: &ClusterSettings, storage_nodes: u64) -> Result<u8, Refusal> {
    match asked {
        None => Ok(settings.replication),
        Some(0) => Err(Refusal::Malformed),
        Some(asked) if asked > REPLICATION_MAX || u64::from(asked) > storage_nodes => {
            Err(Refusal::TooManyCopies { asked, nodes: u32::try_from(storage_nodes).unwrap_or(u32::MAX) })
        }
        Some(asked) => Ok(asked),
    }
}

/// The open upload that this nonce drew.
pub fn created<V: View>(view: &V, nonce: UploadNonce) -> Result<Option<CreatedUpload>, V::Error> {
    let Some(file) = read::<FileId, V>(view, &key::nonce(nonce))? else { return Ok(None) };
    let record: FileRecord = read_referred(view, &key::file(file))?;
    let group: Option<GroupRecord> = read(view, &key::group(file, GroupIndex(0)))?;
    let first_group = group.map(|group| allocation(GroupIndex(0), &group, record.replication));
    Ok(Some(CreatedUpload { file, replication: record.replication, first_group }))
}

/// Places a group, or places it anew.
pub fn allocate<V: View>(
    draft: &mut Draft<'_, V>,
    request: &AllocateGroup,
    nodes: &[NodeId],
) -> Result<Outcome, Stop<V::Error>> {
    draft.cluster()?;
    let (record, mut open) = find_open(&draft.state, request.file, request.nonce)?;
    report::take(draft, request.file, &record, &mut open, &request.reports)?;
    let known = check_wanted(&draft.state, request, &open)?;
    let group = match known {
        Some(group) if group.current().epoch >= request.epoch => group,
        known => {
            let placed = place(draft, nodes, record.replication)?;
            let group = match known {
                Some(mut group) => {
                    group.replace(request.epoch, placed);
                    group
                }
                None => {
                    open.groups += 1;
                    GroupRecord::new(request.epoch, placed)
                }
            };
            open.progress = draft.counters.time;
            draft.put_group(request.file, request.group, &group)?;
            group
        }
    };
    let allocation = allocation(request.group, &group, record.replication);
    draft.put(key::file(request.file), &FileRecord { state: FileState::Open(open), ..record });
    Ok(Outcome::Allocated(allocation))
}

/// The group as it is, if it exists; refuses an epoch or a group that can not come next.
pub fn check_wanted<V: View>(
    view: &V,
    request: &AllocateGroup,
    open: &OpenFile,
) -> Result<Option<GroupRecord>, Stop<V::Error>> {
    if request.group.0 < open.groups {
        let group: GroupRecord = read_referred(view, &key::group(request.file, request.group)).map_err(Stop::Failed)?;
        let next = group.current().epoch.0.checked_add(1);
        let can_come = request.epoch <= group.current().epoch || Some(request.epoch.0) == next;
        return if can_come { Ok(Some(group)) } else { Err(Refusal::Malformed.into()) };
    }
    let can_come = request.group.0 == open.groups
        && request.epoch == Epoch::FIRST
        && request.group.0 < open.groups_max()
        && request.group <= ChunkIndex(u32::MAX).group();
    if can_come { Ok(None) } else { Err(Refusal::Malformed.into()) }
}

/// Makes an upload visible, in the place of the version that it replaces, if any.
pub fn commit<V: View>(draft: &mut Draft<'_, V>, request: &CommitFile) -> Result<Outcome, Stop<V::Error>> {
    draft.cluster()?;
    let known = draft.get::<FileRecord>(&key::file(request.file))?.ok_or(Refusal::UploadGone)?;
    if let Some(committed) = known.committed().filter(|committed| committed.nonce == request.nonce) {
        let name = tree::name(&draft.state, committed.directory, &committed.component).map_err(Stop::Failed)?;
        return Ok(Outcome::Committed(known.info(request.file, name, committed.size)));
    }
    if let Some(replaced) = known.replaced(draft.counters.time).filter(|replaced| replaced.nonce == request.nonce) {
        return Ok(Outcome::Committed(known.info(request.file, replaced.name.clone(), replaced.size)));
    }
    let (record, mut open) = find_open(&draft.state, request.file, request.nonce)?;
    report::take(draft, request.file, &record, &mut open, &request.reports)?;
    check_complete(&open, record.chunk_size, request.size)?;
    if open.losses != draft.counters.losses {
        check_copies(&draft.state, request.file, &record, &open)?;
    }
    let replaced = version::check(&draft.state, &open.name, open.claim)?;
    // Groups placed in advance that the file did not reach; how many is bounded where they are placed.
    let expected = record.chunk_size.chunk_count(request.size);
    let unreached = u32::try_from(group_count(expected)).map_or(open.groups, |first| first.min(open.groups));
    for group in unreached..open.groups {
        draft.delete_group(request.file, GroupIndex(group))?;
    }
    if let Some(replaced) = replaced {
        version::retire(draft, replaced, &open.name)?;
    }
    let directory = tree::link(draft, &open.name, request.file)?;
    let component = open.name.base().to_owned();
    let info = record.info(request.file, open.name, request.size);
    let committed = CommittedFile { directory, component, size: request.size, nonce: request.nonce };
    draft.put(key::file(request.file), &FileRecord { state: FileState::Committed(committed), ..record });
    draft.delete(key::nonce(request.nonce));
    resume::leave(draft, &info.name, request.file);
    draft.counters.open_uploads = draft.counters.open_uploads.saturating_sub(1);
    draft.counters.files += 1;
    draft.counters.file_bytes = draft.counters.file_bytes.saturating_add(request.size);
    Ok(Outcome::Committed(info))
}

/// Refuses a size that the reported chunks do not make. No chunk is looked at: they are distinct, so as many as
/// expected with the right highest one are all of them, and only one of them is not full.
fn check_complete(open: &OpenFile, chunk_size: ChunkSize, size: u64) -> Result<(), Refusal> {
    let expected = chunk_size.chunk_count(size);
    let last = expected.checked_sub(1);
    let last_length = last.map_or(0, |last| chunk_size.chunk_length(size, last));
    let short = (last_length < chunk_size.bytes()).then_some(last_length).filter(|length| *length > 0);
    let is_complete = open.reported == expected
        && open.highest.map(|highest| u64::from(highest.0)) == last
        && open.short.map(|short| short.length) == short
        && open.short.is_none_or(|short| Some(u64::from(short.index.0)) == last);
    if is_complete { Ok(()) } else { Err(Refusal::Incomplete { reported: open.reported, expected }) }
}

/// Refuses if a reported chunk has not enough copies any more that count: nodes that had them came with other stores, or
/// copies proved to be gone or damaged, since the upload was opened.
fn check_copies<V: View>(view: &V, file: FileId, record: &FileRecord, open: &OpenFile) -> Result<(), Stop<V::Error>> {
    let mut generations = Generations::default();
    for index in 0..open.groups {
        let group: GroupRecord = read_referred(view, &key::group(file, GroupIndex(index))).map_err(Stop::Failed)?;
        let safe = generations.safe(view, &group, record.replication).map_err(Stop::Failed)?;
        if !group.known().without(safe).is_empty() {
            return Err(Refusal::CopiesLost.into());
        }
    }
    Ok(())
}

/// The upload, if it is open and the caller is its writer.
pub fn find_open<V: View>(
    view: &V,
    file: FileId,
    nonce: UploadNonce,
) -> Result<(FileRecord, OpenFile), Stop<V::Error>> {
    let record: FileRecord =
        read(view, &key::file(file)).map_err(Stop::Failed)?.ok_or(Stop::Refused(Refusal::UploadGone))?;
    match &record.state {
        FileState::Open(open) if open.nonce == nonce => {
            let open = open.clone();
            Ok((record, open))
        }
        FileState::Open(_) | FileState::Committed(_) | FileState::Deleted { .. } | FileState::Replaced(_) => {
            Err(Refusal::UploadGone.into())
        }
    }
}

/// The nodes with the generations of their stores; refuses what can not be a placement.
fn place<V: View>(draft: &Draft<'_, V>, nodes: &[NodeId], replication: u8) -> Result<Vec<PlacedNode>, Stop<V::Error>> {
    let needed = write_quorum(replication);
    if nodes.len() < usize::from(needed) {
        return Err(Refusal::TooFewNodes { needed, available: u32::try_from(nodes.len()).unwrap_or(u32::MAX) }.into());
    }
    let distinct: BTreeSet<NodeId> = nodes.iter().copied().collect();
    if distinct.len() != nodes.len() || nodes.len() > usize::from(replication) {
        return Err(Refusal::Malformed.into());
    }
    nodes
        .iter()
        .map(|node| {
            let record = draft.node(*node)?.ok_or(Refusal::Malformed)?;
            Ok(PlacedNode { node: *node, generation: record.generation })
        })
        .collect()
}

/// What is told of a group's current placement.
pub fn allocation(index: GroupIndex, group: &GroupRecord, replication: u8) -> Allocation {
    let current = group.current();
    Allocation {
        group: index,
        epoch: current.epoch,
        write_quorum: write_quorum(replication),
        nodes: current.nodes.iter().map(|placed| placed.node).collect(),
    }
}
