//! What counts as a copy is where it was placed, or where a receipt says that repair has made it.
//!
//! Source: DESIGN §5, *Reports*: "the commit … accepts only holders of that epoch's placement", and the promise that
//! repair proves itself: "every repair leaves a receipt", with "checksum read back", "written in the same entry as the
//! change of location" (§7). So every holder of a chunk is of the placement under which that was written, or the target
//! of a receipt for the same chunk and epoch, and the receipt has read back what the chunk is. Receipts that the ring
//! has let go since they were seen still speak.

use super::{Evidence, Invariant};
use crate::inspect::State;
use crate::verdict::Failure;
use dfs_core::id::{ChunkId, Epoch, NodeId};
use dfs_core::meta::CopyChange;
use dfs_core::meta::inspect::{GroupRecord, Holder};
use std::collections::BTreeSet;
use std::ops::Bound;

/// What was seen of receipts in the whole run.
#[derive(Debug, Default)]
pub(super) struct CopiesAreAccountedFor {
    /// The copies that receipts say were made.
    made: BTreeSet<(ChunkId, Epoch, NodeId)>,
    /// How many receipts said so.
    receipts: u64,
    /// The last receipt that was taken in.
    taken: Option<u64>,
    /// Whether some had gone before they were seen.
    missed: bool,
}

impl CopiesAreAccountedFor {
    fn take_receipts(&mut self, state: &State) -> Result<(), String> {
        let after = self.taken.map_or(Bound::Unbounded, Bound::Excluded);
        for (number, receipt) in state.receipts.range((after, Bound::Unbounded)) {
            self.missed |= *number != self.taken.map_or(0, |taken| taken + 1);
            self.taken = Some(*number);
            let CopyChange::Made { target, replaced, read_back, .. } = &receipt.change else { continue };
            let (chunk, epoch) = (receipt.chunk, receipt.epoch);
            if *replaced == Some(*target) || receipt.source == *target {
                return Err(format!("receipt {number} tells of a copy of chunk {chunk} on {target}, made from itself"));
            }
            let group = state.groups.get(&(chunk.file, chunk.index.group()));
            let slot = chunk.index.slot();
            let present = group.filter(|group| epoch_of(group, slot) == Some(epoch));
            if let Some(checksum) = present.and_then(|group| group.checksum(slot)).filter(|sum| sum != read_back) {
                return Err(format!(
                    "receipt {number} has read {read_back} back for chunk {chunk}, which is {checksum}"
                ));
            }
            self.made.insert((chunk, epoch, *target));
            self.receipts += 1;
        }
        if !self.missed && self.receipts != state.counters.copies_made {
            let (receipts, made) = (self.receipts, state.counters.copies_made);
            return Err(format!("repair has made {made} copies, and {receipts} receipts tell of one"));
        }
        Ok(())
    }

    /// Each copy of one holder was placed there, or made there.
    fn check_holder(&self, group: &GroupRecord, holder: &Holder, chunk: impl Fn(u32) -> ChunkId) -> Result<(), String> {
        for slot in holder.held.slots() {
            let (chunk, node) = (chunk(slot), holder.node);
            let Some(placement) = group.placement_of(slot) else {
                return Err(format!("storage node {node} counts for chunk {chunk}, which is not known"));
            };
            let placed = placement.nodes.iter().any(|placed| holder.is_on(*placed));
            if !placed && !self.missed && !self.made.contains(&(chunk, placement.epoch, node)) {
                let (epoch, nodes) = (placement.epoch, &placement.nodes);
                return Err(format!(
                    "storage node {node} counts for chunk {chunk} under epoch {epoch}, which was placed on {nodes:?}, \
                     and no receipt tells of a copy there"
                ));
            }
        }
        Ok(())
    }

    fn check_state(&mut self, state: &State) -> Result<u64, String> {
        self.take_receipts(state)?;
        let mut facts = 0;
        for ((file, index), group) in &state.groups {
            for holder in group.holders() {
                let node = state.nodes.get(&holder.node);
                if node.is_none_or(|node| holder.generation > node.generation || holder.verified_in > node.incarnation)
                {
                    return Err(format!("group {index} of file {file} has the holder {holder:?} on {node:?}"));
                }
                self.check_holder(group, holder, |slot| ChunkId { file: *file, index: index.chunk(slot) })?;
                facts += 1;
            }
        }
        Ok(facts)
    }
}

fn epoch_of(group: &GroupRecord, slot: u32) -> Option<Epoch> {
    group.placement_of(slot).map(|placement| placement.epoch)
}

impl Invariant for CopiesAreAccountedFor {
    const NAME: &'static str = "copies are accounted for";
    const STATEMENT: &'static str =
        "each copy that metadata counts is where it was placed, or where a receipt says that repair has made it";

    fn check(&mut self, evidence: &Evidence<'_>) -> Result<u64, Failure> {
        let Some(known) = &evidence.sight.known else { return Ok(0) };
        self.check_state(&known.state).map_err(|detail| Failure::correctness(Self::NAME, detail))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Scene, digest, key};
    use super::*;
    use dfs_core::id::{FileId, GroupIndex, Incarnation};
    use dfs_core::meta::inspect::{PlacedNode, ReceiptRecord};
    use dfs_core::time::ClusterTime;
    use dfs_core::wire::membership::CopyReason;

    const GROUP: (FileId, GroupIndex) = (FileId(1), GroupIndex(0));

    fn fails<R>(change: impl FnOnce(&mut State) -> R) -> bool {
        let mut invariant = CopiesAreAccountedFor::default();
        let mut scene = Scene::sound();
        assert_eq!(invariant.check(&scene.evidence()).unwrap(), 2);
        scene.state(change);
        invariant.check(&scene.evidence()).is_err()
    }

    fn holds(state: &mut State, node: u64, generation: u32) {
        let placed = PlacedNode { node: NodeId(node), generation };
        state.groups.get_mut(&GROUP).unwrap().add_holders(0, &[placed]);
    }

    fn receipt(state: &mut State, epoch: u32, source: u64, read_back: u64) {
        let change = CopyChange::Made {
            target: NodeId(4),
            replaced: None,
            reason: CopyReason::TooFew,
            read_back: digest(read_back),
        };
        let (chunk, at) = (key(1, 0, 1).chunk, ClusterTime(1_000));
        let record = ReceiptRecord { at, chunk, epoch: Epoch(epoch), source: NodeId(source), change };
        state.receipts.insert(0, record);
        state.counters.next_receipt = 1;
        state.counters.copies_made = 1;
    }

    #[test]
    fn a_holder_was_placed_or_has_a_receipt() {
        assert!(!fails(|state| holds(state, 3, 0)), "of the placement");
        assert!(fails(|state| holds(state, 4, 0)), "of nowhere");
        assert!(fails(|state| holds(state, 3, 1)), "on a store that nobody has");
        assert!(fails(|state| holds(state, 9, 0)), "nobody");
        let made = |epoch, source, read_back| {
            fails(|state| {
                holds(state, 4, 0);
                receipt(state, epoch, source, read_back);
            })
        };
        assert!(!made(1, 1, 7));
        assert!(made(2, 1, 7), "of another epoch");
        assert!(made(1, 4, 7), "from itself");
        assert!(made(1, 1, 8), "of other bytes");
    }

    #[test]
    fn each_copy_that_was_made_has_a_receipt() {
        assert!(fails(|state| state.counters.copies_made = 1));
    }

    #[test]
    fn a_copy_is_verified_in_a_life_that_its_node_had() {
        let verified = |life| {
            fails(|state| {
                let placed = PlacedNode { node: NodeId(1), generation: 0 };
                state.groups.get_mut(&GROUP).unwrap().verify(0, placed, Incarnation(life));
            })
        };
        assert!(!verified(1));
        assert!(verified(2));
    }

    #[test]
    fn a_receipt_that_has_gone_still_speaks() {
        let mut invariant = CopiesAreAccountedFor::default();
        let mut scene = Scene::sound();
        scene.state(|state| {
            holds(state, 4, 0);
            receipt(state, 1, 1, 7);
        });
        assert!(invariant.check(&scene.evidence()).is_ok());
        scene.state(|state| state.receipts.clear());
        assert!(invariant.check(&scene.evidence()).is_ok());
    }
}
