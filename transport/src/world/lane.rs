//! Lanes: serial workers for blocking work.
//!
//! A lane runs one job at a time, in the order of posting. In production it is a thread; in simulation it is a task
//! that waits a seeded delay, runs the job inline, waits again, and then delivers its result, so that group commits
//! form and a crash can fall between a write and its completion.
//!
//! A lane's queue has no bound of its own: whoever posts holds a permit for what the job costs.

use super::scope::Killed;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::oneshot;

/// What makes the result of a job known. It runs after the job, and never if the node was killed in between.
pub type Delivery = Box<dyn FnOnce() + Send>;

/// Blocking work, in two steps: doing it, and making its result known.
pub type Job = Box<dyn FnOnce() -> Delivery + Send>;

/// The worker behind a lane.
pub trait LaneQueue: Send + Sync + 'static {
    /// Puts a job at the end of the queue. A killed lane drops it.
    fn post(&self, job: Job);
}

/// A handle to one serial worker. The worker ends when the last handle is dropped and its queue is empty.
#[derive(Clone)]
pub struct Lane {
    name: Arc<str>,
    queue: Arc<dyn LaneQueue>,
    waiting: Arc<AtomicUsize>,
}

/// A job that waits for its lane, for as long as this lives.
struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    fn new(waiting: &Arc<AtomicUsize>) -> Waiting {
        waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(waiting.clone())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Lane {
    /// Wraps a worker.
    #[must_use]
    pub fn new(name: &str, queue: Arc<dyn LaneQueue>) -> Lane {
        Lane { name: name.into(), queue, waiting: Arc::default() }
    }

    /// How many jobs wait until their turn comes.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Runs `work` on the lane and waits for its result.
    ///
    /// # Errors
    /// [`Killed`] if the node was killed, or `work` panicked.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Killed> {
        let (result, done) = oneshot::channel();
        self.post(work, |outcome| {
            let _ = result.send(outcome);
        });
        done.await.map_err(|_| Killed)
    }

    /// Runs `work` on the lane, then hands its result to `deliver`, without waiting for either. If `work` panics or
    /// the node is killed, `deliver` is dropped without being called.
    pub fn post<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
        deliver: impl FnOnce(T) + Send + 'static,
    ) {
        let waiting = Waiting::new(&self.waiting);
        self.queue.post(Box::new(move || {
            drop(waiting);
            let outcome = work();
            Box::new(move || deliver(outcome))
        }));
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lane({})", self.name)
    }
}
