//! What a node has to do at once is bounded.
//!
//! Source: DESIGN §2: "Every queue, retry, batch and payload has a bound, and the bounds stand together in
//! `core/src/limit.rs`." The number of its tasks and of the jobs that wait at its lanes is what all queues come to. The
//! bounds here follow from the limits: they are meant to be far above what happens, and far below what a leak comes to.

use super::{Evidence, Invariant};
use crate::verdict::Failure;
use dfs_core::id::Role;
use dfs_core::limit::{
    CATCH_UPS_MAX, METADATA_REQUESTS_MAX, PRIMARY_WRITES_MAX, REPLICA_WRITES_MAX, REPLICATION_MAX, STORE_READS_MAX,
};

/// What a running node has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// What its machine is called.
    pub name: String,
    /// What it is.
    pub role: Role,
    /// How many others it may have connections with.
    pub peers: u64,
    /// Its tasks.
    pub tasks: u64,
    /// Jobs that wait at its lanes.
    pub queued_jobs: u64,
}

/// Tasks of a node without peers and requests: actors, their watchers and timers, and what Raft and the endpoint keep.
const TASKS_ALONE: u64 = 100;
/// Tasks of the connections with one peer, of both classes and either side's making, and what retries or closes one.
const TASKS_PER_PEER: u64 = 24;
/// Tasks of one request besides those of its forwards: the one that serves it, and what it waits for.
const TASKS_PER_REQUEST: u64 = 3;
/// Jobs that the writes lane of a store takes.
const WRITE_JOBS: u64 = 64;

/// Needs no memory.
#[derive(Debug, Default)]
pub(super) struct BoundedQueues;

impl Load {
    /// Requests that are worked on at once at most, and forwards of them.
    fn requests_max(&self) -> (u64, u64) {
        match self.role {
            Role::Storage => {
                let requests = PRIMARY_WRITES_MAX + REPLICA_WRITES_MAX + STORE_READS_MAX + CATCH_UPS_MAX;
                (requests as u64, PRIMARY_WRITES_MAX as u64 * u64::from(REPLICATION_MAX - 1))
            }
            Role::Metadata => (METADATA_REQUESTS_MAX as u64, 0),
            Role::Client => (0, 0),
        }
    }

    /// Its tasks at most.
    fn tasks_max(&self) -> u64 {
        let (requests, forwards) = self.requests_max();
        TASKS_ALONE + self.peers * TASKS_PER_PEER + requests * TASKS_PER_REQUEST + forwards * 2
    }

    /// Its queued jobs at most: what its lanes take, and one for each task that waits for one.
    fn queued_jobs_max(&self) -> u64 {
        WRITE_JOBS + self.requests_max().0 + TASKS_ALONE
    }
}

impl Invariant for BoundedQueues {
    const NAME: &'static str = "bounded queues";
    const STATEMENT: &'static str = "the tasks of a node and the jobs that wait at its lanes stay within the limits";

    fn check(&mut self, evidence: &Evidence<'_>) -> Result<u64, Failure> {
        for load in evidence.told.loads {
            for (what, count, max) in [
                ("tasks", load.tasks, load.tasks_max()),
                ("jobs waiting at its lanes", load.queued_jobs, load.queued_jobs_max()),
            ] {
                if count > max {
                    let detail = format!("{} has {count} {what}; {max} is the most that its limits allow", load.name);
                    return Err(Failure::correctness(Self::NAME, detail));
                }
            }
        }
        Ok(2 * evidence.told.loads.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Scene;
    use super::*;

    #[test]
    fn a_node_that_has_more_to_do_than_its_limits_allow_has_a_leak() {
        let mut scene = Scene::new();
        let load = Load { name: "storage-1".to_owned(), role: Role::Storage, peers: 12, tasks: 200, queued_jobs: 20 };
        scene.loads = vec![load.clone(), Load { role: Role::Metadata, ..load.clone() }];
        assert_eq!(BoundedQueues.check(&scene.evidence()).unwrap(), 4);
        for (tasks, queued_jobs) in [(load.tasks_max() + 1, 0), (0, load.queued_jobs_max() + 1)] {
            scene.loads = vec![Load { tasks, queued_jobs, ..load.clone() }];
            assert!(BoundedQueues.check(&scene.evidence()).is_err());
        }
        let mut client = load;
        client.role = Role::Client;
        assert!(client.tasks_max() < scene.loads[0].tasks_max());
    }
}
