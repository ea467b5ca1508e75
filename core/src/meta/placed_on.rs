//! Groups by node, and groups as the repair planner sees them.
//!
//! The index has one small key for each node and group that it has recorded copies of, whatever the generation of the
//! store they are on. It is kept where groups are put and removed (`draft`), so that the death of a node asks for its
//! groups only, page by page, and never for all.

use super::generation::Generations;
use super::group::{GroupRecord, Holder};
use super::key;
use super::record::{FileRecord, FileState, damaged, read};
use super::view::View;
use crate::id::{ChunkId, NodeId};
use crate::limit::REPAIR_PAGE_MAX;
use crate::repair::{ChunkFacts, CopyFacts, GroupFacts, GroupPlace, Purpose};
use std::ops::Bound;

/// The groups above `after` that a node has recorded copies of: `limit` at most, and never more than
/// [`REPAIR_PAGE_MAX`].
///
/// # Errors
/// The state cannot be read.
pub fn groups_on<V: View>(
    view: &V,
    node: NodeId,
    after: Option<GroupPlace>,
    limit: usize,
) -> Result<Vec<GroupPlace>, V::Error> {
    let (file, group) = after.unwrap_or_default();
    let start = key::placed_on(node, file, group);
    let start = if after.is_some() { Bound::Excluded(&start[..]) } else { Bound::Included(&start[..]) };
    let pairs = view.scan(start, Bound::Excluded(&key::placed_on_end(node)), limit.min(REPAIR_PAGE_MAX))?;
    pairs.iter().map(|(key, _)| Ok(key::parse_placed_on(key).ok_or_else(|| damaged::<()>(key))?)).collect()
}

/// The groups above `after`, whoever has them, as [`groups_on`] tells those of one node.
///
/// # Errors
/// The state cannot be read.
pub fn groups_after<V: View>(view: &V, after: Option<GroupPlace>, limit: usize) -> Result<Vec<GroupPlace>, V::Error> {
    let (file, group) = after.unwrap_or_default();
    let start = key::group(file, group);
    let start = if after.is_some() { Bound::Excluded(&start[..]) } else { Bound::Included(&start[..]) };
    let pairs = view.scan(start, Bound::Excluded(&key::GROUPS_END), limit.min(REPAIR_PAGE_MAX))?;
    pairs.iter().map(|(key, _)| Ok(key::parse_group(key).ok_or_else(|| damaged::<GroupRecord>(key))?)).collect()
}

/// Groups as the planner sees them; one that is gone is left out.
///
/// # Errors
/// The state cannot be read.
pub fn group_facts<V: View>(view: &V, places: &[GroupPlace]) -> Result<Vec<GroupFacts>, V::Error> {
    let mut generations = Generations::default();
    let mut facts = Vec::new();
    for (file, index) in places {
        let own = key::group(*file, *index);
        let Some(group) = read::<GroupRecord, V>(view, &own)? else { continue };
        let Some(record) = read::<FileRecord, V>(view, &key::file(*file))? else { continue };
        let mut chunks = Vec::new();
        for slot in group.known().slots() {
            let placement = group.placement_of(slot).ok_or_else(|| damaged::<GroupRecord>(&own))?;
            let chunk = index.chunk(slot);
            chunks.push(ChunkFacts {
                chunk: ChunkId { file: *file, index: chunk },
                epoch: placement.epoch,
                checksum: group.checksum(slot).ok_or_else(|| damaged::<GroupRecord>(&own))?,
                length: record.chunk_length(chunk),
                copies: copies(view, group.holders(), slot, &mut generations)?,
            });
        }
        let purpose = match &record.state {
            FileState::Open(open) => Purpose::Upload { progress: open.progress },
            FileState::Committed(_) => Purpose::Visible,
            // Nothing new is read of a replaced version, and soon nothing at all.
            FileState::Replaced(_) | FileState::Deleted { .. } => Purpose::Gone,
        };
        facts.push(GroupFacts { file: *file, group: *index, replication: record.replication, purpose, chunks });
    }
    Ok(facts)
}

/// The recorded copies of one chunk.
fn copies<V: View>(
    view: &V,
    holders: &[Holder],
    slot: u32,
    generations: &mut Generations,
) -> Result<Vec<CopyFacts>, V::Error> {
    let mut copies = Vec::new();
    for holder in holders.iter().filter(|holder| holder.held.has(slot)) {
        let verified = generations.verified(view, holder)?;
        copies.push(CopyFacts {
            node: holder.node,
            counts: verified.is_some(),
            verified: verified.is_some_and(|verified| verified.has(slot)),
        });
    }
    Ok(copies)
}
