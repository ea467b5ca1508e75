//! Supervision: who restarts whom, and when that is given up.
//!
//! *Owns* the children of one [`Tree`], started in order and stopped in reverse. *Receives* only what ractor tells of
//! its children, and [`Supervisor::stop`]. *Supervised by* the node, which ends when a supervisor gives up. *Bounds*
//! restarts by the tree's intensity, as in Erlang/OTP (supervisor behaviour): more than `restarts` within `within`,
//! or a restart that itself fails, is escalated.
//!
//! What a child logs carries its name, and everything that it does belongs to the scope that the tree was started in.
//!
//! ractor has no restart strategies of its own, and its default handler stops a parent when any child ends; this is
//! the small part that is missing. Children are found through [`Seat`]s, never through ractor's global registry.

mod named;
mod status;

pub use status::{ChildReport, LastFailure, TreeStatus};

use crate::seat::Seat;
use dfs_transport::world::Scope;
use futures_util::future::BoxFuture;
use named::Named;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How long a child may take to stop before it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// Whom a child's end takes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Only the child is restarted.
    OneForOne,
    /// The child and all that were started after it are stopped and started again.
    RestForOne,
    /// All children are stopped and started again.
    OneForAll,
}

/// How many restarts are tolerated within which time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intensity {
    /// Restarts that are tolerated.
    pub restarts: usize,
    /// The window in which they are counted.
    pub within: Duration,
}

/// Starts one life of a child under its supervisor, in the tree's scope.
type Start =
    Box<dyn Fn(ActorCell, Option<Scope>) -> BoxFuture<'static, Result<ActorCell, ActorProcessingErr>> + Send + Sync>;

/// One child of a tree.
pub struct Child {
    name: &'static str,
    start: Start,
    vacate: Box<dyn Fn() + Send + Sync>,
}

impl Child {
    /// A child called `name` that sits in `seat`; `make` gives the actor and its arguments for each new life.
    pub fn new<A: Actor>(
        name: &'static str,
        seat: &Seat<A::Msg>,
        make: impl Fn() -> (A, A::Arguments) + Send + Sync + 'static,
    ) -> Child {
        let (seat, vacated) = (seat.clone(), seat.clone());
        Child {
            name,
            start: Box::new(move |supervisor, scope| {
                let (seat, (actor, arguments)) = (seat.clone(), make());
                let actor = Named::new(actor, name, scope);
                Box::pin(async move {
                    let (actor, _) = Actor::spawn_linked(None, actor, arguments, supervisor).await?;
                    seat.take(actor.clone());
                    Ok(actor.get_cell())
                })
            }),
            vacate: Box::new(move || vacated.leave()),
        }
    }
}

/// A supervision tree, as a value.
pub struct Tree {
    /// Its name, for logs.
    pub name: &'static str,
    /// Whom a child's end takes with it.
    pub strategy: Strategy,
    /// When restarting is given up.
    pub intensity: Intensity,
    /// The children, in the order of starting.
    pub children: Vec<Child>,
}

/// Why a tree ended by itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GaveUp {
    /// A child failed more often than tolerated.
    #[error("{child} failed {restarts} times within {within:?}; the last reason was: {reason}")]
    TooManyRestarts {
        /// The child that failed last.
        child: &'static str,
        /// Restarts counted.
        restarts: usize,
        /// The window.
        within: Duration,
        /// What the child said.
        reason: String,
    },
    /// A child could not be started.
    #[error("{child} could not be started: {reason}")]
    StartFailed {
        /// The child.
        child: &'static str,
        /// What it said.
        reason: String,
    },
}

/// A running tree.
pub struct Supervisor {
    actor: ActorRef<Stop>,
    ended: watch::Receiver<Option<GaveUp>>,
}

impl Supervisor {
    /// Starts all children of a tree, in order; `status` tells of them from now on.
    ///
    /// # Errors
    /// The first child that cannot be started; those before it are stopped again.
    pub async fn start(tree: Tree, status: Arc<TreeStatus>) -> Result<Supervisor, GaveUp> {
        let (report, ended) = watch::channel(None);
        status.begin(tree.name, tree.children.iter().map(|child| child.name));
        let scope = Scope::current();
        let supervisor = Named::new(SupervisorActor, "supervisor", scope.clone());
        let arguments = Arguments { tree, scope, report, status };
        match Actor::spawn(None, supervisor, arguments).await {
            Ok((actor, _)) => Ok(Supervisor { actor, ended }),
            Err(error) => Err(ended
                .borrow()
                .clone()
                .unwrap_or(GaveUp::StartFailed { child: "supervisor", reason: reason(&error) })),
        }
    }

    /// Waits until the tree gives up. It never returns if the tree is stopped.
    pub async fn gave_up(&self) -> GaveUp {
        let mut ended = self.ended.clone();
        loop {
            if let Some(reason) = ended.borrow_and_update().clone() {
                return reason;
            }
            if ended.changed().await.is_err() {
                // Stopped in order: there is no reason and never will be.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Stops all children in reverse order, then the tree.
    pub async fn stop(&self) {
        let _ = self.actor.send_message(Stop);
        let _ = self.actor.get_cell().wait(Some(STOP_WITHIN * 4)).await;
    }

    /// Ends the tree at once, wherever its actors are: what a crash does.
    pub fn kill(&self) {
        self.actor.get_cell().kill();
    }
}

/// The one message of a supervisor: stop in order.
struct Stop;

struct SupervisorActor;

struct Arguments {
    tree: Tree,
    scope: Option<Scope>,
    report: watch::Sender<Option<GaveUp>>,
    status: Arc<TreeStatus>,
}

struct State {
    tree: Tree,
    /// Where the tree was started, if a scope's task did.
    scope: Option<Scope>,
    report: watch::Sender<Option<GaveUp>>,
    status: Arc<TreeStatus>,
    /// The living children, by their place in the tree.
    alive: Vec<Option<ActorCell>>,
    /// When children were restarted, oldest first, within the window.
    recent: VecDeque<Instant>,
}

impl State {
    async fn start_from(&mut self, first: usize, me: &ActorRef<Stop>) -> Result<(), GaveUp> {
        for place in first..self.tree.children.len() {
            if self.alive[place].is_some() {
                continue;
            }
            let child = &self.tree.children[place];
            match (child.start)(me.get_cell(), self.scope.clone()).await {
                Ok(cell) => {
                    self.alive[place] = Some(cell);
                    self.status.started(place);
                }
                Err(error) => {
                    return Err(GaveUp::StartFailed { child: child.name, reason: reason(&*error) });
                }
            }
        }
        Ok(())
    }

    /// Stops the children from `first` on, the last one first.
    async fn stop_from(&mut self, first: usize) {
        for place in (first..self.alive.len()).rev() {
            (self.tree.children[place].vacate)();
            self.status.stopped(place);
            if let Some(cell) = self.alive[place].take()
                && cell.stop_and_wait(None, Some(STOP_WITHIN)).await.is_err()
            {
                cell.kill();
            }
        }
    }

    async fn restart(&mut self, place: usize, reason: String, me: &ActorRef<Stop>) -> Result<(), GaveUp> {
        let (name, intensity) = (self.tree.children[place].name, self.tree.intensity);
        (self.tree.children[place].vacate)();
        self.alive[place] = None;
        let now = Instant::now();
        self.status.failed(place, &reason, now);
        self.recent.push_back(now);
        while self.recent.front().is_some_and(|at| now - *at > intensity.within) {
            self.recent.pop_front();
        }
        if self.recent.len() > intensity.restarts {
            let restarts = self.recent.len();
            return Err(GaveUp::TooManyRestarts { child: name, restarts, within: intensity.within, reason });
        }
        self.status.restarted(place);
        tracing::warn!(tree = self.tree.name, child = name, reason, "an actor failed and is restarted");
        match self.tree.strategy {
            Strategy::OneForOne => {}
            Strategy::RestForOne => self.stop_from(place).await,
            Strategy::OneForAll => self.stop_from(0).await,
        }
        self.start_from(0, me).await
    }

    async fn give_up(&mut self, reason: GaveUp) -> ActorProcessingErr {
        tracing::error!(tree = self.tree.name, %reason, "the supervision tree gives up");
        self.stop_from(0).await;
        self.report.send_replace(Some(reason.clone()));
        reason.into()
    }
}

impl Actor for SupervisorActor {
    type Msg = Stop;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(&self, me: ActorRef<Stop>, arguments: Arguments) -> Result<State, ActorProcessingErr> {
        let Arguments { tree, scope, report, status } = arguments;
        let alive = tree.children.iter().map(|_| None).collect();
        let mut state = State { tree, scope, report, status, alive, recent: VecDeque::new() };
        match state.start_from(0, &me).await {
            Ok(()) => Ok(state),
            Err(reason) => Err(state.give_up(reason).await),
        }
    }

    async fn handle(&self, me: ActorRef<Stop>, _: Stop, state: &mut State) -> Result<(), ActorProcessingErr> {
        state.stop_from(0).await;
        me.stop(None);
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        me: ActorRef<Stop>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let (cell, reason) = match event {
            SupervisionEvent::ActorFailed(cell, error) => (cell, error.to_string()),
            SupervisionEvent::ActorTerminated(cell, _, reason) => (cell, reason.unwrap_or_else(|| "stopped".into())),
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => return Ok(()),
        };
        let is_it = |alive: &Option<ActorCell>| alive.as_ref().is_some_and(|alive| alive.get_id() == cell.get_id());
        // A child that this supervisor stopped itself is no longer on the list.
        let Some(place) = state.alive.iter().position(is_it) else {
            return Ok(());
        };
        match state.restart(place, reason, &me).await {
            Ok(()) => Ok(()),
            Err(reason) => Err(state.give_up(reason).await),
        }
    }
}

/// What the child itself said: the library calls every failed start a panic.
fn reason(error: &(dyn std::error::Error + 'static)) -> String {
    match error.downcast_ref::<SpawnErr>() {
        Some(SpawnErr::StartupFailed(reason)) => reason.to_string(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
