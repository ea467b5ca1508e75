//! The simulated disk: a data directory that survives the crashes of its machine, but for what was not synced.
//!
//! Contents are kept as written and as synced, page by page; names as they are and as their directories were synced. A
//! power cut keeps, loses or tears each unsynced page, and keeps, per directory, some first part of its unsynced name
//! changes. The end of a process loses nothing. Either way whoever had the disk mounted is fenced: its handles only
//! fail.
//!
//! Faults on demand, one file each: operations that fail or do less than asked (`fault`), bits that rot (`rot`); and
//! less space. Copies of what a disk holds are in `copy`.

mod copy;
mod durable;
mod fault;
mod file;
mod names;
mod page;
mod page_map;
mod pages;
mod rot;

pub use copy::DiskSnapshot;
pub use durable::{DurableDisk, DurableFile, Seen};
pub use fault::DiskFaults;
pub use rot::Rot;

use crate::random::{Random, Seed};
use dfs_actors::disk::{Disk, DiskFile, DiskLock, DiskSpace};
use fault::Faults;
use file::SimFile;
use names::Names;
use page::PAGE_BYTES;
use pages::Pages;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How a machine stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// Its process ends at once, as by SIGKILL; the operating system lives on and keeps what was written.
    Process,
    /// Its power is cut: what was not synced is lost, torn or kept.
    Power,
}

/// What a disk is like.
#[derive(Clone, Copy, Debug)]
pub struct DiskSettings {
    /// How much it holds.
    pub capacity_bytes: u64,
}

impl Default for DiskSettings {
    fn default() -> DiskSettings {
        DiskSettings { capacity_bytes: 64 * 1024 * 1024 * 1024 }
    }
}

/// The disk. Clones are the same disk.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<State>>);

struct State {
    /// Rises with each crash; handles of an earlier life only fail.
    life: u64,
    locked: bool,
    capacity_bytes: u64,
    faults: Faults,
    names: Names,
}

impl SimDisk {
    /// An empty disk, with the same faults as any other that is made so.
    #[must_use]
    pub fn new(settings: DiskSettings) -> SimDisk {
        SimDisk::seeded(settings, Seed::new(0))
    }

    /// An empty disk that draws its faults from `seed`.
    #[must_use]
    pub fn seeded(settings: DiskSettings, seed: Seed) -> SimDisk {
        SimDisk::with_names(settings.capacity_bytes, seed, Names::default())
    }

    fn with_names(capacity_bytes: u64, seed: Seed, names: Names) -> SimDisk {
        let state = State { life: 0, locked: false, capacity_bytes, faults: Faults::new(seed), names };
        SimDisk(Arc::new(Mutex::new(state)))
    }

    /// The data directory, for the present life of its machine.
    #[must_use]
    pub fn mount(&self) -> Arc<dyn Disk> {
        Arc::new(Mount { life: self.state().life, disk: self.clone() })
    }

    /// Fences whoever has it mounted, and with a power cut loses what was not synced.
    pub fn crash(&self, crash: Crash, random: &mut Random) {
        let mut state = self.state();
        state.life += 1;
        state.locked = false;
        if crash == Crash::Power {
            state.names.lose_power(random);
            for pages in state.names.files() {
                let damage = lock(&pages).lose_power(random);
                state.faults.count(damage);
            }
        }
    }

    /// Changes how much it holds. Less than is used makes it full.
    pub fn set_capacity(&self, bytes: u64) {
        self.state().capacity_bytes = bytes;
    }

    /// The files that are there, by path, with their lengths in bytes.
    #[must_use]
    pub fn files(&self) -> Vec<(String, u64)> {
        let state = self.state();
        state.names.paths().map(|(path, pages)| (path.to_owned(), lock(pages).length())).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, for a handle of the given life.
    fn alive(&self, life: u64) -> io::Result<MutexGuard<'_, State>> {
        let state = self.state();
        if state.life == life { Ok(state) } else { Err(io::Error::other("the machine of this disk was stopped")) }
    }
}

impl State {
    fn available_bytes(&self) -> u64 {
        let used: u64 = self.names.files().iter().map(|pages| lock(pages).occupied_pages() * PAGE_BYTES).sum();
        self.capacity_bytes.saturating_sub(used)
    }
}

fn lock(pages: &Mutex<Pages>) -> MutexGuard<'_, Pages> {
    pages.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A disk within one life of its machine.
#[derive(Clone)]
struct Mount {
    disk: SimDisk,
    life: u64,
}

impl Disk for Mount {
    fn open(&self, path: &str, create: bool) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.disk.alive(self.life)?;
        let pages = match state.names.file(path) {
            Err(error) if create && error.kind() == io::ErrorKind::NotFound => state.names.create_file(path)?,
            other => other?,
        };
        Ok(Arc::new(SimFile { disk: self.disk.clone(), life: self.life, pages }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.alive(self.life)?.names.rename(from, to)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.disk.alive(self.life)?.names.remove(path)
    }

    fn create_directory(&self, path: &str) -> io::Result<()> {
        self.disk.alive(self.life)?.names.create_directory(path)
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        self.disk.alive(self.life)?.names.list(path)
    }

    fn sync_directory(&self, path: &str) -> io::Result<()> {
        self.disk.alive(self.life)?.names.sync(path)
    }

    fn space(&self) -> io::Result<DiskSpace> {
        let state = self.disk.alive(self.life)?;
        Ok(DiskSpace { capacity_bytes: state.capacity_bytes, available_bytes: state.available_bytes() })
    }

    fn lock(&self) -> io::Result<DiskLock> {
        let mut state = self.disk.alive(self.life)?;
        if std::mem::replace(&mut state.locked, true) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(DiskLock::new(Locked(self.clone())))
    }
}

/// Gives the data directory back, unless its life is over.
struct Locked(Mount);

impl Drop for Locked {
    fn drop(&mut self) {
        if let Ok(mut state) = self.0.disk.alive(self.0.life) {
            state.locked = false;
        }
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimDisk")
    }
}

#[cfg(test)]
mod tests;
