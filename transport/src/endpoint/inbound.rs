//! A request as it came in, and where it goes.

use crate::exchange::Exchange;
use crate::identity::PeerIdentity;
use crate::peers::Class;
use bytes::Bytes;
use dfs_core::id::{ClusterId, Incarnation};
use dfs_core::refusal::Refusal;
use dfs_core::wire::{self, Request, Service};
use std::net::SocketAddr;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

/// Takes requests of peers.
pub trait Dispatch: Send + Sync + 'static {
    /// Takes one request. Must not block; what takes time goes into a task. Dropping the exchange unanswered tells the
    /// peer that the request failed.
    fn dispatch(&self, inbound: Inbound);
}

/// One request of a peer.
#[derive(Debug)]
pub struct Inbound {
    /// Who sends it, by its certificate.
    pub peer: PeerIdentity,
    /// Where it comes from.
    pub address: SocketAddr,
    /// The cluster that the peer said it belongs to.
    pub cluster: Option<ClusterId>,
    /// The life of the peer's process that it told in its hello.
    pub incarnation: Option<Incarnation>,
    /// What the connection is for.
    pub class: Class,
    /// Whom it is for.
    pub service: Service,
    /// Its method there.
    pub method: u8,
    /// The version of its message.
    pub version: u8,
    /// When the peer stops waiting.
    pub deadline: Instant,
    /// Its message, still encoded.
    pub message: Bytes,
    /// The rest of the stream.
    pub exchange: Exchange,
    /// The message's share of the bound of all messages.
    pub(super) permit: OwnedSemaphorePermit,
}

impl Inbound {
    /// Decodes the message as the request `R`, which the caller chose by service and method.
    ///
    /// # Errors
    /// [`Refusal::UnknownMethod`] for another version or method, [`Refusal::Malformed`] for anything but exactly one `R`.
    pub fn decode<R: Request>(&self) -> Result<R, Refusal> {
        if (self.service, self.method, self.version) != (R::SERVICE, R::METHOD, R::VERSION) {
            return Err(Refusal::UnknownMethod);
        }
        wire::decode(&self.message).map_err(|_| Refusal::Malformed)
    }

    /// Gives up the message, and with it its share of the bound, for an exchange that outlives it.
    #[must_use]
    pub fn into_exchange(self) -> Exchange {
        drop(self.permit);
        self.exchange
    }
}
