//! What an upload does next: which group to place, which chunk to send where, and what a failure changes.
//!
//! A pure machine. Its owner tells it what happened (`handle_…`) and asks what to do ([`Plan::next_step`]) until that
//! is to wait. It decides that
//! - a group is asked for once it is known to have a chunk, and ahead of its first chunk where the size is known;
//! - one placement is asked for at a time, so that no report can arrive after its group's epoch has risen;
//! - reports ride the next request, and so few groups are open at once that all of them fit one;
//! - a chunk whose primary is busy is sent again a little later, and any other failure places its group anew: transfers
//!   with the nodes to blame are stopped, the others end first, and what became durable is reported and stays; other
//!   groups that would meet these nodes are placed anew too;
//! - an upload fails when one group has made no progress for too long.

use super::reaction::Reaction;
use super::report::Reports;
use super::stock::Stock;
use crate::backoff::Backoff;
use crate::error::{ClientError, TransferFailure};
use dfs_core::id::{ChunkId, ChunkIndex, Epoch, FileId, GroupIndex, NodeId, UploadNonce};
use dfs_core::limit::{CHUNKS_PER_GROUP, REPORT_GROUPS_MAX};
use dfs_core::wire::NodeAddress;
use dfs_core::wire::chunk::{ChunkWritten, WriteChunk};
use dfs_core::wire::metadata::{AllocateGroup, ChunkReport, GroupPlacement, GroupReport};
use dfs_transport::world::Entropy;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How often a chunk is sent again to a primary that says it is busy, before its group is placed anew.
const BUSY_TRIES: u32 = 5;

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Ask for a placement; answer with [`Plan::handle_placed`].
    Place(AllocateGroup),
    /// Send a chunk; answer with [`Plan::handle_written`] or [`Plan::handle_failed`].
    Send(Send),
    /// Nothing until something happens, or until this time.
    Wait(Option<Instant>),
}

/// One chunk on its way to one primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Send {
    /// Where it goes.
    pub(super) primary: NodeAddress,
    /// What is asked there.
    pub(super) request: WriteChunk,
    /// How long the primary may give no sign of life.
    pub(super) patience: Duration,
}

/// How patient an upload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Patience {
    /// How long a group may make no progress.
    pub(super) with_group: Duration,
    /// How long a node may give no sign of life, at first.
    pub(super) with_node_first: Duration,
    /// The same once the group was placed anew in vain a few times.
    pub(super) with_node_most: Duration,
}

impl Patience {
    /// How long a node may give no sign of life when its group was changed so often.
    fn with_node(&self, changes: u32) -> Duration {
        self.with_node_first.saturating_mul(1 << changes.min(10)).min(self.with_node_most)
    }
}

/// The state of one upload.
#[derive(Debug)]
pub(super) struct Plan {
    file: FileId,
    nonce: UploadNonce,
    chunks_total: Option<u64>,
    parallel: usize,
    patience: Patience,
    groups: BTreeMap<GroupIndex, Group>,
    reports: Reports,
    /// What an earlier run left.
    stock: Arc<Stock>,
    /// Chunks at the beginning of a group that are there, while the group has no other.
    passed: Option<(GroupIndex, u32)>,
    placing: Option<GroupIndex>,
    sending: usize,
    ended: bool,
}

/// A group that may have chunks to send.
#[derive(Debug)]
struct Group {
    placement: Option<GroupPlacement>,
    /// How often it was placed anew since a chunk of it became durable.
    changes: u32,
    /// The epoch to ask for.
    wanted: Option<Epoch>,
    not_before: Option<Instant>,
    backoff: Backoff,
    failing_since: Option<Instant>,
    /// Chunks that have been cut, durable or not, or were there already.
    cut: u32,
    /// Those that are not durable.
    waiting: BTreeMap<ChunkIndex, Waiting>,
}

/// A chunk that is not durable.
#[derive(Debug)]
struct Waiting {
    length: u32,
    sending: bool,
    busy: u32,
    not_before: Option<Instant>,
    backoff: Backoff,
}

impl Group {
    fn new(wanted: Epoch, cut: u32) -> Group {
        Group {
            placement: None,
            changes: 0,
            wanted: Some(wanted),
            not_before: None,
            backoff: Backoff::storage(),
            failing_since: None,
            cut,
            waiting: BTreeMap::new(),
        }
    }

    fn primary(&self, index: ChunkIndex) -> Option<NodeId> {
        Some(self.placement.as_ref()?.primary_and_replicas(index)?.0.node)
    }

    /// Asks for another placement, at once, if chunks that are still to be sent would go to one of these nodes: they
    /// need not all find out for themselves.
    fn avoid(&mut self, blamed: &[NodeId]) {
        let Some(placement) = &self.placement else { return };
        let named = placement.nodes.iter().any(|node| blamed.contains(&node.node));
        let hit = |index: &ChunkIndex| self.primary(*index).is_some_and(|node| blamed.contains(&node));
        if self.wanted.is_none() && named && (self.waiting.is_empty() || self.waiting.keys().any(hit)) {
            self.wanted = Some(placement.epoch.next());
            self.not_before = None;
        }
    }

    fn is_sending(&self) -> bool {
        self.waiting.values().any(|chunk| chunk.sending)
    }
}

fn is_due(not_before: Option<Instant>, now: Instant) -> bool {
    not_before.is_none_or(|at| at <= now)
}

impl Plan {
    /// An open upload of `chunks_total` chunks, where that is known, of which none has been cut. `stock` is there
    /// already.
    pub(super) fn new(
        file: FileId,
        nonce: UploadNonce,
        chunks_total: Option<u64>,
        parallel: usize,
        patience: Patience,
        stock: Arc<Stock>,
    ) -> Plan {
        Plan {
            file,
            nonce,
            chunks_total,
            parallel,
            patience,
            groups: BTreeMap::new(),
            reports: Reports::default(),
            stock,
            passed: None,
            placing: None,
            sending: 0,
            ended: false,
        }
    }

    /// What to do next, with the nodes that are not wanted in new placements.
    pub(super) fn next_step(&mut self, now: Instant, blamed: &[NodeId]) -> Step {
        if let Some(request) = self.next_placement(now, blamed) {
            return Step::Place(request);
        }
        if let Some(send) = self.next_send(now) {
            return Step::Send(send);
        }
        let groups = self.groups.values().filter(|group| group.wanted.is_some()).filter_map(|group| group.not_before);
        let chunks = self.groups.values().flat_map(|group| group.waiting.values()).filter_map(|chunk| chunk.not_before);
        Step::Wait(groups.chain(chunks).filter(|at| *at > now).min())
    }

    fn next_placement(&mut self, now: Instant, blamed: &[NodeId]) -> Option<AllocateGroup> {
        if self.placing.is_some() {
            return None;
        }
        // A group stays open until it has no chunk that waits and no report of its own that does; a placement takes
        // all reports along. With fewer placed groups than one request may report on, everything always fits.
        let placed = self.groups.values().filter(|group| group.placement.is_some()).count();
        let due = |group: &Group| {
            let room = group.placement.is_some() || placed < REPORT_GROUPS_MAX;
            group.wanted.is_some() && is_due(group.not_before, now) && !group.is_sending() && room
        };
        let (index, group) = self.groups.iter().find(|(_, group)| due(group))?;
        let (index, epoch) = (*index, group.wanted?);
        self.placing = Some(index);
        Some(AllocateGroup {
            file: self.file,
            nonce: self.nonce,
            group: index,
            epoch,
            excluded: blamed.to_vec(),
            reports: self.reports.take(Some(index)),
        })
    }

    fn next_send(&mut self, now: Instant) -> Option<Send> {
        if self.sending >= self.parallel {
            return None;
        }
        for group in self.groups.values_mut().filter(|group| group.wanted.is_none()) {
            let Some(placement) = &group.placement else { continue };
            let ready = |chunk: &Waiting| !chunk.sending && is_due(chunk.not_before, now);
            let Some((index, chunk)) = group.waiting.iter_mut().find(|(_, chunk)| ready(chunk)) else { continue };
            let (primary, replicas) = placement.primary_and_replicas(*index)?;
            chunk.sending = true;
            self.sending += 1;
            let patience = self.patience.with_node(group.changes);
            let request = WriteChunk {
                chunk: ChunkId { file: self.file, index: *index },
                epoch: placement.epoch,
                length: chunk.length,
                write_quorum: placement.write_quorum,
                replicas,
                patience_ms: u32::try_from(patience.as_millis()).unwrap_or(u32::MAX),
            };
            return Some(Send { primary, request, patience });
        }
        None
    }

    /// The next chunk, in order, has been cut from the source.
    pub(super) fn handle_cut(&mut self, index: ChunkIndex, length: u32) {
        let wanted = self.stock.epoch_wanted(index.group());
        let group = self.open_group(index.group(), wanted);
        group.cut += 1;
        let waiting = Waiting { length, sending: false, busy: 0, not_before: None, backoff: Backoff::storage() };
        group.waiting.insert(index, waiting);
        let following = u64::from(index.group().0) + 1;
        let exists = self.chunks_total.is_some_and(|total| following * u64::from(CHUNKS_PER_GROUP) < total);
        if let (true, Ok(following)) = (exists, u32::try_from(following)) {
            let following = GroupIndex(following);
            if !self.stock.is_placed(following) {
                self.open_group(following, Epoch::FIRST);
            }
        }
    }

    /// The next chunk, in order, is there already.
    pub(super) fn handle_there(&mut self, index: ChunkIndex) {
        match self.groups.get_mut(&index.group()) {
            Some(group) => {
                group.cut += 1;
                self.close_if_done(index.group());
            }
            None => {
                let before = self.passed.filter(|(group, _)| *group == index.group()).map_or(0, |(_, count)| count);
                self.passed = Some((index.group(), before + 1));
            }
        }
    }

    /// The next chunk is there with other bytes than the source has, in a group of this epoch. It is to be cut next.
    pub(super) fn handle_differs(&mut self, index: ChunkIndex, epoch: Epoch) {
        self.open_group(index.group(), epoch.next());
    }

    fn open_group(&mut self, index: GroupIndex, wanted: Epoch) -> &mut Group {
        let passed = self.passed.filter(|(group, _)| *group == index).map_or(0, |(_, count)| count);
        self.groups.entry(index).or_insert_with(|| Group::new(wanted, passed))
    }

    /// A group all of whose chunks are durable needs nothing any more.
    fn close_if_done(&mut self, index: GroupIndex) {
        if self.groups.get(&index).is_some_and(|group| group.waiting.is_empty() && group.cut == CHUNKS_PER_GROUP) {
            self.groups.remove(&index);
        }
    }

    /// There are no more chunks.
    pub(super) fn handle_end(&mut self) {
        self.ended = true;
    }

    /// A placement has been granted: of the group that was asked for, or of the first one by creating the file.
    pub(super) fn handle_placed(&mut self, placement: GroupPlacement) -> Result<(), ClientError> {
        if self.placing.take().is_some_and(|placing| placing != placement.group) {
            return Err(ClientError::Nonsense("a placement was granted that was not asked for"));
        }
        let group = self.open_group(placement.group, Epoch::FIRST);
        let nodes = placement.nodes.len();
        if placement.write_quorum == 0 || nodes < usize::from(placement.write_quorum) {
            return Err(ClientError::Nonsense("a placement has fewer nodes than a write needs"));
        }
        if group.wanted.is_none_or(|wanted| placement.epoch < wanted) {
            return Err(ClientError::Nonsense("a placement was granted that was not asked for"));
        }
        group.wanted = None;
        group.placement = Some(placement);
        Ok(())
    }

    /// A chunk is durable. Its answer has been checked against what was sent.
    pub(super) fn handle_written(&mut self, send: &Send, written: ChunkWritten) {
        let index = send.request.chunk.index;
        self.sending -= 1;
        if let Some(group) = self.groups.get_mut(&index.group()) {
            group.waiting.remove(&index);
            group.failing_since = None;
            group.changes = 0;
            self.close_if_done(index.group());
        }
        let report =
            ChunkReport { index, length: send.request.length, checksum: written.checksum, holders: written.holders };
        self.reports.add(send.request.epoch, report);
    }

    /// A chunk could not be written. Answers which other transfers to stop; they count as never begun.
    pub(super) fn handle_failed(
        &mut self,
        send: &Send,
        failure: TransferFailure,
        reaction: &Reaction,
        now: Instant,
        entropy: &Entropy,
    ) -> Result<Vec<ChunkIndex>, ClientError> {
        let index = send.request.chunk.index;
        self.sending -= 1;
        let Some(group) = self.groups.get_mut(&index.group()) else { return Ok(Vec::new()) };
        let first = group.failing_since.is_none();
        let since = *group.failing_since.get_or_insert(now);
        let waited = now.saturating_duration_since(since);
        if waited >= self.patience.with_group {
            return Err(ClientError::ChunkUnwritable { chunk: send.request.chunk, waited, cause: failure });
        }
        if let Some(chunk) = group.waiting.get_mut(&index) {
            chunk.sending = false;
            if *reaction == Reaction::Again && chunk.busy < BUSY_TRIES {
                chunk.busy += 1;
                chunk.not_before = Some(now + entropy.jitter(chunk.backoff.next()));
                return Ok(Vec::new());
            }
            chunk.busy = 0;
        }
        if group.wanted.is_none() {
            group.wanted = Some(send.request.epoch.next());
            group.changes += 1;
            // The first other placement is asked for at once, further ones after a while.
            group.not_before = (!first).then(|| now + entropy.jitter(group.backoff.next()));
        }
        let Reaction::Elsewhere { blamed } = reaction else { return Ok(Vec::new()) };
        let mut stopped = Vec::new();
        for (other, group) in &mut self.groups {
            if *other != index.group() {
                group.avoid(blamed);
            }
            let hit = |index: ChunkIndex| group.primary(index).is_some_and(|node| blamed.contains(&node));
            let sending = group.waiting.iter().filter(|(_, chunk)| chunk.sending).map(|(index, _)| *index);
            stopped.extend(sending.filter(|index| hit(*index)));
        }
        for index in &stopped {
            if let Some(chunk) = self.groups.get_mut(&index.group()).and_then(|group| group.waiting.get_mut(index)) {
                chunk.sending = false;
                self.sending -= 1;
            }
        }
        Ok(stopped)
    }

    /// Whether every chunk is durable and the end of the source is known.
    pub(super) fn is_complete(&self) -> bool {
        self.ended && self.placing.is_none() && self.groups.values().all(|group| group.waiting.is_empty())
    }

    /// The reports that the commit carries.
    pub(super) fn take_last_reports(&mut self) -> Vec<GroupReport> {
        let last = self.reports.take(None);
        assert!(
            self.reports.take(None).is_empty(),
            "so few groups are open at once that their reports fit one request"
        );
        last
    }
}

#[cfg(test)]
mod tests;
