//! The state machine over a map in memory, and what the tests say to it.

mod budget;
mod copies;
mod decoding;
mod level;
mod listing;
mod membership;
mod model;
mod oracle;
mod overlay;
mod placed_on;
mod receipts;
mod removal;
mod rename;
mod reports;
mod resume;
mod upload;
mod version;

use super::*;
use crate::checksum::Digest;
use crate::id::{ChunkIndex, Epoch, RequestId, UploadNonce};
use crate::name::FileName;
use crate::time::WallTime;
use crate::unit::ChunkSize;
use crate::wire::metadata::{ChunkReport, FilePage, FileTarget, GroupLocations, GroupReport, ListFiles, LocateGroups};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Bound;

/// The chunk size of most tests.
pub const CHUNK: u32 = 65_536;

/// A state in memory that counts what is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    pub pairs: BTreeMap<Vec<u8>, Vec<u8>>,
    pub gets: Cell<usize>,
    pub scan_limit_max: Cell<usize>,
}

impl View for Memory {
    type Error = DamagedRecord;

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DamagedRecord> {
        self.gets.set(self.gets.get() + 1);
        Ok(self.pairs.get(key).cloned())
    }

    fn scan(&self, start: Bound<&[u8]>, end: Bound<&[u8]>, limit: usize) -> Result<Pairs, DamagedRecord> {
        self.scan_limit_max.set(self.scan_limit_max.get().max(limit));
        if view::is_empty(start, end) {
            return Ok(Pairs::new());
        }
        let range = self.pairs.range::<[u8], _>((start, end)).take(limit);
        Ok(range.map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

impl Memory {
    pub fn write(&mut self, changes: Vec<(Vec<u8>, Option<Vec<u8>>)>) {
        for (key, value) in changes {
            match value {
                Some(value) => self.pairs.insert(key, value),
                None => self.pairs.remove(&key),
            };
        }
    }
}

/// A state machine with its log so far.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    pub state: Memory,
    pub log: Vec<Entry>,
    pub now: u64,
}

impl Machine {
    /// A cluster of storage nodes 1 to `nodes`.
    pub fn with_nodes(nodes: u64) -> Machine {
        let mut machine = Machine::default();
        let settings = ClusterSettings::default();
        machine.apply(Command::Initialise { cluster: ClusterId(1), settings }).unwrap();
        for node in 1..=nodes {
            machine.register(node, u128::from(node), u128::from(node)).unwrap();
        }
        machine
    }

    /// Applies the next entry. A refusal must change nothing but what time changes by itself.
    pub fn apply(&mut self, command: Command) -> Result<Outcome, Refusal> {
        let entry = Entry { time: ClusterTime(self.now), command };
        entry.check_size().unwrap();
        let change = apply(&self.state, &entry).unwrap();
        if change.outcome.is_err() {
            let tick = Entry { time: entry.time, command: Command::Tick };
            assert_eq!(change.changes, apply(&self.state, &tick).unwrap().changes, "{entry} was refused");
        }
        self.log.push(entry);
        self.state.write(change.changes);
        change.outcome
    }

    pub fn register(&mut self, node: u64, boot: u128, store: u128) -> Result<Incarnation, Refusal> {
        let address = SocketAddr::from(([10, 0, 0, 1], 7000));
        let (node, boot, store) = (NodeId(node), BootId(boot), StoreId(store));
        match self.apply(Command::Register { node, boot, store, address })? {
            Outcome::Registered { incarnation } => Ok(incarnation),
            other => panic!("{other:?}"),
        }
    }

    pub fn create(&mut self, request: CreateFile, nodes: &[u64]) -> Result<CreatedUpload, Refusal> {
        match self.apply(Command::Create { request, nodes: ids(nodes) })? {
            Outcome::Created(created) => Ok(created),
            other => panic!("{other:?}"),
        }
    }

    pub fn allocate(&mut self, request: AllocateGroup, nodes: &[u64]) -> Result<Allocation, Refusal> {
        match self.apply(Command::Allocate { request, nodes: ids(nodes) })? {
            Outcome::Allocated(allocation) => Ok(allocation),
            other => panic!("{other:?}"),
        }
    }

    pub fn commit(&mut self, request: CommitFile) -> Result<FileInfo, Refusal> {
        match self.apply(Command::Commit { request })? {
            Outcome::Committed(info) => Ok(info),
            other => panic!("{other:?}"),
        }
    }

    pub fn resume(&mut self, request: ResumeUpload) -> Result<FoundUpload, Refusal> {
        match self.apply(Command::Resume { request })? {
            Outcome::Resumed(found) => Ok(found),
            other => panic!("{other:?}"),
        }
    }

    pub fn delete(&mut self, request: u128, target: FileTarget) -> Result<FileInfo, Refusal> {
        self.delete_tried_at(request, target, self.now)
    }

    pub fn delete_tried_at(&mut self, request: u128, target: FileTarget, tried: u64) -> Result<FileInfo, Refusal> {
        let (request, first_tried) = (RequestId(request), ClusterTime(tried));
        self.delete_as(DeleteFile { request, first_tried, target, named: None })
    }

    pub fn delete_as(&mut self, request: DeleteFile) -> Result<FileInfo, Refusal> {
        match self.apply(Command::Delete { request })? {
            Outcome::Deleted(info) => Ok(info),
            other => panic!("{other:?}"),
        }
    }

    pub fn rename(&mut self, request: u128, from: &str, to: &str) -> Result<MovedName, Refusal> {
        let (request, first_tried) = (RequestId(request), ClusterTime(self.now));
        let request = MoveName { request, first_tried, from: name(from), to: name(to) };
        match self.apply(Command::Move { request })? {
            Outcome::Moved(moved) => Ok(moved),
            other => panic!("{other:?}"),
        }
    }

    /// Uploads `chunks` full chunks in one group with copies on nodes 1 and 2.
    pub fn upload(&mut self, text: &str, chunks: u32) -> FileInfo {
        let nonce = 1000 + self.log.len() as u128;
        let hint = if chunks == 0 { Some(0) } else { None };
        let request = CreateFile { size_hint: hint, ..create_request(nonce, text) };
        let created = self.create(request, if chunks == 0 { &[] } else { &[1, 2, 3] }).unwrap();
        let reports = vec![report(0, 1, (0..chunks).map(|index| chunk(index, CHUNK, 0, &[1, 2])).collect())];
        let reports = if chunks == 0 { vec![] } else { reports };
        self.commit(commit_request(created.file, nonce, u64::from(chunks * CHUNK), reports)).unwrap()
    }

    /// Opens an upload without chunks that may replace the version that has the name.
    pub fn open_over(&mut self, nonce: u128, text: &str) -> FileId {
        let request = CreateFile { size_hint: Some(0), replace: true, ..create_request(nonce, text) };
        self.create(request, &[]).unwrap().file
    }

    /// An open upload with its first group on nodes 1, 2 and 3.
    pub fn open(&mut self, nonce: u128, text: &str) -> FileId {
        self.create(create_request(nonce, text), &[1, 2, 3]).unwrap().file
    }

    pub fn stat(&self, text: &str) -> Result<FileInfo, Refusal> {
        stat(&self.state, &by_name(text)).unwrap()
    }

    pub fn locate(&self, file: FileId) -> Vec<GroupLocations> {
        locate(&self.state, &LocateGroups { file, first: GroupIndex(0), limit: 64 }).unwrap().unwrap()
    }

    pub fn list(&self, prefix: &str, after: Option<&str>, limit: u32) -> FilePage {
        let request = ListFiles { prefix: prefix.to_owned(), after: after.map(name), limit };
        list(&self.state, &request).unwrap()
    }

    pub fn names(&self) -> Vec<String> {
        self.list("", None, 1000).files.into_iter().map(|info| info.name.to_string()).collect()
    }

    /// Keys and values whose first byte is among these.
    pub fn bytes_of(&self, tables: &[u8]) -> usize {
        let pairs = self.state.pairs.iter().filter(|(key, _)| tables.contains(&key[0]));
        pairs.map(|(key, value)| key.len() + value.len()).sum()
    }
}

pub fn ids(nodes: &[u64]) -> Vec<NodeId> {
    nodes.iter().map(|node| NodeId(*node)).collect()
}

pub fn name(text: &str) -> FileName {
    FileName::new(text).unwrap()
}

pub fn by_name(text: &str) -> FileTarget {
    FileTarget::Name(name(text))
}

pub fn create_request(nonce: u128, text: &str) -> CreateFile {
    CreateFile {
        nonce: UploadNonce(nonce),
        name: name(text),
        chunk_size: ChunkSize::try_from(CHUNK).unwrap(),
        replication: None,
        size_hint: None,
        modified: WallTime(1_700_000_000_000),
        replace: false,
    }
}

/// A run that finds a source of so many bytes where [`create_request`] found it.
pub fn resume_request(nonce: u128, text: &str, size: u64) -> ResumeUpload {
    let CreateFile { nonce, name, chunk_size, replication, modified, .. } = create_request(nonce, text);
    ResumeUpload { nonce, name, size, modified, compared: false, chunk_size, replication, replace: false }
}

pub fn allocate_request(file: FileId, nonce: u128, group: u32, epoch: u32) -> AllocateGroup {
    let (nonce, group, epoch) = (UploadNonce(nonce), GroupIndex(group), Epoch(epoch));
    AllocateGroup { file, nonce, group, epoch, excluded: vec![], reports: vec![] }
}

pub fn commit_request(file: FileId, nonce: u128, size: u64, reports: Vec<GroupReport>) -> CommitFile {
    CommitFile { file, nonce: UploadNonce(nonce), size, reports }
}

pub fn report(group: u32, epoch: u32, chunks: Vec<ChunkReport>) -> GroupReport {
    GroupReport { group: GroupIndex(group), epoch: Epoch(epoch), chunks }
}

/// A chunk whose checksum is told apart by `content`.
pub fn chunk(index: u32, length: u32, content: u8, holders: &[u64]) -> ChunkReport {
    ChunkReport { index: ChunkIndex(index), length, checksum: checksum(index, content), holders: ids(holders) }
}

pub fn checksum(index: u32, content: u8) -> Digest {
    Digest::of(&[&index.to_be_bytes()[..], &[content]].concat())
}
