//! Scenarios that draw on what is not theirs, each on one thing that the lints forbid: they prove that a leak breaks
//! determinism, and that the break is found. They are not listed.
//!
//! Each writes what it drew into the trace, where two processes then differ. A task without an owner is the one leak
//! that the trace does not show: it is found when it outlives all owners.

#![allow(clippy::disallowed_methods, reason = "leaks are what these scenarios are for")]

use super::{alive_tasks, check_tasks};
use crate::verdict::{AnyError, Verdict};
use crate::world::SimWorld;
use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// What leaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leak {
    /// `SystemTime::now`.
    WallClock,
    /// `std::time::Instant::now`.
    MonotonicClock,
    /// `std::thread::spawn`: when a thread is done.
    Thread,
    /// `std::thread::sleep`: what another thread does meanwhile.
    Sleep,
    /// `tokio::task::spawn_blocking`: when the pool is done.
    Blocking,
    /// Randomness of the operating system, on a thread that is not seeded.
    Entropy,
    /// The order of a hash map, on a thread that is not seeded.
    HashOrder,
    /// A socket of the operating system: its port.
    Socket,
    /// `tokio::spawn`: a task that no scope owns.
    Task,
}

impl Leak {
    pub(super) const ALL: [Leak; 9] = [
        Leak::WallClock,
        Leak::MonotonicClock,
        Leak::Thread,
        Leak::Sleep,
        Leak::Blocking,
        Leak::Entropy,
        Leak::HashOrder,
        Leak::Socket,
        Leak::Task,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Leak::WallClock => "leak-wall-clock",
            Leak::MonotonicClock => "leak-monotonic-clock",
            Leak::Thread => "leak-thread",
            Leak::Sleep => "leak-sleep",
            Leak::Blocking => "leak-blocking",
            Leak::Entropy => "leak-entropy",
            Leak::HashOrder => "leak-hash-order",
            Leak::Socket => "leak-socket",
            Leak::Task => "leak-task",
        }
    }
}

pub(super) async fn play(leak: Leak, world: &mut SimWorld) -> Verdict {
    let before = alive_tasks();
    let trace = world.trace().clone();
    let mut random = world.random("leak");
    // What comes before and after the leak is as it should be.
    trace.record("before", format_args!("{}", random.number()));
    tokio::time::sleep(Duration::from_millis(random.within(1..=100))).await;
    trace.record(leak.name(), format_args!("{}", draw(leak).await?));
    tokio::time::sleep(Duration::from_millis(random.within(1..=100))).await;
    trace.record("after", format_args!("{}", random.number()));
    check_tasks(before)
}

/// Draws on the leak, often enough that two processes do not draw the same by chance.
async fn draw(leak: Leak) -> Result<String, AnyError> {
    Ok(match leak {
        Leak::WallClock => SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_nanos().to_string(),
        Leak::MonotonicClock => {
            let spans = (0..20).map(|_| {
                let began = Instant::now();
                work();
                began.elapsed().as_nanos()
            });
            format!("{:?}", spans.collect::<Vec<_>>())
        }
        Leak::Thread => {
            let mut turns = Vec::new();
            for _ in 0..20 {
                let thread = std::thread::spawn(work);
                turns.push(turns_until(|| thread.is_finished()).await);
            }
            format!("{turns:?}")
        }
        Leak::Sleep => {
            let (over, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
            let (over_there, count_there) = (over.clone(), count.clone());
            let thread = std::thread::spawn(move || {
                while !over_there.load(Ordering::Relaxed) {
                    count_there.fetch_add(1, Ordering::Relaxed);
                }
            });
            std::thread::sleep(Duration::from_millis(20));
            let counted = count.load(Ordering::Relaxed);
            over.store(true, Ordering::Relaxed);
            thread.join().map_err(|_| "the thread panicked")?;
            counted.to_string()
        }
        Leak::Blocking => {
            let mut turns = Vec::new();
            for _ in 0..20 {
                let job = tokio::task::spawn_blocking(work);
                turns.push(turns_until(|| job.is_finished()).await);
            }
            format!("{turns:?}")
        }
        Leak::Entropy => elsewhere(|| {
            let mut bytes = [0; 16];
            let filled = rustls::crypto::ring::default_provider().secure_random.fill(&mut bytes);
            format!("{bytes:02x?} {}", filled.is_ok())
        })?,
        Leak::HashOrder => elsewhere(|| {
            let map: HashMap<u32, u32> = (0..100).map(|number| (number, number)).collect();
            let set: HashSet<u32> = (0..100).collect();
            format!("{:?} {:?}", map.keys().collect::<Vec<_>>(), set.iter().collect::<Vec<_>>())
        })?,
        Leak::Socket => {
            let bound = (0..8).map(|_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))).collect::<Result<Vec<_>, _>>()?;
            let ports = bound.iter().map(|socket| Ok(socket.local_addr()?.port()));
            format!("{:?}", ports.collect::<Result<Vec<_>, std::io::Error>>()?)
        }
        Leak::Task => {
            tokio::spawn(std::future::pending::<()>());
            "a task of nobody".to_owned()
        }
    })
}

/// Something that takes a little real time.
fn work() {
    (0..20_000).for_each(|number: u64| {
        std::hint::black_box(number);
    });
}

/// How many turns the runtime has had when `is_done`.
async fn turns_until(is_done: impl Fn() -> bool) -> u64 {
    let mut turns = 0;
    while !is_done() {
        tokio::task::yield_now().await;
        turns += 1;
    }
    turns
}

/// What a thread says that is not the simulation's.
fn elsewhere(say: impl FnOnce() -> String + Send + 'static) -> Result<String, AnyError> {
    Ok(std::thread::spawn(say).join().map_err(|_| "the thread panicked")?)
}
