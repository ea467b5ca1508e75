//! The replicas of a chunk racing for one read: a pure decision.
//!
//! One replica is read first. While it moves, nobody else is asked. When all that run are late (they stand still, or take
//! far longer than reads do), the next one may be begun beside them if there is leave to do so. When all have stood still
//! for as long as anyone may, or take far longer than reads are known to do, it is begun in any case. A runner that fails
//! is replaced at once.
//!
//! Deliberately absent: clocks, networks, and the leave itself, which its owner gives or not.

use crate::pace::Patience;
use dfs_core::id::NodeId;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::Instant;

/// A node that holds the chunk, with its address where it is known.
pub(super) type Replica = (NodeId, Option<SocketAddr>);

/// Who may be read from, and who is.
#[derive(Debug)]
pub(super) struct Race {
    patience: Patience,
    /// How long all may stand still before another is begun without leave.
    still_max: Duration,
    runners: BTreeMap<NodeId, Runner>,
    waiting: VecDeque<Replica>,
    /// Whether the next one is begun in place of one that failed.
    replacing: bool,
    /// Whether leave was refused; it is not asked for again before somebody fails.
    refused: bool,
}

#[derive(Clone, Copy, Debug)]
struct Runner {
    begun: Instant,
    moved: Instant,
    /// All its bytes have come; they are being checked.
    arrived: bool,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Read from this replica too.
    Begin(Replica),
    /// Nothing, until a runner ends or this time has come.
    Wait(Option<Instant>),
    /// All have failed.
    Over,
}

impl Race {
    /// A race that has not begun. The replicas are in the order in which to ask them.
    pub(super) fn new(replicas: &[Replica], patience: Patience, still_max: Duration) -> Race {
        let still = patience.still.min(still_max);
        Race {
            patience: Patience { still, ..patience },
            still_max,
            runners: BTreeMap::new(),
            waiting: replicas.iter().copied().collect(),
            replacing: false,
            refused: false,
        }
    }

    /// What to do next. `leave` is asked whether one more may be read from although those that run may yet deliver.
    pub(super) fn next_step(&mut self, now: Instant, leave: impl FnOnce(&[NodeId], NodeId) -> bool) -> Step {
        let Some(next) = self.waiting.front().copied() else {
            return if self.runners.is_empty() { Step::Over } else { Step::Wait(None) };
        };
        if self.runners.is_empty() {
            return self.begin(now);
        }
        // Without anybody who may yet be late there is nothing to wait for but an end.
        let Some(late) = self.latest(|race, runner| race.late_at(runner)) else { return Step::Wait(None) };
        if now < late {
            return Step::Wait(Some(late));
        }
        if self.replacing {
            return self.begin(now);
        }
        if !self.refused {
            let runners: Vec<NodeId> = self.runners.keys().copied().collect();
            if leave(&runners, next.0) {
                return self.begin(now);
            }
            self.refused = true;
        }
        match self.latest(|race, runner| race.hopeless_at(runner)) {
            Some(forced) if now >= forced => self.begin(now),
            forced => Step::Wait(forced),
        }
    }

    /// A runner moved at that time.
    pub(super) fn handle_moved(&mut self, node: NodeId, moved: Instant, arrived: bool) {
        if let Some(runner) = self.runners.get_mut(&node) {
            runner.moved = moved;
            runner.arrived = arrived;
        }
    }

    /// A runner has failed.
    pub(super) fn handle_failed(&mut self, node: NodeId) {
        self.replacing |= self.runners.remove(&node).is_some();
        self.refused = false;
    }

    /// A runner makes room for another.
    pub(super) fn give_up(&mut self, node: NodeId) {
        self.runners.remove(&node);
    }

    /// The runners that were late when `winner` had delivered: they began before it, and would have had the time.
    pub(super) fn overtaken_by(&self, winner: NodeId, now: Instant) -> Vec<NodeId> {
        let Some(won) = self.runners.get(&winner) else { return Vec::new() };
        let others = self.runners.iter().filter(|(node, runner)| **node != winner && runner.begun < won.begun);
        others.filter(|(_, runner)| !runner.arrived && now >= self.late_at(runner)).map(|(node, _)| *node).collect()
    }

    /// The runner that has stood still for longest.
    pub(super) fn stillest(&self) -> Option<NodeId> {
        let running = self.runners.iter().filter(|(_, runner)| !runner.arrived);
        running.min_by_key(|(_, runner)| runner.moved).map(|(node, _)| *node)
    }

    fn begin(&mut self, now: Instant) -> Step {
        let Some(next) = self.waiting.pop_front() else { return Step::Over };
        self.runners.insert(next.0, Runner { begun: now, moved: now, arrived: false });
        self.replacing = false;
        Step::Begin(next)
    }

    fn late_at(&self, runner: &Runner) -> Instant {
        (runner.moved + self.patience.still).min(runner.begun + self.patience.whole)
    }

    /// When it is replaced in any case. Bytes that come in drops are not waited for, once it is known how they should come.
    fn hopeless_at(&self, runner: &Runner) -> Instant {
        let still = runner.moved + self.still_max;
        let whole = runner.begun + self.patience.whole.max(self.still_max);
        if self.patience.known { still.min(whole) } else { still }
    }

    /// When the last of the runners comes to that; never if one has arrived.
    fn latest(&self, when: impl Fn(&Race, &Runner) -> Instant) -> Option<Instant> {
        if self.runners.values().any(|runner| runner.arrived) {
            return None;
        }
        self.runners.values().map(|runner| when(self, runner)).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience { still: milliseconds(100), whole: milliseconds(300), known: false };
    const STILL_MAX: Duration = milliseconds(600);

    const fn milliseconds(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    fn replica(node: u64) -> Replica {
        (NodeId(node), None)
    }

    fn race(nodes: u64) -> Race {
        let replicas: Vec<Replica> = (1..=nodes).map(replica).collect();
        Race::new(&replicas, PATIENCE, STILL_MAX)
    }

    fn never(_: &[NodeId], _: NodeId) -> bool {
        panic!("leave is asked for only when all are late")
    }

    fn refused(_: &[NodeId], _: NodeId) -> bool {
        false
    }

    fn granted(_: &[NodeId], _: NodeId) -> bool {
        true
    }

    #[tokio::test(start_paused = true)]
    async fn while_the_first_moves_nobody_else_is_asked() {
        let (mut race, start) = (race(3), Instant::now());
        assert_eq!(race.next_step(start, never), Step::Begin(replica(1)));
        assert_eq!(race.next_step(start, never), Step::Wait(Some(start + milliseconds(100))));
        race.handle_moved(NodeId(1), start + milliseconds(90), false);
        let now = start + milliseconds(100);
        assert_eq!(race.next_step(now, never), Step::Wait(Some(start + milliseconds(190))));
        // One that moves but takes far too long is late too.
        race.handle_moved(NodeId(1), start + milliseconds(290), false);
        let now = start + milliseconds(299);
        assert_eq!(race.next_step(now, never), Step::Wait(Some(start + milliseconds(300))));
        assert_eq!(race.next_step(start + milliseconds(300), granted), Step::Begin(replica(2)));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_stands_still_is_joined_by_the_next_with_leave() {
        let (mut race, start) = (race(3), Instant::now());
        race.next_step(start, never);
        let late = start + milliseconds(100);
        let asked = race.next_step(late, |runners, next| {
            assert_eq!((runners, next), (&[NodeId(1)][..], NodeId(2)));
            true
        });
        assert_eq!(asked, Step::Begin(replica(2)));
        // The second has its own time.
        assert_eq!(race.next_step(late, never), Step::Wait(Some(late + milliseconds(100))));
        let now = late + milliseconds(50);
        race.handle_moved(NodeId(2), now, true);
        assert_eq!(race.overtaken_by(NodeId(2), now), [NodeId(1)]);
        assert!(race.overtaken_by(NodeId(1), now).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn without_leave_the_next_is_begun_when_all_have_stood_still_for_too_long() {
        let (mut race, start) = (race(2), Instant::now());
        race.next_step(start, never);
        let late = start + milliseconds(100);
        assert_eq!(race.next_step(late, refused), Step::Wait(Some(start + STILL_MAX)));
        // It is not asked for again and again.
        assert_eq!(race.next_step(late + milliseconds(9), never), Step::Wait(Some(start + STILL_MAX)));
        assert_eq!(race.stillest(), Some(NodeId(1)));
        assert_eq!(race.next_step(start + STILL_MAX, never), Step::Begin(replica(2)));
        assert_eq!(race.next_step(start + STILL_MAX, never), Step::Wait(None));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_moves_is_replaced_without_leave_only_if_it_is_known_how_long_reads_take() {
        let step = |known| {
            let patience = Patience { known, ..PATIENCE };
            let (mut race, start) = (Race::new(&[replica(1), replica(2)], patience, STILL_MAX), Instant::now());
            race.next_step(start, never);
            let now = start + milliseconds(590);
            race.handle_moved(NodeId(1), now, false);
            assert!(matches!(race.next_step(now, refused), Step::Wait(_)));
            race.next_step(start + STILL_MAX, never)
        };
        assert_eq!(step(false), Step::Wait(Some(Instant::now() + milliseconds(590) + STILL_MAX)));
        assert_eq!(step(true), Step::Begin(replica(2)));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_fails_is_replaced_at_once_and_without_leave() {
        let (mut race, start) = (race(3), Instant::now());
        race.next_step(start, never);
        race.handle_failed(NodeId(1));
        assert_eq!(race.next_step(start, never), Step::Begin(replica(2)));
        // The third waits for the second to be late, but not for leave, once another has failed.
        let late = start + milliseconds(100);
        assert_eq!(race.next_step(late, granted), Step::Begin(replica(3)));
        race.handle_failed(NodeId(2));
        race.handle_failed(NodeId(3));
        assert_eq!(race.next_step(late, never), Step::Over);
    }

    #[tokio::test(start_paused = true)]
    async fn one_whose_bytes_are_being_checked_is_not_late() {
        let (mut race, start) = (race(2), Instant::now());
        race.next_step(start, never);
        race.handle_moved(NodeId(1), start, true);
        assert_eq!(race.next_step(start + milliseconds(9000), never), Step::Wait(None));
        assert_eq!(race.stillest(), None);
    }
}
