//! Peers: calls and streams to other nodes, over connections that are opened when they are first needed.
//!
//! Owns one slot for each destination and class (bulk may have several). A slot is idle, connecting (once, for all who
//! wait), connected, or backing off after a failure; a dead peer therefore costs its own callers a short wait and
//! nobody else anything.
//!
//! Deliberately absent: retries of requests. Only the caller knows whether it may ask again, and whom.

mod connect;
mod slot;
pub(crate) mod unreachable;

pub use unreachable::{CertificateFault, PeerKind, UnreachableReason};

pub(crate) use connect::{identify, receive_hello};
pub(crate) use unreachable::{Closing, Ending};

use crate::endpoint::Shared;
use crate::exchange::{CallError, Exchange};
use crate::frame::{self, RequestHeader};
use dfs_core::id::{NodeId, Role};
use dfs_core::refusal::Refusal;
use dfs_core::wire::Request;
use serde::{Deserialize, Serialize};
use slot::Slot;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Slots at most; the one that was used least recently makes room.
const SLOTS_MAX: usize = 1024;

/// What a connection is for. Small messages never wait behind bulk data: each class has its own connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Class {
    /// Small messages that are waited for.
    Control,
    /// Payload.
    Bulk,
}

/// Where to call, and who must answer there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Destination {
    /// The peer's UDP address.
    pub address: SocketAddr,
    /// The role that its certificate must have.
    pub role: Role,
    /// The node id that its certificate must have; any node of the role where absent.
    pub node: Option<NodeId>,
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", PeerKind { role: self.role, node: self.node }, self.address)
    }
}

type Key = (Destination, Class, usize);

#[derive(Debug, Default)]
struct Slots {
    map: Mutex<BTreeMap<Key, Arc<Slot>>>,
    uses: AtomicU64,
}

/// Calls to other nodes. Clones share connections.
#[derive(Clone, Debug)]
pub struct Peers {
    shared: Arc<Shared>,
    slots: Arc<Slots>,
}

impl Peers {
    pub(crate) fn new(shared: Arc<Shared>) -> Peers {
        Peers { shared, slots: Arc::default() }
    }

    /// Sends a request and waits for its reply.
    ///
    /// # Errors
    /// [`CallError::Unreachable`] if the request was certainly not sent; otherwise as [`CallError`] says.
    pub async fn call<R: Request>(
        &self,
        to: &Destination,
        class: Class,
        request: &R,
        deadline: Instant,
    ) -> Result<R::Reply, CallError> {
        let mut exchange = self.open(to, class, request, deadline).await?;
        exchange.finish().await?;
        exchange.receive_message().await
    }

    /// Sends a request and leaves all that follows from it to the caller.
    ///
    /// # Errors
    /// [`CallError::Unreachable`] if the request was certainly not sent; otherwise as [`CallError`] says.
    pub async fn open<R: Request>(
        &self,
        to: &Destination,
        class: Class,
        request: &R,
        deadline: Instant,
    ) -> Result<Exchange, CallError> {
        let message_max = frame::message_bytes_max(R::SERVICE);
        let (send, receive) = self.stream(to, class, deadline).await?;
        let left = deadline.saturating_duration_since(Instant::now());
        let header = RequestHeader {
            service: R::SERVICE as u8,
            method: R::METHOD,
            version: R::VERSION,
            deadline_ms: u32::try_from(left.as_millis()).unwrap_or(u32::MAX),
            length: 0,
        };
        let mut exchange = Exchange::new(send, receive, deadline, message_max);
        let request = frame::encode_request(header, request, message_max)
            .map_err(|frame::TooLarge| CallError::Refused(Refusal::TooLarge))?;
        exchange.send_request(request).await?;
        Ok(exchange)
    }

    /// The round trip to a peer, as QUIC measures it (RFC 9002, section 5), where a connection for payload is open.
    #[must_use]
    pub fn round_trip(&self, to: &Destination) -> Option<Duration> {
        let slots = self.slots.map.lock().unwrap_or_else(PoisonError::into_inner);
        let lanes =
            (0..self.shared.settings().bulk_connections.max(1)).filter_map(|lane| slots.get(&(*to, Class::Bulk, lane)));
        lanes.filter_map(|slot| slot.round_trip()).min()
    }

    /// A new stream on a connection that lives.
    async fn stream(
        &self,
        to: &Destination,
        class: Class,
        deadline: Instant,
    ) -> Result<(quinn::SendStream, quinn::RecvStream), CallError> {
        let slot = self.slot(to, class);
        // A connection may turn out to be lost when it is used; one that was just opened is not tried again.
        for _ in 0..2 {
            let connection = slot.connection(&self.shared, deadline).await?;
            match tokio::time::timeout_at(deadline, connection.open_bi()).await {
                Err(_) => return Err(CallError::TimedOut),
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(_)) => slot.forget(&connection),
            }
        }
        Err(CallError::Unreachable(UnreachableReason::Lost))
    }

    #[cfg(test)]
    pub(crate) async fn connection(
        &self,
        to: &Destination,
        class: Class,
        deadline: Instant,
    ) -> Result<Arc<quinn::Connection>, UnreachableReason> {
        self.slot(to, class).connection(&self.shared, deadline).await
    }

    fn slot(&self, to: &Destination, class: Class) -> Arc<Slot> {
        let now = self.slots.uses.fetch_add(1, Ordering::Relaxed);
        let lane = match class {
            Class::Control => 0,
            Class::Bulk => usize::try_from(now).unwrap_or(0) % self.shared.settings().bulk_connections.max(1),
        };
        let mut map = self.slots.map.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (*to, class, lane);
        if let Some(slot) = map.get(&key) {
            slot.touch(now);
            return slot.clone();
        }
        if map.len() >= SLOTS_MAX {
            let oldest = map
                .iter()
                .filter(|(_, slot)| slot.is_evictable())
                .min_by_key(|(_, slot)| slot.used.load(Ordering::Relaxed))
                .map(|(key, _)| *key);
            oldest.and_then(|key| map.remove(&key));
        }
        let slot = Arc::new(Slot::new(*to, class));
        slot.touch(now);
        map.insert(key, slot.clone());
        slot
    }
}

#[cfg(test)]
mod tests;
