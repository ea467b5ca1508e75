//! The world that a node runs in: its tasks, its blocking work, its wall clock, its randomness and its sockets.
//!
//! Production and simulation differ only in the parts that a [`World`] is made of. Monotonic time is not among them:
//! all waiting goes through tokio's clock, which a simulation pauses.
//!
//! - [`Scope`] owns every task of a node: `kill` ends them all. A task that must end earlier has an owner that drops
//!   or aborts it.
//! - [`Lane`] is one serial worker for blocking work: a thread in production, a task with virtual delays in
//!   simulation.
//! - [`WallClock`], [`Entropy`] and [`Network`] are the only ways to the wall clock, to randomness and to sockets.

mod lane;
pub mod production;
mod scope;

pub use lane::{Delivery, Job, Lane, LaneQueue};
pub use scope::{Killed, Offload, OwnedTask, Scope, Task};

use dfs_core::time::WallTime;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// A machine's wall clock. It may be wrong and may jump.
pub trait WallClock: Send + Sync + 'static {
    /// What it shows.
    fn now(&self) -> WallTime;
}

/// Where randomness comes from.
pub trait EntropySource: Send + Sync + 'static {
    /// Fills `bytes` with randomness that is fit for keys.
    fn fill(&self, bytes: &mut [u8]);
}

/// Where UDP sockets come from.
pub trait Network: Send + Sync + 'static {
    /// Binds a socket. Port zero asks for any free port.
    ///
    /// # Errors
    /// The address is taken, or not one of this machine.
    fn bind(&self, address: SocketAddr) -> io::Result<Arc<dyn quinn::AsyncUdpSocket>>;
}

/// A source of randomness.
#[derive(Clone)]
pub struct Entropy(Arc<dyn EntropySource>);

impl Entropy {
    /// Wraps a source.
    pub fn new(source: impl EntropySource) -> Entropy {
        Entropy(Arc::new(source))
    }

    /// `N` random bytes.
    #[must_use]
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill(&mut bytes);
        bytes
    }

    /// A random number below 2⁶⁴.
    #[must_use]
    pub fn number(&self) -> u64 {
        u64::from_le_bytes(self.bytes())
    }

    /// A random number below 2¹²⁸: the stuff of identities.
    #[must_use]
    pub fn wide_number(&self) -> u128 {
        u128::from_le_bytes(self.bytes())
    }

    /// `duration`, shortened or lengthened by up to half: what a back-off waits.
    #[must_use]
    pub fn jitter(&self, duration: std::time::Duration) -> std::time::Duration {
        // A thousandth of a half is fine enough for anything that backs off.
        let permille = u32::try_from(self.number() % 1001).unwrap_or(500);
        duration.saturating_mul(500 + permille) / 1000
    }
}

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entropy")
    }
}

/// Everything that a node needs from outside, but for its data directory.
#[derive(Clone)]
pub struct World {
    /// The owner of all its tasks.
    pub scope: Scope,
    /// Its wall clock.
    pub wall_clock: Arc<dyn WallClock>,
    /// Its randomness.
    pub entropy: Entropy,
    /// Its sockets.
    pub network: Arc<dyn Network>,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("scope", &self.scope).finish_non_exhaustive()
    }
}
