//! The scenarios: what is done to a simulated world, and what must hold.

mod calls;
mod failing;
mod files;
mod idle;
mod leak;
mod reports;
mod seams;
pub mod stories;
mod written;

pub use failing::Failing;
pub use leak::Leak;

use crate::network::Link;
use crate::verdict::{Failure, Verdict};
use crate::world::{SimWorld, WorldSettings};

/// A scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// Draws on every seam and on every source of randomness that libraries use: proves the world itself.
    Seams,
    /// Nodes call each other over a bad network: proves the transport.
    Calls,
    /// A user's files survive the end of the leader: proves the whole system.
    Files,
    /// A client reports what is not so: proves that metadata does not believe it.
    Reports,
    /// A cluster without work keeps its leader and its nodes: shows what signs of life cost.
    Idle,
    /// A random cluster lives through a random swarm of faults, and every promise is checked.
    Life,
    /// The story of that name.
    Story(&'static str),
    /// Fails in one way: proves that failures are told apart. Not listed.
    Failing(Failing),
    /// Draws on what is not its own: proves that this is found. Not listed.
    Leak(Leak),
}

/// No scenario has that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no scenario {0:?}; there are: {known}", known = Scenario::all().iter().map(|scenario| scenario.name()).collect::<Vec<_>>().join(", "))]
pub struct UnknownScenario(String);

impl Scenario {
    /// The one that is run if none is named.
    pub const DEFAULT: Scenario = Scenario::Life;

    /// All that are listed.
    #[must_use]
    pub fn all() -> Vec<Scenario> {
        let stories = stories::all().into_iter().map(|story| Scenario::Story(story.name()));
        [Scenario::Life, Scenario::Idle, Scenario::Files, Scenario::Reports, Scenario::Calls, Scenario::Seams]
            .into_iter()
            .chain(stories)
            .collect()
    }

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Scenario::Seams => "seams",
            Scenario::Calls => "calls",
            Scenario::Files => "files",
            Scenario::Reports => "reports",
            Scenario::Idle => "idle",
            Scenario::Story(name) => name,
            Scenario::Life => "life",
            Scenario::Failing(how) => how.name(),
            Scenario::Leak(leak) => leak.name(),
        }
    }

    /// What it is, in a sentence.
    #[must_use]
    pub fn description(self) -> &'static str {
        match self {
            Scenario::Seams => "machines draw on every seam and every source of randomness, and lose power",
            Scenario::Calls => "nodes call each other over a bad network, and some of them crash",
            Scenario::Files => "a user's files survive the end of the leader",
            Scenario::Reports => "a client reports what is not so, and is not believed",
            Scenario::Idle => {
                "a cluster without work keeps its leader and its nodes, for an hour if not told otherwise"
            }
            Scenario::Story(name) => stories::named(name).map_or("", |story| story.sentence()),
            Scenario::Life => "a random cluster lives through a random swarm of faults, and every promise is checked",
            Scenario::Failing(_) => "fails, to prove that failures are told apart",
            Scenario::Leak(_) => "leaks, to prove that leaks are found",
        }
    }

    /// Whether it goes on for as long as it is told to.
    #[must_use]
    pub fn lasts_as_long_as_told(self) -> bool {
        matches!(self, Scenario::Life | Scenario::Idle)
    }

    /// The scenario of that name, listed or not.
    ///
    /// # Errors
    /// There is none.
    pub fn named(name: &str) -> Result<Scenario, UnknownScenario> {
        let failing = Failing::ALL.map(Scenario::Failing);
        let leaks = Leak::ALL.map(Scenario::Leak);
        let mut all = Scenario::all().into_iter().chain(failing).chain(leaks);
        all.find(|scenario| scenario.name() == name).ok_or_else(|| UnknownScenario(name.to_owned()))
    }

    /// The world that it plays in.
    #[must_use]
    pub fn world(self) -> WorldSettings {
        match self {
            Scenario::Seams | Scenario::Calls | Scenario::Files | Scenario::Life | Scenario::Story(_) => {
                WorldSettings { link: Link::lossy(), ..WorldSettings::default() }
            }
            Scenario::Idle | Scenario::Reports | Scenario::Failing(_) | Scenario::Leak(_) => WorldSettings::default(),
        }
    }

    /// Plays it.
    ///
    /// # Errors
    /// What did not hold.
    pub async fn play(self, world: &mut SimWorld) -> Verdict {
        match self {
            Scenario::Seams => seams::play(world).await,
            Scenario::Calls => calls::play(world).await,
            Scenario::Files => files::play(world).await,
            Scenario::Reports => reports::play(world).await,
            Scenario::Story(name) => match stories::named(name) {
                Some(story) => story.play(world).await,
                None => Err(UnknownScenario(name.to_owned()).into()),
            },
            Scenario::Idle => idle::play(world).await,
            Scenario::Life => crate::life::play(world).await,
            Scenario::Failing(how) => failing::play(how, world).await,
            Scenario::Leak(leak) => leak::play(leak, world).await,
        }
    }
}

/// After every node and user has ended, as many tasks are alive as before they were started.
pub const NO_TASK_IS_LEFT: &str = "no-task-is-left";

pub(crate) fn alive_tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

/// Once everything has crashed there are as many tasks as before it was started.
pub(crate) fn check_tasks(before: usize) -> Verdict {
    match alive_tasks().saturating_sub(before) {
        0 => Ok(()),
        left => {
            let detail = format!("{left} tasks are left after every node has ended");
            Err(Failure::crash(NO_TASK_IS_LEFT, detail).into())
        }
    }
}
