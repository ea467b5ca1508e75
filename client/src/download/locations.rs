//! Where the chunks of a file are, as metadata says.

use super::race::Replica;
use super::replicas::order_replicas;
use crate::client::Inner;
use crate::error::{ClientError, Subject};
use crate::standing::Rank;
use dfs_core::checksum::Digest;
use dfs_core::id::{ChunkIndex, Epoch, FileId, GroupIndex, NodeId};
use dfs_core::wire::metadata::{GroupLocations, GroupPage, LocateGroups};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Where one chunk is, and how to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Location {
    /// The epoch under which it was written.
    pub(super) epoch: Epoch,
    /// Its checksum.
    pub(super) checksum: Digest,
    /// The nodes that hold it, in the order in which to try them, with their addresses where they are known.
    pub(super) replicas: Vec<Replica>,
}

/// Where some consecutive groups of one file are.
#[derive(Debug)]
pub(super) struct Locations {
    groups: BTreeMap<GroupIndex, GroupLocations>,
    addresses: BTreeMap<NodeId, SocketAddr>,
}

impl Locations {
    /// Asks where `count` groups of a file are, from `first` on.
    pub(super) async fn of(
        client: &Inner,
        file: FileId,
        first: GroupIndex,
        count: u32,
    ) -> Result<Locations, ClientError> {
        let mut found = Locations { groups: BTreeMap::new(), addresses: BTreeMap::new() };
        let mut known = 0;
        while known < count {
            let request = LocateGroups { file, first: GroupIndex(first.0 + known), limit: count - known };
            let page: GroupPage = client.leader.ask(&request, Subject::Version(file)).await?;
            known += u32::try_from(page.groups.len()).unwrap_or(u32::MAX);
            found.add(&request, page)?;
        }
        Ok(found)
    }

    fn add(&mut self, request: &LocateGroups, page: GroupPage) -> Result<(), ClientError> {
        if page.groups.is_empty() || page.groups.len() > request.limit as usize {
            return Err(ClientError::Nonsense("a page of locations has too few or too many groups"));
        }
        for (group, expected) in page.groups.into_iter().zip(request.first.0..) {
            if group.group != GroupIndex(expected) {
                return Err(ClientError::Nonsense("a page of locations has groups that were not asked for"));
            }
            self.groups.insert(group.group, group);
        }
        self.addresses.extend(page.addresses.into_iter().map(|node| (node.node, node.address)));
        Ok(())
    }

    /// Where a chunk is, if metadata knows it.
    pub(super) fn find(&self, index: ChunkIndex, ranks: &BTreeMap<NodeId, Rank>) -> Option<Location> {
        let group = self.groups.get(&index.group())?;
        let chunk = group.chunks.get(index.slot() as usize)?;
        let nodes = order_replicas(index, &group.holders, ranks);
        let replicas = nodes.into_iter().map(|node| (node, self.addresses.get(&node).copied())).collect();
        Some(Location { epoch: chunk.epoch, checksum: chunk.checksum, replicas })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dfs_core::mask::ChunkMask;
    use dfs_core::wire::NodeAddress;
    use dfs_core::wire::metadata::{ChunkLocation, GroupHolder};

    fn page(groups: &[u32]) -> GroupPage {
        let address = ([127, 0, 0, 1], 7001).into();
        let locations = |group: &u32| GroupLocations {
            group: GroupIndex(*group),
            epoch: Epoch(1),
            chunks: vec![ChunkLocation { epoch: Epoch(1), checksum: Digest([9; 32]) }],
            holders: vec![1, 2]
                .into_iter()
                .map(|node| GroupHolder { node: NodeId(node), held: ChunkMask(1), verified: ChunkMask(0) })
                .collect(),
        };
        GroupPage {
            groups: groups.iter().map(locations).collect(),
            addresses: vec![NodeAddress { node: NodeId(1), address }],
        }
    }

    fn add(first: u32, groups: &[u32]) -> Result<Locations, ClientError> {
        let mut found = Locations { groups: BTreeMap::new(), addresses: BTreeMap::new() };
        let request = LocateGroups { file: FileId(1), first: GroupIndex(first), limit: 2 };
        found.add(&request, page(groups)).map(|()| found)
    }

    #[test]
    fn a_chunk_is_found_with_the_addresses_of_its_holders() {
        let found = add(3, &[3, 4]).unwrap();
        let location = found.find(GroupIndex(4).chunk(0), &BTreeMap::new()).unwrap();
        assert_eq!(location.replicas.len(), 2);
        assert!(location.replicas.iter().all(|(node, address)| address.is_some() == (*node == NodeId(1))));
        assert_eq!(found.find(GroupIndex(4).chunk(1), &BTreeMap::new()), None);
        assert_eq!(found.find(GroupIndex(5).chunk(0), &BTreeMap::new()), None);
    }

    #[test]
    fn pages_that_do_not_answer_the_question_are_not_believed() {
        for groups in [&[][..], &[4], &[3, 5], &[3, 4, 5]] {
            assert!(add(3, groups).is_err(), "{groups:?}");
        }
    }
}
