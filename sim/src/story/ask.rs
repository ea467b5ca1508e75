//! What is asked of the cluster while a story is told: who is meant, and whether something has come to pass.

use super::Who;
use super::play::{THE_STORY, Telling, require, wrong};
use crate::cluster::{NodeName, SETTLE};
use crate::stage::Stage;
use crate::verdict::{AnyError, Failure, Verdict};
use dfs_actors::raft::inspect::{self, StoredLog};
use dfs_core::id::{ChunkIndex, FileId, GroupIndex, NodeId, Role};
use dfs_core::limit::CHUNKS_PER_GROUP;
use dfs_core::name::FileName;
use dfs_core::wire::metadata::{FileTarget, GroupHolder, GroupLocations, Health};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// How often something is asked that must come to pass.
const POLL: Duration = Duration::from_millis(100);

/// How often something is looked at that must stay as it is.
const LOOK: Duration = Duration::from_millis(500);

/// How often something is looked at that is over soon.
const CLOSE_LOOK: Duration = Duration::from_millis(2);

impl<'t> Telling<'t> {
    /// A storage node comes to have that health.
    pub(super) async fn healthy(&mut self, node: NodeName, health: Health) -> Verdict {
        let seen = async |telling: &mut Telling<'t>| (telling.health(node).await? == health).then_some(());
        self.until(|| format!("{node} is not {health:?}"), seen).await
    }

    /// The leader believes that a storage node is slow, or that it is not.
    pub(super) async fn slow(&mut self, node: NodeName, slow: bool) -> Verdict {
        let seen = async |telling: &mut Telling<'t>| {
            let nodes = telling.judge.user.client().nodes().await.ok()?;
            let info = nodes.storage.iter().find(|other| other.address.node == node.id)?;
            (info.slow == slow).then_some(())
        };
        self.until(|| format!("{node} is {}thought slow", if slow { "not " } else { "" }), seen).await
    }

    /// Storage nodes have one of these healths for so long, whenever somebody leads who can tell.
    pub(super) async fn stay(&mut self, nodes: &[NodeName], health: &[Health], time: Duration) -> Verdict {
        let began = Instant::now();
        while began.elapsed() < time {
            for node in nodes {
                let seen = self.health(*node).await;
                require(seen.is_none_or(|seen| health.contains(&seen)), || format!("{node} is {seen:?}"))?;
            }
            sleep(LOOK).await;
        }
        Ok(())
    }

    /// What the leader thinks of a storage node.
    async fn health(&self, node: NodeName) -> Option<Health> {
        let nodes = self.judge.user.client().nodes().await.ok()?;
        nodes.storage.iter().find(|other| other.address.node == node.id).map(|node| node.health)
    }

    /// The last entry that the log of a metadata node has.
    pub(super) fn log_ends(&self, node: NodeName) -> Option<u64> {
        let log = self.log(node, 0)?;
        log.entries.last().map(|entry| entry.place).or(log.purged).map(|last| last.index)
    }

    /// The last entry that was cut off the log of a metadata node.
    pub(super) fn log_cut(&self, node: NodeName) -> Option<u64> {
        Some(self.log(node, u64::MAX)?.purged?.index)
    }

    /// So many bytes come from the leader to nodes, from now on.
    pub(super) async fn given(&mut self, who: Who, bytes: u64) -> Verdict {
        let leader = self.resolve(Who::Leader).await?[0];
        let from = self.stage.cluster.member(leader)?.machine().address();
        for node in self.resolve(who).await? {
            let to = self.stage.cluster.member(node)?.machine().address();
            let (began, before) = (Instant::now(), self.network.delivered_bytes(from, to));
            while self.network.delivered_bytes(from, to) < before + bytes {
                require(began.elapsed() < SETTLE, || format!("{leader} does not give {node} {bytes} bytes"))?;
                sleep(CLOSE_LOOK).await;
            }
        }
        Ok(())
    }

    /// No log is longer than that.
    pub(super) async fn logs_within(&mut self, entries: usize) -> Verdict {
        for node in self.resolve(Who::AllMetadata).await? {
            let count = self.log(node, 0).map_or(0, |log| log.entries.len());
            self.judge.shared.trace.record("log", format_args!("{node} has {count} entries"));
            require(count <= entries, || format!("the log of {node} has {count} entries, not {entries}"))?;
        }
        Ok(())
    }

    fn log(&self, node: NodeName, first: u64) -> Option<StoredLog> {
        let stores = self.stage.cluster.member(node).ok()?.machine().stores().durable_copy();
        inspect::log(&*stores.peek(inspect::LOG_STORE)?, first).ok()
    }

    pub(super) async fn copies(&mut self, name: &'static str, copies: usize) -> Verdict {
        self.until(
            || format!("{name} does not have {copies} copies of each chunk"),
            async |telling| {
                let (_, groups) = telling.locate(name).await.ok()?;
                let full = |group: &GroupLocations| {
                    (0..group.chunks.len() as u32)
                        .all(|slot| group.holders.iter().filter(|holder| holder.held.has(slot)).count() >= copies)
                };
                groups.iter().all(full).then_some(())
            },
        )
        .await
    }

    /// Each chunk comes to have just so many copies, none of them on those nodes, and all of them verified if repair has
    /// touched it.
    pub(super) async fn repaired(&mut self, name: &'static str, copies: usize, without: &[NodeName]) -> Verdict {
        self.until(
            || format!("{name} does not have just {copies} verified copies of each chunk"),
            async |telling| {
                let (_, groups) = telling.locate(name).await.ok()?;
                let is_whole = |(held, verified): (Vec<NodeId>, Vec<NodeId>)| {
                    let is_verified = verified.is_empty() || verified == held;
                    held.len() == copies && is_verified && without.iter().all(|node| !held.contains(&node.id))
                };
                groups.iter().flat_map(holders).all(is_whole).then_some(())
            },
        )
        .await
    }

    /// Waits until something comes to pass, for a minute.
    pub(super) async fn until<T>(
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

    pub(super) async fn leader(&self) -> Option<NodeName> {
        let leads = self.judge.user.client().status().await.ok()?.leader.node;
        Some(NodeName { role: Role::Metadata, id: leads })
    }

    /// Who is meant.
    pub(super) async fn resolve(&mut self, who: Who) -> Result<Vec<NodeName>, AnyError> {
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
    pub(super) async fn locate(&self, name: &str) -> Result<(FileId, Vec<GroupLocations>), AnyError> {
        let client = self.judge.user.client();
        let info = client.stat(FileTarget::Name(FileName::new(name)?)).await?;
        let mut groups: Vec<GroupLocations> = Vec::new();
        let count = info.chunk_size.chunk_count(info.size).div_ceil(CHUNKS_PER_GROUP.into());
        while (groups.len() as u64) < count {
            let first = GroupIndex(u32::try_from(groups.len())?);
            groups.extend(client.locate_page(info.file, first).await?.groups);
        }
        Ok((info.file, groups))
    }
}

/// For each chunk of a group, the nodes that hold it, and those that have verified it.
pub(super) fn holders(group: &GroupLocations) -> Vec<(Vec<NodeId>, Vec<NodeId>)> {
    let of = |slot: u32| {
        let with = |verified: bool| {
            let has = |holder: &&GroupHolder| if verified { holder.verified.has(slot) } else { holder.held.has(slot) };
            group.holders.iter().filter(has).map(|holder| holder.node).collect()
        };
        (with(false), with(true))
    };
    (0..group.chunks.len() as u32).map(of).collect()
}
