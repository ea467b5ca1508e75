//! Opening the state, and replacing it by a snapshot: everything that is about which files and stores are current.

use super::{APPLIED_KEY, MEMBERSHIP_KEY, Shared, StateMachine, StateStore, codec, lock, reached, summarise};
use crate::disk::Disk;
use crate::key_value::{Batch, Durability, KeyValueError, KeyValueStores};
use crate::raft::codec::{CodecError, LogIdForm, StoredMembershipForm};
use crate::raft::snapshot::{SnapshotFile, SnapshotWriter};
use crate::raft::types::SnapshotMeta;
use crate::raft::view::StoreView;
use crate::raft::{DIRECTORY, open_directory};
use dfs_transport::world::Scope;
use std::io::{self, IoSlice};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// The current snapshot.
const SNAPSHOT: &str = "raft/snapshot";
/// Which store is the state.
const POINTER: &str = "raft/state";
const NEW_POINTER: &str = "raft/state.tmp";

pub(in crate::raft) fn store_name(number: u64) -> String {
    format!("raft-state-{number}")
}

impl StateMachine {
    /// Opens the state of a data directory, makes it if it is not there, and removes what a crash left over.
    pub(in crate::raft) async fn open(
        scope: &Scope,
        disk: Arc<dyn Disk>,
        stores: Arc<dyn KeyValueStores>,
    ) -> io::Result<StateMachine> {
        let lane = scope.lane("raft-apply");
        let (scope, own_lane) = (scope.clone(), lane.clone());
        let opening = lane.run(move || -> io::Result<StateMachine> {
            open_directory(&*disk)?;
            for name in disk.list(DIRECTORY)? {
                if name.ends_with(".tmp") {
                    disk.remove(&format!("{DIRECTORY}/{name}"))?;
                }
            }
            let number = read_pointer(&*disk)?;
            for name in stores.names().map_err(io::Error::other)? {
                if name.starts_with("raft-state-") && name != store_name(number) {
                    stores.remove(&name).map_err(io::Error::other)?;
                }
            }
            let store = stores.open(&store_name(number)).map_err(io::Error::other)?;
            let mut summary = summarise(&StoreView(&*store)).map_err(io::Error::other)?;
            summary.applied = reached(&*store)?.last_log_id.map(|last| last.index);
            let snapshot = current_snapshot(&*disk)?;
            Ok(StateMachine(Arc::new(Shared {
                scope,
                lane: own_lane,
                disk,
                stores,
                state: Mutex::new(Some(Arc::new(StateStore { number, store }))),
                retired: Mutex::default(),
                snapshot: Mutex::new(snapshot),
                files: AtomicU64::new(0),
                summary: watch::Sender::new(summary),
                failure: Mutex::default(),
            })))
        });
        opening.await?
    }

    /// Whether any entry was ever applied.
    pub(in crate::raft) fn remembers_entries(&self) -> bool {
        self.0.summary.borrow().applied.is_some()
    }

    /// On the lane: makes the state of a snapshot the present one.
    pub(super) fn install(&self, meta: &SnapshotMeta, snapshot: &SnapshotFile) -> io::Result<()> {
        let old = self.current()?;
        let number = old.number + 1;
        let name = store_name(number);
        self.0.stores.remove(&name).map_err(io::Error::other)?;
        let store = self.0.stores.open(&name).map_err(io::Error::other)?;
        let path = self.temporary();
        let mut copy = SnapshotWriter::create(&*self.0.disk, &path, meta)?;
        snapshot.pages(|pairs| {
            copy.page(&pairs)?;
            let mut batch = Batch::new();
            for (key, value) in pairs {
                batch.put(key, value);
            }
            store.commit(batch, Durability::Buffered).map_err(io::Error::other)
        })?;
        let copy = copy.finish()?;
        let mut batch = Batch::new();
        if meta.last_membership.log_id().is_some() {
            batch.put(MEMBERSHIP_KEY, codec::encode(&StoredMembershipForm::from(&meta.last_membership)));
        }
        if let Some(last) = meta.last_log_id {
            batch.put(APPLIED_KEY, codec::encode(&LogIdForm::from(last)));
        }
        store.commit(batch, Durability::Synced).map_err(io::Error::other)?;
        let mut summary = summarise(&StoreView(&*store)).map_err(io::Error::other)?;
        summary.applied = meta.last_log_id.map(|last| last.index);
        write_pointer(&*self.0.disk, number)?;
        *lock(&self.0.state) = Some(Arc::new(StateStore { number, store }));
        let applied = summary.applied;
        self.0.summary.send_replace(summary);
        self.keep_snapshot(&path, meta.clone(), copy)?;
        lock(&self.0.retired).push(old);
        self.remove_retired().map_err(io::Error::other)?;
        tracing::info!(entry = applied, "a metadata snapshot of the leader is the state now");
        Ok(())
    }

    /// Makes a finished snapshot file the current one, unless there is a newer one already, and returns the current
    /// one.
    pub(super) fn keep_snapshot(
        &self,
        path: &str,
        meta: SnapshotMeta,
        file: SnapshotFile,
    ) -> io::Result<(SnapshotMeta, SnapshotFile)> {
        let mut current = lock(&self.0.snapshot);
        match &*current {
            Some((newer, file)) if newer.last_log_id > meta.last_log_id => {
                self.0.disk.remove(path)?;
                Ok((newer.clone(), file.clone()))
            }
            _ => {
                self.0.disk.rename(path, SNAPSHOT)?;
                self.0.disk.sync_directory(DIRECTORY)?;
                *current = Some((meta.clone(), file.clone()));
                Ok((meta, file))
            }
        }
    }

    /// Removes replaced stores that nobody reads any more; what is still read goes with the next snapshot, or when
    /// the node starts again.
    fn remove_retired(&self) -> Result<(), KeyValueError> {
        let mut retired = lock(&self.0.retired);
        let (unread, read): (Vec<_>, Vec<_>) = retired.drain(..).partition(|state| Arc::strong_count(state) == 1);
        *retired = read;
        for state in unread {
            let name = store_name(state.number);
            drop(state);
            self.0.stores.remove(&name)?;
        }
        Ok(())
    }
}

/// The current snapshot, if it is whole: Raft makes another one where it is not.
fn current_snapshot(disk: &dyn Disk) -> io::Result<Option<(SnapshotMeta, SnapshotFile)>> {
    let file = match SnapshotFile::open(disk, SNAPSHOT) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    match file.verify() {
        Ok(meta) => Ok(Some((meta, file))),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            tracing::warn!("the metadata snapshot is damaged and will be made anew from the state");
            disk.remove(SNAPSHOT)?;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

pub(in crate::raft) fn read_pointer(disk: &dyn Disk) -> io::Result<u64> {
    let file = match disk.open(POINTER, false) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        file => file?,
    };
    let mut bytes = [0; 64];
    let length = file.read_at(0, &mut bytes)?;
    let (checksum, content) = bytes[..length].split_first_chunk().ok_or(CodecError::Damaged)?;
    if crc32c::crc32c(content) != u32::from_le_bytes(*checksum) {
        return Err(CodecError::Damaged.into());
    }
    Ok(codec::decode(content)?)
}

fn write_pointer(disk: &dyn Disk, number: u64) -> io::Result<()> {
    let content = codec::encode(&number);
    let checksum = crc32c::crc32c(&content).to_le_bytes();
    let file = disk.open(NEW_POINTER, true)?;
    file.set_length(0)?;
    file.write_at(0, &[IoSlice::new(&checksum), IoSlice::new(&content)])?;
    file.sync_data()?;
    disk.rename(NEW_POINTER, POINTER)?;
    disk.sync_directory(DIRECTORY)
}
