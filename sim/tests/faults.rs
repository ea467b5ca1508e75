//! Whole clusters stand still, work slowly, read short and get older data: the faults of the world reach the system
//! through every seam, and the system stands them.

use bytes::Bytes;
use dfs_client::{ClientError, DownloadRequest, UploadRequest};
use dfs_core::id::NodeId;
use dfs_core::name::FileName;
use dfs_core::settings::ClusterSettings;
use dfs_core::unit::ChunkSize;
use dfs_core::wire::metadata::FileTarget;
use dfs_sim::cluster::{Cluster, Member, User};
use dfs_sim::disk::Crash;
use dfs_sim::network::Link;
use dfs_sim::offload::WorkDelays;
use dfs_sim::runner::{self, RunSettings};
use dfs_sim::verdict::Verdict;
use dfs_sim::world::{SimWorld, WorldSettings};
use std::time::Duration;
use tokio::time::sleep;

const METADATA_NODES: u64 = 3;
const STORAGE_NODES: u64 = 3;

/// Plays a story in a world of its own.
fn play(story: impl AsyncFnOnce(&mut SimWorld) -> Verdict + Send + 'static) {
    let settings = RunSettings {
        seed: 1,
        world: WorldSettings::default(),
        virtual_time_max: Duration::from_secs(3600),
        wall_time_max: Duration::from_secs(120),
        trace: None,
        seed_thread: |_| {},
    };
    let report = runner::run(settings, story).unwrap();
    report.outcome.unwrap();
    assert_eq!(report.panics, 0);
}

async fn start(world: &mut SimWorld) -> Result<(Cluster, User), Box<dyn std::error::Error + Send + Sync>> {
    let (mut cluster, mut users) = Cluster::prepare(world, METADATA_NODES, STORAGE_NODES, 1)?;
    cluster.start().await?;
    cluster.initialise(0, ClusterSettings::default()).await?;
    let user = users.remove(0);
    until_whole(&cluster, &user).await?;
    Ok((cluster, user))
}

async fn until_whole(cluster: &Cluster, user: &User) -> Verdict {
    let whole = async || {
        let status = user.client().status().await.ok()?;
        let whole = (u64::from(status.metadata_responding), u64::from(status.storage_alive));
        (whole == (METADATA_NODES, STORAGE_NODES)).then_some(())
    };
    Ok(cluster.until("a cluster that is whole", whole).await?)
}

fn content() -> Bytes {
    (0..600_000_u32).map(|number| (number / 13) as u8).collect()
}

async fn upload(user: &User, name: &str) -> Result<(), ClientError> {
    let mut request = UploadRequest::new(FileName::new(name).unwrap(), user.world().wall_clock.now());
    request.chunk_size = ChunkSize::try_from(64 * 1024_u32).unwrap();
    user.client().upload(content(), request, &()).await.map(drop)
}

async fn download(user: &User, name: &str) -> Result<(), ClientError> {
    let mut read = Vec::new();
    let target = FileTarget::Name(FileName::new(name).unwrap());
    user.client().download(target, &mut read, DownloadRequest::default(), &()).await?;
    assert!(read == content(), "{name} is read back as it was written");
    Ok(())
}

fn member(members: &[Member], id: NodeId) -> &Member {
    members.iter().find(|member| member.id() == id).unwrap()
}

#[test]
fn nodes_that_stand_still_send_nothing_are_replaced_and_come_back() {
    play(async |world| {
        let (cluster, user) = start(world).await?;
        upload(&user, "before").await?;
        let leader = user.client().who_leads().await?.leader.unwrap().node;
        let still = [member(&cluster.metadata, leader), &cluster.storage[0]];
        still.iter().for_each(|member| member.machine().pause());
        // What they sent before has arrived by then.
        sleep(Duration::from_secs(1)).await;
        let network = world.network().clone();
        for from in still {
            cluster.members().for_each(|to| network.cut(from.machine().address(), to.machine().address()));
        }
        let cut_off = network.statistics().cut_off;
        download(&user, "before").await?;
        sleep(Duration::from_secs(120)).await;
        assert_eq!(network.statistics().cut_off, cut_off, "they send nothing");
        assert_ne!(user.client().who_leads().await?.leader.unwrap().node, leader);
        upload(&user, "meanwhile").await?;
        network.heal();
        still.iter().for_each(|member| member.machine().resume());
        until_whole(&cluster, &user).await?;
        for name in ["before", "meanwhile"] {
            download(&user, name).await?;
        }
        Ok(cluster.no_actor_failed(&user).await?)
    });
}

#[test]
fn a_cluster_stands_short_reads_slow_disks_a_bad_network_and_clocks_that_jump() {
    play(async |world| {
        let (mut cluster, user) = start(world).await?;
        for (number, member) in cluster.members().enumerate() {
            member.machine().disk().set_short_reads(500_000);
            let work = if number % 2 == 0 { WorkDelays::slow() } else { WorkDelays::stalling() };
            member.machine().set_work(work);
            // Back no further than a certificate is valid before its time.
            member.machine().jump_clock(if number % 2 == 0 { 86_400_000 } else { -1_800_000 });
        }
        let storage: Vec<_> = cluster.storage.iter().map(|member| member.machine().address()).collect();
        for (address, link) in storage.into_iter().zip([Link::bad(), Link::slow(), Link::lossy()]) {
            world.network().set_links_of(address, Some(link));
        }
        for name in ["a", "b", "c"] {
            upload(&user, name).await?;
            download(&user, name).await?;
        }
        for member in cluster.members_mut() {
            member.crash(Crash::Power);
            member.start().await?;
        }
        until_whole(&cluster, &user).await?;
        for name in ["a", "b", "c"] {
            download(&user, name).await?;
        }
        let short: u64 = cluster.members().map(|member| member.machine().disk().faults().short_reads).sum();
        assert!(short > 100, "{short}");
        assert!(cluster.members().all(|member| member.machine().offload().most_queued() > 0));
        Ok(cluster.no_actor_failed(&user).await?)
    });
}

#[test]
fn storage_nodes_with_older_data_none_or_rot_never_give_wrong_bytes() {
    play(async |world| {
        let (mut cluster, user) = start(world).await?;
        upload(&user, "old").await?;
        let snapshot = cluster.storage[0].machine().snapshot();
        upload(&user, "new").await?;
        cluster.storage[0].crash(Crash::Power);
        cluster.storage[0].machine().restore(&snapshot);
        cluster.storage[0].start().await?;
        until_whole(&cluster, &user).await?;
        let flips = cluster.storage[1].machine().disk().rot("segments/", &mut world.random("rot"), 100);
        assert_eq!(flips.len(), 100);
        assert_eq!(cluster.storage[1].machine().disk().rotten().len(), 100);
        for name in ["old", "new"] {
            download(&user, name).await?;
        }
        cluster.storage[0].crash(Crash::Power);
        cluster.storage[0].machine().wipe();
        cluster.storage[0].start().await?;
        until_whole(&cluster, &user).await?;
        for name in ["old", "new"] {
            download(&user, name).await?;
        }
        Ok(cluster.no_actor_failed(&user).await?)
    });
}
