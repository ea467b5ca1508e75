//! The runtime that Raft spawns its tasks on: the scope of the node that it runs in, so that they all end with it.
//!
//! Everything but spawning is tokio's. Raft is created inside [`Scope::enter`], and every task that it spawns inherits
//! the scope.

use dfs_transport::world::{Killed, Scope, Task};
use openraft::AsyncRuntime;
use openraft::impls::TokioRuntime;
use std::future::Future;
use std::io;
use std::time::Duration;

/// Tokio, within the scope of the running task.
#[derive(Debug)]
pub(super) struct ScopedRuntime(TokioRuntime);

impl AsyncRuntime for ScopedRuntime {
    type JoinError = Killed;
    type JoinHandle<T: openraft::OptionalSend + 'static> = Task<T>;
    type Sleep = <TokioRuntime as AsyncRuntime>::Sleep;
    type Instant = <TokioRuntime as AsyncRuntime>::Instant;
    type TimeoutError = <TokioRuntime as AsyncRuntime>::TimeoutError;
    type Timeout<R, T: Future<Output = R> + openraft::OptionalSend> = <TokioRuntime as AsyncRuntime>::Timeout<R, T>;
    type ThreadLocalRng = <TokioRuntime as AsyncRuntime>::ThreadLocalRng;
    type Mpsc = <TokioRuntime as AsyncRuntime>::Mpsc;
    type Watch = <TokioRuntime as AsyncRuntime>::Watch;
    type Oneshot = <TokioRuntime as AsyncRuntime>::Oneshot;
    type Mutex<T: openraft::OptionalSend + 'static> = <TokioRuntime as AsyncRuntime>::Mutex<T>;

    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + openraft::OptionalSend + 'static,
        T::Output: openraft::OptionalSend + 'static,
    {
        let scope = Scope::current().expect("Raft runs in tasks that a scope spawned or entered");
        scope.spawn(future)
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        TokioRuntime::sleep(duration)
    }

    fn sleep_until(deadline: Self::Instant) -> Self::Sleep {
        TokioRuntime::sleep_until(deadline)
    }

    fn timeout<R, F: Future<Output = R> + openraft::OptionalSend>(
        duration: Duration,
        future: F,
    ) -> Self::Timeout<R, F> {
        TokioRuntime::timeout(duration, future)
    }

    fn timeout_at<R, F: Future<Output = R> + openraft::OptionalSend>(
        deadline: Self::Instant,
        future: F,
    ) -> Self::Timeout<R, F> {
        TokioRuntime::timeout_at(deadline, future)
    }

    /// A task of a scope ends early if the scope was killed, and then nobody asks, or because it panicked.
    fn is_panic(_: &Self::JoinError) -> bool {
        true
    }

    fn thread_rng() -> Self::ThreadLocalRng {
        TokioRuntime::thread_rng()
    }

    fn new(threads: usize) -> Self {
        ScopedRuntime(TokioRuntime::new(threads))
    }

    fn block_on<F, T>(&mut self, future: F) -> T
    where
        F: Future<Output = T>,
    {
        self.0.block_on(future)
    }

    fn spawn_blocking<F, T>(work: F) -> impl Future<Output = Result<T, io::Error>> + Send
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let scope = Scope::current().expect("Raft runs in tasks that a scope spawned or entered");
        async move { scope.blocking(work).await.map_err(io::Error::from) }
    }
}
