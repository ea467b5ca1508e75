//! One round of reading: the groups that are due, and the next page of the agenda, as the state has them.

use super::RepairArguments;
use crate::raft::StateView;
use dfs_core::limit::REPAIR_PAGE_MAX;
use dfs_core::meta::{self, View};
use dfs_core::repair::{GroupFacts, GroupPlace, Page};
use dfs_core::wire::membership::OrderMark;

/// What a round was to read, and what it has read.
pub struct Round {
    /// What justifies orders that rest on it: the leader's term, and a log index that the state has reached.
    pub mark: OrderMark,
    /// The groups that were due.
    pub due: Vec<GroupPlace>,
    /// The page that was next.
    pub page: Option<Page>,
    /// What was read; nothing if the state could not be.
    pub read: Option<Read>,
}

/// What was read.
pub struct Read {
    /// The groups, each once.
    pub groups: Vec<GroupFacts>,
    /// The last group of the page; nothing lies behind it if it is absent.
    pub last: Option<GroupPlace>,
}

impl Round {
    /// Reads groups.
    pub async fn read(arguments: &RepairArguments, due: Vec<GroupPlace>, page: Option<Page>) -> Round {
        let leadership = arguments.raft.leadership();
        let mark = OrderMark { term: leadership.term, index: leadership.applied };
        let (view, places) = (arguments.raft.view(), due.clone());
        let read = arguments.scope.blocking(move || read(&view, places, page)).await;
        // A state that cannot be read ends the Raft engine, which is noticed elsewhere.
        Round { mark, due, page, read: read.ok().and_then(Result::ok) }
    }
}

fn read(view: &StateView, mut places: Vec<GroupPlace>, page: Option<Page>) -> Result<Read, <StateView as View>::Error> {
    let found = match page {
        None => Vec::new(),
        Some(Page::OnNode(node, after)) => meta::groups_on(view, node, after, REPAIR_PAGE_MAX)?,
        Some(Page::Any(after)) => meta::groups_after(view, after, REPAIR_PAGE_MAX)?,
    };
    let last = found.last().copied().filter(|_| found.len() == REPAIR_PAGE_MAX);
    places.extend(found);
    places.sort_unstable();
    places.dedup();
    Ok(Read { groups: meta::group_facts(view, &places)?, last })
}
