//! Counters of what an endpoint moves, whom it serves, and what it refused to take from others.

use dfs_core::id::Role;
use std::sync::Arc;
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

/// What went through an endpoint's socket, headers of QUIC included, those of UDP not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Bytes received.
    pub received_bytes: u64,
}

/// Counts what goes through a socket.
#[derive(Debug, Default)]
pub(super) struct TrafficCounters {
    pub(super) sent_bytes: AtomicU64,
    pub(super) received_bytes: AtomicU64,
}

impl TrafficCounters {
    pub(super) fn snapshot(&self) -> Traffic {
        Traffic {
            sent_bytes: self.sent_bytes.load(Ordering::Relaxed),
            received_bytes: self.received_bytes.load(Ordering::Relaxed),
        }
    }
}

/// Connections of others that are served now, by their role.
#[derive(Debug, Default)]
pub(super) struct Served([AtomicU64; Role::ALL.len()]);

impl Served {
    /// Counts a connection while what is returned lives.
    pub(super) fn enter(self: &Arc<Self>, role: Role) -> ServedGuard {
        self.0[role as usize].fetch_add(1, Ordering::Relaxed);
        ServedGuard { served: self.clone(), role }
    }

    pub(super) fn count(&self, role: Role) -> u64 {
        self.0[role as usize].load(Ordering::Relaxed)
    }
}

/// One connection that is served.
pub(super) struct ServedGuard {
    served: Arc<Served>,
    role: Role,
}

impl Drop for ServedGuard {
    fn drop(&mut self) {
        self.served.0[self.role as usize].fetch_sub(1, Ordering::Relaxed);
    }
}
