//! Registrations and beats: what storage nodes tell, and what they are answered. Each is served in a task of its own, so
//! that no write to the log keeps the watcher from looking.

use super::{NodeHeard, WatcherArguments, WatcherMessage};
use dfs_core::id::{ClusterId, Incarnation, NodeId};
use dfs_core::limit::{LATE_REPORTS_PER_BEAT_MAX, RECEIPTS_PER_BEAT_MAX};
use dfs_core::meta::{self, Command, NodeRecord, Outcome};
use dfs_core::refusal::Refusal;
use dfs_core::settings::ClusterSettings;
use dfs_core::wire::Request;
use dfs_core::wire::membership::{Beat, BeatAnswer, LateReport, Receipt, Register, Registered};
use dfs_transport::endpoint::Inbound;
use ractor::ActorRef;
use tokio::time::Instant;

impl WatcherArguments {
    /// Serves one registration or beat.
    pub(super) async fn serve(&self, inbound: Inbound, watcher: &ActorRef<WatcherMessage>) {
        let Some(node) = inbound.peer.node() else {
            return drop(inbound.exchange.refuse(Refusal::NotPermitted).await);
        };
        match inbound.method {
            Register::METHOD => match self.register(node, &inbound, watcher).await {
                Ok(registered) => drop(inbound.exchange.reply(&registered).await),
                Err(refusal) => drop(inbound.exchange.refuse(refusal).await),
            },
            Beat::METHOD => match self.beat(node, &inbound, watcher).await {
                Ok(answer) => drop(inbound.exchange.reply(&answer).await),
                Err(refusal) => drop(inbound.exchange.refuse(refusal).await),
            },
            _ => drop(inbound.exchange.refuse(Refusal::UnknownMethod).await),
        }
    }

    async fn cluster(&self) -> Result<(ClusterId, ClusterSettings), Refusal> {
        let view = self.raft.view();
        match self.scope.blocking(move || meta::cluster(&view)).await {
            Ok(Ok(Some(cluster))) => Ok(cluster),
            Ok(Ok(None)) | Err(_) => Err(Refusal::Unavailable),
            Ok(Err(_)) => Err(Refusal::Internal),
        }
    }

    async fn register(
        &self,
        node: NodeId,
        inbound: &Inbound,
        watcher: &ActorRef<WatcherMessage>,
    ) -> Result<Registered, Refusal> {
        let request: Register = inbound.decode()?;
        self.raft.read_index().await?;
        let (cluster, settings) = self.cluster().await?;
        if request.cluster.is_some_and(|claimed| claimed != cluster) {
            tracing::warn!(%node, "a storage node of another cluster is refused; its data stays as it is");
            return Err(Refusal::WrongCluster);
        }
        let Register { boot, store, address, load, .. } = request;
        // Who asks again because an answer was lost or late needs no further entry.
        let known = self.registered(node).await?.filter(|known| known.boot == boot);
        let incarnation = match known {
            Some(known) => known.incarnation,
            None => match self.raft.write(Command::Register { node, boot, store, address }).await? {
                Outcome::Registered { incarnation } => incarnation,
                _ => return Err(Refusal::Internal),
            },
        };
        tracing::info!(%node, %incarnation, %store, %address, "a storage node has registered");
        let heard = NodeHeard { node, incarnation, load, leaving: false, slow: Vec::new() };
        let _ = watcher.send_message(WatcherMessage::Heard(heard));
        Ok(Registered { cluster, incarnation, members: self.raft.leadership().members, settings })
    }

    /// A storage node as the state has it here now.
    async fn registered(&self, node: NodeId) -> Result<Option<NodeRecord>, Refusal> {
        let view = self.raft.view();
        let record = self.scope.blocking(move || meta::node(&view, node)).await;
        record.map_err(|_| Refusal::Stopping)?.map_err(|_| Refusal::Internal)
    }

    async fn beat(
        &self,
        node: NodeId,
        inbound: &Inbound,
        watcher: &ActorRef<WatcherMessage>,
    ) -> Result<BeatAnswer, Refusal> {
        let beat: Beat = inbound.decode()?;
        // Whoever is cut off from the other members sends its nodes on to their new leader.
        self.raft.check_leadership()?;
        if beat.late_reports.len() > LATE_REPORTS_PER_BEAT_MAX || beat.receipts.len() > RECEIPTS_PER_BEAT_MAX {
            return Err(Refusal::TooLarge);
        }
        // A new leader may not have applied the registration yet: only a higher incarnation makes a beat stale.
        match self.registered(node).await? {
            Some(registered) if registered.incarnation > beat.incarnation => return Err(Refusal::StaleIncarnation),
            Some(registered) if registered.incarnation == beat.incarnation => {}
            _ => return Err(Refusal::Unavailable),
        }
        let Beat { incarnation, load, leaving, slow, .. } = beat;
        let heard = NodeHeard { node, incarnation, load, leaving, slow };
        let _ = watcher.send_message(WatcherMessage::Heard(heard));
        let reports_taken = self.take_reports(node, incarnation, beat.late_reports).await?;
        let receipts_taken = self.take_receipts(node, incarnation, beat.receipts, inbound.deadline).await?;
        let orders = self.repair.orders(node, inbound.deadline).await?;
        let state = self.raft.state();
        let settings = state.settings.ok_or(Refusal::Unavailable)?;
        let (cluster_time, members) = (state.cluster_time, state.members);
        Ok(BeatAnswer { cluster_time, members, reports_taken, receipts_taken, orders, settings })
    }

    /// Records late reports; answers how many were taken.
    async fn take_reports(
        &self,
        reporter: NodeId,
        incarnation: Incarnation,
        reports: Vec<LateReport>,
    ) -> Result<u32, Refusal> {
        if reports.is_empty() {
            return Ok(0);
        }
        match self.raft.write(Command::RecordCopies { reporter, incarnation, reports }).await? {
            Outcome::Recorded { taken } => Ok(taken),
            _ => Err(Refusal::Internal),
        }
    }

    /// Records receipts; answers how many were taken.
    async fn take_receipts(
        &self,
        reporter: NodeId,
        incarnation: Incarnation,
        receipts: Vec<Receipt>,
        deadline: Instant,
    ) -> Result<u32, Refusal> {
        if receipts.is_empty() {
            return Ok(0);
        }
        let receipts = self.repair.judge(receipts, deadline).await?;
        let command = Command::RecordReceipts { reporter, incarnation, receipts: receipts.clone() };
        match self.raft.write(command).await? {
            Outcome::Recorded { taken } => {
                self.repair.recorded(reporter, receipts);
                Ok(taken)
            }
            _ => Err(Refusal::Internal),
        }
    }
}
