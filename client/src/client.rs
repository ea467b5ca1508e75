//! The client: one handle to one cluster.

use crate::download::{self, DownloadRequest};
use crate::error::{ClientError, Subject};
use crate::leader::Leader;
use crate::listing::Listing;
use crate::pace::Pace;
use crate::progress::Progress;
use crate::removal::{self, Removal};
use crate::settings::ClientSettings;
use crate::sink::Sink;
use crate::source::Source;
use crate::standing::Standing;
use crate::upload::{self, UploadRequest};
use dfs_core::id::{FileId, GroupIndex, NodeId, RequestId, Role};
use dfs_core::limit::{LOCATE_PAGE_MAX, METADATA_ATTEMPT_MS};
use dfs_core::name::FileName;
use dfs_core::settings::{ClusterSettings, SettingChange};
use dfs_core::wire::metadata::{
    ChangeSettings, ClusterStatus, ClusterSummary, DeleteFile, DescribeNode, FileInfo, FilePage, FileTarget, GroupPage,
    Leadership, LevelPage, ListFiles, ListLevel, ListNodes, ListUploads, LocateGroups, MetadataNodeInfo, MoveName,
    MovedName, NodeDescription, NodeHistory, NodePage, NodePast, ShowSettings, StatFile, StorageNodeInfo, UploadList,
};
use dfs_transport::endpoint::{Endpoint, EndpointSettings};
use dfs_transport::exchange::CallError;
use dfs_transport::identity::Identity;
use dfs_transport::peers::{Class, Destination, Peers};
use dfs_transport::world::World;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Chunks that a transfer moves at once where its request does not say otherwise.
pub const PARALLEL_DEFAULT: usize = 6;
/// Chunks that a transfer moves at once at most.
pub const PARALLEL_MAX: usize = 32;

/// A handle to one cluster. Clones share its connections and what it has learned of the cluster.
///
/// Every method may be cancelled by dropping its future. No method waits for ever: see [`ClientSettings`].
#[derive(Clone, Debug)]
pub struct Client(Arc<Inner>);

/// What all operations of a client share.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) world: World,
    pub(crate) settings: ClientSettings,
    pub(crate) peers: Peers,
    pub(crate) leader: Leader,
    pub(crate) standing: Standing,
    pub(crate) pace: Pace,
    endpoint: Endpoint,
}

/// The nodes of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterNodes {
    /// The members of the metadata cluster.
    pub metadata: Vec<MetadataNodeInfo>,
    /// The storage nodes, by id.
    pub storage: Vec<StorageNodeInfo>,
}

impl Client {
    /// A client of the cluster that the metadata nodes at `seeds` belong to. Nothing is sent before the first request.
    ///
    /// # Errors
    /// There are no seeds, or no local socket.
    pub fn new(
        world: &World,
        identity: Identity,
        seeds: Vec<SocketAddr>,
        settings: ClientSettings,
    ) -> Result<Client, ClientError> {
        let first = seeds.first().ok_or(ClientError::NoSeeds)?;
        let anywhere = match first.ip() {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let listen = settings.listen.unwrap_or(SocketAddr::new(anywhere, 0));
        let endpoint = Endpoint::bind(world, identity, EndpointSettings { listen, ..EndpointSettings::default() })?;
        let leader = Leader::new(endpoint.clone(), world.entropy.clone(), seeds, settings.clone());
        let peers = endpoint.peers();
        let (world, standing, pace) = (world.clone(), Standing::default(), Pace::default());
        Ok(Client(Arc::new(Inner { world, settings, peers, leader, standing, pace, endpoint })))
    }

    /// Uploads what `source` gives. The file is visible under its name from when this returns, whole and with at least a
    /// write quorum of durable copies of each chunk, and is not visible at all if this fails.
    ///
    /// # Errors
    /// The name is taken, the source cannot be read, or the cluster cannot make the file durable. If the future is
    /// dropped or its last request is not answered in time, the file may or may not have become visible.
    pub async fn upload(
        &self,
        source: impl Source,
        request: UploadRequest,
        progress: &dyn Progress,
    ) -> Result<FileInfo, ClientError> {
        upload::upload(&self.0, source, request, progress).await
    }

    /// Downloads a file into `sink`, in order. Every byte that the sink is given has been checked.
    ///
    /// # Errors
    /// There is no such file, no replica of one of its chunks can be read, or the sink fails. What the sink was given
    /// before is a correct beginning of the file.
    pub async fn download(
        &self,
        target: FileTarget,
        sink: impl Sink,
        request: DownloadRequest,
        progress: &dyn Progress,
    ) -> Result<FileInfo, ClientError> {
        download::download(&self.0, target, sink, &request, progress).await
    }

    /// Downloads a version that was looked up or listed into `sink`, as [`Client::download`] does.
    ///
    /// # Errors
    /// The version is gone, no replica of one of its chunks can be read, or the sink fails.
    pub async fn download_version(
        &self,
        file: &FileInfo,
        sink: impl Sink,
        request: DownloadRequest,
        progress: &dyn Progress,
    ) -> Result<(), ClientError> {
        download::download_version(&self.0, file, sink, &request, progress).await
    }

    /// How many bytes at the beginning of a local copy are those of this version, up to the first chunk that is not
    /// there whole or differs. Only checksums are asked for.
    ///
    /// # Errors
    /// The version is gone, or the cluster cannot answer. What cannot be read of the copy counts as not there.
    pub async fn verified_prefix<R: Read + Send + 'static>(
        &self,
        file: &FileInfo,
        copy: R,
        progress: &dyn Progress,
    ) -> Result<u64, ClientError> {
        download::verified_prefix(&self.0, file, copy, progress).await
    }

    /// Looks one committed file up.
    ///
    /// # Errors
    /// There is no such file, or the cluster cannot answer.
    pub async fn stat(&self, target: FileTarget) -> Result<FileInfo, ClientError> {
        let request = StatFile { target };
        self.0.leader.ask(&request, Subject::File(&request.target)).await
    }

    /// One page of the committed files. See [`Client::list`] for all pages.
    ///
    /// # Errors
    /// The cluster cannot answer.
    pub async fn list_page(&self, request: &ListFiles) -> Result<FilePage, ClientError> {
        self.0.leader.ask(request, Subject::Cluster).await
    }

    /// The committed files whose names begin with `prefix`, in the order of their names.
    #[must_use]
    pub fn list(&self, prefix: impl Into<String>) -> Listing {
        Listing::new(self.clone(), prefix.into())
    }

    /// Deletes a file. Its name is gone at once, its bytes are not freed yet. Done exactly once, however often the request
    /// is lost on the way.
    ///
    /// # Errors
    /// There is no such file, or the cluster cannot answer. In the latter case the file may or may not be gone.
    pub async fn delete(&self, target: FileTarget) -> Result<FileInfo, ClientError> {
        self.delete_if(target, None).await
    }

    /// Deletes a version that was listed, if it still has the name with which it was.
    ///
    /// # Errors
    /// As [`Client::delete`].
    pub async fn delete_listed(&self, file: &FileInfo) -> Result<FileInfo, ClientError> {
        self.delete_if(FileTarget::Id(file.file), Some(file.name.clone())).await
    }

    async fn delete_if(&self, target: FileTarget, named: Option<FileName>) -> Result<FileInfo, ClientError> {
        let first_tried = self.0.leader.time().await?;
        let request = RequestId(self.0.world.entropy.wide_number());
        let request = DeleteFile { request, first_tried, target, named };
        self.0.leader.ask(&request, Subject::File(&request.target)).await
    }

    /// One page of one level of the tree: files, and directories instead of what is below them.
    ///
    /// # Errors
    /// The cluster cannot answer.
    pub async fn list_level_page(&self, request: &ListLevel) -> Result<LevelPage, ClientError> {
        self.0.leader.ask(request, Subject::Cluster).await
    }

    /// One page of the open uploads.
    ///
    /// # Errors
    /// The cluster cannot answer.
    pub async fn list_uploads_page(&self, request: &ListUploads) -> Result<UploadList, ClientError> {
        self.0.leader.ask(request, Subject::Cluster).await
    }

    /// Deletes all files whose names begin with `prefix`, several at once, each only while it has the name
    /// with which it is listed.
    /// `on_failure` hears of each that could not be deleted; the rest goes on as long as the cluster answers.
    pub async fn delete_all(
        &self,
        prefix: impl Into<String>,
        on_failure: impl FnMut(&FileInfo, &ClientError),
    ) -> Removal {
        removal::delete_all(self, prefix.into(), on_failure).await
    }

    /// Moves a file, or a directory with all below it, to a name that nothing has. Done exactly once, however often the
    /// request is lost on the way.
    ///
    /// # Errors
    /// There is nothing of that name, the new name is taken or cannot be had, or the cluster cannot answer. In the
    /// latter case it may or may not have been moved.
    pub async fn move_name(&self, from: FileName, to: FileName) -> Result<MovedName, ClientError> {
        let first_tried = self.0.leader.time().await?;
        let request = MoveName { request: RequestId(self.0.world.entropy.wide_number()), first_tried, from, to };
        self.0.leader.ask(&request, Subject::Move { from: &request.from, to: &request.to }).await
    }

    /// Where the chunks of one version are: one page, from the group `first` on.
    ///
    /// # Errors
    /// There is no such version, or the cluster cannot answer.
    pub async fn locate_page(&self, file: FileId, first: GroupIndex) -> Result<GroupPage, ClientError> {
        let request = LocateGroups { file, first, limit: u32::try_from(LOCATE_PAGE_MAX).unwrap_or(u32::MAX) };
        self.0.leader.ask(&request, Subject::Version(file)).await
    }

    /// All nodes of the cluster.
    ///
    /// # Errors
    /// The cluster cannot answer.
    pub async fn nodes(&self) -> Result<ClusterNodes, ClientError> {
        let mut nodes = ClusterNodes { metadata: Vec::new(), storage: Vec::new() };
        let mut after: Option<NodeId> = None;
        loop {
            let page: NodePage = self.0.leader.ask(&ListNodes { after }, Subject::Cluster).await?;
            nodes.metadata.extend(page.metadata);
            nodes.storage.extend(page.storage);
            let last = nodes.storage.last().map(|node| node.address.node);
            if !page.more {
                return Ok(nodes);
            }
            if last <= after {
                return Err(ClientError::Nonsense("a page of nodes does not go on where the last one ended"));
            }
            after = last;
        }
    }

    /// How the cluster is.
    ///
    /// # Errors
    /// The cluster cannot answer. [`Client::who_leads`] may still.
    pub async fn status(&self) -> Result<ClusterSummary, ClientError> {
        self.0.leader.ask(&ClusterStatus {}, Subject::Cluster).await
    }

    /// How the health of a storage node has changed, as far as this leader has noted.
    ///
    /// # Errors
    /// The cluster cannot answer.
    pub async fn node_history(&self, node: NodeId) -> Result<NodePast, ClientError> {
        self.0.leader.ask(&NodeHistory { node }, Subject::Cluster).await
    }

    /// The settings of the cluster.
    ///
    /// # Errors
    /// The cluster cannot answer.
    pub async fn settings(&self) -> Result<ClusterSettings, ClientError> {
        self.0.leader.ask(&ShowSettings {}, Subject::Cluster).await
    }

    /// Changes settings of the cluster, all together or none, and answers those that are then in force. Done exactly
    /// once, however often the request is lost on the way.
    ///
    /// # Errors
    /// They would contradict each other, or the cluster cannot answer. In the latter case they may or may not be
    /// changed.
    pub async fn change_settings(&self, changes: Vec<SettingChange>) -> Result<ClusterSettings, ClientError> {
        let first_tried = self.0.leader.time().await?;
        let request = RequestId(self.0.world.entropy.wide_number());
        self.0.leader.ask(&ChangeSettings { request, first_tried, changes }, Subject::Cluster).await
    }

    /// What any metadata node knows of its cluster; it answers without a leader too.
    ///
    /// # Errors
    /// No metadata node answers.
    pub async fn who_leads(&self) -> Result<Leadership, ClientError> {
        self.0.leader.who_leads().await
    }

    /// What the node at this address says of itself. One try, half a second at most.
    ///
    /// # Errors
    /// It does not answer, or is not of that role.
    pub async fn describe_node(&self, address: SocketAddr, role: Role) -> Result<NodeDescription, CallError> {
        let to = Destination { address, role, node: None };
        let deadline = Instant::now() + Duration::from_millis(METADATA_ATTEMPT_MS);
        self.0.peers.call(&to, Class::Control, &DescribeNode {}, deadline).await
    }

    /// Closes all connections, so that no peer has to find out by itself that this client is gone. Operations in
    /// progress fail.
    pub async fn close(&self) {
        self.0.endpoint.close().await;
    }
}
