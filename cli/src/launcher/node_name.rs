//! Names of the nodes of a local cluster: `metadata-1`, `storage-2`.

use dfs_core::id::{NodeId, Role};
use std::fmt;
use std::str::FromStr;

/// A node of a local cluster: a role, and a number within it from one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName {
    /// What the node is.
    pub role: Role,
    /// Its number within the role.
    pub node: NodeId,
}

/// A text that is not such a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the name of a node; expected one such as metadata-1 or storage-2")]
pub struct InvalidNodeName(String);

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}-{}", self.role, self.node))
    }
}

impl FromStr for NodeName {
    type Err = InvalidNodeName;

    fn from_str(text: &str) -> Result<Self, InvalidNodeName> {
        let read = || {
            let (role, number) = text.split_once('-')?;
            let name = NodeName { role: role.parse().ok()?, node: number.parse().ok()? };
            // `metadata-01` and `metadata-+1` would be second names of the same node.
            (name.role != Role::Client && name.node.0 > 0 && name.to_string() == text).then_some(name)
        };
        read().ok_or_else(|| InvalidNodeName(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_has_one_name() {
        let name: NodeName = "storage-12".parse().unwrap();
        assert_eq!((name.role, name.node, name.to_string().as_str()), (Role::Storage, NodeId(12), "storage-12"));
        for text in ["", "storage", "storage-", "storage-0", "storage-01", "storage-+1", "client-1", "../metadata-1"] {
            assert!(text.parse::<NodeName>().is_err(), "{text}");
        }
    }
}
