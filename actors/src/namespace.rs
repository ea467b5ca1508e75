//! `NamespaceActor`: admits what clients ask of files and directories.
//!
//! *Owns* nothing but its handles: the state is the Raft engine's. *Receives* admitted requests for
//! [`Service::Namespace`]. *Asks*, in one task per request, the engine and the `NodeWatcher`. *Supervised by* the
//! metadata tree, after the watcher. *Bounds*: [`METADATA_REQUESTS_MAX`] requests at once, of one client
//! [`METADATA_REQUESTS_PER_CLIENT_MAX`]; every answer is a page.
//!
//! Reads go behind a read-index barrier (Raft, section 6.4 of Ongaro's dissertation), so that they are linearizable.
//! Writes choose their nodes here, because liveness is in the leader's memory only, and are decided when they are
//! applied.

mod file;
mod overview;
mod upload;

use crate::listener::{Admitted, Route};
use crate::node_watcher::WatcherHandle;
use crate::raft::RaftHandle;
use crate::repair_scheduler::RepairHandle;
use crate::seat::Seat;
use dfs_core::id::Role;
use dfs_core::limit::{METADATA_REQUESTS_MAX, METADATA_REQUESTS_PER_CLIENT_MAX};
use dfs_core::refusal::Refusal;
use dfs_core::wire::metadata::{
    AllocateGroup, ChangeSettings, ClusterStatus, CommitFile, CreateFile, DeleteFile, ListFiles, ListLevel, ListNodes,
    ListUploads, LocateGroups, LocateUpload, MoveName, NodeHistory, ResumeUpload, ShowSettings, ShowTime, StatFile,
    WhoLeads,
};
use dfs_core::wire::{Request, Service};
use dfs_transport::endpoint::Inbound;
use dfs_transport::world::{Entropy, Scope};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::future::Future;

/// What the actor is told.
pub enum NamespaceMessage {
    /// A client's request was let in.
    Serve(Admitted),
}

/// The way to the namespace, for clients; metadata nodes ask each other who leads.
#[must_use]
pub fn route(seat: &Seat<NamespaceMessage>) -> Route {
    let roles = &[Role::Client, Role::Metadata];
    Route::new(Service::Namespace, "NamespaceActor", roles, METADATA_REQUESTS_MAX, seat, NamespaceMessage::Serve)
        .shared(METADATA_REQUESTS_PER_CLIENT_MAX)
}

/// Admits requests about files.
pub struct NamespaceActor;

/// What the actor needs.
#[derive(Clone)]
pub struct NamespaceArguments {
    /// The owner of its tasks.
    pub scope: Scope,
    /// The Raft engine.
    pub raft: RaftHandle,
    /// Who says which nodes may be given work.
    pub watcher: WatcherHandle,
    /// Who knows what is to be repaired.
    pub repair: RepairHandle,
    /// What placements are drawn from.
    pub entropy: Entropy,
}

impl Actor for NamespaceActor {
    type Msg = NamespaceMessage;
    type State = NamespaceArguments;
    type Arguments = NamespaceArguments;

    async fn pre_start(
        &self,
        _: ActorRef<NamespaceMessage>,
        arguments: NamespaceArguments,
    ) -> Result<NamespaceArguments, ActorProcessingErr> {
        Ok(arguments)
    }

    async fn handle(
        &self,
        _: ActorRef<NamespaceMessage>,
        message: NamespaceMessage,
        state: &mut NamespaceArguments,
    ) -> Result<(), ActorProcessingErr> {
        let NamespaceMessage::Serve(admitted) = message;
        let arguments = state.clone();
        admitted.serve(&state.scope, |inbound| async move { arguments.serve(inbound).await });
        Ok(())
    }
}

impl NamespaceArguments {
    async fn serve(&self, inbound: Inbound) {
        match inbound.method {
            CreateFile::METHOD => respond(inbound, |request, deadline| self.create(request, deadline)).await,
            AllocateGroup::METHOD => respond(inbound, |request, deadline| self.allocate(request, deadline)).await,
            CommitFile::METHOD => respond(inbound, |request, _| self.commit(request)).await,
            ResumeUpload::METHOD => respond(inbound, |request, _| self.resume(request)).await,
            LocateUpload::METHOD => respond(inbound, |request, _| self.locate_upload(request)).await,
            StatFile::METHOD => respond(inbound, |request, _| self.stat(request)).await,
            ListFiles::METHOD => respond(inbound, |request, _| self.list(request)).await,
            ListLevel::METHOD => respond(inbound, |request, _| self.list_level(request)).await,
            ListUploads::METHOD => respond(inbound, |request, _| self.list_uploads(request)).await,
            LocateGroups::METHOD => respond(inbound, |request, _| self.locate(request)).await,
            DeleteFile::METHOD => respond(inbound, |request, _| self.delete(request)).await,
            MoveName::METHOD => respond(inbound, |request, _| self.move_name(request)).await,
            WhoLeads::METHOD => respond(inbound, |WhoLeads {}, _| async { Ok(self.raft.leadership()) }).await,
            ListNodes::METHOD => respond(inbound, |request, deadline| self.nodes(request, deadline)).await,
            ClusterStatus::METHOD => respond(inbound, |ClusterStatus {}, deadline| self.overview(deadline)).await,
            NodeHistory::METHOD => respond(inbound, |request, deadline| self.history(request, deadline)).await,
            ShowTime::METHOD => respond(inbound, |ShowTime {}, _| self.time()).await,
            ShowSettings::METHOD => respond(inbound, |ShowSettings {}, _| self.settings()).await,
            ChangeSettings::METHOD => respond(inbound, |request, _| self.change_settings(request)).await,
            _ => drop(inbound.exchange.refuse(Refusal::UnknownMethod).await),
        }
    }
}

/// Decodes a request, has it answered within its deadline, and sends the answer or the refusal.
async fn respond<R, F>(inbound: Inbound, answer: impl FnOnce(R, tokio::time::Instant) -> F)
where
    R: Request,
    F: Future<Output = Result<R::Reply, Refusal>>,
{
    let deadline = inbound.deadline;
    let answered = match inbound.decode::<R>() {
        Ok(request) => {
            tokio::time::timeout_at(deadline, answer(request, deadline)).await.unwrap_or(Err(Refusal::DeadlineExceeded))
        }
        Err(refusal) => Err(refusal),
    };
    match answered {
        // A client that is gone asks again if it still cares.
        Ok(reply) => drop(inbound.exchange.reply(&reply).await),
        Err(refusal) => drop(inbound.exchange.refuse(refusal).await),
    }
}
