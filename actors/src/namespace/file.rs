//! How requests about files are answered, and how all of them read the state.

use super::NamespaceArguments;
use crate::raft::StateView;
use dfs_core::id::NodeId;
use dfs_core::meta::{self, Command, NodeRecord, Outcome};
use dfs_core::refusal::Refusal;
use dfs_core::wire::NodeAddress;
use dfs_core::wire::metadata::{
    DeleteFile, FileInfo, FilePage, GroupPage, LevelPage, ListFiles, ListLevel, ListUploads, LocateGroups, MoveName,
    MovedName, StatFile, UploadList,
};
use std::collections::{BTreeMap, BTreeSet};

type Read<T> = Result<T, <StateView as meta::View>::Error>;

impl NamespaceArguments {
    /// Reads the state as this node has it.
    pub(super) async fn look<T: Send + 'static>(
        &self,
        read: impl FnOnce(&StateView) -> Read<T> + Send + 'static,
    ) -> Result<T, Refusal> {
        let view = self.raft.view();
        match self.scope.blocking(move || read(&view)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                tracing::error!(%error, "the replicated state cannot be read");
                Err(Refusal::Internal)
            }
            Err(_) => Err(Refusal::Stopping),
        }
    }

    /// Reads the state linearizably.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&StateView) -> Read<T> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.raft.read_index().await?;
        self.look(read).await
    }

    /// Asks the state whether something is to be placed. A refusal is believed only behind a barrier, because a new
    /// leader may not have applied yet what would avert it.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        ask: impl Fn(&StateView) -> Read<Result<T, Refusal>> + Clone + Send + 'static,
    ) -> Result<T, Refusal> {
        if !self.raft.is_leader() {
            return Err(Refusal::NotLeader { leader: self.raft.leadership().leader });
        }
        match self.look(ask.clone()).await? {
            Ok(answer) => Ok(answer),
            Err(_) => self.read(ask).await?,
        }
    }

    pub(super) async fn registered(&self) -> Result<Vec<NodeRecord>, Refusal> {
        self.look(meta::all_nodes).await
    }

    pub(super) async fn addresses(&self, nodes: BTreeSet<NodeId>) -> Result<BTreeMap<NodeId, NodeAddress>, Refusal> {
        self.look(move |view| {
            let mut addresses = BTreeMap::new();
            for node in nodes {
                if let Some(record) = meta::node(view, node)? {
                    addresses.insert(node, NodeAddress { node, address: record.address });
                }
            }
            Ok(addresses)
        })
        .await
    }

    pub(super) async fn delete(&self, request: DeleteFile) -> Result<FileInfo, Refusal> {
        match self.raft.write(Command::Delete { request }).await? {
            Outcome::Deleted(info) => Ok(info),
            _ => Err(Refusal::Internal),
        }
    }

    pub(super) async fn move_name(&self, request: MoveName) -> Result<MovedName, Refusal> {
        match self.raft.write(Command::Move { request }).await? {
            Outcome::Moved(moved) => Ok(moved),
            _ => Err(Refusal::Internal),
        }
    }

    pub(super) async fn stat(&self, request: StatFile) -> Result<FileInfo, Refusal> {
        self.read(move |view| meta::stat(view, &request.target)).await?
    }

    pub(super) async fn list(&self, request: ListFiles) -> Result<FilePage, Refusal> {
        self.read(move |view| meta::list(view, &request)).await
    }

    pub(super) async fn list_level(&self, request: ListLevel) -> Result<LevelPage, Refusal> {
        self.read(move |view| meta::list_level(view, &request)).await
    }

    pub(super) async fn list_uploads(&self, request: ListUploads) -> Result<UploadList, Refusal> {
        self.read(move |view| meta::list_uploads(view, &request)).await
    }

    pub(super) async fn locate(&self, request: LocateGroups) -> Result<GroupPage, Refusal> {
        let groups = self.read(move |view| meta::locate(view, &request)).await??;
        let nodes = groups.iter().flat_map(|group| group.holders.iter().map(|holder| holder.node)).collect();
        let addresses = self.addresses(nodes).await?.into_values().collect();
        Ok(GroupPage { groups, addresses })
    }
}
