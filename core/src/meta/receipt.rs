//! Receipts of finished orders: a copy that repair made counts, and a copy that its own node calls damaged does not.
//!
//! A receipt changes where a chunk is in one entry: the target is added as a verified holder, and the copy of a node
//! that is given up goes, so that no moment has fewer copies than the one before. What does not fit any more is passed
//! over and counted: the chunk was written again, its file is gone, or the target lives another life by now.
//!
//! The newest [`RECEIPTS_KEPT_MAX`] changes are kept. No bytes are removed anywhere by what happens here.

use super::draft::{Draft, Stop};
use super::group::{GroupRecord, PlacedNode};
use super::record::{CopyChange, FileRecord, FileState, NodeRecord, ReceiptRecord, Record, damaged};
use super::view::View;
use super::{Outcome, key};
use crate::id::{Incarnation, NodeId};
use crate::limit::{RECEIPTS_KEPT_MAX, RECEIPTS_PER_BEAT_MAX, REPAIR_PAGE_MAX};
use crate::refusal::Refusal;
use crate::wire::membership::{CopyOrder, CopyReason, OrderOutcome, Receipt};
use std::ops::Bound;

/// Records what a node's receipts tell.
pub fn record<V: View>(
    draft: &mut Draft<'_, V>,
    reporter: NodeId,
    incarnation: Incarnation,
    receipts: &[Receipt],
) -> Result<Outcome, Stop<V::Error>> {
    draft.cluster()?;
    if receipts.len() > RECEIPTS_PER_BEAT_MAX {
        return Err(Refusal::Malformed.into());
    }
    let source = draft.node(reporter)?.filter(|node| node.incarnation == incarnation);
    let source = source.ok_or(Refusal::StaleIncarnation)?;
    for receipt in receipts {
        if !take(draft, &source, receipt)? {
            draft.counters.receipts_passed_over += 1;
        }
    }
    Ok(Outcome::Recorded { taken: u32::try_from(receipts.len()).unwrap_or(u32::MAX) })
}

/// Takes one receipt; answers whether it told something.
fn take<V: View>(draft: &mut Draft<'_, V>, source: &NodeRecord, receipt: &Receipt) -> Result<bool, Stop<V::Error>> {
    let (file, index, slot) = (receipt.chunk.file, receipt.chunk.index.group(), receipt.chunk.index.slot());
    let Some(record) = draft.get::<FileRecord>(&key::file(file))? else { return Ok(false) };
    let Some(mut group) = draft.get::<GroupRecord>(&key::group(file, index))? else { return Ok(false) };
    let is_known = group.placement_of(slot).is_some_and(|placement| placement.epoch == receipt.epoch);
    if !is_known || matches!(record.state, FileState::Deleted { .. }) {
        return Ok(false);
    }
    let known = group.clone();
    let change = match (receipt.outcome, receipt.copy) {
        (OrderOutcome::Done { read_back }, _) if group.checksum(slot) != Some(read_back) => return Ok(false),
        (OrderOutcome::Done { read_back }, Some(copy)) => {
            let Some(replaced) = add_copy(draft, &mut group, slot, &copy, record.replication)? else {
                return Ok(false);
            };
            group.verify(slot, placed(source), source.incarnation);
            let CopyOrder { target, reason, .. } = copy;
            Some(CopyChange::Made { target, replaced, reason, read_back })
        }
        (OrderOutcome::Done { .. }, None) => {
            group.verify(slot, placed(source), source.incarnation);
            None
        }
        (OrderOutcome::SourceMissing, _) if uncount(draft, &mut group, slot, source)? => Some(CopyChange::Missing),
        (OrderOutcome::SourceDamaged, _) if uncount(draft, &mut group, slot, source)? => Some(CopyChange::Damaged),
        _ => return Ok(false),
    };
    // Told again, it changes nothing.
    if group == known {
        return Ok(false);
    }
    draft.put_group(file, index, &group)?;
    if let Some(change) = change {
        draft.counters.copies_made += u64::from(matches!(change, CopyChange::Made { .. }));
        draft.counters.losses += u64::from(matches!(change, CopyChange::Missing | CopyChange::Damaged));
        let (chunk, epoch, source, at) = (receipt.chunk, receipt.epoch, source.node, draft.counters.time);
        keep(draft, &ReceiptRecord { at, chunk, epoch, source, change });
    }
    Ok(true)
}

/// Counts the copy of a target that still lives the life that it was ordered for, and no more the one whose place it
/// takes; answers whose that was. Nothing if it does not count.
fn add_copy<V: View>(
    draft: &Draft<'_, V>,
    group: &mut GroupRecord,
    slot: u32,
    copy: &CopyOrder,
    replication: u8,
) -> Result<Option<Option<NodeId>>, Stop<V::Error>> {
    let target = draft.node(copy.target)?.filter(|node| node.incarnation == copy.incarnation);
    let Some(target) = target else { return Ok(None) };
    let before = counted(draft, group, slot)?;
    group.add_holders(slot, &[placed(&target)]);
    group.verify(slot, placed(&target), target.incarnation);
    let Some(replaced) = copy.replaces.filter(|replaced| *replaced != copy.target) else { return Ok(Some(None)) };
    // A copy that counts gives way only if that leaves as many as there were, or as many as are wanted; and never where
    // it was to be replaced for being on a store that is gone: its node has taken one anew meanwhile.
    let after = counted(draft, group, slot)?;
    let lives = draft.node(replaced)?;
    let counts = group.holders().iter().any(|holder| {
        holder.node == replaced
            && holder.held.has(slot)
            && lives.as_ref().is_some_and(|node| holder.is_on(placed(node)))
    });
    let is_left_over = copy.reason != CopyReason::StoreLost && (after > before || after > u32::from(replication));
    let may_go = !counts || is_left_over;
    let is_gone = may_go && group.remove_copy(slot, replaced);
    Ok(Some(is_gone.then_some(replaced)))
}

/// Counts the source's own copy no more, unless it is the last one: that one is named as long as nothing better is.
fn uncount<V: View>(
    draft: &Draft<'_, V>,
    group: &mut GroupRecord,
    slot: u32,
    source: &NodeRecord,
) -> Result<bool, Stop<V::Error>> {
    let holds = group.holders().iter().any(|holder| holder.is_on(placed(source)) && holder.held.has(slot));
    Ok(holds && counted(draft, group, slot)? > 1 && group.remove_copy(slot, source.node))
}

/// How many copies of a chunk are on the stores that their nodes have now.
fn counted<V: View>(draft: &Draft<'_, V>, group: &GroupRecord, slot: u32) -> Result<u32, Stop<V::Error>> {
    let mut count = 0;
    for holder in group.holders().iter().filter(|holder| holder.held.has(slot)) {
        count += u32::from(draft.node(holder.node)?.is_some_and(|node| holder.is_on(placed(&node))));
    }
    Ok(count)
}

fn placed(node: &NodeRecord) -> PlacedNode {
    PlacedNode { node: node.node, generation: node.generation }
}

/// Keeps a receipt in the ring.
fn keep<V: View>(draft: &mut Draft<'_, V>, record: &ReceiptRecord) {
    let number = draft.counters.next_receipt;
    draft.counters.next_receipt += 1;
    draft.put(key::receipt(number), record);
    if let Some(oldest) = number.checked_sub(RECEIPTS_KEPT_MAX) {
        draft.delete(key::receipt(oldest));
    }
}

/// The kept receipts above `after` with their numbers, oldest first: `limit` at most, and never more than
/// [`REPAIR_PAGE_MAX`].
///
/// # Errors
/// The state cannot be read.
pub fn receipts<V: View>(view: &V, after: Option<u64>, limit: usize) -> Result<Vec<(u64, ReceiptRecord)>, V::Error> {
    let start = key::receipt(after.unwrap_or(0));
    let start = if after.is_some() { Bound::Excluded(&start[..]) } else { Bound::Included(&start[..]) };
    let pairs = view.scan(start, Bound::Excluded(&key::RECEIPTS_END), limit.min(REPAIR_PAGE_MAX))?;
    let read = |(key, value): &(Vec<u8>, Vec<u8>)| {
        let number = key::parse_receipt(key).ok_or_else(|| damaged::<ReceiptRecord>(key))?;
        Ok(ReceiptRecord::from_bytes(key, value).map(|record| (number, record))?)
    };
    pairs.iter().map(read).collect()
}
