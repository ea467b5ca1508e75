//! The scenarios: what is done to a simulated world, and what must hold.

mod calls;
mod files;
mod idle;
mod seams;
mod storm;
mod written;

use crate::network::Link;
use crate::verdict::Verdict;
use crate::world::{SimWorld, WorldSettings};

/// A scenario.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scenario {
    /// Draws on every seam and on every source of randomness that libraries use: proves the world itself.
    Seams,
    /// Nodes call each other over a bad network: proves the transport.
    Calls,
    /// A user's files survive the end of the leader: proves the whole system.
    #[default]
    Files,
    /// Users work while nodes crash and the network is cut, over and over: looks for what the system cannot stand.
    Storm,
    /// A cluster without work keeps its leader and its nodes: shows what signs of life cost.
    Idle,
}

impl Scenario {
    const ALL: [Scenario; 5] = [Scenario::Seams, Scenario::Calls, Scenario::Files, Scenario::Storm, Scenario::Idle];

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Scenario::Seams => "seams",
            Scenario::Calls => "calls",
            Scenario::Files => "files",
            Scenario::Storm => "storm",
            Scenario::Idle => "idle",
        }
    }

    /// The scenario of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Scenario> {
        Scenario::ALL.into_iter().find(|scenario| scenario.name() == name)
    }

    /// The world that it plays in.
    #[must_use]
    pub fn world(self) -> WorldSettings {
        match self {
            Scenario::Seams | Scenario::Calls | Scenario::Files | Scenario::Storm => {
                WorldSettings { link: Link::lossy(), ..WorldSettings::default() }
            }
            Scenario::Idle => WorldSettings::default(),
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
            Scenario::Storm => storm::play(world).await,
            Scenario::Idle => idle::play(world).await,
        }
    }
}

/// Tasks are left that belong to nobody.
#[derive(Debug, thiserror::Error)]
#[error("{0} tasks are left after every node has crashed")]
struct TasksLeft(usize);

fn alive_tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

/// Once everything has crashed there are as many tasks as before it was started.
pub(crate) fn check_tasks(before: usize) -> Verdict {
    match alive_tasks().saturating_sub(before) {
        0 => Ok(()),
        left => Err(TasksLeft(left).into()),
    }
}
