//! Masks: which chunks of a group something holds for.

use crate::limit::CHUNKS_PER_GROUP;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A set of slots of one group: bit *i* stands for the chunk at slot *i*.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChunkMask(pub u16);

impl ChunkMask {
    /// No chunk.
    pub const EMPTY: ChunkMask = ChunkMask(0);

    /// The one chunk at `slot`, which must be below [`CHUNKS_PER_GROUP`].
    #[must_use]
    pub fn of(slot: u32) -> ChunkMask {
        assert!(slot < CHUNKS_PER_GROUP, "a slot lies within its group");
        ChunkMask(1 << slot)
    }

    /// Whether the chunk at `slot` is in it.
    #[must_use]
    pub fn has(self, slot: u32) -> bool {
        slot < CHUNKS_PER_GROUP && self.0 & (1 << slot) != 0
    }

    /// What is in either.
    #[must_use]
    pub fn union(self, other: ChunkMask) -> ChunkMask {
        ChunkMask(self.0 | other.0)
    }

    /// What is in this one and not in the other.
    #[must_use]
    pub fn without(self, other: ChunkMask) -> ChunkMask {
        ChunkMask(self.0 & !other.0)
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many chunks are in it.
    #[must_use]
    pub fn count(self) -> u32 {
        self.0.count_ones()
    }

    /// The slots in it, in rising order.
    pub fn slots(self) -> impl Iterator<Item = u32> {
        (0..CHUNKS_PER_GROUP).filter(move |slot| self.has(*slot))
    }
}

impl fmt::Debug for ChunkMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChunkMask({:016b})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_is_a_set_of_slots() {
        let mask = ChunkMask::of(0).union(ChunkMask::of(15));
        assert_eq!(mask.slots().collect::<Vec<_>>(), [0, 15]);
        assert_eq!(mask.count(), 2);
        assert!(!mask.has(16));
        assert_eq!(mask.without(ChunkMask::of(0)), ChunkMask::of(15));
        assert!(mask.without(mask).is_empty());
    }
}
