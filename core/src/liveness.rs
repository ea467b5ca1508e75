//! Liveness: how storage nodes are, by the evidence of one leader.
//!
//! A [`Watch`] begins with a leadership and ends with it. Silence is counted from the last beat that this leader had,
//! or from when it became leader: what an earlier leader saw does not count against a node. Until it has listened for
//! as long as a node must be silent to be dead, it calls nobody dead and judges no copy. Nor does time count in which it
//! did not listen, because its own process stood still. Times are elapsed since an origin of the caller's choice, and
//! rise.
//!
//! Each change of a node's health is kept with its reason, the newest [`HEALTH_HISTORY_MAX`] of each node.
//!
//! Deliberately absent: clocks, and any say about copies. A dead node's copies stay recorded; readers filter.

use crate::id::{Incarnation, NodeId};
use crate::limit::{HEALTH_HISTORY_MAX, LEADER_HELD_UP_MIN_MS, LEADER_HELD_UP_MS};
use crate::placement::Candidate;
use crate::settings::ClusterSettings;
use crate::slowness::{Hearsay, SlowPeer};
use crate::time::ClusterTime;
use crate::wire::metadata::{Health, StorageLoad};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

/// What one leader has heard of the storage nodes.
#[derive(Clone, Debug)]
pub struct Watch {
    suspect_after: Duration,
    dead_after: Duration,
    became_leader_at: Duration,
    /// When it was last seen to go on.
    went_on_at: Duration,
    evidence: BTreeMap<NodeId, Evidence>,
    hearsay: Hearsay,
    told: BTreeMap<NodeId, Told>,
}

/// The last beat of a node.
#[derive(Clone, Copy, Debug)]
struct Evidence {
    incarnation: Incarnation,
    at: Duration,
    load: StorageLoad,
    leaving: bool,
}

/// What was last made of the evidence of a node.
#[derive(Clone, Debug)]
struct Told {
    health: Health,
    history: VecDeque<Transition>,
}

/// One change of a node's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// When it was noticed, in cluster time.
    pub at: ClusterTime,
    /// How the node was until then.
    pub from: Health,
    /// How it is since.
    pub to: Health,
    /// What it rests on.
    pub cause: Cause,
}

/// What a change of health rests on. Append-only once released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// The node beat, or registered.
    Beat {
        /// The life of its process that did.
        incarnation: Incarnation,
    },
    /// Nothing was heard of it for so long.
    Silence {
        /// Milliseconds since its last beat.
        silent_ms: u64,
    },
    /// Nothing was heard of it since this leader began.
    NeverHeard {
        /// Milliseconds since then.
        listened_ms: u64,
    },
    /// It said that it stops.
    Leaving,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Beat { incarnation } => write!(f, "it beats (incarnation {incarnation})"),
            Cause::Silence { silent_ms } => write!(f, "silent for {silent_ms} ms"),
            Cause::NeverHeard { listened_ms } => write!(f, "not heard in the {listened_ms} ms of this leader"),
            Cause::Leaving => write!(f, "it said that it stops"),
        }
    }
}

impl Watch {
    /// A leader that has heard nothing yet.
    #[must_use]
    pub fn new(settings: &ClusterSettings, became_leader_at: Duration) -> Watch {
        Watch {
            suspect_after: settings.suspect_after(),
            dead_after: settings.dead_after(),
            became_leader_at,
            went_on_at: became_leader_at,
            evidence: BTreeMap::new(),
            hearsay: Hearsay::default(),
            told: BTreeMap::new(),
        }
    }

    /// Goes by these windows from now on.
    pub fn follow(&mut self, settings: &ClusterSettings) {
        self.suspect_after = settings.suspect_after();
        self.dead_after = settings.dead_after();
    }

    /// Goes on: to be told before anything else, and every second or so. If it was not for longer than
    /// [`LEADER_HELD_UP_MS`], or for longer than a node may be silent (and [`LEADER_HELD_UP_MIN_MS`]) if that is less,
    /// this process stood still; beats may have come that it did not hear, so the time since is
    /// nobody's silence, and no time of listening. Answers how long that was.
    pub fn goes_on(&mut self, now: Duration) -> Option<Duration> {
        let held_up = now.saturating_sub(self.went_on_at);
        self.went_on_at = self.went_on_at.max(now);
        let least = Duration::from_millis(LEADER_HELD_UP_MIN_MS);
        let long = Duration::from_millis(LEADER_HELD_UP_MS).min(self.suspect_after.max(least));
        if held_up <= long {
            return None;
        }
        self.became_leader_at += held_up;
        self.evidence.values_mut().for_each(|evidence| evidence.at += held_up);
        Some(held_up)
    }

    /// Takes a beat, or a registration, of a node. Answers whether it counts: what an older incarnation says does
    /// not.
    pub fn heard(&mut self, node: NodeId, incarnation: Incarnation, now: Duration, load: StorageLoad) -> bool {
        let known = self.evidence.get(&node);
        if known.is_some_and(|known| incarnation < known.incarnation) {
            return false;
        }
        let at = known.map_or(now, |known| now.max(known.at));
        self.evidence.insert(node, Evidence { incarnation, at, load, leaving: false });
        true
    }

    /// Takes a node's last beat, with which it says that it stops. It gets no new work from now on, and is dead once
    /// it has been away for as long as any other.
    pub fn leaves(&mut self, node: NodeId, incarnation: Incarnation) {
        if let Some(known) = self.evidence.get_mut(&node).filter(|known| known.incarnation == incarnation) {
            known.leaving = true;
        }
    }

    /// How a registered node is.
    #[must_use]
    pub fn health(&self, node: NodeId, now: Duration) -> Health {
        let evidence = self.evidence.get(&node);
        let silence = now.saturating_sub(evidence.map_or(self.became_leader_at, |evidence| evidence.at));
        if silence >= self.dead_after {
            Health::Dead
        } else if silence >= self.suspect_after || evidence.is_some_and(|evidence| evidence.leaving) {
            Health::Suspect
        } else if evidence.is_some() {
            Health::Alive
        } else {
            Health::Unknown
        }
    }

    /// Whether this leader has listened for so long that the silence of a node tells something.
    #[must_use]
    pub fn has_listened(&self, now: Duration) -> bool {
        now.saturating_sub(self.became_leader_at) >= self.dead_after
    }

    /// Looks at registered nodes, and notes how their health has changed since the last look, at cluster time `time`.
    pub fn observe(
        &mut self,
        nodes: impl IntoIterator<Item = NodeId>,
        now: Duration,
        time: ClusterTime,
    ) -> Vec<(NodeId, Transition)> {
        let mut changes = Vec::new();
        for node in nodes {
            let (to, cause) = (self.health(node, now), self.cause(node, now));
            let told =
                self.told.entry(node).or_insert_with(|| Told { health: Health::Unknown, history: VecDeque::new() });
            if told.health == to {
                continue;
            }
            let transition = Transition { at: time, from: told.health, to, cause };
            told.health = to;
            if told.history.len() >= HEALTH_HISTORY_MAX {
                told.history.pop_front();
            }
            told.history.push_back(transition);
            changes.push((node, transition));
        }
        changes
    }

    fn cause(&self, node: NodeId, now: Duration) -> Cause {
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        match self.evidence.get(&node) {
            None => Cause::NeverHeard { listened_ms: milliseconds(now.saturating_sub(self.became_leader_at)) },
            Some(evidence) => {
                let silence = now.saturating_sub(evidence.at);
                if silence >= self.suspect_after {
                    Cause::Silence { silent_ms: milliseconds(silence) }
                } else if evidence.leaving {
                    Cause::Leaving
                } else {
                    Cause::Beat { incarnation: evidence.incarnation }
                }
            }
        }
    }

    /// The changes of a node's health that were noted, oldest first.
    #[must_use]
    pub fn history(&self, node: NodeId) -> Vec<Transition> {
        self.told.get(&node).map(|told| told.history.iter().copied().collect()).unwrap_or_default()
    }

    /// How long ago the node's last beat was, where this leader has had one.
    #[must_use]
    pub fn silent_for(&self, node: NodeId, now: Duration) -> Option<Duration> {
        self.evidence.get(&node).map(|evidence| now.saturating_sub(evidence.at))
    }

    /// The node's load, as its last beat, or its registration, told.
    #[must_use]
    pub fn load(&self, node: NodeId) -> Option<StorageLoad> {
        self.evidence.get(&node).map(|evidence| evidence.load)
    }

    /// The incarnation of the node's last beat.
    #[must_use]
    pub fn incarnation(&self, node: NodeId) -> Option<Incarnation> {
        self.evidence.get(&node).map(|evidence| evidence.incarnation)
    }

    /// Whether the node's last beat said that it stops.
    #[must_use]
    pub fn is_leaving(&self, node: NodeId) -> bool {
        self.evidence.get(&node).is_some_and(|evidence| evidence.leaving)
    }

    /// Takes what a node tells of its peers: those that are slow for it.
    pub fn told_of_slow(&mut self, teller: NodeId, slow: Vec<SlowPeer>, now: Duration) {
        self.hearsay.handle_told(teller, slow, now);
    }

    /// For whom a node is slow: the teller, with what it told.
    #[must_use]
    pub fn slow_for(&self, node: NodeId, now: Duration) -> Vec<(NodeId, SlowPeer)> {
        self.hearsay.slow_for(node, now)
    }

    /// Whether a node is slow, by the word of enough others. One that stops, or is silent, is that and not slow.
    #[must_use]
    pub fn is_slow(&self, node: NodeId, now: Duration) -> bool {
        let may_work = matches!(self.health(node, now), Health::Alive | Health::Unknown);
        may_work && self.hearsay.is_slow(node, now)
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
            let slow = self.is_slow(node, now);
            takes_chunks.then_some(Candidate { node, available_bytes, writes, fresh, slow })
        };
        registered.into_iter().filter_map(candidate).collect()
    }
}

#[cfg(test)]
mod tests;
