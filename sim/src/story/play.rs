//! Tells a story to a cluster.

use super::{Step, Story, Who};
use crate::cluster::{Cluster, Ending, NodeName, SETTLE};
use crate::fault::{Fault, FaultKind};
use crate::history::Outcome;
use crate::inspect::Depth;
use crate::judgement::look_at_everything;
use crate::scenario::alive_tasks;
use crate::stage::Stage;
use crate::verdict::{AnyError, Failure, Verdict};
use crate::work::{Ended, Manner, Shared, Work};
use crate::world::SimWorld;
use dfs_core::id::{ChunkIndex, NodeId, Role};
use dfs_core::limit::CHUNKS_PER_GROUP;
use dfs_core::name::FileName;
use dfs_core::settings::ClusterSettings;
use dfs_core::wire::metadata::{FileTarget, GroupLocations};
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// What a story says comes to pass.
const THE_STORY: &str = "the-story-comes-to-pass";

/// How often something is asked that must come to pass.
const POLL: Duration = Duration::from_millis(100);

/// Uploads that were begun.
type Begun<'b> = FuturesUnordered<LocalBoxFuture<'b, (&'static str, Result<Ended, AnyError>)>>;

/// A story while it is told.
struct Telling<'t> {
    stage: &'t mut Stage,
    work: Work<'t>,
    /// Who was meant last.
    it: Vec<NodeName>,
}

impl Story {
    /// Tells it.
    ///
    /// # Errors
    /// What does not come to pass.
    pub async fn play(&self, world: &mut SimWorld) -> Verdict {
        let before = alive_tasks();
        let (mut cluster, users) = Cluster::prepare(world, self.metadata, self.storage, 1)?;
        cluster.start().await?;
        let replication = u8::try_from(self.storage.min(3))?;
        cluster.initialise(0, ClusterSettings { replication, ..ClusterSettings::default() }).await?;
        let shared = Shared::new(world.tally().clone(), world.trace().clone());
        let mut stage = Stage::new(world, cluster, 1);
        stage.until_whole(&users[0]).await?;
        let work = Work { number: 1, user: &users[0], shared: &shared };
        self.tell(&mut stage, work).await?;
        stage.heal().await?;
        stage.until_whole(&users[0]).await?;
        look_at_everything(work).await?;
        stage.judge(&shared.oracle, Depth::Everything)?;
        stage.cluster.end(users, before, Ending::AtOnce).await
    }

    async fn tell(&self, stage: &mut Stage, work: Work<'_>) -> Verdict {
        let mut begun = Begun::new();
        let mut ended: BTreeMap<&'static str, Ended> = BTreeMap::new();
        let mut telling = Telling { stage, work, it: Vec::new() };
        for (number, step) in self.steps.iter().enumerate() {
            work.shared.trace.record("step", format_args!("{} {step:?}", number + 1));
            let began = Instant::now();
            let (step, limit) = match step {
                Step::Within(limit, step) => (&**step, Some(*limit)),
                step => (step, None),
            };
            let told = telling.tell(step, &mut begun, &mut ended).await;
            let told = told.and_then(|()| match limit {
                Some(limit) if began.elapsed() > limit => {
                    Err(Failure::liveness(THE_STORY, format!("took {:?}, not {limit:?}", began.elapsed())).into())
                }
                _ => Ok(()),
            });
            told.map_err(|error| {
                let failure = Failure::of(&error);
                Failure { detail: format!("step {} ({step:?}): {}", number + 1, failure.detail), ..failure }
            })?;
            telling.stage.judge(&work.shared.oracle, Depth::News)?;
        }
        while let Some((_, outcome)) = begun.next().await {
            outcome?;
        }
        Ok(())
    }
}

impl<'t> Telling<'t> {
    /// Does a step, while what was begun goes on.
    async fn tell(&mut self, step: &Step, begun: &mut Begun<'t>, ended: &mut BTreeMap<&'static str, Ended>) -> Verdict {
        match *step {
            Step::Begin(name, bytes, manner) => {
                let (work, path) = (self.work, FileName::new(name)?);
                begun.push(Box::pin(async move { (name, work.upload(&path, bytes, manner).await) }));
                return Ok(());
            }
            Step::Finish(name) | Step::Await(name) => {
                while !ended.contains_key(name) {
                    let (name, outcome) = begun.next().await.ok_or_else(|| wrong(format!("{name} was not begun")))?;
                    ended.insert(name, outcome?);
                }
                let acknowledged = ended.get(name).is_some_and(|ended| ended.outcome == Outcome::Done);
                return match step {
                    Step::Finish(_) if !acknowledged => Err(wrong(format!("{:?}", ended.get(name)))),
                    _ => Ok(()),
                };
            }
            _ => {}
        }
        let doing = self.step(step);
        tokio::pin!(doing);
        loop {
            tokio::select! {
                biased;
                outcome = &mut doing => return outcome,
                Some((name, outcome)) = begun.next(), if !begun.is_empty() => {
                    ended.insert(name, outcome?);
                }
            }
        }
    }

    async fn step(&mut self, step: &Step) -> Verdict {
        match *step {
            Step::Upload(name, bytes) => {
                let ended = self.work.upload(&FileName::new(name)?, bytes, Manner::Plain).await?;
                require(ended.outcome == Outcome::Done, || ended.words.clone())
            }
            Step::UploadRefused(name, bytes, words) => {
                let path = FileName::new(name)?;
                let ended = self.work.upload(&path, bytes, Manner::Plain).await?;
                let refused = ended.outcome != Outcome::Done && ended.words.contains(words);
                require(refused, || format!("the user was told {:?}", ended.words))
            }
            Step::Delete(name) => {
                let ended = self.work.delete(&FileName::new(name)?).await?;
                require(ended.outcome == Outcome::Done, || ended.words.clone())
            }
            Step::Readable(name) => {
                for by_id in [false, true] {
                    let ended = self.work.read(&FileName::new(name)?, by_id).await?;
                    require(matches!(ended.outcome, Outcome::Found(_)), || ended.words.clone())?;
                }
                Ok(())
            }
            Step::Missing(name) => {
                let ended = self.work.read(&FileName::new(name)?, false).await?;
                require(ended.outcome == Outcome::Absent, || ended.words.clone())
            }
            Step::Unreadable(name, words) => {
                let path = FileName::new(name)?;
                let ended = self.work.read(&path, false).await?;
                let refused = ended.outcome == Outcome::Unknown && ended.words.contains(words);
                require(refused, || format!("the user was told {:?}", ended.words))
            }
            Step::Listed(prefix, names) => self.listed(prefix, names).await,
            Step::Wait(time) => {
                sleep(time).await;
                Ok(())
            }
            Step::Heal => self.stage.heal().await,
            Step::Whole => {
                let took = self.stage.until_whole(self.work.user).await?;
                self.work.shared.tally.recovery("whole", took);
                Ok(())
            }
            Step::Hurt(kind, who, other) => self.hurt(kind, who, other).await,
            Step::Mend(who) | Step::Start(who) => {
                for node in self.resolve(who).await? {
                    self.stage.mend_all(node).await?;
                }
                Ok(())
            }
            Step::KeepCopy(who) => self.resolve(who).await?.into_iter().try_for_each(|node| self.stage.keep_copy(node)),
            Step::Rot(name, chunk, who) => {
                let file = self.locate(name).await?.0;
                for node in self.resolve(who).await? {
                    self.stage.rot_chunk(node, file, ChunkIndex(chunk))?;
                }
                Ok(())
            }
            Step::Copies(name, copies) => self.copies(name, copies).await,
            Step::Healthy(who, health) => {
                for node in self.resolve(who).await? {
                    self.until(
                        || format!("{node} is not {health:?}"),
                        async |telling| {
                            let nodes = telling.work.user.client().nodes().await.ok()?;
                            let node = nodes.storage.iter().find(|other| other.address.node == node.id)?;
                            (node.health == health).then_some(())
                        },
                    )
                    .await?;
                }
                Ok(())
            }
            Step::Ends(who, words) => {
                for node in self.resolve(who).await? {
                    self.stage.excuse(node);
                    let said = self
                        .until(
                            || format!("{node} does not end"),
                            async |telling| Some(telling.stage.cluster.member(node).ok()?.check().err()?.to_string()),
                        )
                        .await?;
                    require(said.contains(words), || format!("{node} said: {said}"))?;
                }
                Ok(())
            }
            Step::OtherLeader => {
                let former = self.it.clone();
                self.until(
                    || "no other node leads".to_owned(),
                    async |telling| {
                        let leads = telling.leader().await?;
                        (!former.contains(&leads)).then_some(())
                    },
                )
                .await
            }
            Step::Begin(..) | Step::Finish(_) | Step::Await(_) | Step::Within(..) => Ok(()),
        }
    }

    async fn hurt(&mut self, kind: FaultKind, who: Who, other: Option<Who>) -> Verdict {
        let nodes = self.resolve(who).await?;
        let others = match other {
            Some(other) => self.resolve(other).await?,
            None => Vec::new(),
        };
        for node in &nodes {
            let ends = if others.is_empty() { vec![*node] } else { others.clone() };
            for other in ends {
                self.stage.hurt(Fault { kind, node: *node, other }).await?;
            }
        }
        self.it = nodes;
        Ok(())
    }

    async fn listed(&mut self, prefix: &str, names: &[&str]) -> Verdict {
        let mut listing = self.work.user.client().list(prefix);
        let mut listed = Vec::new();
        while let Some(info) = listing.next().await? {
            listed.push(info.name.as_str().to_owned());
        }
        require(listed == names, || format!("{listed:?} are listed"))
    }

    async fn copies(&mut self, name: &'static str, copies: usize) -> Verdict {
        self.until(
            || format!("{name} does not have {copies} copies of each chunk"),
            async |telling| {
                let (_, groups) = telling.locate(name).await.ok()?;
                let full = |group: &GroupLocations| {
                    (0..group.chunks.len() as u32)
                        .all(|slot| group.holders.iter().filter(|holder| holder.held.has(slot)).count() == copies)
                };
                groups.iter().all(full).then_some(())
            },
        )
        .await
    }

    /// Waits until something comes to pass, for a minute.
    async fn until<T>(
        &mut self,
        otherwise: impl Fn() -> String,
        mut ask: impl AsyncFnMut(&mut Telling<'t>) -> Option<T>,
    ) -> Result<T, AnyError> {
        let asking = async {
            loop {
                if let Some(answer) = ask(self).await {
                    return answer;
                }
                sleep(POLL).await;
            }
        };
        timeout(SETTLE, asking).await.map_err(|_| Failure::liveness(THE_STORY, otherwise()).into())
    }

    async fn leader(&self) -> Option<NodeName> {
        let leads = self.work.user.client().status().await.ok()?.leader.node;
        Some(NodeName { role: Role::Metadata, id: leads })
    }

    /// Who is meant.
    async fn resolve(&mut self, who: Who) -> Result<Vec<NodeName>, AnyError> {
        let of_role = |stage: &Stage, role: Role| -> Vec<NodeName> {
            stage.cluster.names().into_iter().filter(|name| name.role == role).collect()
        };
        let nodes = match who {
            Who::Node(name) => vec![name],
            Who::It => self.it.clone(),
            Who::AllMetadata => of_role(self.stage, Role::Metadata),
            Who::AllStorage => of_role(self.stage, Role::Storage),
            Who::Leader | Who::Follower => {
                let leads = self.until(|| "nobody leads".to_owned(), async |telling| telling.leader().await).await?;
                let others = of_role(self.stage, Role::Metadata).into_iter().find(|name| *name != leads);
                if who == Who::Leader { vec![leads] } else { others.into_iter().collect() }
            }
            Who::Holder(name, chunk, copy) => {
                let nodes = self.holders(name, ChunkIndex(chunk)).await?;
                nodes.into_iter().skip(copy).take(1).collect()
            }
            Who::NonHolder(name) => {
                let (_, groups) = self.locate(name).await?;
                let holds = |id: NodeId| groups.iter().any(|group| group.holders.iter().any(|held| held.node == id));
                of_role(self.stage, Role::Storage).into_iter().filter(|name| !holds(name.id)).take(1).collect()
            }
        };
        if nodes.is_empty() {
            return Err(wrong(format!("{who} is nobody")));
        }
        Ok(nodes)
    }

    async fn holders(&self, name: &str, chunk: ChunkIndex) -> Result<Vec<NodeName>, AnyError> {
        let (_, groups) = self.locate(name).await?;
        let group = groups.iter().find(|group| group.group.0 == chunk.0 / CHUNKS_PER_GROUP);
        let holders = group.into_iter().flat_map(|group| &group.holders);
        let nodes: BTreeSet<NodeId> =
            holders.filter(|holder| holder.held.has(chunk.slot())).map(|holder| holder.node).collect();
        Ok(nodes.into_iter().map(|id| NodeName { role: Role::Storage, id }).collect())
    }

    /// Where the chunks of a file are, as metadata knows.
    async fn locate(&self, name: &str) -> Result<(dfs_core::id::FileId, Vec<GroupLocations>), AnyError> {
        let client = self.work.user.client();
        let info = client.stat(FileTarget::Name(FileName::new(name)?)).await?;
        let mut groups: Vec<GroupLocations> = Vec::new();
        let count = info.chunk_size.chunk_count(info.size).div_ceil(CHUNKS_PER_GROUP.into());
        while (groups.len() as u64) < count.into() {
            let first = dfs_core::id::GroupIndex(u32::try_from(groups.len())?);
            groups.extend(client.locate_page(info.file, first).await?.groups);
        }
        Ok((info.file, groups))
    }
}

fn wrong(detail: String) -> AnyError {
    Failure::correctness(THE_STORY, detail).into()
}

fn require(holds: bool, otherwise: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(wrong(otherwise())) }
}
