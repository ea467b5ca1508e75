//! How requests about the cluster and its nodes are answered.

use super::NamespaceArguments;
use crate::node_watcher::NodeEvidence;
use dfs_core::limit::{NODES_PAGE_MAX, TROUBLED_NODES_MAX};
use dfs_core::meta::{self, Command, NodeRecord, Outcome};
use dfs_core::refusal::Refusal;
use dfs_core::settings::ClusterSettings;
use dfs_core::time::ClusterTime;
use dfs_core::wire::NodeAddress;
use dfs_core::wire::metadata::{
    ChangeSettings, ClusterSummary, Health, ListNodes, MetadataNodeInfo, NodeHistory, NodePage, NodePast,
    StorageNodeInfo, TroubledNode,
};
use std::time::Duration;
use tokio::time::Instant;

/// Milliseconds within which a metadata node must have answered its leader to be said to respond.
const RESPONDING_MS: u64 = 2_000;

impl NamespaceArguments {
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
        let evidence = self.evidence(&nodes, deadline).await?;
        let describe = |(record, evidence): (NodeRecord, NodeEvidence)| StorageNodeInfo {
            address: NodeAddress { node: record.node, address: record.address },
            incarnation: record.incarnation,
            store: record.store,
            health: evidence.health,
            silent_ms: evidence.silent.map(whole_ms),
            load: evidence.load,
            slow_for: evidence.slow_for,
            slow: evidence.slow,
        };
        Ok(nodes.into_iter().zip(evidence).map(describe).collect())
    }

    async fn evidence(&self, nodes: &[NodeRecord], deadline: Instant) -> Result<Vec<NodeEvidence>, Refusal> {
        Ok(self.watcher.evidence(nodes.iter().map(|node| node.node).collect(), deadline).await?)
    }

    pub(super) async fn nodes(&self, request: ListNodes, deadline: Instant) -> Result<NodePage, Refusal> {
        let after = request.after;
        let records = self.read(move |view| meta::nodes(view, after, NODES_PAGE_MAX)).await?;
        let more = records.len() == NODES_PAGE_MAX;
        let metadata = if after.is_none() { self.metadata_nodes() } else { Vec::new() };
        Ok(NodePage { metadata, storage: self.storage_nodes(records, deadline).await?, more })
    }

    pub(super) async fn history(&self, request: NodeHistory, deadline: Instant) -> Result<NodePast, Refusal> {
        self.raft.read_index().await?;
        let evidence = self.watcher.evidence(vec![request.node], deadline).await?;
        let changes = evidence.into_iter().next().map(|evidence| evidence.history).unwrap_or_default();
        Ok(NodePast { now: self.raft.cluster_time(), changes })
    }

    pub(super) async fn time(&self) -> Result<ClusterTime, Refusal> {
        self.read(meta::time).await
    }

    pub(super) async fn settings(&self) -> Result<ClusterSettings, Refusal> {
        self.read(meta::cluster).await?.map(|(_, settings)| settings).ok_or(Refusal::Unavailable)
    }

    pub(super) async fn change_settings(&self, request: ChangeSettings) -> Result<ClusterSettings, Refusal> {
        match self.raft.write(Command::ChangeSettings { request }).await? {
            Outcome::SettingsChanged(settings) => Ok(settings),
            _ => Err(Refusal::Internal),
        }
    }

    /// The cluster on one screen, if this node leads it.
    ///
    /// # Errors
    /// It does not lead, or cannot know whether it does.
    pub async fn overview(&self, deadline: Instant) -> Result<ClusterSummary, Refusal> {
        let (cluster, totals) = self.read(|view| Ok((meta::cluster(view)?, meta::totals(view)?))).await?;
        let (cluster, settings) = cluster.ok_or(Refusal::Unavailable)?;
        let leadership = self.raft.leadership();
        let leader = leadership.leader.ok_or(Refusal::Unavailable)?;
        let metadata = self.metadata_nodes();
        let responds =
            |node: &&MetadataNodeInfo| node.leads || node.silent_ms.is_some_and(|silent| silent < RESPONDING_MS);
        let registered = self.registered().await?;
        let storage = self.evidence(&registered, deadline).await?;
        let troubled = troubled(&registered, &storage);
        let in_state = |health| count(storage.iter().filter(|node| node.health == health).count());
        let beating = || storage.iter().filter(|node| node.health == Health::Alive).filter_map(|node| node.load);
        Ok(ClusterSummary {
            cluster,
            leader,
            term: leadership.term,
            applied: leadership.applied,
            cluster_time: self.raft.cluster_time(),
            metadata_nodes: count(metadata.len()),
            metadata_responding: count(metadata.iter().filter(responds).count()),
            metadata_silent: metadata.iter().filter(|node| !responds(node)).cloned().collect(),
            storage_nodes: count(storage.len()),
            storage_alive: in_state(Health::Alive),
            storage_suspect: in_state(Health::Suspect),
            storage_dead: in_state(Health::Dead),
            storage_troubled_more: count(troubled.len().saturating_sub(TROUBLED_NODES_MAX)),
            storage_troubled: troubled.into_iter().take(TROUBLED_NODES_MAX).collect(),
            files: totals.files,
            file_bytes: totals.file_bytes,
            open_uploads: totals.open_uploads,
            capacity_bytes: beating().map(|load| load.capacity_bytes).sum(),
            available_bytes: beating().map(|load| load.available_bytes).sum(),
            replication: settings.replication,
            pending_copies: beating().map(|load| load.pending_copies).sum(),
            repair: self.repair.summary(deadline).await?,
        })
    }
}

/// The nodes with which not all is well, the worst first.
fn troubled(nodes: &[NodeRecord], evidence: &[NodeEvidence]) -> Vec<TroubledNode> {
    let describe = |(record, evidence): (&NodeRecord, &NodeEvidence)| TroubledNode {
        address: NodeAddress { node: record.node, address: record.address },
        health: evidence.health,
        changed: evidence.history.last().copied(),
        silent_ms: evidence.silent.map(whole_ms),
        refuses_chunks: evidence.load.is_some_and(|load| load.refuses_chunks),
        slow: evidence.slow,
    };
    let is_well = |node: &TroubledNode| node.health == Health::Alive && !node.refuses_chunks && !node.slow;
    let mut troubled: Vec<_> = nodes.iter().zip(evidence).map(describe).filter(|node| !is_well(node)).collect();
    let rank = |node: &TroubledNode| match node.health {
        Health::Dead => 0,
        Health::Suspect => 1,
        Health::Alive => 2,
        Health::Unknown => 3,
    };
    troubled.sort_by_key(|node| (rank(node), node.address.node));
    troubled
}

fn whole_ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
