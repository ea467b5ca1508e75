//! Which copies count: those on the store that their node has now.

use super::group::Holder;
use super::node;
use super::view::View;
use crate::id::NodeId;
use std::collections::BTreeMap;

/// The generations of the nodes' stores, as far as they were looked up for one answer.
#[derive(Debug, Default)]
pub struct Generations(BTreeMap<NodeId, Option<u32>>);

impl Generations {
    /// Whether the copies of this holder lie on the store that its node has now.
    pub fn counts<V: View>(&mut self, view: &V, holder: &Holder) -> Result<bool, V::Error> {
        let generation = match self.0.get(&holder.node) {
            Some(generation) => *generation,
            None => {
                let generation = node(view, holder.node)?.map(|node| node.generation);
                self.0.insert(holder.node, generation);
                generation
            }
        };
        Ok(generation == Some(holder.generation))
    }
}
