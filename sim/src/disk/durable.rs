//! What is durable on a disk, without the rot, read in place: what no power cut could take. Copying would cost as much
//! as the disk holds, each time that somebody looks.

use super::names::Names;
use super::page::PAGE_BYTES;
use super::pages::Pages;
use super::{SimDisk, lock};
use dfs_actors::disk::{Disk, DiskFile, DiskLock, DiskSpace};
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex};

/// A disk as a power cut at this moment could not make it less, whoever has it mounted. It can only be read.
#[derive(Clone, Debug)]
pub struct DurableDisk(SimDisk);

/// A file of it. What becomes durable later is seen, too.
#[derive(Clone)]
pub struct DurableFile(Arc<Mutex<Pages>>);

/// How much of what became durable in a file was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen(usize);

impl SimDisk {
    /// What is durable on it.
    #[must_use]
    pub fn durable(&self) -> DurableDisk {
        DurableDisk(self.clone())
    }
}

impl DurableDisk {
    /// A file of it.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is no durable file of that name.
    pub fn file(&self, path: &str) -> io::Result<DurableFile> {
        self.names(|names| names.durable_file(path)).map(DurableFile)
    }

    fn names<T>(&self, look: impl FnOnce(&Names) -> T) -> T {
        look(&self.0.state().names)
    }
}

impl DurableFile {
    /// Whether both are the same file, and not one in the place of the other.
    #[must_use]
    pub fn is(&self, other: &DurableFile) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The ranges of bytes that may have changed since they were seen, and how much is seen then.
    #[must_use]
    pub fn news(&self, seen: Seen) -> (Vec<Range<u64>>, Seen) {
        let pages = lock(&self.0);
        let mut numbers = pages.journal.get(seen.0..).unwrap_or_default().to_vec();
        numbers.sort_unstable();
        numbers.dedup();
        let bytes = |number: u64| number * PAGE_BYTES..(number + 1) * PAGE_BYTES;
        (numbers.into_iter().map(bytes).collect(), Seen(pages.journal.len()))
    }

    /// Where the pages end that were ever written: behind it there are only zeroes.
    #[must_use]
    pub fn written_end(&self) -> u64 {
        lock(&self.0).durable_end()
    }
}

impl DiskFile for DurableFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(lock(&self.0).read_durable(offset, buffer))
    }

    fn write_at(&self, _: u64, _: &[io::IoSlice<'_>]) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn allocate(&self, _: u64, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    /// Without the reserved space behind what was written: there is much of it, and it is empty.
    fn length(&self) -> io::Result<u64> {
        Ok(self.written_end())
    }

    fn set_length(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}

impl Disk for DurableDisk {
    fn open(&self, path: &str, _: bool) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(self.file(path)?))
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn create_directory(&self, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        self.names(|names| names.durable_list(path))
    }

    fn sync_directory(&self, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn space(&self) -> io::Result<DiskSpace> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn lock(&self) -> io::Result<DiskLock> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{content, disk, write};
    use super::super::{Crash, Disk};
    use super::*;
    use crate::random::Seed;

    fn durable(disk: &SimDisk, path: &str) -> Vec<u8> {
        let view: Arc<dyn Disk> = Arc::new(disk.durable());
        content(&view, path).unwrap()
    }

    #[test]
    fn what_is_not_synced_is_not_there() {
        let (disk, mount) = disk();
        mount.create_directory("a").unwrap();
        let file = mount.open("a/file", true).unwrap();
        write(&file, 0, &[1; 10]);
        file.sync_data().unwrap();
        mount.sync_directory("a").unwrap();
        assert!(disk.durable().file("a/file").is_err(), "its directory may go");
        assert!(disk.durable().list("a").is_err());
        mount.sync_directory("").unwrap();
        write(&file, 5, &[2; 10]);
        assert_eq!(durable(&disk, "a/file"), [1; 10]);
        assert_eq!(disk.durable().list("a").unwrap(), ["file"]);
        mount.open("a/other", true).unwrap();
        assert_eq!(disk.durable().list("a").unwrap(), ["file"]);
        file.sync_data().unwrap();
        assert_eq!(durable(&disk, "a/file")[4..], [1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2]);
    }

    #[test]
    fn it_is_what_a_copy_would_be() {
        for seed in 0..50 {
            let (disk, mount) = disk();
            let mut random = Seed::new(seed).random();
            let file = mount.open("file", true).unwrap();
            mount.sync_directory("").unwrap();
            for byte in 1..20 {
                write(&file, random.within(0..=20_000), &[byte; 3000]);
                match random.within(0..=4) {
                    0 => file.sync_data().unwrap(),
                    1 => file.set_length(random.within(0..=20_000)).unwrap(),
                    2 => drop(disk.flip_bit("file", random.within(0..=20_000), 1)),
                    _ => {}
                }
                let copy = content(&disk.durable_copy(true).mount(), "file").unwrap();
                let mut view = durable(&disk, "file");
                view.resize(copy.len(), 0);
                assert!(view == copy);
            }
        }
    }

    #[test]
    fn every_change_is_news_once() {
        for crash in [None, Some(Crash::Power)] {
            for seed in 0..50 {
                let (disk, mount) = disk();
                let file = mount.open("file", true).unwrap();
                write(&file, 0, &[1; 50_000]);
                file.sync_data().unwrap();
                mount.sync_directory("").unwrap();
                let view = disk.durable().file("file").unwrap();
                let (_, seen) = view.news(Seen::default());
                let before = durable(&disk, "file");
                assert_eq!(view.news(seen).0, []);
                write(&file, 5000, &[2; 10_000]);
                assert_eq!(view.news(seen).0, [], "it is not durable yet");
                match crash {
                    None => file.sync_data().unwrap(),
                    Some(crash) => disk.crash(crash, &mut Seed::new(seed).random()),
                }
                let after = durable(&disk, "file");
                let (news, seen) = view.news(seen);
                let differs = |at: &usize| before[*at] != after[*at];
                let told = |at: usize| news.iter().any(|bytes| bytes.contains(&(at as u64)));
                assert!((0..before.len()).filter(differs).all(told));
                assert!(view.is(&disk.durable().file("file").unwrap()));
                assert_eq!(view.news(seen).0, []);
            }
        }
        let (disk, mount) = disk();
        mount.open("file", true).unwrap();
        mount.sync_directory("").unwrap();
        let view = disk.durable().file("file").unwrap();
        disk.restore(&disk.snapshot());
        assert!(!view.is(&disk.durable().file("file").unwrap()), "another file is in its place");
    }

    #[test]
    fn reserved_space_is_not_written() {
        let (disk, mount) = disk();
        let file = mount.open("file", true).unwrap();
        file.allocate(0, 512 * 1024).unwrap();
        write(&file, 5000, &[1]);
        file.sync_data().unwrap();
        mount.sync_directory("").unwrap();
        assert_eq!(disk.durable().file("file").unwrap().written_end(), 8192);
    }
}
