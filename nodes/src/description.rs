//! What a node says of itself.

use crate::environment::Machine;
use dfs_actors::supervisor::{ChildReport, TreeStatus};
use dfs_core::wire::metadata::{ActorFailure, ActorInfo, NodeDescription};
use dfs_transport::endpoint::Endpoint;
use std::sync::Arc;
use tokio::time::Instant;

/// Tells what a node is at the moment.
pub type Describe = Arc<dyn Fn() -> NodeDescription + Send + Sync>;

/// A node that began to start just now; `status` tells of its actors, `ready` whether it serves.
pub fn describe(
    endpoint: &Endpoint,
    machine: Option<&Machine>,
    status: Arc<TreeStatus>,
    ready: impl Fn() -> bool + Send + Sync + 'static,
) -> Describe {
    let (role, node) = (endpoint.identity().role, endpoint.identity().node().unwrap_or_default());
    let usage = machine.map(|machine| machine.usage);
    let metrics = machine.and_then(|machine| machine.metrics.as_ref()?.local_addr().ok());
    let started = Instant::now();
    Arc::new(move || NodeDescription {
        role,
        node,
        build: env!("CARGO_PKG_VERSION").to_owned(),
        ready: ready(),
        actor_restarts: status.restarts(),
        uptime_ms: milliseconds_since(started),
        actors: status.children().into_iter().map(actor).collect(),
        process: usage.and_then(|usage| usage()),
        metrics,
    })
}

fn actor(child: ChildReport) -> ActorInfo {
    let failure = |failure: dfs_actors::supervisor::LastFailure| ActorFailure {
        ago_ms: milliseconds_since(failure.at),
        reason: failure.reason,
    };
    ActorInfo {
        name: child.name.to_owned(),
        running: child.running,
        restarts: child.restarts,
        last_failure: child.last_failure.map(failure),
    }
}

fn milliseconds_since(moment: Instant) -> u64 {
    u64::try_from(moment.elapsed().as_millis()).unwrap_or(u64::MAX)
}
