//! A cluster whose metadata nodes have no leader: what can be known of it, which is what each of them says of itself.
//!
//! Deliberately absent: anything about files and storage nodes. Only a leader knows how they are.

use crate::actors::{self, NodeJson, Told};
use crate::failure::Failure;
use crate::moment;
use crate::output::print;
use crate::table::{Align, Table};
use dfs_client::{Client, ClientError};
use dfs_core::id::Role;
use dfs_core::wire::NodeAddress;
use dfs_core::wire::metadata::Leadership;
use futures_util::future::join_all;
use serde::Serialize;
use std::time::Duration;

/// What is known without a leader.
#[derive(Clone, Debug)]
pub struct Leaderless {
    /// What the first that answered knows.
    known: Leadership,
    /// The members, and what each says of itself.
    members: Vec<(NodeAddress, Told)>,
}

/// A cluster without a leader, as `status` and `nodes` write it.
#[derive(Clone, Debug, Serialize)]
pub struct LeaderlessJson {
    cluster: Option<String>,
    /// There is none.
    leader: Option<()>,
    term: u64,
    applied_index: u64,
    cluster_time_ms: u64,
    metadata: Vec<MemberJson>,
    /// It is not known.
    storage: Option<()>,
}

/// A metadata node that was asked itself.
#[derive(Clone, Debug, Serialize)]
pub struct MemberJson {
    node: u64,
    address: String,
    #[serde(flatten)]
    own: NodeJson,
    error: Option<String>,
}

/// How a verb ends that needed a leader. If there is none although metadata nodes answer, what they say is shown first,
/// as `shown` says.
pub async fn tell(client: &Client, error: ClientError, shown: impl FnOnce(&Leaderless) -> String) -> Failure {
    if !matches!(error, ClientError::Unavailable { .. }) {
        return error.into();
    }
    let failure = Failure::from(error);
    let Ok(known) = client.who_leads().await else { return failure };
    let asking = known.members.iter().map(async |member| {
        let name = format!("{}-{}", Role::Metadata, member.node);
        (*member, actors::ask(client, name, member.address, Role::Metadata).await)
    });
    let members = join_all(asking).await;
    let leaderless = Leaderless { known, members };
    // It is a failure anyway, whether it can be shown or not.
    let _ = print(format_args!("{}", shown(&leaderless)));
    failure.hint(leaderless.advice())
}

impl Leaderless {
    fn answering(&self) -> usize {
        self.members.iter().filter(|(_, told)| told.description.is_ok()).count()
    }

    fn advice(&self) -> String {
        let (answering, all) = (self.answering(), self.members.len());
        if 2 * answering > all {
            return format!("{answering} of {all} metadata nodes answer and should elect a leader soon: try again");
        }
        format!("{answering} of {all} metadata nodes answer, and most of them must: start the others")
    }

    /// What each metadata node says of itself.
    pub fn told(&self) -> Vec<Told> {
        self.members.iter().map(|(_, told)| told.clone()).collect()
    }

    /// For people, on one screen.
    pub fn screen(&self) -> String {
        let known = &self.known;
        let cluster = known.cluster.map_or("not known".to_owned(), |cluster| cluster.to_string());
        let named = match known.leader {
            Some(leader) => format!("; the last that is known is metadata-{}", leader.node),
            None => String::new(),
        };
        let mut told = format!(
            "cluster    {cluster}\n\
             leader     none in term {}{named}\n\
             metadata   {} of {} answer; log index {}\n",
            known.term,
            self.answering(),
            self.members.len(),
            known.applied,
        );
        for (member, own) in &self.members {
            let state = state(own);
            told += &format!("           metadata-{} at {}: {state}\n", member.node, member.address);
        }
        let time = moment::span(Duration::from_millis(known.cluster_time.0));
        told + "storage    not known without a leader\n\
                files      not known without a leader\n\
                repair     not known without a leader\n"
            + &format!("time       {time} of cluster time, which stands still\n")
    }

    /// For people, as a table.
    pub fn table(&self) -> String {
        let mut table =
            Table::new(&[("METADATA", Align::Left), ("ADDRESS", Align::Left), ("WITHOUT A LEADER", Align::Left)]);
        for (member, own) in &self.members {
            table.row([format!("metadata-{}", member.node), member.address.to_string(), state(own)]);
        }
        format!("{table}\nThe storage nodes are not known without a leader.\n")
    }

    /// For programs.
    pub fn json(&self) -> LeaderlessJson {
        let member = |(member, told): &(NodeAddress, Told)| MemberJson {
            node: member.node.0,
            address: member.address.to_string(),
            own: NodeJson::of(told),
            error: told.description.as_ref().err().cloned(),
        };
        LeaderlessJson {
            cluster: self.known.cluster.map(|cluster| cluster.to_string()),
            leader: None,
            term: self.known.term,
            applied_index: self.known.applied,
            cluster_time_ms: self.known.cluster_time.0,
            metadata: self.members.iter().map(member).collect(),
            storage: None,
        }
    }
}

fn state(told: &Told) -> String {
    match &told.description {
        Ok(own) => format!("answers, for {}", moment::span(Duration::from_millis(own.uptime_ms))),
        Err(cause) => format!("does not answer: {cause}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;
    use dfs_core::id::NodeId;
    use dfs_core::time::ClusterTime;
    use dfs_core::wire::metadata::NodeDescription;

    fn leaderless(answering: u64) -> Leaderless {
        let description = NodeDescription {
            role: Role::Metadata,
            node: NodeId(1),
            build: "0.1.0".to_owned(),
            ready: false,
            actor_restarts: 0,
            uptime_ms: 5_000,
            actors: Vec::new(),
            process: None,
            metrics: None,
        };
        let member = |node: u64| {
            let address = NodeAddress { node: NodeId(node), address: "127.0.0.1:7001".parse().unwrap() };
            let description = if node <= answering { Ok(description.clone()) } else { Err("no answer".to_owned()) };
            (address, Told { name: format!("metadata-{node}"), description })
        };
        let known = Leadership {
            cluster: None,
            leader: None,
            members: Vec::new(),
            term: 3,
            applied: 42,
            cluster_time: ClusterTime(61_000),
        };
        Leaderless { known, members: (1..=3).map(member).collect() }
    }

    #[test]
    fn what_is_known_is_shown_and_what_is_not_is_said_to_be_so() {
        let screen = leaderless(1).screen();
        assert!(screen.contains("leader     none in term 3\nmetadata   1 of 3 answer; log index 42\n"), "{screen}");
        assert!(screen.contains("metadata-1 at 127.0.0.1:7001: answers, for 5.0 s\n"), "{screen}");
        assert!(screen.contains("metadata-3 at 127.0.0.1:7001: does not answer: no answer\n"), "{screen}");
        assert!(screen.contains("storage    not known") && screen.contains("which stands still"), "{screen}");
        assert!(
            leaderless(1).table().contains("metadata-2  127.0.0.1:7001  does not answer"),
            "{}",
            leaderless(1).table()
        );
        let told = json::line(&leaderless(1).json());
        assert!(told.contains("\"leader\":null") && told.contains("\"storage\":null"), "{told}");
        assert!(told.contains("\"answers\":false") && told.contains("\"error\":\"no answer\""), "{told}");
    }

    #[test]
    fn the_advice_is_to_start_nodes_only_where_too_few_answer() {
        assert_eq!(leaderless(1).advice(), "1 of 3 metadata nodes answer, and most of them must: start the others");
        assert!(leaderless(2).advice().ends_with("try again"));
    }
}
