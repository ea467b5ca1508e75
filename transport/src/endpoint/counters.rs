//! Counters of what an endpoint refused to take from others.

use std::sync::atomic::{AtomicU64, Ordering};

/// What an endpoint has refused since it was bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Refused {
    /// Connections beyond the bounds.
    pub connections: u64,
    /// Connections without an acceptable certificate, or that broke during the handshake.
    pub handshakes: u64,
    /// Hellos that did not fit, or did not come.
    pub hellos: u64,
    /// Streams whose first bytes are no request, or that ended early.
    pub malformed: u64,
    /// Requests with a message beyond its bound.
    pub too_large: u64,
    /// Requests for a service that does not exist.
    pub unknown: u64,
    /// Requests beyond the bound of all messages together.
    pub overloaded: u64,
    /// Requests that did not arrive in time.
    pub silent: u64,
}

/// One counter for each field of [`Refused`].
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) connections: AtomicU64,
    pub(super) handshakes: AtomicU64,
    pub(super) hellos: AtomicU64,
    pub(super) malformed: AtomicU64,
    pub(super) too_large: AtomicU64,
    pub(super) unknown: AtomicU64,
    pub(super) overloaded: AtomicU64,
    pub(super) silent: AtomicU64,
}

impl Counters {
    pub(super) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn snapshot(&self) -> Refused {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Refused {
            connections: read(&self.connections),
            handshakes: read(&self.handshakes),
            hellos: read(&self.hellos),
            malformed: read(&self.malformed),
            too_large: read(&self.too_large),
            unknown: read(&self.unknown),
            overloaded: read(&self.overloaded),
            silent: read(&self.silent),
        }
    }
}
