//! The format of a record: one chunk in a segment file. It is frozen; what changes needs another version number.
//!
//! All numbers are little endian. A record begins at a multiple of [`PAGE_BYTES`] of its segment and is padded to
//! one. It is a header of [`HEADER_BYTES`], the payload at `payload_offset`, and the trailer directly behind the
//! payload:
//!
//! | header | bytes | | trailer | bytes |
//! |---|---|---|---|---|
//! | magic `DFS-REC\n` | 0..8 | | magic `DFS-END\n` | 0..8 |
//! | version | 8..10 | | payload length | 8..12 |
//! | state | 10 | | blocks | 12..16 |
//! | zero | 11..16 | | file id | 16..24 |
//! | store id | 16..32 | | chunk index | 24..28 |
//! | store mark | 32..48 | | epoch | 28..32 |
//! | file id | 48..56 | | sequence | 32..40 |
//! | chunk index | 56..60 | | chunk checksum | 40..72 |
//! | epoch | 60..64 | | CRC32C of each block | 72.. |
//! | payload length | 64..68 | | SHA-256 of each block | |
//! | payload offset | 68..72 | | CRC32C of all before | last 4 |
//! | record length | 72..80 | | | |
//! | segment, offset | 80..96 | | | |
//! | sequence | 96..104 | | | |
//! | zero | 104..124 | | | |
//! | CRC32C of 0..124 | 124..128 | | | |
//!
//! A record names its own place and its store's secret mark, because recovery looks for headers between other bytes:
//! a user's chunk that happens (or was made) to look like a record must never be taken for one. The sequence ties a
//! trailer to its header. A record is whole only if header and trailer are, and agree; its payload is judged by the
//! block CRCs.
//!
//! Absent here: files, and any effect. Decoders accept arbitrary bytes.

use dfs_core::checksum::{ChunkSums, Digest, block_count};
use dfs_core::id::{ChunkId, ChunkIndex, Epoch, FileId, StoreId};
use dfs_core::limit::CHUNK_BYTES_MAX;
use std::fmt;

/// Records begin and end at multiples of this.
pub const PAGE_BYTES: u64 = 4096;
/// Bytes of a header.
pub const HEADER_BYTES: usize = 128;
/// Bytes of a trailer besides what each block adds.
const TRAILER_FIXED_BYTES: usize = 76;
/// Bytes that each block adds to a trailer: its CRC32C and its SHA-256.
const TRAILER_BLOCK_BYTES: usize = 4 + 32;
/// Payloads up to this lie directly behind the header; larger ones begin on a page of their own, so that they can be
/// read and written past the page cache.
const SMALL_PAYLOAD_BYTES_MAX: u32 = 60 * 1024;
/// A page of nothing.
pub static ZERO_PAGE: [u8; PAGE_BYTES as usize] = [0; PAGE_BYTES as usize];
const VERSION: u16 = 1;
const HEADER_MAGIC: [u8; 8] = *b"DFS-REC\n";
const TRAILER_MAGIC: [u8; 8] = *b"DFS-END\n";

/// What a record is found by: a chunk and the epoch under which it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey {
    /// The chunk.
    pub chunk: ChunkId,
    /// The epoch.
    pub epoch: Epoch,
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.chunk, self.epoch)
    }
}

/// A place in the segments. Later records have higher positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The segment.
    pub segment: u32,
    /// The byte in it.
    pub offset: u64,
}

/// Whose records they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The store.
    pub store: StoreId,
    /// A random number that never leaves the node.
    pub mark: u128,
}

/// Whether a record counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It does, once it is whole.
    Live,
    /// It does not.
    Dead,
}

/// Where the parts of a record lie, from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Bytes of payload.
    pub payload_length: u32,
    /// Where the payload begins.
    pub payload_offset: u32,
    /// Bytes of the whole record, padding included.
    pub record_length: u64,
}

impl Layout {
    /// The layout of a new record.
    #[must_use]
    pub fn of(payload_length: u32) -> Layout {
        let small = payload_length <= SMALL_PAYLOAD_BYTES_MAX;
        let payload_offset = if small { HEADER_BYTES as u64 } else { PAGE_BYTES };
        let end = payload_offset + u64::from(payload_length) + trailer_bytes(payload_length) as u64;
        let payload_offset = u32::try_from(payload_offset).unwrap_or(u32::MAX);
        Layout { payload_length, payload_offset, record_length: end.next_multiple_of(PAGE_BYTES) }
    }

    /// Where the trailer begins.
    #[must_use]
    pub fn trailer_offset(&self) -> u64 {
        u64::from(self.payload_offset) + u64::from(self.payload_length)
    }

    /// Bytes of the trailer.
    #[must_use]
    pub fn trailer_bytes(&self) -> usize {
        trailer_bytes(self.payload_length)
    }

    /// Whether any writer could have chosen it.
    #[must_use]
    pub fn is_possible(&self) -> bool {
        let end = self.trailer_offset() + self.trailer_bytes() as u64;
        (1..=CHUNK_BYTES_MAX).contains(&self.payload_length)
            && u64::from(self.payload_offset) <= PAGE_BYTES
            && self.payload_offset as usize >= HEADER_BYTES
            && self.record_length == end.next_multiple_of(PAGE_BYTES)
    }
}

fn trailer_bytes(payload_length: u32) -> usize {
    TRAILER_FIXED_BYTES + block_count(payload_length) * TRAILER_BLOCK_BYTES
}

/// The head of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whether the record counts.
    pub state: State,
    /// Whose it is.
    pub owner: Owner,
    /// What it is found by.
    pub key: RecordKey,
    /// Where its parts lie.
    pub layout: Layout,
    /// Where it lies.
    pub position: Position,
    /// Ties the trailer to the header.
    pub sequence: u64,
}

impl Header {
    /// The header's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, &HEADER_MAGIC);
        put(8, &VERSION.to_le_bytes());
        put(10, &[if self.state == State::Live { 1 } else { 2 }]);
        put(16, &self.owner.store.0.to_le_bytes());
        put(32, &self.owner.mark.to_le_bytes());
        put(48, &self.key.chunk.file.0.to_le_bytes());
        put(56, &self.key.chunk.index.0.to_le_bytes());
        put(60, &self.key.epoch.0.to_le_bytes());
        put(64, &self.layout.payload_length.to_le_bytes());
        put(68, &self.layout.payload_offset.to_le_bytes());
        put(72, &self.layout.record_length.to_le_bytes());
        put(80, &u64::from(self.position.segment).to_le_bytes());
        put(88, &self.position.offset.to_le_bytes());
        put(96, &self.sequence.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..124]);
        bytes[124..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The header at the front of `bytes`, if it is whole, of this version, of this owner and at its own place.
    #[must_use]
    pub fn decode(bytes: &[u8], owner: &Owner, position: Position) -> Option<Header> {
        let bytes = bytes.get(..HEADER_BYTES)?;
        if bytes[..8] != HEADER_MAGIC || crc32c::crc32c(&bytes[..124]) != u32_at(bytes, 124) {
            return None;
        }
        let state = match bytes[10] {
            1 => State::Live,
            2 => State::Dead,
            _ => return None,
        };
        let header = Header {
            state,
            owner: Owner { store: StoreId(u128_at(bytes, 16)), mark: u128_at(bytes, 32) },
            key: key_at(bytes, 48),
            layout: Layout {
                payload_length: u32_at(bytes, 64),
                payload_offset: u32_at(bytes, 68),
                record_length: u64_at(bytes, 72),
            },
            position: Position { segment: u32::try_from(u64_at(bytes, 80)).ok()?, offset: u64_at(bytes, 88) },
            sequence: u64_at(bytes, 96),
        };
        let fits = bytes[8..10] == VERSION.to_le_bytes()
            && header.owner == *owner
            && header.position == position
            && header.layout.is_possible();
        fits.then_some(header)
    }
}

/// The tail of a record: what makes it whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// As in the header.
    pub key: RecordKey,
    /// As in the header.
    pub sequence: u64,
    /// The checksums of the payload.
    pub sums: ChunkSums,
    /// The chunk's checksum, which follows from `sums`.
    pub checksum: Digest,
}

impl Trailer {
    /// The trailer's bytes. The sums have the right shape.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(trailer_bytes(self.sums.length));
        bytes.extend_from_slice(&TRAILER_MAGIC);
        bytes.extend_from_slice(&self.sums.length.to_le_bytes());
        let blocks = u32::try_from(self.sums.crcs.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&blocks.to_le_bytes());
        bytes.extend_from_slice(&self.key.chunk.file.0.to_le_bytes());
        bytes.extend_from_slice(&self.key.chunk.index.0.to_le_bytes());
        bytes.extend_from_slice(&self.key.epoch.0.to_le_bytes());
        bytes.extend_from_slice(&self.sequence.to_le_bytes());
        bytes.extend_from_slice(&self.checksum.0);
        self.sums.crcs.iter().for_each(|crc| bytes.extend_from_slice(&crc.to_le_bytes()));
        self.sums.digests.iter().for_each(|digest| bytes.extend_from_slice(&digest.0));
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The trailer of a payload of `payload_length` bytes, if `bytes` are exactly one that is whole.
    #[must_use]
    pub fn decode(bytes: &[u8], payload_length: u32) -> Option<Trailer> {
        let blocks = block_count(payload_length);
        if bytes.len() != trailer_bytes(payload_length) {
            return None;
        }
        let (content, crc) = bytes.split_at(bytes.len() - 4);
        let fits = content[..8] == TRAILER_MAGIC
            && crc32c::crc32c(content) == u32_at(crc, 0)
            && u32_at(content, 8) == payload_length
            && u32_at(content, 12) as usize == blocks;
        if !fits {
            return None;
        }
        let (crcs, digests) = content[72..].split_at(4 * blocks);
        let sums = ChunkSums {
            length: payload_length,
            crcs: crcs.chunks_exact(4).map(|crc| u32_at(crc, 0)).collect(),
            digests: digests.chunks_exact(32).map(|digest| Digest(array_at(digest, 0))).collect(),
        };
        let checksum = Digest(array_at(content, 40));
        let whole = sums.check_shape().is_ok() && sums.checksum() == checksum;
        whole.then(|| Trailer { key: key_at(content, 16), sequence: u64_at(content, 32), sums, checksum })
    }
}

fn key_at(bytes: &[u8], at: usize) -> RecordKey {
    RecordKey {
        chunk: ChunkId { file: FileId(u64_at(bytes, at)), index: ChunkIndex(u32_at(bytes, at + 8)) },
        epoch: Epoch(u32_at(bytes, at + 12)),
    }
}

/// `N` bytes from `at`; all callers have checked the length.
pub(super) fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, at))
}

pub(super) fn u128_at(bytes: &[u8], at: usize) -> u128 {
    u128::from_le_bytes(array_at(bytes, at))
}

#[cfg(test)]
mod tests;
