//! The supervision trees of nodes, as the nodes themselves tell of them.

use crate::moment;
use crate::table::{Align, Table};
use dfs_client::{Client, ClusterNodes};
use dfs_core::id::Role;
use dfs_core::wire::metadata::{ActorInfo, NodeDescription};
use futures_util::StreamExt;
use serde::Serialize;
use std::net::SocketAddr;
use std::time::Duration;

/// Nodes that are asked at once.
const ASKED_AT_ONCE: usize = 16;

/// One node, as it tells of itself.
#[derive(Clone, Debug)]
pub struct Told {
    /// Its name in a local cluster, such as `metadata-1`.
    pub name: String,
    /// What it says; or why it says nothing.
    pub description: Result<NodeDescription, String>,
}

/// Asks one node what it is, once.
pub async fn ask(client: &Client, name: String, address: SocketAddr, role: Role) -> Told {
    let description = client.describe_node(address, role).await.map_err(|error| error.to_string());
    Told { name, description }
}

/// Asks all nodes of a cluster, in their order.
pub async fn ask_all(client: &Client, nodes: &ClusterNodes) -> Vec<Told> {
    let metadata = nodes.metadata.iter().map(|node| (node.address, Role::Metadata));
    let storage = nodes.storage.iter().map(|node| (node.address, Role::Storage));
    let asking =
        metadata.chain(storage).map(|(node, role)| ask(client, format!("{role}-{}", node.node), node.address, role));
    futures_util::stream::iter(asking).buffered(ASKED_AT_ONCE).collect().await
}

/// All actors of all nodes; a node that does not answer has one line that says so.
pub fn table(nodes: &[Told]) -> Table {
    let mut table = Table::new(&[
        ("NODE", Align::Left),
        ("ACTOR", Align::Left),
        ("STATE", Align::Left),
        ("RESTARTS", Align::Right),
        ("LAST FAILURE", Align::Left),
    ]);
    for node in nodes {
        match &node.description {
            Ok(description) => {
                for actor in &description.actors {
                    table.row([
                        node.name.clone(),
                        actor.name.clone(),
                        if actor.running { "runs" } else { "does not run" }.to_owned(),
                        actor.restarts.to_string(),
                        failure(actor).unwrap_or_else(|| "-".to_owned()),
                    ]);
                }
            }
            Err(cause) => {
                let unknown = || "?".to_owned();
                table.row([node.name.clone(), unknown(), unknown(), unknown(), format!("does not answer: {cause}")]);
            }
        }
    }
    table
}

/// How an actor failed last, if it did.
pub fn failure(actor: &ActorInfo) -> Option<String> {
    let failure = actor.last_failure.as_ref()?;
    Some(format!("{} ago: {}", moment::span(Duration::from_millis(failure.ago_ms)), failure.reason))
}

/// One node, as `--json` writes it.
#[derive(Clone, Debug, Serialize)]
pub struct NodeJson {
    /// Its name.
    pub name: String,
    /// Whether it answered; nothing below is known if it did not.
    pub answers: bool,
    /// Whether it serves.
    pub ready: Option<bool>,
    /// Its build.
    pub version: Option<String>,
    /// Time since it began to start.
    pub uptime_ms: Option<u64>,
    /// Time on a processor.
    pub cpu_ms: Option<u64>,
    /// Memory that it has.
    pub resident_bytes: Option<u64>,
    /// The most memory that it ever had.
    pub resident_peak_bytes: Option<u64>,
    /// Where it tells metrics.
    pub metrics: Option<String>,
    /// Its actors, in the order of starting.
    pub actors: Option<Vec<ActorJson>>,
}

/// One actor.
#[derive(Clone, Debug, Serialize)]
pub struct ActorJson {
    /// Its name.
    pub name: String,
    /// Whether it runs.
    pub running: bool,
    /// How often it was restarted because it failed.
    pub restarts: u64,
    /// Time since it failed last.
    pub last_failure_ms: Option<u64>,
    /// What it said then.
    pub last_failure: Option<String>,
}

impl NodeJson {
    /// The JSON form.
    #[must_use]
    pub fn of(told: &Told) -> NodeJson {
        let description = told.description.as_ref().ok();
        let process = description.and_then(|description| description.process);
        let actor = |actor: &ActorInfo| ActorJson {
            name: actor.name.clone(),
            running: actor.running,
            restarts: actor.restarts,
            last_failure_ms: actor.last_failure.as_ref().map(|failure| failure.ago_ms),
            last_failure: actor.last_failure.as_ref().map(|failure| failure.reason.clone()),
        };
        NodeJson {
            name: told.name.clone(),
            answers: description.is_some(),
            ready: description.map(|description| description.ready),
            version: description.map(|description| description.build.clone()),
            uptime_ms: description.map(|description| description.uptime_ms),
            cpu_ms: process.map(|process| process.cpu_ms),
            resident_bytes: process.map(|process| process.resident_bytes),
            resident_peak_bytes: process.map(|process| process.resident_peak_bytes),
            metrics: description.and_then(|description| description.metrics).map(|address| address.to_string()),
            actors: description.map(|description| description.actors.iter().map(actor).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;
    use dfs_core::id::NodeId;
    use dfs_core::wire::metadata::ActorFailure;

    #[test]
    fn a_restart_is_shown_with_its_reason_and_silence_as_silence() {
        let failure = ActorFailure { ago_ms: 61_000, reason: "asked to".to_owned() };
        let actor = ActorInfo { name: "RaftActor".to_owned(), running: true, restarts: 2, last_failure: Some(failure) };
        let description = NodeDescription {
            role: Role::Metadata,
            node: NodeId(1),
            build: "0.1.0".to_owned(),
            ready: true,
            actor_restarts: 2,
            uptime_ms: 100_000,
            actors: vec![actor],
            process: None,
            metrics: None,
        };
        let nodes = [
            Told { name: "metadata-1".to_owned(), description: Ok(description) },
            Told { name: "storage-1".to_owned(), description: Err("no answer".to_owned()) },
        ];
        let shown = table(&nodes).to_string();
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[1].ends_with("RaftActor  runs          2  1 min 1 s ago: asked to"), "{shown}");
        assert!(lines[2].starts_with("storage-1   ?") && lines[2].ends_with("does not answer: no answer"), "{shown}");
        let silent = json::line(&NodeJson::of(&nodes[1]));
        assert!(silent.contains("\"answers\":false,\"ready\":null") && silent.contains("\"actors\":null"), "{silent}");
    }
}
