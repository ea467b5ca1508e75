//! Pending copies, in a line for each node that misses some: which of them is made next. A pure decision.
//!
//! A node that does not take its copies holds up its own line and no other: while it fails, one copy at a time tries
//! it, ever more seldom, and once one succeeds the line moves on at once. What a node has not taken for
//! [`PENDING_COPY_WITHIN_MS`] is left to repair, which looks at the whole cluster.
//!
//! Deliberately absent: clocks, tasks, and the length of a pause, which its owner draws.

use super::CopyKey;
use dfs_core::id::{ChunkId, Epoch, NodeId};
use dfs_core::limit::{PENDING_COPIES_MAX, PENDING_COPY_WITHIN_MS};
use dfs_core::wire::NodeAddress;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// All pending copies.
#[derive(Debug, Default)]
pub struct Lines {
    lines: BTreeMap<NodeId, Line>,
    /// The node whose turn was last.
    last: Option<NodeId>,
    count: usize,
}

/// A copy whose turn has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The chunk.
    pub chunk: ChunkId,
    /// Its epoch.
    pub epoch: Epoch,
    /// Where it goes.
    pub target: NodeAddress,
    /// The chunk's bytes.
    pub length: u32,
    since: Instant,
}

/// The copies that one node misses.
#[derive(Debug)]
struct Line {
    target: NodeAddress,
    waiting: VecDeque<Waiting>,
    /// Those that wait and those that are under way.
    names: BTreeSet<(ChunkId, Epoch)>,
    running: usize,
    /// Failures one after the other.
    failures: u32,
    /// It is not tried before.
    due: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    chunk: ChunkId,
    epoch: Epoch,
    length: u32,
    since: Instant,
}

impl Turn {
    /// The name of the copy.
    #[must_use]
    pub fn key(&self) -> CopyKey {
        (self.chunk, self.epoch, self.target.node)
    }
}

impl Line {
    fn is_due(&self, now: Instant) -> bool {
        !self.waiting.is_empty() && self.due <= now && (self.failures == 0 || self.running == 0)
    }
}

impl Lines {
    /// How many copies are still to be made.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// A copy is missing at a node, which is reached at this address. False if there are too many already.
    pub fn add(&mut self, chunk: ChunkId, epoch: Epoch, target: NodeAddress, length: u32, now: Instant) -> bool {
        let is_full = self.count >= PENDING_COPIES_MAX;
        if is_full && !self.lines.contains_key(&target.node) {
            return false;
        }
        let line = self.lines.entry(target.node).or_insert_with(|| Line {
            target,
            waiting: VecDeque::new(),
            names: BTreeSet::new(),
            running: 0,
            failures: 0,
            due: now,
        });
        line.target = target;
        if line.names.contains(&(chunk, epoch)) {
            return true;
        }
        if !is_full {
            line.names.insert((chunk, epoch));
            line.waiting.push_back(Waiting { chunk, epoch, length, since: now });
            self.count += 1;
        }
        !is_full
    }

    /// The next copy to begin, if one is due. Nodes take turns.
    pub fn begin_next(&mut self, now: Instant) -> Option<Turn> {
        let due = |lines: &BTreeMap<NodeId, Line>, after: Option<NodeId>| {
            let mut due = lines.iter().filter(|(_, line)| line.is_due(now)).map(|(node, _)| *node);
            due.find(|node| after.is_none_or(|after| *node > after))
        };
        let node = due(&self.lines, self.last).or_else(|| due(&self.lines, None))?;
        let line = self.lines.get_mut(&node)?;
        let Waiting { chunk, epoch, length, since } = line.waiting.pop_front()?;
        line.running += 1;
        self.last = Some(node);
        Some(Turn { chunk, epoch, target: line.target, length, since })
    }

    /// When the next line is due that is not yet.
    #[must_use]
    pub fn due_next(&self, now: Instant) -> Option<Instant> {
        let later = self.lines.values().filter(|line| !line.waiting.is_empty() && line.due > now);
        later.map(|line| line.due).min()
    }

    /// A copy that was begun is made.
    pub fn done(&mut self, turn: &Turn, now: Instant) {
        if let Some(line) = self.lines.get_mut(&turn.target.node) {
            (line.failures, line.due) = (0, now);
        }
        self.drop_turn(turn);
    }

    /// A copy that was begun cannot be made, whoever is to take it.
    pub fn given_up(&mut self, turn: &Turn) {
        self.drop_turn(turn);
    }

    /// The node did not take a copy that was begun: it is tried again after a pause, which is asked for by the number of
    /// failures one after the other. Answers how many copies to it have waited for too long and are left to repair.
    pub fn failed(&mut self, turn: &Turn, now: Instant, pause: impl FnOnce(u32) -> Duration) -> usize {
        let Some(line) = self.lines.get_mut(&turn.target.node) else { return 0 };
        let Turn { chunk, epoch, length, since, .. } = *turn;
        line.running -= 1;
        // Another one goes first next time: it may be this copy that the node does not take.
        line.waiting.push_back(Waiting { chunk, epoch, length, since });
        // Those that were under way together fail together, and count once.
        if line.due <= now {
            line.failures = line.failures.saturating_add(1);
            line.due = now + pause(line.failures);
        }
        let names = &mut line.names;
        let before = line.waiting.len();
        line.waiting.retain(|waiting| {
            let stays = now.saturating_duration_since(waiting.since) < Duration::from_millis(PENDING_COPY_WITHIN_MS);
            if !stays {
                names.remove(&(waiting.chunk, waiting.epoch));
            }
            stays
        });
        let left = before - line.waiting.len();
        self.count -= left;
        self.forget_if_empty(turn.target.node);
        left
    }

    fn drop_turn(&mut self, turn: &Turn) {
        if let Some(line) = self.lines.get_mut(&turn.target.node)
            && line.names.remove(&(turn.chunk, turn.epoch))
        {
            line.running -= 1;
            self.count -= 1;
        }
        self.forget_if_empty(turn.target.node);
    }

    fn forget_if_empty(&mut self, node: NodeId) {
        if self.lines.get(&node).is_some_and(|line| line.names.is_empty()) {
            self.lines.remove(&node);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dfs_core::id::{ChunkIndex, FileId};

    const PAUSE: Duration = Duration::from_secs(10);

    fn chunk(index: u32) -> ChunkId {
        ChunkId { file: FileId(1), index: ChunkIndex(index) }
    }

    fn node(id: u64) -> NodeAddress {
        NodeAddress { node: NodeId(id), address: ([127, 0, 0, 1], 1000).into() }
    }

    /// So many copies for each of two nodes.
    fn lines(each: u32, now: Instant) -> Lines {
        let mut lines = Lines::default();
        for (index, id) in (0..each).flat_map(|index| [(index, 1), (index, 2)]) {
            assert!(lines.add(chunk(index), Epoch::FIRST, node(id), 7, now));
        }
        lines
    }

    fn begun(turn: Option<Turn>) -> Option<(u64, u32)> {
        turn.map(|turn| (turn.target.node.0, turn.chunk.index.0))
    }

    #[tokio::test(start_paused = true)]
    async fn nodes_take_turns_and_each_gets_its_copies_in_their_order() {
        let now = Instant::now();
        let mut lines = lines(2, now);
        let turns: Vec<_> = std::iter::from_fn(|| begun(lines.begin_next(now))).collect();
        assert_eq!(turns, [(1, 0), (2, 0), (1, 1), (2, 1)]);
        assert_eq!((lines.count(), lines.due_next(now)), (4, None), "all are under way");
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_fails_holds_up_its_own_line_only_and_is_tried_by_one_copy() {
        let now = Instant::now();
        let mut lines = lines(4, now);
        let (first, other) = (lines.begin_next(now).unwrap(), lines.begin_next(now).unwrap());
        let second = lines.begin_next(now).unwrap();
        lines.done(&other, now);
        assert_eq!(lines.failed(&first, now, |failures| failures * PAUSE), 0);
        assert_eq!(lines.failed(&second, now, |_| panic!("they were under way together")), 0);
        for index in 1..4 {
            let turn = lines.begin_next(now).unwrap();
            assert_eq!(begun(Some(turn)), Some((2, index)));
            lines.done(&turn, now);
        }
        assert_eq!((begun(lines.begin_next(now)), lines.due_next(now)), (None, Some(now + PAUSE)));
        let later = now + PAUSE;
        let probe = lines.begin_next(later).unwrap();
        // Another copy is tried first: it need not be the node.
        assert_eq!((begun(Some(probe)), begun(lines.begin_next(later))), (Some((1, 2)), None));
        lines.failed(&probe, later, |failures| failures * PAUSE);
        assert_eq!(lines.due_next(later), Some(later + 2 * PAUSE));
        let later = later + 2 * PAUSE;
        let probe = lines.begin_next(later).unwrap();
        lines.done(&probe, later);
        let turns: Vec<_> = std::iter::from_fn(|| begun(lines.begin_next(later))).collect();
        assert_eq!(turns, [(1, 0), (1, 1), (1, 2)], "the line moves on at once");
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_node_has_not_taken_for_long_is_left_to_repair() {
        let now = Instant::now();
        let mut lines = lines(3, now);
        let long = now + Duration::from_millis(PENDING_COPY_WITHIN_MS);
        lines.add(chunk(9), Epoch::FIRST, node(1), 7, long);
        let turn = lines.begin_next(long).unwrap();
        assert_eq!(lines.failed(&turn, long, |_| PAUSE), 3);
        assert_eq!(lines.count(), 4);
        let turn = lines.begin_next(long + PAUSE).unwrap();
        assert_eq!(begun(Some(turn)), Some((2, 0)), "the other has not failed");
        lines.given_up(&turn);
        assert_eq!(begun(lines.begin_next(long + PAUSE)), Some((1, 9)));
    }

    #[tokio::test(start_paused = true)]
    async fn each_copy_is_kept_once_up_to_a_bound_and_an_empty_line_is_forgotten() {
        let now = Instant::now();
        let mut lines = Lines::default();
        for _ in 0..2 {
            assert!(lines.add(chunk(0), Epoch::FIRST, node(1), 7, now));
        }
        assert_eq!(lines.count(), 1);
        let turn = lines.begin_next(now).unwrap();
        assert!(lines.add(chunk(0), Epoch::FIRST, node(1), 7, now), "it is under way");
        lines.done(&turn, now);
        assert!(lines.count() == 0 && lines.lines.is_empty());
        for index in 0..u32::try_from(PENDING_COPIES_MAX).unwrap() {
            assert!(lines.add(chunk(index), Epoch::FIRST, node(1), 7, now));
        }
        assert!(!lines.add(chunk(0), Epoch::FIRST, node(2), 7, now));
        assert!(!lines.add(chunk(u32::MAX), Epoch::FIRST, node(1), 7, now));
        assert!(lines.add(chunk(0), Epoch::FIRST, node(1), 7, now));
        assert_eq!((lines.count(), lines.lines.len()), (PENDING_COPIES_MAX, 1));
    }
}
