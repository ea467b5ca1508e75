//! Many seeds, a process each, several at once.
//!
//! *Owns* the processes that it starts: they end with it. *Keeps* a log of results, a line of JSON each, from which a
//! sweep that was interrupted goes on. *Repeats* a share of the seeds in a second process; the same seed must give the
//! same trace, and where it does not, [`divergence`] finds the first line that differs.

pub mod divergence;
mod log;
mod process;
mod seeds;
mod total;

pub use log::{Entry, Log, Repetition};
pub use process::Launch;
pub use seeds::{InvalidSeeds, SeedRange, is_repeated};
pub use total::Total;

use crate::report::{ENDS_IN_REAL_TIME, FailureSummary};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;
use tokio::time::Instant;

/// The promise that a seed breaks whose two runs differ, and the word for this kind of failure.
pub const REPEATS: &str = "a seed gives the same trace in every process";
/// See [`REPEATS`].
pub const DETERMINISM: &str = "determinism";

/// How often progress is told.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// What is swept.
#[derive(Debug)]
pub struct SweepSettings {
    /// How each process is started.
    pub launch: Launch,
    /// The seeds.
    pub seeds: SeedRange,
    /// After how long no more seeds are begun.
    pub duration: Option<Duration>,
    /// Processes at once.
    pub jobs: usize,
    /// How many of a hundred seeds are run twice.
    pub twice_percent: u8,
}

/// Who is told how a sweep goes on.
pub trait Watch {
    /// A seed has ended.
    fn ended(&mut self, entry: &Entry, total: &Total);
    /// Time has passed.
    fn tick(&mut self, total: &Total);
}

/// Runs the sweep to its end, or until `interrupted`; results go into the log.
///
/// # Errors
/// A process cannot be started, or the log cannot be written.
pub async fn run(
    settings: &SweepSettings,
    log: &mut Log,
    watch: &mut impl Watch,
    interrupted: impl Future<Output = ()>,
) -> io::Result<Total> {
    let began = Instant::now();
    let mut total = Total::default();
    for entry in log.entries() {
        let subject = &entry.summary.subject;
        if settings.seeds.contains(subject.seed) && *subject == settings.launch.subject(subject.seed) {
            total.add(entry);
            total.resumed += 1;
        }
    }
    let mut seeds = settings.seeds.iter();
    let (mut running, mut interrupted) = (FuturesUnordered::new(), pin!(interrupted));
    let mut clock = tokio::time::interval(PROGRESS_INTERVAL);
    loop {
        let is_open = settings.duration.is_none_or(|duration| began.elapsed() < duration);
        while is_open && running.len() < settings.jobs {
            let Some(seed) = seeds.find(|seed| !log.has(&settings.launch.subject(*seed))) else { break };
            running.push(run_seed(settings, seed));
        }
        total.wall_time = began.elapsed();
        // The processes that still run when a sweep is interrupted end with their futures.
        if running.is_empty() || total.interrupted {
            return Ok(total);
        }
        tokio::select! {
            Some(ended) = running.next() => match ended? {
                Some(entry) => {
                    log.append(&entry)?;
                    total.add(&entry);
                    watch.ended(&entry, &total);
                }
                None => total.interrupted = true,
            },
            () = &mut interrupted => total.interrupted = true,
            _ = clock.tick() => watch.tick(&total),
        }
    }
}

/// Runs one seed, once or twice. Nothing comes of it if somebody ended its process.
async fn run_seed(settings: &SweepSettings, seed: u64) -> io::Result<Option<Entry>> {
    let launch = &settings.launch;
    let Some(mut summary) = launch.run(seed).await? else { return Ok(None) };
    let out_of_time = |promise: &str| promise == ENDS_IN_REAL_TIME;
    // What real time has ended may end elsewhere the next time.
    let comparable = !summary.failure.as_ref().is_some_and(|failure| out_of_time(&failure.promise));
    if !comparable || !is_repeated(seed, settings.twice_percent) {
        return Ok(Some(Entry { summary, repetition: None }));
    }
    let Some(again) = launch.run(seed).await? else { return Ok(None) };
    if again.trace == summary.trace || again.failure.is_some_and(|failure| out_of_time(&failure.promise)) {
        return Ok(Some(Entry { summary, repetition: Some(Repetition::Same) }));
    }
    let detail = match divergence::find(launch, seed).await? {
        Some(divergence) => divergence.to_string(),
        None => "two runs differed; two further runs did not".to_owned(),
    };
    let replay = summary.subject.replay(&summary.build);
    summary.held = false;
    summary.failure =
        Some(FailureSummary { kind: DETERMINISM.to_owned(), promise: REPEATS.to_owned(), detail, replay });
    Ok(Some(Entry { summary, repetition: Some(Repetition::Differs) }))
}
