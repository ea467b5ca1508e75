//! The members that a metadata cluster begins with, as they are typed: `1=10.0.0.1:7001,2=10.0.0.2:7001`.

use crate::exit::Exit;
use crate::failure::Failure;
use dfs_core::id::NodeId;
use dfs_nodes::settings::NodeSettings;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::str::FromStr;

/// Metadata nodes and where they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Members(pub BTreeMap<NodeId, SocketAddr>);

/// A text that does not name members.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMembers {
    /// A part is not NODE=ADDRESS.
    #[error("{0:?} is not a member; write NODE=ADDRESS, such as 1=10.0.0.1:7001")]
    Member(String),
    /// A number or an address stands twice.
    #[error("{0:?} names a node or an address for the second time")]
    Twice(String),
}

impl FromStr for Members {
    type Err = InvalidMembers;

    fn from_str(text: &str) -> Result<Self, InvalidMembers> {
        let (mut members, mut addresses) = (BTreeMap::new(), BTreeSet::new());
        for part in text.split(',').map(str::trim) {
            let read = || {
                let (node, address) = part.split_once('=')?;
                let (node, address): (NodeId, SocketAddr) = (node.parse().ok()?, address.parse().ok()?);
                (node.0 > 0 && address.port() > 0 && !address.ip().is_unspecified()).then_some((node, address))
            };
            let (node, address) = read().ok_or_else(|| InvalidMembers::Member(part.to_owned()))?;
            if members.insert(node, address).is_some() || !addresses.insert(address) {
                return Err(InvalidMembers::Twice(part.to_owned()));
            }
        }
        Ok(Members(members))
    }
}

impl Members {
    /// Refuses members that this node is not among at its own address.
    pub fn check(&self, settings: &NodeSettings) -> Result<(), Failure> {
        let own = settings.advertise.unwrap_or(settings.listen);
        match self.0.get(&settings.node) {
            Some(address) if *address == own || own.port() == 0 => Ok(()),
            _ => Err(Failure::new(Exit::Usage, "--members does not name this node at its own address")
                .hint(format_args!("add {}={own} to --members", settings.node))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_read_as_they_are_typed() {
        let members: Members = "2=10.0.0.2:7001, 1=[::1]:7001".parse().unwrap();
        assert_eq!(members.0.len(), 2);
        assert_eq!(members.0[&NodeId(1)], "[::1]:7001".parse().unwrap());
        for text in ["", "1", "1=", "1=10.0.0.1", "0=10.0.0.1:7001", "1=10.0.0.1:0", "1=0.0.0.0:7001", "1=a:1,"] {
            assert!(matches!(text.parse::<Members>(), Err(InvalidMembers::Member(_))), "{text}");
        }
        for text in ["1=10.0.0.1:1,1=10.0.0.2:1", "1=10.0.0.1:1,2=10.0.0.1:1"] {
            assert!(matches!(text.parse::<Members>(), Err(InvalidMembers::Twice(_))), "{text}");
        }
    }
}
