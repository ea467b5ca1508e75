//! Which storage nodes have failed this client lately.
//!
//! What a client sees for itself is known to it seconds before the cluster's leader can know it. Readers try such
//! nodes last, and writers ask for placements without them. Blame fades by itself: nothing here needs a node to be
//! heard from again.

use dfs_core::id::NodeId;
use dfs_core::limit::EXCLUDED_NODES_MAX;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a failure counts. It covers the time until silence makes a node Suspect.
const BLAME: Duration = Duration::from_secs(15);

/// The storage nodes that have failed lately, with the time of their last failure.
#[derive(Debug, Default)]
pub(crate) struct Standing(Mutex<BTreeMap<NodeId, Instant>>);

impl Standing {
    /// A node has failed.
    pub(crate) fn blame(&self, node: NodeId, now: Instant) {
        let mut failed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failed.retain(|_, since| now < *since + BLAME);
        failed.insert(node, now);
    }

    /// A node has done what it was asked.
    pub(crate) fn praise(&self, node: NodeId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&node);
    }

    /// The nodes that have failed lately, the latest first, as many as one request may name.
    pub(crate) fn blamed(&self, now: Instant) -> Vec<NodeId> {
        let failed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut nodes: Vec<_> =
            failed.iter().filter(|(_, since)| now < **since + BLAME).map(|(node, since)| (*since, *node)).collect();
        nodes.sort_unstable_by(|a, b| b.cmp(a));
        nodes.into_iter().take(EXCLUDED_NODES_MAX).map(|(_, node)| node).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn blame_fades_and_success_clears_it() {
        let standing = Standing::default();
        let start = Instant::now();
        standing.blame(NodeId(1), start);
        standing.blame(NodeId(2), start + Duration::from_secs(5));
        standing.blame(NodeId(3), start + Duration::from_secs(6));
        standing.praise(NodeId(3));
        assert_eq!(standing.blamed(start + Duration::from_secs(6)), [NodeId(2), NodeId(1)]);
        assert_eq!(standing.blamed(start + BLAME), [NodeId(2)]);
        assert!(standing.blamed(start + 2 * BLAME).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_nodes_are_named_than_a_request_may_have() {
        let standing = Standing::default();
        let now = Instant::now();
        (0..100).for_each(|node| standing.blame(NodeId(node), now));
        assert_eq!(standing.blamed(now).len(), EXCLUDED_NODES_MAX);
    }
}
