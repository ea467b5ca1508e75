//! A storage node's way to the metadata leader.
//!
//! The search itself is `dfs_core::leader`; this is the part that calls and waits.

use dfs_core::id::Role;
use dfs_core::leader::LeaderSearch;
use dfs_core::limit::{LEADER_ATTEMPT_MS, METADATA_ATTEMPT_MS};
use dfs_core::refusal::Refusal;
use dfs_core::wire::Request;
use dfs_transport::exchange::CallError;
use dfs_transport::peers::{Class, Destination, Peers};
use dfs_transport::world::Entropy;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// What is needed to ask the leader. It belongs to one task at a time.
pub struct MetadataLink {
    peers: Peers,
    entropy: Entropy,
    search: LeaderSearch,
}

impl MetadataLink {
    /// A link that knows the configured addresses only.
    pub fn new(peers: Peers, entropy: Entropy, seeds: Vec<SocketAddr>) -> MetadataLink {
        MetadataLink { peers, entropy, search: LeaderSearch::new(seeds) }
    }

    /// These are the members now.
    pub fn learn(&mut self, members: impl IntoIterator<Item = SocketAddr>) {
        self.search.learn(members);
    }

    /// Asks the leader, wherever it is; goes on until it answers or `deadline`.
    ///
    /// # Errors
    /// A refusal that another node would give too, or the last failure at the deadline.
    pub async fn call<R: Request>(&mut self, request: &R, deadline: Instant) -> Result<R::Reply, CallError> {
        loop {
            let target = Destination { address: self.search.target(), role: Role::Metadata, node: None };
            // A leader may take its time on a slow disk. To ask it again would only be more work for it.
            let attempt = if self.search.is_found() { LEADER_ATTEMPT_MS } else { METADATA_ATTEMPT_MS };
            let attempt = deadline.min(Instant::now() + Duration::from_millis(attempt));
            let error = match self.peers.call(&target, Class::Control, request, attempt).await {
                Ok(reply) => {
                    self.search.succeeded();
                    return Ok(reply);
                }
                Err(error) => error,
            };
            match &error {
                CallError::Refused(Refusal::NotLeader { leader }) => {
                    self.search.redirected(leader.map(|leader| leader.address));
                }
                CallError::Refused(refusal) if !refusal.is_retryable() => return Err(error),
                _ => self.search.failed(),
            }
            let pause = self.entropy.jitter(self.search.back_off());
            if Instant::now() + pause >= deadline {
                return Err(error);
            }
            sleep(pause).await;
        }
    }
}
