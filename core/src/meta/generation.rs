//! Which copies count: those on the store that their node has now.

use super::group::Holder;
use super::node;
use super::view::View;
use crate::id::{Incarnation, NodeId};
use crate::mask::ChunkMask;
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

    /// If they do, those that were read back and checked in its node's present life.
    pub fn verified<V: View>(&mut self, view: &V, holder: &Holder) -> Result<Option<ChunkMask>, V::Error> {
        let known = match self.0.entry(holder.node) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(vacant) => {
                *vacant.insert(node(view, holder.node)?.map(|node| (node.generation, node.incarnation)))
            }
        };
        let now = known.filter(|(generation, _)| *generation == holder.generation);
        Ok(now.map(|(_, incarnation)| holder.verified_by(incarnation)))
    }
}
