//! In which order the replicas of a chunk are tried: a pure choice.

use crate::standing::Rank;
use dfs_core::id::{ChunkIndex, NodeId};
use dfs_core::wire::metadata::GroupHolder;
use std::collections::BTreeMap;

/// The holders of a chunk in the order in which to try them. Consecutive chunks begin at different holders, so that
/// load spreads; nodes that were slow lately come behind those, and nodes that have failed come last.
pub(super) fn order_replicas(
    index: ChunkIndex,
    holders: &[GroupHolder],
    ranks: &BTreeMap<NodeId, Rank>,
) -> Vec<NodeId> {
    let slot = index.slot();
    let mut nodes: Vec<NodeId> =
        holders.iter().filter(|holder| holder.held.has(slot)).map(|holder| holder.node).collect();
    nodes.sort_unstable();
    nodes.dedup();
    let first = (index.0 as usize).checked_rem(nodes.len()).unwrap_or(0);
    nodes.rotate_left(first);
    nodes.sort_by_key(|node| ranks.get(node).copied().unwrap_or(Rank::Good));
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;
    use dfs_core::mask::ChunkMask;

    fn holder(node: u64, held: u16) -> GroupHolder {
        GroupHolder { node: NodeId(node), held: ChunkMask(held), verified: ChunkMask::EMPTY }
    }

    fn order(index: u32, ranks: &[(u64, Rank)]) -> Vec<u64> {
        let holders = [holder(3, 0xffff), holder(1, 0xffff), holder(2, 0xffff), holder(9, 0)];
        let ranks = ranks.iter().map(|(node, rank)| (NodeId(*node), *rank)).collect();
        order_replicas(ChunkIndex(index), &holders, &ranks).into_iter().map(|node| node.0).collect()
    }

    #[test]
    fn consecutive_chunks_begin_at_different_holders() {
        assert_eq!([order(0, &[]), order(1, &[]), order(2, &[])], [[1, 2, 3], [2, 3, 1], [3, 1, 2]]);
    }

    #[test]
    fn nodes_that_were_slow_or_failed_lately_come_last() {
        assert_eq!(order(1, &[(2, Rank::Failed)]), [3, 1, 2]);
        assert_eq!(order(1, &[(2, Rank::Failed), (3, Rank::Slow)]), [1, 3, 2]);
        assert_eq!(order(0, &[(1, Rank::Slow), (2, Rank::Slow), (3, Rank::Slow)]), [1, 2, 3]);
    }

    #[test]
    fn only_nodes_that_hold_the_chunk_are_asked() {
        let holders = [holder(1, 0b10), holder(2, 0b01)];
        assert_eq!(order_replicas(ChunkIndex(17), &holders, &BTreeMap::new()), [NodeId(1)]);
        assert!(order_replicas(ChunkIndex(18), &holders, &BTreeMap::new()).is_empty());
    }
}
