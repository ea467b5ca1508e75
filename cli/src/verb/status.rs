//! `status`: the cluster on one screen.

use crate::connect::ClusterArgs;
use crate::failure::Failure;
use crate::json;
use crate::moment;
use crate::output::print;
use crate::runtime;
use clap::Args;
use dfs_core::unit::ByteCount;
use dfs_core::wire::metadata::ClusterSummary;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  dfs-cli status
  dfs-cli status --json | jq .storage.alive

With --json: one object with the fields cluster, leader (node, address, term, applied_index), metadata (nodes,
responding), storage (nodes, alive, suspect, dead), files, file_bytes, open_uploads, capacity_bytes,
available_bytes, replication and cluster_time_ms.";

/// Show how the cluster is
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct StatusArgs {
    /// Write JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl StatusArgs {
    pub(super) fn run(self) -> Result<(), Failure> {
        runtime::run_interruptible("status", async |world| {
            let client = self.cluster.client(&world)?;
            let summary = client.status().await?;
            client.close().await;
            if self.json {
                print(format_args!("{}\n", json::pretty(&json::Status::of(&summary))))
            } else {
                print(format_args!("{}", screen(&summary)))
            }
        })
    }
}

fn screen(summary: &ClusterSummary) -> String {
    let mut storage = vec![format!("{} of {} alive", summary.storage_alive, summary.storage_nodes)];
    let known = summary.storage_alive + summary.storage_suspect + summary.storage_dead;
    for (count, word) in [
        (summary.storage_suspect, "suspect"),
        (summary.storage_dead, "dead"),
        (summary.storage_nodes.saturating_sub(known), "not heard yet by this leader"),
    ] {
        if count > 0 {
            storage.push(format!("{count} {word}"));
        }
    }
    format!(
        "cluster    {}\n\
         leader     metadata-{} at {}, term {}, log index {}\n\
         metadata   {} of {} answer the leader\n\
         storage    {}\n\
         files      {}, {}; {} uploads open\n\
         space      {} free of {}\n\
         copies     {} of each chunk\n\
         time       {} of cluster time\n",
        summary.cluster,
        summary.leader.node,
        summary.leader.address,
        summary.term,
        summary.applied,
        summary.metadata_responding,
        summary.metadata_nodes,
        storage.join(", "),
        summary.files,
        ByteCount(summary.file_bytes),
        summary.open_uploads,
        ByteCount(summary.available_bytes),
        ByteCount(summary.capacity_bytes),
        summary.replication,
        moment::span(Duration::from_millis(summary.cluster_time.0)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use dfs_core::id::{ClusterId, NodeId};
    use dfs_core::time::ClusterTime;
    use dfs_core::wire::NodeAddress;

    #[test]
    fn what_the_leader_does_not_know_is_not_called_healthy() {
        let summary = ClusterSummary {
            cluster: ClusterId(1),
            leader: NodeAddress { node: NodeId(2), address: "127.0.0.1:7002".parse().unwrap() },
            term: 3,
            applied: 4,
            cluster_time: ClusterTime(61_000),
            metadata_nodes: 3,
            metadata_responding: 2,
            storage_nodes: 4,
            storage_alive: 1,
            storage_suspect: 1,
            storage_dead: 1,
            files: 5,
            file_bytes: 6 << 20,
            open_uploads: 0,
            capacity_bytes: 2 << 30,
            available_bytes: 1 << 30,
            replication: 3,
        };
        let screen = screen(&summary);
        assert!(screen.contains("1 of 4 alive, 1 suspect, 1 dead, 1 not heard yet by this leader"), "{screen}");
        assert!(screen.contains("metadata-2 at 127.0.0.1:7002, term 3"), "{screen}");
        assert!(screen.contains("1 min 1 s of cluster time"), "{screen}");
        assert_eq!(json::Status::of(&summary).leader.node, 2);
    }
}
