//! The life of a node process: it starts, serves until a signal or until it ends by itself, and says why.

use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::runtime;
use dfs_nodes::settings::NodeSettings;
use dfs_nodes::{Environment, EnvironmentError, InitialiseCluster, InitialiseError, Node};
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How long a node may take to stop in order; what is not done then, a restart recovers.
const STOP_TIMEOUT: Duration = Duration::from_secs(8);
/// How long to wait before asking the other members again.
const INITIALISE_RETRY: Duration = Duration::from_secs(1);

/// A cluster that this node is to initialise.
#[derive(Clone, Debug)]
pub(super) struct Initialise {
    /// With what.
    pub cluster: InitialiseCluster,
    /// Whether one that is initialised already is as good.
    pub unless_done: bool,
}

/// Has the operating system end this process when the thread that started it ends.
pub(super) fn end_with(parent: i32) -> Result<(), Failure> {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|cause| {
        Failure::new(Exit::Failure, format_args!("cannot end with the parent process: {}", std::io::Error::from(cause)))
    })?;
    // It may have ended before it was asked to tell.
    if getppid() == Pid::from_raw(parent) { Ok(()) } else { Err(Failure::interrupted()) }
}

/// Runs a node until it is stopped.
///
/// # Errors
/// It cannot start, cannot initialise its cluster, or ended by itself.
pub(super) fn run(settings: NodeSettings, initialise: Option<Initialise>) -> Result<(), Failure> {
    runtime::block_on(async move {
        let mut interrupt = Interrupt::listen()?;
        let environment = Environment::production(&settings).map_err(unusable)?;
        let scope = environment.world.scope.clone();
        let node = scope.enter(dfs_nodes::start(settings, environment)).await;
        let node = node.map_err(|error| Failure::new(Exit::Failure, error))?;
        let outcome = tokio::select! {
            () = interrupt.heard() => Ok(()),
            reason = node.ended() => Err(Failure::new(Exit::Failure, reason)),
            failure = scope.enter(initialised(&node, initialise)) => Err(failure),
        };
        match &outcome {
            Ok(()) => tracing::info!("stopping"),
            Err(failure) => tracing::error!("the node ends: {}", failure.message),
        }
        // A second signal ends it at once: everything acknowledged is on stable storage.
        tokio::select! {
            stopped = timeout(STOP_TIMEOUT, scope.enter(node.stop())) => {
                if stopped.is_err() {
                    tracing::warn!("not everything stopped within {} s", STOP_TIMEOUT.as_secs());
                }
            }
            () = interrupt.heard() => tracing::warn!("ended before everything had stopped"),
        }
        outcome
    })
}

/// Initialises a cluster if asked to. Returns only if that fails.
async fn initialised(node: &Node, initialise: Option<Initialise>) -> Failure {
    let Some(Initialise { cluster, unless_done }) = initialise else { return std::future::pending().await };
    loop {
        match node.initialise(cluster.clone()).await {
            Ok(id) => tracing::info!(cluster = %id, "the cluster is initialised"),
            Err(InitialiseError::AlreadyInitialised) if unless_done => {
                tracing::info!("the cluster was initialised before");
            }
            // The other members may still be about to start.
            Err(InitialiseError::NoMajority) => {
                tracing::warn!("a majority of the members does not answer yet");
                sleep(INITIALISE_RETRY).await;
                continue;
            }
            Err(InitialiseError::AlreadyInitialised) => {
                return Failure::new(Exit::AlreadyExists, InitialiseError::AlreadyInitialised)
                    .hint("start it without --init");
            }
            Err(error) => return Failure::new(Exit::Failure, error),
        }
        return std::future::pending().await;
    }
}

fn unusable(error: EnvironmentError) -> Failure {
    let exit = match &error {
        EnvironmentError::Settings(_) => Exit::Usage,
        EnvironmentError::Identity(_) | EnvironmentError::Data { .. } => Exit::LocalFile,
        EnvironmentError::Metrics { .. } => Exit::Failure,
    };
    Failure::new(exit, error)
}
