//! Which copies count: those on the store that their node has now.

use super::group::{GroupRecord, Holder};
use super::node;
use super::view::View;
use crate::id::{Incarnation, NodeId};
use crate::mask::ChunkMask;
use crate::settings::write_quorum;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// The generations of the nodes' stores, and the nodes' lives, as far as they were looked up for one answer.
#[derive(Debug, Default)]
pub struct Generations(BTreeMap<NodeId, Option<(u32, Incarnation)>>);

impl Generations {
    /// Whether the copies of this holder lie on the store that its node has now.
    pub fn counts<V: View>(&mut self, view: &V, holder: &Holder) -> Result<bool, V::Error> {
        Ok(self.verified(view, holder)?.is_some())
    }

    /// The known chunks of a group of which a write quorum of copies count.
    pub fn safe<V: View>(&mut self, view: &V, group: &GroupRecord, replication: u8) -> Result<ChunkMask, V::Error> {
        let mut counted = Vec::new();
        for holder in group.holders() {
            if self.counts(view, holder)? {
                counted.push(holder.held);
            }
        }
        let quorum = usize::from(write_quorum(replication));
        let is_safe = |slot: &u32| counted.iter().filter(|held| held.has(*slot)).count() >= quorum;
        let safe = group.known().slots().filter(is_safe);
        Ok(safe.fold(ChunkMask::EMPTY, |safe, slot| safe.union(ChunkMask::of(slot))))
    }

    /// The nodes of a group's present placement that still have the stores with which they were placed: what others hold
    /// under its epoch would not count.
    pub fn present<V: View>(&mut self, view: &V, group: &GroupRecord) -> Result<Vec<NodeId>, V::Error> {
        let mut present = Vec::new();
        for placed in &group.current().nodes {
            if self.of(view, placed.node)?.is_some_and(|(generation, _)| generation == placed.generation) {
                present.push(placed.node);
            }
        }
        Ok(present)
    }

    /// If they do, those that were read back and checked in its node's present life.
    pub fn verified<V: View>(&mut self, view: &V, holder: &Holder) -> Result<Option<ChunkMask>, V::Error> {
        let now = self.of(view, holder.node)?.filter(|(generation, _)| *generation == holder.generation);
        Ok(now.map(|(_, incarnation)| holder.verified_by(incarnation)))
    }

    /// The generation of a node's store, and its life.
    fn of<V: View>(&mut self, view: &V, id: NodeId) -> Result<Option<(u32, Incarnation)>, V::Error> {
        Ok(match self.0.entry(id) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(vacant) => *vacant.insert(node(view, id)?.map(|node| (node.generation, node.incarnation))),
        })
    }
}
