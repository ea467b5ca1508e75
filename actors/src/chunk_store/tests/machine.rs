//! A machine whose power can be cut: a disk and an index that keep what was written apart from what was made durable.
//!
//! Every operation that changes something is counted; the power goes while the chosen one is done. What was not made
//! durable is then kept, lost or torn by the draw. Handles from before a crash do nothing any more.

mod index;

use crate::chunk_store::conformance::Place;
use crate::chunk_store::lock;
use crate::disk::{Disk, DiskFile, DiskLock, DiskSpace};
use crate::key_value::Batch;
use dfs_transport::world::World;
use index::{MachineIndex, apply};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex};

const SECTOR: usize = 512;

/// The machine. Clones are the same machine.
#[derive(Clone)]
pub struct Machine(Arc<Mutex<State>>);

#[derive(Clone)]
struct State {
    life: u64,
    power: bool,
    operations: u64,
    cut_at: Option<u64>,
    fail_syncs: bool,
    refuse_writes: bool,
    capacity: u64,
    bytes_read: u64,
    locked: bool,
    directories: BTreeSet<String>,
    files: Vec<Inode>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    pending_names: Vec<NameChange>,
    pairs: BTreeMap<Vec<u8>, Vec<u8>>,
    durable_pairs: BTreeMap<Vec<u8>, Vec<u8>>,
    pending_batches: Vec<Batch>,
}

#[derive(Clone, Default)]
struct Inode {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<FileChange>,
}

#[derive(Clone)]
enum FileChange {
    Write(usize, Vec<u8>),
    Length(usize),
}

#[derive(Clone)]
enum NameChange {
    Create(String, usize),
    Rename(String, String),
    Remove(String),
}

/// A small generator for what a crash keeps.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }
}

impl Machine {
    pub fn new() -> Machine {
        Machine(Arc::new(Mutex::new(State {
            life: 0,
            power: true,
            operations: 0,
            cut_at: None,
            fail_syncs: false,
            refuse_writes: false,
            capacity: 1 << 30,
            bytes_read: 0,
            locked: false,
            directories: BTreeSet::new(),
            files: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            pending_names: Vec::new(),
            pairs: BTreeMap::new(),
            durable_pairs: BTreeMap::new(),
            pending_batches: Vec::new(),
        })))
    }

    /// Another machine in the same state.
    pub fn duplicate(&self) -> Machine {
        Machine(Arc::new(Mutex::new(lock(&self.0).clone())))
    }

    /// What a store is opened with, for this life of the machine.
    pub fn place(&self, world: &World) -> Place {
        let life = lock(&self.0).life;
        Place {
            scope: world.scope.clone(),
            disk: Arc::new(MachineDisk { machine: self.clone(), life }),
            index: Arc::new(MachineIndex { machine: self.clone(), life }),
            entropy: world.entropy.clone(),
        }
    }

    /// The power goes during the operation that comes after `operations` more.
    pub fn cut_after(&self, operations: u64) {
        let mut state = lock(&self.0);
        state.cut_at = Some(state.operations + operations);
    }

    pub fn has_power(&self) -> bool {
        lock(&self.0).power
    }

    /// Ends the process, but not the machine: what was written stays written.
    pub fn restart(&self) {
        let mut state = lock(&self.0);
        (state.life, state.power, state.cut_at, state.locked) = (state.life + 1, true, None, false);
        state.fail_syncs = false;
    }

    /// Loses what was not made durable, or keeps it, or some of it; then the power comes back.
    pub fn crash(&self, seed: u64) {
        let mut draw = Draw(seed);
        let mut state = lock(&self.0);
        let state = &mut *state;
        for file in &mut state.files {
            for change in std::mem::take(&mut file.pending) {
                match draw.next() % 3 {
                    0 => {}
                    1 => change.apply(&mut file.durable),
                    _ => change.tear(&mut file.durable, &mut draw),
                }
            }
            file.bytes.clone_from(&file.durable);
        }
        let names = std::mem::take(&mut state.pending_names);
        let kept = draw.next() as usize % (names.len() + 1);
        names.into_iter().take(kept).for_each(|change| change.apply(&mut state.durable_names));
        state.names.clone_from(&state.durable_names);
        let batches = std::mem::take(&mut state.pending_batches);
        let kept = draw.next() as usize % (batches.len() + 1);
        batches.iter().take(kept).for_each(|batch| apply(batch, &mut state.durable_pairs));
        state.pairs.clone_from(&state.durable_pairs);
        (state.life, state.power, state.cut_at, state.locked) = (state.life + 1, true, None, false);
    }

    /// Loses the index.
    pub fn lose_index(&self) {
        let mut state = lock(&self.0);
        state.pairs.clear();
        state.durable_pairs.clear();
        state.pending_batches.clear();
    }

    /// Lets every later fdatasync fail and lose what it should have made durable, as Linux does.
    pub fn fail_syncs(&self) {
        lock(&self.0).fail_syncs = true;
    }

    /// Lets writes find the disk full, or not.
    pub fn refuse_writes(&self, refuse: bool) {
        lock(&self.0).refuse_writes = refuse;
    }

    pub fn set_capacity(&self, capacity: u64) {
        lock(&self.0).capacity = capacity;
    }

    /// Bytes read from files since the last call.
    pub fn take_bytes_read(&self) -> u64 {
        std::mem::take(&mut lock(&self.0).bytes_read)
    }

    /// The bytes of a file, for looking and for rotting.
    pub fn with_file<T>(&self, path: &str, look: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let mut state = lock(&self.0);
        let inode = state.names[path];
        let answer = look(&mut state.files[inode].bytes);
        let bytes = state.files[inode].bytes.clone();
        state.files[inode].durable = bytes;
        answer
    }

    pub fn remove_file(&self, path: &str) {
        let mut state = lock(&self.0);
        state.names.remove(path);
        state.durable_names.remove(path);
    }

    fn with<T>(&self, life: u64, work: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = lock(&self.0);
        if !state.power || state.life != life {
            return Err(io::Error::other("the power is off"));
        }
        work(&mut state)
    }

    /// Does something that changes the machine. The power may go while it is done; nobody hears of its end then.
    fn change<T>(&self, life: u64, work: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        self.with(life, |state| {
            state.operations += 1;
            if state.cut_at != Some(state.operations) {
                return work(state);
            }
            // Half of the operations cut in two were done as far as the kernel is concerned.
            if state.operations.is_multiple_of(2) {
                let _ = work(state);
            }
            state.power = false;
            Err(io::Error::other("the power goes"))
        })
    }
}

impl State {
    fn used(&self) -> u64 {
        self.names.values().map(|inode| self.files[*inode].bytes.len() as u64).sum()
    }

    fn check_room(&self, inode: usize, end: usize) -> io::Result<()> {
        let more = end.saturating_sub(self.files[inode].bytes.len()) as u64;
        if self.used() + more > self.capacity { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl FileChange {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            FileChange::Write(offset, written) => {
                bytes.resize(bytes.len().max(offset + written.len()), 0);
                bytes[*offset..offset + written.len()].copy_from_slice(written);
            }
            FileChange::Length(length) => bytes.resize(*length, 0),
        }
    }

    /// Applies some sectors only.
    fn tear(&self, bytes: &mut Vec<u8>, draw: &mut Draw) {
        match self {
            FileChange::Write(offset, written) => {
                for (number, sector) in written.chunks(SECTOR).enumerate() {
                    if draw.next().is_multiple_of(2) {
                        FileChange::Write(offset + number * SECTOR, sector.to_vec()).apply(bytes);
                    }
                }
            }
            FileChange::Length(_) => {}
        }
    }
}

impl NameChange {
    fn apply(self, names: &mut BTreeMap<String, usize>) {
        match self {
            NameChange::Create(name, inode) => {
                names.insert(name, inode);
            }
            NameChange::Rename(from, to) => {
                if let Some(inode) = names.remove(&from) {
                    names.insert(to, inode);
                }
            }
            NameChange::Remove(name) => {
                names.remove(&name);
            }
        }
    }

    fn directory(&self) -> &str {
        let (NameChange::Create(name, _) | NameChange::Rename(name, _) | NameChange::Remove(name)) = self;
        name.rsplit_once('/').map_or("", |(directory, _)| directory)
    }
}

struct MachineDisk {
    machine: Machine,
    life: u64,
}

impl MachineDisk {
    fn rename_with(&self, change: NameChange) -> io::Result<()> {
        self.machine.change(self.life, |state| {
            change.clone().apply(&mut state.names);
            state.pending_names.push(change);
            Ok(())
        })
    }
}

impl Disk for MachineDisk {
    fn open(&self, path: &str, create: bool) -> io::Result<Arc<dyn DiskFile>> {
        let found = self.machine.with(self.life, |state| Ok(state.names.get(path).copied()))?;
        let inode = match found {
            Some(inode) => inode,
            None if !create => return Err(io::ErrorKind::NotFound.into()),
            None => self.machine.change(self.life, |state| {
                let inode = state.files.len();
                state.files.push(Inode::default());
                let change = NameChange::Create(path.to_owned(), inode);
                change.clone().apply(&mut state.names);
                state.pending_names.push(change);
                Ok(inode)
            })?,
        };
        Ok(Arc::new(MachineFile { machine: self.machine.clone(), life: self.life, inode }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.rename_with(NameChange::Rename(from.to_owned(), to.to_owned()))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.rename_with(NameChange::Remove(path.to_owned()))
    }

    fn create_directory(&self, path: &str) -> io::Result<()> {
        self.machine.with(self.life, |state| {
            state.directories.insert(path.to_owned());
            Ok(())
        })
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let prefix = format!("{path}/");
        self.machine.with(self.life, |state| {
            Ok(state.names.keys().filter_map(|name| name.strip_prefix(&prefix)).map(str::to_owned).collect())
        })
    }

    fn sync_directory(&self, path: &str) -> io::Result<()> {
        self.machine.change(self.life, |state| {
            let (synced, pending) =
                std::mem::take(&mut state.pending_names).into_iter().partition(|change| change.directory() == path);
            state.pending_names = pending;
            Vec::into_iter(synced).for_each(|change| change.apply(&mut state.durable_names));
            Ok(())
        })
    }

    fn space(&self) -> io::Result<DiskSpace> {
        self.machine.with(self.life, |state| {
            let available_bytes = state.capacity.saturating_sub(state.used());
            Ok(DiskSpace { capacity_bytes: state.capacity, available_bytes })
        })
    }

    fn lock(&self) -> io::Result<DiskLock> {
        self.machine.with(self.life, |state| {
            if std::mem::replace(&mut state.locked, true) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(DiskLock::new(Unlock { machine: self.machine.clone(), life: self.life }))
        })
    }
}

struct Unlock {
    machine: Machine,
    life: u64,
}

impl Drop for Unlock {
    fn drop(&mut self) {
        let _ = self.machine.with(self.life, |state| {
            state.locked = false;
            Ok(())
        });
    }
}

struct MachineFile {
    machine: Machine,
    life: u64,
    inode: usize,
}

impl MachineFile {
    fn change(&self, change: FileChange, end: usize) -> io::Result<()> {
        self.machine.change(self.life, |state| {
            state.check_room(self.inode, end)?;
            let file = &mut state.files[self.inode];
            change.apply(&mut file.bytes);
            file.pending.push(change);
            Ok(())
        })
    }
}

impl DiskFile for MachineFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.machine.with(self.life, |state| {
            let bytes = &state.files[self.inode].bytes;
            let from = bytes.len().min(offset as usize);
            let length = buffer.len().min(bytes.len() - from);
            buffer[..length].copy_from_slice(&bytes[from..from + length]);
            state.bytes_read += length as u64;
            Ok(length)
        })
    }

    fn write_at(&self, offset: u64, pieces: &[IoSlice<'_>]) -> io::Result<()> {
        if lock(&self.machine.0).refuse_writes {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut written = Vec::new();
        pieces.iter().for_each(|piece| written.extend_from_slice(piece));
        let end = offset as usize + written.len();
        self.change(FileChange::Write(offset as usize, written), end)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.machine.change(self.life, |state| {
            let file = &mut state.files[self.inode];
            let pending = std::mem::take(&mut file.pending);
            if state.fail_syncs {
                return Err(io::Error::other("the disk does not write"));
            }
            pending.iter().for_each(|change| change.apply(&mut file.durable));
            Ok(())
        })
    }

    fn allocate(&self, offset: u64, length: u64) -> io::Result<()> {
        let end = (offset + length) as usize;
        if (self.length()? as usize) < end { self.change(FileChange::Length(end), end) } else { Ok(()) }
    }

    fn length(&self) -> io::Result<u64> {
        self.machine.with(self.life, |state| Ok(state.files[self.inode].bytes.len() as u64))
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.change(FileChange::Length(length as usize), length as usize)
    }
}
