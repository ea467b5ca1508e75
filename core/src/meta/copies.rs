//! Which copies the state counts, page by page: what whoever compares metadata with stores reads.

use super::group::{GroupRecord, Holder};
use super::record::{Record, damaged};
use super::view::View;
use super::{key, node};
use crate::checksum::Digest;
use crate::id::{ChunkId, Epoch, FileId, GroupIndex, NodeId};
use std::collections::BTreeMap;
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

/// The chunks of the groups above `after`, in the order of files and groups: of `limit` groups at most. With them, the
/// last group looked at: nothing lies behind it if it is absent.
///
/// # Errors
/// The state cannot be read.
pub fn known_chunks<V: View>(
    view: &V,
    after: Option<(FileId, GroupIndex)>,
    limit: usize,
) -> Result<(Vec<KnownChunk>, Option<(FileId, GroupIndex)>), V::Error> {
    let start = after.map_or(key::group(FileId(0), GroupIndex(0)), |(file, group)| key::group(file, group));
    let start = if after.is_some() { Bound::Excluded(&start[..]) } else { Bound::Included(&start[..]) };
    let pairs = view.scan(start, Bound::Excluded(&key::GROUPS_END), limit)?;
    let mut generations: BTreeMap<NodeId, Option<u32>> = BTreeMap::new();
    let mut known = Vec::new();
    let mut last = None;
    for (own, value) in pairs {
        let (file, index) = key::parse_group(&own).ok_or_else(|| damaged::<GroupRecord>(&own))?;
        let group = GroupRecord::from_bytes(&own, &value)?;
        for holder in group.holders() {
            if !generations.contains_key(&holder.node) {
                generations.insert(holder.node, node(view, holder.node)?.map(|node| node.generation));
            }
        }
        for slot in group.known().slots() {
            let placement = group.placement_of(slot).ok_or_else(|| damaged::<GroupRecord>(&own))?;
            let checksum = group.checksum(slot).ok_or_else(|| damaged::<GroupRecord>(&own))?;
            let counts = |holder: &&Holder| {
                holder.held.has(slot) && generations.get(&holder.node) == Some(&Some(holder.generation))
            };
            known.push(KnownChunk {
                chunk: ChunkId { file, index: index.chunk(slot) },
                epoch: placement.epoch,
                checksum,
                holders: group.holders().iter().filter(counts).map(|holder| holder.node).collect(),
            });
        }
        last = Some((file, index));
    }
    Ok((known, last))
}
