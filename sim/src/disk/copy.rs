//! Copies of what a disk holds. None of them draws randomness or changes the original; pages are shared until one side
//! writes.

use super::SimDisk;
use super::pages::Pages;
use crate::random::Seed;
use std::fmt;

/// What was durable on a disk at some moment, rot included.
#[derive(Clone)]
pub struct DiskSnapshot(SimDisk);

impl SimDisk {
    /// What is durable now: what every power cut would leave.
    #[must_use]
    pub fn snapshot(&self) -> DiskSnapshot {
        DiskSnapshot(self.durable_copy(false))
    }

    /// Becomes what a disk once was. Whoever has it mounted is fenced.
    pub fn restore(&self, snapshot: &DiskSnapshot) {
        let names = snapshot.0.state().names.durable(Pages::durable);
        let mut state = self.state();
        state.life += 1;
        state.locked = false;
        state.names = names;
    }

    /// Loses everything that it holds. Whoever has it mounted is fenced.
    pub fn wipe(&self) {
        self.restore(&DiskSnapshot(SimDisk::new(super::DiskSettings::default())));
    }

    /// A disk of its own with what is durable here, without faults and, if asked for, with every flipped bit put
    /// right.
    #[must_use]
    pub fn durable_copy(&self, without_rot: bool) -> SimDisk {
        let state = self.state();
        let names = state.names.durable(|file| {
            let mut copy = file.durable();
            if without_rot {
                copy.heal();
            }
            copy
        });
        SimDisk::with_names(state.capacity_bytes, Seed::new(0), names)
    }

    /// A disk of its own with everything that is written here, all of it synced, without faults.
    #[must_use]
    pub fn live_copy(&self) -> SimDisk {
        let state = self.state();
        SimDisk::with_names(state.capacity_bytes, Seed::new(0), state.names.live(Pages::live))
    }
}

impl fmt::Debug for DiskSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DiskSnapshot")
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{content, disk, write};
    use super::super::{Crash, Disk};
    use super::*;
    use std::sync::Arc;

    /// A disk with a synced file, changed since, a file whose name is not synced, and a name in a directory that is
    /// not.
    fn prepared() -> (SimDisk, Arc<dyn Disk>) {
        let (disk, mount) = disk();
        let file = mount.open("file", true).unwrap();
        write(&file, 0, &[1; 8192]);
        file.sync_data().unwrap();
        mount.sync_directory("").unwrap();
        write(&file, 4096, &[2; 8192]);
        mount.create_directory("new").unwrap();
        for path in ["nameless", "new/file"] {
            mount.open(path, true).unwrap().sync_data().unwrap();
        }
        mount.sync_directory("new").unwrap();
        (disk, mount)
    }

    #[test]
    fn a_durable_copy_has_what_every_power_cut_leaves() {
        let (disk, mount) = prepared();
        let copy = disk.durable_copy(false);
        assert_eq!(copy.files(), [("file".to_owned(), 8192)]);
        assert_eq!(content(&copy.mount(), "file").unwrap(), [1; 8192]);
        assert_eq!(copy.mount().list("").unwrap(), ["file"]);
        // It is a disk of its own, and the original is as it was.
        write(&copy.mount().open("file", false).unwrap(), 0, &[9; 9]);
        assert_eq!(content(&mount, "file").unwrap(), [vec![1; 4096], vec![2; 8192]].concat());
        write(&mount.open("file", false).unwrap(), 0, &[8; 10]);
        assert_eq!(content(&copy.mount(), "file").unwrap()[..10], [9, 9, 9, 9, 9, 9, 9, 9, 9, 1]);
    }

    #[test]
    fn a_live_copy_has_what_reads_see_and_all_of_it_lasts() {
        let (disk, mount) = prepared();
        let _guard = mount.lock().unwrap();
        let copy = disk.live_copy();
        let names = ["file", "nameless", "new/file"];
        copy.mount().lock().expect("a copy is not locked");
        for seed in 0..20 {
            copy.crash(Crash::Power, &mut Seed::new(seed).random());
            assert_eq!(copy.files().into_iter().map(|(name, _)| name).collect::<Vec<_>>(), names);
            assert_eq!(content(&copy.mount(), "file"), content(&mount, "file"));
        }
    }

    #[test]
    fn copying_changes_nothing_for_a_later_power_cut() {
        let outcome = |copied: bool| {
            let (disk, _mount) = prepared();
            if copied {
                drop((disk.durable_copy(true), disk.live_copy(), disk.snapshot()));
            }
            disk.crash(Crash::Power, &mut Seed::new(3).random());
            (disk.files(), content(&disk.mount(), "file"))
        };
        assert_eq!(outcome(false), outcome(true));
    }

    #[test]
    fn a_copy_without_rot_is_whole_and_the_original_stays_rotten() {
        let (disk, mount) = disk();
        let file = mount.open("file", true).unwrap();
        write(&file, 0, &[1; 10]);
        file.sync_data().unwrap();
        mount.sync_directory("").unwrap();
        disk.flip_bit("file", 3, 7).unwrap();
        let (whole, rotten) = (disk.durable_copy(true), disk.durable_copy(false));
        assert_eq!(content(&whole.mount(), "file").unwrap(), [1; 10]);
        assert!(whole.rotten().is_empty());
        assert_eq!(content(&rotten.mount(), "file").unwrap()[3], 0x81);
        assert_eq!(rotten.rotten(), disk.rotten());
        assert_eq!(content(&mount, "file").unwrap()[3], 0x81);
    }

    #[test]
    fn a_disk_becomes_what_it_was_or_nothing() {
        let (disk, mount) = prepared();
        let snapshot = disk.snapshot();
        write(&mount.open("file", false).unwrap(), 0, &[7; 4096]);
        mount.open("file", false).unwrap().sync_data().unwrap();
        mount.sync_directory("").unwrap();
        disk.crash(Crash::Power, &mut Seed::new(1).random());
        let mut guards = Vec::new();
        for _ in 0..2 {
            disk.restore(&snapshot);
            let mount = disk.mount();
            assert_eq!(content(&mount, "file").unwrap(), [1; 8192]);
            assert_eq!(disk.files().len(), 1);
            let file = mount.open("file", false).unwrap();
            write(&file, 0, &[5; 5]);
            file.sync_data().unwrap();
            guards.push(mount.lock().expect("a restored disk is not locked"));
        }
        let mount = disk.mount();
        let whole = mount.space().unwrap().capacity_bytes;
        disk.wipe();
        assert!(mount.open("file", true).is_err(), "whoever had it mounted is fenced");
        assert!(disk.files().is_empty());
        let space = disk.mount().space().unwrap();
        assert_eq!((space.capacity_bytes, space.available_bytes), (whole, whole));
    }
}
