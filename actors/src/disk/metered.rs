//! A data directory that counts what is done in it.

use super::{Disk, DiskFile, DiskLock, DiskSpace};
use crate::meter::Histogram;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What was done in a data directory, but for key-value stores, which count for themselves.
#[derive(Debug, Default)]
pub struct DiskMeter {
    /// Bytes read.
    pub read_bytes: AtomicU64,
    /// Bytes written.
    pub written_bytes: AtomicU64,
    /// Reads, and how long they took.
    pub reads: Histogram,
    /// Writes, and how long they took.
    pub writes: Histogram,
    /// fsyncs of files and directories, and how long they took.
    pub syncs: Histogram,
}

/// A data directory with a meter.
pub struct MeteredDisk {
    disk: Arc<dyn Disk>,
    meter: Arc<DiskMeter>,
}

impl MeteredDisk {
    /// The same directory, counted.
    #[must_use]
    pub fn new(disk: Arc<dyn Disk>, meter: Arc<DiskMeter>) -> MeteredDisk {
        MeteredDisk { disk, meter }
    }
}

impl Disk for MeteredDisk {
    fn open(&self, path: &str, create: bool) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(MeteredFile { file: self.disk.open(path, create)?, meter: self.meter.clone() }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn create_directory(&self, path: &str) -> io::Result<()> {
        self.disk.create_directory(path)
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        self.disk.list(path)
    }

    fn sync_directory(&self, path: &str) -> io::Result<()> {
        self.meter.syncs.time(|| self.disk.sync_directory(path))
    }

    fn space(&self) -> io::Result<DiskSpace> {
        self.disk.space()
    }

    fn lock(&self) -> io::Result<DiskLock> {
        self.disk.lock()
    }
}

struct MeteredFile {
    file: Arc<dyn DiskFile>,
    meter: Arc<DiskMeter>,
}

impl DiskFile for MeteredFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.meter.reads.time(|| self.file.read_at(offset, buffer))?;
        self.meter.read_bytes.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }

    fn write_at(&self, offset: u64, pieces: &[io::IoSlice<'_>]) -> io::Result<()> {
        self.meter.writes.time(|| self.file.write_at(offset, pieces))?;
        let bytes: usize = pieces.iter().map(|piece| piece.len()).sum();
        self.meter.written_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.meter.syncs.time(|| self.file.sync_data())
    }

    fn allocate(&self, offset: u64, length: u64) -> io::Result<()> {
        self.file.allocate(offset, length)
    }

    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.file.set_length(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::directory::DirectoryDisk;

    #[test]
    fn what_is_read_written_and_synced_is_counted() {
        let directory = tempfile::tempdir().unwrap();
        let meter = Arc::new(DiskMeter::default());
        let disk = MeteredDisk::new(Arc::new(DirectoryDisk::open(directory.path()).unwrap()), meter.clone());
        let file = disk.open("file", true).unwrap();
        file.write_at(0, &[io::IoSlice::new(b"abc"), io::IoSlice::new(b"de")]).unwrap();
        file.sync_data().unwrap();
        disk.sync_directory("").unwrap();
        assert_eq!(file.read_at(1, &mut [0; 64]).unwrap(), 4, "the file ends there");
        let bytes = (meter.written_bytes.load(Ordering::Relaxed), meter.read_bytes.load(Ordering::Relaxed));
        assert_eq!(bytes, (5, 4));
        let counts = [&meter.writes, &meter.reads, &meter.syncs].map(|histogram| histogram.distribution().count());
        assert_eq!(counts, [1, 1, 2]);
    }
}
