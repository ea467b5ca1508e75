//! The real world: threads, the operating system's randomness, its wall clock and its UDP sockets.

use super::lane::{Job, Lane, LaneQueue};
use super::scope::{Offload, Scope};
use super::{Entropy, EntropySource, Network, WallClock, World};
use dfs_core::time::WallTime;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::time::SystemTime;

/// Bytes that the kernel is asked to buffer for each socket and direction. A burst of a whole congestion window then
/// fits; with the kernel's usual 208 KiB, packets are lost on loopback.
const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;

impl World {
    /// The real world, for the node called `name`. It must be made inside a tokio runtime.
    #[must_use]
    pub fn production(name: &str) -> World {
        World {
            scope: Scope::new(name, Arc::new(Threads)),
            wall_clock: Arc::new(SystemWallClock),
            entropy: Entropy::new(SystemEntropy),
            network: Arc::new(UdpNetwork),
        }
    }
}

struct SystemWallClock;

impl WallClock for SystemWallClock {
    #[allow(clippy::disallowed_methods, reason = "the one owner of the wall clock")]
    fn now(&self) -> WallTime {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        WallTime(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }
}

struct SystemEntropy;

impl EntropySource for SystemEntropy {
    #[allow(clippy::disallowed_methods, reason = "the one owner of the operating system's randomness")]
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the operating system has randomness once it has started");
    }
}

struct UdpNetwork;

impl Network for UdpNetwork {
    #[allow(clippy::disallowed_methods, reason = "the one owner of UDP sockets")]
    fn bind(&self, address: SocketAddr) -> io::Result<Arc<dyn quinn::AsyncUdpSocket>> {
        let socket = std::net::UdpSocket::bind(address)?;
        let options = quinn::udp::UdpSockRef::from(&socket);
        let state = quinn::udp::UdpSocketState::new(options)?;
        // The kernel caps what it grants at net.core.rmem_max and wmem_max; less than asked for costs speed only.
        let _ = state.set_recv_buffer_size((&socket).into(), SOCKET_BUFFER_BYTES);
        let _ = state.set_send_buffer_size((&socket).into(), SOCKET_BUFFER_BYTES);
        quinn::Runtime::wrap_udp_socket(&quinn::TokioRuntime, socket)
    }
}

struct Threads;

impl Offload for Threads {
    #[allow(clippy::disallowed_methods, reason = "the one owner of threads")]
    fn lane(&self, scope: &Scope, name: &str) -> Lane {
        let (sender, receiver) = mpsc::channel();
        let scope = scope.clone();
        std::thread::Builder::new()
            .name(name.chars().take(15).collect())
            .spawn(move || receiver.into_iter().for_each(|job| perform(&scope, job)))
            .expect("the operating system can start a thread");
        Lane::new(name, Arc::new(ThreadQueue(sender)))
    }

    #[allow(clippy::disallowed_methods, reason = "the one owner of threads")]
    fn blocking(&self, scope: &Scope, job: Job) {
        let scope = scope.clone();
        tokio::task::spawn_blocking(move || perform(&scope, job));
    }
}

struct ThreadQueue(mpsc::Sender<Job>);

impl LaneQueue for ThreadQueue {
    fn post(&self, job: Job) {
        // A failed send means that the thread is gone; dropping the job tells its poster.
        let _ = self.0.send(job);
    }
}

/// Does a job and delivers its result. A panic is logged by the panic hook and seen by the poster as a lost result;
/// the worker goes on.
fn perform(scope: &Scope, job: Job) {
    if scope.is_killed() {
        return;
    }
    if let Ok(deliver) = catch_unwind(AssertUnwindSafe(job))
        && !scope.is_killed()
    {
        deliver();
    }
}

#[cfg(test)]
mod tests {
    use super::super::scope::Killed;
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    #[tokio::test]
    async fn a_killed_scope_has_no_tasks() {
        let world = World::production("test");
        let task = world.scope.spawn(std::future::pending::<()>());
        let nested = world.scope.spawn(async {
            let scope = Scope::current().expect("a scope spawned this");
            scope.spawn(std::future::pending::<()>()).await
        });
        tokio::task::yield_now().await;
        assert_eq!(world.scope.task_count(), 3);
        world.scope.kill();
        assert!(task.await.is_err());
        assert!(nested.await.is_err());
        assert!(world.scope.spawn(async {}).await.is_err());
        assert_eq!(world.scope.task_count(), 0);
    }

    #[tokio::test]
    async fn a_paused_scope_runs_no_task_until_it_goes_on() {
        let world = World::production("test");
        let scope = world.scope.clone();
        let steps = Arc::new(AtomicU32::new(0));
        let counting = |steps: &Arc<AtomicU32>| {
            let steps = steps.clone();
            async move {
                loop {
                    steps.fetch_add(1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                }
            }
        };
        let turns = async || {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            steps.load(Ordering::Relaxed)
        };
        world.scope.spawn(counting(&steps));
        assert!(turns().await > 0);
        scope.pause();
        assert!(world.scope.is_paused(), "clones are the same scope");
        let before = turns().await;
        let late = world.scope.spawn(async { 7 });
        assert_eq!(turns().await, before);
        assert!(!late.is_finished());
        scope.resume();
        assert!(turns().await > before);
        assert_eq!(late.await, Ok(7));
    }

    #[tokio::test]
    async fn a_paused_scope_can_be_killed() {
        let world = World::production("test");
        let waiting = world.scope.spawn(std::future::pending::<()>());
        world.scope.pause();
        let unstarted = world.scope.spawn(async {});
        tokio::task::yield_now().await;
        world.scope.kill();
        assert_eq!((waiting.await, unstarted.await), (Err(Killed), Err(Killed)));
        assert_eq!(world.scope.task_count(), 0);
        world.scope.resume();
    }

    #[tokio::test]
    async fn a_lane_works_in_order_and_survives_a_panic() {
        let world = World::production("test");
        let lane = world.scope.lane("test");
        let (sender, receiver) = mpsc::channel();
        for number in 0..10 {
            let sender = sender.clone();
            lane.post(move || sender.send(number), |_| {});
        }
        assert!(lane.run(|| panic!("a job that fails")).await.is_err());
        assert_eq!(lane.run(|| 7).await.unwrap(), 7);
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
        assert_eq!(lane.waiting(), 0);
        let (release, held) = mpsc::channel::<()>();
        let (began, begun) = mpsc::channel();
        lane.post(
            move || {
                began.send(()).unwrap();
                let _ = held.recv();
            },
            |()| {},
        );
        begun.recv().unwrap();
        (0..3).for_each(|_| lane.post(|| {}, |()| {}));
        assert_eq!(lane.waiting(), 3, "what runs waits no more");
        drop(release);
        lane.run(|| {}).await.unwrap();
        assert_eq!(lane.waiting(), 0);
    }

    #[tokio::test]
    async fn an_owned_task_ends_with_its_handle() {
        let world = World::production("test");
        let task = world.scope.spawn(std::future::pending::<()>()).owned();
        drop(task);
        tokio::time::timeout(Duration::from_secs(5), async {
            while world.scope.task_count() > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await
        .expect("the task ends");
    }
}
