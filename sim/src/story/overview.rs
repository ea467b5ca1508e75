//! What metadata says of the whole cluster, and how repair gets on: looked at again and again while something happens.

use super::ask::holders;
use super::play::{AT_ONCE, Telling, require, wrong};
use super::step::Told;
use crate::cluster::Member;
use crate::verdict::{AnyError, Verdict};
use dfs_core::id::{FileId, GroupIndex, NodeId, Role};
use dfs_core::wire::metadata::{ClusterSummary, GroupLocations, Health};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// How long metadata may take to say how the cluster is, a change of leaders included.
const ANSWERS_WITHIN: Duration = Duration::from_secs(3);

/// How long a leader may take to look at all groups once it knows that a node is dead.
const LOOKS_WITHIN: Duration = Duration::from_secs(3);

/// How often it is asked.
const LOOK: Duration = Duration::from_millis(250);

/// Copies of each chunk that stories about it want.
const WANTED: usize = 3;

impl Telling<'_> {
    /// How the cluster is. Somebody answers soon.
    async fn summary(&self) -> Result<ClusterSummary, AnyError> {
        let asked = timeout(ANSWERS_WITHIN, self.judge.user.client().status()).await;
        Ok(asked.map_err(|_| wrong(format!("nobody said how the cluster is within {ANSWERS_WITHIN:?}")))??)
    }

    pub(super) async fn says(&mut self, words: &'static str, told: Told) -> Verdict {
        self.until(
            || format!("metadata does not say: {words}"),
            async |telling| {
                let summary = telling.summary().await.ok()?;
                told.0(&summary).then_some(())
            },
        )
        .await
    }

    pub(super) async fn says_for(&self, words: &str, told: Told, time: Duration) -> Verdict {
        let began = Instant::now();
        while began.elapsed() < time {
            let summary = self.summary().await?;
            require(told.0(&summary), || format!("metadata does not say any more: {words}: {summary:?}"))?;
            sleep(LOOK).await;
        }
        Ok(())
    }

    /// Compares what metadata says of repair with what it knows of a file.
    pub(super) async fn is_honest(&self, name: &str, time: Duration) -> Verdict {
        let began = Instant::now();
        let mut dead: Option<(Vec<NodeId>, Instant)> = None;
        let mut lacked = 0;
        while began.elapsed() < time {
            let present = self.dead().await?;
            if dead.as_ref().is_none_or(|(known, _)| *known != present) {
                dead = Some((present.clone(), Instant::now()));
            }
            let lacks_before = self.lacks(name, &present).await?;
            let summary = self.summary().await?;
            let lacks = self.lacks(name, &present).await?.min(lacks_before);
            let knows = summary.repair.listened && summary.repair.swept.is_some();
            let had_time = dead.as_ref().is_some_and(|(_, since)| since.elapsed() > LOOKS_WITHIN);
            lacked += lacks;
            let below = summary.repair.chunks_below;
            require(!knows || !had_time || below as usize >= lacks, || {
                format!("{lacks} chunks of {name} lack copies, and metadata says that {below} do")
            })?;
            sleep(LOOK).await;
        }
        require(lacked > 0, || format!("no chunk of {name} lacked a copy"))
    }

    async fn dead(&self) -> Result<Vec<NodeId>, AnyError> {
        let nodes = self.judge.user.client().nodes().await?;
        let dead = nodes.storage.iter().filter(|node| node.health == Health::Dead);
        Ok(dead.map(|node| node.address.node).collect())
    }

    /// How many chunks of a file have fewer copies than are wanted, those on these nodes left out.
    async fn lacks(&self, name: &str, without: &[NodeId]) -> Result<usize, AnyError> {
        let (_, groups) = self.locate(name).await?;
        Ok(live(&groups, without).into_iter().filter(|live| *live < WANTED).count())
    }

    /// Files that are down to one copy get another before most of those that are down to two do.
    pub(super) async fn fewest_first(&mut self, prefix: &'static str, percent_max: usize) -> Verdict {
        let off = |member: &&Member| member.name().role == Role::Storage && !member.runs();
        let off: Vec<NodeId> = self.stage.cluster.members().filter(off).map(|member| member.name().id).collect();
        let mut files = Vec::new();
        let mut listing = self.judge.user.client().list(prefix);
        while let Some(info) = listing.next().await? {
            files.push(info.file);
        }
        let first = self.live_of_each(&files, &off).await?;
        let with = |copies: usize| -> Vec<usize> {
            (0..files.len()).filter(|place| first.get(*place) == Some(&copies)).collect()
        };
        let (fewest, others) = (with(1), with(2));
        let enough = !fewest.is_empty() && !others.is_empty();
        require(enough, || format!("{} files have one copy, {} two", fewest.len(), others.len()))?;
        let now = self
            .until(
                || "files are left with one copy".to_owned(),
                async |telling| {
                    let now = telling.live_of_each(&files, &off).await.ok()?;
                    fewest.iter().all(|place| now.get(*place).is_some_and(|live| *live > 1)).then_some(now)
                },
            )
            .await?;
        let before = others.iter().filter(|place| now.get(**place).is_some_and(|live| *live > 2)).count();
        let told = format!("{} files had one copy; {before} of {} with two went before", fewest.len(), others.len());
        self.judge.shared.trace.record("order", format_args!("{told}"));
        require(before * 100 <= others.len() * percent_max, || told)
    }

    /// How many copies the first chunk of each of these files has.
    async fn live_of_each(&self, files: &[FileId], without: &[NodeId]) -> Result<Vec<usize>, AnyError> {
        let client = self.judge.user.client();
        let asked = stream::iter(files).map(async |file| {
            let page = client.locate_page(*file, GroupIndex(0)).await?;
            Ok(live(&page.groups, without).first().copied().unwrap_or(0))
        });
        asked.buffered(AT_ONCE).try_collect().await
    }
}

/// How many copies each chunk of some groups has, those on these nodes left out.
fn live(groups: &[GroupLocations], without: &[NodeId]) -> Vec<usize> {
    let live = |held: Vec<NodeId>| held.iter().filter(|node| !without.contains(node)).count();
    groups.iter().flat_map(holders).map(|(held, _)| live(held)).collect()
}
