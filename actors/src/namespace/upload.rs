//! How requests about uploads are answered: the leader chooses the nodes, the state machine decides.

use super::NamespaceArguments;
use dfs_core::id::NodeId;
use dfs_core::meta::{self, Allocation, Command, CreatedUpload, Outcome, Placing};
use dfs_core::placement;
use dfs_core::refusal::Refusal;
use dfs_core::wire::metadata::{AllocateGroup, CommitFile, CreateFile, CreatedFile, FileInfo, GroupPlacement};
use tokio::time::Instant;

impl NamespaceArguments {
    async fn choose(
        &self,
        replication: u8,
        write_quorum: u8,
        excluded: &[NodeId],
        deadline: Instant,
    ) -> Result<Vec<NodeId>, Refusal> {
        let registered = self.registered().await?.into_iter().map(|node| node.node).collect();
        let candidates = self.watcher.candidates(registered, deadline).await?;
        let (wanted, needed) = (usize::from(replication), usize::from(write_quorum));
        placement::choose(&candidates, wanted, needed, excluded, self.entropy.number())
    }

    async fn placement(&self, allocation: Allocation) -> Result<GroupPlacement, Refusal> {
        let Allocation { group, epoch, write_quorum, nodes } = allocation;
        let addresses = self.addresses(nodes.iter().copied().collect()).await?;
        let nodes = nodes.iter().filter_map(|node| addresses.get(node).copied()).collect();
        Ok(GroupPlacement { group, epoch, write_quorum, nodes })
    }

    pub(super) async fn create(&self, request: CreateFile, deadline: Instant) -> Result<CreatedFile, Refusal> {
        let asked = request.clone();
        let placing = self.ask(move |view| meta::creation_state(view, &asked)).await?;
        let created = match placing {
            Placing::Done(created) => created,
            Placing::Needed { replication, write_quorum } => {
                let nodes = match request.size_hint {
                    Some(0) => Vec::new(),
                    _ => self.choose(replication, write_quorum, &[], deadline).await?,
                };
                match self.raft.write(Command::Create { request, nodes }).await? {
                    Outcome::Created(created) => created,
                    _ => return Err(Refusal::Internal),
                }
            }
        };
        let CreatedUpload { file, replication, first_group } = created;
        let first_group = match first_group {
            Some(allocation) => Some(self.placement(allocation).await?),
            None => None,
        };
        Ok(CreatedFile { file, replication, first_group })
    }

    pub(super) async fn allocate(&self, request: AllocateGroup, deadline: Instant) -> Result<GroupPlacement, Refusal> {
        check_bounds(&request)?;
        let asked = request.clone();
        let placing = self.ask(move |view| meta::allocation_state(view, &asked)).await?;
        let allocation = match placing {
            Placing::Done(allocation) => allocation,
            Placing::Needed { replication, write_quorum } => {
                let nodes = self.choose(replication, write_quorum, &request.excluded, deadline).await?;
                match self.raft.write(Command::Allocate { request, nodes }).await? {
                    Outcome::Allocated(allocation) => allocation,
                    _ => return Err(Refusal::Internal),
                }
            }
        };
        self.placement(allocation).await
    }

    pub(super) async fn commit(&self, request: CommitFile) -> Result<FileInfo, Refusal> {
        match self.raft.write(Command::Commit { request }).await? {
            Outcome::Committed(info) => Ok(info),
            _ => Err(Refusal::Internal),
        }
    }
}

/// Refuses what a client that keeps to the protocol does not send.
fn check_bounds(request: &AllocateGroup) -> Result<(), Refusal> {
    let within = request.excluded.len() <= dfs_core::limit::EXCLUDED_NODES_MAX
        && request.reports.len() <= dfs_core::limit::REPORT_GROUPS_MAX;
    if within { Ok(()) } else { Err(Refusal::Malformed) }
}
