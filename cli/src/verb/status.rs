//! `status`: the cluster on one screen.

use crate::actors::{self, NodeJson, Told};
use crate::connect::ClusterArgs;
use crate::failure::Failure;
use crate::json;
use crate::leaderless::{self, Leaderless};
use crate::moment;
use crate::output::print;
use crate::runtime;
use clap::Args;
use dfs_core::repair::RepairSummary;
use dfs_core::unit::ByteCount;
use dfs_core::wire::metadata::{ClusterSummary, Health, MetadataNodeInfo, TroubledNode};
use serde::Serialize;
use std::iter;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  dfs-cli status
  dfs-cli status --json | jq .storage.alive
  dfs-cli status --actors                       the supervision trees of all nodes, with restarts

With --json: one object with the fields cluster, leader (node, address, term, applied_index), metadata (nodes,
responding, silent: the names of the others), storage (nodes, alive, suspect, dead, troubled: an array with name,
address, state, for_ms, cause, silent_ms, refuses_chunks and slow of nodes with which not all is well, and troubled_more:
how many more there are), files, file_bytes, open_uploads, capacity_bytes and
available_bytes (null while no storage node beats), pending_copies, replication, cluster_time_ms, and repair (null while
the leader does not know who is dead: looked_ago_ms, more (whether there is more to repair than the numbers say),
chunks_below, chunks_unavailable, files_below, files_unavailable, copies_missing, bytes_missing, copies_under_way,
copies_made, orders_failed, left_ms, and waiting, an array with reason and chunks). With --actors: nodes, an array with
the fields name, answers, ready, version, uptime_ms, cpu_ms, resident_bytes, resident_peak_bytes, metrics and actors
(name, running, restarts, last_failure_ms, last_failure); a node that does not answer has nulls.

Without a leader it shows what the metadata nodes know, and fails with exit code 5. With --json: cluster, leader (null),
term, applied_index, cluster_time_ms, metadata (an array with node, address, the fields of --actors, and error) and
storage (null); with --actors, the metadata nodes only.";

/// Show how the cluster is
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct StatusArgs {
    /// Show the actors of all nodes instead, with their restarts
    #[arg(long)]
    actors: bool,
    /// Write JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl StatusArgs {
    pub(super) fn run(self) -> Result<(), Failure> {
        runtime::run_interruptible("status", async |world| {
            let client = self.cluster.looking_client(&world)?;
            let shown = if self.actors {
                match client.nodes().await {
                    Ok(nodes) => Ok(self.actors(&actors::ask_all(&client, &nodes).await)),
                    Err(error) => Err(leaderless::tell(&client, error, |known| self.actors(&known.told())).await),
                }
            } else {
                match client.status().await {
                    Ok(summary) if self.json => Ok(json::pretty(&json::Status::of(&summary)) + "\n"),
                    Ok(summary) => Ok(screen(&summary)),
                    Err(error) => Err(leaderless::tell(&client, error, |known| self.leaderless(known)).await),
                }
            };
            client.close().await;
            print(format_args!("{}", shown?))
        })
    }

    fn actors(&self, told: &[Told]) -> String {
        if self.json { json::pretty(&ActorsJson::of(told)) + "\n" } else { actors::table(told).to_string() }
    }

    fn leaderless(&self, known: &Leaderless) -> String {
        if self.json { json::pretty(&known.json()) + "\n" } else { known.screen() }
    }
}

/// The actors of all nodes, as `status --actors --json` writes them.
#[derive(Serialize)]
struct ActorsJson {
    nodes: Vec<NodeJson>,
}

impl ActorsJson {
    fn of(told: &[Told]) -> ActorsJson {
        ActorsJson { nodes: told.iter().map(NodeJson::of).collect() }
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
    let storage = iter::once(storage.join(", ")).chain(troubled(summary));
    let metadata = format!("{} of {} answer the leader", summary.metadata_responding, summary.metadata_nodes);
    let metadata = iter::once(metadata).chain(summary.metadata_silent.iter().map(silent_member));
    let space = match summary.storage_alive {
        0 => "not known: no storage node beats".to_owned(),
        _ => format!("{} free of {}", ByteCount(summary.available_bytes), ByteCount(summary.capacity_bytes)),
    };
    format!(
        "cluster    {}\n\
         leader     metadata-{} at {}, term {}, log index {}\n\
         metadata   {}\n\
         storage    {}\n\
         files      {}, {}; {} uploads open\n\
         space      {space}\n\
         copies     {} of each chunk; {} owed by nodes that beat\n\
         repair     {}\n\
         time       {} of cluster time\n",
        summary.cluster,
        summary.leader.node,
        summary.leader.address,
        summary.term,
        summary.applied,
        lines(metadata),
        lines(storage),
        summary.files,
        ByteCount(summary.file_bytes),
        summary.open_uploads,
        summary.replication,
        summary.pending_copies,
        repair(&summary.repair, summary.pending_copies),
        moment::span(Duration::from_millis(summary.cluster_time.0)),
    )
}

/// One below the other, behind the word of the first.
fn lines(lines: impl Iterator<Item = String>) -> String {
    lines.collect::<Vec<_>>().join("\n           ")
}

fn silent_member(node: &MetadataNodeInfo) -> String {
    let silent = match node.silent_ms {
        Some(silent_ms) => format!("has not answered for {}", moment::span(Duration::from_millis(silent_ms))),
        None => "has not answered this leader yet".to_owned(),
    };
    format!("metadata-{} at {} {silent}", node.address.node, node.address.address)
}

/// The storage nodes with which not all is well, each with what the leader goes by.
fn troubled(summary: &ClusterSummary) -> impl Iterator<Item = String> {
    let more = match summary.storage_troubled_more {
        0 => None,
        more => Some(format!("and {more} more; `dfs-cli nodes` lists all")),
    };
    let tell = |node: &TroubledNode| {
        let mut told = vec![match (node.health, node.changed) {
            (Health::Unknown, _) => "not heard yet by this leader".to_owned(),
            (health, Some(change)) if health != Health::Alive => {
                let since = moment::span(summary.cluster_time.since(change.at));
                format!("{} for {since}: {}", json::state(health), change.cause)
            }
            (health, _) => json::state(health).to_owned(),
        }];
        if let (Health::Suspect | Health::Dead, Some(silent_ms)) = (node.health, node.silent_ms) {
            told.push(format!("last beat {} ago", moment::span(Duration::from_millis(silent_ms))));
        }
        for (is_so, words) in [(node.refuses_chunks, "takes no chunks"), (node.slow, "slow for others, gets less work")]
        {
            if is_so {
                told.push(words.to_owned());
            }
        }
        format!("storage-{} at {} is {}", node.address.node, node.address.address, told.join("; "))
    };
    summary.storage_troubled.iter().map(tell).chain(more)
}

/// What is healthy is said only if it was looked at.
fn repair(repair: &RepairSummary, owed: u64) -> String {
    if !repair.listened {
        return "not known yet: the leader still listens for who is there".to_owned();
    }
    let looked = match repair.swept {
        Some(ago) => format!("every group was looked at {} ago", moment::span(ago)),
        None => "not every group has been looked at yet".to_owned(),
    };
    if repair.chunks_below == 0 {
        return match repair.swept {
            Some(_) if owed > 0 => format!("nothing known beyond the copies that are owed; {looked}"),
            Some(_) => format!("nothing to do; {looked}"),
            None => format!("not known yet: {looked}"),
        };
    }
    let more = if repair.more { "more than " } else { "" };
    let none = match repair.chunks_unavailable {
        0 => String::new(),
        chunks => format!(" ({chunks} of {} files have none)", repair.files_unavailable),
    };
    let left = repair.eta.map_or_else(String::new, |eta| format!(", done in about {}", moment::span(eta)));
    let mut told = format!(
        "{more}{} chunks of {} files have too few live copies{none}: {} copies to make, {}; {} under way{left}; {looked}",
        repair.chunks_below,
        repair.files_below,
        repair.copies_missing,
        ByteCount(repair.bytes_missing),
        repair.copies_under_way,
    );
    for (reason, chunks) in &repair.held_back {
        told += &format!("\n           {chunks} chunks wait: {reason}");
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use dfs_core::id::{ClusterId, NodeId};
    use dfs_core::liveness::{Cause, Transition};
    use dfs_core::repair::NotPlanned;
    use dfs_core::time::ClusterTime;
    use dfs_core::wire::NodeAddress;
    use std::collections::BTreeMap;

    #[test]
    fn what_the_leader_does_not_know_is_not_called_healthy() {
        let at = |node: u64, port: u16| NodeAddress { node: NodeId(node), address: ([127, 0, 0, 1], port).into() };
        let silent_member =
            MetadataNodeInfo { address: at(3, 7003), leads: false, term: 3, matched: None, silent_ms: Some(9_000) };
        let died = Transition {
            at: ClusterTime(51_000),
            from: Health::Suspect,
            to: Health::Dead,
            cause: Cause::Silence { silent_ms: 30_100 },
        };
        let dead = TroubledNode {
            address: at(2, 7102),
            health: Health::Dead,
            changed: Some(died),
            silent_ms: Some(40_100),
            refuses_chunks: false,
            slow: false,
        };
        let full = TroubledNode {
            address: at(4, 7104),
            health: Health::Alive,
            changed: None,
            silent_ms: Some(300),
            refuses_chunks: true,
            slow: true,
        };
        let summary = ClusterSummary {
            cluster: ClusterId(1),
            leader: NodeAddress { node: NodeId(2), address: "127.0.0.1:7002".parse().unwrap() },
            term: 3,
            applied: 4,
            cluster_time: ClusterTime(61_000),
            metadata_nodes: 3,
            metadata_responding: 2,
            metadata_silent: vec![silent_member],
            storage_nodes: 4,
            storage_alive: 1,
            storage_suspect: 1,
            storage_dead: 1,
            storage_troubled: vec![dead, full],
            storage_troubled_more: 7,
            files: 5,
            file_bytes: 6 << 20,
            open_uploads: 0,
            capacity_bytes: 2 << 30,
            available_bytes: 1 << 30,
            replication: 3,
            pending_copies: 17,
            repair: RepairSummary::default(),
        };
        let silent =
            screen(&ClusterSummary { storage_alive: 0, capacity_bytes: 0, available_bytes: 0, ..summary.clone() });
        assert!(silent.contains("space      not known: no storage node beats"), "{silent}");
        assert!(silent.contains("repair     not known yet: the leader still listens"), "{silent}");
        let screen = screen(&summary);
        assert!(screen.contains("space      1 GiB free of 2 GiB") && screen.contains("17 owed"), "{screen}");
        assert!(screen.contains("1 of 4 alive, 1 suspect, 1 dead, 1 not heard yet by this leader"), "{screen}");
        assert!(screen.contains("metadata-2 at 127.0.0.1:7002, term 3"), "{screen}");
        for line in [
            "metadata   2 of 3 answer the leader\n           metadata-3 at 127.0.0.1:7003 has not answered for 9.0 s\n",
            "           storage-2 at 127.0.0.1:7102 is dead for 10.0 s: silent for 30100 ms; last beat 40.1 s ago\n",
            "           storage-4 at 127.0.0.1:7104 is alive; takes no chunks; slow for others, gets less work\n",
            "           and 7 more; `dfs-cli nodes` lists all\n",
        ] {
            assert!(screen.contains(line), "{screen}");
        }
        let json = json::line(&json::Status::of(&summary));
        assert!(
            json.contains(r#""state":"dead","for_ms":10000,"cause":"silent for 30100 ms","silent_ms":40100"#),
            "{json}"
        );
        assert!(screen.contains("1 min 1 s of cluster time"), "{screen}");
        assert_eq!(json::Status::of(&summary).leader.node, 2);
        assert!(json::Status::of(&summary).repair.is_none());
        let repair = RepairSummary { listened: true, more: true, ..RepairSummary::default() };
        let told = json::line(&json::Status::of(&ClusterSummary { repair, ..summary }));
        assert!(told.contains("\"more\":true"), "{told}");
    }

    #[test]
    fn nothing_is_called_whole_that_was_not_looked_at() {
        let listened = RepairSummary { listened: true, ..RepairSummary::default() };
        let repair = |known: &RepairSummary| super::repair(known, 0);
        assert_eq!(repair(&listened), "not known yet: not every group has been looked at yet");
        let swept = RepairSummary { swept: Some(Duration::from_secs(5)), ..listened };
        assert_eq!(repair(&swept), "nothing to do; every group was looked at 5.0 s ago");
        assert!(super::repair(&swept, 1).starts_with("nothing known beyond the copies that are owed;"));
        let lacking = RepairSummary {
            chunks_below: 12,
            chunks_unavailable: 1,
            files_below: 5,
            files_unavailable: 1,
            copies_missing: 13,
            bytes_missing: 13 << 20,
            copies_under_way: 4,
            eta: Some(Duration::from_secs(90)),
            held_back: BTreeMap::from([(NotPlanned::NoTarget, 3)]),
            ..swept
        };
        let told = repair(&lacking);
        assert!(
            told.starts_with(
                "12 chunks of 5 files have too few live copies (1 of 1 files have none): 13 copies to make, 13 MiB;"
            ),
            "{told}"
        );
        assert!(told.contains("4 under way, done in about 1 min 30 s"), "{told}");
        assert!(told.ends_with("\n           3 chunks wait: no other node can take a copy"), "{told}");
        assert!(repair(&RepairSummary { more: true, ..lacking }).starts_with("more than 12"));
    }
}
