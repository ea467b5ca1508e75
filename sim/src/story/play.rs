//! Tells a story to a cluster.

use super::ask::holders;
use super::step::{Errand, Somebody, Step, Values};
use super::{Story, Who, crowd};
use crate::cluster::{Cluster, ClusterShape, Ending, NodeName};
use crate::fault::{Fault, FaultKind};
use crate::history::Outcome;
use crate::inspect::Depth;
use crate::judgement::look_at_everything;
use crate::network::SimNetwork;
use crate::scenario::alive_tasks;
use crate::stage::Stage;
use crate::verdict::{AnyError, Failure, Verdict};
use crate::work::{Ended, Manner, Shared, Work};
use crate::world::SimWorld;
use dfs_core::id::ChunkIndex;
use dfs_core::name::FileName;
use dfs_core::settings::{ClusterSettings, SettingChange};
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{self, FuturesUnordered, StreamExt, TryStreamExt};
use std::collections::BTreeMap;
use tokio::time::{Instant, sleep};

/// What a story says comes to pass.
pub(super) const THE_STORY: &str = "the-story-comes-to-pass";

/// Who does the steps, and somebody else.
const TELLERS: u64 = 2;

/// How many files of many are under way at once.
pub(super) const AT_ONCE: usize = 8;

/// What was begun.
type Begun<'b> = FuturesUnordered<LocalBoxFuture<'b, (&'static str, Result<Ended, AnyError>)>>;

/// A story while it is told.
pub(super) struct Telling<'t> {
    pub(super) stage: &'t mut Stage,
    pub(super) network: SimNetwork,
    /// Who does the present step.
    pub(super) work: Work<'t>,
    /// Somebody who is never silenced.
    pub(super) judge: Work<'t>,
    /// Who was meant last.
    pub(super) it: Vec<NodeName>,
    /// What was downloaded before it was cut off.
    copies: BTreeMap<&'static str, Vec<u8>>,
}

impl Story {
    /// Tells it.
    ///
    /// # Errors
    /// What does not come to pass.
    pub async fn play(&self, world: &mut SimWorld) -> Verdict {
        let before = alive_tasks();
        let mut knowing: Vec<Somebody> = self.steps.iter().filter_map(|step| step.plain().1).collect();
        knowing.retain(|somebody| *somebody != Somebody::Else);
        let known: Vec<&[u64]> = knowing.iter().filter_map(Somebody::knows).collect();
        let shape = ClusterShape {
            snapshot_entries: self.snapshot_entries,
            ..ClusterShape::of(self.metadata, self.storage, TELLERS)
        };
        let (mut cluster, users) = Cluster::prepare_knowing(world, shape, &known)?;
        cluster.start().await?;
        let replication = u8::try_from(self.storage.min(3))?;
        cluster.initialise(0, ClusterSettings { replication, ..ClusterSettings::default() }).await?;
        let shared = Shared::new(world.tally().clone(), world.trace().clone());
        let shared = Shared { large_chunks_every: self.large_chunks.then_some(1), ..shared };
        let mut stage = Stage::new(world, cluster, &users);
        let network = world.network().clone();
        let works = users.iter().zip(1_u64..).map(|(user, number)| Work { number, user, shared: &shared });
        let works: Vec<Work<'_>> = works.collect();
        let (work, judge) = (works[0], works[1]);
        let somebody: Vec<(Somebody, Work<'_>)> =
            std::iter::once(Somebody::Else).chain(knowing).zip(works.iter().skip(1).copied()).collect();
        if !self.at_once {
            stage.until_whole(judge.user).await?;
        }
        let telling = Telling { stage: &mut stage, network, work, judge, it: Vec::new(), copies: BTreeMap::new() };
        self.tell(telling, &somebody).await?;
        stage.heal().await?;
        stage.until_whole(judge.user).await?;
        look_at_everything(judge).await?;
        stage.judge(&shared.oracle, Depth::Everything)?;
        stage.end(users, before, Ending::AtOnce).await
    }

    async fn tell<'t>(&self, mut telling: Telling<'t>, somebody: &[(Somebody, Work<'t>)]) -> Verdict {
        let shared = telling.judge.shared;
        let mut begun = Begun::new();
        let mut ended: BTreeMap<&'static str, Ended> = BTreeMap::new();
        for (number, step) in self.steps.iter().enumerate() {
            shared.trace.record("step", format_args!("{} {step:?}", number + 1));
            let began = Instant::now();
            let (step, by, limit) = step.plain();
            let user = telling.work;
            if let Some((_, work)) = somebody.iter().find(|(other, _)| Some(*other) == by) {
                telling.work = *work;
            }
            let told = telling.tell(step, &mut begun, &mut ended).await;
            telling.work = user;
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
            telling.stage.judge(&shared.oracle, Depth::News)?;
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
            Step::Begin(name, errand) => {
                let (work, path) = (self.work, FileName::new(name)?);
                ended.remove(name);
                begun.push(Box::pin(async move {
                    let ended = match errand {
                        Errand::Upload(bytes, manner) => work.upload(&path, bytes, manner).await,
                        Errand::Delete => work.delete(&path).await,
                        Errand::Read => work.read(&path, false).await,
                        Errand::Overwrite(bytes) => work.overwrite(&path, bytes, Manner::Plain).await,
                        Errand::ReadInHalves(pause) => work.read_in_halves(&path, pause).await,
                        Errand::Move(to) => match FileName::new(to) {
                            Ok(to) => work.rename(&path, &to).await,
                            Err(invalid) => Err(invalid.into()),
                        },
                        Errand::Churn(count) => crowd::churn(work, name, count).await,
                        Errand::UploadFlood(count, bytes) => crowd::uploads(work, name, count, bytes).await,
                        Errand::ReadFlood(count) => crowd::reads(work, &path, count).await,
                    };
                    (name, ended)
                }));
                return Ok(());
            }
            Step::Finish(name) | Step::Await(name) | Step::Refused(name, _) => {
                while !ended.contains_key(name) {
                    let (name, outcome) = begun.next().await.ok_or_else(|| wrong(format!("{name} was not begun")))?;
                    ended.insert(name, outcome?);
                }
                let succeeded =
                    ended.get(name).is_some_and(|ended| matches!(ended.outcome, Outcome::Done | Outcome::Found(_)));
                let refused = |words| ended.get(name).is_some_and(|ended| !succeeded && ended.words.contains(words));
                return match step {
                    Step::Refused(_, words) if !refused(words) => Err(wrong(format!("{:?}", ended.get(name)))),
                    Step::Finish(_) if !succeeded => Err(wrong(format!("{:?}", ended.get(name)))),
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
            Step::Upload(name, bytes) => self.upload(name.to_owned(), bytes).await,
            Step::Overwrite(name, bytes) => {
                let ended = self.work.overwrite(&FileName::new(name)?, bytes, Manner::Plain).await?;
                require(ended.outcome == Outcome::Done, || ended.words.clone())
            }
            Step::Move(from, to) => {
                let ended = self.work.rename(&FileName::new(from)?, &FileName::new(to)?).await?;
                require(ended.outcome == Outcome::Done, || ended.words.clone())
            }
            Step::MoveRefused(from, to, words) => {
                let ended = self.work.rename(&FileName::new(from)?, &FileName::new(to)?).await?;
                let refused = ended.outcome != Outcome::Done && ended.words.contains(words);
                require(refused, || format!("the user was told {:?}", ended.words))
            }
            Step::UploadRefused(name, bytes, words) => {
                let path = FileName::new(name)?;
                let ended = self.work.upload(&path, bytes, Manner::Plain).await?;
                let refused = ended.outcome != Outcome::Done && ended.words.contains(words);
                require(refused, || format!("the user was told {:?}", ended.words))
            }
            Step::UploadMany(prefix, count, bytes) => {
                let uploads = (0..count).map(|number| self.upload(format!("{prefix}/{number}"), bytes));
                stream::iter(uploads).buffer_unordered(AT_ONCE).try_collect().await
            }
            Step::Churn(prefix, count) => {
                let ended = crowd::churn(self.work, prefix, count).await?;
                require(ended.outcome == Outcome::Done, || ended.words)
            }
            Step::UploadAgain(name, bytes_max) => self.upload_again(name, bytes_max).await,
            Step::OneByOne(prefix, count, bytes, latency) => self.one_by_one(prefix, count, bytes, latency).await,
            Step::ChangeSettings(values) => {
                let changed = self.work.change_settings(&changes(values)).await?;
                require(changed.is_ok(), || format!("{changed:?}"))
            }
            Step::SettingsRefused(values, words) => {
                let changed = self.work.change_settings(&changes(values)).await?;
                let refused = changed.as_ref().is_err_and(|error| error.to_string().contains(words));
                require(refused, || format!("{changed:?}"))
            }
            Step::Delete(name) => {
                let ended = self.work.delete(&FileName::new(name)?).await?;
                require(ended.outcome == Outcome::Done, || ended.words.clone())
            }
            Step::DeleteById(name) => {
                let ended = self.work.delete_by_id(&FileName::new(name)?).await?;
                require(ended.outcome == Outcome::Done, || ended.words.clone())
            }
            Step::TryDelete(name) => self.work.delete(&FileName::new(name)?).await.map(drop),
            Step::DeleteRefused(name, words) => {
                let ended = self.work.delete(&FileName::new(name)?).await?;
                let refused = ended.outcome != Outcome::Done && ended.words.contains(words);
                require(refused, || format!("the user was told {:?}", ended.words))
            }
            Step::Readable(name) => {
                for by_id in [false, true] {
                    let ended = self.work.read(&FileName::new(name)?, by_id).await?;
                    require(matches!(ended.outcome, Outcome::Found(_)), || ended.words.clone())?;
                }
                Ok(())
            }
            Step::Range(name, range) => {
                let ended = self.work.read_range(&FileName::new(name)?, range).await?;
                require(matches!(ended.outcome, Outcome::Found(_)), || ended.words.clone())
            }
            Step::CutOff(name, bytes) => {
                let copy = self.work.read_beginning(&FileName::new(name)?, bytes).await?;
                self.copies.insert(name, copy);
                Ok(())
            }
            Step::GoOn(name) => {
                let copy = self.copies.remove(name).ok_or_else(|| wrong(format!("{name} was not cut off")))?;
                self.work.read_on(&FileName::new(name)?, copy).await
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
                let took = self.stage.until_whole(self.judge.user).await?;
                self.work.shared.tally.recovery("whole", took);
                Ok(())
            }
            Step::Hurt(kind, who, other) => self.hurt(kind, who, other).await,
            Step::Silence(who) => {
                let nodes = self.resolve(who).await?;
                for node in &nodes {
                    let from = self.stage.cluster.member(*node)?.machine().address();
                    self.network.cut(from, self.work.user.address());
                }
                self.it = nodes;
                Ok(())
            }
            Step::Hear(who) => {
                for node in self.resolve(who).await? {
                    let from = self.stage.cluster.member(node)?.machine().address();
                    self.network.mend(from, self.work.user.address());
                }
                Ok(())
            }
            Step::RestartInTurn(who) => {
                for node in self.resolve(who).await? {
                    self.hurt(FaultKind::Stop, Who::Node(node), None).await?;
                    self.stage.mend_all(node).await?;
                    self.stage.until_whole(self.judge.user).await?;
                }
                Ok(())
            }
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
            Step::Repaired(name, copies, without) => {
                let without = match without {
                    Some(without) => self.resolve(without).await?,
                    None => Vec::new(),
                };
                self.repaired(name, copies, &without).await
            }
            Step::CopiesAtMost(name, copies) => {
                let (_, groups) = self.locate(name).await?;
                let most = groups.iter().flat_map(holders).map(|(held, _)| held.len()).max().unwrap_or(0);
                require(most <= copies, || format!("a chunk of {name} has {most} copies"))
            }
            Step::Healthy(who, health) => {
                for node in self.resolve(who).await? {
                    self.healthy(node, health).await?;
                }
                Ok(())
            }
            Step::Slow(who, slow) => {
                for node in self.resolve(who).await? {
                    self.slow(node, slow).await?;
                }
                Ok(())
            }
            Step::Stays(who, health, time) => {
                let nodes = self.resolve(who).await?;
                self.stay(&nodes, health, time).await
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
            Step::LogCut => {
                let behind = self.it.clone();
                let leads = self.resolve(Who::Leader).await?;
                self.until(
                    || "the log is not cut".to_owned(),
                    async |telling| {
                        let has = behind.iter().filter_map(|node| telling.log_ends(*node)).max()?;
                        leads.iter().all(|node| telling.log_cut(*node).is_some_and(|cut| cut > has)).then_some(())
                    },
                )
                .await
            }
            Step::Given(who, bytes) => self.given(who, bytes).await,
            Step::LogsWithin(entries) => self.logs_within(entries).await,
            Step::SettingsAre(values) => {
                let settings = self.judge.user.client().settings().await?;
                let are = values.iter().all(|(key, value)| settings.get(*key) == *value);
                require(are, || format!("{settings:?}"))
            }
            Step::Settled(prefix, percent) => self.settled(prefix, percent).await,
            Step::FewestFirst(name, percent) => self.fewest_first(name, percent).await,
            Step::Says(words, told) => self.says(words, told).await,
            Step::SaysFor(words, told, time) => self.says_for(words, told, time).await,
            Step::Honest(name, time) => self.is_honest(name, time).await,
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
            Step::Begin(..)
            | Step::Finish(_)
            | Step::Await(_)
            | Step::Refused(..)
            | Step::Within(..)
            | Step::By(..) => Ok(()),
        }
    }

    async fn upload(&self, name: String, bytes: u64) -> Verdict {
        let ended = self.work.upload(&FileName::new(name)?, bytes, Manner::Plain).await?;
        require(ended.outcome == Outcome::Done, || ended.words.clone())
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
}

fn changes(values: Values) -> Vec<SettingChange> {
    values.iter().map(|(key, value)| SettingChange { key: *key, value: *value }).collect()
}

pub(super) fn wrong(detail: String) -> AnyError {
    Failure::correctness(THE_STORY, detail).into()
}

pub(super) fn require(holds: bool, otherwise: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(wrong(otherwise())) }
}
