//! How requests about uploads are answered: the leader chooses the nodes, the state machine decides.

use super::NamespaceArguments;
use dfs_core::id::NodeId;
use dfs_core::meta::{self, Allocation, Command, CreatedUpload, OpenGroup, Outcome, Placing, Resumption};
use dfs_core::placement;
use dfs_core::refusal::Refusal;
use dfs_core::wire::NodeAddress;
use dfs_core::wire::metadata::{
    AllocateGroup, CommitFile, CreateFile, CreatedFile, FileInfo, FoundUpload, GroupPlacement, LocateUpload,
    ResumeUpload, UploadGroup, UploadPage,
};
use std::collections::BTreeMap;
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
        let chosen = placement::choose(&candidates, wanted, needed, excluded, self.entropy.number());
        // A leader without a quorum takes no beats: that it has not heard of nodes says nothing about them.
        if chosen.is_err() {
            self.raft.check_leadership()?;
        }
        chosen
    }

    async fn placement(&self, allocation: Allocation) -> Result<GroupPlacement, Refusal> {
        let addresses = self.addresses(allocation.nodes.iter().copied().collect()).await?;
        Ok(with_addresses(allocation, &addresses))
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

    /// Most runs find nothing to go on with, which costs a read and no entry.
    pub(super) async fn resume(&self, request: ResumeUpload) -> Result<FoundUpload, Refusal> {
        let asked = request.clone();
        match self.read(move |view| meta::resumption_state(view, &asked)).await?? {
            Resumption::Answered(found) => Ok(found),
            Resumption::Needed => match self.raft.write(Command::Resume { request }).await? {
                Outcome::Resumed(found) => Ok(found),
                _ => Err(Refusal::Internal),
            },
        }
    }

    pub(super) async fn locate_upload(&self, request: LocateUpload) -> Result<UploadPage, Refusal> {
        let groups = self.read(move |view| meta::locate_upload(view, &request)).await??;
        let placed = groups.iter().flat_map(|group| group.allocation.nodes.iter().copied()).collect();
        let addresses = self.addresses(placed).await?;
        let told = |OpenGroup { allocation, chunks }| UploadGroup {
            placement: with_addresses(allocation, &addresses),
            chunks,
        };
        Ok(UploadPage { groups: groups.into_iter().map(told).collect() })
    }

    pub(super) async fn commit(&self, request: CommitFile) -> Result<FileInfo, Refusal> {
        match self.raft.write(Command::Commit { request }).await? {
            Outcome::Committed(info) => Ok(info),
            _ => Err(Refusal::Internal),
        }
    }
}

/// A placement as clients are told it.
fn with_addresses(allocation: Allocation, addresses: &BTreeMap<NodeId, NodeAddress>) -> GroupPlacement {
    let Allocation { group, epoch, write_quorum, nodes } = allocation;
    let nodes = nodes.iter().filter_map(|node| addresses.get(node).copied()).collect();
    GroupPlacement { group, epoch, write_quorum, nodes }
}

/// Refuses what a client that keeps to the protocol does not send.
fn check_bounds(request: &AllocateGroup) -> Result<(), Refusal> {
    let within = request.excluded.len() <= dfs_core::limit::EXCLUDED_NODES_MAX
        && request.reports.len() <= dfs_core::limit::REPORT_GROUPS_MAX;
    if within { Ok(()) } else { Err(Refusal::Malformed) }
}
