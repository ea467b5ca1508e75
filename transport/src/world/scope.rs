//! Scopes: the owners of tasks.
//!
//! Every task of a node is spawned through its scope, which can end them all at once. Inside such a task,
//! [`Scope::current`] is that scope, so that libraries which spawn through a static function (Raft's runtime) land in
//! it too.

use super::lane::{Delivery, Job, Lane};
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinHandle};

/// The node was killed, or the work panicked: there is no result and never will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the work was ended before it had a result")]
pub struct Killed;

impl From<Killed> for io::Error {
    fn from(killed: Killed) -> io::Error {
        io::Error::other(killed)
    }
}

/// How blocking work is done: threads in production, virtual delays in simulation.
pub trait Offload: Send + Sync + 'static {
    /// Makes a serial worker for `scope`.
    fn lane(&self, scope: &Scope, name: &str) -> Lane;
    /// Runs one job for `scope` beside others, in no particular order.
    fn blocking(&self, scope: &Scope, job: Job);
}

tokio::task_local! {
    static CURRENT: Scope;
}

/// The owner of a node's tasks. Clones are the same scope.
#[derive(Clone)]
pub struct Scope(Arc<Inner>);

struct Inner {
    name: String,
    offload: Arc<dyn Offload>,
    /// Read before every poll of every task, without the lock; changed under it.
    paused: AtomicBool,
    tasks: Mutex<Tasks>,
}

#[derive(Default)]
struct Tasks {
    killed: bool,
    next: u64,
    alive: BTreeMap<u64, AbortHandle>,
    /// Who wanted to run while it was paused.
    held: BTreeMap<u64, Waker>,
}

impl Scope {
    /// A scope without tasks.
    pub fn new(name: impl Into<String>, offload: Arc<dyn Offload>) -> Scope {
        Scope(Arc::new(Inner { name: name.into(), offload, paused: AtomicBool::new(false), tasks: Mutex::default() }))
    }

    /// The name it was made with, for logs.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The scope of the running task, if a scope spawned it.
    #[must_use]
    pub fn current() -> Option<Scope> {
        CURRENT.try_with(Scope::clone).ok()
    }

    /// Runs `future` in the present task as if this scope had spawned it.
    pub async fn enter<F: Future>(&self, future: F) -> F::Output {
        CURRENT.scope(self.clone(), future).await
    }

    /// Starts a task. It ends with the scope at the latest. On a killed scope it never runs.
    #[allow(clippy::disallowed_methods, reason = "the scope is the one place that spawns")]
    pub fn spawn<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let mut tasks = self.tasks();
        let id = tasks.next;
        tasks.next += 1;
        let ended = Ended { scope: self.clone(), id };
        let handle = tokio::spawn(CURRENT.scope(self.clone(), Held { future, ended }));
        if tasks.killed {
            handle.abort();
        } else {
            tasks.alive.insert(id, handle.abort_handle());
        }
        Task(handle)
    }

    /// Makes a serial worker for blocking work.
    #[must_use]
    pub fn lane(&self, name: &str) -> Lane {
        self.0.offload.lane(self, name)
    }

    /// Does blocking work beside other blocking work and waits for its result.
    ///
    /// # Errors
    /// [`Killed`] if the node was killed, or `work` panicked.
    pub async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Killed> {
        let (result, done) = oneshot::channel();
        self.0.offload.blocking(
            self,
            Box::new(move || {
                let outcome = work();
                let delivery: Delivery = Box::new(move || {
                    let _ = result.send(outcome);
                });
                delivery
            }),
        );
        done.await.map_err(|_| Killed)
    }

    /// Ends every task, and every one that is spawned later. Lanes of a killed scope deliver nothing more.
    pub fn kill(&self) {
        let alive = {
            let mut tasks = self.tasks();
            tasks.killed = true;
            std::mem::take(&mut tasks.alive)
        };
        for task in alive.into_values() {
            task.abort();
        }
    }

    /// Whether it was killed.
    #[must_use]
    pub fn is_killed(&self) -> bool {
        self.tasks().killed
    }

    /// How many of its tasks have not ended.
    #[must_use]
    pub fn task_count(&self) -> usize {
        self.tasks().alive.len()
    }

    /// Stops running its tasks, those that are spawned later too, until [`Scope::resume`]. They can be killed
    /// meanwhile. What runs outside of its tasks is not its to stop: threads that blocking work is done on, and futures
    /// that others poll, such as those of [`Scope::enter`].
    pub fn pause(&self) {
        let _tasks = self.tasks();
        self.0.paused.store(true, Ordering::Relaxed);
    }

    /// Lets its tasks run again.
    pub fn resume(&self) {
        let held = {
            let mut tasks = self.tasks();
            self.0.paused.store(false, Ordering::Relaxed);
            std::mem::take(&mut tasks.held)
        };
        held.into_values().for_each(Waker::wake);
    }

    /// Whether it is paused.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.0.paused.load(Ordering::Relaxed)
    }

    /// Whether a task must not run now; if so, it is woken once it may.
    fn holds(&self, task: u64, cx: &Context<'_>) -> bool {
        if !self.is_paused() {
            return false;
        }
        let mut tasks = self.tasks();
        // A resume may have come between the look without the lock and this one.
        let paused = self.is_paused();
        if paused {
            tasks.held.insert(task, cx.waker().clone());
        }
        paused
    }

    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scope({})", self.0.name)
    }
}

/// Takes a task off its scope's list when the task ends, however it ends.
struct Ended {
    scope: Scope,
    id: u64,
}

impl Drop for Ended {
    fn drop(&mut self) {
        let held = {
            let mut tasks = self.scope.tasks();
            tasks.alive.remove(&self.id);
            tasks.held.remove(&self.id)
        };
        // A waker may be the last to hold its task, whose destructor comes back here.
        drop(held);
    }
}

pin_project_lite::pin_project! {
    /// A task's future, which is not polled while its scope is paused. The future is dropped before the end of the task
    /// is told. No async block does this, because that would double the future's size, and tasks are moved when they
    /// are spawned.
    struct Held<F> {
        #[pin]
        future: F,
        ended: Ended,
    }
}

impl<F: Future> Future for Held<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        if this.ended.scope.holds(this.ended.id, cx) { Poll::Pending } else { this.future.poll(cx) }
    }
}

/// A running task. Dropping it leaves the task to its scope.
#[derive(Debug)]
pub struct Task<T>(JoinHandle<T>);

impl<T> Task<T> {
    /// Ends the task at its next await.
    pub fn abort(&self) {
        self.0.abort();
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    /// Ties the task to its handle: dropping the handle ends the task.
    #[must_use]
    pub fn owned(self) -> OwnedTask<T> {
        OwnedTask(self)
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, Killed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map_err(|_| Killed)
    }
}

/// A running task that ends with its handle.
#[derive(Debug)]
pub struct OwnedTask<T>(Task<T>);

impl<T> Future for OwnedTask<T> {
    type Output = Result<T, Killed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl<T> Drop for OwnedTask<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A timer on tokio's clock, for quinn.
#[derive(Debug)]
struct ScopeTimer(Pin<Box<tokio::time::Sleep>>);

impl quinn::AsyncTimer for ScopeTimer {
    fn reset(mut self: Pin<&mut Self>, deadline: std::time::Instant) {
        self.0.as_mut().reset(deadline.into());
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Future::poll(self.0.as_mut(), cx)
    }
}

impl quinn::Runtime for Scope {
    fn new_timer(&self, deadline: std::time::Instant) -> Pin<Box<dyn quinn::AsyncTimer>> {
        Box::pin(ScopeTimer(Box::pin(tokio::time::sleep_until(deadline.into()))))
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        Scope::spawn(self, future);
    }

    fn wrap_udp_socket(&self, _: std::net::UdpSocket) -> io::Result<Arc<dyn quinn::AsyncUdpSocket>> {
        Err(io::Error::other("sockets come from the world's network"))
    }

    fn now(&self) -> std::time::Instant {
        tokio::time::Instant::now().into_std()
    }
}
