//! Leases: the orders that are under way, in the leader's memory.
//!
//! An order is leased when it is planned, and again when its node takes it; it ends with its receipt, with its time, or
//! with the life of a node that it needs. What has failed at a node is not tried there again for a while; and a source
//! whose copy did not arrive is taken for that chunk only where there is no other: it, and not the target, may be what
//! cannot be reached. All of it is bounded by the budgets of the planner.
//! A new leader has none, and may plan an order that is still being done: that is harmless, because the same copy is
//! found made, and another one is one too many at worst.

use crate::id::{ChunkId, Epoch, Incarnation, NodeId};
use crate::limit::{ORDER_AVOID_MS, ORDER_LEASE_MS, REPAIR_COPIES_MAX};
use crate::repair::Nodes;
use crate::wire::membership::{CopyOrder, OrderOutcome, OrderTask, Receipt};
use crate::wire::metadata::Health;
use std::collections::BTreeMap;
use std::time::Duration;

const LEASE: Duration = Duration::from_millis(ORDER_LEASE_MS);
const AVOID: Duration = Duration::from_millis(ORDER_AVOID_MS);

/// The orders under way.
#[derive(Clone, Debug, Default)]
pub struct Leases {
    /// By chunk and target.
    copies: BTreeMap<(ChunkId, NodeId), CopyLease>,
    /// By chunk and the node that reads it.
    verifies: BTreeMap<(ChunkId, NodeId), VerifyLease>,
    /// What each node has to do.
    busy: BTreeMap<NodeId, Busy>,
    /// Until when a node is left alone with a chunk.
    avoided: BTreeMap<(ChunkId, NodeId), Duration>,
    /// Until when a node is a source of a chunk only where there is no other.
    doubted: BTreeMap<(ChunkId, NodeId), Duration>,
}

/// A copy that is under way.
#[derive(Clone, Debug)]
struct CopyLease {
    epoch: Epoch,
    /// Who sends it, and the life of its process that was asked to: another one knows nothing of it.
    source: (NodeId, Incarnation),
    /// The life of its target's process.
    incarnation: Incarnation,
    replaces: Option<NodeId>,
    bytes: u64,
    until: Duration,
    /// Its receipt is recorded: it ends once the state is read again.
    settled: bool,
}

#[derive(Clone, Debug)]
struct VerifyLease {
    /// The life of the process that was asked.
    incarnation: Incarnation,
    until: Duration,
    settled: bool,
}

/// What one node has to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Busy {
    /// Copies that it sends.
    pub sends: usize,
    /// The bytes of those.
    pub sent_bytes: u64,
    /// Copies that it takes.
    pub takes: usize,
    /// The bytes of those.
    pub taken_bytes: u64,
    /// Copies that it reads back.
    pub verifies: usize,
}

impl Leases {
    /// Nothing is under way.
    #[must_use]
    pub fn new() -> Leases {
        Leases::default()
    }

    /// Copies under way.
    #[must_use]
    pub fn copies(&self) -> usize {
        self.copies.len()
    }

    /// Verifications under way.
    #[must_use]
    pub fn verifies(&self) -> usize {
        self.verifies.len()
    }

    /// What a node has to do.
    #[must_use]
    pub fn busy(&self, node: NodeId) -> Busy {
        self.busy.get(&node).copied().unwrap_or_default()
    }

    /// The targets of the copies of a chunk that are under way, and whose copies they take the place of.
    pub fn of_chunk(&self, chunk: ChunkId, epoch: Epoch) -> impl Iterator<Item = (NodeId, Option<NodeId>)> {
        let all = self.copies.range((chunk, NodeId(0))..=(chunk, NodeId(u64::MAX)));
        all.filter(move |(_, lease)| lease.epoch == epoch).map(|((_, target), lease)| (*target, lease.replaces))
    }

    /// Whether a node is being made to take a copy of a chunk, under whichever epoch.
    #[must_use]
    pub fn is_target(&self, chunk: ChunkId, node: NodeId) -> bool {
        self.copies.contains_key(&(chunk, node))
    }

    /// Whether a node is reading back its copy of a chunk.
    #[must_use]
    pub fn is_verifying(&self, chunk: ChunkId, node: NodeId) -> bool {
        self.verifies.contains_key(&(chunk, node))
    }

    /// Whether a node is left alone with a chunk, because it failed with it just now.
    #[must_use]
    pub fn is_avoided(&self, chunk: ChunkId, node: NodeId, now: Duration) -> bool {
        self.avoided.get(&(chunk, node)).is_some_and(|until| now < *until)
    }

    /// Whether a node is a source of a chunk only where there is no other, because its copy did not arrive just now.
    #[must_use]
    pub fn is_doubted(&self, chunk: ChunkId, node: NodeId, now: Duration) -> bool {
        self.doubted.get(&(chunk, node)).is_some_and(|until| now < *until)
    }

    /// A copy is planned, from this life of its source.
    pub fn grant_copy(
        &mut self,
        chunk: ChunkId,
        epoch: Epoch,
        source: (NodeId, Incarnation),
        copy: &CopyOrder,
        bytes: u64,
        now: Duration,
    ) {
        let CopyOrder { target, incarnation, replaces, .. } = *copy;
        let lease = CopyLease { epoch, source, incarnation, replaces, bytes, until: now + LEASE, settled: false };
        self.end_copy((chunk, target));
        let sender = self.busy.entry(source.0).or_default();
        sender.sends += 1;
        sender.sent_bytes += bytes;
        let taker = self.busy.entry(target).or_default();
        taker.takes += 1;
        taker.taken_bytes += bytes;
        self.copies.insert((chunk, target), lease);
    }

    /// A verification is planned, by this life of a node.
    pub fn grant_verify(&mut self, chunk: ChunkId, (node, incarnation): (NodeId, Incarnation), now: Duration) {
        self.end_verify((chunk, node));
        self.busy.entry(node).or_default().verifies += 1;
        self.verifies.insert((chunk, node), VerifyLease { incarnation, until: now + LEASE, settled: false });
    }

    /// An order is handed out: its time begins. Answers whether it is still wanted.
    pub fn hand_out(&mut self, node: NodeId, task: &OrderTask, now: Duration) -> bool {
        let is_wanted = self.wants(node, task);
        let until = match task {
            OrderTask::Copy { chunk, copy, .. } => {
                self.copies.get_mut(&(*chunk, copy.target)).map(|lease| &mut lease.until)
            }
            OrderTask::Verify { chunk, .. } => self.verifies.get_mut(&(*chunk, node)).map(|lease| &mut lease.until),
        };
        until.filter(|_| is_wanted).map(|until| *until = now + LEASE).is_some()
    }

    /// Whether an order of a node is leased, and not done yet.
    #[must_use]
    pub fn wants(&self, node: NodeId, task: &OrderTask) -> bool {
        match task {
            OrderTask::Copy { chunk, epoch, copy, .. } => self
                .copies
                .get(&(*chunk, copy.target))
                .is_some_and(|lease| lease.source.0 == node && lease.epoch == *epoch && !lease.settled),
            OrderTask::Verify { chunk, .. } => self.verifies.get(&(*chunk, node)).is_some_and(|lease| !lease.settled),
        }
    }

    /// A receipt of `node` is recorded. Answers the bytes of the copy that was made, if one was.
    pub fn settle(&mut self, node: NodeId, receipt: &Receipt, now: Duration) -> Option<u64> {
        let Receipt { chunk, copy, outcome, .. } = *receipt;
        match outcome {
            OrderOutcome::Done { .. } => {}
            OrderOutcome::SourceMissing | OrderOutcome::SourceDamaged | OrderOutcome::SourceUnreadable => {
                self.avoided.insert((chunk, node), now + AVOID);
            }
            OrderOutcome::TargetFailed => {
                self.avoided.extend(copy.map(|copy| ((chunk, copy.target), now + AVOID)));
                self.doubted.insert((chunk, node), now + AVOID);
            }
            OrderOutcome::TargetConflicts => {
                self.avoided.extend(copy.map(|copy| ((chunk, copy.target), now + AVOID)));
            }
        }
        let Some(copy) = copy else {
            if let Some(lease) = self.verifies.get_mut(&(chunk, node)) {
                lease.settled = true;
            }
            return None;
        };
        let lease =
            self.copies.get_mut(&(chunk, copy.target)).filter(|lease| lease.source.0 == node && !lease.settled)?;
        lease.settled = true;
        matches!(outcome, OrderOutcome::Done { .. }).then_some(lease.bytes)
    }

    /// Begins a round: what is settled shows in the state that is read from now on. Answers whether another copy may be
    /// planned: only what is begun anew tells, because what is settled is under way no more.
    pub fn begin_round(&mut self) -> bool {
        self.end(|_, copy| copy.settled, |_, verify| verify.settled);
        self.copies.len() < REPAIR_COPIES_MAX
    }

    /// Ends what is out of time, or cannot be done any more: a node that it needs is dead, or lives another life, which
    /// knows nothing of it. Answers how many orders that were.
    pub fn expire(&mut self, nodes: &Nodes, now: Duration) -> usize {
        self.avoided.retain(|_, until| now < *until);
        self.doubted.retain(|_, until| now < *until);
        let late = self.copies.iter().filter(|(_, lease)| !lease.settled && now >= lease.until);
        self.doubted.extend(late.map(|((chunk, _), lease)| ((*chunk, lease.source.0), now + AVOID)));
        let lives = |(node, incarnation): (NodeId, Incarnation)| {
            nodes.get(&node).is_some_and(|node| node.health != Health::Dead && node.incarnation == incarnation)
        };
        self.end(
            |target, it| !it.settled && (now >= it.until || !lives((target, it.incarnation)) || !lives(it.source)),
            |node, it| !it.settled && (now >= it.until || !lives((node, it.incarnation))),
        )
    }

    /// Ends the orders of which that holds, and answers how many they are.
    fn end(
        &mut self,
        ends_copy: impl Fn(NodeId, &CopyLease) -> bool,
        ends_verify: impl Fn(NodeId, &VerifyLease) -> bool,
    ) -> usize {
        let copies = self.copies.iter().filter(|((_, target), it)| ends_copy(*target, it));
        let copies: Vec<_> = copies.map(|(place, _)| *place).collect();
        let verifies = self.verifies.iter().filter(|((_, node), it)| ends_verify(*node, it));
        let verifies: Vec<_> = verifies.map(|(place, _)| *place).collect();
        copies.iter().for_each(|place| self.end_copy(*place));
        verifies.iter().for_each(|place| self.end_verify(*place));
        copies.len() + verifies.len()
    }

    fn end_copy(&mut self, place: (ChunkId, NodeId)) {
        let Some(lease) = self.copies.remove(&place) else { return };
        self.ease(lease.source.0, |busy| {
            busy.sends -= 1;
            busy.sent_bytes -= lease.bytes;
        });
        self.ease(place.1, |busy| {
            busy.takes -= 1;
            busy.taken_bytes -= lease.bytes;
        });
    }

    fn end_verify(&mut self, place: (ChunkId, NodeId)) {
        if self.verifies.remove(&place).is_some() {
            self.ease(place.1, |busy| busy.verifies -= 1);
        }
    }

    fn ease(&mut self, node: NodeId, less: impl FnOnce(&mut Busy)) {
        if let Some(busy) = self.busy.get_mut(&node) {
            less(busy);
            if *busy == Busy::default() {
                self.busy.remove(&node);
            }
        }
    }
}
