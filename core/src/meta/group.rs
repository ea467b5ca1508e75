//! The record of a group: its placements, the checksums of its chunks, and who holds them.
//!
//! A group has one *current* placement. Older ones stay as long as chunks are known that were written under them:
//! so a placement also tells the epoch of its chunks. A chunk that is written again under the current epoch moves to
//! the current placement, and copies under its old epoch count no more. All of it is masks over the slots.

use super::record::Record;
use crate::checksum::Digest;
use crate::id::{Epoch, Incarnation, NodeId};
use crate::mask::ChunkMask;
use serde::{Deserialize, Serialize};

/// A group of chunks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRecord {
    /// By rising epoch. The last one is current; the others have chunks.
    placements: Vec<Placement>,
    /// The checksums of the known chunks, by slot.
    checksums: Vec<Digest>,
    /// The copies, one for each node, in the order in which the nodes were first told.
    holders: Vec<Holder>,
}

/// Where chunks of a group were, or are, to be written under one epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// The epoch.
    pub epoch: Epoch,
    /// The nodes, in order.
    pub nodes: Vec<PlacedNode>,
    /// The known chunks that were written under it.
    pub chunks: ChunkMask,
}

/// A node of a placement, with the generation of its store when it was placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacedNode {
    /// The node.
    pub node: NodeId,
    /// The generation of its store.
    pub generation: u32,
}

/// The copies of one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The node.
    pub node: NodeId,
    /// The generation of the store that has them.
    pub generation: u32,
    /// The chunks.
    pub held: ChunkMask,
    /// Those that were read back and checked while its node lived its life `verified_in`: they count for verified as
    /// long as that is its present one, see [`Holder::verified_by`].
    pub verified: ChunkMask,
    /// That life.
    pub verified_in: Incarnation,
}

impl GroupRecord {
    /// A group that has its first placement and no chunks.
    pub fn new(epoch: Epoch, nodes: Vec<PlacedNode>) -> GroupRecord {
        let placement = Placement { epoch, nodes, chunks: ChunkMask::EMPTY };
        GroupRecord { placements: vec![placement], checksums: Vec::new(), holders: Vec::new() }
    }

    /// Its placements, by rising epoch.
    pub fn placements(&self) -> &[Placement] {
        &self.placements
    }

    /// The placement under which chunks are written now.
    pub fn current(&self) -> &Placement {
        self.placements.last().expect("a sound record has a placement")
    }

    /// Places the group anew, under a higher epoch.
    pub fn replace(&mut self, epoch: Epoch, nodes: Vec<PlacedNode>) {
        self.placements.retain(|placement| !placement.chunks.is_empty());
        self.placements.push(Placement { epoch, nodes, chunks: ChunkMask::EMPTY });
    }

    /// The chunks that have a checksum.
    pub fn known(&self) -> ChunkMask {
        self.placements.iter().fold(ChunkMask::EMPTY, |known, placement| known.union(placement.chunks))
    }

    /// The placement under which the chunk at `slot` was written, if it is known.
    pub fn placement_of(&self, slot: u32) -> Option<&Placement> {
        self.placements.iter().find(|placement| placement.chunks.has(slot))
    }

    /// The checksum of the chunk at `slot`, if it is known.
    pub fn checksum(&self, slot: u32) -> Option<Digest> {
        let known = self.known();
        let rank = known.slots().take_while(|other| *other < slot).count();
        self.checksums.get(rank).filter(|_| known.has(slot)).copied()
    }

    /// The copies.
    pub fn holders(&self) -> &[Holder] {
        &self.holders
    }

    /// Makes a chunk known that was written under the current placement. What was known of its slot goes.
    pub fn put_chunk(&mut self, slot: u32, checksum: Digest) {
        let known = self.known();
        let rank = known.slots().take_while(|other| *other < slot).count();
        if known.has(slot) {
            self.checksums[rank] = checksum;
        } else {
            self.checksums.insert(rank, checksum);
        }
        let slot = ChunkMask::of(slot);
        for holder in &mut self.holders {
            holder.held = holder.held.without(slot);
            holder.verified = holder.verified.without(slot);
        }
        self.holders.retain(|holder| !holder.held.is_empty());
        let current = self.current().epoch;
        for placement in &mut self.placements {
            placement.chunks = placement.chunks.without(slot);
        }
        self.placements.retain(|placement| placement.epoch == current || !placement.chunks.is_empty());
        if let Some(placement) = self.placements.last_mut() {
            placement.chunks = placement.chunks.union(slot);
        }
    }

    /// Adds copies of the known chunk at `slot` on nodes of its placement. A node whose copies lay on an older store
    /// has lost them; a copy on a store older than that of its node's other copies is lost already.
    pub fn add_holders(&mut self, slot: u32, nodes: &[PlacedNode]) {
        let slot = ChunkMask::of(slot);
        for placed in nodes {
            match self.holders.iter_mut().find(|holder| holder.node == placed.node) {
                Some(holder) if holder.generation > placed.generation => {}
                Some(holder) if holder.generation == placed.generation => holder.held = holder.held.union(slot),
                Some(holder) => *holder = Holder::new(*placed, slot),
                None => self.holders.push(Holder::new(*placed, slot)),
            }
        }
    }

    /// Notes that a node, in this life, has read back and checked its copy of the chunk at `slot`, which counts.
    pub fn verify(&mut self, slot: u32, placed: PlacedNode, incarnation: Incarnation) {
        let counts = |holder: &&mut Holder| holder.is_on(placed) && holder.held.has(slot);
        if let Some(holder) = self.holders.iter_mut().find(counts) {
            holder.verified = holder.verified_by(incarnation).union(ChunkMask::of(slot));
            holder.verified_in = incarnation;
        }
    }

    /// Counts a node's copy of the chunk at `slot` no more. Answers whether it was recorded.
    pub fn remove_copy(&mut self, slot: u32, node: NodeId) -> bool {
        let mask = ChunkMask::of(slot);
        let Some(holder) = self.holders.iter_mut().find(|holder| holder.node == node && holder.held.has(slot)) else {
            return false;
        };
        holder.held = holder.held.without(mask);
        holder.verified = holder.verified.without(mask);
        self.holders.retain(|holder| !holder.held.is_empty());
        true
    }
}

impl Holder {
    fn new(placed: PlacedNode, held: ChunkMask) -> Holder {
        let PlacedNode { node, generation } = placed;
        Holder { node, generation, held, verified: ChunkMask::EMPTY, verified_in: Incarnation(0) }
    }

    /// Whether these copies are on that node's store of that generation.
    pub fn is_on(&self, placed: PlacedNode) -> bool {
        self.node == placed.node && self.generation == placed.generation
    }

    /// The copies that were verified in this life of the node.
    pub fn verified_by(&self, incarnation: Incarnation) -> ChunkMask {
        if self.verified_in == incarnation { self.verified } else { ChunkMask::EMPTY }
    }
}

impl Placement {
    /// The primary of a chunk, as [`GroupPlacement`](crate::wire::metadata::GroupPlacement) tells it to clients.
    pub fn primary(&self, slot: u32) -> Option<NodeId> {
        let place = (slot as usize).checked_rem(self.nodes.len())?;
        Some(self.nodes[place].node)
    }

    /// These nodes as they are in the placement; none if one of them is not.
    pub fn select(&self, nodes: impl IntoIterator<Item = NodeId>) -> Option<Vec<PlacedNode>> {
        nodes.into_iter().map(|node| self.nodes.iter().find(|placed| placed.node == node).copied()).collect()
    }
}

impl Record for GroupRecord {
    const KIND: &'static str = "group";

    fn is_sound(&self) -> bool {
        let known = self.known();
        let total: u32 = self.placements.iter().map(|placement| placement.chunks.count()).sum();
        let Some((_, older)) = self.placements.split_last() else { return false };
        self.placements.is_sorted_by(|a, b| a.epoch < b.epoch)
            && older.iter().all(|placement| !placement.chunks.is_empty())
            && total == known.count()
            && self.checksums.len() == known.count() as usize
            && self
                .holders
                .iter()
                .all(|holder| holder.held.without(known).is_empty() && holder.verified.without(holder.held).is_empty())
            && self.holders.iter().enumerate().all(|(i, a)| self.holders[..i].iter().all(|b| a.node != b.node))
    }
}
