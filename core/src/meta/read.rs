//! What can be asked of the state. Every answer is bounded, whatever the size of the namespace.

use super::draft::{Draft, Stop, settle};
use super::generation::Generations;
use super::group::GroupRecord;
use super::record::{ClusterRecord, Counters, FileRecord, NodeRecord, Record, damaged, group_count, read};
use super::view::View;
use super::{Allocation, CreatedUpload, key, report, tree, upload, version};
use crate::id::{ClusterId, FileId, GroupIndex, NodeId};
use crate::limit::{CHUNKS_PER_GROUP, LOCATE_PAGE_MAX, NODES_PAGE_MAX, STATE_TIME_BEHIND_MAX_MS};
use crate::refusal::Refusal;
use crate::settings::{ClusterSettings, write_quorum};
use crate::time::ClusterTime;
use crate::wire::metadata::{
    AllocateGroup, ChunkLocation, CreateFile, FileInfo, FileTarget, GroupHolder, GroupLocations, LocateGroups,
};
use std::ops::Bound;
use std::time::Duration;

/// Whether a request needs an entry, and with it a choice of nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placing<T> {
    /// It was done before; this is the answer.
    Done(T),
    /// Nodes are to be chosen.
    Needed {
        /// How many are wanted.
        replication: u8,
        /// How many are needed at least.
        write_quorum: u8,
    },
}

/// What the cluster has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Totals {
    /// Committed files.
    pub files: u64,
    /// Bytes of committed files, each byte once.
    pub file_bytes: u64,
    /// Uploads in progress.
    pub open_uploads: u64,
    /// Storage nodes that have ever registered.
    pub storage_nodes: u64,
}

/// One committed file; by its id also a version that was replaced not long ago.
///
/// # Errors
/// [`Refusal::NotFound`]; and outside, that the state can not be read.
pub fn stat<V: View>(view: &V, target: &FileTarget) -> Result<Result<FileInfo, Refusal>, V::Error> {
    let (file, name) = match target {
        FileTarget::Name(name) => match tree::find(view, name)? {
            Some(file) => (file, Some(name.clone())),
            None => return Ok(Err(Refusal::NotFound)),
        },
        FileTarget::Id(file) => (*file, None),
    };
    let Some(record) = read::<FileRecord, V>(view, &key::file(file))? else { return Ok(Err(Refusal::NotFound)) };
    if let Some(replaced) = record.replaced(time(view)?) {
        return Ok(Ok(record.info(file, replaced.name.clone(), replaced.size)));
    }
    let Some(committed) = record.committed() else { return Ok(Err(Refusal::NotFound)) };
    let name = match name {
        Some(name) => name,
        None => tree::name(view, committed.directory, &committed.component)?,
    };
    Ok(Ok(record.info(file, name, committed.size)))
}

/// Where the chunks of a committed file, or of a version that was replaced not long ago, are: consecutive groups from
/// the first one wanted. Copies on a store that its node no longer has are left out.
///
/// # Errors
/// [`Refusal::NotFound`]; and outside, that the state can not be read.
pub fn locate<V: View>(view: &V, request: &LocateGroups) -> Result<Result<Vec<GroupLocations>, Refusal>, V::Error> {
    let Some(record) = read::<FileRecord, V>(view, &key::file(request.file))? else {
        return Ok(Err(Refusal::NotFound));
    };
    let Some(size) = readable_size(&record, time(view)?) else { return Ok(Err(Refusal::NotFound)) };
    let groups = group_count(record.chunk_size.chunk_count(size));
    let mut generations = Generations::default();
    let mut page = Vec::new();
    let limit = (request.limit as usize).min(LOCATE_PAGE_MAX);
    for index in (u64::from(request.first.0)..groups).take(limit) {
        let group = GroupIndex(u32::try_from(index).map_err(|_| damaged::<FileRecord>(&key::file(request.file)))?);
        page.push(locations(view, request.file, group, &mut generations)?);
    }
    Ok(Ok(page))
}

/// The bytes of a version that can be read now.
fn readable_size(record: &FileRecord, now: ClusterTime) -> Option<u64> {
    let committed = record.committed().map(|committed| committed.size);
    committed.or_else(|| record.replaced(now).map(|replaced| replaced.size))
}

fn locations<V: View>(
    view: &V,
    file: FileId,
    index: GroupIndex,
    generations: &mut Generations,
) -> Result<GroupLocations, V::Error> {
    let own = key::group(file, index);
    let group: GroupRecord = read(view, &own)?.ok_or_else(|| damaged::<GroupRecord>(&own))?;
    let mut chunks = Vec::new();
    for slot in 0..CHUNKS_PER_GROUP.min(group.known().count()) {
        let placement = group.placement_of(slot).ok_or_else(|| damaged::<GroupRecord>(&own))?;
        let checksum = group.checksum(slot).ok_or_else(|| damaged::<GroupRecord>(&own))?;
        chunks.push(ChunkLocation { epoch: placement.epoch, checksum });
    }
    let mut holders = Vec::new();
    for holder in group.holders() {
        if let Some(verified) = generations.verified(view, holder)? {
            holders.push(GroupHolder { node: holder.node, held: holder.held, verified });
        }
    }
    Ok(GroupLocations { group: index, epoch: group.current().epoch, chunks, holders })
}

/// Whether an upload is to be opened: what the leader asks before it chooses nodes. A `Needed` upload whose size is
/// known to be zero is proposed without nodes.
///
/// # Errors
/// What [`Command::Create`](super::Command::Create) would be refused for, as the state is now; and outside, that the
/// state can not be read.
pub fn creation_state<V: View>(
    view: &V,
    request: &CreateFile,
) -> Result<Result<Placing<CreatedUpload>, Refusal>, V::Error> {
    let Some((_, settings)) = cluster(view)? else { return Ok(Err(Refusal::Unavailable)) };
    if let Some(created) = upload::created(view, request.nonce)? {
        return Ok(Ok(Placing::Done(created)));
    }
    let replication = match upload::copies_wanted(request.replication, &settings, totals(view)?.storage_nodes) {
        Ok(replication) => replication,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let needed = Placing::Needed { replication, write_quorum: write_quorum(replication) };
    settle(version::claim(view, &request.name, request.replace).map(|_| needed))
}

/// Whether a group is to be placed: what the leader asks before it chooses nodes. A request whose epoch is reached
/// and whose reports tell nothing new is answered without an entry.
///
/// # Errors
/// What [`Command::Allocate`](super::Command::Allocate) would be refused for, as the state is now; and outside, that
/// the state can not be read.
pub fn allocation_state<V: View>(
    view: &V,
    request: &AllocateGroup,
) -> Result<Result<Placing<Allocation>, Refusal>, V::Error> {
    settle(try_allocation(view, request))
}

fn try_allocation<V: View>(view: &V, request: &AllocateGroup) -> Result<Placing<Allocation>, Stop<V::Error>> {
    let (record, mut open) = upload::find_open(view, request.file, request.nonce)?;
    let mut draft = Draft::open(view).map_err(Stop::Failed)?;
    report::take(&mut draft, request.file, &record, &mut open, &request.reports)?;
    let known = upload::check_wanted(&draft.state, request, &open)?;
    let news = draft.into_change(Ok(super::Outcome::Done)).changes;
    let mut is_news = false;
    for (key, value) in news {
        is_news |= view.get(&key).map_err(Stop::Failed)? != value;
    }
    Ok(match known.filter(|group| group.current().epoch >= request.epoch && !is_news) {
        Some(group) => Placing::Done(upload::allocation(request.group, &group, record.replication)),
        None => Placing::Needed { replication: record.replication, write_quorum: write_quorum(record.replication) },
    })
}

/// A storage node, if it has registered.
pub fn node<V: View>(view: &V, node: NodeId) -> Result<Option<NodeRecord>, V::Error> {
    read(view, &key::node(node))
}

/// The storage nodes above `after`, by id: `limit` at most, and never more than [`NODES_PAGE_MAX`].
pub fn nodes<V: View>(view: &V, after: Option<NodeId>, limit: usize) -> Result<Vec<NodeRecord>, V::Error> {
    let start = after.map_or(key::node(NodeId(0)), key::node);
    let start = if after.is_some() { Bound::Excluded(&start[..]) } else { Bound::Included(&start[..]) };
    let pairs = view.scan(start, Bound::Excluded(&key::NODES_END), limit.min(NODES_PAGE_MAX))?;
    pairs.iter().map(|(key, value)| Ok(NodeRecord::from_bytes(key, value)?)).collect()
}

/// All storage nodes, by id: they are as few as machines are.
pub fn all_nodes<V: View>(view: &V) -> Result<Vec<NodeRecord>, V::Error> {
    let mut all: Vec<NodeRecord> = Vec::new();
    loop {
        let page = nodes(view, all.last().map(|node| node.node), NODES_PAGE_MAX)?;
        let more = page.len() == NODES_PAGE_MAX;
        all.extend(page);
        if !more {
            return Ok(all);
        }
    }
}

/// Cluster time as of the last entry.
pub fn time<V: View>(view: &V) -> Result<ClusterTime, V::Error> {
    Ok(counters(view)?.time)
}

/// The cluster and its settings, once it is initialised.
pub fn cluster<V: View>(view: &V) -> Result<Option<(ClusterId, ClusterSettings)>, V::Error> {
    Ok(read(view, &key::CLUSTER)?.map(|record: ClusterRecord| (record.cluster, record.settings)))
}

/// What the cluster has.
pub fn totals<V: View>(view: &V) -> Result<Totals, V::Error> {
    let Counters { files, file_bytes, open_uploads, storage_nodes, .. } = counters(view)?;
    Ok(Totals { files, file_bytes, open_uploads, storage_nodes })
}

/// Whether time has to go on in the state, so that the leader has to send [`Command::Tick`](super::Command::Tick)
/// entries where no others come. Something may wait for it: kept answers, open uploads, or replaced versions that can
/// still be read. And it is never far behind the leader's clock, so that requests which say when they were first tried
/// are not taken for old ones.
pub fn needs_ticks<V: View>(view: &V, now: ClusterTime) -> Result<bool, V::Error> {
    let counters = counters(view)?;
    let is_behind = now.since(counters.time) >= Duration::from_millis(STATE_TIME_BEHIND_MAX_MS);
    Ok(is_behind || counters.requests > 0 || counters.open_uploads > 0 || counters.time < counters.graces_end)
}

fn counters<V: View>(view: &V) -> Result<Counters, V::Error> {
    Ok(read(view, &key::COUNTERS)?.unwrap_or_default())
}
