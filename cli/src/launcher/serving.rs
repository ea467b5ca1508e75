//! Whether a local cluster serves: judged by what its leader says of every node.

use super::error::{LogTail, NotServing};
use super::{Launcher, LauncherError, NodeName, log_tail};
use dfs_client::{Client, ClientSettings, ClusterNodes};
use dfs_core::id::Role;
use dfs_core::wire::metadata::Health;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// How often the cluster is asked.
const INTERVAL: Duration = Duration::from_millis(100);
/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(3);
/// Silence of a metadata node that still counts as answering its leader.
const METADATA_SILENCE_MS: u64 = 2_000;

/// When each node was started, of those that this process started.
pub(super) type Starts = BTreeMap<NodeName, Instant>;

/// How patient the client is that watches a cluster start: it asks again soon.
pub(super) fn client_settings() -> ClientSettings {
    ClientSettings { connect_timeout: ANSWER, operation_timeout: ANSWER, ..ClientSettings::default() }
}

/// Waits until the leader hears each of `names`, for `patience` at most.
pub(super) async fn wait(
    launcher: &Launcher,
    client: &Client,
    names: &[NodeName],
    starts: &Starts,
    patience: Duration,
) -> Result<(), LauncherError> {
    let deadline = Instant::now() + patience;
    loop {
        for name in names.iter().copied() {
            if launcher.running(name).is_none() {
                let log = launcher.layout.log(name);
                return Err(LauncherError::Ended { name, tail: LogTail(log_tail::last_words(&log)), log });
            }
        }
        let missing = match timeout(ANSWER.min(patience), client.nodes()).await {
            Ok(Ok(nodes)) => missing(names, &nodes, |name| starts.get(&name).map(Instant::elapsed)),
            _ => names.first().map(|name| (*name, NotServing::NoLeader)),
        };
        let Some((name, reason)) = missing else { return Ok(()) };
        if Instant::now() >= deadline {
            let log = launcher.layout.log(name);
            let tail = LogTail(log_tail::last_words(&log));
            return Err(LauncherError::NotServing { name, reason, waited: patience, tail, log });
        }
        sleep(INTERVAL).await;
    }
}

/// The first node that the leader has not heard since it was started.
fn missing(
    names: &[NodeName],
    nodes: &ClusterNodes,
    age: impl Fn(NodeName) -> Option<Duration>,
) -> Option<(NodeName, NotServing)> {
    if !nodes.metadata.iter().any(|node| node.leads) {
        return names.first().map(|name| (*name, NotServing::NoLeader));
    }
    names.iter().copied().find_map(|name| {
        // A sign of life from before its start is that of the process before it.
        let is_recent = |silent_ms: Option<u64>| {
            silent_ms.is_some_and(|silent| age(name).is_none_or(|age| Duration::from_millis(silent) < age))
        };
        let reason = if name.role == Role::Metadata {
            let node = nodes.metadata.iter().find(|node| node.address.node == name.node);
            match node {
                None => Some(NotServing::NotRegistered),
                Some(node) if node.leads => None,
                Some(node) if is_recent(node.silent_ms) && node.silent_ms <= Some(METADATA_SILENCE_MS) => None,
                Some(_) => Some(NotServing::Silent),
            }
        } else {
            let node = nodes.storage.iter().find(|node| node.address.node == name.node);
            match node {
                None => Some(NotServing::NotRegistered),
                Some(node) if node.health == Health::Alive && is_recent(node.silent_ms) => None,
                Some(_) => Some(NotServing::Silent),
            }
        };
        reason.map(|reason| (name, reason))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launcher::Shape;
    use dfs_core::id::{Incarnation, NodeId, StoreId};
    use dfs_core::wire::NodeAddress;
    use dfs_core::wire::metadata::{MetadataNodeInfo, StorageNodeInfo};

    fn address(node: u64) -> NodeAddress {
        NodeAddress { node: NodeId(node), address: "127.0.0.1:1".parse().unwrap() }
    }

    fn metadata(node: u64, leads: bool, silent_ms: Option<u64>) -> MetadataNodeInfo {
        MetadataNodeInfo { address: address(node), leads, term: 1, matched: None, silent_ms }
    }

    fn storage(node: u64, health: Health, silent_ms: u64) -> StorageNodeInfo {
        StorageNodeInfo {
            address: address(node),
            incarnation: Incarnation(1),
            store: StoreId(1),
            health,
            silent_ms: Some(silent_ms),
            load: None,
            slow_for: Vec::new(),
            slow: false,
        }
    }

    fn judged(metadata: Vec<MetadataNodeInfo>, storage: Vec<StorageNodeInfo>, age_ms: Option<u64>) -> String {
        let names: Vec<NodeName> = Shape::new(3, 1).unwrap().names().collect();
        let page = ClusterNodes { metadata, storage };
        match missing(&names, &page, |_| age_ms.map(Duration::from_millis)) {
            None => "serves".to_owned(),
            Some((name, reason)) => format!("{name}: {reason}"),
        }
    }

    #[test]
    fn a_cluster_serves_when_its_leader_hears_every_node() {
        let members = || vec![metadata(1, false, Some(90)), metadata(2, true, None), metadata(3, false, Some(90))];
        let node = |silent| vec![storage(1, Health::Alive, silent)];
        assert_eq!(judged(members(), node(2_500), None), "serves");
        assert_eq!(judged(members(), node(2_500), Some(3_000)), "serves");
        assert_eq!(judged(members(), node(2_500), Some(2_000)), "storage-1: the leader does not hear from it");
        assert_eq!(judged(members(), Vec::new(), None), "storage-1: it has not registered");
        let dead = vec![storage(1, Health::Dead, 99_999)];
        assert_eq!(judged(members(), dead, None), "storage-1: the leader does not hear from it");
        let mut quiet = members();
        quiet[2].silent_ms = Some(2_001);
        assert_eq!(judged(quiet, node(1), None), "metadata-3: the leader does not hear from it");
        let mut leaderless = members();
        leaderless[1].leads = false;
        assert_eq!(judged(leaderless, node(1), None), "metadata-1: the metadata nodes have no leader");
    }
}
