//! An open file of the simulated disk.

use super::page::PAGE_BYTES;
use super::pages::Pages;
use super::{SimDisk, lock};
use dfs_actors::disk::{DiskFile, read_full};
use std::io;
use std::sync::{Arc, Mutex};

/// A handle of one life of the machine.
pub(super) struct SimFile {
    pub(super) disk: SimDisk,
    pub(super) life: u64,
    pub(super) pages: Arc<Mutex<Pages>>,
}

impl SimFile {
    /// Takes the space for a range, as far as it is not the file's already.
    fn occupy(&self, offset: u64, length: u64) -> io::Result<()> {
        let state = self.disk.alive(self.life)?;
        let missing = lock(&self.pages).unoccupied_pages(offset, length);
        if missing > 0 && missing.saturating_mul(PAGE_BYTES) > state.available_bytes() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        lock(&self.pages).occupy(offset, length);
        Ok(())
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.disk.alive(self.life)?;
        let pages = lock(&self.pages);
        read_full(offset, buffer, |offset, buffer| {
            let there = pages.length().saturating_sub(offset).min(buffer.len() as u64);
            let granted = state.faults.grant_read(there)?;
            Ok(pages.read(offset, &mut buffer[..granted as usize]))
        })
    }

    fn write_at(&self, offset: u64, pieces: &[io::IoSlice<'_>]) -> io::Result<()> {
        let length: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
        self.occupy(offset, length)?;
        let mut pages = lock(&self.pages);
        pieces.iter().fold(offset, |at, piece| {
            pages.write(at, piece);
            at + piece.len() as u64
        });
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.alive(self.life)?;
        let outcome = state.faults.grant_sync();
        let mut pages = lock(&self.pages);
        match outcome {
            Ok(()) => pages.sync(),
            Err(_) => pages.forget_dirty(),
        }
        outcome
    }

    fn allocate(&self, offset: u64, length: u64) -> io::Result<()> {
        self.occupy(offset, length)?;
        lock(&self.pages).grow(offset + length);
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        let _state = self.disk.alive(self.life)?;
        Ok(lock(&self.pages).length())
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        let _state = self.disk.alive(self.life)?;
        lock(&self.pages).set_length(length);
        Ok(())
    }
}
