//! The planner: a pure function from what is known to what is ordered.

use super::lease::Busy;
use super::{ChunkFacts, CopyFacts, GroupFacts, Leases, Nodes, Purpose};
use crate::id::{ChunkId, NodeId};
use crate::limit::{
    PENDING_COPY_LEASE_MS, REPAIR_BYTES_PER_NODE_MAX, REPAIR_COPIES_MAX, REPAIR_COPIES_PER_NODE_MAX,
    REPAIR_VERIFIES_PER_NODE_MAX, UPLOAD_QUIET_MS,
};
use crate::placement::{self, Candidate};
use crate::time::ClusterTime;
use crate::wire::membership::{CopyOrder, CopyReason, OrderTask};
use crate::wire::metadata::Health;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// What a plan is made for.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'s> {
    /// The registered nodes.
    pub nodes: &'s Nodes,
    /// Whether the leader has listened for long enough to judge nodes by their silence.
    pub listened: bool,
    /// Now, by the same origin as the times of leases.
    pub now: Duration,
    /// Cluster time.
    pub time: ClusterTime,
}

/// What is to be done, and what has to wait.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The orders, each with the node that executes it, the most urgent first.
    pub orders: Vec<(NodeId, OrderTask)>,
    /// Chunks that get fewer copies than they miss.
    pub held_back: Vec<HeldBack>,
}

/// A chunk that has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldBack {
    /// The chunk.
    pub chunk: ChunkId,
    /// Copies that are missing and not planned.
    pub missing: u32,
    /// Why.
    pub why: NotPlanned,
}

/// Why a copy that is missing is not planned. Append-only once released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum NotPlanned {
    /// The leader has not listened for long enough to know who is dead.
    Listening,
    /// Its upload still makes progress.
    UploadUnderWay,
    /// It is left to its primary for a while, which may be making the copy.
    LeftToPrimary,
    /// No live copy is left to copy from.
    NoCopyLeft,
    /// The nodes that have a live copy do not answer at the moment, or failed with it just now.
    NoSource,
    /// No other node can take a copy.
    NoTarget,
    /// The nodes that have a live copy send as many as they may.
    SourcesBusy,
    /// The nodes that could take a copy take as many as they may.
    TargetsBusy,
    /// The cluster makes as many copies as it may.
    ClusterBusy,
    /// As many as are missing are being made.
    UnderWay,
}

impl fmt::Display for NotPlanned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NotPlanned::Listening => "the leader still listens for who is there",
            NotPlanned::UploadUnderWay => "their upload still makes progress",
            NotPlanned::LeftToPrimary => "their primary may still be making the copy",
            NotPlanned::NoCopyLeft => "no live copy is left to copy from",
            NotPlanned::NoSource => "the nodes that have a live copy do not answer",
            NotPlanned::NoTarget => "no other node can take a copy",
            NotPlanned::SourcesBusy => "the nodes that have a live copy send as many as they may",
            NotPlanned::TargetsBusy => "the nodes that could take a copy take as many as they may",
            NotPlanned::ClusterBusy => "the cluster makes as many copies as it may",
            NotPlanned::UnderWay => "their copies are being made",
        })
    }
}

/// A chunk that misses copies.
struct Need<'g> {
    chunk: &'g ChunkFacts,
    live: u32,
    missing: u32,
    wait: Option<NotPlanned>,
}

/// Plans what these groups need; `since` is when each was first seen to need something. What is planned is leased.
#[must_use]
pub fn plan(groups: &[(GroupFacts, Duration)], situation: &Situation<'_>, leases: &mut Leases) -> Plan {
    let mut needs: Vec<Need<'_>> = Vec::new();
    for (group, since) in groups.iter().filter(|(group, _)| group.purpose != Purpose::Gone) {
        let missing = group.chunks.iter().filter_map(|chunk| need(group, chunk, *since, situation, leases));
        needs.extend(missing);
    }
    needs.sort_by_key(|need| (need.live, need.chunk.chunk));
    let mut plan = Plan::default();
    for need in &needs {
        let mut missing = need.missing;
        let mut why = need.wait;
        while missing > 0 && why.is_none() {
            match next_copy(need.chunk, situation, leases) {
                Ok((source, task)) => {
                    plan.orders.push((source, task));
                    missing -= 1;
                }
                Err(reason) => why = Some(reason),
            }
        }
        plan.held_back.extend(why.map(|why| HeldBack { chunk: need.chunk.chunk, missing, why }));
    }
    if situation.listened {
        for (group, _) in groups.iter().filter(|(group, _)| group.purpose == Purpose::Visible) {
            group.chunks.iter().for_each(|chunk| verify(chunk, situation, leases, &mut plan.orders));
        }
    }
    plan
}

/// What a chunk misses, if it does, and whether it has to wait whatever the budgets.
fn need<'g>(
    group: &GroupFacts,
    chunk: &'g ChunkFacts,
    since: Duration,
    situation: &Situation<'_>,
    leases: &Leases,
) -> Option<Need<'g>> {
    let live = chunk.live(situation.nodes);
    let missing = u32::from(group.replication).saturating_sub(live);
    if missing == 0 {
        return None;
    }
    let made = |node: NodeId| chunk.copies.iter().any(|copy| copy.node == node && copy.is_live(situation.nodes));
    let under_way = leases.of_chunk(chunk.chunk, chunk.epoch).filter(|(target, _)| !made(*target)).count();
    let unplanned = missing.saturating_sub(u32::try_from(under_way).unwrap_or(u32::MAX));
    let wait = if !situation.listened {
        Some(NotPlanned::Listening)
    } else if is_moving(group.purpose, situation.time) {
        Some(NotPlanned::UploadUnderWay)
    } else if live == 0 {
        Some(NotPlanned::NoCopyLeft)
    } else if unplanned == 0 {
        Some(NotPlanned::UnderWay)
    } else if is_left_to_primary(chunk, since, situation) {
        Some(NotPlanned::LeftToPrimary)
    } else {
        None
    };
    Some(Need { chunk, live, missing: if unplanned == 0 { missing } else { unplanned }, wait })
}

/// Whether an upload still makes progress: its writer and its primaries see to its copies.
fn is_moving(purpose: Purpose, time: ClusterTime) -> bool {
    match purpose {
        Purpose::Upload { progress } => time.since(progress) < Duration::from_millis(UPLOAD_QUIET_MS),
        Purpose::Visible | Purpose::Gone => false,
    }
}

/// Whether the missing copies may be those that a primary is catching up: none was lost.
fn is_left_to_primary(chunk: &ChunkFacts, since: Duration, situation: &Situation<'_>) -> bool {
    chunk.copies.iter().all(|copy| copy.is_live(situation.nodes))
        && situation.now.saturating_sub(since) < Duration::from_millis(PENDING_COPY_LEASE_MS)
}

/// The next copy of a chunk: leased, and with the node that is to send it.
fn next_copy(
    chunk: &ChunkFacts,
    situation: &Situation<'_>,
    leases: &mut Leases,
) -> Result<(NodeId, OrderTask), NotPlanned> {
    if leases.copies() >= REPAIR_COPIES_MAX {
        return Err(NotPlanned::ClusterBusy);
    }
    let source = source(chunk, situation, leases)?;
    let target = target(chunk, situation, leases)?;
    let node = situation.nodes.get(&target).ok_or(NotPlanned::NoTarget)?;
    let (replaces, reason) = replaced(chunk, situation, leases);
    let copy = CopyOrder { target, incarnation: node.incarnation, replaces, reason };
    leases.grant_copy(chunk.chunk, chunk.epoch, source, &copy, u64::from(chunk.length), situation.now);
    let ChunkFacts { chunk, epoch, checksum, .. } = *chunk;
    Ok((source, OrderTask::Copy { chunk, epoch, checksum, address: node.address, copy }))
}

/// An Alive node with a live copy that is free to send it: a verified copy if there is one, else that of the node with
/// the least to do.
fn source(chunk: &ChunkFacts, situation: &Situation<'_>, leases: &Leases) -> Result<NodeId, NotPlanned> {
    let mut able = answering(chunk, situation, leases).peekable();
    if able.peek().is_none() {
        return Err(NotPlanned::NoSource);
    }
    let has_room = |busy: Busy| has_room(busy.sends, busy.sent_bytes, chunk.length);
    able.filter(|copy| has_room(leases.busy(copy.node)))
        .min_by_key(|copy| (!copy.verified, leases.busy(copy.node).sends, copy.node))
        .map(|copy| copy.node)
        .ok_or(NotPlanned::SourcesBusy)
}

/// Whether a node that has so many copies and bytes to send, or to take, may be given another copy: many small ones or a
/// few large ones, and one of any size.
fn has_room(copies: usize, bytes: u64, length: u32) -> bool {
    let within = bytes.saturating_add(u64::from(length)) <= REPAIR_BYTES_PER_NODE_MAX;
    copies == 0 || (copies < REPAIR_COPIES_PER_NODE_MAX && within)
}

/// The live copies on Alive nodes that have not failed with the chunk just now.
fn answering<'c>(
    chunk: &'c ChunkFacts,
    situation: &'c Situation<'_>,
    leases: &'c Leases,
) -> impl Iterator<Item = &'c CopyFacts> {
    chunk.copies.iter().filter(|copy| {
        let alive = situation.nodes.get(&copy.node).is_some_and(|node| node.health == Health::Alive);
        copy.counts && alive && !leases.is_avoided(chunk.chunk, copy.node, situation.now)
    })
}

/// An Alive node that takes chunks and has no copy of this one, drawn by its free space.
fn target(chunk: &ChunkFacts, situation: &Situation<'_>, leases: &Leases) -> Result<NodeId, NotPlanned> {
    let has = |node: NodeId| chunk.copies.iter().any(|copy| copy.node == node && copy.counts);
    let able = situation.nodes.iter().filter_map(|(node, facts)| {
        let busy = leases.busy(*node);
        let available_bytes = facts.available_bytes.saturating_sub(busy.taken_bytes);
        let able = facts.health == Health::Alive
            && facts.takes_chunks
            && available_bytes >= u64::from(chunk.length)
            && !has(*node)
            && !leases.is_target(chunk.chunk, *node)
            && !leases.is_avoided(chunk.chunk, *node, situation.now);
        let writes = facts.writes.saturating_add(u32::try_from(busy.takes).unwrap_or(u32::MAX));
        able.then_some((Candidate { node: *node, available_bytes, writes, fresh: true, slow: false }, busy))
    });
    let able: Vec<(Candidate, Busy)> = able.collect();
    if able.is_empty() {
        return Err(NotPlanned::NoTarget);
    }
    let free = able.into_iter().filter(|(_, busy)| has_room(busy.takes, busy.taken_bytes, chunk.length));
    let free: Vec<Candidate> = free.map(|(candidate, _)| candidate).collect();
    let chosen = placement::choose(&free, 1, 0, &[], seed(chunk));
    chosen.ok().and_then(|chosen| chosen.first().copied()).ok_or(NotPlanned::TargetsBusy)
}

/// Where the draw of a chunk's target begins.
fn seed(chunk: &ChunkFacts) -> u64 {
    let index = u64::from(chunk.chunk.index.0) << 32 | u64::from(chunk.epoch.0);
    chunk.chunk.file.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ index
}

/// Whose copy a new one takes the place of, and why the new one is made: a dead node's first, then one that went with
/// its store; each only once.
fn replaced(chunk: &ChunkFacts, situation: &Situation<'_>, leases: &Leases) -> (Option<NodeId>, CopyReason) {
    let named = |node: NodeId| leases.of_chunk(chunk.chunk, chunk.epoch).any(|(_, replaces)| replaces == Some(node));
    let lost = chunk.copies.iter().filter(|copy| !copy.is_live(situation.nodes) && !named(copy.node));
    match lost.min_by_key(|copy| (!copy.counts, copy.node)) {
        Some(copy) if copy.counts => (Some(copy.node), CopyReason::NodeDead),
        Some(copy) => (Some(copy.node), CopyReason::StoreLost),
        None => (None, CopyReason::TooFew),
    }
}

/// Has the other copies read back of a chunk that repair has touched, so that all of them are verified.
fn verify(chunk: &ChunkFacts, situation: &Situation<'_>, leases: &mut Leases, orders: &mut Vec<(NodeId, OrderTask)>) {
    if !chunk.copies.iter().any(|copy| copy.verified && copy.is_live(situation.nodes)) {
        return;
    }
    let unverified: Vec<NodeId> =
        answering(chunk, situation, leases).filter(|copy| !copy.verified).map(|copy| copy.node).collect();
    for node in unverified {
        if leases.busy(node).verifies < REPAIR_VERIFIES_PER_NODE_MAX && !leases.is_verifying(chunk.chunk, node) {
            leases.grant_verify(chunk.chunk, node, situation.now);
            let ChunkFacts { chunk, epoch, checksum, .. } = *chunk;
            orders.push((node, OrderTask::Verify { chunk, epoch, checksum }));
        }
    }
}
