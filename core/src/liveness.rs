//! Liveness: how storage nodes are, by the evidence of one leader.
//!
//! A [`Watch`] begins with a leadership and ends with it. Silence is counted from the last beat that this leader had,
//! or from when it became leader: what an earlier leader saw does not count against a node. Times are elapsed since an
//! origin of the caller's choice, and rise.
//!
//! Deliberately absent: clocks, and any say about copies. A dead node's copies stay recorded; readers filter.

use crate::id::{Incarnation, NodeId};
use crate::placement::Candidate;
use crate::settings::ClusterSettings;
use crate::wire::metadata::{Health, StorageLoad};
use std::collections::BTreeMap;
use std::time::Duration;

/// What one leader has heard of the storage nodes.
#[derive(Clone, Debug)]
pub struct Watch {
    suspect_after: Duration,
    dead_after: Duration,
    became_leader_at: Duration,
    evidence: BTreeMap<NodeId, Evidence>,
}

/// The last beat of a node.
#[derive(Clone, Copy, Debug)]
struct Evidence {
    incarnation: Incarnation,
    at: Duration,
    load: StorageLoad,
}

impl Watch {
    /// A leader that has heard nothing yet.
    #[must_use]
    pub fn new(settings: &ClusterSettings, became_leader_at: Duration) -> Watch {
        Watch {
            suspect_after: settings.suspect_after(),
            dead_after: settings.dead_after(),
            became_leader_at,
            evidence: BTreeMap::new(),
        }
    }

    /// Goes by these windows from now on.
    pub fn follow(&mut self, settings: &ClusterSettings) {
        self.suspect_after = settings.suspect_after();
        self.dead_after = settings.dead_after();
    }

    /// Takes a beat, or a registration, of a node. Answers whether it counts: what an older incarnation says does
    /// not.
    pub fn heard(&mut self, node: NodeId, incarnation: Incarnation, now: Duration, load: StorageLoad) -> bool {
        let known = self.evidence.get(&node);
        if known.is_some_and(|known| incarnation < known.incarnation) {
            return false;
        }
        let at = known.map_or(now, |known| now.max(known.at));
        self.evidence.insert(node, Evidence { incarnation, at, load });
        true
    }

    /// How a registered node is.
    #[must_use]
    pub fn health(&self, node: NodeId, now: Duration) -> Health {
        let last_beat = self.evidence.get(&node).map(|evidence| evidence.at);
        let silence = now.saturating_sub(last_beat.unwrap_or(self.became_leader_at));
        if silence >= self.dead_after {
            Health::Dead
        } else if silence >= self.suspect_after {
            Health::Suspect
        } else if last_beat.is_some() {
            Health::Alive
        } else {
            Health::Unknown
        }
    }

    /// Whether this leader has had a beat of the node lately.
    #[must_use]
    pub fn is_fresh(&self, node: NodeId, now: Duration) -> bool {
        self.health(node, now) == Health::Alive
    }

    /// How long ago the node's last beat was, where this leader has had one.
    #[must_use]
    pub fn silent_for(&self, node: NodeId, now: Duration) -> Option<Duration> {
        self.evidence.get(&node).map(|evidence| now.saturating_sub(evidence.at))
    }

    /// The node's load, as its last beat told.
    #[must_use]
    pub fn load(&self, node: NodeId) -> Option<StorageLoad> {
        self.evidence.get(&node).map(|evidence| evidence.load)
    }

    /// The incarnation of the node's last beat.
    #[must_use]
    pub fn incarnation(&self, node: NodeId) -> Option<Incarnation> {
        self.evidence.get(&node).map(|evidence| evidence.incarnation)
    }

    /// Those of the registered nodes that may be given work: Alive ones that take chunks, and, with lower preference,
    /// Unknown ones, so that writes go on under a leader that has just begun.
    #[must_use]
    pub fn candidates(&self, registered: impl IntoIterator<Item = NodeId>, now: Duration) -> Vec<Candidate> {
        let candidate = |node| {
            let fresh = match self.health(node, now) {
                Health::Alive => true,
                Health::Unknown => false,
                Health::Suspect | Health::Dead => return None,
            };
            let load = self.load(node).unwrap_or_default();
            let takes_chunks = !load.refuses_chunks;
            let (available_bytes, writes) = (load.available_bytes, load.writes);
            takes_chunks.then_some(Candidate { node, available_bytes, writes, fresh })
        };
        registered.into_iter().filter_map(candidate).collect()
    }
}

#[cfg(test)]
mod tests;
