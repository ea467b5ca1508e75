//! Which copies the state counts, page by page: what whoever compares metadata with stores reads.

use super::generation::Generations;
use super::group::GroupRecord;
use super::key;
use super::record::{Record, damaged};
use super::view::View;
use crate::checksum::Digest;
use crate::id::{ChunkId, Epoch, FileId, GroupIndex, NodeId};
use std::ops::Bound;

/// A chunk that the state knows, of a file in whatever state: being uploaded, visible, or deleted and not freed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownChunk {
    /// The chunk.
    pub chunk: ChunkId,
    /// The epoch under which it was written.
    pub epoch: Epoch,
    /// Its checksum.
    pub checksum: Digest,
    /// The nodes whose copies count: those on a store that its node no longer has are left out.
    pub holders: Vec<NodeId>,
}

/// A page of known chunks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownPage {
    /// Those of all groups looked at.
    pub chunks: Vec<KnownChunk>,
    /// The last group looked at; nothing lies behind it if it is absent.
    pub last: Option<(FileId, GroupIndex)>,
}

/// The chunks of the groups above `after`, in the order of files and groups: of `limit` groups at most.
///
/// # Errors
/// The state cannot be read.
pub fn known_chunks<V: View>(
    view: &V,
    after: Option<(FileId, GroupIndex)>,
    limit: usize,
) -> Result<KnownPage, V::Error> {
    let start = after.map_or(key::group(FileId(0), GroupIndex(0)), |(file, group)| key::group(file, group));
    let start = if after.is_some() { Bound::Excluded(&start[..]) } else { Bound::Included(&start[..]) };
    let mut generations = Generations::default();
    let mut page = KnownPage::default();
    for (own, value) in view.scan(start, Bound::Excluded(&key::GROUPS_END), limit)? {
        let (file, index) = key::parse_group(&own).ok_or_else(|| damaged::<GroupRecord>(&own))?;
        let group = GroupRecord::from_bytes(&own, &value)?;
        let mut counted = Vec::new();
        for holder in group.holders() {
            counted.extend(generations.counts(view, holder)?.then_some(holder));
        }
        for slot in group.known().slots() {
            let placement = group.placement_of(slot).ok_or_else(|| damaged::<GroupRecord>(&own))?;
            page.chunks.push(KnownChunk {
                chunk: ChunkId { file, index: index.chunk(slot) },
                epoch: placement.epoch,
                checksum: group.checksum(slot).ok_or_else(|| damaged::<GroupRecord>(&own))?,
                holders: counted.iter().filter(|holder| holder.held.has(slot)).map(|holder| holder.node).collect(),
            });
        }
        page.last = Some((file, index));
    }
    Ok(page)
}
