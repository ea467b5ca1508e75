//! The production disk: a directory of the operating system.
//!
//! Files are for their owner only. Paths that would leave the directory are refused. The lock is an advisory lock on
//! the file `LOCK`, which the kernel gives back when the process ends, however it ends.

use super::{Disk, DiskFile, DiskLock, DiskSpace, read_full};
use rustix::fs::{FallocateFlags, FlockOperation};
use rustix::io::Errno;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const LOCK_PATH: &str = "LOCK";
/// Pieces that one system call takes at most (IOV_MAX of Linux).
const PIECES_MAX: usize = 1024;

/// A directory on a real disk.
#[derive(Debug)]
pub struct DirectoryDisk {
    root: PathBuf,
}

impl DirectoryDisk {
    /// Takes a directory as a disk; makes it and its parents if they are not there.
    ///
    /// # Errors
    /// Whatever the operating system says.
    pub fn open(path: &Path) -> io::Result<DirectoryDisk> {
        make_directory(path)?;
        Ok(DirectoryDisk { root: path.to_owned() })
    }

    fn path(&self, path: &str) -> io::Result<PathBuf> {
        let plain = path.split('/').all(|part| !matches!(part, "" | "." | "..") && !part.contains('\0'));
        if !plain {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a path must stay inside the data directory"));
        }
        Ok(self.root.join(path))
    }

    /// Like [`DirectoryDisk::path`], but the empty path is the directory itself.
    fn directory(&self, path: &str) -> io::Result<PathBuf> {
        if path.is_empty() { Ok(self.root.clone()) } else { self.path(path) }
    }
}

fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn open_file(path: &Path, create: bool) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(create).truncate(false).mode(0o600).open(path)
}

impl Disk for DirectoryDisk {
    fn open(&self, path: &str, create: bool) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(DirectoryFile(open_file(&self.path(path)?, create)?)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path(from)?, self.path(to)?)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        std::fs::remove_file(self.path(path)?)
    }

    fn create_directory(&self, path: &str) -> io::Result<()> {
        make_directory(&self.directory(path)?)
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let entries = std::fs::read_dir(self.directory(path)?)?;
        let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        let mut names = names.collect::<io::Result<Vec<_>>>()?;
        names.sort_unstable();
        Ok(names)
    }

    fn sync_directory(&self, path: &str) -> io::Result<()> {
        File::open(self.directory(path)?)?.sync_all()
    }

    fn space(&self) -> io::Result<DiskSpace> {
        let space = rustix::fs::statvfs(&self.root)?;
        Ok(DiskSpace {
            capacity_bytes: space.f_blocks.saturating_mul(space.f_frsize),
            available_bytes: space.f_bavail.saturating_mul(space.f_frsize),
        })
    }

    fn lock(&self) -> io::Result<DiskLock> {
        let file = open_file(&self.root.join(LOCK_PATH), true)?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(DiskLock::new(file))
    }
}

struct DirectoryFile(File);

impl DiskFile for DirectoryFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        read_full(offset, buffer, |offset, buffer| self.0.read_at(buffer, offset))
    }

    fn write_at(&self, mut offset: u64, pieces: &[IoSlice<'_>]) -> io::Result<()> {
        for pieces in pieces.chunks(PIECES_MAX) {
            offset = write_all_vectored_at(&self.0, offset, pieces)?;
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        // Not repeated, whatever it says: the kernel may have dropped the pages that it could not write.
        Ok(rustix::fs::fdatasync(&self.0)?)
    }

    fn allocate(&self, offset: u64, length: u64) -> io::Result<()> {
        loop {
            match rustix::fs::fallocate(&self.0, FallocateFlags::empty(), offset, length) {
                Err(Errno::INTR) => {}
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => break,
                other => return Ok(other?),
            }
        }
        // This file system cannot reserve space; later writes may run out of it.
        let end = offset.saturating_add(length);
        if self.length()? < end { self.set_length(end) } else { Ok(()) }
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }
}

/// Writes all of at most [`PIECES_MAX`] pieces and answers where they end.
fn write_all_vectored_at(file: &File, mut offset: u64, pieces: &[IoSlice<'_>]) -> io::Result<u64> {
    let mut rest = pieces.to_vec();
    let mut rest = rest.as_mut_slice();
    // Skips empty pieces at the front, so that a write of nothing is not taken for a full disk.
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        match rustix::io::pwritev(file, rest, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                offset += count as u64;
                IoSlice::advance_slices(&mut rest, count);
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk() -> (tempfile::TempDir, DirectoryDisk) {
        let directory = tempfile::tempdir().unwrap();
        let disk = DirectoryDisk::open(&directory.path().join("data")).unwrap();
        (directory, disk)
    }

    #[test]
    fn pieces_of_any_number_and_size_are_written_one_behind_the_other() {
        let (_directory, disk) = disk();
        let file = disk.open("file", true).unwrap();
        let pieces: Vec<Vec<u8>> = (0..3000_usize).map(|i| vec![i as u8; i % 7]).collect();
        let slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        file.write_at(5, &slices).unwrap();
        file.write_at(0, &[]).unwrap();
        file.write_at(0, &[IoSlice::new(&[])]).unwrap();
        let expected = [vec![0; 5], pieces.concat()].concat();
        let mut buffer = vec![0; expected.len() + 10];
        assert_eq!(file.read_at(0, &mut buffer).unwrap(), expected.len());
        assert_eq!(&buffer[..expected.len()], expected);
        file.sync_data().unwrap();
    }

    #[test]
    fn allocated_space_is_part_of_the_file() {
        let (_directory, disk) = disk();
        let file = disk.open("file", true).unwrap();
        file.allocate(0, 100_000).unwrap();
        assert_eq!(file.length().unwrap(), 100_000);
        file.allocate(0, 10).unwrap();
        assert_eq!(file.length().unwrap(), 100_000);
        file.set_length(7).unwrap();
        assert_eq!(file.length().unwrap(), 7);
        let space = disk.space().unwrap();
        assert!(space.available_bytes > 0 && space.available_bytes <= space.capacity_bytes);
    }

    #[test]
    fn paths_do_not_leave_the_directory() {
        let (_directory, disk) = disk();
        for path in ["", "/etc/passwd", "..", "a/../../b", "./a", "a//b", "a/", "a\0b"] {
            let error = disk.open(path, true).err().expect("refused");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{path:?}");
        }
        assert_eq!(disk.list("").unwrap(), Vec::<String>::new());
    }

    #[test]
    fn names_are_listed_in_order_and_renamed() {
        let (_directory, disk) = disk();
        disk.create_directory("inner/most").unwrap();
        disk.create_directory("inner/most").unwrap();
        for name in ["inner/b", "inner/a"] {
            disk.open(name, true).unwrap();
        }
        disk.rename("inner/b", "inner/c").unwrap();
        disk.remove("inner/a").unwrap();
        disk.sync_directory("inner").unwrap();
        disk.sync_directory("").unwrap();
        assert_eq!(disk.list("inner").unwrap(), ["c", "most"]);
        assert_eq!(disk.open("inner/a", false).err().unwrap().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn files_are_for_their_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let (_directory, disk) = disk();
        disk.open("file", true).unwrap();
        disk.create_directory("inner").unwrap();
        let mode = |path: &str| std::fs::metadata(disk.root.join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("file"), mode("inner")), (0o600, 0o700));
    }

    #[test]
    fn a_directory_is_locked_once() {
        let (_directory, disk) = disk();
        let lock = disk.lock().unwrap();
        assert_eq!(disk.lock().err().unwrap().kind(), io::ErrorKind::WouldBlock);
        drop(lock);
        disk.lock().unwrap();
    }
}
