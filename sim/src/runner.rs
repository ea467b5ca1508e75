//! Runs a scenario: a fresh thread, a runtime on paused time, a world from a seed.
//!
//! A run repeats exactly only in a process of its own whose randomness is seeded (libraries keep process-wide
//! counters, and read the operating system's randomness); the executable does both.
//!
//! The thread that waits meanwhile only reads: what it shows of the run cannot change it.

use crate::network::{NetworkStatistics, SimNetwork};
use crate::trace::{Reader, Trace, TraceSummary};
use crate::verdict::{Counts, Tally};
use crate::world::{SimWorld, WorldSettings};
use std::cell::RefCell;
use std::sync::{Arc, Mutex, Once, OnceLock, PoisonError, mpsc};
use std::time::Duration;
use tokio::time::Instant;

/// Enough for the deepest stacks of a debug build.
const STACK_BYTES: usize = 16 * 1024 * 1024;

/// How often the waiting thread tells of progress.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

thread_local! {
    static PANICS: RefCell<Option<Arc<Mutex<Panics>>>> = const { RefCell::new(None) };
    static START: std::cell::Cell<Option<Instant>> = const { std::cell::Cell::new(None) };
}

/// How a scenario is run.
pub struct RunSettings {
    /// What everything is drawn from.
    pub seed: u64,
    /// The world.
    pub world: WorldSettings,
    /// The virtual time after which the run has failed.
    pub virtual_time_max: Duration,
    /// The real time after which the run has failed: virtual time may stand still.
    pub wall_time_max: Duration,
    /// The virtual time at which the run is ended without a verdict.
    pub until: Option<Duration>,
    /// Who reads the trace as it comes.
    pub reader: Option<Reader>,
    /// Who is told of progress, now and then.
    pub progress: Option<fn(&Progress)>,
    /// Seeds the operating system's randomness for the calling thread, if the executable can.
    pub seed_thread: fn(u64),
}

/// How far a run is.
#[derive(Clone, Debug)]
pub struct Progress {
    /// In its own world.
    pub virtual_time: Duration,
    /// In ours.
    pub wall_time: Duration,
    /// What was done and seen so far.
    pub counts: Counts,
}

/// What a run came to, however it ended.
#[derive(Debug)]
pub struct Report<T> {
    /// What the scenario returned, or why it did not.
    pub outcome: Result<T, RunError>,
    /// How long it took in its own world.
    pub virtual_time: Duration,
    /// How long it took in ours.
    pub wall_time: Duration,
    /// How much happened, and the hash of it.
    pub summary: TraceSummary,
    /// What happened; nothing if not even a world came to be.
    pub trace: Option<Trace>,
    /// What the network carried.
    pub network: NetworkStatistics,
    /// What was done and seen.
    pub counts: Counts,
    /// The tasks and jobs that panicked, caught or not.
    pub panics: Panics,
}

/// Why a run came to no end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// The scenario itself panicked.
    #[error("the scenario panicked")]
    Panicked,
    /// It went on for too long in its own world.
    #[error("the scenario did not end within {0:?} of virtual time")]
    VirtualTimeOver(Duration),
    /// It went on for too long in ours.
    #[error("the scenario did not end within {0:?}")]
    WallTimeOver(Duration),
    /// It was ended at the time that was asked for.
    #[error("the run was ended at {0:?} of virtual time, as was asked")]
    Ended(Duration),
}

/// Panics of the simulation's thread: a runtime catches those of tasks, and nobody else would notice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Panics {
    /// How many.
    pub count: u64,
    /// What the first one said, and where.
    pub first: Option<String>,
}

/// What both threads of a run can see.
#[derive(Clone)]
struct Watched {
    trace: Trace,
    tally: Tally,
    network: SimNetwork,
}

/// The virtual time on the present thread, if a simulation runs on it.
#[must_use]
pub fn virtual_time() -> Option<Duration> {
    START.get().map(|start| start.elapsed())
}

fn count_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            // A thread that is ending counts no more.
            let _ = PANICS.try_with(|panics| {
                if let Some(panics) = panics.borrow().as_ref() {
                    let mut panics = panics.lock().unwrap_or_else(PoisonError::into_inner);
                    panics.count += 1;
                    let place = panic.location().map(|place| format!(", at {place}")).unwrap_or_default();
                    let cause = panic.payload_as_str().unwrap_or("unknown cause");
                    panics.first.get_or_insert_with(|| format!("{cause}{place}"));
                }
            });
            previous(panic);
        }));
    });
}

/// Runs `scenario` to its end, or for as long as it may take. A scenario that comes to no end leaves its thread to
/// itself: the process should end.
///
/// # Panics
/// If the operating system cannot start a thread.
#[allow(
    clippy::disallowed_methods,
    reason = "the one owner of the simulation's thread, which measures it in real time"
)]
pub fn run<T, F>(settings: RunSettings, scenario: F) -> Report<T>
where
    T: Send + 'static,
    F: AsyncFnOnce(&mut SimWorld) -> T + Send + 'static,
{
    count_panics();
    let RunSettings { seed, world, virtual_time_max, wall_time_max, until, reader, progress, seed_thread } = settings;
    let began = std::time::Instant::now();
    let (sender, receiver) = mpsc::channel();
    let panics = Arc::new(Mutex::new(Panics::default()));
    let watched: Arc<OnceLock<Watched>> = Arc::default();
    let (panics_there, watched_there) = (panics.clone(), watched.clone());
    std::thread::Builder::new()
        .name("simulation".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || {
            PANICS.set(Some(panics_there));
            seed_thread(seed);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
            let runtime = runtime.expect("a runtime without sockets needs nothing that could fail");
            let outcome = runtime.block_on(async {
                let trace = Trace::new(reader);
                START.set(Some(trace.start()));
                trace.take_log_lines();
                let mut world = SimWorld::new(seed, world, trace.clone());
                let (tally, network) = (world.tally().clone(), world.network().clone());
                let _ = watched_there.set(Watched { trace: trace.clone(), tally, network });
                let (limit, over) = match until {
                    Some(until) if until < virtual_time_max => (until, RunError::Ended(until)),
                    _ => (virtual_time_max, RunError::VirtualTimeOver(virtual_time_max)),
                };
                let outcome = tokio::time::timeout(limit, scenario(&mut world)).await.map_err(|_| over);
                (outcome, trace.start().elapsed())
            });
            // If the scenario panicked, the dropped sender tells.
            let _ = sender.send(outcome);
        })
        .expect("the operating system can start a thread");
    let (outcome, took) = loop {
        let left = wall_time_max.saturating_sub(began.elapsed());
        match receiver.recv_timeout(left.min(PROGRESS_INTERVAL)) {
            Ok((outcome, took)) => break (outcome, Some(took)),
            Err(mpsc::RecvTimeoutError::Disconnected) => break (Err(RunError::Panicked), None),
            Err(mpsc::RecvTimeoutError::Timeout) if left.is_zero() => {
                break (Err(RunError::WallTimeOver(wall_time_max)), None);
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                if let (Some(progress), Some(watched)) = (progress, watched.get()) {
                    let (virtual_time, counts) = (watched.trace.virtual_time(), watched.tally.counts());
                    progress(&Progress { virtual_time, wall_time: began.elapsed(), counts });
                }
            }
        }
    };
    let watched = watched.get();
    let panics = panics.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Report {
        outcome,
        virtual_time: took.or_else(|| watched.map(|watched| watched.trace.virtual_time())).unwrap_or_default(),
        wall_time: began.elapsed(),
        summary: watched.map(|watched| watched.trace.summary()).unwrap_or_default(),
        trace: watched.map(|watched| watched.trace.clone()),
        network: watched.map(|watched| watched.network.statistics()).unwrap_or_default(),
        counts: watched.map(|watched| watched.tally.counts()).unwrap_or_default(),
        panics,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> RunSettings {
        RunSettings {
            seed: 1,
            world: WorldSettings::default(),
            virtual_time_max: Duration::from_secs(3600),
            wall_time_max: Duration::from_secs(60),
            until: None,
            reader: None,
            progress: None,
            seed_thread: |_| {},
        }
    }

    #[test]
    fn virtual_hours_pass_in_no_time() {
        let report = run(settings(), async |_| tokio::time::sleep(Duration::from_secs(3599)).await);
        assert_eq!((report.outcome, report.virtual_time), (Ok(()), Duration::from_secs(3599)));
        assert!(report.wall_time < Duration::from_secs(60));
        assert_eq!(report.panics, Panics::default());
    }

    #[test]
    fn the_panic_of_a_task_is_counted() {
        let report = run(settings(), async |world| {
            let task = world.scope().spawn(async { panic!("a task that fails") });
            assert!(task.await.is_err());
        });
        assert_eq!((report.outcome, report.panics.count), (Ok(()), 1));
        assert!(report.panics.first.unwrap().starts_with("a task that fails, at "));
    }

    #[test]
    fn a_run_that_comes_to_no_end_still_tells_what_was_done() {
        let report = run(settings(), async |world| {
            world.tally().fault("test");
            std::future::pending::<()>().await
        });
        assert_eq!(report.outcome, Err(RunError::VirtualTimeOver(Duration::from_secs(3600))));
        assert_eq!(report.counts.faults["test"], 1);
        let report = run(settings(), async |world| {
            world.tally().fault("test");
            world.trace().record("test", format_args!("last words"));
            panic!("a scenario that fails")
        });
        assert_eq!((report.outcome, report.panics.count), (Err::<(), _>(RunError::Panicked), 1));
        assert_eq!((report.counts.faults["test"], report.summary.events), (1, 1));
        let brief = RunSettings { wall_time_max: Duration::from_millis(50), ..settings() };
        #[allow(clippy::disallowed_methods, reason = "a scenario that blocks its thread")]
        let report = run(brief, async |_| std::thread::sleep(Duration::from_secs(2)));
        assert_eq!(report.outcome, Err(RunError::WallTimeOver(Duration::from_millis(50))));
    }

    #[test]
    fn a_run_ends_when_asked_to() {
        let until = Duration::from_secs(90);
        let report =
            run(RunSettings { until: Some(until), ..settings() }, async |_| std::future::pending::<()>().await);
        assert_eq!((report.outcome, report.virtual_time), (Err(RunError::Ended(until)), until));
    }
}
