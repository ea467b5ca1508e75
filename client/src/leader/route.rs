//! Which metadata node to ask next: pure bookkeeping of what is known of the cluster.

use dfs_core::id::NodeId;
use dfs_core::wire::NodeAddress;
use dfs_core::wire::metadata::Leadership;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::Instant;

/// How long a leader that did not answer is not asked again on the word of others: they learn of its death later,
/// when they elect another. A single node, which has no others, is never avoided.
const AVOID: Duration = Duration::from_millis(500);

/// What to do next to get an answer from the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Ask this node, which should lead.
    Leader(NodeAddress),
    /// Ask the node at this address who leads; which node it is may be unknown.
    Anyone(SocketAddr, Option<NodeId>),
}

/// What is known of the metadata cluster.
#[derive(Clone, Debug)]
pub(super) struct Route {
    seeds: Vec<SocketAddr>,
    members: Vec<NodeAddress>,
    leader: Option<NodeAddress>,
    avoided: Option<(SocketAddr, Instant)>,
    turn: usize,
}

impl Route {
    /// Only the seeds are known.
    pub(super) fn new(seeds: Vec<SocketAddr>) -> Route {
        Route { seeds, members: Vec::new(), leader: None, avoided: None, turn: 0 }
    }

    /// Whom to ask next. Nodes take turns where the leader is unknown.
    pub(super) fn next(&self) -> Next {
        if let Some(leader) = self.leader {
            return Next::Leader(leader);
        }
        let anyone = self.anyone();
        let (address, node) = anyone[self.turn % anyone.len()];
        Next::Anyone(address, node)
    }

    /// Every node that can be asked who leads: the members, then the seeds that are not members.
    pub(super) fn anyone(&self) -> Vec<(SocketAddr, Option<NodeId>)> {
        let members = self.members.iter().map(|member| (member.address, Some(member.node)));
        let strangers = self.seeds.iter().filter(|seed| !self.members.iter().any(|member| member.address == **seed));
        members.chain(strangers.map(|seed| (*seed, None))).collect()
    }

    /// A node has told who leads. Answers whether a leader to ask is known now.
    pub(super) fn handle_leadership(&mut self, told: &Leadership, now: Instant) -> bool {
        if !told.members.is_empty() {
            self.members.clone_from(&told.members);
        }
        self.handle_redirect(told.leader, now)
    }

    /// A node that does not lead has named the leader, or not. Answers whether a leader to ask is known now.
    pub(super) fn handle_redirect(&mut self, leader: Option<NodeAddress>, now: Instant) -> bool {
        let avoided = |leader: &NodeAddress| {
            self.avoided.is_some_and(|(address, since)| address == leader.address && now < since + AVOID)
        };
        self.leader = leader.filter(|leader| !avoided(leader));
        if self.leader.is_none() {
            self.turn = self.turn.wrapping_add(1);
        }
        self.leader.is_some()
    }

    /// The leader did not answer, or says that it cannot lead.
    pub(super) fn handle_lost_leader(&mut self, address: SocketAddr, now: Instant) {
        if self.leader.is_some_and(|leader| leader.address == address) {
            self.leader = None;
        }
        // Whoever is next in turn is asked first; the lost one, being a member, comes last.
        let anyone = self.anyone();
        self.avoided = (anyone.len() > 1).then_some((address, now));
        if let Some(position) = anyone.iter().position(|(one, _)| *one == address) {
            self.turn = position + 1;
        }
    }

    /// The node whose turn it was did not answer.
    pub(super) fn handle_silence(&mut self) {
        self.turn = self.turn.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    fn member(node: u64) -> NodeAddress {
        NodeAddress { node: NodeId(node), address: address(u16::try_from(node).unwrap()) }
    }

    fn told(leader: Option<u64>) -> Leadership {
        Leadership {
            cluster: None,
            leader: leader.map(member),
            members: (1..=3).map(member).collect(),
            term: 1,
            applied: 0,
            cluster_time: dfs_core::time::ClusterTime(0),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_seed_gives_the_turn_to_the_next() {
        let mut route = Route::new(vec![address(9), address(2)]);
        assert_eq!(route.next(), Next::Anyone(address(9), None));
        route.handle_silence();
        assert_eq!(route.next(), Next::Anyone(address(2), None));
        assert!(route.handle_leadership(&told(Some(1)), Instant::now()));
        assert_eq!(route.next(), Next::Leader(member(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_leader_is_not_asked_again_at_once_on_the_word_of_others() {
        let mut route = Route::new(vec![address(1)]);
        let now = Instant::now();
        route.handle_leadership(&told(Some(1)), now);
        route.handle_lost_leader(address(1), now);
        assert_eq!(route.next(), Next::Anyone(address(2), Some(NodeId(2))));
        assert!(!route.handle_leadership(&told(Some(1)), now));
        assert_eq!(route.next(), Next::Anyone(address(3), Some(NodeId(3))));
        assert!(route.handle_leadership(&told(Some(3)), now));
        assert_eq!(route.next(), Next::Leader(member(3)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_that_was_lost_for_a_moment_is_asked_again_later() {
        let mut route = Route::new(vec![address(1)]);
        let now = Instant::now();
        route.handle_leadership(&told(Some(1)), now);
        route.handle_lost_leader(address(1), now);
        assert!(route.handle_leadership(&told(Some(1)), now + AVOID));
        assert_eq!(route.next(), Next::Leader(member(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_redirect_is_followed_and_one_without_a_name_asks_the_next() {
        let mut route = Route::new(vec![address(1), address(2)]);
        let now = Instant::now();
        assert!(route.handle_redirect(Some(member(2)), now));
        assert_eq!(route.next(), Next::Leader(member(2)));
        assert!(!route.handle_redirect(None, now));
        assert_eq!(route.next(), Next::Anyone(address(2), None));
    }
}
