//! Which storage nodes are slow: what nodes see of each other, and what the leader makes of it.
//!
//! A primary that forwards a chunk sees how long each replica takes, after its last byte was there, until it says that
//! its copy is durable; and QUIC knows the round trip. Both are compared with what other peers take, so that a cluster
//! that is slow as a whole has no slow nodes. What one node sees may be its own fault: the leader believes it if several
//! say so, and gives a slow node less work. It is never taken for dead.
//!
//! The idea that peers notice slow nodes which answer their heartbeats in time is that of *fail-slow* detection (Gunawi et
//! al., "Fail-Slow at Scale", FAST 2018).
//!
//! Deliberately absent: what clients see for themselves, which they act on at once.

use crate::id::NodeId;
use crate::limit::SLOW_PEERS_TOLD_MAX;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long it counts what was seen, and what was told.
const REMEMBERED: Duration = Duration::from_secs(30);
/// Copies before a peer's times say anything.
const COPIES_MIN: u32 = 4;
/// A peer is slow if it takes so many times as long as is usual.
const FACTOR: u32 = 3;
/// A peer is not slow if it takes hardly longer than is usual.
const DIFFERENCE: Duration = Duration::from_millis(50);
/// Each new time counts one in so many.
const SMOOTHING: u32 = 4;
/// The leader believes so many nodes, or as many as there are.
const TELLERS_MIN: usize = 2;
/// And at least one in so many of all others.
const TELLERS_SHARE: usize = 3;

/// Times of one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerTimes {
    /// From the last byte of a chunk to the word that its copy is durable, in milliseconds.
    pub copy_ms: u32,
    /// The round trip, in milliseconds.
    pub round_trip_ms: u32,
}

/// A peer that is slow for the node which tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlowPeer {
    /// The peer.
    pub node: NodeId,
    /// What it takes.
    pub times: PeerTimes,
    /// What the teller's peers usually take.
    pub usual: PeerTimes,
}

/// What one node sees of the others. Time counts from any fixed origin.
#[derive(Clone, Debug, Default)]
pub struct Paces(BTreeMap<NodeId, Pace>);

#[derive(Clone, Copy, Debug)]
struct Pace {
    copy: Duration,
    round_trip: Duration,
    copies: u32,
    last: Duration,
}

impl Paces {
    /// A copy on this peer took so long, or was given up after so long.
    pub fn record(&mut self, peer: NodeId, copy: Duration, round_trip: Duration, now: Duration) {
        self.0.retain(|_, pace| now < pace.last + REMEMBERED);
        let fresh = Pace { copy, round_trip, copies: 0, last: now };
        let pace = self.0.entry(peer).or_insert(fresh);
        let smooth = |old: Duration, new: Duration| (old * (SMOOTHING - 1) + new) / SMOOTHING;
        *pace = Pace {
            copy: smooth(pace.copy, copy),
            round_trip: smooth(pace.round_trip, round_trip),
            copies: pace.copies.saturating_add(1),
            last: now,
        };
    }

    /// The peers that are slow, [`SLOW_PEERS_TOLD_MAX`] at most.
    #[must_use]
    pub fn slow(&self, now: Duration) -> Vec<SlowPeer> {
        let known = |pace: &Pace| pace.copies >= COPIES_MIN && now < pace.last + REMEMBERED;
        let known: Vec<(NodeId, Pace)> =
            self.0.iter().filter(|(_, pace)| known(pace)).map(|(node, pace)| (*node, *pace)).collect();
        let copy = usual(known.iter().map(|(_, pace)| pace.copy).collect());
        let round_trip = usual(known.iter().map(|(_, pace)| pace.round_trip).collect());
        let usual = PeerTimes { copy_ms: milliseconds(copy), round_trip_ms: milliseconds(round_trip) };
        known
            .into_iter()
            .filter(|(_, pace)| is_far_above(pace.copy, copy) || is_far_above(pace.round_trip, round_trip))
            .map(|(node, pace)| {
                let times =
                    PeerTimes { copy_ms: milliseconds(pace.copy), round_trip_ms: milliseconds(pace.round_trip) };
                SlowPeer { node, times, usual }
            })
            .take(SLOW_PEERS_TOLD_MAX)
            .collect()
    }
}

/// The lower median, so that of two the quicker one is what is usual.
fn usual(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len().saturating_sub(1) / 2).copied().unwrap_or_default()
}

fn is_far_above(time: Duration, usual: Duration) -> bool {
    time > usual * FACTOR && time > usual + DIFFERENCE
}

fn milliseconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

/// What the nodes have told the leader of each other.
#[derive(Clone, Debug, Default)]
pub struct Hearsay(BTreeMap<NodeId, Told>);

#[derive(Clone, Debug)]
struct Told {
    at: Duration,
    slow: Vec<SlowPeer>,
}

impl Hearsay {
    /// A node has told who is slow for it, which replaces what it told before. More than it may tell is dropped.
    pub fn handle_told(&mut self, teller: NodeId, mut slow: Vec<SlowPeer>, now: Duration) {
        slow.truncate(SLOW_PEERS_TOLD_MAX);
        slow.retain(|peer| peer.node != teller);
        self.0.insert(teller, Told { at: now, slow });
        self.0.retain(|_, told| now < told.at + REMEMBERED);
    }

    /// For whom a node is slow: the teller, with what it told.
    #[must_use]
    pub fn slow_for(&self, node: NodeId, now: Duration) -> Vec<(NodeId, SlowPeer)> {
        let lately = self.0.iter().filter(|(_, told)| now < told.at + REMEMBERED);
        lately.filter_map(|(teller, told)| Some((*teller, *told.slow.iter().find(|peer| peer.node == node)?))).collect()
    }

    /// Whether a node is slow: several say so, and enough of all that tell anything.
    #[must_use]
    pub fn is_slow(&self, node: NodeId, now: Duration) -> bool {
        let others = self.0.iter().filter(|(teller, told)| **teller != node && now < told.at + REMEMBERED).count();
        self.slow_for(node, now).len() >= TELLERS_MIN.max(others.div_ceil(TELLERS_SHARE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(100);

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn paces(times: &[(u64, u64, u64)]) -> Paces {
        let mut paces = Paces::default();
        for _ in 0..8 {
            for (node, copy, round_trip) in times {
                paces.record(NodeId(*node), at(*copy), at(*round_trip), START);
            }
        }
        paces
    }

    fn slow(times: &[(u64, u64, u64)]) -> Vec<u64> {
        paces(times).slow(START).iter().map(|peer| peer.node.0).collect()
    }

    #[test]
    fn a_peer_is_slow_beside_others_that_are_not() {
        assert_eq!(slow(&[(1, 10, 1), (2, 300, 1)]), [2]);
        assert_eq!(slow(&[(1, 10, 1), (2, 12, 90), (3, 9, 2)]), [2], "by its round trip");
        assert!(slow(&[(1, 10, 1), (2, 55, 1)]).is_empty(), "a small difference is nobody's fault");
        assert!(slow(&[(1, 900, 1), (2, 1500, 1), (3, 1200, 1)]).is_empty(), "so is what all share");
        assert!(slow(&[(1, 900, 1)]).is_empty(), "one alone is compared with nobody");
        let told = paces(&[(1, 10, 1), (2, 300, 4)]).slow(START);
        assert_eq!(told[0].times, PeerTimes { copy_ms: 300, round_trip_ms: 4 });
        assert_eq!(told[0].usual, PeerTimes { copy_ms: 10, round_trip_ms: 1 });
    }

    #[test]
    fn a_few_copies_say_nothing_and_what_was_seen_is_forgotten() {
        let mut paces = paces(&[(1, 10, 1)]);
        for copies in 1..=COPIES_MIN {
            assert!(paces.slow(START).is_empty(), "{copies}");
            paces.record(NodeId(2), at(300), at(1), START);
        }
        assert_eq!(paces.slow(START).len(), 1);
        assert!(paces.slow(START + REMEMBERED).is_empty());
        // Quick again, it is soon not slow any more.
        (0..12).for_each(|_| paces.record(NodeId(2), at(10), at(1), START));
        assert!(paces.slow(START).is_empty());
        paces.record(NodeId(3), at(1), at(1), START + REMEMBERED);
        assert_eq!(paces.0.len(), 1, "nothing is kept for ever");
    }

    #[test]
    fn the_leader_believes_several_that_are_enough_of_all() {
        let times = PeerTimes { copy_ms: 300, round_trip_ms: 1 };
        let peer = |node| SlowPeer { node: NodeId(node), times, usual: times };
        let mut hearsay = Hearsay::default();
        hearsay.handle_told(NodeId(1), vec![peer(9)], START);
        assert!(!hearsay.is_slow(NodeId(9), START), "it may be the teller's own fault");
        hearsay.handle_told(NodeId(2), vec![peer(9), peer(2)], START);
        assert!(hearsay.is_slow(NodeId(9), START));
        assert!(hearsay.slow_for(NodeId(2), START).is_empty(), "nobody is slow for himself");
        assert_eq!(hearsay.slow_for(NodeId(9), START), [(NodeId(1), peer(9)), (NodeId(2), peer(9))]);
        // Two of seven are not enough, three are.
        (3..=7).for_each(|node| hearsay.handle_told(NodeId(node), Vec::new(), START));
        assert!(!hearsay.is_slow(NodeId(9), START));
        hearsay.handle_told(NodeId(3), vec![peer(9)], START);
        assert!(hearsay.is_slow(NodeId(9), START));
        // Who tells nothing any more takes it back, and so does time.
        hearsay.handle_told(NodeId(3), Vec::new(), START);
        assert!(!hearsay.is_slow(NodeId(9), START));
        assert!(hearsay.slow_for(NodeId(9), START + REMEMBERED).is_empty());
        hearsay.handle_told(NodeId(1), vec![peer(3); 1000], START);
        assert_eq!(hearsay.0[&NodeId(1)].slow.len(), SLOW_PEERS_TOLD_MAX);
    }
}
