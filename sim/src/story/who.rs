//! Who is meant in a story.

use crate::cluster::NodeName;
use dfs_core::id::{NodeId, Role};
use std::fmt;

/// Some nodes, by what they are at the moment at which something is done to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The metadata leader.
    Leader,
    /// The metadata node of the lowest id that does not lead.
    Follower,
    /// One node.
    Node(NodeName),
    /// The storage node that holds a copy of a chunk: the first, second or third by id.
    Holder(&'static str, u32, usize),
    /// The storage node of the lowest id that holds nothing of a file.
    NonHolder(&'static str),
    /// Whoever was meant last.
    It,
    /// All metadata nodes.
    AllMetadata,
    /// All storage nodes.
    AllStorage,
}

/// The metadata leader.
#[must_use]
pub fn leader() -> Who {
    Who::Leader
}

/// A metadata node that does not lead.
#[must_use]
pub fn follower() -> Who {
    Who::Follower
}

/// The metadata node of that id.
#[must_use]
pub fn metadata(id: u64) -> Who {
    Who::Node(NodeName { role: Role::Metadata, id: NodeId(id) })
}

/// The storage node of that id.
#[must_use]
pub fn storage(id: u64) -> Who {
    Who::Node(NodeName { role: Role::Storage, id: NodeId(id) })
}

/// The storage node that holds a copy of a chunk, counted from zero in the order of ids.
#[must_use]
pub fn holder(name: &'static str, chunk: u32, copy: usize) -> Who {
    Who::Holder(name, chunk, copy)
}

/// A storage node that holds nothing of a file.
#[must_use]
pub fn non_holder(name: &'static str) -> Who {
    Who::NonHolder(name)
}

/// Whoever was meant last.
#[must_use]
pub fn it() -> Who {
    Who::It
}

/// All metadata nodes.
#[must_use]
pub fn all_metadata() -> Who {
    Who::AllMetadata
}

/// All storage nodes.
#[must_use]
pub fn all_storage() -> Who {
    Who::AllStorage
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::Leader => f.write_str("the leader"),
            Who::Follower => f.write_str("a follower"),
            Who::Node(name) => write!(f, "{name}"),
            Who::Holder(name, chunk, copy) => write!(f, "holder {copy} of {name}:{chunk}"),
            Who::NonHolder(name) => write!(f, "a node without {name}"),
            Who::It => f.write_str("it"),
            Who::AllMetadata => f.write_str("all metadata nodes"),
            Who::AllStorage => f.write_str("all storage nodes"),
        }
    }
}
