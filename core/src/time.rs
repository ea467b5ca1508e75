//! Cluster time and wall time, which are never confused: they are different types.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The replicated counter of milliseconds that the leader advances by elapsed monotonic time. It stands still
/// without a leader; all expiries, graces and leases that outlive a leader use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct ClusterTime(pub u64);

impl ClusterTime {
    /// This time, `later` on.
    #[must_use]
    pub fn plus(self, later: Duration) -> ClusterTime {
        ClusterTime(self.0.saturating_add(u64::try_from(later.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The time that passed since `earlier`; zero if that lies ahead.
    #[must_use]
    pub fn since(self, earlier: ClusterTime) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Milliseconds since 1970-01-01T00:00:00Z by some machine's wall clock: for modification times and certificates
/// only, never for order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct WallTime(pub u64);
