//! The whole system, as it is deployed: a user's files survive the end of the leader, in the middle of use.
//!
//! What must hold: what was uploaded is read back byte for byte, before, during and after the change of leaders; the
//! node that lost its power comes back from its disk and catches up; no node ends by itself and no actor fails; and
//! once everything has crashed no task is left.

use super::{Failure, Verdict};
use crate::cluster::{Cluster, Member, User};
use crate::disk::Crash;
use crate::random::Random;
use crate::trace::Trace;
use crate::world::SimWorld;
use bytes::Bytes;
use dfs_client::{DownloadRequest, UploadRequest};
use dfs_core::id::NodeId;
use dfs_core::name::FileName;
use dfs_core::settings::ClusterSettings;
use dfs_core::unit::ChunkSize;
use dfs_core::wire::metadata::{DescribeNode, FileInfo, FileTarget, Leadership, WhoLeads};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const METADATA_NODES: u64 = 3;
const STORAGE_NODES: u64 = 3;
/// Small, so that a small file has many chunks.
const CHUNK_BYTES: u32 = 128 * 1024;
/// More chunks than one group has.
const FILE_BYTES: std::ops::RangeInclusive<u64> = 2_200_000..=3_500_000;
/// How long the cluster may take to do what it does without being asked.
const SETTLE: Duration = Duration::from_secs(30);
/// How often it is asked meanwhile.
const POLL: Duration = Duration::from_millis(100);

/// What did not hold.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("{what} did not come to pass within {within:?}")]
    NotInTime { what: &'static str, within: Duration },
    #[error("{name} was read back as {read} bytes that are not the {written} that were written")]
    OtherBytes { name: FileName, written: usize, read: usize },
    #[error("{node} has restarted {restarts} of its actors")]
    Restarted { node: String, restarts: u64 },
    #[error("{0} tasks are left after every node has crashed")]
    TasksLeft(usize),
}

pub(super) async fn play(world: &mut SimWorld) -> Verdict {
    let mut random = world.random("story");
    let trace = world.trace().clone();
    let before = alive_tasks();
    let (mut cluster, user) = Cluster::prepare(world, METADATA_NODES, STORAGE_NODES)?;
    cluster.start().await?;
    let first = usize::try_from(random.within(0..=METADATA_NODES - 1))?;
    let id = cluster.initialise(first, ClusterSettings::default()).await?;
    trace.record("initialise", format_args!("{id}"));
    until("a cluster that serves", &cluster, async || {
        let status = user.client().status().await.ok()?;
        (u64::from(status.storage_alive) == STORAGE_NODES).then_some(())
    })
    .await?;
    trace.record("serves", format_args!("{STORAGE_NODES} storage nodes"));

    let early = upload(&user, &mut random, "early", &trace).await?;
    check(&user, &early, &trace).await?;
    sleep(Duration::from_millis(random.within(0..=3000))).await;
    let leader = until("a leader", &cluster, async || Some(user.client().who_leads().await.ok()?.leader?.node)).await?;
    member(&mut cluster, leader).crash(Crash::Power);
    check(&user, &early, &trace).await?;
    let late = upload(&user, &mut random, "late", &trace).await?;
    check(&user, &late, &trace).await?;

    sleep(Duration::from_millis(random.within(0..=3000))).await;
    member(&mut cluster, leader).start().await?;
    until("a restarted node that has caught up", &cluster, async || {
        let newest = user.client().status().await.ok()?;
        let back = cluster.metadata.iter().find(|member| member.id() == leader)?;
        let Leadership { cluster, leader: follows, term, applied, .. } = user.ask(back, &WhoLeads {}).await.ok()?;
        let follows = follows.is_some_and(|follows| follows == newest.leader && follows.node != leader);
        let caught_up = cluster == Some(id) && term == newest.term && applied >= newest.applied;
        (follows && caught_up).then_some(())
    })
    .await?;
    trace.record("caught-up", format_args!("metadata-{leader}"));
    check(&user, &early, &trace).await?;
    check(&user, &late, &trace).await?;
    no_actor_failed(&user, &cluster).await?;

    for member in cluster.members_mut() {
        member.crash(Crash::Power);
    }
    drop(cluster);
    user.crash();
    sleep(Duration::from_secs(1)).await;
    match alive_tasks().saturating_sub(before) {
        0 => Ok(()),
        left => Err(Broken::TasksLeft(left).into()),
    }
}

fn alive_tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

/// The metadata node of that id.
fn member(cluster: &mut Cluster, id: NodeId) -> &mut Member {
    cluster.metadata.iter_mut().find(|member| member.id() == id).expect("a leader is one of the metadata nodes")
}

/// Asks again and again until there is an answer, while no node has given up.
async fn until<T>(
    what: &'static str,
    cluster: &Cluster,
    mut ask: impl AsyncFnMut() -> Option<T>,
) -> Result<T, Failure> {
    let deadline = Instant::now() + SETTLE;
    while Instant::now() < deadline {
        cluster.check()?;
        if let Some(answer) = ask().await {
            return Ok(answer);
        }
        sleep(POLL).await;
    }
    Err(Broken::NotInTime { what, within: SETTLE }.into())
}

/// A file, and what it must hold.
struct Written {
    info: FileInfo,
    bytes: Bytes,
}

async fn upload(user: &User, random: &mut Random, name: &str, trace: &Trace) -> Result<Written, Failure> {
    let mut bytes = vec![0; usize::try_from(random.within(FILE_BYTES))?];
    random.fill(&mut bytes);
    let bytes = Bytes::from(bytes);
    let mut request = UploadRequest::new(FileName::new(name)?, user.world().wall_clock.now());
    request.chunk_size = ChunkSize::try_from(CHUNK_BYTES)?;
    let began = Instant::now();
    let info = user.client().upload(bytes.clone(), request, &()).await?;
    trace.record("uploaded", format_args!("{} {} bytes in {:?}", info.name, info.size, began.elapsed()));
    Ok(Written { info, bytes })
}

/// Reads a file back, by its name.
async fn check(user: &User, file: &Written, trace: &Trace) -> Verdict {
    let mut read = Vec::new();
    let target = FileTarget::Name(file.info.name.clone());
    let began = Instant::now();
    let info = user.client().download(target, &mut read, DownloadRequest::default(), &()).await?;
    trace.record("downloaded", format_args!("{} {} bytes in {:?}", info.name, info.size, began.elapsed()));
    if info == file.info && read == file.bytes {
        return Ok(());
    }
    Err(Broken::OtherBytes { name: info.name, written: file.bytes.len(), read: read.len() }.into())
}

async fn no_actor_failed(user: &User, cluster: &Cluster) -> Verdict {
    for member in cluster.members() {
        let described =
            until("a node that describes itself", cluster, async || user.ask(member, &DescribeNode {}).await.ok());
        let restarts = described.await?.actor_restarts;
        if restarts > 0 {
            return Err(Broken::Restarted { node: member.machine().name().to_owned(), restarts }.into());
        }
    }
    Ok(())
}
