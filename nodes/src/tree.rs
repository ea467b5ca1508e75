//! The supervision trees, as values, on one page: who is started in which order, and who is restarted with whom.

use dfs_actors::chunk_store_actor::{self, ChunkStoreActor, ChunkStoreMessage};
use dfs_actors::heartbeat::{HeartbeatActor, HeartbeatArguments};
use dfs_actors::listener::{Gate, ListenerActor, ListenerArguments, ListenerMessage};
use dfs_actors::meter::Meter;
use dfs_actors::metrics_endpoint::{MetricsActor, MetricsArguments, MetricsSeat};
use dfs_actors::namespace::{self, NamespaceActor, NamespaceArguments, NamespaceMessage};
use dfs_actors::node_watcher::{self, NodeWatcher, WatcherArguments};
use dfs_actors::raft_actor::{self, RaftActor, RaftArguments, RaftMessage};
use dfs_actors::repair_scheduler::{RepairArguments, RepairScheduler};
use dfs_actors::replicator::ReplicatorActor;
use dfs_actors::seat::Seat;
use dfs_actors::supervisor::{Child, Intensity, Strategy, Tree};
use dfs_actors::transfer::Transfers;
use dfs_core::wire::metadata::NodeDescription;
use dfs_transport::endpoint::Endpoint;
use dfs_transport::world::Scope;
use std::sync::Arc;
use std::time::Duration;

/// More than this, and the process ends with the reason: it starts again with a clean memory, or an operator looks.
const INTENSITY: Intensity = Intensity { restarts: 5, within: Duration::from_secs(60) };

/// What the listener of either role needs.
pub struct Entrance {
    /// The owner of tasks.
    pub scope: Scope,
    /// Where requests come from.
    pub endpoint: Endpoint,
    /// Tells what the node is at the moment.
    pub describe: Arc<dyn Fn() -> NodeDescription + Send + Sync>,
    /// Closed when the node stops.
    pub gate: Gate,
    /// Where requests are counted.
    pub meter: Meter,
    /// How metrics are told, if they are.
    pub metrics: Option<MetricsArguments>,
}

/// A metadata node. Each child needs those before it, so a restart takes those after it along:
///
/// 1. `RaftActor`: without the log there is nothing to serve;
/// 2. `RepairScheduler`: answers the watcher;
/// 3. `NodeWatcher`: says who may be given work;
/// 4. `NamespaceActor`: asks the watcher for placements;
/// 5. `ListenerActor`: lets requests in once all who serve them sit;
/// 6. `MetricsActor`, where the node has a listener for it: tells metrics; nobody needs it.
pub fn metadata(
    entrance: Entrance,
    raft: RaftArguments,
    watcher: WatcherArguments,
    namespace: NamespaceArguments,
) -> Tree {
    let raft_seat = Seat::<RaftMessage>::new();
    let namespace_seat = Seat::<NamespaceMessage>::new();
    let metrics = metrics(&entrance);
    let (repair_seat, watcher_seat) = (watcher.repair.0.clone(), namespace.watcher.0.clone());
    let repair = RepairArguments { scope: watcher.scope.clone(), raft: watcher.raft.clone() };
    let entrance = {
        let (raft, watcher, namespace) = (raft_seat.clone(), watcher_seat.clone(), namespace_seat.clone());
        listener(entrance, move || {
            vec![raft_actor::route(&raft), node_watcher::route(&watcher), namespace::route(&namespace)]
        })
    };
    Tree {
        name: "metadata",
        strategy: Strategy::RestForOne,
        intensity: INTENSITY,
        children: [
            Child::new("RaftActor", &raft_seat, move || (RaftActor, raft.clone())),
            Child::new("RepairScheduler", &repair_seat, move || (RepairScheduler, repair.clone())),
            Child::new("NodeWatcher", &watcher_seat, move || (NodeWatcher, watcher.clone())),
            Child::new("NamespaceActor", &namespace_seat, move || (NamespaceActor, namespace.clone())),
            entrance,
        ]
        .into_iter()
        .chain(metrics)
        .collect(),
    }
}

/// A storage node. Its actors know each other by seats only and are restarted one by one:
///
/// 1. `ReplicatorActor`: takes copies that transfers leave behind;
/// 2. `ChunkStoreActor`: admits transfers;
/// 3. `HeartbeatActor`: registers, so that work is given from now on;
/// 4. `ListenerActor`: lets requests in once all who serve them sit;
/// 5. `MetricsActor`, where the node has a listener for it: tells metrics.
pub fn storage(entrance: Entrance, transfers: Transfers, heartbeat: HeartbeatArguments) -> Tree {
    let store_seat = Seat::<ChunkStoreMessage>::new();
    let (metrics, meter) = (metrics(&entrance), entrance.meter.clone());
    let (replicator_seat, heartbeat_seat) = (transfers.replicator.seat.clone(), transfers.heartbeat.0.clone());
    let entrance = {
        let store = store_seat.clone();
        listener(entrance, move || chunk_store_actor::routes(&store))
    };
    let transfers_of_store = transfers.clone();
    Tree {
        name: "storage",
        strategy: Strategy::OneForOne,
        intensity: INTENSITY,
        children: [
            Child::new("ReplicatorActor", &replicator_seat, move || (ReplicatorActor, transfers.clone())),
            Child::new("ChunkStoreActor", &store_seat, move || {
                (ChunkStoreActor(meter.clone()), transfers_of_store.clone())
            }),
            Child::new("HeartbeatActor", &heartbeat_seat, move || (HeartbeatActor, heartbeat.clone())),
            entrance,
        ]
        .into_iter()
        .chain(metrics)
        .collect(),
    }
}

fn listener(
    entrance: Entrance,
    routes: impl Fn() -> Vec<dfs_actors::listener::Route> + Send + Sync + 'static,
) -> Child {
    let seat = Seat::<ListenerMessage>::new();
    let own_seat = seat.clone();
    Child::new("ListenerActor", &seat, move || {
        let arguments = ListenerArguments {
            scope: entrance.scope.clone(),
            endpoint: entrance.endpoint.clone(),
            seat: own_seat.clone(),
            routes: routes(),
            describe: entrance.describe.clone(),
            gate: entrance.gate.clone(),
            meter: entrance.meter.clone(),
        };
        (ListenerActor, arguments)
    })
}

fn metrics(entrance: &Entrance) -> Option<Child> {
    let arguments = entrance.metrics.clone()?;
    Some(Child::new("MetricsActor", &MetricsSeat::new(), move || (MetricsActor, arguments.clone())))
}
