//! The replicated state on a key-value store: entries are applied to it, snapshots are taken of it and installed.
//!
//! The store `raft-state-<n>` holds the state; which *n* it is, a small pointer file tells, so that a snapshot is
//! installed beside the present state and takes its place in one step. Applying is one buffered batch for several
//! entries, together with the log id that it reaches: the log is durable, so a state that falls back after a power cut
//! is brought up again from it. Before the log may be purged, a snapshot is built, and that makes the state durable.
//!
//! Entries are applied on a lane of their own. What `core` does to an entry is the same on every member: if it panics,
//! it panics everywhere and again after every restart, so that is told apart from a failing disk.

mod install;
#[cfg(test)]
mod tests;

pub(super) use install::{read_pointer, store_name};

use super::RaftFailure;
use super::codec::{self, LogIdForm, StoredMembershipForm};
use super::snapshot::{SnapshotFile, SnapshotWriter, state_pages};
use super::types::{Applied, LogEntry, LogId, Payload, SnapshotMeta, StoredMembership, TypeConfig};
use super::view::{StateView, StoreView};
use crate::disk::Disk;
use crate::key_value::{Batch, Durability, KeyValue, KeyValueError, KeyValueStores, KeyValueView};
use dfs_core::id::ClusterId;
use dfs_core::meta::{self, Outcome, Overlay};
use dfs_core::settings::ClusterSettings;
use dfs_core::time::ClusterTime;
use dfs_transport::world::{Lane, Scope};
use futures_util::{Stream, TryStreamExt};
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::watch;

/// The log id that the state has reached.
pub(super) const APPLIED_KEY: [u8; 1] = [0xF0];
/// The membership as of that log id.
const MEMBERSHIP_KEY: [u8; 1] = [0xF1];
/// Entries that are applied as one batch at most.
const BATCH_ENTRIES: usize = 64;

/// What the rest of the node asks of the state all the time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Summary {
    /// The index of the last entry applied.
    pub applied: Option<u64>,
    /// Cluster time.
    pub time: ClusterTime,
    /// The cluster, once it is initialised.
    pub cluster: Option<ClusterId>,
    /// Its settings.
    pub settings: Option<ClusterSettings>,
}

/// The state machine; clones are the same one.
#[derive(Clone)]
pub(super) struct StateMachine(Arc<Shared>);

struct Shared {
    scope: Scope,
    lane: Lane,
    disk: Arc<dyn Disk>,
    stores: Arc<dyn KeyValueStores>,
    /// Absent once the engine was shut down.
    state: Mutex<Option<Arc<StateStore>>>,
    /// Stores that were replaced while somebody still read them.
    retired: Mutex<Vec<Arc<StateStore>>>,
    snapshot: Mutex<Option<(SnapshotMeta, SnapshotFile)>>,
    /// Numbers the temporary files.
    files: AtomicU64,
    summary: watch::Sender<Summary>,
    failure: Mutex<Option<RaftFailure>>,
}

/// One store of the state.
pub(super) struct StateStore {
    number: u64,
    pub(super) store: Arc<dyn KeyValue>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl StateMachine {
    /// The state as it is now.
    pub(super) fn view(&self) -> StateView {
        StateView::new(lock(&self.0.state).clone())
    }

    /// Jobs that wait for its lane.
    pub(super) fn waiting(&self) -> usize {
        self.0.lane.waiting()
    }

    /// What it says of itself, and whenever that changes.
    pub(super) fn summary(&self) -> watch::Receiver<Summary> {
        self.0.summary.subscribe()
    }

    /// Takes a snapshot of an opened state that has gone beyond its log, whose tail a failed fsync may have cost: Raft
    /// cuts the log up to the state then, as if a snapshot had been installed, and neither may fall back behind that.
    pub(super) async fn outlive_log(&self, last: Option<u64>) -> io::Result<()> {
        if last >= self.0.summary.borrow().applied {
            return Ok(());
        }
        let mut builder = self.clone().get_snapshot_builder().await;
        builder.build_snapshot().await.map(drop)
    }

    /// Why it could not go on, if it could not.
    pub(super) fn failure(&self) -> Option<RaftFailure> {
        *lock(&self.0.failure)
    }

    /// Gives the stores back. Views that are still held keep theirs until they are dropped: what is returned tells.
    pub(super) fn close(&self) -> Weak<StateStore> {
        lock(&self.0.retired).clear();
        lock(&self.0.state).take().map_or_else(Weak::new, |state| Arc::downgrade(&state))
    }

    fn current(&self) -> io::Result<Arc<StateStore>> {
        lock(&self.0.state).clone().ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected))
    }

    fn failed(&self, failure: RaftFailure) {
        lock(&self.0.failure).get_or_insert(failure);
    }

    /// Applies some entries as one batch.
    async fn apply_batch(&self, items: Vec<EntryResponder<TypeConfig>>) -> io::Result<()> {
        let (entries, responders): (Vec<_>, Vec<_>) = items.into_iter().unzip();
        let state = self.current()?;
        let applying = self.0.lane.run(move || apply(&*state.store, &entries)).await?;
        let (answers, summary) = applying.map_err(|error| {
            tracing::error!(%error, "the metadata state cannot take an entry; this node must stop");
            self.failed(match &error {
                ApplyError::Panicked { index } => RaftFailure::EntryPanicked { index: *index },
                ApplyError::State(_) => RaftFailure::Storage,
            });
            io::Error::other(error)
        })?;
        self.0.summary.send_replace(summary);
        for (responder, answer) in responders.into_iter().zip(answers) {
            if let Some(responder) = responder {
                responder.send(answer);
            }
        }
        Ok(())
    }

    pub(super) fn scope(&self) -> &Scope {
        &self.0.scope
    }

    pub(super) fn disk(&self) -> &dyn Disk {
        &*self.0.disk
    }

    /// What the next temporary file is called.
    pub(super) fn temporary(&self) -> String {
        format!("raft/snapshot-{}.tmp", self.0.files.fetch_add(1, Ordering::Relaxed))
    }
}

/// Why entries cannot be applied.
#[derive(Debug, thiserror::Error)]
enum ApplyError {
    #[error("applying log entry {index} panicked, here and on every member that runs this build")]
    Panicked { index: u64 },
    #[error("the metadata state cannot be read or written")]
    State(#[from] KeyValueError),
}

/// On the lane: applies entries one after the other, and commits what they change together.
fn apply(store: &dyn KeyValue, entries: &[LogEntry]) -> Result<(Vec<Applied>, Summary), ApplyError> {
    let view = StoreView(store);
    let mut overlay = Overlay::new(&view);
    let mut answers = Vec::with_capacity(entries.len());
    let mut own = Batch::new();
    for entry in entries {
        answers.push(match &entry.payload {
            Payload::Blank => Ok(Outcome::Done),
            Payload::Normal(command) => {
                // The overlay is not used again after a panic.
                let change = catch_unwind(AssertUnwindSafe(|| meta::apply(&overlay, command)))
                    .map_err(|_| ApplyError::Panicked { index: entry.log_id.index })??;
                overlay.add(change)
            }
            Payload::Membership(membership) => {
                let stored = StoredMembership::new(Some(entry.log_id), membership.clone());
                own.put(MEMBERSHIP_KEY, codec::encode(&StoredMembershipForm::from(&stored)));
                Ok(Outcome::Done)
            }
        });
    }
    let mut summary = summarise(&overlay)?;
    let mut batch = Batch::new();
    for (key, value) in overlay.into_changes() {
        match value {
            Some(value) => batch.put(key, value),
            None => batch.delete(key),
        }
    }
    batch.changes.extend(own.changes);
    if let Some(last) = entries.last() {
        summary.applied = Some(last.log_id.index);
        batch.put(APPLIED_KEY, codec::encode(&LogIdForm::from(last.log_id)));
    }
    store.commit(batch, Durability::Buffered)?;
    Ok((answers, summary))
}

/// All but the log index, which is not part of the replicated state.
fn summarise<V: meta::View<Error = KeyValueError>>(view: &V) -> Result<Summary, KeyValueError> {
    let (cluster, settings) = meta::cluster(view)?.unzip();
    Ok(Summary { applied: None, time: meta::time(view)?, cluster, settings })
}

/// How far a state has come.
fn reached(view: &dyn KeyValueView) -> io::Result<SnapshotMeta> {
    let get = |key: &[u8]| view.get(key).map_err(io::Error::other);
    let applied = get(&APPLIED_KEY)?.map(|bytes| codec::decode::<LogIdForm>(&bytes)).transpose()?;
    let membership = match get(&MEMBERSHIP_KEY)? {
        Some(bytes) => codec::decode::<StoredMembershipForm>(&bytes)?.try_into()?,
        None => StoredMembership::default(),
    };
    Ok(SnapshotMeta { last_log_id: applied.map(LogId::from), last_membership: membership })
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        let state = self.current()?;
        let meta = self.0.lane.run(move || reached(&*state.store)).await??;
        Ok((meta.last_log_id, meta.last_membership))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + openraft::OptionalSend,
    {
        let mut items = Vec::new();
        while let Some(item) = entries.try_next().await? {
            items.push(item);
            if items.len() == BATCH_ENTRIES {
                self.apply_batch(std::mem::take(&mut items)).await?;
            }
        }
        if items.is_empty() { Ok(()) } else { self.apply_batch(items).await }
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        let state = lock(&self.0.state).clone();
        let view = state.as_ref().map(|state| state.store.snapshot());
        SnapshotBuilder { machine: self.clone(), state: state.zip(view) }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: SnapshotFile) -> Result<(), io::Error> {
        let (machine, meta) = (self.clone(), meta.clone());
        self.0.lane.run(move || machine.install(&meta, &snapshot)).await?
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> Result<Option<openraft::type_config::alias::SnapshotOf<TypeConfig, SnapshotFile>>, io::Error> {
        let current = lock(&self.0.snapshot).clone();
        Ok(current.map(|(meta, snapshot)| openraft::Snapshot { meta, snapshot }))
    }
}

/// Writes the state as it was when this was made into a snapshot file, beside whatever else goes on.
pub(super) struct SnapshotBuilder {
    machine: StateMachine,
    state: Option<(Arc<StateStore>, Arc<dyn KeyValueView>)>,
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(
        &mut self,
    ) -> Result<openraft::type_config::alias::SnapshotOf<TypeConfig, SnapshotFile>, io::Error> {
        let (state, view) = self.state.take().ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected))?;
        let (machine, scope) = (self.machine.clone(), self.machine.scope());
        let building = scope.blocking(move || -> io::Result<_> {
            // Raft may purge the log up to here once the snapshot is built: the state must not fall back behind it.
            state.store.persist().map_err(io::Error::other)?;
            let meta = reached(&*view)?;
            let path = machine.temporary();
            let mut writer = SnapshotWriter::create(&*machine.0.disk, &path, &meta)?;
            state_pages(&*view, |page| writer.page(page))?;
            machine.keep_snapshot(&path, meta, writer.finish()?)
        });
        let (meta, snapshot) = building.await??;
        tracing::info!(entry = meta.last_log_id.map(|last| last.index), "a metadata snapshot is taken");
        Ok(openraft::Snapshot { meta, snapshot })
    }
}
