//! The Raft log on a key-value store: entries, vote, and how far they are purged and committed.
//!
//! One lane owns all writes. They are queued, and while one group is made durable the next one collects: a job takes
//! everything that is queued, makes it one batch and one synced commit, and then completes the writes strictly in
//! their order, votes included. The newest entries, and all that are not durable yet, stay in memory
//! ([`tail`](self::tail)): Raft may read an entry before it is durable, and followers and the state machine seldom
//! reach back to the disk.
//!
//! What the store cannot promise is checked when it is opened: a log that is shorter than its [`mark`](self::mark), or
//! that is gone while the state machine remembers entries of it, is refused, because a member that forgets what it
//! acknowledged is worse than one that is gone.
//!
//! Keys: `e` and the big-endian index for an entry; `v` the vote; `p` the last purged entry; `c` the last entry known
//! to be committed; `n` the node that the log belongs to.

mod mark;
mod queue;
mod read;
mod tail;

#[cfg(test)]
pub(in crate::raft) mod tests;

pub(super) use read::decode_entry;

use super::codec::{self, CodecError, LogIdForm, VoteForm};
use super::open_directory;
use super::types::{LogEntry, LogId, TypeConfig, Vote};
use crate::disk::Disk;
use crate::key_value::{Batch, Durability, KeyValue, KeyValueError};
use dfs_core::id::NodeId;
use dfs_transport::world::{Killed, Lane, OwnedTask, Scope};
use mark::{Mark, MarkFile};
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::type_config::TypeConfigExt;
use queue::{Change, Queue, Write};
use std::io;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;
use tail::Tail;
use tokio::sync::Notify;

pub(super) const VOTE_KEY: &[u8] = b"v";
pub(super) const PURGED_KEY: &[u8] = b"p";
pub(super) const COMMITTED_KEY: &[u8] = b"c";
pub(super) const NODE_KEY: &[u8] = b"n";

/// How long the mark may lag behind the log.
const MARK_INTERVAL: Duration = Duration::from_millis(100);

pub(super) fn entry_key(index: u64) -> [u8; 9] {
    let mut key = [b'e'; 9];
    key[1..].copy_from_slice(&index.to_be_bytes());
    key
}

/// Why a log cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum LogOpenError {
    #[error("the disk failed")]
    Io(#[from] io::Error),
    #[error("the key-value store failed")]
    Store(#[from] KeyValueError),
    #[error(transparent)]
    Record(#[from] CodecError),
    #[error("the log belongs to metadata node {0}")]
    OtherNode(NodeId),
    #[error("the log is gone, but the state has applied entries of it")]
    Lost,
    #[error("the log ends at index {found}, but had reached {marked}")]
    TailLost { marked: u64, found: u64 },
    #[error("the log has forgotten the vote of term {marked}")]
    VoteLost { marked: u64 },
    #[error("the node was killed")]
    Killed(#[from] Killed),
}

/// A handle to the log; clones are the same log, and readers too.
#[derive(Clone)]
pub(super) struct LogStore(Arc<Shared>);

struct Shared {
    store: Arc<dyn KeyValue>,
    scope: Scope,
    lane: Lane,
    mark: MarkFile,
    mark_due: Arc<Notify>,
    mark_keeper: OnceLock<OwnedTask<()>>,
    state: Mutex<State>,
}

/// The log as Raft sees it: with everything that is queued.
struct State {
    vote: Option<Vote>,
    purged: Option<LogId>,
    /// The last entry, or the last purged one if there is none.
    last: Option<LogId>,
    committed: Option<LogId>,
    tail: Tail,
    queue: Queue,
    /// What is durable.
    durable: Mark,
}

impl LogStore {
    /// Opens the log of `node`; `remembers_entries` says that the node has applied entries before.
    pub(super) async fn open(
        scope: &Scope,
        node: NodeId,
        disk: Arc<dyn Disk>,
        store: Arc<dyn KeyValue>,
        remembers_entries: bool,
    ) -> Result<LogStore, LogOpenError> {
        let lane = scope.lane("raft-log");
        let (scope, own_lane) = (scope.clone(), lane.clone());
        let shared = lane
            .run(move || -> Result<Shared, LogOpenError> {
                open_directory(&*disk)?;
                let (mark, marked) = MarkFile::open(&*disk)?;
                let state = State::load(&*store, node)?;
                state.check_against(marked, remembers_entries)?;
                Ok(Shared {
                    store,
                    scope,
                    lane: own_lane,
                    mark,
                    mark_due: Arc::new(Notify::new()),
                    mark_keeper: OnceLock::new(),
                    state: Mutex::new(state),
                })
            })
            .await??;
        let shared = Arc::new(shared);
        let keeper = keep_mark(Arc::downgrade(&shared), shared.mark_due.clone());
        let _ = shared.mark_keeper.set(shared.scope.spawn(keeper).owned());
        Ok(LogStore(shared))
    }

    /// The index of the last entry, or of the last purged one if there is none.
    pub(super) fn last_index(&self) -> Option<u64> {
        self.0.state().last.map(|last| last.index)
    }

    /// Whether anybody still has the log open.
    pub(super) fn watch_release(&self) -> Released {
        Released(Arc::downgrade(&self.0))
    }

    /// Queues a change, which must fit the state that `prepare` leaves, and returns what awaits its durability.
    async fn write(&self, prepare: impl FnOnce(&mut State) -> Option<Change>) -> io::Result<()> {
        let (done, durable) = TypeConfig::oneshot();
        {
            let mut state = self.0.state();
            let Some(change) = prepare(&mut state) else { return Ok(()) };
            state.queue.push(change, IOFlushed::signal(done));
        }
        self.0.kick();
        durable.await.map_err(|_| io::Error::from(Killed))?
    }
}

/// Tells when a log is closed.
pub(super) struct Released(Weak<Shared>);

impl Released {
    /// Writes that wait to be made durable.
    pub(super) fn waiting(&self) -> usize {
        self.0.upgrade().map_or(0, |shared| shared.state().queue.waiting())
    }

    /// Whether all handles are gone, and with them the store.
    pub(super) fn is_complete(&self) -> bool {
        self.0.strong_count() == 0
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a job for what is queued, unless one is under way: its end starts the next.
    fn kick(self: &Arc<Self>) {
        if !self.state().queue.start() {
            return;
        }
        let (worker, owner) = (self.clone(), self.clone());
        self.lane.post(move || worker.flush(), move |group| owner.complete(group));
    }

    /// On the lane: makes one group of writes durable.
    fn flush(&self) -> FlushedGroup {
        let (mut writes, committed, mut durable) = {
            let mut state = self.state();
            (state.queue.take_group(), state.committed, state.durable)
        };
        let outcome = self.commit(&mut writes, committed, &mut durable);
        FlushedGroup { writes, durable, outcome }
    }

    fn commit(&self, writes: &mut [Write], committed: Option<LogId>, durable: &mut Mark) -> io::Result<()> {
        let mut batch = Batch::new();
        let mut lowest = durable.log;
        for write in writes {
            write.change.add_to(&mut batch, durable);
            lowest = lowest.min(durable.log);
        }
        // Raft commits what it has handed over here, which may be more than this group makes durable. A start would look for
        // all of it.
        if let Some(committed) = committed.min(durable.log.map(LogId::from)) {
            batch.put(COMMITTED_KEY, codec::encode(&LogIdForm::from(committed)));
        }
        if lowest < self.state().durable.log {
            // The log is about to be cut on purpose: the mark must not remember what is cut.
            self.state().durable.log = lowest;
            self.mark.write(|| self.state().durable)?;
        }
        self.store.commit(batch, Durability::Synced).map_err(io::Error::other)
    }

    /// Tells Raft about a group, in the order of its writes, and starts the next one.
    fn complete(self: &Arc<Self>, group: FlushedGroup) {
        let failure = group.outcome.as_ref().err().map(io::Error::kind);
        if let Err(error) = &group.outcome {
            tracing::error!(%error, "the Raft log failed to write; this node must stop");
        }
        {
            let mut state = self.state();
            match failure {
                None => {
                    state.durable = group.durable;
                    if let Some(last) = group.writes.last() {
                        state.tail.flushed(last.sequence);
                    }
                }
                Some(_) => state.queue.fail(),
            }
        }
        for write in group.writes {
            write.complete(failure.map_or(Ok(()), |kind| Err(io::Error::from(kind))));
        }
        self.mark_due.notify_one();
        self.state().queue.finish();
        self.kick();
    }
}

/// A group of writes after its commit.
struct FlushedGroup {
    writes: Vec<Write>,
    durable: Mark,
    outcome: io::Result<()>,
}

/// Raises the mark soon after the log grew. A mark that cannot be written poisons the log, as any failed write does.
async fn keep_mark(shared: Weak<Shared>, due: Arc<Notify>) {
    loop {
        due.notified().await;
        tokio::time::sleep(MARK_INTERVAL).await;
        let Some(log) = shared.upgrade() else { return };
        let scope = log.scope.clone();
        match scope.blocking(move || log.mark.write(|| log.state().durable)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!(%error, "the mark of the Raft log failed to write; this node must stop");
                if let Some(log) = shared.upgrade() {
                    log.state().queue.fail();
                }
                return;
            }
            Err(Killed) => return,
        }
    }
}

impl State {
    fn load(store: &dyn KeyValue, node: NodeId) -> Result<State, LogOpenError> {
        match store.get(NODE_KEY)? {
            Some(owner) => {
                let owner: NodeId = codec::decode(&owner)?;
                if owner != node {
                    return Err(LogOpenError::OtherNode(owner));
                }
            }
            None => {
                let mut batch = Batch::new();
                batch.put(NODE_KEY, codec::encode(&node));
                store.commit(batch, Durability::Synced)?;
            }
        }
        let log_id = |key| -> Result<Option<LogId>, LogOpenError> {
            let Some(bytes) = store.get(key)? else { return Ok(None) };
            Ok(Some(codec::decode::<LogIdForm>(&bytes)?.into()))
        };
        let (purged, committed) = (log_id(PURGED_KEY)?, log_id(COMMITTED_KEY)?);
        let vote = store.get(VOTE_KEY)?.map(|bytes| codec::decode::<VoteForm>(&bytes)).transpose()?;
        let entries = (Bound::Included(&entry_key(0)[..]), Bound::Included(&entry_key(u64::MAX)[..]));
        let last = match store.last(entries.0, entries.1)? {
            Some((_, bytes)) => Some(read::decode_entry(&bytes)?.log_id),
            None => purged,
        };
        let committed = committed.min(last);
        let durable = Mark { log: last.map(LogIdForm::from), vote };
        let vote = vote.map(Vote::from);
        Ok(State { vote, purged, last, committed, tail: Tail::default(), queue: Queue::default(), durable })
    }

    /// Refuses a log that has lost what it had.
    fn check_against(&self, marked: Option<Mark>, remembers_entries: bool) -> Result<(), LogOpenError> {
        let found = self.last.map_or(0, |last| last.index);
        if remembers_entries && self.vote.is_none() {
            return Err(LogOpenError::Lost);
        }
        let Some(marked) = marked else { return Ok(()) };
        if self.durable.vote.map(|vote| vote.term) < marked.vote.map(|vote| vote.term) {
            return Err(LogOpenError::VoteLost { marked: marked.vote.map_or(0, |vote| vote.term) });
        }
        match marked.log {
            Some(marked) if self.last.is_none_or(|last| last.index < marked.index) => {
                Err(LogOpenError::TailLost { marked: marked.index, found })
            }
            _ => Ok(()),
        }
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = LogStore;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let state = self.0.state();
        Ok(LogState { last_purged_log_id: state.purged, last_log_id: state.last })
    }

    async fn get_log_reader(&mut self) -> LogStore {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let vote = *vote;
        self.write(|state| {
            state.vote = Some(vote);
            Some(Change::Vote(vote))
        })
        .await
    }

    /// Rides the next group: what is committed can be found out again from the other members.
    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        self.0.state().committed = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.0.state().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = LogEntry> + openraft::OptionalSend,
        I::IntoIter: openraft::OptionalSend,
    {
        let with_bytes = |entry: LogEntry| {
            let bytes = read::encode_entry(&entry);
            (entry, bytes)
        };
        let encoded: Vec<(LogEntry, Vec<u8>)> = entries.into_iter().map(with_bytes).collect();
        {
            let mut state = self.0.state();
            let sequence = state.queue.next_sequence();
            let mut pairs = Vec::with_capacity(encoded.len());
            for (entry, bytes) in encoded {
                let (id, size) = (entry.log_id, bytes.len());
                state.last = Some(id);
                state.tail.push(entry, size, sequence);
                pairs.push((id, bytes));
            }
            state.queue.push(Change::Append(pairs), callback);
        }
        self.0.kick();
        Ok(())
    }

    async fn truncate_after(&mut self, after: Option<LogId>) -> Result<(), io::Error> {
        self.write(|state| {
            let first = after.map_or(0, |after| after.index + 1);
            let last = state.last?.index;
            if first > last {
                return None;
            }
            state.last = after.or(state.purged);
            state.tail.truncate(first);
            Some(Change::Truncate { first, last, left: state.last })
        })
        .await
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        self.write(|state| {
            let first = state.purged.map_or(0, |purged| purged.index + 1);
            let last = state.last.map_or(0, |last| last.index.min(upto.index));
            if state.purged.is_some_and(|purged| purged >= upto) {
                return None;
            }
            state.purged = Some(upto);
            state.last = state.last.max(Some(upto));
            state.tail.purge(upto.index);
            Some(Change::Purge { first, last, upto })
        })
        .await?;
        tracing::debug!(entry = upto.index, "the Raft log is cut up to this entry");
        Ok(())
    }
}
