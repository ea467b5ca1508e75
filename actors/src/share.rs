//! What one client may hold of a pool of permits at once: its share.
//!
//! *Owns* the permits of each client that holds or waits for some. A client that takes all of its share waits, or is
//! refused, by itself; what the pool has besides is there for others. So whoever asks for much and takes nothing of what
//! it is sent is no trouble to anybody else.
//!
//! Clients are told apart by the names of their certificates, however many connections they have. *Deliberately absent*:
//! shares of nodes. What nodes ask of each other is bounded where they ask, and the pools have room for it.
//!
//! *Bounds*: one small record for each client that holds something.

use dfs_core::id::Role;
use dfs_transport::identity::PeerIdentity;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::Semaphore;

/// The shares of all clients in one pool.
#[derive(Debug)]
pub struct Shares {
    each: usize,
    clients: Mutex<BTreeMap<String, Weak<Semaphore>>>,
}

impl Shares {
    /// Shares of `each` permits.
    #[must_use]
    pub fn new(each: usize) -> Shares {
        Shares { each, clients: Mutex::default() }
    }

    /// The share of a client: the same as long as somebody has it or a permit of it. A node has none.
    #[must_use]
    pub fn of(&self, peer: &PeerIdentity) -> Option<Arc<Semaphore>> {
        if peer.role != Role::Client {
            return None;
        }
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = clients.get(&peer.name).and_then(Weak::upgrade) {
            return Some(share);
        }
        // One that is new makes room for itself: whoever holds nothing any more is forgotten.
        clients.retain(|_, share| share.strong_count() > 0);
        let share = Arc::new(Semaphore::new(self.each));
        clients.insert(peer.name.clone(), Arc::downgrade(&share));
        Some(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dfs_transport::identity::TrustDomain;

    fn peer(role: Role, name: &str) -> PeerIdentity {
        PeerIdentity::new(TrustDomain(1), role, name).unwrap()
    }

    #[test]
    fn a_client_has_one_share_others_have_theirs_and_nodes_have_none() {
        let shares = Shares::new(2);
        let greedy = peer(Role::Client, "greedy");
        let take = |peer: &PeerIdentity| shares.of(peer).unwrap().try_acquire_owned();
        let held = [take(&greedy).unwrap(), take(&greedy).unwrap()];
        assert!(take(&greedy).is_err(), "it has taken its share");
        let other = take(&peer(Role::Client, "other")).unwrap();
        assert!(shares.of(&peer(Role::Storage, "1")).is_none());
        assert!(shares.of(&peer(Role::Metadata, "1")).is_none());
        drop(held);
        drop(other);
        drop(take(&greedy).unwrap());
        // Those who hold nothing are forgotten with the next one that comes.
        let _last = take(&peer(Role::Client, "last")).unwrap();
        assert_eq!(shares.clients.lock().unwrap().len(), 1);
    }
}
