//! What a node counts of its own work, for operators: requests and permits, and the time that things take.
//!
//! Counters live where the work is done and are read when somebody asks; nothing here waits, and nothing is global: each
//! node has a meter of its own. *Bounds*: one small record for each method that has a name, and one for each pool of
//! permits.

use dfs_core::wire::Service;
use dfs_core::wire::method::method_name;
use dfs_transport::exchange::{Outcome, Probe, Traffic};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// The upper bounds of a histogram's buckets, in microseconds; what takes longer is counted behind the last.
pub const BUCKETS_US: [u64; 15] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    10_000_000,
];

/// How long things took.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS_US.len() + 1],
    sum_us: AtomicU64,
}

/// A histogram at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    /// How many took at most as long as each of [`BUCKETS_US`], and no longer than the one before; the last took longer.
    pub counts: [u64; BUCKETS_US.len() + 1],
    /// All of them together.
    pub sum: Duration,
}

impl Histogram {
    /// Counts one.
    pub fn record(&self, took: Duration) {
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BUCKETS_US.partition_point(|bound| *bound < took_us);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(took_us, Ordering::Relaxed);
    }

    /// Counts how long `work` takes.
    pub fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let outcome = work();
        self.record(began.elapsed());
        outcome
    }

    /// What was counted so far.
    #[must_use]
    pub fn distribution(&self) -> Distribution {
        Distribution {
            counts: self.buckets.each_ref().map(|bucket| bucket.load(Ordering::Relaxed)),
            sum: Duration::from_micros(self.sum_us.load(Ordering::Relaxed)),
        }
    }
}

impl Distribution {
    /// How many were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// The requests of one method.
#[derive(Debug, Default)]
struct MethodMeter {
    outcomes: [AtomicU64; Outcome::ALL.len()],
    durations: Histogram,
}

/// The requests of one method, at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MethodReport {
    /// The service.
    pub service: Service,
    /// The method's name.
    pub method: &'static str,
    /// How many ended how.
    pub outcomes: [(Outcome, u64); Outcome::ALL.len()],
    /// How long they took, from when they were let in.
    pub durations: Distribution,
}

/// A pool of permits, at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolReport {
    /// What the permits are for.
    pub pool: &'static str,
    /// How many there are.
    pub limit: u64,
    /// How many are held now.
    pub held: u64,
}

/// What a node counts of the requests that it serves. Clones are the same meter.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    methods: Mutex<BTreeMap<(Service, &'static str), Arc<MethodMeter>>>,
    pools: Mutex<BTreeMap<&'static str, (Arc<Semaphore>, usize)>>,
    traffic: Mutex<BTreeMap<Service, Arc<Traffic>>>,
    queues: Mutex<BTreeMap<&'static str, Arc<AtomicU64>>>,
    turned_away: Mutex<BTreeMap<(Service, &'static str), u64>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Meter {
    /// Counts a request that was let in: how it ends, as `probe` tells, and how long it takes, until what is returned
    /// is dropped.
    #[must_use]
    pub fn begin(&self, service: Service, method: u8, probe: Probe) -> Measured {
        let key = (service, method_name(service, method));
        let meter = lock(&self.0.methods).entry(key).or_default().clone();
        Measured { meter, probe, began: Instant::now() }
    }

    /// Counts a request that was not let in.
    pub fn turned_away(&self, service: Service, reason: &'static str) {
        *lock(&self.0.turned_away).entry((service, reason)).or_default() += 1;
    }

    /// Where the bytes of a service's requests are counted, as they pass.
    #[must_use]
    pub fn traffic(&self, service: Service) -> Arc<Traffic> {
        lock(&self.0.traffic).entry(service).or_default().clone()
    }

    /// Counts a request that waits until an actor takes it up, until what is returned is dropped.
    #[must_use]
    pub fn wait(&self, actor: &'static str) -> Waiting {
        let length = lock(&self.0.queues).entry(actor).or_default().clone();
        length.fetch_add(1, Ordering::Relaxed);
        Waiting(length)
    }

    /// Shows how many of these permits are held. A pool that comes again takes the place of the one before it.
    pub fn watch_pool(&self, pool: &'static str, permits: &Arc<Semaphore>, limit: usize) {
        lock(&self.0.pools).insert(pool, (permits.clone(), limit));
    }

    /// The requests that have ended so far, by service and method.
    #[must_use]
    pub fn methods(&self) -> Vec<MethodReport> {
        let report = |((service, method), meter): (&(Service, &'static str), &Arc<MethodMeter>)| MethodReport {
            service: *service,
            method,
            outcomes: Outcome::ALL.map(|outcome| (outcome, meter.outcomes[outcome as usize].load(Ordering::Relaxed))),
            durations: meter.durations.distribution(),
        };
        lock(&self.0.methods).iter().map(report).collect()
    }

    /// The requests that were not let in, by service and reason.
    #[must_use]
    pub fn refusals(&self) -> Vec<(Service, &'static str, u64)> {
        let turned_away = lock(&self.0.turned_away);
        turned_away.iter().map(|((service, reason), count)| (*service, *reason, *count)).collect()
    }

    /// The bytes of requests by service: what was received, and what was sent.
    #[must_use]
    pub fn bytes(&self) -> Vec<(Service, u64, u64)> {
        let read = |(service, traffic): (&Service, &Arc<Traffic>)| {
            (*service, traffic.received.load(Ordering::Relaxed), traffic.sent.load(Ordering::Relaxed))
        };
        lock(&self.0.traffic).iter().map(read).collect()
    }

    /// The requests that wait until an actor takes them up, by actor.
    #[must_use]
    pub fn queues(&self) -> Vec<(&'static str, u64)> {
        lock(&self.0.queues).iter().map(|(actor, length)| (*actor, length.load(Ordering::Relaxed))).collect()
    }

    /// The pools of permits, by name.
    #[must_use]
    pub fn pools(&self) -> Vec<PoolReport> {
        let report = |(pool, (permits, limit)): (&&'static str, &(Arc<Semaphore>, usize))| PoolReport {
            pool,
            limit: *limit as u64,
            held: limit.saturating_sub(permits.available_permits()) as u64,
        };
        lock(&self.0.pools).iter().map(report).collect()
    }
}

/// A request that waits for an actor, for as long as this lives.
#[derive(Debug)]
pub struct Waiting(Arc<AtomicU64>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request that is being measured. It is counted when this is dropped.
pub struct Measured {
    meter: Arc<MethodMeter>,
    probe: Probe,
    began: Instant,
}

impl Drop for Measured {
    fn drop(&mut self) {
        self.meter.outcomes[self.probe.outcome() as usize].fetch_add(1, Ordering::Relaxed);
        self.meter.durations.record(self.began.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_into_the_bucket_that_bounds_them() {
        let histogram = Histogram::default();
        for took_us in [0, 100, 101, 10_000_000, 10_000_001] {
            histogram.record(Duration::from_micros(took_us));
        }
        let distribution = histogram.distribution();
        assert_eq!((distribution.counts[0], distribution.counts[1]), (2, 1));
        assert_eq!(distribution.counts[BUCKETS_US.len() - 1..], [1, 1]);
        assert_eq!((distribution.count(), distribution.sum), (5, Duration::from_micros(20_000_202)));
        assert!(BUCKETS_US.is_sorted());
    }

    #[tokio::test]
    async fn a_request_that_is_given_up_counts_as_failed_and_strangers_make_no_names() {
        let meter = Meter::default();
        for method in [200, 201, 202] {
            drop(meter.begin(Service::Namespace, method, Probe::default()));
        }
        let methods = meter.methods();
        assert_eq!(methods.len(), 1, "{methods:?}");
        assert_eq!((methods[0].method, methods[0].outcomes[0]), ("other", (Outcome::Failed, 3)));
        let permits = Arc::new(Semaphore::new(5));
        let _held = permits.clone().try_acquire_many_owned(2).unwrap();
        meter.watch_pool("things", &permits, 5);
        assert_eq!(meter.pools(), [PoolReport { pool: "things", limit: 5, held: 2 }]);
        let waiting = [meter.wait("actor"), meter.wait("actor")];
        assert_eq!(meter.queues(), [("actor", 2)]);
        drop(waiting);
        assert_eq!(meter.queues(), [("actor", 0)]);
    }
}
