//! One place for one connection: idle, connecting, connected, or backing off.
//!
//! Connecting happens in a task of its own, whose outcome all callers share: a caller that gives up does not end it,
//! and no lock is held while it runs. After a failure, callers are told of it at once until the back-off is over.
//!
//! A connection that nobody used for a while is forgotten, and ends with its last stream: an idle node keeps only those
//! alive that it needs.

use super::connect::connect;
use super::unreachable::UnreachableReason;
use super::{Class, Destination};
use crate::endpoint::Shared;
use crate::world::OwnedTask;
use dfs_core::limit::{CONNECTION_UNUSED_MS, HELLO_MS};
use quinn::Connection;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// The first back-off; each further failure doubles it.
const BACK_OFF_MIN: Duration = Duration::from_millis(50);
/// The longest back-off.
const BACK_OFF_MAX: Duration = Duration::from_secs(1);
/// How long a connection is kept for the next use.
const UNUSED_MAX: Duration = Duration::from_millis(CONNECTION_UNUSED_MS);

type Outcome = Result<Arc<Connection>, UnreachableReason>;

#[derive(Debug)]
enum State {
    Idle,
    Connecting(watch::Receiver<Option<Outcome>>),
    Connected {
        connection: Arc<Connection>,
        used: Instant,
        #[allow(dead_code, reason = "held: it ends with the state")]
        forgetting: OwnedTask<()>,
    },
    BackingOff {
        until: Instant,
        reason: UnreachableReason,
    },
}

/// One place for one connection.
#[derive(Debug)]
pub(super) struct Slot {
    to: Destination,
    class: Class,
    inner: Mutex<Inner>,
    /// When it was last used, by the count of all uses of all slots.
    pub(super) used: AtomicU64,
}

#[derive(Debug)]
struct Inner {
    state: State,
    /// Failures in a row.
    failures: u32,
}

impl Slot {
    pub(super) fn new(to: Destination, class: Class) -> Slot {
        let inner = Mutex::new(Inner { state: State::Idle, failures: 0 });
        Slot { to, class, inner, used: AtomicU64::new(0) }
    }

    /// The round trip of the connection, if there is one.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        match &self.lock().state {
            State::Connected { connection, .. } => Some(connection.rtt()),
            State::Idle | State::Connecting(_) | State::BackingOff { .. } => None,
        }
    }

    /// The connection, which may have to be opened first.
    pub(super) async fn connection(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        deadline: Instant,
    ) -> Result<Arc<Connection>, UnreachableReason> {
        let mut outcome = match self.present(shared) {
            Ok(settled) => return settled,
            Err(connecting) => connecting,
        };
        let settled = tokio::time::timeout_at(deadline, outcome.wait_for(Option::is_some)).await;
        match settled {
            Err(_) => Err(UnreachableReason::Silent),
            // The connecting task ended without an outcome: the node is being killed.
            Ok(Err(_)) => Err(UnreachableReason::LocallyStopping),
            Ok(Ok(outcome)) => outcome.clone().unwrap_or(Err(UnreachableReason::LocallyStopping)),
        }
    }

    /// What is known at once, or else where the outcome will appear.
    fn present(self: &Arc<Self>, shared: &Arc<Shared>) -> Result<Outcome, watch::Receiver<Option<Outcome>>> {
        let mut inner = self.lock();
        match &mut inner.state {
            State::Connected { connection, used, .. } if connection.close_reason().is_none() => {
                *used = Instant::now();
                return Ok(Ok(connection.clone()));
            }
            State::BackingOff { until, reason } if Instant::now() < *until => return Ok(Err(reason.clone())),
            State::Connecting(outcome) if outcome.has_changed().is_ok() => return Err(outcome.clone()),
            _ => {}
        }
        let (sender, outcome) = watch::channel(None);
        inner.state = State::Connecting(outcome.clone());
        drop(inner);
        shared.world().scope.spawn(open(self.clone(), shared.clone(), sender));
        Err(outcome)
    }

    /// Forgets `connection`, which has been lost.
    pub(super) fn forget(&self, connection: &Arc<Connection>) {
        let mut inner = self.lock();
        if matches!(&inner.state, State::Connected { connection: present, .. } if Arc::ptr_eq(present, connection)) {
            inner.state = State::Idle;
        }
    }

    /// Whether evicting it would interrupt nobody: connections end by themselves once their last stream does.
    pub(super) fn is_evictable(&self) -> bool {
        !matches!(self.lock().state, State::Connecting(_))
    }

    pub(super) fn touch(&self, now: u64) {
        self.used.store(now, Ordering::Relaxed);
    }

    fn settle(self: &Arc<Self>, shared: &Shared, outcome: &Outcome) {
        let mut inner = self.lock();
        match outcome {
            Ok(connection) => {
                inner.failures = 0;
                let forgetting = shared.world().scope.spawn(forget_unused(Arc::downgrade(self))).owned();
                inner.state = State::Connected { connection: connection.clone(), used: Instant::now(), forgetting };
            }
            Err(reason) => {
                let back_off = BACK_OFF_MIN.saturating_mul(1 << inner.failures.min(10)).min(BACK_OFF_MAX);
                inner.failures += 1;
                let until = Instant::now() + shared.world().entropy.jitter(back_off);
                inner.state = State::BackingOff { until, reason: reason.clone() };
                let (to, failures) = (&self.to, inner.failures);
                if reason.is_lasting() || matches!(reason, UnreachableReason::WrongPeer { .. }) {
                    tracing::warn!(failures, "cannot use {to}: {reason}");
                } else {
                    tracing::debug!(failures, "cannot use {to}: {reason}");
                }
            }
        }
    }

    /// Forgets a connection that nobody has used for long, or says when that may be.
    fn forget_unused(&self) -> Option<Instant> {
        let mut inner = self.lock();
        let State::Connected { used, .. } = &inner.state else { return None };
        let until = *used + UNUSED_MAX;
        if Instant::now() < until {
            return Some(until);
        }
        inner.state = State::Idle;
        None
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens the slot's connection and tells everyone who waits.
async fn open(slot: Arc<Slot>, shared: Arc<Shared>, sender: watch::Sender<Option<Outcome>>) {
    let deadline = Instant::now() + Duration::from_millis(HELLO_MS);
    let outcome = connect(&shared, &slot.to, slot.class, deadline).await.map(Arc::new);
    slot.settle(&shared, &outcome);
    sender.send_replace(Some(outcome));
}

/// Waits until the slot's connection was not used for long, and forgets it. The state that holds the connection owns
/// this task.
async fn forget_unused(slot: Weak<Slot>) {
    let mut until = Some(Instant::now() + UNUSED_MAX);
    while let Some(next) = until {
        sleep_until(next).await;
        until = slot.upgrade().and_then(|slot| slot.forget_unused());
    }
}
