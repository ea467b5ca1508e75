//! What an earlier run of an upload left: which chunks are there, and the epochs of the groups that lack some.
//!
//! It is taken once, before the first chunk is sent, page by page: what metadata counts, and, for the groups that are
//! not complete, what their nodes hold under the present epoch. What the nodes tell is reported at once, so that it
//! counts whatever becomes of this run. Only groups that lack a chunk are kept in memory.

use crate::client::Inner;
use crate::error::{ClientError, Subject};
use dfs_core::checksum::Digest;
use dfs_core::id::{ChunkIndex, Epoch, FileId, GroupIndex, NodeId, Role, UploadNonce};
use dfs_core::limit::{LOCATE_PAGE_MAX, REPORT_GROUPS_MAX};
use dfs_core::mask::ChunkMask;
use dfs_core::name::FileName;
use dfs_core::resume;
use dfs_core::unit::ChunkSize;
use dfs_core::wire::NodeAddress;
use dfs_core::wire::chunk::{HeldChunk, HeldChunks};
use dfs_core::wire::metadata::{
    AllocateGroup, GroupPlacement, GroupReport, LocateUpload, ResumedUpload, UploadGroup, UploadPage,
};
use dfs_transport::peers::{Class, Destination};
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How long a storage node has to say what it holds of one group.
const ANSWER: Duration = Duration::from_millis(500);

/// What is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stock {
    groups: u32,
    incomplete: BTreeMap<GroupIndex, Incomplete>,
    chunks: u64,
    bytes: u64,
    /// The checksum of the first chunk of the file, if that is there.
    first: Option<Digest>,
}

/// A placed group that lacks chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Incomplete {
    epoch: Epoch,
    there: ChunkMask,
}

/// The source and the upload that it belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin<'a> {
    pub(super) name: &'a FileName,
    pub(super) nonce: UploadNonce,
    pub(super) file: FileId,
    pub(super) size: u64,
    pub(super) chunk_size: ChunkSize,
}

impl Stock {
    /// Takes stock of an upload that was handed over.
    pub(super) async fn take(
        client: &Inner,
        origin: &Origin<'_>,
        resumed: &ResumedUpload,
    ) -> Result<Stock, ClientError> {
        let mut stock = Stock { groups: resumed.groups, ..Stock::default() };
        let mut reports: Vec<(GroupPlacement, GroupReport)> = Vec::new();
        let mut next = 0;
        while next < resumed.groups {
            let page = locate(client, origin, GroupIndex(next), resumed.groups - next).await?;
            next += u32::try_from(page.len()).unwrap_or(u32::MAX);
            let held = ask_nodes(client, origin, &page).await;
            for group in page {
                let none = Vec::new();
                let told = held.get(&group.placement.group).unwrap_or(&none);
                let found = resume::take_stock(&group, told, origin.chunk_size, origin.size);
                stock.add(origin, &group, found.there);
                let recorded = group.chunks.iter().map(|chunk| (chunk.index, chunk.checksum));
                let reported = found.reports.iter().map(|chunk| (chunk.index, chunk.checksum));
                let mut known = recorded.chain(reported).filter(|(index, _)| *index == ChunkIndex(0));
                stock.first = stock.first.or(known.next().map(|(_, checksum)| checksum));
                if !found.reports.is_empty() {
                    let (index, epoch) = (group.placement.group, group.placement.epoch);
                    reports.push((group.placement, GroupReport { group: index, epoch, chunks: found.reports }));
                }
            }
            while reports.len() >= REPORT_GROUPS_MAX {
                report(client, origin, reports.drain(..REPORT_GROUPS_MAX).collect()).await?;
            }
        }
        report(client, origin, reports).await?;
        Ok(stock)
    }

    /// Chunks that are there, and their bytes.
    pub(super) fn chunks_and_bytes(&self) -> (u64, u64) {
        (self.chunks, self.bytes)
    }

    /// Whether the first chunk of the file is not there with other bytes than those of this checksum.
    pub(super) fn may_begin_with(&self, first: Option<Digest>) -> bool {
        !self.has(ChunkIndex(0)) || first.is_none() || self.first.is_none() || self.first == first
    }

    /// Groups that the earlier run had placed: all below this number.
    pub(super) fn groups(&self) -> u32 {
        self.groups
    }

    /// Whether a chunk is there.
    pub(super) fn has(&self, index: ChunkIndex) -> bool {
        self.is_placed(index.group())
            && self.incomplete.get(&index.group()).is_none_or(|group| group.there.has(index.slot()))
    }

    /// Whether a group has a placement of the earlier run.
    pub(super) fn is_placed(&self, group: GroupIndex) -> bool {
        group.0 < self.groups
    }

    /// The epoch under which missing chunks of a group are to be written: another than that of the earlier run.
    pub(super) fn epoch_wanted(&self, group: GroupIndex) -> Epoch {
        self.incomplete.get(&group).map_or(Epoch::FIRST, |group| group.epoch.next())
    }

    fn add(&mut self, origin: &Origin<'_>, group: &UploadGroup, there: ChunkMask) {
        let all = resume::chunks_of(group, origin.chunk_size, origin.size);
        if !all.without(there).is_empty() {
            self.incomplete.insert(group.placement.group, Incomplete { epoch: group.placement.epoch, there });
        }
        for slot in there.slots() {
            let index = group.placement.group.chunk(slot);
            self.chunks += 1;
            self.bytes += u64::from(origin.chunk_size.chunk_length(origin.size, u64::from(index.0)));
        }
    }

    /// For tests: groups below `groups` are placed; these of them lack chunks.
    #[cfg(test)]
    pub(super) fn of(groups: u32, incomplete: &[(u32, u32, ChunkMask)]) -> Stock {
        let lacking = |(group, epoch, there): &(u32, u32, ChunkMask)| {
            (GroupIndex(*group), Incomplete { epoch: Epoch(*epoch), there: *there })
        };
        Stock { groups, incomplete: incomplete.iter().map(lacking).collect(), ..Stock::default() }
    }
}

/// One page of an upload that is this client's: at most `count` groups, at least one.
pub(super) async fn locate(
    client: &Inner,
    origin: &Origin<'_>,
    first: GroupIndex,
    count: u32,
) -> Result<Vec<UploadGroup>, ClientError> {
    let limit = count.min(u32::try_from(LOCATE_PAGE_MAX).unwrap_or(u32::MAX));
    let request = LocateUpload { file: origin.file, nonce: origin.nonce, first, limit };
    let page: UploadPage = client.leader.ask(&request, Subject::Upload(origin.name)).await?;
    let in_order = page.groups.iter().zip(first.0..).all(|(group, index)| group.placement.group == GroupIndex(index));
    if page.groups.is_empty() || page.groups.len() > limit as usize || !in_order {
        return Err(ClientError::Nonsense("a page of an upload has other groups than were asked for"));
    }
    Ok(page.groups)
}

/// What nodes hold of the groups that metadata does not know all chunks of: group by group, node by node.
async fn ask_nodes(
    client: &Inner,
    origin: &Origin<'_>,
    page: &[UploadGroup],
) -> BTreeMap<GroupIndex, Vec<(NodeId, Vec<HeldChunk>)>> {
    let mut questions: BTreeMap<NodeAddress, Vec<HeldChunks>> = BTreeMap::new();
    for group in page {
        let all = resume::chunks_of(group, origin.chunk_size, origin.size);
        if all.without(resume::recorded(group, origin.chunk_size, origin.size)).is_empty() {
            continue;
        }
        let question = HeldChunks { file: origin.file, group: group.placement.group, epoch: group.placement.epoch };
        for node in &group.placement.nodes {
            questions.entry(*node).or_default().push(question.clone());
        }
    }
    let mut asking: FuturesUnordered<_> =
        questions.into_iter().map(|(node, questions)| ask_node(client, node, questions)).collect();
    let mut held: BTreeMap<GroupIndex, Vec<(NodeId, Vec<HeldChunk>)>> = BTreeMap::new();
    while let Some(answers) = asking.next().await {
        for (node, group, chunks) in answers {
            held.entry(group).or_default().push((node, chunks));
        }
    }
    held
}

/// Asks one node, until it fails once: what it holds beyond that is sent again.
async fn ask_node(
    client: &Inner,
    node: NodeAddress,
    questions: Vec<HeldChunks>,
) -> Vec<(NodeId, GroupIndex, Vec<HeldChunk>)> {
    let to = Destination { address: node.address, role: Role::Storage, node: Some(node.node) };
    let mut answers = Vec::new();
    for question in questions {
        let deadline = Instant::now() + ANSWER;
        match timeout_at(deadline, client.peers.call(&to, Class::Bulk, &question, deadline)).await {
            Ok(Ok(list)) => answers.push((node.node, question.group, list.chunks)),
            failed => {
                tracing::info!(node = %node.node, ?failed, "a node does not say what it holds of an upload");
                client.standing.blame(node.node, Instant::now());
                break;
            }
        }
    }
    answers
}

/// Tells metadata what nodes hold, under the epochs that the groups have.
async fn report(
    client: &Inner,
    origin: &Origin<'_>,
    reports: Vec<(GroupPlacement, GroupReport)>,
) -> Result<(), ClientError> {
    let Some((placement, _)) = reports.first() else { return Ok(()) };
    let request = AllocateGroup {
        file: origin.file,
        nonce: origin.nonce,
        group: placement.group,
        epoch: placement.epoch,
        excluded: Vec::new(),
        reports: reports.into_iter().map(|(_, report)| report).collect(),
    };
    client.leader.ask(&request, Subject::Upload(origin.name)).await.map(drop)
}
