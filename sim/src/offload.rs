//! Blocking work on virtual time: lanes and single jobs are tasks that wait, run the job inline, wait again, and then
//! deliver.
//!
//! The first wait lets a group commit gather its batch; the second puts room between a write and its completion, where
//! a crash can fall. Both are drawn from the machine's seed. A job's result is lost if its scope was killed meanwhile,
//! because the waiting task belongs to the scope.

use crate::random::{Random, Seed};
use dfs_transport::world::{Job, Lane, LaneQueue, Offload, Scope};
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// How long blocking work takes.
#[derive(Clone, Copy, Debug)]
pub struct WorkDelays {
    /// The shortest wait before a job, in milliseconds.
    pub before_ms_min: u64,
    /// The longest wait before a job, in milliseconds.
    pub before_ms_max: u64,
    /// The longest wait between a job and its delivery, in milliseconds.
    pub after_ms_max: u64,
    /// How many of a million waits are stalls instead.
    pub stall_ppm: u32,
    /// The longest stall, in milliseconds.
    pub stall_ms_max: u64,
}

impl Default for WorkDelays {
    /// A solid-state disk with a hiccup now and then.
    fn default() -> WorkDelays {
        WorkDelays { before_ms_min: 0, before_ms_max: 1, after_ms_max: 2, stall_ppm: 500, stall_ms_max: 60 }
    }
}

impl WorkDelays {
    /// A disk that many share: 20 to 80 ms a job.
    #[must_use]
    pub fn slow() -> WorkDelays {
        WorkDelays { before_ms_min: 20, before_ms_max: 50, after_ms_max: 30, stall_ppm: 1_000, stall_ms_max: 500 }
    }

    /// A dying disk: most jobs are as quick as ever, some take seconds.
    #[must_use]
    pub fn stalling() -> WorkDelays {
        WorkDelays { stall_ppm: 10_000, stall_ms_max: 5_000, ..WorkDelays::default() }
    }
}

/// Does blocking work on virtual time. Clones share their delays and their randomness.
#[derive(Clone, Debug)]
pub struct SimOffload(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    random: Random,
    delays: WorkDelays,
    most_queued: u64,
}

impl SimOffload {
    /// Draws its delays from `seed`.
    #[must_use]
    pub fn new(seed: Seed, delays: WorkDelays) -> SimOffload {
        SimOffload(Arc::new(Mutex::new(State { random: seed.random(), delays, most_queued: 0 })))
    }

    /// Makes work slower or faster from now on.
    pub fn set_delays(&self, delays: WorkDelays) {
        self.state().delays = delays;
    }

    /// The most jobs that any of its lanes has had at once, those that wait and the one under way.
    #[must_use]
    pub fn most_queued(&self) -> u64 {
        self.state().most_queued
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn wait(&self, range_ms: impl Fn(&WorkDelays) -> RangeInclusive<u64>) {
        let wait_ms = {
            let mut state = self.state();
            let delays = state.delays;
            let stalls = state.random.chance(delays.stall_ppm);
            state.random.within(if stalls { 0..=delays.stall_ms_max } else { range_ms(&delays) })
        };
        match wait_ms {
            0 => tokio::task::yield_now().await,
            wait_ms => tokio::time::sleep(Duration::from_millis(wait_ms)).await,
        }
    }

    /// Does one job. A panic loses its result, as on a production lane.
    async fn perform(&self, job: Job) {
        self.wait(|delays| delays.before_ms_min..=delays.before_ms_max).await;
        if let Ok(deliver) = catch_unwind(AssertUnwindSafe(job)) {
            self.wait(|delays| 0..=delays.after_ms_max).await;
            deliver();
        }
    }
}

impl Offload for SimOffload {
    fn lane(&self, scope: &Scope, name: &str) -> Lane {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let offload = self.clone();
        let queued = Arc::<AtomicU64>::default();
        let queue = Queue { jobs: sender, queued: queued.clone(), offload: self.clone() };
        scope.spawn(async move {
            while let Some(job) = receiver.recv().await {
                offload.perform(job).await;
                queued.fetch_sub(1, Ordering::Relaxed);
            }
        });
        Lane::new(name, Arc::new(queue))
    }

    fn blocking(&self, scope: &Scope, job: Job) {
        let offload = self.clone();
        scope.spawn(async move { offload.perform(job).await });
    }
}

struct Queue {
    jobs: mpsc::UnboundedSender<Job>,
    /// Jobs that have not been delivered.
    queued: Arc<AtomicU64>,
    offload: SimOffload,
}

impl LaneQueue for Queue {
    fn post(&self, job: Job) {
        // A failed send means that the scope was killed; dropping the job tells its poster.
        if self.jobs.send(job).is_ok() {
            let queued = self.queued.fetch_add(1, Ordering::Relaxed) + 1;
            let mut state = self.offload.state();
            state.most_queued = state.most_queued.max(queued);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;
    use tokio::time::Instant;

    fn scope() -> Scope {
        let delays = WorkDelays { before_ms_max: 5, after_ms_max: 5, ..WorkDelays::default() };
        Scope::new("test", Arc::new(SimOffload::new(Seed::new(1), delays)))
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_delivers_in_order_and_survives_a_panic() {
        let scope = scope();
        let lane = scope.lane("test");
        let delivered: Arc<Mutex<Vec<u32>>> = Arc::default();
        for number in 0..20 {
            let delivered = delivered.clone();
            lane.post(move || number, move |number| delivered.lock().unwrap().push(number));
        }
        assert!(lane.run(|| panic!("a job that fails")).await.is_err());
        assert_eq!(lane.run(|| 7).await.unwrap(), 7);
        assert_eq!(*delivered.lock().unwrap(), (0..20).collect::<Vec<_>>());
        drop(lane);
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(scope.task_count(), 0, "the worker ends with its last handle");
    }

    #[tokio::test(start_paused = true)]
    async fn a_kill_between_work_and_delivery_loses_the_result() {
        let done = Arc::new(AtomicU32::new(0));
        let mut lost = 0;
        for _ in 0..50 {
            let scope = scope();
            let counter = done.clone();
            let before = done.load(Ordering::Relaxed);
            let work = scope.blocking(move || counter.fetch_add(1, Ordering::Relaxed));
            let killer = async {
                tokio::time::sleep(Duration::from_millis(5)).await;
                scope.kill();
            };
            let (result, ()) = tokio::join!(work, killer);
            if result.is_err() && done.load(Ordering::Relaxed) > before {
                lost += 1;
            }
        }
        assert!(lost > 0, "some crash falls between the work and its completion");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_disk_takes_its_time_and_a_stalling_one_stops_now_and_then() {
        let offload = SimOffload::new(Seed::new(1), WorkDelays { stall_ppm: 0, ..WorkDelays::slow() });
        let scope = Scope::new("test", Arc::new(offload.clone()));
        let time = async || {
            let begin = Instant::now();
            scope.blocking(|| ()).await.unwrap();
            begin.elapsed().as_millis()
        };
        for _ in 0..100 {
            assert!((20..=80).contains(&time().await));
        }
        offload.set_delays(WorkDelays::stalling());
        let mut times = Vec::new();
        for _ in 0..1000 {
            times.push(time().await);
        }
        times.sort_unstable();
        assert!(times[900] < 10 && times[999] > 1_000, "{:?}", &times[990..]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_queue_of_any_lane_is_known() {
        let offload = SimOffload::new(Seed::new(1), WorkDelays::default());
        let scope = Scope::new("test", Arc::new(offload.clone()));
        let (one, other) = (scope.lane("one"), scope.lane("other"));
        for _ in 0..3 {
            one.post(|| (), |()| {});
            other.post(|| panic!("a job that fails"), |()| {});
        }
        one.run(|| ()).await.unwrap();
        other.run(|| ()).await.unwrap();
        assert_eq!(offload.most_queued(), 4);
        one.run(|| ()).await.unwrap();
        assert_eq!(offload.most_queued(), 4, "a queue that was done counts no more");
        scope.kill();
        tokio::task::yield_now().await;
        for _ in 0..9 {
            one.post(|| (), |()| {});
        }
        assert_eq!(offload.most_queued(), 4, "a killed lane has no queue");
    }

    #[tokio::test(start_paused = true)]
    async fn a_killed_scope_does_no_work() {
        let scope = scope();
        let lane = scope.lane("test");
        scope.kill();
        assert!(lane.run(|| ()).await.is_err());
        assert!(scope.blocking(|| ()).await.is_err());
        assert!(scope.lane("late").run(|| ()).await.is_err());
    }
}
