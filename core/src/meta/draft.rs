//! The changes of one entry while they are made: a view with the changes on top, and the counters.

use super::Outcome;
use super::group::GroupRecord;
use super::record::{ClusterRecord, Counters, NodeRecord, Record, read};
use super::view::{Change, Overlay, View};
use super::{key, record};
use crate::id::{DirectoryId, FileId, GroupIndex, NodeId};
use crate::refusal::Refusal;
use crate::time::ClusterTime;

/// Why a command is not carried out.
#[derive(Debug)]
pub enum Stop<E> {
    /// It is refused; nothing changes.
    Refused(Refusal),
    /// The state can not be read.
    Failed(E),
}

impl<E> From<Refusal> for Stop<E> {
    fn from(refusal: Refusal) -> Self {
        Stop::Refused(refusal)
    }
}

/// Tells refusals and failures apart for a caller outside.
pub fn settle<T, E>(result: Result<T, Stop<E>>) -> Result<Result<T, Refusal>, E> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(Stop::Refused(refusal)) => Ok(Err(refusal)),
        Err(Stop::Failed(error)) => Err(error),
    }
}

/// The state as an entry is changing it.
#[derive(Debug)]
pub struct Draft<'v, V: View> {
    /// What was changed so far; the counters are not in it.
    pub state: Overlay<'v, V>,
    /// The counters as they will be.
    pub counters: Counters,
    /// The counters as they were read.
    stored: Counters,
}

impl<V: View> Clone for Draft<'_, V> {
    fn clone(&self) -> Self {
        Draft { state: self.state.clone(), counters: self.counters.clone(), stored: self.stored.clone() }
    }
}

impl<'v, V: View> Draft<'v, V> {
    /// The state as it is.
    pub fn open(view: &'v V) -> Result<Draft<'v, V>, V::Error> {
        let stored: Counters = read(view, &key::COUNTERS)?.unwrap_or_default();
        Ok(Draft { state: Overlay::new(view), counters: stored.clone(), stored })
    }

    /// Lets time go on; it never goes back.
    pub fn advance(&mut self, time: ClusterTime) {
        self.counters.time = self.counters.time.max(time);
    }

    /// The record at a key.
    pub fn get<R: Record>(&self, key: &[u8]) -> Result<Option<R>, Stop<V::Error>> {
        read(&self.state, key).map_err(Stop::Failed)
    }

    /// Puts a record at a key.
    pub fn put<R: Record>(&mut self, key: Vec<u8>, record: &R) {
        self.state.put(key, record.to_bytes());
    }

    /// Removes what is at a key.
    pub fn delete(&mut self, key: Vec<u8>) {
        self.state.delete(key);
    }

    /// Puts the record of a group, and keeps the index of groups by node. Nothing else may put one.
    pub fn put_group(&mut self, file: FileId, index: GroupIndex, group: &GroupRecord) -> Result<(), Stop<V::Error>> {
        self.unlist(file, index, |node| group.holders().iter().all(|holder| holder.node != node))?;
        for holder in group.holders() {
            self.put(key::placed_on(holder.node, file, index), &());
        }
        self.put(key::group(file, index), group);
        Ok(())
    }

    /// Removes a group, and what the index has of it. Nothing else may remove one.
    pub fn delete_group(&mut self, file: FileId, index: GroupIndex) -> Result<(), Stop<V::Error>> {
        self.unlist(file, index, |_| true)?;
        self.delete(key::group(file, index));
        Ok(())
    }

    /// Takes a group from those of the nodes that hold it as yet, where `goes` says so.
    fn unlist(&mut self, file: FileId, index: GroupIndex, goes: impl Fn(NodeId) -> bool) -> Result<(), Stop<V::Error>> {
        let known = self.get::<GroupRecord>(&key::group(file, index))?;
        for holder in known.iter().flat_map(GroupRecord::holders).filter(|holder| goes(holder.node)) {
            self.delete(key::placed_on(holder.node, file, index));
        }
        Ok(())
    }

    /// What the cluster is. Before it is initialised nothing else is possible.
    pub fn cluster(&self) -> Result<ClusterRecord, Stop<V::Error>> {
        self.get(&key::CLUSTER)?.ok_or(Stop::Refused(Refusal::Unavailable))
    }

    /// A storage node, if it has registered.
    pub fn node(&self, node: NodeId) -> Result<Option<NodeRecord>, Stop<V::Error>> {
        self.get(&key::node(node))
    }

    /// A number for a new file, never given before.
    pub fn draw_file(&mut self) -> FileId {
        let file = self.counters.next_file;
        self.counters.next_file = FileId(file.0 + 1);
        file
    }

    /// A number for a new directory, never given before.
    pub fn draw_directory(&mut self) -> DirectoryId {
        let directory = self.counters.next_directory;
        self.counters.next_directory = DirectoryId(directory.0 + 1);
        directory
    }

    /// All that was changed, with the answer.
    pub fn into_change(mut self, outcome: Result<Outcome, Refusal>) -> Change {
        if self.counters != self.stored {
            self.state.put(key::COUNTERS.to_vec(), record::Record::to_bytes(&self.counters));
        }
        Change { changes: self.state.into_changes(), outcome }
    }
}
