//! One node in full: what the leader knows of it, and what it says of itself.

use super::{UNKNOWN, ago, known};
use crate::actors::{self, NodeJson, Told};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::json;
use crate::launcher::NodeName;
use crate::moment;
use dfs_client::{Client, ClusterNodes};
use dfs_core::id::{NodeId, Role};
use dfs_core::liveness::Transition;
use dfs_core::slowness::SlowPeer;
use dfs_core::unit::ByteCount;
use dfs_core::wire::metadata::{MetadataNodeInfo, NodePast, StorageNodeInfo};
use serde::Serialize;
use std::time::Duration;

/// One node in full.
pub struct One {
    node: Node,
    told: Told,
}

enum Node {
    Metadata(MetadataNodeInfo),
    Storage {
        info: Box<StorageNodeInfo>,
        /// Changes of its health that this leader has noted.
        past: NodePast,
    },
}

/// One node, as `nodes NODE --json` writes it.
#[derive(Serialize)]
#[serde(untagged)]
pub enum OneJson {
    /// A metadata node.
    Metadata {
        #[serde(flatten)]
        known: json::MetadataNode,
        own: NodeJson,
    },
    /// A storage node.
    Storage {
        #[serde(flatten)]
        known: json::StorageNode,
        writes: Option<u32>,
        reads: Option<u32>,
        slow_for: Vec<SlowJson>,
        history: Vec<ChangeJson>,
        own: NodeJson,
    },
}

/// For which node it is slow, and what that has seen.
#[derive(Serialize)]
pub struct SlowJson {
    node: u64,
    copy_ms: u32,
    usual_copy_ms: u32,
    round_trip_ms: u32,
    usual_round_trip_ms: u32,
}

/// One change of a storage node's health.
#[derive(Serialize)]
pub struct ChangeJson {
    cluster_time_ms: u64,
    from: &'static str,
    to: &'static str,
    cause: String,
}

impl One {
    /// Asks the leader and the node itself.
    pub async fn ask(client: &Client, nodes: &ClusterNodes, name: NodeName) -> Result<One, Failure> {
        let unknown = || {
            Failure::new(Exit::NotFound, format_args!("there is no node {name}")).hint("see `nodes` for those that are")
        };
        let (node, address) = match name.role {
            Role::Metadata => {
                let info = nodes.metadata.iter().find(|node| node.address.node == name.node).ok_or_else(unknown)?;
                (Node::Metadata(info.clone()), info.address.address)
            }
            _ => {
                let info = nodes.storage.iter().find(|node| node.address.node == name.node).ok_or_else(unknown)?;
                let past = client.node_history(name.node).await?;
                (Node::Storage { info: Box::new(info.clone()), past }, info.address.address)
            }
        };
        let told = actors::ask(client, name.to_string(), address, name.role).await;
        Ok(One { node, told })
    }

    /// For people.
    pub fn screen(&self) -> String {
        let mut lines = Vec::new();
        match &self.node {
            Node::Metadata(info) => {
                lines.push(("node", format!("{} at {}", self.told.name, info.address.address)));
                let role = if info.leads { "leads" } else { "follows" };
                let silent = if info.leads { String::new() } else { format!("; answered {}", ago(info.silent_ms)) };
                lines.push(("state", format!("{role} in term {}{silent}", info.term)));
                lines.push(("log", format!("has entry {}", known(info.matched))));
            }
            Node::Storage { info, past } => storage_lines(&mut lines, &self.told.name, info, past),
        }
        own_lines(&mut lines, &self.told);
        lines.iter().map(|(word, text)| format!("{word:<10} {text}\n")).collect()
    }

    /// For programs.
    pub fn json(&self) -> OneJson {
        let own = NodeJson::of(&self.told);
        match &self.node {
            Node::Metadata(info) => OneJson::Metadata { known: json::MetadataNode::of(info), own },
            Node::Storage { info, past } => OneJson::Storage {
                known: json::StorageNode::of(info),
                writes: info.load.map(|load| load.writes),
                reads: info.load.map(|load| load.reads),
                slow_for: info.slow_for.iter().map(slow_json).collect(),
                history: past.changes.iter().map(change_json).collect(),
                own,
            },
        }
    }
}

fn slow_json((by, seen): &(NodeId, SlowPeer)) -> SlowJson {
    SlowJson {
        node: by.0,
        copy_ms: seen.times.copy_ms,
        usual_copy_ms: seen.usual.copy_ms,
        round_trip_ms: seen.times.round_trip_ms,
        usual_round_trip_ms: seen.usual.round_trip_ms,
    }
}

fn change_json(change: &Transition) -> ChangeJson {
    ChangeJson {
        cluster_time_ms: change.at.0,
        from: json::state(change.from),
        to: json::state(change.to),
        cause: change.cause.to_string(),
    }
}

type Lines = Vec<(&'static str, String)>;

fn storage_lines(lines: &mut Lines, name: &str, info: &StorageNodeInfo, past: &NodePast) {
    lines.push(("node", format!("{name} at {}", info.address.address)));
    lines.push(("state", format!("{}; last beat {}", json::state(info.health), ago(info.silent_ms))));
    lines.push(("store", format!("{}, incarnation {}", info.store, info.incarnation)));
    match info.load {
        Some(load) => {
            let refuses = if load.refuses_chunks { "; takes no chunks" } else { "" };
            let (held, free, all) =
                (ByteCount(load.chunk_bytes), ByteCount(load.available_bytes), ByteCount(load.capacity_bytes));
            lines.push(("holds", format!("{} chunks, {held}; {free} free of {all}{refuses}", load.chunk_count)));
            let (writes, reads, owed) = (load.writes, load.reads, load.pending_copies);
            lines.push(("transfers", format!("{writes} writes and {reads} reads in progress; owes {owed} copies")));
        }
        None => lines.push(("holds", "not known: this leader has had no beat of it".to_owned())),
    }
    let (believed, mut word) = (if info.slow { "; it gets less work" } else { "" }, "slow");
    for (by, seen) in &info.slow_for {
        let by = NodeName { role: Role::Storage, node: *by };
        let (times, usual) = (seen.times, seen.usual);
        let copy = format!("{} ms for a copy ({} ms usual)", times.copy_ms, usual.copy_ms);
        let trip = format!("{} ms there and back ({} ms usual)", times.round_trip_ms, usual.round_trip_ms);
        lines.push((word, format!("for {by}: {copy}, {trip}{believed}")));
        word = "";
    }
    let mut word = "history";
    for change in past.changes.iter().rev() {
        let (from, to) = (json::state(change.from), json::state(change.to));
        lines
            .push((word, format!("{} ago: {from} to {to}: {}", moment::span(past.now.since(change.at)), change.cause)));
        word = "";
    }
}

fn own_lines(lines: &mut Lines, told: &Told) {
    let own = match &told.description {
        Ok(own) => own,
        Err(cause) => return lines.push(("itself", format!("does not answer: {cause}"))),
    };
    let ready = if own.ready { "serves" } else { "does not serve yet" };
    let uptime = moment::span(Duration::from_millis(own.uptime_ms));
    lines.push(("itself", format!("{ready}, for {uptime}, version {}", own.build)));
    let usage = own.process.map_or(UNKNOWN.to_owned(), |process| {
        let (now, peak) = (ByteCount(process.resident_bytes), ByteCount(process.resident_peak_bytes));
        format!("{} of CPU; {now} of memory, {peak} at most", moment::span(Duration::from_millis(process.cpu_ms)))
    });
    lines.push(("process", usage));
    lines.push(("metrics", own.metrics.map_or("not told".to_owned(), |address| format!("http://{address}/metrics"))));
    let mut word = "actors";
    for actor in &own.actors {
        let state = if actor.running { "runs" } else { "does not run" };
        let failure = actors::failure(actor).map(|failure| format!("; last {failure}")).unwrap_or_default();
        lines.push((word, format!("{} {state}, {} restarts{failure}", actor.name, actor.restarts)));
        word = "";
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dfs_core::id::{Incarnation, StoreId};
    use dfs_core::liveness::Cause;
    use dfs_core::slowness::PeerTimes;
    use dfs_core::time::ClusterTime;
    use dfs_core::wire::NodeAddress;
    use dfs_core::wire::metadata::Health;

    #[test]
    fn a_node_that_is_gone_is_shown_with_the_evidence_and_nothing_invented() {
        let mut info = StorageNodeInfo {
            address: NodeAddress { node: NodeId(2), address: "127.0.0.1:7102".parse().unwrap() },
            incarnation: Incarnation(4),
            store: StoreId(1),
            health: Health::Dead,
            silent_ms: Some(61_000),
            load: None,
            slow_for: Vec::new(),
            slow: false,
        };
        let change = |at, from, to, cause| Transition { at: ClusterTime(at), from, to, cause };
        let changes = vec![
            change(1_000, Health::Unknown, Health::Alive, Cause::Beat { incarnation: Incarnation(4) }),
            change(60_000, Health::Suspect, Health::Dead, Cause::Silence { silent_ms: 30_000 }),
        ];
        let times = PeerTimes { copy_ms: 420, round_trip_ms: 1 };
        let usual = PeerTimes { copy_ms: 9, round_trip_ms: 1 };
        info.slow_for = vec![(NodeId(5), SlowPeer { node: NodeId(2), times, usual })];
        let past = NodePast { now: ClusterTime(91_000), changes };
        let node = Node::Storage { info: Box::new(info), past };
        let told =
            Told { name: "storage-2".to_owned(), description: Err("the peer did not answer in time".to_owned()) };
        let one = One { node, told };
        let screen = one.screen();
        assert!(screen.contains("state      dead; last beat 1 min 1 s ago\n"), "{screen}");
        assert!(screen.contains("holds      not known"), "{screen}");
        let slow = "slow       for storage-5: 420 ms for a copy (9 ms usual), 1 ms there and back (1 ms usual)\n";
        assert!(screen.contains(slow), "{screen}");
        assert!(screen.contains("history    31.0 s ago: suspect to dead: silent for 30000 ms\n"), "{screen}");
        assert!(screen.contains("           1 min 30 s ago: unknown to alive: it beats (incarnation 4)\n"), "{screen}");
        assert!(screen.contains("itself     does not answer: the peer did not answer"), "{screen}");
        let json = json::line(&one.json());
        assert!(json.contains("\"state\":\"dead\"") && json.contains("\"answers\":false"), "{json}");
    }
}
