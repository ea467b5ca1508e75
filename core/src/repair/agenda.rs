//! The agenda: which groups a leader reads next.
//!
//! The groups of a node that has died, or that has come with another store, are read at once. Besides, all groups are
//! read again and again, so that no trigger can be missed: degraded uploads, copies that a primary has forgotten, and
//! whatever happened under an earlier leader. All of it goes page by page.

use super::{GroupPlace, Nodes};
use crate::id::NodeId;
use crate::limit::SWEEP_PAUSE_MS;
use crate::wire::metadata::Health;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// What to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// The next groups behind this one that a node has copies of.
    OnNode(NodeId, Option<GroupPlace>),
    /// The next groups behind this one, whoever has them.
    Any(Option<GroupPlace>),
}

/// What is read next.
#[derive(Clone, Debug, Default)]
pub struct Agenda {
    /// Nodes whose groups are to be read, and where that goes on.
    nodes: VecDeque<(NodeId, Option<GroupPlace>)>,
    /// How nodes were when they were last looked at: the generation of their store, and whether they were dead.
    known: BTreeMap<NodeId, (u32, bool)>,
    /// Where the sweep over all groups goes on, while there is one.
    sweep: Option<Option<GroupPlace>>,
    /// When the last sweep ended.
    swept: Option<Duration>,
}

impl Agenda {
    /// Nothing was read yet.
    #[must_use]
    pub fn new() -> Agenda {
        Agenda::default()
    }

    /// Notes how the nodes are now.
    pub fn observe(&mut self, nodes: &Nodes) {
        for (node, facts) in nodes {
            let now = (facts.generation, facts.health == Health::Dead);
            let before = self.known.insert(*node, now).unwrap_or((facts.generation, false));
            let is_lost = (now.1 && !before.1) || now.0 != before.0;
            if is_lost && !self.nodes.iter().any(|(queued, after)| queued == node && after.is_none()) {
                self.nodes.push_back((*node, None));
            }
        }
    }

    /// Whether the groups of a node are to be read: they are read without a pause.
    #[must_use]
    pub fn is_urgent(&self) -> bool {
        !self.nodes.is_empty()
    }

    /// What is to be read now, if anything is.
    #[must_use]
    pub fn next(&self, now: Duration) -> Option<Page> {
        if let Some((node, after)) = self.nodes.front() {
            return Some(Page::OnNode(*node, *after));
        }
        let pause = Duration::from_millis(SWEEP_PAUSE_MS);
        match self.sweep {
            Some(after) => Some(Page::Any(after)),
            None => self.swept.is_none_or(|swept| now.saturating_sub(swept) >= pause).then_some(Page::Any(None)),
        }
    }

    /// A page was read, to this group, or to the end if there is none.
    pub fn read(&mut self, page: Page, last: Option<GroupPlace>, now: Duration) {
        match (page, last) {
            (Page::OnNode(node, after), last) => {
                if self.nodes.front() == Some(&(node, after)) {
                    self.nodes.pop_front();
                    self.nodes.extend(last.map(|last| (node, Some(last))));
                }
            }
            (Page::Any(_), Some(last)) => self.sweep = Some(Some(last)),
            (Page::Any(_), None) => (self.sweep, self.swept) = (None, Some(now)),
        }
    }

    /// When every group had been read last.
    #[must_use]
    pub fn swept(&self) -> Option<Duration> {
        self.swept
    }
}
