//! What a supervision tree tells of itself: which children run, how often each was restarted, and why last.

use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// Bytes of a reason that are kept.
const REASON_BYTES_MAX: usize = 200;

/// The tree of a node, for whoever asks how it is.
#[derive(Debug, Default)]
pub struct TreeStatus(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    tree: &'static str,
    children: Vec<ChildReport>,
}

/// One child of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildReport {
    /// Its name.
    pub name: &'static str,
    /// Whether it runs.
    pub running: bool,
    /// How often it was restarted because it failed itself.
    pub restarts: u64,
    /// How it failed last.
    pub last_failure: Option<LastFailure>,
}

/// How a child failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastFailure {
    /// When.
    pub at: Instant,
    /// What it said, its first line.
    pub reason: String,
}

impl TreeStatus {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the tree is called.
    #[must_use]
    pub fn tree(&self) -> &'static str {
        self.inner().tree
    }

    /// Its children, in the order of starting.
    #[must_use]
    pub fn children(&self) -> Vec<ChildReport> {
        self.inner().children.clone()
    }

    /// Restarts of all children together.
    #[must_use]
    pub fn restarts(&self) -> u64 {
        self.inner().children.iter().map(|child| child.restarts).sum()
    }

    pub(super) fn begin(&self, tree: &'static str, names: impl Iterator<Item = &'static str>) {
        let new = |name| ChildReport { name, running: false, restarts: 0, last_failure: None };
        *self.inner() = Inner { tree, children: names.map(new).collect() };
    }

    pub(super) fn started(&self, place: usize) {
        self.inner().children[place].running = true;
    }

    pub(super) fn stopped(&self, place: usize) {
        self.inner().children[place].running = false;
    }

    pub(super) fn failed(&self, place: usize, reason: &str, at: Instant) {
        let line = reason.lines().next().unwrap_or_default();
        let end = line.floor_char_boundary(REASON_BYTES_MAX);
        let child = &mut self.inner().children[place];
        child.running = false;
        child.last_failure = Some(LastFailure { at, reason: line[..end].to_owned() });
    }

    pub(super) fn restarted(&self, place: usize) {
        self.inner().children[place].restarts += 1;
    }
}
