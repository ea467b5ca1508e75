//! The seam to a node's data directory: files that can be made durable.
//!
//! All methods block and are called on lanes or as blocking work, never on a task of the runtime. Paths are relative
//! to the data directory, with `/` between components. What was written is durable only after
//! [`DiskFile::sync_data`]; a new, renamed or removed name only after [`Disk::sync_directory`].

pub mod directory;
pub mod metered;

use std::io;
use std::sync::Arc;

/// A data directory.
pub trait Disk: Send + Sync + 'static {
    /// Opens a file for reading and writing; makes it if `create` says so and it is not there.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if it is not there and was not to be made; whatever the file system says.
    fn open(&self, path: &str, create: bool) -> io::Result<Arc<dyn DiskFile>>;
    /// Renames a file over whatever has the new name.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &str) -> io::Result<()>;
    /// Makes a directory and its parents, unless they are there.
    fn create_directory(&self, path: &str) -> io::Result<()>;
    /// The names in a directory, sorted.
    fn list(&self, path: &str) -> io::Result<Vec<String>>;
    /// Makes the names in a directory durable; `""` is the data directory itself.
    fn sync_directory(&self, path: &str) -> io::Result<()>;
    /// The space of the file system.
    fn space(&self) -> io::Result<DiskSpace>;
    /// Takes the data directory for this process alone, until the guard is dropped.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if another process has it.
    fn lock(&self) -> io::Result<DiskLock>;
}

/// An open file.
pub trait DiskFile: Send + Sync + 'static {
    /// Reads up to `buffer.len()` bytes at `offset`; fewer only at the file's end. Whoever implements this repeats the
    /// short reads of what it stands on, by [`read_full`]; whoever calls it may take fewer for the end.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
    /// Writes all the pieces, one behind the other, at `offset`.
    fn write_at(&self, offset: u64, pieces: &[io::IoSlice<'_>]) -> io::Result<()>;
    /// Makes everything durable that was written before this call (fdatasync). A failure is final: the caller must
    /// never rely on this file again.
    fn sync_data(&self) -> io::Result<()>;
    /// Reserves space, so that later writes within it do not run out of it. The file's length grows to cover it.
    fn allocate(&self, offset: u64, length: u64) -> io::Result<()>;
    /// The file's length in bytes.
    fn length(&self) -> io::Result<u64>;
    /// Cuts or extends the file to a length.
    fn set_length(&self, length: u64) -> io::Result<()>;
}

/// Reads until `buffer` is full or the file ends, by a `read` that may give less than asked, or be interrupted.
///
/// # Errors
/// What `read` says, unless it was interrupted.
pub fn read_full(
    offset: u64,
    buffer: &mut [u8],
    mut read: impl FnMut(u64, &mut [u8]) -> io::Result<usize>,
) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match read(offset + filled as u64, &mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The space of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskSpace {
    /// All of it, in bytes.
    pub capacity_bytes: u64,
    /// What an unprivileged process can still use, in bytes.
    pub available_bytes: u64,
}

/// Keeps a data directory for this process while it lives.
pub struct DiskLock(#[allow(dead_code, reason = "held for its destructor")] Box<dyn Send + Sync>);

impl DiskLock {
    /// Wraps whatever gives the directory back when it is dropped.
    pub fn new(guard: impl Send + Sync + 'static) -> DiskLock {
        DiskLock(Box::new(guard))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_interrupted_reads_are_repeated_until_the_end() {
        let content: Vec<u8> = (0..100).collect();
        let mut calls = 0;
        let mut read = |offset: u64, buffer: &mut [u8]| {
            calls += 1;
            if calls % 3 == 0 {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let rest = &content[content.len().min(offset as usize)..];
            let count = rest.len().min(buffer.len()).min(7);
            buffer[..count].copy_from_slice(&rest[..count]);
            Ok(count)
        };
        let mut buffer = [0; 50];
        assert_eq!(read_full(10, &mut buffer, &mut read).unwrap(), 50);
        assert_eq!(buffer, content[10..60]);
        assert_eq!(read_full(70, &mut buffer, &mut read).unwrap(), 30);
        assert_eq!(buffer[..30], content[70..]);
        assert_eq!(read_full(100, &mut buffer, &mut read).unwrap(), 0);
        let failed = read_full(0, &mut buffer, |_, _| Err(io::ErrorKind::PermissionDenied.into()));
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }
}
