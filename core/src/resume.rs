//! What an interrupted upload has left of a group: the chunks that need not be sent again.
//!
//! Metadata counts what it was told. What became durable with nobody left to tell it is told by the nodes of the
//! group's present placement: a chunk that a write quorum of them hold, with one and the same checksum, is as good as
//! acknowledged. Where nodes hold different bytes, nothing is believed.

use crate::id::{ChunkIndex, NodeId};
use crate::limit::CHUNKS_PER_GROUP;
use crate::mask::ChunkMask;
use crate::unit::ChunkSize;
use crate::wire::chunk::HeldChunk;
use crate::wire::metadata::{ChunkReport, UploadGroup};

/// What there is of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupStock {
    /// The chunks that need not be sent again.
    pub there: ChunkMask,
    /// Those of them that metadata is to be told of.
    pub reports: Vec<ChunkReport>,
}

/// The chunks that a group of a file of `size` bytes has.
#[must_use]
pub fn chunks_of(group: &UploadGroup, chunk_size: ChunkSize, size: u64) -> ChunkMask {
    let first = u64::from(group.placement.group.0) * u64::from(CHUNKS_PER_GROUP);
    let total = chunk_size.chunk_count(size);
    (0..CHUNKS_PER_GROUP)
        .filter(|slot| first + u64::from(*slot) < total)
        .fold(ChunkMask::EMPTY, |chunks, slot| chunks.union(ChunkMask::of(slot)))
}

/// What is recorded of a group's chunks. A chunk with another length than the source has there does not count.
#[must_use]
pub fn recorded(group: &UploadGroup, chunk_size: ChunkSize, size: u64) -> ChunkMask {
    let fits = |index: ChunkIndex, length| chunk_size.chunk_length(size, u64::from(index.0)) == length;
    let recorded = group.chunks.iter().filter(|chunk| fits(chunk.index, chunk.length));
    recorded.fold(ChunkMask::EMPTY, |there, chunk| there.union(ChunkMask::of(chunk.index.slot())))
}

/// Takes stock of a group of a file of `size` bytes, with what nodes say that they hold under its present epoch.
#[must_use]
pub fn take_stock(
    group: &UploadGroup,
    held: &[(NodeId, Vec<HeldChunk>)],
    chunk_size: ChunkSize,
    size: u64,
) -> GroupStock {
    let mut stock = GroupStock { there: recorded(group, chunk_size, size), reports: Vec::new() };
    let placed = |node: NodeId| group.placement.nodes.iter().any(|address| address.node == node);
    for slot in chunks_of(group, chunk_size, size).without(stock.there).slots() {
        let index = group.placement.group.chunk(slot);
        let copies: Vec<(NodeId, HeldChunk)> = held
            .iter()
            .filter(|(node, _)| placed(*node))
            .filter_map(|(node, chunks)| Some((*node, *chunks.iter().find(|chunk| chunk.index == index)?)))
            .collect();
        let Some((_, first)) = copies.first() else { continue };
        let agree = copies.iter().all(|(_, chunk)| chunk == first);
        let fits = first.length == chunk_size.chunk_length(size, u64::from(index.0));
        if agree && fits && copies.len() >= usize::from(group.placement.write_quorum) {
            stock.there = stock.there.union(ChunkMask::of(slot));
            let holders = copies.iter().map(|(node, _)| *node).collect();
            stock.reports.push(ChunkReport { index, length: first.length, checksum: first.checksum, holders });
        }
    }
    stock
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::Digest;
    use crate::id::{Epoch, GroupIndex};
    use crate::wire::NodeAddress;
    use crate::wire::metadata::{GroupPlacement, RecordedChunk};

    const CHUNK: u32 = 65_536;

    fn chunk_size() -> ChunkSize {
        ChunkSize::try_from(CHUNK).unwrap()
    }

    fn group(group: u32, recorded: &[(u32, u32)]) -> UploadGroup {
        let address = |node| NodeAddress { node: NodeId(node), address: ([127, 0, 0, 1], 7000).into() };
        let nodes = (1..=3).map(address).collect();
        let placement = GroupPlacement { group: GroupIndex(group), epoch: Epoch(4), write_quorum: 2, nodes };
        let chunk = |(index, length): &(u32, u32)| RecordedChunk {
            index: ChunkIndex(*index),
            epoch: Epoch(3),
            length: *length,
            checksum: Digest([0; 32]),
        };
        UploadGroup { placement, chunks: recorded.iter().map(chunk).collect() }
    }

    fn held(index: u32, length: u32, content: u8) -> HeldChunk {
        HeldChunk { index: ChunkIndex(index), length, checksum: Digest([content; 32]) }
    }

    #[test]
    fn a_group_has_as_many_chunks_as_the_file_reaches() {
        let size = 18 * u64::from(CHUNK) + 1;
        let count = |index| chunks_of(&group(index, &[]), chunk_size(), size).count();
        assert_eq!([count(0), count(1), count(2)], [16, 3, 0]);
    }

    #[test]
    fn what_is_recorded_is_there_unless_its_length_is_not_that_of_the_source() {
        let size = 2 * u64::from(CHUNK) + 7;
        let group = group(0, &[(0, CHUNK), (1, 7), (2, 7), (3, CHUNK)]);
        let stock = take_stock(&group, &[], chunk_size(), size);
        assert_eq!(stock.there.slots().collect::<Vec<_>>(), [0, 2]);
        assert_eq!(stock.reports, []);
    }

    #[test]
    fn what_a_quorum_of_the_placement_holds_alike_is_there_and_reported() {
        let size = 40 * u64::from(CHUNK);
        let group = group(1, &[(16, CHUNK)]);
        let told = [
            (NodeId(1), vec![held(16, CHUNK, 9), held(17, CHUNK, 1), held(18, CHUNK, 1), held(19, CHUNK, 1)]),
            (NodeId(2), vec![held(17, CHUNK, 1), held(19, CHUNK, 2), held(20, CHUNK, 1), held(21, 5, 1)]),
            (NodeId(3), vec![held(17, CHUNK, 1), held(19, CHUNK, 1), held(21, 5, 1)]),
            // No node of the placement, whatever it says.
            (NodeId(4), vec![held(18, CHUNK, 1), held(20, CHUNK, 1)]),
        ];
        let stock = take_stock(&group, &told, chunk_size(), size);
        // 18 and 20 have one copy, 19 has two contents, 21 is too short.
        assert_eq!(stock.there.slots().collect::<Vec<_>>(), [0, 1]);
        assert_eq!(stock.reports.len(), 1);
        assert_eq!((stock.reports[0].index, stock.reports[0].length), (ChunkIndex(17), CHUNK));
        assert_eq!(stock.reports[0].holders, [NodeId(1), NodeId(2), NodeId(3)]);
    }
}
