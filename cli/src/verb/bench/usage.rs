//! What the processes of a cluster have used, by role.

use crate::actors::{self, Told};
use dfs_client::{Client, ClusterNodes};
use dfs_core::id::Role;
use dfs_core::wire::metadata::ProcessUsage;
use serde::Serialize;
use std::collections::BTreeMap;

/// What every process has used so far.
#[derive(Clone, Debug, Default)]
pub struct Usage(BTreeMap<String, Known>);

#[derive(Clone, Copy, Debug)]
struct Known {
    role: Role,
    /// Milliseconds since the process began to start, by which a restart is known.
    uptime_ms: u64,
    process: Option<ProcessUsage>,
}

/// One number for each role; nothing where a process did not tell, or restarted meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ByRole<T> {
    /// This program.
    pub client: Option<T>,
    /// All metadata nodes.
    pub metadata: Option<T>,
    /// All storage nodes.
    pub storage: Option<T>,
}

impl<T> ByRole<T> {
    /// Each of them by a function.
    pub fn map<U>(self, function: impl Fn(T) -> U) -> ByRole<U> {
        let ByRole { client, metadata, storage } = self;
        ByRole { client: client.map(&function), metadata: metadata.map(&function), storage: storage.map(&function) }
    }
}

/// The name of this program among the processes.
const CLIENT: &str = "client";

impl Usage {
    /// Asks all nodes, and this process.
    pub async fn now(client: &Client, nodes: &ClusterNodes) -> Usage {
        Usage::of(&actors::ask_all(client, nodes).await, dfs_nodes::process_usage())
    }

    pub(super) fn of(told: &[Told], own: Option<ProcessUsage>) -> Usage {
        let node = |told: &Told| {
            let own = told.description.as_ref().ok();
            let role = if told.name.starts_with("metadata") { Role::Metadata } else { Role::Storage };
            let uptime_ms = own.map_or(0, |own| own.uptime_ms);
            (told.name.clone(), Known { role, uptime_ms, process: own.and_then(|own| own.process) })
        };
        let client = Known { role: Role::Client, uptime_ms: 0, process: own };
        Usage(told.iter().map(node).chain([(CLIENT.to_owned(), client)]).collect())
    }

    /// Processor milliseconds since `before`.
    pub fn since(&self, before: &Usage) -> ByRole<u64> {
        self.by_role(
            |name, known| {
                let earlier = before.0.get(name).filter(|earlier| earlier.uptime_ms <= known.uptime_ms)?;
                known.process?.cpu_ms.checked_sub(earlier.process?.cpu_ms)
            },
            |sum, next| sum + next,
        )
    }

    /// The most memory that any process of a role ever had, in bytes.
    pub fn peaks(&self) -> ByRole<u64> {
        self.by_role(|_, known| Some(known.process?.resident_peak_bytes), u64::max)
    }

    fn by_role(&self, value: impl Fn(&str, &Known) -> Option<u64>, join: impl Fn(u64, u64) -> u64) -> ByRole<u64> {
        let of = |role| {
            let mut values = self.0.iter().filter(|(_, known)| known.role == role);
            // One that is not known makes the whole unknown.
            values.try_fold(0, |joined, (name, known)| Some(join(joined, value(name, known)?)))
        };
        ByRole { client: of(Role::Client), metadata: of(Role::Metadata), storage: of(Role::Storage) }
    }
}
