//! The whole system, as it is deployed: a user's files survive the end of the leader, in the middle of use.
//!
//! What must hold: what was uploaded is read back byte for byte, before, during and after the change of leaders; the
//! node that lost its power comes back from its disk and catches up; no node ends by itself and no actor fails; and
//! once everything has crashed no task is left.

use super::alive_tasks;
use super::written::Written;
use crate::cluster::{Cluster, ClusterShape, Ending, Member, User};
use crate::disk::Crash;
use crate::random::Random;
use crate::trace::Trace;
use crate::verdict::{AnyError, Verdict};
use crate::world::SimWorld;
use dfs_core::id::NodeId;
use dfs_core::name::FileName;
use dfs_core::settings::ClusterSettings;
use dfs_core::wire::metadata::{Leadership, WhoLeads};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const METADATA_NODES: u64 = 3;
const STORAGE_NODES: u64 = 3;
/// More chunks than one group has.
const FILE_BYTES: std::ops::RangeInclusive<u64> = 2_200_000..=3_500_000;

/// How soon after the end of a leader a file is read whole, on a network that loses one packet of a hundred.
const OUTAGE_MAX: Duration = Duration::from_secs(2);

pub(super) async fn play(world: &mut SimWorld) -> Verdict {
    let mut random = world.random("story");
    let trace = world.trace().clone();
    let before = alive_tasks();
    let (mut cluster, users) = Cluster::prepare(world, ClusterShape::of(METADATA_NODES, STORAGE_NODES, 1))?;
    let user = &users[0];
    cluster.start().await?;
    let first = usize::try_from(random.within(0..=METADATA_NODES - 1))?;
    let id = cluster.initialise(first, ClusterSettings::default()).await?;
    trace.record("initialise", format_args!("{id}"));
    cluster
        .until("a cluster that serves", async || {
            let status = user.client().status().await.ok()?;
            (u64::from(status.storage_alive) == STORAGE_NODES).then_some(())
        })
        .await?;
    trace.record("serves", format_args!("{STORAGE_NODES} storage nodes"));

    let early = upload(user, &mut random, "early", &trace).await?;
    check(user, &early, &trace).await?;
    sleep(Duration::from_millis(random.within(0..=3000))).await;
    let leader = cluster.until("a leader", async || Some(user.client().who_leads().await.ok()?.leader?.node)).await?;
    member(&mut cluster, leader).crash(Crash::Power);
    let crashed = Instant::now();
    check(user, &early, &trace).await?;
    let outage = crashed.elapsed();
    if outage > OUTAGE_MAX {
        return Err(format!("a read took {outage:?} after the leader lost its power").into());
    }
    let late = upload(user, &mut random, "late", &trace).await?;
    check(user, &late, &trace).await?;

    sleep(Duration::from_millis(random.within(0..=3000))).await;
    member(&mut cluster, leader).start().await?;
    cluster
        .until("a restarted node that has caught up", async || {
            let newest = user.client().status().await.ok()?;
            let back = cluster.metadata.iter().find(|member| member.id() == leader)?;
            let Leadership { cluster, leader: follows, term, applied, .. } = user.ask(back, &WhoLeads {}).await.ok()?;
            let follows = follows.is_some_and(|follows| follows == newest.leader && follows.node != leader);
            let caught_up = cluster == Some(id) && term == newest.term && applied >= newest.applied;
            (follows && caught_up).then_some(())
        })
        .await?;
    trace.record("caught-up", format_args!("metadata-{leader}"));
    check(user, &early, &trace).await?;
    check(user, &late, &trace).await?;
    cluster.end(users, before, Ending::AtOnce).await
}

/// The metadata node of that id.
fn member(cluster: &mut Cluster, id: NodeId) -> &mut Member {
    cluster.metadata.iter_mut().find(|member| member.id() == id).expect("a leader is one of the metadata nodes")
}

async fn upload(user: &User, random: &mut Random, name: &str, trace: &Trace) -> Result<Written, AnyError> {
    let length = usize::try_from(random.within(FILE_BYTES))?;
    let file = Written::new(FileName::new(name)?, length, random);
    let began = Instant::now();
    file.upload(user).await?;
    trace.record("uploaded", format_args!("{name} {length} bytes in {:?}", began.elapsed()));
    Ok(file)
}

/// Reads a file back.
async fn check(user: &User, file: &Written, trace: &Trace) -> Verdict {
    let began = Instant::now();
    let info = file.check(user).await?;
    trace.record("downloaded", format_args!("{} {} bytes in {:?}", info.name, info.size, began.elapsed()));
    Ok(())
}
