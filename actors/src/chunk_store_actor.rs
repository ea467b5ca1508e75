//! `ChunkStoreActor`: admits the transfers of a storage node, and ends the node when its disk failed.
//!
//! *Owns* the life of the chunk store's engine. *Receives* admitted requests for [`Service::Chunks`] and
//! [`Service::Replicas`], and the news that the store failed. *Asks* nobody. *Supervised by* the storage tree; a store
//! that failed fails the actor again at every restart, so the tree gives up and the node leaves with the reason.
//! *Bounds*: separate permits for reads, for writes as a primary and for writes as a replica; of the first two, one client
//! has a share.

use crate::chunk_store::ChunkStore;
use crate::listener::{Admitted, Route};
use crate::meter::Meter;
use crate::seat::Seat;
use crate::share::Shares;
use crate::transfer::{Transfers, held, primary_write, read, replica_write};
use dfs_core::id::Role;
use dfs_core::limit::{
    PRIMARY_WRITES_MAX, PRIMARY_WRITES_PER_CLIENT_MAX, REPLICA_WRITES_MAX, STORE_READS_MAX, STORE_READS_PER_CLIENT_MAX,
};
use dfs_core::refusal::Refusal;
use dfs_core::wire::chunk::{HeldChunks, ReadChunk, WriteChunk, WriteReplica};
use dfs_core::wire::{Request, Service};
use dfs_transport::identity::PeerIdentity;
use dfs_transport::world::OwnedTask;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout_at;

/// What the actor is told.
pub enum ChunkStoreMessage {
    /// A transfer was let in.
    Serve(Admitted),
    /// The store failed for good.
    Failed,
}

/// The ways to a chunk store: clients read and write chunks, storage nodes read them and write replicas.
#[must_use]
pub fn routes(seat: &Seat<ChunkStoreMessage>) -> Vec<Route> {
    let transfers = STORE_READS_MAX + PRIMARY_WRITES_MAX;
    let of_one_client = STORE_READS_PER_CLIENT_MAX + PRIMARY_WRITES_PER_CLIENT_MAX;
    let (anyone, peers): (&[Role], &[Role]) = (&[Role::Client, Role::Storage], &[Role::Storage]);
    let route = |service, roles, permits| {
        Route::new(service, "ChunkStoreActor", roles, permits, seat, ChunkStoreMessage::Serve)
    };
    vec![
        route(Service::Chunks, anyone, 4 * transfers).shared(4 * of_one_client),
        route(Service::Replicas, peers, 2 * REPLICA_WRITES_MAX),
    ]
}

/// Admits transfers, and shows its permits on the meter of its node.
pub struct ChunkStoreActor(pub Meter);

/// Permits for one kind of transfer.
struct Pool {
    permits: Arc<Semaphore>,
    shares: Shares,
}

impl Pool {
    /// Waits for a permit. A client that holds its share waits for itself alone, outside of the queue of all.
    async fn permit(&self, peer: &PeerIdentity) -> (Option<OwnedSemaphorePermit>, OwnedSemaphorePermit) {
        const OPEN: &str = "pools are never closed";
        let share = match self.shares.of(peer) {
            Some(share) => Some(share.acquire_owned().await.expect(OPEN)),
            None => None,
        };
        (share, self.permits.clone().acquire_owned().await.expect(OPEN))
    }
}

/// What the actor keeps.
pub struct ChunkStoreState {
    transfers: Transfers,
    reads: Arc<Pool>,
    primary_writes: Arc<Pool>,
    replica_writes: Arc<Pool>,
    #[allow(dead_code, reason = "held: the watch ends with the actor")]
    watch: OwnedTask<()>,
}

fn check(store: &ChunkStore) -> Result<(), ActorProcessingErr> {
    if store.is_failed() { Err("the disk failed; the store takes no more work".into()) } else { Ok(()) }
}

impl ChunkStoreState {
    /// Starts the transfer that was asked for. It waits for its permit no longer than its deadline.
    fn serve(&self, admitted: Admitted) {
        let (service, method) = (admitted.inbound().service, admitted.inbound().method);
        let pool = match (service, method) {
            (Service::Chunks, ReadChunk::METHOD | HeldChunks::METHOD) => &self.reads,
            (Service::Chunks, WriteChunk::METHOD) => &self.primary_writes,
            (Service::Replicas, WriteReplica::METHOD) => &self.replica_writes,
            _ => {
                return admitted.serve(&self.transfers.scope, |inbound| async move {
                    drop(inbound.exchange.refuse(Refusal::UnknownMethod).await);
                });
            }
        };
        let (transfers, pool) = (self.transfers.clone(), pool.clone());
        admitted.serve(&self.transfers.scope, move |inbound| async move {
            let (peer, deadline) = (inbound.peer.clone(), inbound.deadline);
            let turn = pool.permit(&peer);
            // Who writes to a primary, or reads, is told that it waits.
            match (service, method) {
                (Service::Chunks, WriteChunk::METHOD) => return primary_write::serve(transfers, turn, inbound).await,
                (Service::Chunks, ReadChunk::METHOD) => return read::serve(transfers, turn, inbound).await,
                _ => {}
            }
            let Ok(_permit) = timeout_at(deadline, turn).await else {
                return drop(inbound.exchange.refuse(Refusal::Overloaded).await);
            };
            match service {
                Service::Chunks => held::serve(transfers, inbound).await,
                _ => replica_write::serve(transfers, inbound).await,
            }
        });
    }
}

impl Actor for ChunkStoreActor {
    type Msg = ChunkStoreMessage;
    type State = ChunkStoreState;
    type Arguments = Transfers;

    async fn pre_start(
        &self,
        me: ActorRef<ChunkStoreMessage>,
        transfers: Transfers,
    ) -> Result<ChunkStoreState, ActorProcessingErr> {
        check(&transfers.store)?;
        let store = transfers.store.clone();
        let watch = transfers.scope.spawn(async move {
            store.failed().await;
            let _ = me.send_message(ChunkStoreMessage::Failed);
        });
        let pool = |name, limit, each| {
            let permits = Arc::new(Semaphore::new(limit));
            self.0.watch_pool(name, &permits, limit);
            Arc::new(Pool { permits, shares: Shares::new(each) })
        };
        Ok(ChunkStoreState {
            transfers,
            reads: pool("chunk_reads", STORE_READS_MAX, STORE_READS_PER_CLIENT_MAX),
            primary_writes: pool("primary_writes", PRIMARY_WRITES_MAX, PRIMARY_WRITES_PER_CLIENT_MAX),
            replica_writes: pool("replica_writes", REPLICA_WRITES_MAX, REPLICA_WRITES_MAX),
            watch: watch.owned(),
        })
    }

    async fn handle(
        &self,
        _: ActorRef<ChunkStoreMessage>,
        message: ChunkStoreMessage,
        state: &mut ChunkStoreState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ChunkStoreMessage::Serve(admitted) => state.serve(admitted),
            ChunkStoreMessage::Failed => check(&state.transfers.store)?,
        }
        Ok(())
    }
}
