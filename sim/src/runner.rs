//! Runs a scenario: a fresh thread, a runtime on paused time, a world from a seed.
//!
//! A run repeats exactly only in a process of its own whose randomness is seeded (libraries keep process-wide
//! counters, and read the operating system's randomness); the executable does both.

use crate::network::NetworkStatistics;
use crate::trace::{Trace, TraceSummary};
use crate::world::{SimWorld, WorldSettings};
use std::cell::Cell;
use std::io::Write;
use std::sync::{Once, mpsc};
use std::time::Duration;
use tokio::time::Instant;

/// Enough for the deepest stacks of a debug build.
const STACK_BYTES: usize = 16 * 1024 * 1024;

thread_local! {
    static START: Cell<Option<Instant>> = const { Cell::new(None) };
    static PANICS: Cell<u64> = const { Cell::new(0) };
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
    /// Where the trace's lines go.
    pub trace: Option<Box<dyn Write + Send>>,
    /// Seeds the operating system's randomness for the calling thread, if the executable can.
    pub seed_thread: fn(u64),
}

/// What a run came to.
#[derive(Clone, Copy, Debug)]
pub struct Report<T> {
    /// What the scenario returned.
    pub outcome: T,
    /// How long it took in its own world.
    pub virtual_time: Duration,
    /// How long it took in ours.
    pub wall_time: Duration,
    /// What happened.
    pub trace: TraceSummary,
    /// What the network carried.
    pub network: NetworkStatistics,
    /// How many tasks and jobs panicked, caught or not; the messages are on standard error.
    pub panics: u64,
}

/// A run that came to no end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// The scenario itself panicked; the message is on standard error.
    #[error("the scenario panicked")]
    Panicked,
    /// It went on for too long in its own world.
    #[error("the scenario did not end within {0:?} of virtual time")]
    VirtualTimeOver(Duration),
    /// It went on for too long in ours.
    #[error("the scenario did not end within {0:?}")]
    WallTimeOver(Duration),
}

/// The virtual time on the present thread, if a simulation runs on it.
#[must_use]
pub fn virtual_time() -> Option<Duration> {
    START.get().map(|start| start.elapsed())
}

/// Counts panics by thread: a runtime catches those of tasks, and nobody else would notice.
fn count_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            // A thread that is ending counts no more.
            let _ = PANICS.try_with(|panics| panics.set(panics.get() + 1));
            previous(panic);
        }));
    });
}

/// Runs `scenario` to its end.
///
/// # Errors
/// It panicked, or did not end in time. Its thread is then left to itself: the process should end.
#[allow(
    clippy::disallowed_methods,
    reason = "the one owner of the simulation's thread, which measures it in real time"
)]
pub fn run<T, F>(settings: RunSettings, scenario: F) -> Result<Report<T>, RunError>
where
    T: Send + 'static,
    F: AsyncFnOnce(&mut SimWorld) -> T + Send + 'static,
{
    count_panics();
    let wall_time_max = settings.wall_time_max;
    let began = std::time::Instant::now();
    let (sender, receiver) = mpsc::channel();
    std::thread::Builder::new()
        .name("simulation".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || {
            (settings.seed_thread)(settings.seed);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
            let runtime = runtime.expect("a runtime without sockets needs nothing that could fail");
            // If the scenario panicked, the dropped sender tells.
            let _ = sender.send(runtime.block_on(simulate(settings, scenario)));
        })
        .expect("the operating system can start a thread");
    match receiver.recv_timeout(wall_time_max) {
        Ok(report) => report.map(|report| Report { wall_time: began.elapsed(), ..report }),
        Err(mpsc::RecvTimeoutError::Timeout) => Err(RunError::WallTimeOver(wall_time_max)),
        Err(mpsc::RecvTimeoutError::Disconnected) => Err(RunError::Panicked),
    }
}

async fn simulate<T>(
    settings: RunSettings,
    scenario: impl AsyncFnOnce(&mut SimWorld) -> T,
) -> Result<Report<T>, RunError> {
    let start = Instant::now();
    START.set(Some(start));
    let mut world = SimWorld::new(settings.seed, settings.world, Trace::new(settings.trace));
    let outcome = tokio::time::timeout(settings.virtual_time_max, scenario(&mut world))
        .await
        .map_err(|_| RunError::VirtualTimeOver(settings.virtual_time_max))?;
    Ok(Report {
        outcome,
        virtual_time: start.elapsed(),
        wall_time: Duration::ZERO,
        trace: world.trace().summary(),
        network: world.network().statistics(),
        panics: PANICS.get(),
    })
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
            trace: None,
            seed_thread: |_| {},
        }
    }

    #[test]
    fn virtual_hours_pass_in_no_time() {
        let report = run(settings(), async |_| tokio::time::sleep(Duration::from_secs(3599)).await).unwrap();
        assert_eq!(report.virtual_time, Duration::from_secs(3599));
        assert!(report.wall_time < Duration::from_secs(60));
        assert_eq!(report.panics, 0);
    }

    #[test]
    fn the_panic_of_a_task_is_counted() {
        let report = run(settings(), async |world| {
            let task = world.scope().spawn(async { panic!("a task that fails") });
            assert!(task.await.is_err());
        });
        assert_eq!(report.unwrap().panics, 1);
    }

    #[test]
    fn a_scenario_that_does_not_end_fails() {
        let error = run(settings(), async |_| std::future::pending::<()>().await).unwrap_err();
        assert_eq!(error, RunError::VirtualTimeOver(Duration::from_secs(3600)));
        let error = run(settings(), async |_| panic!("a scenario that fails")).unwrap_err();
        assert_eq!(error, RunError::Panicked);
    }
}
