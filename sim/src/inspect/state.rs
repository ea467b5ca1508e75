//! The tables of a metadata state, read as far as its pairs are new.
//!
//! What stands in them is what was written, and nothing is derived: whoever compares tables derives for themselves.

use dfs_actors::key_value::{KeyValueError, KeyValueView, pages};
use dfs_core::id::{DirectoryId, FileId, GroupIndex, NodeId, RequestId, UploadNonce};
use dfs_core::meta::inspect::{
    Counters, DirectoryRecord, FileRecord, GroupRecord, ReceiptRecord, RequestRecord, StateRecord, record,
};
use dfs_core::meta::{NodeRecord, Pairs};
use dfs_core::time::ClusterTime;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

/// What a metadata state holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Everything that is counted.
    pub counters: Counters,
    /// The files of each directory.
    pub file_entries: BTreeMap<(DirectoryId, String), FileId>,
    /// The directories of each directory.
    pub directory_entries: BTreeMap<(DirectoryId, String), DirectoryId>,
    /// The directories.
    pub directories: BTreeMap<DirectoryId, DirectoryRecord>,
    /// The versions of files.
    pub files: BTreeMap<FileId, FileRecord>,
    /// Their groups.
    pub groups: BTreeMap<(FileId, GroupIndex), GroupRecord>,
    /// The open uploads by their nonces.
    pub nonces: BTreeMap<UploadNonce, FileId>,
    /// The open uploads by their names.
    pub open_uploads: BTreeSet<(String, FileId)>,
    /// The storage nodes.
    pub nodes: BTreeMap<NodeId, NodeRecord>,
    /// The kept answers.
    pub requests: BTreeMap<RequestId, RequestRecord>,
    /// The kept answers in the order of age.
    pub requests_by_age: BTreeSet<(ClusterTime, RequestId)>,
    /// Which nodes have copies of which groups.
    pub placed_on: BTreeSet<(NodeId, FileId, GroupIndex)>,
    /// What finished orders have changed.
    pub receipts: BTreeMap<u64, ReceiptRecord>,
}

/// What is remembered between two looks.
#[derive(Debug, Default)]
pub(super) struct Register {
    pairs: Pairs,
    state: Arc<State>,
}

impl Register {
    /// Reads what is new in a state. It is quick only if nobody has kept what was answered last.
    pub fn read(&mut self, view: &dyn KeyValueView) -> Result<Arc<State>, KeyValueError> {
        let state = Arc::make_mut(&mut self.state);
        let mut olds = std::mem::take(&mut self.pairs).into_iter().peekable();
        for page in pages(view, Bound::Unbounded, Bound::Unbounded) {
            for pair in page? {
                while let Some((key, value)) = olds.next_if(|old| old.0 < pair.0) {
                    state.forget(&key, &value)?;
                }
                if olds.next_if(|old| old.0 == pair.0).is_none_or(|old| old.1 != pair.1) {
                    state.take(&pair.0, &pair.1)?;
                }
                self.pairs.push(pair);
            }
        }
        for (key, value) in olds {
            state.forget(&key, &value)?;
        }
        Ok(self.state.clone())
    }
}

impl State {
    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), KeyValueError> {
        match record(key, value)? {
            None | Some(StateRecord::Cluster(_)) => {}
            Some(StateRecord::Counters(counters)) => self.counters = counters,
            Some(StateRecord::FileEntry(parent, name, file)) => {
                self.file_entries.insert((parent, name), file);
            }
            Some(StateRecord::DirectoryEntry(parent, name, directory)) => {
                self.directory_entries.insert((parent, name), directory);
            }
            Some(StateRecord::Directory(directory, record)) => {
                self.directories.insert(directory, record);
            }
            Some(StateRecord::File(file, record)) => {
                self.files.insert(file, record);
            }
            Some(StateRecord::Group(file, group, record)) => {
                self.groups.insert((file, group), record);
            }
            Some(StateRecord::Nonce(nonce, file)) => {
                self.nonces.insert(nonce, file);
            }
            Some(StateRecord::OpenUpload(name, file)) => {
                self.open_uploads.insert((name, file));
            }
            Some(StateRecord::Node(node)) => {
                self.nodes.insert(node.node, node);
            }
            Some(StateRecord::Request(request, record)) => {
                self.requests.insert(request, record);
            }
            Some(StateRecord::RequestAge(at, request)) => {
                self.requests_by_age.insert((at, request));
            }
            Some(StateRecord::PlacedOn(node, file, group)) => {
                self.placed_on.insert((node, file, group));
            }
            Some(StateRecord::Receipt(number, receipt)) => {
                self.receipts.insert(number, receipt);
            }
        }
        Ok(())
    }

    fn forget(&mut self, key: &[u8], value: &[u8]) -> Result<(), KeyValueError> {
        match record(key, value)? {
            None | Some(StateRecord::Cluster(_)) => {}
            Some(StateRecord::Counters(_)) => self.counters = Counters::default(),
            Some(StateRecord::FileEntry(parent, name, _)) => {
                self.file_entries.remove(&(parent, name));
            }
            Some(StateRecord::DirectoryEntry(parent, name, _)) => {
                self.directory_entries.remove(&(parent, name));
            }
            Some(StateRecord::Directory(directory, _)) => {
                self.directories.remove(&directory);
            }
            Some(StateRecord::File(file, _)) => {
                self.files.remove(&file);
            }
            Some(StateRecord::Group(file, group, _)) => {
                self.groups.remove(&(file, group));
            }
            Some(StateRecord::Nonce(nonce, _)) => {
                self.nonces.remove(&nonce);
            }
            Some(StateRecord::OpenUpload(name, file)) => {
                self.open_uploads.remove(&(name, file));
            }
            Some(StateRecord::Node(node)) => {
                self.nodes.remove(&node.node);
            }
            Some(StateRecord::Request(request, _)) => {
                self.requests.remove(&request);
            }
            Some(StateRecord::RequestAge(at, request)) => {
                self.requests_by_age.remove(&(at, request));
            }
            Some(StateRecord::PlacedOn(node, file, group)) => {
                self.placed_on.remove(&(node, file, group));
            }
            Some(StateRecord::Receipt(number, _)) => {
                self.receipts.remove(&number);
            }
        }
        Ok(())
    }
}
