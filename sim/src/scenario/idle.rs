//! A cluster without work: an hour in which nothing happens.
//!
//! What must hold: one leader and one term throughout, every storage node is alive, no node ends by itself and no actor
//! fails; connections without a use are given up; and once everything has crashed no task is left. What it costs is the
//! price of all the signs of life together.

use super::alive_tasks;
use crate::cluster::{Cluster, ClusterShape, Ending, Unhealthy, User};
use crate::verdict::{Failure, Verdict};
use crate::world::SimWorld;
use dfs_core::settings::ClusterSettings;
use dfs_core::wire::metadata::ClusterSummary;
use std::time::Duration;
use tokio::time::sleep;

const METADATA_NODES: u64 = 3;
const STORAGE_NODES: u64 = 5;

/// How long nothing happens, if nobody says how long.
const IDLE: Duration = Duration::from_secs(60 * 60);

/// How many packets a second all signs of life may take: three for each of a leader's 20 heartbeats, and what keeps one
/// connection of each storage node alive.
const PACKETS_PER_SECOND_MAX: u64 = 85;

pub(super) async fn play(world: &mut SimWorld) -> Verdict {
    let before = alive_tasks();
    let (mut cluster, users) = Cluster::prepare(world, ClusterShape::of(METADATA_NODES, STORAGE_NODES, 1))?;
    cluster.start().await?;
    cluster.initialise(0, ClusterSettings::default()).await?;
    let first = whole(&cluster, &users[0]).await?;
    world.trace().record("whole", format_args!("metadata-{} leads in term {}", first.leader.node, first.term));
    let sent_before = world.network().statistics().sent;
    let idle = world.length().unwrap_or(IDLE);
    sleep(idle).await;
    cluster.check()?;
    let sent = world.network().statistics().sent - sent_before;
    if sent > PACKETS_PER_SECOND_MAX * idle.as_secs().max(1) {
        return Err(Failure::liveness("an idle cluster is quiet", format!("{sent} packets in {idle:?}")).into());
    }
    let last = users[0].client().status().await?;
    world.trace().record("status", format_args!("metadata-{} leads in term {}", last.leader.node, last.term));
    if (last.leader, last.term) != (first.leader, first.term) {
        let change = format!(
            "metadata-{} led in term {}, now metadata-{} leads in term {}",
            first.leader.node, first.term, last.leader.node, last.term
        );
        return Err(Failure::liveness("an idle cluster keeps its leader", change).into());
    }
    if !is_whole(&last) {
        let responding = format!(
            "{} metadata nodes respond, {} storage nodes are alive",
            last.metadata_responding, last.storage_alive
        );
        return Err(Failure::liveness("an idle cluster stays whole", responding).into());
    }
    cluster.end(users, before, Ending::AtOnce).await
}

/// Waits until every node serves.
async fn whole(cluster: &Cluster, user: &User) -> Result<ClusterSummary, Unhealthy> {
    let ask = async || user.client().status().await.ok().filter(is_whole);
    cluster.until("a cluster that is whole", ask).await
}

fn is_whole(status: &ClusterSummary) -> bool {
    u64::from(status.metadata_responding) == METADATA_NODES && u64::from(status.storage_alive) == STORAGE_NODES
}
