//! The state machine once more, as naive as can be: maps of whole names and whole chunks, scanned for every answer.

use super::super::record::Answer;
use super::*;
use crate::id::ChunkId;
use crate::limit::{REQUEST_KEPT_MS, VERSION_GRACE_MS};
use crate::mask::ChunkMask;
use crate::wire::membership::{OrderOutcome, Receipt};
use crate::wire::metadata::{ChunkLocation, GroupHolder, ResumedUpload, UploadDifference};
use std::collections::BTreeSet;

#[derive(Clone, Debug, Default)]
pub struct Model {
    pub now: u64,
    pub nodes: u64,
    pub next_file: u64,
    pub uploads: BTreeMap<FileId, Upload>,
    pub visible: BTreeMap<String, (FileId, u64)>,
    pub answers: BTreeMap<RequestId, (u64, Answer)>,
}

/// Any file that was ever created.
#[derive(Clone, Debug)]
pub struct Upload {
    pub request: CreateFile,
    pub state: State,
    /// The name that it has, or had last.
    pub name: FileName,
    /// The version that had the name when it was created, if it may replace that.
    pub seen: Option<FileId>,
    pub groups: Vec<Group>,
    pub chunks: BTreeMap<u32, Chunk>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Open,
    Committed(u64),
    /// Since when, and how many bytes it has.
    Replaced(u64, u64),
    Deleted,
}

/// The placements of a group by epoch; the last is current.
#[derive(Clone, Debug)]
pub struct Group(BTreeMap<u32, Vec<NodeId>>);

#[derive(Clone, Debug)]
pub struct Chunk {
    epoch: u32,
    length: u32,
    checksum: Digest,
    holders: BTreeSet<NodeId>,
    verified: BTreeSet<NodeId>,
}

const QUORUM: usize = 2;

impl Group {
    fn current(&self) -> (Epoch, Vec<NodeId>) {
        let (epoch, nodes) = self.0.last_key_value().unwrap();
        (Epoch(*epoch), nodes.clone())
    }

    fn allocation(&self, group: u32) -> Allocation {
        let (epoch, nodes) = self.current();
        Allocation { group: GroupIndex(group), epoch, write_quorum: 2, nodes }
    }
}

impl Model {
    pub fn info(&self, file: FileId, size: u64) -> FileInfo {
        let Upload { request, name, .. } = &self.uploads[&file];
        let (name, chunk_size, modified) = (name.clone(), request.chunk_size, request.modified);
        FileInfo { file, name, size, chunk_size, replication: 3, modified }
    }

    /// The open upload of this nonce, or else the last file that had it.
    pub fn latest(&self, nonce: UploadNonce) -> Option<FileId> {
        let of_nonce = || self.uploads.iter().rev().filter(|(_, upload)| upload.request.nonce == nonce);
        let open = of_nonce().find(|(_, upload)| upload.state == State::Open);
        open.or_else(|| of_nonce().next()).map(|(file, _)| *file)
    }

    fn check_nodes(&self, nodes: &[NodeId]) -> Result<(), Refusal> {
        if nodes.len() < QUORUM {
            return Err(Refusal::TooFewNodes { needed: 2, available: nodes.len() as u32 });
        }
        let distinct: BTreeSet<_> = nodes.iter().collect();
        let fits = distinct.len() == nodes.len() && nodes.len() <= 3 && nodes.iter().all(|node| node.0 <= self.nodes);
        if fits { Ok(()) } else { Err(Refusal::Malformed) }
    }

    /// Refuses a name that a file cannot have, or that another than `seen` has.
    fn check_name(&self, name: &FileName, replace: bool, seen: Option<FileId>) -> Result<(), Refusal> {
        let name = name.as_str();
        if let Some((file, _)) = self.visible.get(name) {
            return match replace {
                true if seen == Some(*file) => Ok(()),
                true => Err(Refusal::Replaced),
                false => Err(Refusal::NameExists),
            };
        }
        let conflicts =
            |other: &String| name.starts_with(&format!("{other}/")) || other.starts_with(&format!("{name}/"));
        if self.visible.keys().any(conflicts) { Err(Refusal::NameConflict) } else { Ok(()) }
    }

    pub fn create(&mut self, request: &CreateFile, nodes: &[NodeId]) -> Result<CreatedUpload, Refusal> {
        let open = |upload: &&FileId| self.uploads[*upload].state == State::Open;
        if let Some(file) = self.latest(request.nonce).as_ref().filter(open) {
            let first_group = self.uploads[file].groups.first().map(|group| group.allocation(0));
            return Ok(CreatedUpload { file: *file, replication: 3, first_group });
        }
        let seen = self.visible.get(request.name.as_str()).map(|(file, _)| *file);
        self.check_name(&request.name, request.replace, seen)?;
        let mut groups = Vec::new();
        if !(nodes.is_empty() && request.size_hint == Some(0)) {
            self.check_nodes(nodes)?;
            groups.push(Group(BTreeMap::from([(1, nodes.to_vec())])));
        }
        self.next_file += 1;
        let file = FileId(self.next_file);
        let first_group = groups.first().map(|group| group.allocation(0));
        let upload = Upload {
            request: request.clone(),
            state: State::Open,
            name: request.name.clone(),
            seen,
            groups,
            chunks: BTreeMap::new(),
        };
        self.uploads.insert(file, upload);
        Ok(CreatedUpload { file, replication: 3, first_group })
    }

    pub fn resume(&mut self, request: &ResumeUpload) -> Result<FoundUpload, Refusal> {
        let answer = |file: FileId, upload: &Upload| {
            let (groups, reported) = (upload.groups.len() as u32, upload.chunks.len() as u64);
            FoundUpload::Resumed(ResumedUpload { file, replication: 3, groups, reported })
        };
        if let Some(file) = self.latest(request.nonce).filter(|file| self.uploads[file].state == State::Open) {
            return Ok(answer(file, &self.uploads[&file]));
        }
        let seen = self.visible.get(request.name.as_str()).map(|(file, _)| *file);
        self.check_name(&request.name, request.replace, seen)?;
        let mut newest = None;
        for (file, upload) in self.uploads.iter_mut().rev().filter(|(_, upload)| upload.state == State::Open) {
            if upload.request.name != request.name {
                continue;
            }
            if upload.request.size_hint == Some(request.size) {
                upload.request.nonce = request.nonce;
                upload.request.replace = request.replace;
                upload.seen = seen;
                return Ok(answer(*file, upload));
            }
            newest = newest.or(Some(UploadDifference::Size));
        }
        Ok(newest.map_or(FoundUpload::Nothing, FoundUpload::Other))
    }

    fn open(&self, file: FileId, nonce: UploadNonce) -> Result<Upload, Refusal> {
        let upload = self.uploads.get(&file);
        let upload = upload.filter(|upload| upload.state == State::Open && upload.request.nonce == nonce);
        upload.cloned().ok_or(Refusal::UploadGone)
    }

    pub fn allocate(&mut self, request: &AllocateGroup, nodes: &[NodeId]) -> Result<Allocation, Refusal> {
        let mut upload = self.open(request.file, request.nonce)?;
        upload.take(&request.reports)?;
        let place = request.group.0 as usize;
        let count = upload.groups.len();
        match upload.groups.get_mut(place) {
            None if place > count || request.epoch != Epoch(1) => return Err(Refusal::Malformed),
            None => {
                self.check_nodes(nodes)?;
                upload.groups.push(Group(BTreeMap::from([(1, nodes.to_vec())])));
            }
            Some(group) if request.epoch <= group.current().0 => {}
            Some(group) if request.epoch.0 == group.current().0.0 + 1 => {
                self.check_nodes(nodes)?;
                group.0.insert(request.epoch.0, nodes.to_vec());
            }
            Some(_) => return Err(Refusal::Malformed),
        }
        let allocation = upload.groups[place].allocation(request.group.0);
        self.uploads.insert(request.file, upload);
        Ok(allocation)
    }

    pub fn commit(&mut self, request: &CommitFile) -> Result<FileInfo, Refusal> {
        if let Some(upload) = self.uploads.get(&request.file)
            && let Some(size) = self.readable(request.file)
            && upload.request.nonce == request.nonce
        {
            return Ok(self.info(request.file, size));
        }
        let mut upload = self.open(request.file, request.nonce)?;
        upload.take(&request.reports)?;
        let chunk_size = upload.request.chunk_size;
        let expected = chunk_size.chunk_count(request.size);
        let is_there = |index: u64| {
            let length =
                u32::try_from(index).ok().and_then(|index| upload.chunks.get(&index)).map(|chunk| chunk.length);
            length == Some(chunk_size.chunk_length(request.size, index))
        };
        if expected != upload.chunks.len() as u64 || !(0..expected).all(is_there) {
            return Err(Refusal::Incomplete { reported: upload.chunks.len() as u64, expected });
        }
        if upload.chunks.values().any(|chunk| chunk.holders.len() < QUORUM) {
            return Err(Refusal::CopiesLost);
        }
        self.check_name(&upload.request.name, upload.request.replace, upload.seen)?;
        let old = self.visible.insert(upload.request.name.to_string(), (request.file, request.size));
        if let Some((old, size)) = old {
            self.uploads.get_mut(&old).unwrap().state = State::Replaced(self.now, size);
        }
        upload.state = State::Committed(request.size);
        self.uploads.insert(request.file, upload);
        Ok(self.info(request.file, request.size))
    }

    pub fn delete(&mut self, request: &DeleteFile) -> Result<FileInfo, Refusal> {
        match self.kept(request.request, request.first_tried)? {
            Some(Answer::Deleted(info)) => return Ok(info),
            Some(_) => return Err(Refusal::Malformed),
            None => {}
        }
        let is_meant = |(name, (file, _)): &(&String, &(FileId, u64))| match &request.target {
            FileTarget::Name(target) => target.as_str() == name.as_str(),
            FileTarget::Id(target) => target == file,
        };
        let (name, (file, size)) = self.visible.iter().find(is_meant).ok_or(Refusal::NotFound)?;
        let (name, file, info) = (name.clone(), *file, self.info(*file, *size));
        self.visible.remove(&name);
        if let Some(upload) = self.uploads.get_mut(&file) {
            upload.state = State::Deleted;
        }
        self.answers.insert(request.request, (self.now, Answer::Deleted(info.clone())));
        Ok(info)
    }

    /// The kept answer to a request.
    fn kept(&self, request: RequestId, first_tried: ClusterTime) -> Result<Option<Answer>, Refusal> {
        match self.answers.get(&request).filter(|(at, _)| self.now - at <= REQUEST_KEPT_MS) {
            Some((_, answer)) => Ok(Some(answer.clone())),
            None if self.now.saturating_sub(first_tried.0) > REQUEST_KEPT_MS => Err(Refusal::OutcomeUnknown),
            None => Ok(None),
        }
    }

    pub fn rename(&mut self, request: &MoveName) -> Result<MovedName, Refusal> {
        match self.kept(request.request, request.first_tried)? {
            Some(Answer::Moved(moved)) => return Ok(moved),
            Some(_) => return Err(Refusal::Malformed),
            None => {}
        }
        let (from, to) = (request.from.as_str(), request.to.as_str());
        let below = |name: &str, directory: &str| name.starts_with(&format!("{directory}/"));
        let file = self.visible.get(from).map(|(file, _)| *file);
        if file.is_none() && !self.visible.keys().any(|name| below(name, from)) {
            return Err(Refusal::NotFound);
        }
        if below(to, from) || self.visible.keys().any(|name| below(to, name)) {
            return Err(Refusal::NameConflict);
        }
        if self.visible.keys().any(|name| name == to || below(name, to)) {
            return Err(Refusal::NameExists);
        }
        for (name, version) in std::mem::take(&mut self.visible) {
            let moves = name == from || below(&name, from);
            let name = if moves { format!("{to}{}", &name[from.len()..]) } else { name };
            self.uploads.get_mut(&version.0).unwrap().name = FileName::new(name.clone()).unwrap();
            self.visible.insert(name, version);
        }
        let moved = match file {
            Some(file) => MovedName::File(self.info(file, self.visible[to].1)),
            None => MovedName::Directory,
        };
        self.answers.insert(request.request, (self.now, Answer::Moved(moved.clone())));
        Ok(moved)
    }

    pub fn record_copies(&mut self, reporter: NodeId, reports: &[LateReport]) {
        for late in reports {
            let Some(upload) = self.uploads.get_mut(&late.chunk.file) else { continue };
            let chunk = ChunkReport {
                index: late.chunk.index,
                length: late.length,
                checksum: late.checksum,
                holders: late.holders.clone(),
            };
            let Some(group) = upload.groups.get(late.chunk.index.group().0 as usize) else { continue };
            let Some(nodes) = group.0.get(&late.epoch.0) else { continue };
            if nodes[late.chunk.index.slot() as usize % nodes.len()] != reporter {
                continue;
            }
            let known = upload.chunks.get(&chunk.index.0).is_some_and(|known| known.epoch == late.epoch.0);
            let has_quorum = late.holders.iter().collect::<BTreeSet<_>>().len() >= QUORUM;
            let takes = match upload.state {
                State::Open => known || has_quorum,
                State::Committed(_) | State::Replaced(..) => known,
                State::Deleted => false,
            };
            if takes {
                let _ = upload.take_chunk(late.chunk.index.group(), late.epoch, &chunk);
            }
        }
    }

    /// Receipts of a node in its only life.
    pub fn record_receipts(&mut self, reporter: NodeId, receipts: &[Receipt]) {
        for receipt in receipts {
            let upload = self.uploads.get_mut(&receipt.chunk.file).filter(|upload| upload.state != State::Deleted);
            let chunk = upload.and_then(|upload| upload.chunks.get_mut(&receipt.chunk.index.0));
            let Some(chunk) = chunk.filter(|chunk| chunk.epoch == receipt.epoch.0) else { continue };
            match (receipt.outcome, receipt.copy) {
                (OrderOutcome::Done { read_back }, _) if read_back != chunk.checksum => {}
                (OrderOutcome::Done { .. }, Some(copy)) if copy.target.0 > self.nodes => {}
                (OrderOutcome::Done { .. }, copy) => {
                    if let Some(copy) = copy {
                        let is_new = chunk.holders.insert(copy.target);
                        chunk.verified.insert(copy.target);
                        let replaced = copy.replaces.filter(|node| *node != copy.target);
                        if let Some(replaced) = replaced.filter(|_| is_new || chunk.holders.len() > 3) {
                            chunk.holders.remove(&replaced);
                        }
                    }
                    chunk.verified.insert(reporter);
                }
                (OrderOutcome::SourceMissing | OrderOutcome::SourceDamaged, _) if chunk.holders.len() > 1 => {
                    chunk.holders.remove(&reporter);
                }
                _ => {}
            }
            chunk.verified = &chunk.verified & &chunk.holders;
        }
    }

    /// Every known chunk, with its epoch and its checksum.
    pub fn known(&self) -> impl Iterator<Item = (ChunkId, u32, Digest)> {
        let of = |(file, upload): (&FileId, &Upload)| {
            let file = *file;
            let one = move |(index, chunk): (&u32, &Chunk)| {
                (ChunkId { file, index: ChunkIndex(*index) }, chunk.epoch, chunk.checksum)
            };
            upload.chunks.iter().map(one).collect::<Vec<_>>()
        };
        self.uploads.iter().flat_map(of)
    }

    /// All that a node has copies of.
    pub fn placed_on(&self) -> BTreeSet<(NodeId, FileId, u32)> {
        let mut all = BTreeSet::new();
        for (file, upload) in &self.uploads {
            for (index, chunk) in &upload.chunks {
                all.extend(chunk.holders.iter().map(|node| (*node, *file, index / 16)));
            }
        }
        all
    }

    /// The bytes of a version that can be read.
    pub fn readable(&self, file: FileId) -> Option<u64> {
        match self.uploads.get(&file)?.state {
            State::Committed(size) => Some(size),
            State::Replaced(at, size) if self.now - at < VERSION_GRACE_MS => Some(size),
            State::Open | State::Replaced(..) | State::Deleted => None,
        }
    }

    pub fn locate(&self, file: FileId) -> Option<Vec<GroupLocations>> {
        let upload = self.readable(file).map(|_| &self.uploads[&file])?;
        let groups = upload.chunks.len().div_ceil(16);
        Some((0..groups as u32).map(|group| upload.locate(GroupIndex(group))).collect())
    }
}

impl Upload {
    /// The size of the file that the known chunks make, if they make one.
    pub fn size(&self) -> u64 {
        self.chunks.values().map(|chunk| u64::from(chunk.length)).sum()
    }

    /// The report as a primary of the present placement would give it.
    pub fn fit(&self, mut report: GroupReport) -> GroupReport {
        let Some(group) = self.groups.get(report.group.0 as usize) else { return report };
        let (epoch, nodes) = group.current();
        report.epoch = epoch;
        for chunk in &mut report.chunks {
            chunk.holders = nodes.iter().copied().take(chunk.holders.len().max(QUORUM)).collect();
        }
        report
    }

    fn take(&mut self, reports: &[GroupReport]) -> Result<(), Refusal> {
        for report in reports {
            let indexes: BTreeSet<_> = report.chunks.iter().map(|chunk| chunk.index).collect();
            if indexes.len() < report.chunks.len() || indexes.iter().any(|index| index.group() != report.group) {
                return Err(Refusal::Malformed);
            }
            if report.group.0 as usize >= self.groups.len() {
                return Err(Refusal::BadReport);
            }
            for chunk in &report.chunks {
                if chunk.holders.iter().collect::<BTreeSet<_>>().len() < QUORUM {
                    return Err(Refusal::BadReport);
                }
                self.take_chunk(report.group, report.epoch, chunk)?;
            }
        }
        Ok(())
    }

    fn take_chunk(&mut self, group: GroupIndex, epoch: Epoch, told: &ChunkReport) -> Result<(), Refusal> {
        let size = self.request.chunk_size.bytes();
        let group = self.groups.get(group.0 as usize).ok_or(Refusal::BadReport)?;
        let fits = |epoch: u32| told.holders.iter().all(|holder| group.0[&epoch].contains(holder));
        if let Some(known) = self.chunks.get_mut(&told.index.0).filter(|known| known.epoch == epoch.0) {
            if !fits(known.epoch) || known.checksum != told.checksum || known.length != told.length {
                return Err(Refusal::BadReport);
            }
            known.holders.extend(&told.holders);
            return Ok(());
        }
        let (current, _) = group.current();
        if epoch != current {
            return Err(Refusal::StaleEpoch { current });
        }
        let is_second_short = told.length < size
            && self.chunks.iter().any(|(index, chunk)| *index != told.index.0 && chunk.length < size);
        if !fits(epoch.0) || told.length == 0 || told.length > size || is_second_short {
            return Err(Refusal::BadReport);
        }
        let holders = told.holders.iter().copied().collect();
        let verified = BTreeSet::new();
        let chunk = Chunk { epoch: epoch.0, length: told.length, checksum: told.checksum, holders, verified };
        self.chunks.insert(told.index.0, chunk);
        Ok(())
    }

    fn locate(&self, group: GroupIndex) -> GroupLocations {
        let mut held = BTreeMap::<NodeId, (ChunkMask, ChunkMask)>::new();
        let mut chunks = Vec::new();
        for (index, chunk) in self.chunks.range(group.chunk(0).0..=group.chunk(15).0) {
            chunks.push(ChunkLocation { epoch: Epoch(chunk.epoch), checksum: chunk.checksum });
            for node in &chunk.holders {
                let slot = ChunkMask::of(ChunkIndex(*index).slot());
                let (held, verified) = held.entry(*node).or_default();
                *held = held.union(slot);
                if chunk.verified.contains(node) {
                    *verified = verified.union(slot);
                }
            }
        }
        let holder = |(node, (held, verified))| GroupHolder { node, held, verified };
        let (epoch, _) = self.groups[group.0 as usize].current();
        GroupLocations { group, epoch, chunks, holders: held.into_iter().map(holder).collect() }
    }
}
