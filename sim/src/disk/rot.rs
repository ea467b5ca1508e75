//! Bits that flip on the medium.
//!
//! A flip is seen by every read and survives every crash, until its byte is written again (and synced), or its file is
//! cut or removed.

use super::page::{PAGE_BYTES, ZEROES};
use super::pages::Pages;
use super::{SimDisk, lock};
use crate::random::Random;
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

/// One flipped bit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rot {
    /// Its file.
    pub path: String,
    /// Its byte.
    pub offset: u64,
    /// Its place in that byte; 0 is the lowest.
    pub bit: u8,
}

impl SimDisk {
    /// Flips one bit of a file's content: every later read sees it. Flipped twice, it is as it was.
    ///
    /// # Errors
    /// The file is not there, or has no such byte.
    pub fn flip_bit(&self, path: &str, offset: u64, bit: u8) -> io::Result<()> {
        let pages = self.state().names.file(path)?;
        lock(&pages).flip_bit(offset, bit % 8)
    }

    /// Flips up to `bits` random bits of what is synced and not changed since, in the files whose paths start with
    /// `prefix`. Pages that hold only zeroes are spared: nothing is in them. Fewer are flipped if there is little to
    /// flip.
    pub fn rot(&self, prefix: &str, random: &mut Random, bits: u32) -> Vec<Rot> {
        let state = self.state();
        let files: Vec<_> = state.names.paths().filter(|(path, _)| path.starts_with(prefix)).collect();
        let mut pages: Vec<(usize, u64)> = files
            .iter()
            .enumerate()
            .flat_map(|(place, (_, file))| lock(file).settled().into_iter().map(move |number| (place, number)))
            .collect();
        let mut flips = Vec::new();
        while flips.len() < bits as usize && !pages.is_empty() {
            let drawn = random.within(0..=pages.len() as u64 - 1) as usize;
            let (place, number) = pages[drawn];
            let (path, file) = files[place];
            let mut file = lock(file);
            if file.is_zero(number) {
                pages.swap_remove(drawn);
                continue;
            }
            let bytes = (file.durable_length() - number * PAGE_BYTES).min(PAGE_BYTES);
            let offset = number * PAGE_BYTES + random.within(0..=bytes - 1);
            let bit = random.within(0..=7) as u8;
            if file.rotten().contains(&(offset, bit)) {
                // Twice is not at all. A page that is full of rot must not be drawn for ever.
                pages.swap_remove(drawn);
            } else if file.flip_bit(offset, bit).is_ok() {
                flips.push(Rot { path: path.to_owned(), offset, bit });
            }
        }
        flips
    }

    /// The flips that a read may see, now or after a power cut, in order. Those of removed files are left out, though a
    /// power cut may undo the removal.
    #[must_use]
    pub fn rotten(&self) -> Vec<Rot> {
        let state = self.state();
        let files = state.names.paths().map(|(path, file)| (path, lock(file).rotten()));
        files
            .flat_map(|(path, bits)| bits.into_iter().map(|(offset, bit)| Rot { path: path.to_owned(), offset, bit }))
            .collect()
    }
}

impl Pages {
    /// Flips a bit of what was written and of what was synced.
    fn flip_bit(&mut self, offset: u64, bit: u8) -> io::Result<()> {
        if offset >= self.length() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (number, within) = (offset / PAGE_BYTES, (offset % PAGE_BYTES) as usize);
        let settled = self.is_settled(number);
        self.written.get_or_insert(number).flip(within, bit);
        match self.written.get(number) {
            Some(page) if settled => self.synced.insert(number, page.clone()),
            _ => self.synced.get_or_insert(number).flip(within, bit),
        }
        self.rotten.insert(number);
        Ok(())
    }

    /// The bits that have rotted, of what was written and of what was synced: byte and bit.
    fn rotten(&self) -> BTreeSet<(u64, u8)> {
        let pages = self.written.iter().chain(self.synced.iter());
        let rotten = pages.filter(|(_, page)| page.is_rotten());
        rotten
            .flat_map(|(number, page)| page.rotten().map(move |(byte, bit)| (number * PAGE_BYTES + byte as u64, bit)))
            .collect()
    }

    /// Makes every bit what it was written as.
    pub(super) fn heal(&mut self) {
        for number in std::mem::take(&mut self.rotten) {
            for pages in [&mut self.written, &mut self.synced] {
                if pages.get(number).is_some_and(|page| page.is_rotten()) {
                    pages.get_or_insert(number).heal();
                }
            }
        }
    }

    /// The pages that were synced and not written since, as far as they are part of the file either way.
    fn settled(&self) -> Vec<u64> {
        let end = self.durable_length().div_ceil(PAGE_BYTES);
        self.written.range(0..end).map(|(number, _)| number).filter(|number| self.is_settled(*number)).collect()
    }

    /// Pages share their content from a sync until the next write.
    fn is_settled(&self, number: u64) -> bool {
        match (self.written.get(number), self.synced.get(number)) {
            (Some(written), Some(synced)) => Arc::ptr_eq(written, synced),
            (written, synced) => written.is_none() && synced.is_none(),
        }
    }

    fn is_zero(&self, number: u64) -> bool {
        self.written.get(number).is_none_or(|page| page.bytes() == ZEROES.bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{content, disk, write};
    use super::super::{Crash, Disk};
    use super::*;
    use crate::random::Seed;

    /// A disk with a synced file of ones and zeroes, one page each, its like under another prefix, and files of which
    /// nothing was synced, or all was changed since.
    fn prepared() -> (SimDisk, Arc<dyn Disk>) {
        let (disk, mount) = disk();
        for directory in ["segments", "other"] {
            mount.create_directory(directory).unwrap();
        }
        for path in ["segments/1", "other/1", "segments/2", "segments/3"] {
            let file = mount.open(path, true).unwrap();
            write(&file, 0, &[0xff; 4096]);
            write(&file, 4096, &[0; 4096]);
            write(&file, 8192, &[0xff; 10]);
            if path != "segments/2" {
                file.sync_data().unwrap();
            }
            if path == "segments/3" {
                write(&file, 0, &[0xaa; 8202]);
            }
        }
        ["", "segments", "other"].iter().for_each(|directory| mount.sync_directory(directory).unwrap());
        (disk, mount)
    }

    #[test]
    fn rot_flips_bits_of_what_is_synced_under_its_prefix() {
        let (disk, mount) = prepared();
        let before = content(&mount, "segments/1").unwrap();
        let mut flips = disk.rot("segments/", &mut Seed::new(1).random(), 50);
        assert_eq!(flips.len(), 50);
        let mut expected = before.clone();
        for Rot { path, offset, bit } in &flips {
            assert_eq!(path, "segments/1");
            expected[*offset as usize] ^= 1 << bit;
        }
        assert_eq!(content(&mount, "segments/1").unwrap(), expected);
        assert!(flips.iter().all(|flip| flip.offset < 4096 || flip.offset >= 8192), "zeroes are spared");
        assert!(flips.iter().any(|flip| flip.offset >= 8192));
        flips.sort();
        assert_eq!(disk.rotten(), flips);
        disk.crash(Crash::Power, &mut Seed::new(1).random());
        assert_eq!((content(&disk.mount(), "segments/1").unwrap(), disk.rotten()), (expected, flips));
        assert!(disk.rot("nowhere", &mut Seed::new(1).random(), 1).is_empty());
        let same = |seed| prepared().0.rot("", &mut Seed::new(seed).random(), 20);
        assert_eq!(same(7), same(7));
    }

    #[test]
    fn a_flip_is_forgotten_when_its_byte_is_written_and_synced_or_its_file_goes() {
        let (disk, mount) = prepared();
        let file = mount.open("segments/1", false).unwrap();
        for offset in [5, 8193] {
            disk.flip_bit("segments/1", offset, 3).unwrap();
        }
        disk.flip_bit("other/1", 7, 0).unwrap();
        write(&file, 5, &[0xff]);
        assert_eq!(disk.rotten().len(), 3, "a power cut may still bring it back");
        file.sync_data().unwrap();
        let offsets = |disk: &SimDisk| disk.rotten().iter().map(|flip| flip.offset).collect::<Vec<_>>();
        assert_eq!(offsets(&disk), [7, 8193]);
        file.set_length(8193).unwrap();
        file.sync_data().unwrap();
        assert_eq!(offsets(&disk), [7]);
        mount.rename("other/1", "other/2").unwrap();
        assert_eq!(disk.rotten()[0].path, "other/2");
        mount.remove("other/2").unwrap();
        assert!(disk.rotten().is_empty());
        disk.flip_bit("segments/1", 0, 0).unwrap();
        disk.flip_bit("segments/1", 0, 0).unwrap();
        assert!(disk.rotten().is_empty(), "flipped twice");
    }

    #[test]
    fn rot_that_was_written_over_comes_back_with_a_power_cut() {
        let outcomes: BTreeSet<_> = (0..100)
            .map(|seed| {
                let (disk, mount) = prepared();
                disk.flip_bit("segments/1", 5, 3).unwrap();
                write(&mount.open("segments/1", false).unwrap(), 0, &[0xff; 10]);
                disk.crash(Crash::Power, &mut Seed::new(seed).random());
                let bytes = content(&disk.mount(), "segments/1").unwrap();
                assert_eq!(bytes[5] == 0xff, disk.rotten().is_empty());
                bytes[5]
            })
            .collect();
        assert_eq!(outcomes.len(), 2);
    }

    #[test]
    fn rot_of_what_was_not_synced_is_known_however_a_power_cut_tears_it() {
        for seed in 0..100 {
            let (disk, _mount) = prepared();
            disk.flip_bit("segments/3", 5, 3).unwrap();
            disk.crash(Crash::Power, &mut Seed::new(seed).random());
            let byte = content(&disk.mount(), "segments/3").unwrap()[5];
            assert!([0xff ^ 8, 0xaa ^ 8].contains(&byte) && disk.rotten().len() == 1, "{byte:#x}");
        }
    }

    #[test]
    fn rot_ends_when_there_is_nothing_left_to_flip() {
        let (disk, mount) = disk();
        let file = mount.open("file", true).unwrap();
        write(&file, 0, &[1]);
        file.sync_data().unwrap();
        let flips = disk.rot("", &mut Seed::new(1).random(), 100);
        assert!(!flips.is_empty() && flips.len() <= 8);
    }
}
