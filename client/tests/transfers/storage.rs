//! Storage nodes in memory. A primary puts its replicas' copies straight into their maps.

use bytes::{Bytes, BytesMut};
use dfs_core::checksum::ChunkSums;
use dfs_core::id::{ChunkId, ChunkIndex, Epoch, NodeId};
use dfs_core::limit::BLOCK_BYTES;
use dfs_core::refusal::Refusal;
use dfs_core::wire::Request;
use dfs_core::wire::chunk::{
    ChunkWritten, FoundBytes, HeldChunk, HeldChunks, HeldList, ReadAnswer, ReadChunk, ReadTrailer, WriteAnswer,
    WriteChunk, WriteReply, WriteTrailer,
};
use dfs_transport::endpoint::{Dispatch, Inbound};
use dfs_transport::exchange::{CallError, Exchange};
use dfs_transport::world::World;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// What is wrong with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Its endpoint is closed.
    Dead,
    /// It takes requests and never answers.
    Hangs,
    /// It takes the payload and never acknowledges.
    HangsBeforeAcknowledging,
    /// It takes a part of the payload and hangs.
    HangsMidway,
    /// It lives, but its disk never ends.
    WaitsForEver,
    /// It and its replicas keep the chunk, and it never acknowledges.
    KeepsSilent,
    /// It is out of space.
    Full,
    /// It acknowledges its own copy as if that were enough.
    AcknowledgesOneCopy,
    /// It acknowledges with the checksum of other bytes.
    AcknowledgesOtherBytes,
    /// It answers reads only after this time.
    Late(Duration),
    /// It lets reads wait for this time, and says so.
    Busy(Duration),
    /// It sends what is read in pieces of 8 KiB, this time apart.
    Trickles(Duration),
    /// It breaks off in the middle of the payload.
    BreaksOff,
    /// It sends other bytes than it was given.
    Rotten,
    /// It sends other bytes with the checksums that fit them.
    Lying,
}

/// How often a node that takes its time says so.
const SIGN: Duration = Duration::from_millis(250);

pub struct Storage {
    node: NodeId,
    state: Mutex<State>,
    /// Writes that are being served.
    writing: watch::Sender<usize>,
}

struct State {
    fault: Fault,
    chunks: BTreeMap<(ChunkId, Epoch), (Bytes, ChunkSums)>,
    reads: Vec<ReadChunk>,
    /// Bytes of payload that came from clients.
    received: u64,
    delay: Duration,
}

impl Storage {
    pub fn new(node: NodeId) -> Storage {
        let (fault, delay) = (Fault::None, Duration::ZERO);
        let state = State { fault, chunks: BTreeMap::new(), reads: Vec::new(), received: 0, delay };
        Storage { node, state: Mutex::new(state), writing: watch::Sender::new(0) }
    }

    pub fn node(&self) -> NodeId {
        self.node
    }

    pub fn set_fault(&self, fault: Fault) {
        self.state.lock().unwrap().fault = fault;
    }

    /// How long each write waits before it is acknowledged.
    pub fn set_delay(&self, delay: Duration) {
        self.state.lock().unwrap().delay = delay;
    }

    /// Waits until no write is being served.
    pub async fn writes_have_ended(&self) {
        let mut writing = self.writing.subscribe();
        timeout(Duration::from_secs(10), writing.wait_for(|writing| *writing == 0)).await.unwrap().unwrap();
    }

    pub fn received(&self) -> u64 {
        self.state.lock().unwrap().received
    }

    pub fn chunks(&self) -> Vec<(ChunkIndex, Epoch)> {
        self.state.lock().unwrap().chunks.keys().map(|(chunk, epoch)| (chunk.index, *epoch)).collect()
    }

    /// How many reads were asked for.
    pub fn reads(&self) -> u32 {
        u32::try_from(self.state.lock().unwrap().reads.len()).unwrap()
    }

    /// What was asked for since this was asked last.
    pub fn take_reads(&self) -> Vec<ReadChunk> {
        std::mem::take(&mut self.state.lock().unwrap().reads)
    }

    pub fn stored_bytes(&self) -> u64 {
        self.state.lock().unwrap().chunks.values().map(|(bytes, _)| bytes.len() as u64).sum()
    }

    pub fn forget(&self) {
        self.state.lock().unwrap().chunks.clear();
    }

    fn fault(&self) -> Fault {
        self.state.lock().unwrap().fault
    }

    /// Takes a copy, if the node lives.
    fn keep(&self, request: &WriteChunk, bytes: &Bytes, sums: &ChunkSums) -> Option<NodeId> {
        let mut state = self.state.lock().unwrap();
        let lives = !matches!(state.fault, Fault::Dead | Fault::Hangs | Fault::Full);
        lives.then(|| {
            state.chunks.insert((request.chunk, request.epoch), (bytes.clone(), sums.clone()));
            self.node
        })
    }

    pub fn dispatch(self: &Arc<Storage>, world: &World, all: &[Arc<Storage>]) -> Arc<dyn Dispatch> {
        Arc::new(Keeper { storage: Arc::clone(self), all: all.to_vec(), world: world.clone() })
    }
}

struct Keeper {
    storage: Arc<Storage>,
    all: Vec<Arc<Storage>>,
    world: World,
}

impl Dispatch for Keeper {
    fn dispatch(&self, inbound: Inbound) {
        let (storage, all) = (Arc::clone(&self.storage), self.all.clone());
        self.world.scope.spawn(async move {
            if storage.fault() == Fault::Hangs {
                let _held = inbound;
                return std::future::pending().await;
            }
            let _ = match inbound.method {
                WriteChunk::METHOD => {
                    storage.writing.send_modify(|writing| *writing += 1);
                    let written = write(&storage, &all, inbound).await;
                    storage.writing.send_modify(|writing| *writing -= 1);
                    written
                }
                ReadChunk::METHOD => read(&storage, inbound).await,
                HeldChunks::METHOD => held(&storage, inbound).await,
                _ => inbound.into_exchange().refuse(Refusal::UnknownMethod).await,
            };
        });
    }
}

async fn write(storage: &Storage, all: &[Arc<Storage>], inbound: Inbound) -> Result<(), CallError> {
    let request: WriteChunk = inbound.decode()?;
    let mut exchange = inbound.into_exchange();
    if storage.fault() == Fault::Full {
        return exchange.refuse(Refusal::StoreFull).await;
    }
    exchange.send_message(&WriteAnswer::Send).await?;
    exchange.expect_payload(u64::from(request.length));
    let bytes = receive(&mut exchange, storage).await?;
    let trailer: WriteTrailer = exchange.receive_message().await?;
    if storage.fault() == Fault::HangsBeforeAcknowledging {
        return std::future::pending().await;
    }
    let sums = ChunkSums::of(&bytes);
    if sums != trailer.sums {
        return exchange.refuse(Refusal::ChecksumMismatch).await;
    }
    let mut delay = storage.state.lock().unwrap().delay;
    while delay > SIGN || storage.fault() == Fault::WaitsForEver {
        tokio::time::sleep(SIGN).await;
        delay = delay.saturating_sub(SIGN);
        exchange.send_message(&WriteReply::Waiting).await?;
    }
    tokio::time::sleep(delay).await;
    let mut holders: Vec<NodeId> = storage.keep(&request, &bytes, &sums).into_iter().collect();
    let mut checksum = sums.checksum();
    match storage.fault() {
        Fault::AcknowledgesOneCopy => {}
        Fault::AcknowledgesOtherBytes => {
            checksum.0[0] ^= 1;
            holders.extend(request.replicas.iter().map(|replica| replica.node));
        }
        _ => {
            let replicas = request
                .replicas
                .iter()
                .filter_map(|replica| all.iter().find(|node| node.node == replica.node)?.keep(&request, &bytes, &sums));
            holders.extend(replicas);
            if storage.fault() == Fault::KeepsSilent {
                return std::future::pending().await;
            }
            if holders.len() < usize::from(request.write_quorum) {
                let failed = request.replicas.iter().map(|replica| replica.node);
                let failed = failed.filter(|node| !holders.contains(node)).collect();
                let durable = u8::try_from(holders.len()).unwrap();
                let needed = request.write_quorum;
                return exchange.refuse(Refusal::TooFewCopies { needed, durable, failed }).await;
            }
        }
    }
    exchange.reply(&WriteReply::Written(ChunkWritten { checksum, holders })).await
}

async fn receive(exchange: &mut Exchange, storage: &Storage) -> Result<Bytes, CallError> {
    let mut bytes = BytesMut::new();
    while let Some(piece) = exchange.receive_payload(64 * 1024).await? {
        bytes.extend_from_slice(&piece);
        storage.state.lock().unwrap().received += piece.len() as u64;
        match storage.fault() {
            Fault::BreaksOff => return Err(CallError::Broken),
            Fault::HangsMidway => return std::future::pending().await,
            _ => {}
        }
    }
    Ok(bytes.freeze())
}

async fn held(storage: &Storage, inbound: Inbound) -> Result<(), CallError> {
    let request: HeldChunks = inbound.decode()?;
    let chunks = {
        let state = storage.state.lock().unwrap();
        let wanted = |chunk: &ChunkId, epoch: &Epoch| {
            chunk.file == request.file && chunk.index.group() == request.group && *epoch == request.epoch
        };
        let held = state.chunks.iter().filter(|((chunk, epoch), _)| wanted(chunk, epoch));
        held.map(|((chunk, _), (_, sums))| HeldChunk {
            index: chunk.index,
            length: sums.length,
            checksum: sums.checksum(),
        })
        .collect()
    };
    inbound.into_exchange().reply(&HeldList { chunks }).await
}

async fn read(storage: &Storage, inbound: Inbound) -> Result<(), CallError> {
    let request: ReadChunk = inbound.decode()?;
    let mut exchange = inbound.into_exchange();
    let found = {
        let mut state = storage.state.lock().unwrap();
        state.reads.push(request.clone());
        state.chunks.get(&(request.chunk, request.epoch)).cloned()
    };
    let Some((mut bytes, mut sums)) = found else { return exchange.refuse(Refusal::ChunkMissing).await };
    if matches!(storage.fault(), Fault::Rotten | Fault::Lying) {
        let mut rotten = bytes.to_vec();
        let middle = rotten.len() / 2;
        rotten[middle] ^= 1;
        bytes = rotten.into();
    }
    if storage.fault() == Fault::Lying {
        sums = ChunkSums::of(&bytes);
    }
    let end = (request.offset + request.length).next_multiple_of(BLOCK_BYTES).min(sums.length);
    let offset = request.offset / BLOCK_BYTES * BLOCK_BYTES;
    let length = end - offset;
    let mut bytes = bytes.slice(offset as usize..end as usize);
    if let Fault::Late(time) = storage.fault() {
        tokio::time::sleep(time).await;
    }
    if let Fault::Busy(time) = storage.fault() {
        let end = tokio::time::Instant::now() + time;
        while tokio::time::Instant::now() < end {
            tokio::time::sleep(SIGN).await;
            exchange.send_message(&ReadAnswer::Waiting).await?;
        }
    }
    exchange.send_message(&ReadAnswer::Found(FoundBytes { sums, offset, length })).await?;
    if storage.fault() == Fault::BreaksOff {
        let half = bytes.slice(..bytes.len() / 2);
        return exchange.send_payload(half).await;
    }
    if let Fault::Trickles(pause) = storage.fault() {
        while bytes.len() > 8192 {
            exchange.send_payload(bytes.split_to(8192)).await?;
            tokio::time::sleep(pause).await;
        }
    }
    exchange.send_payload(bytes).await?;
    exchange.reply(&ReadTrailer { length }).await
}
