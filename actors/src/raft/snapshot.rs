//! Snapshot files: the whole metadata state at one log index, framed and checksummed.
//!
//! A file is a run of frames: a length and a CRC32C (both little-endian 32-bit), a kind, a payload. The first frame is
//! the header (log id and membership), pages of pairs follow in the order of their keys, the last frame counts the
//! pairs: a file without it is incomplete. What is here blocks and runs on lanes or as blocking work.

use super::codec::{self, CodecError, LogIdForm, StoredMembershipForm};
use super::types::{LogId, SnapshotMeta};
use crate::disk::{Disk, DiskFile};
use crate::key_value::{self, KeyValueView, Pairs};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::{self, IoSlice};
use std::ops::Bound;
use std::sync::Arc;

/// Keys from this table byte on belong to the Raft adaptor; a snapshot holds those below it.
pub(super) const OWN_KEYS: [u8; 1] = [0xF0];

const FRAME_HEADER_BYTES: usize = 9;
/// Bytes of a frame's payload at most; a page is much smaller unless one pair fills it.
const FRAME_BYTES_MAX: u32 = 16 * 1024 * 1024;
/// Bytes of pairs from which on a page is full.
const PAGE_BYTES: usize = 256 * 1024;

const HEADER: u8 = b'H';
const PAGE: u8 = b'P';
const END: u8 = b'E';

#[derive(Serialize, Deserialize)]
struct Header {
    last: Option<LogIdForm>,
    membership: StoredMembershipForm,
}

/// A complete snapshot file, open for reading. It stays readable when a newer one takes its name.
#[derive(Clone)]
pub(super) struct SnapshotFile {
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) length: u64,
}

impl fmt::Debug for SnapshotFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SnapshotFile({} bytes)", self.length)
    }
}

/// Writes a snapshot file frame by frame.
pub(super) struct SnapshotWriter {
    file: Arc<dyn DiskFile>,
    offset: u64,
    pairs: u64,
}

impl SnapshotWriter {
    /// Begins a file at `path`, over whatever is there.
    pub(super) fn create(disk: &dyn Disk, path: &str, meta: &SnapshotMeta) -> io::Result<SnapshotWriter> {
        let file = disk.open(path, true)?;
        file.set_length(0)?;
        let mut writer = SnapshotWriter { file, offset: 0, pairs: 0 };
        let header = Header { last: meta.last_log_id.map(LogIdForm::from), membership: (&meta.last_membership).into() };
        writer.frame(HEADER, &codec::encode(&header))?;
        Ok(writer)
    }

    /// Adds pairs, whose keys follow those before.
    pub(super) fn page(&mut self, pairs: &Pairs) -> io::Result<()> {
        self.pairs += pairs.len() as u64;
        self.frame(PAGE, &codec::encode(pairs))
    }

    /// Ends the file and makes it durable.
    pub(super) fn finish(mut self) -> io::Result<SnapshotFile> {
        self.frame(END, &codec::encode(&self.pairs))?;
        self.file.sync_data()?;
        Ok(SnapshotFile { file: self.file, length: self.offset })
    }

    fn frame(&mut self, kind: u8, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len()).ok().filter(|length| *length <= FRAME_BYTES_MAX);
        let length = length.ok_or_else(|| io::Error::from(io::ErrorKind::FileTooLarge))?;
        let mut header = [0; FRAME_HEADER_BYTES];
        header[..4].copy_from_slice(&length.to_le_bytes());
        header[4..8].copy_from_slice(&checksum(kind, payload).to_le_bytes());
        header[8] = kind;
        self.file.write_at(self.offset, &[IoSlice::new(&header), IoSlice::new(payload)])?;
        self.offset += FRAME_HEADER_BYTES as u64 + u64::from(length);
        Ok(())
    }
}

impl SnapshotFile {
    /// Opens the file at `path`, whatever is in it.
    pub(super) fn open(disk: &dyn Disk, path: &str) -> io::Result<SnapshotFile> {
        let file = disk.open(path, false)?;
        let length = file.length()?;
        Ok(SnapshotFile { file, length })
    }

    /// What the file says of itself.
    pub(super) fn meta(&self) -> io::Result<SnapshotMeta> {
        let (kind, payload, _) = self.frame_at(0)?;
        if kind != HEADER {
            return Err(CodecError::Damaged.into());
        }
        let header: Header = codec::decode(&payload)?;
        Ok(SnapshotMeta { last_log_id: header.last.map(LogId::from), last_membership: header.membership.try_into()? })
    }

    /// Hands out all pairs in order, page by page, and then makes sure that none is missing.
    pub(super) fn pages(&self, mut take: impl FnMut(Pairs) -> io::Result<()>) -> io::Result<()> {
        let (_, _, mut offset) = self.frame_at(0)?;
        let mut count = 0;
        loop {
            let (kind, payload, next) = self.frame_at(offset)?;
            offset = next;
            match kind {
                PAGE => {
                    let pairs: Pairs = codec::decode(&payload)?;
                    count += pairs.len() as u64;
                    take(pairs)?;
                }
                END if codec::decode::<u64>(&payload)? == count && offset == self.length => return Ok(()),
                _ => return Err(CodecError::Damaged.into()),
            }
        }
    }

    /// Reads the whole file once.
    pub(super) fn verify(&self) -> io::Result<SnapshotMeta> {
        let meta = self.meta()?;
        self.pages(|_| Ok(()))?;
        Ok(meta)
    }

    fn frame_at(&self, offset: u64) -> io::Result<(u8, Vec<u8>, u64)> {
        let mut header = [0; FRAME_HEADER_BYTES];
        self.read_exactly(offset, &mut header)?;
        let [l0, l1, l2, l3, c0, c1, c2, c3, kind] = header;
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        let start = offset + FRAME_HEADER_BYTES as u64;
        let end = start + u64::from(length);
        if length > FRAME_BYTES_MAX || end > self.length {
            return Err(CodecError::Damaged.into());
        }
        let mut payload = vec![0; length as usize];
        self.read_exactly(start, &mut payload)?;
        if checksum(kind, &payload) != u32::from_le_bytes([c0, c1, c2, c3]) {
            return Err(CodecError::Damaged.into());
        }
        Ok((kind, payload, end))
    }

    fn read_exactly(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        match self.file.read_at(offset, buffer)? {
            read if read == buffer.len() => Ok(()),
            _ => Err(CodecError::Damaged.into()),
        }
    }
}

fn checksum(kind: u8, payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&[kind]), payload)
}

/// Hands out the state's pairs in order, page by page.
pub(super) fn state_pages(view: &dyn KeyValueView, mut take: impl FnMut(&Pairs) -> io::Result<()>) -> io::Result<()> {
    let mut page = Pairs::new();
    let mut bytes = 0;
    for found in key_value::pages(view, Bound::Unbounded, Bound::Excluded(&OWN_KEYS)) {
        for (key, value) in found.map_err(io::Error::other)? {
            bytes += key.len() + value.len();
            page.push((key, value));
            if bytes >= PAGE_BYTES {
                take(&page)?;
                page.clear();
                bytes = 0;
            }
        }
    }
    if page.is_empty() { Ok(()) } else { take(&page) }
}
