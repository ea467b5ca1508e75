//! A page of a file, which knows which of its bits have rotted.

use crate::random::Random;
use std::collections::BTreeSet;

/// What space is counted in, in bytes.
pub(super) const PAGE_BYTES: u64 = 4096;

/// What a disk writes whole or not at all, in bytes.
const SECTOR_BYTES: usize = 512;

/// The content of what was never written.
pub(super) static ZEROES: Page = Page { bytes: [0; PAGE_BYTES as usize], rotten: BTreeSet::new() };

/// A page.
#[derive(Clone)]
pub(super) struct Page {
    bytes: [u8; PAGE_BYTES as usize],
    /// The bits that are not as they were written: byte and bit.
    rotten: BTreeSet<(usize, u8)>,
}

impl Page {
    pub fn bytes(&self) -> &[u8; PAGE_BYTES as usize] {
        &self.bytes
    }

    /// Writes bytes; what had rotted of them is whole again.
    pub fn write(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        self.rotten.retain(|(byte, _)| !(at..at + bytes.len()).contains(byte));
    }

    /// Zeroes everything from `at` on.
    pub fn clear_from(&mut self, at: usize) {
        self.write(at, &ZEROES.bytes[at..]);
    }

    pub fn is_rotten(&self) -> bool {
        !self.rotten.is_empty()
    }

    /// The bits that have rotted: byte and bit.
    pub fn rotten(&self) -> impl Iterator<Item = (usize, u8)> {
        self.rotten.iter().copied()
    }

    /// Flips a bit. Flipped twice, it is as it was.
    pub fn flip(&mut self, byte: usize, bit: u8) {
        self.bytes[byte] ^= 1 << bit;
        if !self.rotten.remove(&(byte, bit)) {
            self.rotten.insert((byte, bit));
        }
    }

    /// Makes every bit what it was written as.
    pub fn heal(&mut self) {
        for (byte, bit) in std::mem::take(&mut self.rotten) {
            self.bytes[byte] ^= 1 << bit;
        }
    }

    /// This page, torn: some of its sectors are those of `new`.
    pub fn torn(&self, new: &Page, random: &mut Random) -> Page {
        let mut mixed = self.clone();
        for start in (0..self.bytes.len()).step_by(SECTOR_BYTES) {
            if random.chance(500_000) {
                let sector = start..start + SECTOR_BYTES;
                mixed.write(start, &new.bytes[sector.clone()]);
                mixed.rotten.extend(new.rotten().filter(|(byte, _)| sector.contains(byte)));
            }
        }
        mixed
    }
}
