//! How the storage nodes have done by this client lately.
//!
//! What a client sees for itself is known to it seconds before the cluster's leader can know it. Readers ask nodes that
//! have failed last and slow ones behind quick ones; writers ask for placements without those that have failed. All of it
//! fades by itself: a node that has recovered is asked again, and nothing here needs a node to be heard from.
//!
//! A node is slow if another replica, begun later, overtook it, or if its smoothed times are several times those of the
//! quickest node.

use crate::pace::Service;
use dfs_core::id::NodeId;
use dfs_core::limit::EXCLUDED_NODES_MAX;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a failure counts. It covers the time until silence makes a node Suspect.
const BLAME: Duration = Duration::from_secs(15);
/// How long it counts that a node was overtaken, and how long its times are remembered.
const SLOW: Duration = Duration::from_secs(10);
/// Reads before a node's times say anything.
const READS_MIN: u32 = 4;
/// A node is slow if a mebibyte takes it so many times as long as the quickest.
const SLOW_FACTOR: u32 = 3;
/// A node is not slow if a mebibyte takes it hardly longer than the quickest.
const SLOW_DIFFERENCE: Duration = Duration::from_millis(50);
/// Each new time counts one in so many.
const SMOOTHING: u32 = 4;

/// What is known of the storage nodes.
#[derive(Debug, Default)]
pub(crate) struct Standing(Mutex<BTreeMap<NodeId, Seen>>);

/// In which order nodes are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// Nothing speaks against it.
    Good,
    /// It was slow lately.
    Slow,
    /// It has failed lately.
    Failed,
}

/// What is known of one node.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    failed: Option<Instant>,
    overtaken: Option<Instant>,
    stored: Option<Stored>,
    times: Option<Times>,
}

/// A chunk that a node has stored.
#[derive(Clone, Copy, Debug)]
struct Stored {
    at: Instant,
    took: Duration,
}

/// How long one node takes, smoothed.
#[derive(Clone, Copy, Debug)]
struct Times {
    first_byte: Duration,
    /// Not known while all its reads were small.
    per_mebibyte: Option<Duration>,
    reads: u32,
    last: Instant,
}

/// The least times that any node has.
#[derive(Clone, Copy, Debug)]
struct Quickest {
    mebibyte: Option<Duration>,
    first_byte: Option<Duration>,
}

impl Standing {
    /// A node has failed.
    pub(crate) fn blame(&self, node: NodeId, now: Instant) {
        let mut seen = self.seen();
        seen.retain(|_, seen| !seen.is_forgotten(now));
        seen.entry(node).or_default().failed = Some(now);
    }

    /// A node has stored a chunk, with enough copies, in that time.
    pub(crate) fn stored(&self, node: NodeId, took: Duration, now: Instant) {
        let mut all = self.seen();
        let seen = all.entry(node).or_default();
        seen.failed = None;
        seen.stored = Some(Stored { at: now, took });
    }

    /// Whether another node than this one has stored a chunk since then, in less than half the time that has passed.
    pub(crate) fn others_are_quicker(&self, node: NodeId, since: Instant, now: Instant) -> bool {
        let waited = now.saturating_duration_since(since);
        let quicker = |stored: Stored| stored.at > since && 2 * stored.took < waited;
        self.seen().iter().any(|(other, seen)| *other != node && seen.stored.is_some_and(quicker))
    }

    /// A node was read from, in that time.
    pub(crate) fn served(&self, node: NodeId, service: &Service, now: Instant) {
        let mut all = self.seen();
        let seen = all.entry(node).or_default();
        seen.failed = None;
        seen.overtaken = None;
        let known = seen.times.filter(|times| now < times.last + SLOW);
        seen.times = Some(Times::of(known, service, now));
    }

    /// A node was asked first, and another brought the bytes.
    pub(crate) fn overtaken(&self, node: NodeId, now: Instant) {
        let mut seen = self.seen();
        seen.retain(|_, seen| !seen.is_forgotten(now));
        seen.entry(node).or_default().overtaken = Some(now);
    }

    /// The nodes that have failed lately, the latest first, as many as one request may name.
    pub(crate) fn blamed(&self, now: Instant) -> Vec<NodeId> {
        let seen = self.seen();
        let mut nodes: Vec<_> = seen
            .iter()
            .filter_map(|(node, seen)| Some((seen.failed.filter(|since| now < *since + BLAME)?, *node)))
            .collect();
        nodes.sort_unstable_by(|a, b| b.cmp(a));
        nodes.into_iter().take(EXCLUDED_NODES_MAX).map(|(_, node)| node).collect()
    }

    /// How every node that is known stands. The others are good.
    pub(crate) fn ranks(&self, now: Instant) -> BTreeMap<NodeId, Rank> {
        let seen = self.seen();
        let quickest = Quickest {
            mebibyte: seen.values().filter_map(|seen| seen.times(now)?.mebibyte()).min(),
            first_byte: seen.values().filter_map(|seen| Some(seen.times(now)?.first_byte)).min(),
        };
        seen.iter().map(|(node, seen)| (*node, seen.rank(&quickest, now))).collect()
    }

    fn seen(&self) -> MutexGuard<'_, BTreeMap<NodeId, Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn rank(&self, quickest: &Quickest, now: Instant) -> Rank {
        let within = |since: Option<Instant>, time| since.is_some_and(|since| now < since + time);
        if within(self.failed, BLAME) {
            return Rank::Failed;
        }
        let slow = self.times(now).is_some_and(|own| quickest.is_much_quicker(&own));
        if slow || within(self.overtaken, SLOW) { Rank::Slow } else { Rank::Good }
    }

    /// How long the node takes, if that is known.
    fn times(&self, now: Instant) -> Option<Times> {
        self.times.filter(|times| now < times.last + SLOW && times.reads >= READS_MIN)
    }

    fn is_forgotten(&self, now: Instant) -> bool {
        let fresh = |since: Option<Instant>| since.is_some_and(|since| now < since + BLAME.max(SLOW));
        !fresh(self.failed)
            && !fresh(self.overtaken)
            && !fresh(self.stored.map(|stored| stored.at))
            && !fresh(self.times.map(|times| times.last))
    }
}

impl Quickest {
    /// Whether it is much quicker than a node that takes so long. A node of which only small reads are known is compared
    /// by them, and not with the mebibytes of others.
    fn is_much_quicker(&self, own: &Times) -> bool {
        let much = |own: Duration, quickest: Option<Duration>| {
            quickest.is_some_and(|quickest| own > quickest * SLOW_FACTOR && own > quickest + SLOW_DIFFERENCE)
        };
        match own.mebibyte() {
            Some(mebibyte) => much(mebibyte, self.mebibyte),
            None => much(own.first_byte, self.first_byte),
        }
    }
}

impl Times {
    /// How long the node takes for a mebibyte, if it has given that many bytes at once.
    fn mebibyte(&self) -> Option<Duration> {
        Some(self.first_byte + self.per_mebibyte?)
    }

    fn of(known: Option<Times>, service: &Service, now: Instant) -> Times {
        let Some(known) = known else {
            let (first_byte, per_mebibyte) = (service.first_byte, service.per_mebibyte());
            return Times { first_byte, per_mebibyte, reads: 1, last: now };
        };
        let smooth = |old: Duration, new: Duration| (old * (SMOOTHING - 1) + new) / SMOOTHING;
        Times {
            first_byte: smooth(known.first_byte, service.first_byte),
            per_mebibyte: match (known.per_mebibyte, service.per_mebibyte()) {
                (Some(old), Some(new)) => Some(smooth(old, new)),
                (old, new) => old.or(new),
            },
            reads: known.reads.saturating_add(1),
            last: now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: NodeId = NodeId(1);
    const TWO: NodeId = NodeId(2);

    fn served(standing: &Standing, node: NodeId, milliseconds: u64, now: Instant) {
        let service = Service { first_byte: Duration::from_millis(milliseconds), flow: Duration::ZERO, bytes: 1 << 20 };
        standing.served(node, &service, now);
    }

    fn rank(standing: &Standing, node: NodeId, now: Instant) -> Rank {
        standing.ranks(now).get(&node).copied().unwrap_or(Rank::Good)
    }

    #[tokio::test(start_paused = true)]
    async fn blame_fades_and_success_clears_it() {
        let standing = Standing::default();
        let start = Instant::now();
        standing.blame(ONE, start);
        standing.blame(TWO, start + Duration::from_secs(5));
        standing.blame(NodeId(3), start + Duration::from_secs(6));
        standing.stored(NodeId(3), Duration::ZERO, start);
        assert_eq!(standing.blamed(start + Duration::from_secs(6)), [TWO, ONE]);
        assert_eq!(rank(&standing, ONE, start + Duration::from_secs(6)), Rank::Failed);
        assert_eq!(standing.blamed(start + BLAME), [TWO]);
        assert!(standing.blamed(start + 2 * BLAME).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_nodes_are_named_than_a_request_may_have() {
        let standing = Standing::default();
        let now = Instant::now();
        (0..100).for_each(|node| standing.blame(NodeId(node), now));
        assert_eq!(standing.blamed(now).len(), EXCLUDED_NODES_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_was_overtaken_is_slow_for_a_while() {
        let standing = Standing::default();
        let start = Instant::now();
        standing.overtaken(ONE, start);
        assert_eq!(rank(&standing, ONE, start), Rank::Slow);
        assert!(standing.blamed(start).is_empty(), "it has not failed");
        assert_eq!(rank(&standing, ONE, start + SLOW), Rank::Good);
        standing.overtaken(ONE, start + SLOW);
        served(&standing, ONE, 1, start + SLOW);
        assert_eq!(rank(&standing, ONE, start + SLOW), Rank::Good);
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_is_slow_by_comparison_until_its_times_are_forgotten() {
        let standing = Standing::default();
        let start = Instant::now();
        for _ in 0..READS_MIN {
            assert_eq!(rank(&standing, ONE, start), Rank::Good, "too little is known");
            served(&standing, ONE, 200, start);
            served(&standing, TWO, 5, start);
        }
        assert_eq!((rank(&standing, ONE, start), rank(&standing, TWO, start)), (Rank::Slow, Rank::Good));
        assert_eq!(rank(&standing, ONE, start + SLOW), Rank::Good);
        // Asked again, it is quick.
        served(&standing, ONE, 5, start + SLOW);
        (0..READS_MIN).for_each(|_| served(&standing, ONE, 5, start + SLOW));
        assert_eq!(rank(&standing, ONE, start + SLOW), Rank::Good);
    }

    #[tokio::test(start_paused = true)]
    async fn small_differences_and_shared_slowness_are_nobodys_fault() {
        let standing = Standing::default();
        let now = Instant::now();
        for _ in 0..READS_MIN {
            served(&standing, ONE, 30, now);
            served(&standing, TWO, 2, now);
            served(&standing, NodeId(3), 40, now);
        }
        assert!(standing.ranks(now).values().all(|rank| *rank == Rank::Good));
        let standing = Standing::default();
        for _ in 0..READS_MIN {
            served(&standing, ONE, 900, now);
            served(&standing, TWO, 700, now);
        }
        assert!(standing.ranks(now).values().all(|rank| *rank == Rank::Good));
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_gave_little_is_not_taken_for_quicker_than_one_that_gave_much() {
        let standing = Standing::default();
        let now = Instant::now();
        let read = |node, first_byte, flow, bytes| {
            let milliseconds = Duration::from_millis;
            let service = Service { first_byte: milliseconds(first_byte), flow: milliseconds(flow), bytes };
            (0..READS_MIN).for_each(|_| standing.served(node, &service, now));
        };
        read(ONE, 2, 0, 4096);
        read(TWO, 2, 100, 1 << 20);
        read(NodeId(3), 3, 90, 1 << 20);
        assert!(standing.ranks(now).values().all(|rank| *rank == Rank::Good));
        // Small reads are compared with small reads, and large with large.
        read(NodeId(4), 200, 0, 4096);
        read(NodeId(5), 2, 900, 1 << 20);
        assert_eq!((rank(&standing, NodeId(4), now), rank(&standing, NodeId(5), now)), (Rank::Slow, Rank::Slow));
        assert_eq!((rank(&standing, ONE, now), rank(&standing, TWO, now)), (Rank::Good, Rank::Good));
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_is_behind_only_if_others_are_much_quicker() {
        let standing = Standing::default();
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        standing.stored(NodeId(1), second, start + second);
        let quicker = |node, after: Duration| standing.others_are_quicker(NodeId(node), start, start + after);
        assert!(!quicker(2, 2 * second), "it may be as slow as the others");
        assert!(quicker(2, 2 * second + Duration::from_millis(1)));
        assert!(!quicker(1, 9 * second), "a node is not compared with itself");
        assert!(!standing.others_are_quicker(NodeId(2), start + second, start + 9 * second), "that was before");
    }
}
