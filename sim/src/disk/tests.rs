use super::*;
use crate::random::Seed;
use std::collections::BTreeSet;

pub(super) fn disk() -> (SimDisk, Arc<dyn Disk>) {
    let disk = SimDisk::new(DiskSettings { capacity_bytes: 1024 * 1024 });
    let mount = disk.mount();
    (disk, mount)
}

pub(super) fn write(file: &Arc<dyn DiskFile>, offset: u64, bytes: &[u8]) {
    file.write_at(offset, &[io::IoSlice::new(bytes)]).unwrap();
}

pub(super) fn content(disk: &Arc<dyn Disk>, path: &str) -> Option<Vec<u8>> {
    let file = disk.open(path, false).ok()?;
    let mut bytes = vec![0; file.length().unwrap() as usize];
    assert_eq!(file.read_at(0, &mut bytes).unwrap(), bytes.len());
    Some(bytes)
}

/// What a file may hold after a power cut, over many seeds, when `prepare` left it as it is.
fn outcomes(prepare: impl Fn(&Arc<dyn Disk>)) -> BTreeSet<Option<Vec<u8>>> {
    (0..200)
        .map(|seed| {
            let (disk, mount) = disk();
            prepare(&mount);
            disk.crash(Crash::Power, &mut Seed::new(seed).random());
            content(&disk.mount(), "file")
        })
        .collect()
}

#[test]
fn what_was_synced_survives_a_power_cut() {
    let found = outcomes(|disk| {
        let file = disk.open("file", true).unwrap();
        write(&file, 0, b"durable");
        file.sync_data().unwrap();
        disk.sync_directory("").unwrap();
    });
    assert_eq!(found, BTreeSet::from([Some(b"durable".to_vec())]));
}

#[test]
fn what_was_not_synced_may_be_lost_or_kept_or_torn() {
    let (old, new) = (vec![1; 8192], vec![2; 8192]);
    let found = outcomes(|disk| {
        let file = disk.open("file", true).unwrap();
        write(&file, 0, &[1; 8192]);
        file.sync_data().unwrap();
        disk.sync_directory("").unwrap();
        write(&file, 0, &[2; 8192]);
    });
    assert!(found.contains(&Some(old)) && found.contains(&Some(new)));
    let halves = |bytes: &Vec<u8>| bytes[..4096].iter().all(|byte| *byte == bytes[0]);
    assert!(found.iter().flatten().any(|bytes| halves(bytes) && bytes[0] != bytes[8191]), "one page of two");
    assert!(found.iter().flatten().any(|bytes| !halves(bytes)), "a torn page");
    assert!(found.iter().flatten().all(|bytes| bytes.chunks(512).all(|sector| sector.iter().all(|b| *b == sector[0]))));
}

#[test]
fn a_length_that_was_not_synced_may_be_lost() {
    let found = outcomes(|disk| {
        let file = disk.open("file", true).unwrap();
        disk.sync_directory("").unwrap();
        write(&file, 0, b"new");
    });
    assert!(found.contains(&Some(Vec::new())));
    assert!(found.contains(&Some(b"new".to_vec())));
    assert!(!found.contains(&None));
}

#[test]
fn a_name_is_durable_only_with_its_directory() {
    let found = outcomes(|disk| {
        let file = disk.open("file", true).unwrap();
        write(&file, 0, b"x");
        file.sync_data().unwrap();
    });
    assert_eq!(found, BTreeSet::from([None, Some(b"x".to_vec())]));
}

#[test]
fn a_rename_shows_the_old_or_the_new_file() {
    let found = outcomes(|disk| {
        for (path, bytes) in [("file", b"old"), ("temporary", b"new")] {
            let file = disk.open(path, true).unwrap();
            write(&file, 0, bytes);
            file.sync_data().unwrap();
        }
        disk.sync_directory("").unwrap();
        disk.rename("temporary", "file").unwrap();
    });
    assert_eq!(found, BTreeSet::from([Some(b"old".to_vec()), Some(b"new".to_vec())]));
}

#[test]
fn the_end_of_a_process_loses_nothing_but_its_handles() {
    let (disk, mount) = disk();
    let guard = mount.lock().unwrap();
    assert_eq!(mount.lock().err().unwrap().kind(), io::ErrorKind::WouldBlock);
    let file = mount.open("file", true).unwrap();
    write(&file, 5, b"kept");
    disk.crash(Crash::Process, &mut Seed::new(1).random());
    assert!(file.write_at(0, &[io::IoSlice::new(b"from the grave")]).is_err());
    assert!(mount.open("late", true).is_err());
    let again = disk.mount();
    let _second = again.lock().unwrap();
    drop(guard);
    assert!(again.lock().is_err(), "the guard of an earlier life unlocks nothing");
    assert_eq!(content(&again, "file").unwrap(), b"\0\0\0\0\0kept");
    // It was never synced, so a later power cut still takes it.
    let lost = (0..50).any(|seed| {
        let (disk, mount) = super::tests::disk();
        mount.open("file", true).unwrap();
        disk.crash(Crash::Process, &mut Seed::new(seed).random());
        disk.crash(Crash::Power, &mut Seed::new(seed).random());
        content(&disk.mount(), "file").is_none()
    });
    assert!(lost);
}

#[test]
fn a_failed_fsync_loses_its_pages_even_if_the_next_succeeds() {
    let (disk, mount) = disk();
    let file = mount.open("file", true).unwrap();
    mount.sync_directory("").unwrap();
    write(&file, 0, b"lost");
    disk.fail_syncs(1);
    assert!(file.sync_data().is_err());
    file.sync_data().unwrap();
    assert_eq!(content(&mount, "file").unwrap(), b"lost");
    disk.crash(Crash::Power, &mut Seed::new(1).random());
    assert!(!content(&disk.mount(), "file").unwrap().starts_with(b"lost"));
}

#[test]
fn what_a_failed_fsync_lost_is_durable_only_if_it_is_written_again() {
    let (disk, mount) = disk();
    let file = mount.open("file", true).unwrap();
    mount.sync_directory("").unwrap();
    write(&file, 0, &[1; 8192]);
    disk.fail_syncs(1);
    assert!(file.sync_data().is_err());
    // Another page and the length with it, but not the first page.
    write(&file, 4096, &[2; 8192]);
    file.sync_data().unwrap();
    let all = [vec![1; 4096], vec![2; 8192]].concat();
    assert_eq!(content(&mount, "file").unwrap(), all, "the page cache has it");
    disk.crash(Crash::Process, &mut Seed::new(1).random());
    assert_eq!(content(&disk.mount(), "file").unwrap(), all, "the page cache outlives the process");
    disk.mount().open("file", false).unwrap().sync_data().unwrap();
    for seed in 0..20 {
        let copy = [vec![0; 4096], vec![2; 8192]].concat();
        assert_eq!(content(&disk.durable_copy(false).mount(), "file").unwrap(), copy);
        disk.crash(Crash::Power, &mut Seed::new(seed).random());
        assert_eq!(content(&disk.mount(), "file").unwrap(), copy);
    }
    assert_eq!(disk.faults(), DiskFaults { failed_syncs: 1, lost_pages: 1, ..DiskFaults::default() });
}

#[test]
fn a_length_that_a_failed_fsync_lost_comes_with_the_same_bytes_written_again() {
    let (disk, mount) = disk();
    let file = mount.open("file", true).unwrap();
    mount.sync_directory("").unwrap();
    write(&file, 0, b"bytes");
    disk.fail_syncs(1);
    assert!(file.sync_data().is_err());
    file.sync_data().unwrap();
    assert_eq!(content(&disk.durable_copy(false).mount(), "file").unwrap(), b"");
    write(&file, 0, b"bytes");
    file.sync_data().unwrap();
    assert_eq!(content(&disk.durable_copy(false).mount(), "file").unwrap(), b"bytes");
}

#[test]
fn space_is_taken_by_writes_and_reservations_once() {
    let (disk, mount) = disk();
    let available = || mount.space().unwrap().available_bytes;
    let file = mount.open("file", true).unwrap();
    file.allocate(0, 512 * 1024).unwrap();
    assert_eq!((available(), file.length().unwrap()), (512 * 1024, 512 * 1024));
    write(&file, 100, &[1; 100_000]);
    assert_eq!(available(), 512 * 1024);
    write(&file, 512 * 1024, &[1]);
    assert_eq!(available(), 508 * 1024);
    let other = mount.open("other", true).unwrap();
    assert_eq!(other.allocate(0, 509 * 1024).unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(other.length().unwrap(), 0);
    file.set_length(4097).unwrap();
    assert_eq!(available(), 1016 * 1024);
    mount.remove("file").unwrap();
    assert_eq!(available(), 1024 * 1024);
    disk.set_capacity(0);
    assert!(other.write_at(0, &[io::IoSlice::new(b"x")]).is_err());
}

#[test]
fn a_cut_file_grows_again_with_zeroes() {
    let (_, mount) = disk();
    let file = mount.open("file", true).unwrap();
    write(&file, 0, &[7; 10_000]);
    file.set_length(5).unwrap();
    file.set_length(10_000).unwrap();
    let bytes = content(&mount, "file").unwrap();
    assert!(bytes[..5].iter().all(|byte| *byte == 7) && bytes[5..].iter().all(|byte| *byte == 0));
}

#[test]
fn directories_hold_sorted_names() {
    let (_, mount) = disk();
    mount.create_directory("a/b").unwrap();
    mount.create_directory("a/b").unwrap();
    for path in ["a/z", "a/c", "top"] {
        mount.open(path, true).unwrap();
    }
    assert_eq!(mount.list("").unwrap(), ["a", "top"]);
    assert_eq!(mount.list("a").unwrap(), ["b", "c", "z"]);
    assert_eq!(mount.open("missing/file", true).err().unwrap().kind(), io::ErrorKind::NotFound);
    assert_eq!(mount.list("missing").unwrap_err().kind(), io::ErrorKind::NotFound);
    mount.rename("a/z", "a/b/z").unwrap();
    assert_eq!(mount.list("a/b").unwrap(), ["z"]);
}

#[test]
fn a_flipped_bit_is_read_and_survives() {
    let (disk, mount) = disk();
    let file = mount.open("file", true).unwrap();
    write(&file, 0, &[0; 10]);
    file.sync_data().unwrap();
    mount.sync_directory("").unwrap();
    disk.flip_bit("file", 3, 0).unwrap();
    assert_eq!(content(&mount, "file").unwrap()[3], 1);
    disk.crash(Crash::Power, &mut Seed::new(1).random());
    assert_eq!(content(&disk.mount(), "file").unwrap()[3], 1);
    assert!(disk.flip_bit("file", 10, 0).is_err());
}

#[test]
fn a_durable_copy_has_what_was_synced_and_lives_by_itself() {
    let (disk, mount) = disk();
    let file = mount.open("file", true).unwrap();
    write(&file, 0, &[1; 10_000]);
    file.sync_data().unwrap();
    mount.sync_directory("").unwrap();
    write(&file, 5000, &[2; 10]);
    mount.open("unsynced", true).unwrap();
    let (durable, live) = (disk.durable_copy(false), disk.live_copy());
    write(&file, 0, &[3; 10_000]);
    file.sync_data().unwrap();
    assert_eq!(content(&durable.mount(), "file").unwrap(), [1; 10_000]);
    assert_eq!(durable.mount().list("").unwrap(), ["file"]);
    assert_eq!(content(&live.mount(), "file").unwrap()[5000..5010], [2; 10]);
    assert_eq!(live.mount().list("").unwrap(), ["file", "unsynced"]);
}

#[test]
fn a_copy_without_rot_has_the_bits_as_they_were() {
    let (disk, mount) = disk();
    let file = mount.open("file", true).unwrap();
    write(&file, 0, &[0; 10]);
    file.sync_data().unwrap();
    mount.sync_directory("").unwrap();
    disk.flip_bit("file", 3, 0).unwrap();
    disk.flip_bit("file", 5, 0).unwrap();
    write(&file, 5, &[7]);
    file.sync_data().unwrap();
    assert_eq!(content(&disk.durable_copy(false).mount(), "file").unwrap()[3], 1);
    assert_eq!(content(&disk.durable_copy(true).mount(), "file").unwrap(), [0, 0, 0, 0, 0, 7, 0, 0, 0, 0]);
}
