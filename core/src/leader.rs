//! The search for the metadata leader, as a storage node does it.
//!
//! A pure machine: it says whom to ask next and how long to wait before, and is told what came of it. It follows a
//! redirect at once, goes round all known members otherwise, and backs off only once it has been round.

use crate::limit::{LEADER_BACK_OFF_MAX_MS, LEADER_BACK_OFF_MIN_MS, MEMBERS_KNOWN_MAX};
use std::net::SocketAddr;
use std::time::Duration;

/// What a caller knows about where the leader may be.
#[derive(Clone, Debug)]
pub struct LeaderSearch {
    /// Where members were configured to be: they stay known whatever is learnt.
    seeds: Vec<SocketAddr>,
    /// Seeds and members, each once, in the order in which they are tried.
    known: Vec<SocketAddr>,
    /// Whom to ask next, within `known`.
    next: usize,
    /// Attempts since the last success.
    fruitless: u32,
    /// Redirects followed in a row without a success: two followers may name each other.
    redirects: u32,
    /// Whether the target has answered as the leader.
    found: bool,
}

impl LeaderSearch {
    /// Starts from the configured addresses, of which there must be one at least.
    #[must_use]
    pub fn new(seeds: Vec<SocketAddr>) -> LeaderSearch {
        assert!(!seeds.is_empty(), "a search starts somewhere");
        LeaderSearch { known: seeds.clone(), seeds, next: 0, fruitless: 0, redirects: 0, found: false }
    }

    /// Whom to ask next.
    #[must_use]
    pub fn target(&self) -> SocketAddr {
        self.known[self.next % self.known.len()]
    }

    /// All that are known, in the order in which they are tried.
    #[must_use]
    pub fn known(&self) -> &[SocketAddr] {
        &self.known
    }

    /// How long to wait before the next attempt, to be jittered: nothing until all known members were tried.
    #[must_use]
    pub fn back_off(&self) -> Duration {
        let rounds = self.fruitless / u32::try_from(self.known.len()).unwrap_or(u32::MAX);
        match rounds {
            0 => Duration::ZERO,
            rounds => {
                let doubled = LEADER_BACK_OFF_MIN_MS << (rounds - 1).min(8);
                Duration::from_millis(doubled.min(LEADER_BACK_OFF_MAX_MS))
            }
        }
    }

    /// The last target answered as the leader.
    pub fn succeeded(&mut self) {
        (self.fruitless, self.redirects) = (0, 0);
        self.found = true;
    }

    /// Whether the last attempt was answered by the leader, who is asked again.
    #[must_use]
    pub fn is_found(&self) -> bool {
        self.found
    }

    /// The last target said that it does not lead, and perhaps who does.
    pub fn redirected(&mut self, leader: Option<SocketAddr>) {
        self.found = false;
        self.fruitless += 1;
        match leader {
            Some(leader) if leader != self.target() && self.redirects < 3 => {
                self.redirects += 1;
                self.next = self.place_of(leader);
            }
            _ => self.go_on(),
        }
    }

    /// The last target did not answer, or could not.
    pub fn failed(&mut self) {
        self.found = false;
        self.fruitless += 1;
        self.go_on();
    }

    /// These are the members now. The target stays.
    pub fn learn(&mut self, members: impl IntoIterator<Item = SocketAddr>) {
        let target = self.target();
        self.known = self.seeds.clone();
        for member in members.into_iter().take(MEMBERS_KNOWN_MAX) {
            self.place_of(member);
        }
        self.next = self.place_of(target);
    }

    fn go_on(&mut self) {
        self.redirects = 0;
        self.next = (self.next + 1) % self.known.len();
    }

    fn place_of(&mut self, address: SocketAddr) -> usize {
        self.known.iter().position(|known| *known == address).unwrap_or_else(|| {
            self.known.push(address);
            self.known.len() - 1
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn a_follower_as_only_seed_leads_to_the_leader() {
        let mut search = LeaderSearch::new(vec![address(1)]);
        search.redirected(Some(address(3)));
        assert_eq!((search.target(), search.back_off()), (address(3), Duration::from_millis(0)));
    }

    #[test]
    fn a_dead_seed_is_passed_over_and_tried_again_later() {
        let mut search = LeaderSearch::new(vec![address(1), address(2)]);
        search.failed();
        assert_eq!((search.target(), search.back_off()), (address(2), Duration::ZERO));
        search.failed();
        assert_eq!(search.target(), address(1));
        assert_eq!(search.back_off(), Duration::from_millis(LEADER_BACK_OFF_MIN_MS));
    }

    #[test]
    fn followers_that_name_each_other_do_not_keep_a_caller() {
        let mut search = LeaderSearch::new(vec![address(1), address(2), address(3)]);
        let mut asked = Vec::new();
        for _ in 0..8 {
            asked.push(search.target());
            let other = if search.target() == address(1) { address(2) } else { address(1) };
            search.redirected(Some(other));
        }
        assert!(asked.contains(&address(3)), "{asked:?}");
    }

    #[test]
    fn the_leader_is_found_until_it_fails_or_says_that_it_leads_no_more() {
        let mut search = LeaderSearch::new(vec![address(1), address(2)]);
        assert!(!search.is_found(), "nobody has answered");
        let lost: [fn(&mut LeaderSearch); 2] = [LeaderSearch::failed, |search| search.redirected(None)];
        for lose in lost {
            search.succeeded();
            search.learn([address(3)]);
            assert!(search.is_found());
            lose(&mut search);
            assert!(!search.is_found());
        }
    }

    #[test]
    fn the_back_off_is_bounded_and_ends_with_a_success() {
        let mut search = LeaderSearch::new(vec![address(1)]);
        (0..1000).for_each(|_| search.failed());
        assert_eq!(search.back_off(), Duration::from_millis(LEADER_BACK_OFF_MAX_MS));
        search.succeeded();
        assert_eq!(search.back_off(), Duration::ZERO);
    }

    #[test]
    fn members_are_learnt_and_the_target_stays() {
        let mut search = LeaderSearch::new(vec![address(1)]);
        search.redirected(Some(address(2)));
        search.learn([address(3), address(2)]);
        assert_eq!(search.target(), address(2));
        assert_eq!(search.known(), [address(1), address(3), address(2)]);
        search.learn([address(3)]);
        assert_eq!(search.target(), address(2), "a target that is no member any more is still asked once");
    }
}
