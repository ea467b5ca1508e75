//! `nodes`: every node of the cluster, as its leader knows it; or one of them in full.

mod one;

use crate::connect::ClusterArgs;
use crate::failure::Failure;
use crate::json;
use crate::launcher::NodeName;
use crate::leaderless::{self, Leaderless};
use crate::moment;
use crate::output::print;
use crate::runtime;
use crate::table::{Align, Table};
use clap::Args;
use dfs_client::ClusterNodes;
use dfs_core::unit::ByteCount;
use dfs_core::wire::metadata::{MetadataNodeInfo, StorageNodeInfo};
use one::One;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  dfs-cli nodes
  dfs-cli nodes storage-2
  dfs-cli nodes --json | jq '.storage[] | select(.state != \"alive\")'

With --json: metadata, an array with the fields name, node, address, leader, term, matched_index and silent_ms; and
storage, an array with the fields name, node, address, state, incarnation, store, silent_ms, capacity_bytes,
available_bytes, chunks, chunk_bytes, pending_copies, refuses_chunks and slow. What the leader does not know is null.

Of one node: the same fields; for a storage node writes, reads, slow_for, an array of the nodes for which its copies
or its network are slow (node, copy_ms, usual_copy_ms, round_trip_ms, usual_round_trip_ms), and history, an array of
its changes of state that this leader has noted (cluster_time_ms, from, to, cause); and own, what the node says of
itself: name, answers, ready, version, uptime_ms, cpu_ms, resident_bytes, resident_peak_bytes, metrics and actors, an
array with the fields name, running, restarts, last_failure_ms and last_failure.

Without a leader it shows which metadata nodes answer, and fails with exit code 5; with --json as `status` does.";

/// Show the nodes of the cluster
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct NodesArgs {
    /// One node in full, such as storage-2 [default: all on one line each]
    node: Option<NodeName>,
    /// Write JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl NodesArgs {
    pub(super) fn run(self) -> Result<(), Failure> {
        runtime::run_interruptible("nodes", async |world| {
            let client = self.cluster.looking_client(&world)?;
            let nodes = match client.nodes().await {
                Ok(nodes) => nodes,
                Err(error) => {
                    let shown = |known: &Leaderless| match self.json {
                        true => json::pretty(&known.json()) + "\n",
                        false => known.table(),
                    };
                    let failure = leaderless::tell(&client, error, shown).await;
                    client.close().await;
                    return Err(failure);
                }
            };
            if let Some(name) = self.node {
                let one = One::ask(&client, &nodes, name).await?;
                client.close().await;
                return match self.json {
                    true => print(format_args!("{}\n", json::pretty(&one.json()))),
                    false => print(format_args!("{}", one.screen())),
                };
            }
            client.close().await;
            if self.json {
                let nodes = json::Nodes {
                    metadata: nodes.metadata.iter().map(json::MetadataNode::of).collect(),
                    storage: nodes.storage.iter().map(json::StorageNode::of).collect(),
                };
                print(format_args!("{}\n", json::pretty(&nodes)))
            } else {
                print(format_args!("{}\n{}", metadata(&nodes.metadata), storage(&nodes)))
            }
        })
    }
}

const UNKNOWN: &str = "?";

fn ago(silent_ms: Option<u64>) -> String {
    silent_ms.map_or(UNKNOWN.to_owned(), |ms| format!("{} ago", moment::span(Duration::from_millis(ms))))
}

fn known<T: ToString>(value: Option<T>) -> String {
    value.map_or(UNKNOWN.to_owned(), |value| value.to_string())
}

fn metadata(nodes: &[MetadataNodeInfo]) -> Table {
    let mut table = Table::new(&[
        ("METADATA", Align::Left),
        ("ADDRESS", Align::Left),
        ("ROLE", Align::Left),
        ("TERM", Align::Right),
        ("INDEX", Align::Right),
        ("ANSWERED", Align::Left),
    ]);
    for node in nodes {
        table.row([
            format!("metadata-{}", node.address.node),
            node.address.address.to_string(),
            if node.leads { "leader" } else { "follower" }.to_owned(),
            node.term.to_string(),
            known(node.matched),
            if node.leads { "-".to_owned() } else { ago(node.silent_ms) },
        ]);
    }
    table
}

fn storage(nodes: &ClusterNodes) -> Table {
    let mut table = Table::new(&[
        ("STORAGE", Align::Left),
        ("ADDRESS", Align::Left),
        ("STATE", Align::Left),
        ("LIFE", Align::Right),
        ("FREE", Align::Right),
        ("CAPACITY", Align::Right),
        ("CHUNKS", Align::Right),
        ("HELD", Align::Right),
        ("OWES", Align::Right),
        ("LAST BEAT", Align::Left),
    ]);
    for node in &nodes.storage {
        table.row(storage_row(node));
    }
    table
}

fn storage_row(node: &StorageNodeInfo) -> [String; 10] {
    let load = node.load;
    let refuses = load.is_some_and(|load| load.refuses_chunks);
    [
        format!("storage-{}", node.address.node),
        node.address.address.to_string(),
        format!(
            "{}{}{}",
            json::state(node.health),
            if refuses { ", takes no chunks" } else { "" },
            if node.slow { ", slow" } else { "" }
        ),
        node.incarnation.to_string(),
        known(load.map(|load| ByteCount(load.available_bytes))),
        known(load.map(|load| ByteCount(load.capacity_bytes))),
        known(load.map(|load| load.chunk_count)),
        known(load.map(|load| ByteCount(load.chunk_bytes))),
        known(load.map(|load| load.pending_copies)),
        ago(node.silent_ms),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use dfs_core::id::{Incarnation, NodeId, StoreId};
    use dfs_core::wire::NodeAddress;
    use dfs_core::wire::metadata::{Health, StorageLoad};

    #[test]
    fn what_is_not_known_is_shown_so() {
        let address = NodeAddress { node: NodeId(2), address: "127.0.0.1:7102".parse().unwrap() };
        let mut node = StorageNodeInfo {
            address,
            incarnation: Incarnation(4),
            store: StoreId(1),
            health: Health::Unknown,
            silent_ms: None,
            load: None,
            slow_for: Vec::new(),
            slow: false,
        };
        assert_eq!(storage_row(&node), ["storage-2", "127.0.0.1:7102", "unknown", "4", "?", "?", "?", "?", "?", "?"]);
        let load = StorageLoad {
            capacity_bytes: 2 << 30,
            available_bytes: 1 << 30,
            chunk_bytes: 5 << 20,
            chunk_count: 7,
            pending_copies: 3,
            refuses_chunks: true,
            ..StorageLoad::default()
        };
        node = StorageNodeInfo { health: Health::Alive, silent_ms: Some(1200), load: Some(load), ..node };
        let row = storage_row(&node);
        assert_eq!(row[2..], ["alive, takes no chunks", "4", "1 GiB", "2 GiB", "7", "5 MiB", "3", "1.2 s ago"]);
    }
}
