//! `RaftActor`: the life of this metadata node's Raft engine.
//!
//! *Owns* the watch over the engine. *Receives* admitted requests of the Raft protocol from other metadata nodes, and
//! the news that the engine stopped. *Asks* nobody. *Supervised by* the metadata tree, first: everything else there
//! needs it. An engine that stopped by itself cannot be started again within the process, so the actor fails again at
//! every restart, and the tree gives up with the reason. *Bounds*: the route's permits, and the engine's own.
//!
//! The engine's handle is shared: a request that only needs it runs in a task of its own and never waits here. While
//! something in the state is due, the leader's clock is written to the log every ten seconds.

use crate::listener::{Admitted, Route};
use crate::raft::RaftHandle;
use crate::seat::Seat;
use dfs_core::id::Role;
use dfs_core::meta::{self, Command};
use dfs_core::wire::Service;
use dfs_transport::endpoint::Endpoint;
use dfs_transport::world::{OwnedTask, Scope};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::time::Duration;
use tokio::time::sleep;

/// How often cluster time is written to the log while something in the state is due.
const TICK_INTERVAL: Duration = Duration::from_secs(10);
/// Requests of the Raft protocol that are served at once.
const RAFT_REQUESTS_MAX: usize = 256;

/// What the actor is told.
pub enum RaftMessage {
    /// A request of another metadata node.
    Serve(Admitted),
    /// The engine stopped by itself.
    Stopped(String),
}

/// The way to the Raft engine, for metadata nodes only.
#[must_use]
pub fn route(seat: &Seat<RaftMessage>) -> Route {
    Route::new(Service::Raft, "RaftActor", &[Role::Metadata], RAFT_REQUESTS_MAX, seat, RaftMessage::Serve)
}

/// The life of the engine.
pub struct RaftActor;

/// What the actor needs.
#[derive(Clone)]
pub struct RaftArguments {
    /// The owner of its tasks.
    pub scope: Scope,
    /// The engine.
    pub raft: RaftHandle,
    /// The endpoint, which is told the cluster once it is known.
    pub endpoint: Endpoint,
}

/// What the actor keeps.
pub struct RaftActorState {
    scope: Scope,
    raft: RaftHandle,
    #[allow(dead_code, reason = "held: they end with the actor")]
    tasks: [OwnedTask<()>; 3],
}

impl Actor for RaftActor {
    type Msg = RaftMessage;
    type State = RaftActorState;
    type Arguments = RaftArguments;

    async fn pre_start(
        &self,
        me: ActorRef<RaftMessage>,
        arguments: RaftArguments,
    ) -> Result<RaftActorState, ActorProcessingErr> {
        let RaftArguments { scope, raft, endpoint } = arguments;
        let stopped = {
            let raft = raft.clone();
            async move {
                let reason = raft.failed().await.to_string();
                let _ = me.send_message(RaftMessage::Stopped(reason));
            }
        };
        let tasks = [
            scope.spawn(stopped).owned(),
            scope.spawn(learn_cluster(raft.clone(), endpoint)).owned(),
            scope.spawn(tick(raft.clone(), scope.clone())).owned(),
        ];
        Ok(RaftActorState { scope, raft, tasks })
    }

    async fn handle(
        &self,
        _: ActorRef<RaftMessage>,
        message: RaftMessage,
        state: &mut RaftActorState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            RaftMessage::Serve(admitted) => {
                let raft = state.raft.clone();
                admitted.serve(&state.scope, |inbound| async move { raft.serve(inbound).await });
                Ok(())
            }
            RaftMessage::Stopped(reason) => Err(format!("the Raft engine stopped: {reason}").into()),
        }
    }
}

/// Tells the endpoint the cluster once the state has it: from then on, peers of other clusters are refused.
async fn learn_cluster(raft: RaftHandle, endpoint: Endpoint) {
    let mut states = raft.states();
    if let Ok(state) = states.wait_for(|state| state.cluster.is_some()).await
        && let Some(cluster) = state.cluster
    {
        endpoint.set_cluster(cluster);
    }
}

/// Writes cluster time to the log while this node leads and the state needs it.
async fn tick(raft: RaftHandle, scope: Scope) {
    loop {
        sleep(TICK_INTERVAL).await;
        if !raft.is_leader() {
            continue;
        }
        let (view, now) = (raft.view(), raft.cluster_time());
        if let Ok(Ok(true)) = scope.blocking(move || meta::needs_ticks(&view, now)).await
            && let Err(refusal) = raft.write(Command::Tick).await
        {
            tracing::debug!(%refusal, "a tick was not written");
        }
    }
}
