//! A metadata cluster in memory: what its leader would commit is in one map, and each member answers from it.

use dfs_core::checksum::Digest;
use dfs_core::id::{ChunkIndex, ClusterId, Epoch, FileId, GroupIndex, NodeId, UploadNonce};
use dfs_core::limit::CHUNKS_PER_GROUP;
use dfs_core::mask::ChunkMask;
use dfs_core::refusal::Refusal;
use dfs_core::time::ClusterTime;
use dfs_core::wire::metadata::{
    AllocateGroup, ChunkLocation, CommitFile, CreateFile, CreatedFile, DeleteFile, FileInfo, FilePage, FileTarget,
    FoundUpload, GroupHolder, GroupLocations, GroupPage, GroupPlacement, GroupReport, Leadership, ListFiles,
    LocateGroups, LocateUpload, RecordedChunk, ResumeUpload, ResumedUpload, ShowTime, StatFile, UploadDifference,
    UploadGroup, UploadPage, WhoLeads,
};
use dfs_core::wire::{NodeAddress, Request};
use dfs_transport::endpoint::{Dispatch, Inbound};
use dfs_transport::world::World;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

/// Files in one page of a listing, so that paging shows.
const PAGE: usize = 2;
const REPLICATION: u8 = 3;
const QUORUM: u8 = 2;

pub struct Metadata {
    members: Vec<NodeAddress>,
    nodes: Vec<NodeAddress>,
    state: Mutex<State>,
}

struct State {
    leader: Option<NodeId>,
    /// Answers that are lost on the way after their request was done.
    answers_to_lose: u32,
    /// Requests that changed something: what would be entries of the Raft log.
    entries: u32,
    created: u64,
    files: BTreeMap<FileId, File>,
}

struct File {
    create: CreateFile,
    groups: BTreeMap<GroupIndex, GroupPlacement>,
    chunks: BTreeMap<ChunkIndex, Copies>,
    committed: Option<FileInfo>,
    deleted: bool,
}

struct Copies {
    epoch: Epoch,
    length: u32,
    checksum: Digest,
    holders: Vec<NodeId>,
}

impl Metadata {
    pub fn new(members: Vec<NodeAddress>, nodes: Vec<NodeAddress>) -> Metadata {
        let leader = Some(members[0].node);
        let state = State { leader, answers_to_lose: 0, entries: 0, created: 0, files: BTreeMap::new() };
        Metadata { members, nodes, state: Mutex::new(state) }
    }

    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.members.iter().map(|member| member.address).collect()
    }

    pub fn elect(&self, leader: Option<NodeId>) {
        self.state.lock().unwrap().leader = leader;
    }

    pub fn lose_answers(&self, count: u32) {
        self.state.lock().unwrap().answers_to_lose = count;
    }

    pub fn entries(&self) -> u32 {
        self.state.lock().unwrap().entries
    }

    pub fn files_created(&self) -> u64 {
        self.state.lock().unwrap().created
    }

    /// The highest epoch of any group.
    pub fn highest_epoch(&self) -> Epoch {
        let state = self.state.lock().unwrap();
        let groups = state.files.values().flat_map(|file| file.groups.values());
        groups.map(|group| group.epoch).max().unwrap()
    }

    pub fn member(self: &Arc<Metadata>, world: &World, node: NodeId) -> Arc<dyn Dispatch> {
        Arc::new(Member { metadata: Arc::clone(self), world: world.clone(), node })
    }

    fn who_leads(&self) -> Leadership {
        let leader = self.state.lock().unwrap().leader;
        Leadership {
            cluster: Some(ClusterId(7)),
            leader: self.members.iter().find(|member| Some(member.node) == leader).copied(),
            members: self.members.clone(),
            term: 1,
            applied: 1,
            cluster_time: ClusterTime(1000),
        }
    }

    fn create(&self, request: CreateFile) -> Result<CreatedFile, Refusal> {
        let mut state = self.state.lock().unwrap();
        let again = state.files.iter().find(|(_, file)| file.create.nonce == request.nonce);
        if let Some((file, known)) = again {
            let first_group = known.groups.get(&GroupIndex(0)).cloned();
            return Ok(CreatedFile { file: *file, replication: REPLICATION, first_group });
        }
        if state.find(&FileTarget::Name(request.name.clone())).is_some() {
            return Err(Refusal::NameExists);
        }
        state.entries += 1;
        state.created += 1;
        let file = FileId(state.created);
        let first_group = (request.size_hint != Some(0)).then(|| self.place(GroupIndex(0), Epoch::FIRST, &[]));
        let groups = first_group.clone().map(|group| (GroupIndex(0), group)).into_iter().collect();
        let opened = File { create: request, groups, chunks: BTreeMap::new(), committed: None, deleted: false };
        state.files.insert(file, opened);
        Ok(CreatedFile { file, replication: REPLICATION, first_group })
    }

    fn place(&self, group: GroupIndex, epoch: Epoch, excluded: &[NodeId]) -> GroupPlacement {
        let good = self.nodes.iter().filter(|node| !excluded.contains(&node.node));
        let mut nodes: Vec<NodeAddress> = good.copied().take(usize::from(REPLICATION)).collect();
        let rest = self.nodes.iter().filter(|node| excluded.contains(&node.node)).copied();
        let missing = usize::from(QUORUM).saturating_sub(nodes.len());
        nodes.extend(rest.take(missing));
        GroupPlacement { group, epoch, write_quorum: QUORUM, nodes }
    }

    fn allocate(&self, request: AllocateGroup) -> Result<GroupPlacement, Refusal> {
        let mut state = self.state.lock().unwrap();
        let file = state.open(request.file, request.nonce)?;
        if let Some(known) = file.groups.get(&request.group)
            && known.epoch >= request.epoch
        {
            let known = known.clone();
            if !request.reports.is_empty() {
                file.take(&request.reports)?;
                state.entries += 1;
            }
            return Ok(known);
        }
        file.take(&request.reports)?;
        let placement = self.place(request.group, request.epoch, &request.excluded);
        file.groups.insert(request.group, placement.clone());
        state.entries += 1;
        Ok(placement)
    }

    fn resume(&self, request: &ResumeUpload) -> Result<FoundUpload, Refusal> {
        let mut state = self.state.lock().unwrap();
        if state.find(&FileTarget::Name(request.name.clone())).is_some() {
            return Err(Refusal::NameExists);
        }
        let newest =
            state.files.iter_mut().rev().find(|(_, file)| file.create.name == request.name && file.committed.is_none());
        let Some((id, file)) = newest else { return Ok(FoundUpload::Nothing) };
        let create = &file.create;
        let difference = if create.size_hint != Some(request.size) {
            Some(UploadDifference::Size)
        } else if create.modified != request.modified {
            Some(UploadDifference::Modified)
        } else if create.chunk_size != request.chunk_size {
            Some(UploadDifference::ChunkSize)
        } else {
            None
        };
        if let Some(difference) = difference {
            return Ok(FoundUpload::Other(difference));
        }
        let (groups, reported) = (file.groups.len(), file.chunks.len() as u64);
        let resumed =
            ResumedUpload { file: *id, replication: REPLICATION, groups: u32::try_from(groups).unwrap(), reported };
        if file.create.nonce != request.nonce {
            file.create.nonce = request.nonce;
            state.entries += 1;
        }
        Ok(FoundUpload::Resumed(resumed))
    }

    fn locate_upload(&self, request: &LocateUpload) -> Result<UploadPage, Refusal> {
        let mut state = self.state.lock().unwrap();
        let file = state.open(request.file, request.nonce)?;
        // Short pages, so that asking for the rest shows.
        let groups = file.groups.range(request.first..).take(request.limit.min(2) as usize);
        let groups = groups.map(|(index, placement)| {
            let chunks = file.chunks.range(index.chunk(0)..=index.chunk(CHUNKS_PER_GROUP - 1));
            let recorded = |(index, copies): (&ChunkIndex, &Copies)| RecordedChunk {
                index: *index,
                epoch: copies.epoch,
                length: copies.length,
                checksum: copies.checksum,
            };
            UploadGroup { placement: placement.clone(), chunks: chunks.map(recorded).collect() }
        });
        Ok(UploadPage { groups: groups.collect() })
    }

    fn commit(&self, request: CommitFile) -> Result<FileInfo, Refusal> {
        let mut state = self.state.lock().unwrap();
        let file = state.open(request.file, request.nonce)?;
        if let Some(known) = &file.committed {
            return Ok(known.clone());
        }
        file.take(&request.reports)?;
        let expected = file.create.chunk_size.chunk_count(request.size);
        let reported = file.chunks.len() as u64;
        if reported != expected {
            return Err(Refusal::Incomplete { reported, expected });
        }
        let info = FileInfo {
            file: request.file,
            name: file.create.name.clone(),
            size: request.size,
            chunk_size: file.create.chunk_size,
            replication: REPLICATION,
            modified: file.create.modified,
        };
        file.committed = Some(info.clone());
        state.entries += 1;
        Ok(info)
    }

    fn list(&self, request: &ListFiles) -> FilePage {
        let state = self.state.lock().unwrap();
        let mut files: Vec<FileInfo> = state
            .visible()
            .filter(|info| info.name.as_str().starts_with(&request.prefix))
            .filter(|info| request.after.as_ref().is_none_or(|after| info.name > *after))
            .cloned()
            .collect();
        files.sort_by(|a, b| a.name.cmp(&b.name));
        let more = files.len() > PAGE;
        files.truncate(PAGE);
        FilePage { files, more }
    }

    fn locate(&self, request: &LocateGroups) -> Result<GroupPage, Refusal> {
        let state = self.state.lock().unwrap();
        let file = state.files.get(&request.file).filter(|file| !file.deleted).ok_or(Refusal::NotFound)?;
        let last = file.chunks.keys().next_back().ok_or(Refusal::NotFound)?.group().0;
        // Short pages, so that asking for the rest shows.
        let groups = (request.first.0..=last).take(request.limit.min(2) as usize);
        let groups = groups.map(|group| file.locate(GroupIndex(group))).collect();
        Ok(GroupPage { groups, addresses: self.nodes.clone() })
    }

    fn delete(&self, request: &DeleteFile) -> Result<FileInfo, Refusal> {
        let mut state = self.state.lock().unwrap();
        let info = state.find(&request.target).cloned().ok_or(Refusal::NotFound)?;
        if let Some(file) = state.files.get_mut(&info.file) {
            file.deleted = true;
        }
        state.entries += 1;
        Ok(info)
    }
}

impl State {
    fn visible(&self) -> impl Iterator<Item = &FileInfo> {
        self.files.values().filter(|file| !file.deleted).filter_map(|file| file.committed.as_ref())
    }

    fn find(&self, target: &FileTarget) -> Option<&FileInfo> {
        self.visible().find(|info| match target {
            FileTarget::Name(name) => info.name == *name,
            FileTarget::Id(file) => info.file == *file,
        })
    }

    fn open(&mut self, file: FileId, nonce: UploadNonce) -> Result<&mut File, Refusal> {
        self.files.get_mut(&file).filter(|file| file.create.nonce == nonce).ok_or(Refusal::UploadGone)
    }
}

impl File {
    fn take(&mut self, reports: &[GroupReport]) -> Result<(), Refusal> {
        for report in reports {
            let placement = self.groups.get(&report.group).ok_or(Refusal::BadReport)?;
            if placement.epoch != report.epoch {
                return Err(Refusal::StaleEpoch { current: placement.epoch });
            }
            for chunk in &report.chunks {
                let placed = |node: &NodeId| placement.nodes.iter().any(|known| known.node == *node);
                if chunk.holders.len() < usize::from(QUORUM) || !chunk.holders.iter().all(placed) {
                    return Err(Refusal::BadReport);
                }
                let copies = Copies {
                    epoch: report.epoch,
                    length: chunk.length,
                    checksum: chunk.checksum,
                    holders: chunk.holders.clone(),
                };
                self.chunks.insert(chunk.index, copies);
            }
        }
        Ok(())
    }

    fn locate(&self, group: GroupIndex) -> GroupLocations {
        let mut held: BTreeMap<NodeId, ChunkMask> = BTreeMap::new();
        let mut chunks = Vec::new();
        for slot in 0..CHUNKS_PER_GROUP {
            let Some(copies) = self.chunks.get(&group.chunk(slot)) else { break };
            chunks.push(ChunkLocation { epoch: copies.epoch, checksum: copies.checksum });
            for node in &copies.holders {
                let mask = held.entry(*node).or_default();
                *mask = mask.union(ChunkMask::of(slot));
            }
        }
        let holders =
            held.into_iter().map(|(node, held)| GroupHolder { node, held, verified: ChunkMask::EMPTY }).collect();
        GroupLocations { group, epoch: self.groups[&group].epoch, chunks, holders }
    }
}

struct Member {
    metadata: Arc<Metadata>,
    world: World,
    node: NodeId,
}

impl Dispatch for Member {
    fn dispatch(&self, inbound: Inbound) {
        let metadata = Arc::clone(&self.metadata);
        let node = self.node;
        self.world.scope.spawn(async move {
            match inbound.method {
                WhoLeads::METHOD => answer::<WhoLeads>(inbound, &metadata, None, |_| Ok(metadata.who_leads())).await,
                ShowTime::METHOD => {
                    answer::<ShowTime>(inbound, &metadata, Some(node), |_| Ok(metadata.who_leads().cluster_time)).await;
                }
                CreateFile::METHOD => answer(inbound, &metadata, Some(node), |r| metadata.create(r)).await,
                AllocateGroup::METHOD => answer(inbound, &metadata, Some(node), |r| metadata.allocate(r)).await,
                CommitFile::METHOD => answer(inbound, &metadata, Some(node), |r| metadata.commit(r)).await,
                ResumeUpload::METHOD => answer(inbound, &metadata, Some(node), |r| metadata.resume(&r)).await,
                LocateUpload::METHOD => {
                    answer(inbound, &metadata, Some(node), |r| metadata.locate_upload(&r)).await;
                }
                StatFile::METHOD => {
                    let find =
                        |r: StatFile| metadata.state.lock().unwrap().find(&r.target).cloned().ok_or(Refusal::NotFound);
                    answer(inbound, &metadata, Some(node), find).await;
                }
                ListFiles::METHOD => answer(inbound, &metadata, Some(node), |r| Ok(metadata.list(&r))).await,
                LocateGroups::METHOD => answer(inbound, &metadata, Some(node), |r| metadata.locate(&r)).await,
                DeleteFile::METHOD => answer(inbound, &metadata, Some(node), |r| metadata.delete(&r)).await,
                _ => drop(inbound.into_exchange().refuse(Refusal::UnknownMethod).await),
            }
        });
    }
}

/// Answers one request; `leading` is the node that must lead for it.
async fn answer<R: Request>(
    inbound: Inbound,
    metadata: &Metadata,
    leading: Option<NodeId>,
    work: impl FnOnce(R) -> Result<R::Reply, Refusal>,
) {
    let leader = metadata.who_leads().leader;
    let leads = leading.is_none() || leading == leader.map(|leader| leader.node);
    let outcome = match inbound.decode::<R>() {
        Ok(_) if !leads => Err(Refusal::NotLeader { leader }),
        Ok(request) => work(request),
        Err(refusal) => Err(refusal),
    };
    let lost = leading.is_some() && leads && {
        let mut state = metadata.state.lock().unwrap();
        let lost = state.answers_to_lose > 0;
        state.answers_to_lose = state.answers_to_lose.saturating_sub(1);
        lost
    };
    let exchange = inbound.into_exchange();
    let _ = match outcome {
        _ if lost => return,
        Ok(reply) => exchange.reply(&reply).await,
        Err(refusal) => exchange.refuse(refusal).await,
    };
}
