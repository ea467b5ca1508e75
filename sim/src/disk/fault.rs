//! Operations of the simulated disk that fail or do less than asked.
//!
//! After a failed fsync its pages count as clean, as on Linux: reads still see them, no later fsync makes them durable,
//! and the next power cut loses them, unless they are written again.

use super::SimDisk;
use super::pages::Damage;
use crate::random::{Random, Seed};
use std::io;

/// The faults of a disk that came about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskFaults {
    /// Fsyncs that failed.
    pub failed_syncs: u64,
    /// Reads that failed.
    pub failed_reads: u64,
    /// Reads that gave less than they could have.
    pub short_reads: u64,
    /// Pages of which a power cut left some sectors old and some new.
    pub torn_pages: u64,
    /// Pages whose latest content a power cut lost. Those of files whose names it lost do not count.
    pub lost_pages: u64,
}

/// What goes wrong, and what has.
pub(super) struct Faults {
    random: Random,
    failing_syncs: u32,
    failing_reads_ppm: u32,
    short_reads_ppm: u32,
    seen: DiskFaults,
}

impl Faults {
    pub fn new(seed: Seed) -> Faults {
        let seen = DiskFaults::default();
        Faults { random: seed.random(), failing_syncs: 0, failing_reads_ppm: 0, short_reads_ppm: 0, seen }
    }

    /// How many of `there` bytes one read gives: at least one of them.
    pub fn grant_read(&mut self, there: u64) -> io::Result<u64> {
        if self.random.chance(self.failing_reads_ppm) {
            self.seen.failed_reads += 1;
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        if there > 1 && self.random.chance(self.short_reads_ppm) {
            self.seen.short_reads += 1;
            return Ok(self.random.within(1..=there - 1));
        }
        Ok(there)
    }

    /// Whether an fsync succeeds.
    pub fn grant_sync(&mut self) -> io::Result<()> {
        if self.failing_syncs == 0 {
            return Ok(());
        }
        self.failing_syncs -= 1;
        self.seen.failed_syncs += 1;
        Err(io::Error::from_raw_os_error(libc::EIO))
    }

    pub fn count(&mut self, damage: Damage) {
        self.seen.torn_pages += damage.torn;
        self.seen.lost_pages += damage.lost;
    }
}

impl SimDisk {
    /// Lets the next fsyncs of file contents fail.
    pub fn fail_syncs(&self, count: u32) {
        self.state().faults.failing_syncs = count;
    }

    /// Lets so many of a million reads fail from now on, as of a medium with bad sectors.
    pub fn fail_reads(&self, ppm: u32) {
        self.state().faults.failing_reads_ppm = ppm;
    }

    /// Lets so many of a million reads give less than they could from now on, as a signal does. They are reads of the
    /// operating system: [`DiskFile::read_at`](dfs_actors::disk::DiskFile::read_at) repeats them, in production and here
    /// by the same function.
    pub fn set_short_reads(&self, ppm: u32) {
        self.state().faults.short_reads_ppm = ppm;
    }

    /// The faults that came about so far.
    #[must_use]
    pub fn faults(&self) -> DiskFaults {
        self.state().faults.seen
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{content, disk, write};
    use super::super::{Crash, DiskSettings};
    use super::*;

    #[test]
    fn short_reads_are_repeated_until_the_buffer_is_full() {
        let (disk, mount) = disk();
        let bytes: Vec<u8> = (0..20_000_u32).map(|number| (number / 7) as u8).collect();
        write(&mount.open("file", true).unwrap(), 0, &bytes);
        disk.set_short_reads(1_000_000);
        assert_eq!(content(&mount, "file").unwrap(), bytes);
        let seen = disk.faults().short_reads;
        assert!(seen > 1);
        let mut beyond = vec![0; 100];
        let file = mount.open("file", false).unwrap();
        assert_eq!(file.read_at(19_950, &mut beyond).unwrap(), 50);
        assert_eq!(beyond[..50], bytes[19_950..]);
        disk.set_short_reads(0);
        let seen = disk.faults().short_reads;
        content(&mount, "file").unwrap();
        assert_eq!(disk.faults().short_reads, seen);
    }

    #[test]
    fn reads_fail_as_often_as_asked_and_the_same_ones_each_time() {
        let fail = |seed| {
            let disk = SimDisk::seeded(DiskSettings::default(), Seed::new(seed));
            let file = disk.mount().open("file", true).unwrap();
            write(&file, 0, b"bytes");
            disk.fail_reads(100_000);
            let read = || file.read_at(0, &mut [0; 5]).map_err(|error| error.raw_os_error());
            let outcomes: Vec<_> = (0..1000).map(|_| read()).collect();
            let failed = outcomes.iter().filter(|outcome| **outcome == Err(Some(libc::EIO))).count() as u64;
            assert_eq!(disk.faults().failed_reads, failed);
            assert!((60..140).contains(&failed) && outcomes.iter().all(|read| *read == Ok(5) || read.is_err()));
            outcomes
        };
        assert_eq!(fail(1), fail(1));
        assert_ne!(fail(1), fail(2));
    }

    #[test]
    fn pages_that_a_power_cut_tears_or_loses_are_counted() {
        let mut seen = DiskFaults::default();
        for seed in 0..100 {
            let (disk, mount) = disk();
            let file = mount.open("file", true).unwrap();
            write(&file, 0, &[1; 32 * 4096]);
            file.sync_data().unwrap();
            mount.sync_directory("").unwrap();
            write(&file, 0, &[2; 32 * 4096]);
            disk.crash(Crash::Power, &mut Seed::new(seed).random());
            let after = content(&disk.mount(), "file").unwrap();
            let lost = |page: &&[u8]| page.iter().all(|byte| *byte == 1);
            let torn = |page: &&[u8]| page.contains(&1) && page.contains(&2);
            let faults = disk.faults();
            assert_eq!(faults.lost_pages, after.chunks(4096).filter(lost).count() as u64);
            assert_eq!(faults.torn_pages, after.chunks(4096).filter(torn).count() as u64);
            seen.lost_pages += faults.lost_pages;
            seen.torn_pages += faults.torn_pages;
        }
        assert!(seen.lost_pages > 1000 && seen.torn_pages > 200 && seen.lost_pages + seen.torn_pages < 2200);
    }

    #[test]
    fn a_fault_that_is_off_draws_nothing() {
        let outcomes = |quiet_reads: usize| {
            let (disk, mount) = disk();
            let file = mount.open("file", true).unwrap();
            write(&file, 0, &[1; 100]);
            let read = |count: usize| (0..count).map(|_| file.read_at(0, &mut [0; 9]).is_ok()).collect::<Vec<_>>();
            read(quiet_reads);
            drop(disk.live_copy());
            disk.fail_reads(500_000);
            read(50)
        };
        assert_eq!(outcomes(0), outcomes(33));
    }
}
