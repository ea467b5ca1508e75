//! How each request about files is answered.

use super::NamespaceArguments;
use crate::raft::StateView;
use dfs_core::id::NodeId;
use dfs_core::limit::NODES_PAGE_MAX;
use dfs_core::meta::{self, Allocation, Command, CreatedUpload, NodeRecord, Outcome, Placing};
use dfs_core::placement;
use dfs_core::refusal::Refusal;
use dfs_core::wire::NodeAddress;
use dfs_core::wire::metadata::{
    AllocateGroup, ClusterStatus, ClusterSummary, CommitFile, CreateFile, CreatedFile, DeleteFile, FileInfo, FilePage,
    GroupPage, GroupPlacement, Health, ListFiles, ListNodes, LocateGroups, MetadataNodeInfo, NodePage, StatFile,
    StorageNodeInfo,
};
use std::collections::{BTreeMap, BTreeSet};
use tokio::time::Instant;

/// Milliseconds within which a metadata node must have answered its leader to be said to respond.
const RESPONDING_MS: u64 = 2_000;

type Read<T> = Result<T, <StateView as meta::View>::Error>;

impl NamespaceArguments {
    /// Reads the state as this node has it.
    async fn look<T: Send + 'static>(
        &self,
        read: impl FnOnce(&StateView) -> Read<T> + Send + 'static,
    ) -> Result<T, Refusal> {
        let view = self.raft.view();
        match self.scope.blocking(move || read(&view)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                tracing::error!(%error, "the replicated state cannot be read");
                Err(Refusal::Internal)
            }
            Err(_) => Err(Refusal::Stopping),
        }
    }

    /// Reads the state linearizably.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&StateView) -> Read<T> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.raft.read_index().await?;
        self.look(read).await
    }

    /// Asks the state whether something is to be placed. A refusal is believed only behind a barrier, because a new
    /// leader may not have applied yet what would avert it.
    async fn ask<T: Send + 'static>(
        &self,
        ask: impl Fn(&StateView) -> Read<Result<T, Refusal>> + Clone + Send + 'static,
    ) -> Result<T, Refusal> {
        if !self.raft.is_leader() {
            return Err(Refusal::NotLeader { leader: self.raft.leadership().leader });
        }
        match self.look(ask.clone()).await? {
            Ok(answer) => Ok(answer),
            Err(_) => self.read(ask).await?,
        }
    }

    async fn registered(&self) -> Result<Vec<NodeRecord>, Refusal> {
        self.look(|view| {
            let mut nodes: Vec<NodeRecord> = Vec::new();
            loop {
                let page = meta::nodes(view, nodes.last().map(|node| node.node), NODES_PAGE_MAX)?;
                let more = page.len() == NODES_PAGE_MAX;
                nodes.extend(page);
                if !more {
                    return Ok(nodes);
                }
            }
        })
        .await
    }

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

    async fn addresses(&self, nodes: BTreeSet<NodeId>) -> Result<BTreeMap<NodeId, NodeAddress>, Refusal> {
        self.look(move |view| {
            let mut addresses = BTreeMap::new();
            for node in nodes {
                if let Some(record) = meta::node(view, node)? {
                    addresses.insert(node, NodeAddress { node, address: record.address });
                }
            }
            Ok(addresses)
        })
        .await
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

    pub(super) async fn delete(&self, request: DeleteFile) -> Result<FileInfo, Refusal> {
        match self.raft.write(Command::Delete { request }).await? {
            Outcome::Deleted(info) => Ok(info),
            _ => Err(Refusal::Internal),
        }
    }

    pub(super) async fn stat(&self, request: StatFile) -> Result<FileInfo, Refusal> {
        self.read(move |view| meta::stat(view, &request.target)).await?
    }

    pub(super) async fn list(&self, request: ListFiles) -> Result<FilePage, Refusal> {
        self.read(move |view| meta::list(view, &request)).await
    }

    pub(super) async fn locate(&self, request: LocateGroups) -> Result<GroupPage, Refusal> {
        let groups = self.read(move |view| meta::locate(view, &request)).await??;
        let nodes = groups.iter().flat_map(|group| group.holders.iter().map(|holder| holder.node)).collect();
        let addresses = self.addresses(nodes).await?.into_values().collect();
        Ok(GroupPage { groups, addresses })
    }

    fn metadata_nodes(&self) -> Vec<MetadataNodeInfo> {
        let leadership = self.raft.leadership();
        let progress = self.raft.member_progress();
        let leader = leadership.leader.map(|leader| leader.node);
        let describe = |address: NodeAddress| {
            let progress = progress.get(&address.node);
            MetadataNodeInfo {
                address,
                leads: leader == Some(address.node),
                term: leadership.term,
                matched: progress.and_then(|progress| progress.matched),
                silent_ms: progress.and_then(|progress| progress.silent_ms),
            }
        };
        leadership.members.iter().copied().map(describe).collect()
    }

    async fn storage_nodes(&self, nodes: Vec<NodeRecord>, deadline: Instant) -> Result<Vec<StorageNodeInfo>, Refusal> {
        let ids = nodes.iter().map(|node| node.node).collect();
        let evidence = self.watcher.evidence(ids, deadline).await?;
        let describe = |(record, evidence): (NodeRecord, crate::node_watcher::NodeEvidence)| StorageNodeInfo {
            address: NodeAddress { node: record.node, address: record.address },
            incarnation: record.incarnation,
            store: record.store,
            health: evidence.health,
            silent_ms: evidence.silent.map(|silent| u64::try_from(silent.as_millis()).unwrap_or(u64::MAX)),
            load: evidence.load,
        };
        Ok(nodes.into_iter().zip(evidence).map(describe).collect())
    }

    pub(super) async fn nodes(&self, request: ListNodes, deadline: Instant) -> Result<NodePage, Refusal> {
        let after = request.after;
        let records = self.read(move |view| meta::nodes(view, after, NODES_PAGE_MAX)).await?;
        let more = records.len() == NODES_PAGE_MAX;
        let metadata = if after.is_none() { self.metadata_nodes() } else { Vec::new() };
        Ok(NodePage { metadata, storage: self.storage_nodes(records, deadline).await?, more })
    }

    pub(super) async fn status(&self, _: ClusterStatus, deadline: Instant) -> Result<ClusterSummary, Refusal> {
        let (cluster, totals) = self.read(|view| Ok((meta::cluster(view)?, meta::totals(view)?))).await?;
        let (cluster, settings) = cluster.ok_or(Refusal::Unavailable)?;
        let leadership = self.raft.leadership();
        let leader = leadership.leader.ok_or(Refusal::Unavailable)?;
        let metadata = self.metadata_nodes();
        let responds =
            |node: &&MetadataNodeInfo| node.leads || node.silent_ms.is_some_and(|silent| silent < RESPONDING_MS);
        let storage = self.storage_nodes(self.registered().await?, deadline).await?;
        let in_state = |health| count(storage.iter().filter(|node| node.health == health).count());
        let beating = || storage.iter().filter(|node| node.health == Health::Alive).filter_map(|node| node.load);
        Ok(ClusterSummary {
            cluster,
            leader,
            term: leadership.term,
            applied: leadership.applied,
            cluster_time: leadership.cluster_time,
            metadata_nodes: count(metadata.len()),
            metadata_responding: count(metadata.iter().filter(responds).count()),
            storage_nodes: count(storage.len()),
            storage_alive: in_state(Health::Alive),
            storage_suspect: in_state(Health::Suspect),
            storage_dead: in_state(Health::Dead),
            files: totals.files,
            file_bytes: totals.file_bytes,
            open_uploads: totals.open_uploads,
            capacity_bytes: beating().map(|load| load.capacity_bytes).sum(),
            available_bytes: beating().map(|load| load.available_bytes).sum(),
            replication: settings.replication,
        })
    }
}

fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Refuses what a client that keeps to the protocol does not send.
fn check_bounds(request: &AllocateGroup) -> Result<(), Refusal> {
    let within = request.excluded.len() <= dfs_core::limit::EXCLUDED_NODES_MAX
        && request.reports.len() <= dfs_core::limit::REPORT_GROUPS_MAX;
    if within { Ok(()) } else { Err(Refusal::Malformed) }
}
