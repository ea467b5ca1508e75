//! A client whose reports are wrong, as one of another build may be: metadata believes none of them.
//!
//! The clients of this project report only what a primary answered, so that in no other scenario metadata is ever told of
//! too few holders, of a node outside the placement, or of an epoch that is over. It refuses all the same, and as a whole:
//! what was refused has changed nothing.

use super::alive_tasks;
use crate::cluster::{Cluster, ClusterShape, Ending, Member, User};
use crate::verdict::{AnyError, Failure, Verdict};
use crate::world::SimWorld;
use dfs_core::checksum::Digest;
use dfs_core::id::{ChunkIndex, Epoch, FileId, GroupIndex, NodeId, UploadNonce};
use dfs_core::name::FileName;
use dfs_core::refusal::Refusal;
use dfs_core::settings::ClusterSettings;
use dfs_core::time::WallTime;
use dfs_core::unit::ChunkSize;
use dfs_core::wire::metadata::{
    AllocateGroup, ChunkReport, CommitFile, CreateFile, FileInfo, FileTarget, GroupPlacement, GroupReport, StatFile,
};
use dfs_transport::exchange::CallError;

/// No report is believed that cannot be true.
const NOT_BELIEVED: &str = "reports-are-checked";

const STORAGE_NODES: u64 = 4;
const NONCE: UploadNonce = UploadNonce(7);
const LENGTH: u32 = 1000;

pub(super) async fn play(world: &mut SimWorld) -> Verdict {
    let before = alive_tasks();
    let (mut cluster, users) = Cluster::prepare(world, ClusterShape::of(1, STORAGE_NODES, 1))?;
    let user = &users[0];
    cluster.start().await?;
    cluster.initialise(0, ClusterSettings::default()).await?;
    cluster
        .until("a cluster that serves", async || {
            let status = user.client().status().await.ok()?;
            (u64::from(status.storage_alive) == STORAGE_NODES).then_some(())
        })
        .await?;
    let liar = Liar { user, metadata: &cluster.metadata[0] };
    let (file, placed) = liar.open().await?;
    let nodes: Vec<NodeId> = placed.nodes.iter().map(|node| node.node).collect();
    let outside = (1..=STORAGE_NODES).map(NodeId).find(|node| !nodes.contains(node)).ok_or("every node is placed")?;
    liar.refused("one holder", file, Epoch::FIRST, &nodes[..1]).await?;
    liar.refused("one holder, told twice", file, Epoch::FIRST, &[nodes[0], nodes[0]]).await?;
    liar.refused("a node outside the placement", file, Epoch::FIRST, &[nodes[0], outside]).await?;
    liar.refused("an epoch to come", file, Epoch(2), &nodes).await?;
    let again = liar.place_again(file).await?;
    // Nodes of both placements, so that nothing but the epoch is wrong.
    let both: Vec<NodeId> = again.nodes.iter().map(|node| node.node).filter(|node| nodes.contains(node)).collect();
    liar.refused("an epoch that is over", file, Epoch::FIRST, &both).await?;
    cluster.end(users, before, Ending::AtOnce).await
}

/// Somebody who reports what is not so.
struct Liar<'l> {
    user: &'l User,
    metadata: &'l Member,
}

impl Liar<'_> {
    async fn open(&self) -> Result<(FileId, GroupPlacement), AnyError> {
        let create = CreateFile {
            nonce: NONCE,
            name: FileName::new("a")?,
            chunk_size: ChunkSize::default(),
            replication: None,
            size_hint: Some(LENGTH.into()),
            modified: WallTime(0),
            replace: false,
        };
        let created = self.user.ask(self.metadata, &create).await?;
        Ok((created.file, created.first_group.ok_or("the upload has no placement")?))
    }

    async fn place_again(&self, file: FileId) -> Result<GroupPlacement, AnyError> {
        let (group, epoch) = (GroupIndex(0), Epoch(2));
        let allocate = AllocateGroup { file, nonce: NONCE, group, epoch, excluded: Vec::new(), reports: Vec::new() };
        Ok(self.user.ask(self.metadata, &allocate).await?)
    }

    async fn commit(&self, file: FileId, epoch: Epoch, holders: &[NodeId]) -> Result<FileInfo, CallError> {
        let checksum = Digest::of(b"nothing is stored anywhere");
        let chunk = ChunkReport { index: ChunkIndex(0), length: LENGTH, checksum, holders: holders.to_vec() };
        let reports = vec![GroupReport { group: GroupIndex(0), epoch, chunks: vec![chunk] }];
        self.user.ask(self.metadata, &CommitFile { file, nonce: NONCE, size: LENGTH.into(), reports }).await
    }

    /// Reports holders, and must be refused.
    async fn refused(&self, what: &str, file: FileId, epoch: Epoch, holders: &[NodeId]) -> Verdict {
        let wrong = |detail: String| Err(Failure::correctness(NOT_BELIEVED, detail).into());
        match self.commit(file, epoch, holders).await {
            Err(CallError::Refused(Refusal::BadReport | Refusal::StaleEpoch { .. })) => {}
            other => return wrong(format!("a report of {what} was answered with {other:?}")),
        }
        match self.user.ask(self.metadata, &StatFile { target: FileTarget::Id(file) }).await {
            Err(CallError::Refused(Refusal::NotFound)) => Ok(()),
            other => wrong(format!("behind a report of {what} the file is {other:?}")),
        }
    }
}
