//! Blocking work on virtual time: lanes and single jobs are tasks that wait, run the job inline, wait again, and then
//! deliver.
//!
//! The first wait lets a group commit gather its batch; the second puts room between a write and its completion, where
//! a crash can fall. Both are drawn from the machine's seed. A job's result is lost if its scope was killed meanwhile,
//! because the waiting task belongs to the scope.

use crate::random::{Random, Seed};
use dfs_transport::world::{Job, Lane, LaneQueue, Offload, Scope};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// How long blocking work takes.
#[derive(Clone, Copy, Debug)]
pub struct WorkDelays {
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
        WorkDelays { before_ms_max: 1, after_ms_max: 2, stall_ppm: 500, stall_ms_max: 60 }
    }
}

/// Does blocking work on virtual time. Clones share their delays and their randomness.
#[derive(Clone, Debug)]
pub struct SimOffload(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    random: Random,
    delays: WorkDelays,
}

impl SimOffload {
    /// Draws its delays from `seed`.
    #[must_use]
    pub fn new(seed: Seed, delays: WorkDelays) -> SimOffload {
        SimOffload(Arc::new(Mutex::new(State { random: seed.random(), delays })))
    }

    /// Makes work slower or faster from now on.
    pub fn set_delays(&self, delays: WorkDelays) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).delays = delays;
    }

    async fn wait(&self, longest_ms: impl Fn(&WorkDelays) -> u64) {
        let wait_ms = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let delays = state.delays;
            let longest = if state.random.chance(delays.stall_ppm) { delays.stall_ms_max } else { longest_ms(&delays) };
            state.random.within(0..=longest)
        };
        match wait_ms {
            0 => tokio::task::yield_now().await,
            wait_ms => tokio::time::sleep(Duration::from_millis(wait_ms)).await,
        }
    }

    /// Does one job. A panic loses its result, as on a production lane.
    async fn perform(&self, job: Job) {
        self.wait(|delays| delays.before_ms_max).await;
        if let Ok(deliver) = catch_unwind(AssertUnwindSafe(job)) {
            self.wait(|delays| delays.after_ms_max).await;
            deliver();
        }
    }
}

impl Offload for SimOffload {
    fn lane(&self, scope: &Scope, name: &str) -> Lane {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let offload = self.clone();
        scope.spawn(async move {
            while let Some(job) = receiver.recv().await {
                offload.perform(job).await;
            }
        });
        Lane::new(name, Arc::new(Queue(sender)))
    }

    fn blocking(&self, scope: &Scope, job: Job) {
        let offload = self.clone();
        scope.spawn(async move { offload.perform(job).await });
    }
}

struct Queue(mpsc::UnboundedSender<Job>);

impl LaneQueue for Queue {
    fn post(&self, job: Job) {
        // A failed send means that the scope was killed; dropping the job tells its poster.
        let _ = self.0.send(job);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

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
    async fn a_killed_scope_does_no_work() {
        let scope = scope();
        let lane = scope.lane("test");
        scope.kill();
        assert!(lane.run(|| ()).await.is_err());
        assert!(scope.blocking(|| ()).await.is_err());
        assert!(scope.lane("late").run(|| ()).await.is_err());
    }
}
