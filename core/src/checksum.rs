//! The checksum tree of a chunk.
//!
//! A chunk is cut into blocks of 64 KiB (the last may be shorter). Each block has a SHA-256 and a CRC32C
//! (Castagnoli, RFC 3720 appendix B.4). The chunk's checksum is the SHA-256 over the list of its blocks' SHA-256.
//!
//! Who checks what: the client computes all of it while the bytes pass; the primary computes the whole tree again;
//! every further hop and every read from a disk checks the CRCs; the reading client checks the tree against the
//! metadata.

use crate::limit::{BLOCK_BYTES, CHUNK_BYTES_MAX};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;

/// A SHA-256 (FIPS 180-4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The SHA-256 of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// The checksums of one chunk: what travels behind its payload and what its record on disk keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkSums {
    /// Bytes of the chunk.
    pub length: u32,
    /// The CRC32C of each block.
    pub crcs: Vec<u32>,
    /// The SHA-256 of each block.
    pub digests: Vec<Digest>,
}

/// Checksums that cannot belong to any chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("checksums of {length} bytes have {crcs} CRCs and {digests} digests")]
pub struct MalformedSums {
    length: u32,
    crcs: usize,
    digests: usize,
}

/// How many blocks a chunk of `length` bytes has.
#[must_use]
pub fn block_count(length: u32) -> usize {
    length.div_ceil(BLOCK_BYTES) as usize
}

impl ChunkSums {
    /// The checksum tree of a whole chunk at once.
    #[must_use]
    pub fn of(chunk: &[u8]) -> ChunkSums {
        let mut hasher = ChunkHasher::new();
        hasher.update(chunk);
        hasher.finish()
    }

    /// Refuses sums whose lists do not fit their length. Sums from outside are checked with this before use.
    pub fn check_shape(&self) -> Result<(), MalformedSums> {
        let blocks = block_count(self.length);
        let fits =
            (1..=CHUNK_BYTES_MAX).contains(&self.length) && self.crcs.len() == blocks && self.digests.len() == blocks;
        let malformed = MalformedSums { length: self.length, crcs: self.crcs.len(), digests: self.digests.len() };
        fits.then_some(()).ok_or(malformed)
    }

    /// The chunk's checksum: the SHA-256 over the list of its blocks' SHA-256.
    #[must_use]
    pub fn checksum(&self) -> Digest {
        let mut hasher = Sha256::new();
        for digest in &self.digests {
            hasher.update(digest.0);
        }
        Digest(hasher.finalize().into())
    }

    /// Whether `bytes` are the chunk's whole blocks from `offset` on: each has its digest in the list, and the last is
    /// as long as it is in the chunk. The list itself is to be checked with [`ChunkSums::checksum`].
    #[must_use]
    pub fn are_blocks_at(&self, offset: u32, bytes: &[u8]) -> bool {
        let Some(end) = u32::try_from(bytes.len()).ok().and_then(|length| offset.checked_add(length)) else {
            return false;
        };
        let whole = offset.is_multiple_of(BLOCK_BYTES) && (end.is_multiple_of(BLOCK_BYTES) || end == self.length);
        let listed = self.digests.get((offset / BLOCK_BYTES) as usize..block_count(end)).unwrap_or(&[]);
        let blocks = bytes.chunks(BLOCK_BYTES as usize);
        whole && blocks.len() == listed.len() && blocks.zip(listed).all(|(block, digest)| Digest::of(block) == *digest)
    }
}

/// Computes the whole tree (CRC and SHA-256) while the bytes of a chunk pass, in pieces of any size.
#[derive(Clone, Debug, Default)]
pub struct ChunkHasher {
    crcs: BlockCrcs,
    block: Sha256,
    digests: Vec<Digest>,
}

impl ChunkHasher {
    /// A hasher that has seen nothing.
    #[must_use]
    pub fn new() -> ChunkHasher {
        ChunkHasher::default()
    }

    /// Takes the next bytes of the chunk. At most [`CHUNK_BYTES_MAX`] bytes may pass in all.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (head, rest) = bytes.split_at(bytes.len().min(self.crcs.room_in_block()));
            self.block.update(head);
            if self.crcs.update_block(head) {
                self.digests.push(Digest(self.block.finalize_reset_block()));
            }
            bytes = rest;
        }
    }

    /// How many bytes have passed.
    #[must_use]
    pub fn length(&self) -> u32 {
        self.crcs.length
    }

    /// The checksums of all that passed.
    #[must_use]
    pub fn finish(mut self) -> ChunkSums {
        if self.crcs.room_in_block() < BLOCK_BYTES as usize {
            self.digests.push(Digest(self.block.finalize_reset_block()));
        }
        let (length, crcs) = self.crcs.finish();
        ChunkSums { length, crcs, digests: self.digests }
    }
}

trait FinalizeReset {
    fn finalize_reset_block(&mut self) -> [u8; 32];
}

impl FinalizeReset for Sha256 {
    fn finalize_reset_block(&mut self) -> [u8; 32] {
        std::mem::take(self).finalize().into()
    }
}

/// Computes only the CRC32C of each block while bytes pass: what every hop but the primary does.
#[derive(Clone, Debug, Default)]
pub struct BlockCrcs {
    length: u32,
    current: u32,
    done: Vec<u32>,
}

impl BlockCrcs {
    /// Nothing has passed yet.
    #[must_use]
    pub fn new() -> BlockCrcs {
        BlockCrcs::default()
    }

    /// Takes the next bytes of the chunk.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (head, rest) = bytes.split_at(bytes.len().min(self.room_in_block()));
            self.update_block(head);
            bytes = rest;
        }
    }

    /// How many bytes have passed.
    #[must_use]
    pub fn length(&self) -> u32 {
        self.length
    }

    /// The length and the CRC of each block.
    #[must_use]
    pub fn finish(mut self) -> (u32, Vec<u32>) {
        if self.room_in_block() < BLOCK_BYTES as usize {
            self.done.push(self.current);
        }
        (self.length, self.done)
    }

    fn room_in_block(&self) -> usize {
        (BLOCK_BYTES - self.length % BLOCK_BYTES) as usize
    }

    /// Takes bytes that do not cross the end of the current block; answers whether they completed it.
    fn update_block(&mut self, bytes: &[u8]) -> bool {
        self.current = crc32c::crc32c_append(self.current, bytes);
        self.length += u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let complete = self.length.is_multiple_of(BLOCK_BYTES);
        if complete {
            self.done.push(std::mem::take(&mut self.current));
        }
        complete
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive(chunk: &[u8]) -> ChunkSums {
        let blocks = chunk.chunks(BLOCK_BYTES as usize);
        ChunkSums {
            length: u32::try_from(chunk.len()).unwrap(),
            crcs: blocks.clone().map(crc32c::crc32c).collect(),
            digests: blocks.map(Digest::of).collect(),
        }
    }

    #[test]
    fn the_tree_of_known_bytes_is_the_known_tree() {
        let sums = ChunkSums::of(b"abc");
        // FIPS 180-4, example of SHA-256 for "abc"; RFC 3720 B.4 gives the CRC of 32 zero bytes.
        assert_eq!(sums.digests[0].to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(sums.checksum(), Digest::of(&sums.digests[0].0));
        assert_eq!(ChunkSums::of(&[0; 32]).crcs, [0x8a91_36aa]);
    }

    proptest! {
        #[test]
        fn pieces_of_any_size_give_the_same_tree(
            length in prop_oneof![0_usize..10, 65_530_usize..65_545, 131_060_usize..131_080, 0_usize..300_000],
            piece in 1_usize..100_000,
        ) {
            let chunk: Vec<u8> = (0..length).map(|i| (i * 31 % 251) as u8).collect();
            let (mut hasher, mut crcs) = (ChunkHasher::new(), BlockCrcs::new());
            for bytes in chunk.chunks(piece) {
                hasher.update(bytes);
                crcs.update(bytes);
            }
            let sums = hasher.finish();
            prop_assert_eq!(&sums, &naive(&chunk));
            prop_assert_eq!(crcs.finish(), (sums.length, sums.crcs.clone()));
            prop_assert_eq!(sums.check_shape().is_ok(), length > 0);
        }
    }

    #[test]
    fn blocks_of_a_chunk_are_known_by_their_place_and_every_byte() {
        let chunk: Vec<u8> = (0..200_000_u32).map(|i| (i * 31 % 251) as u8).collect();
        let sums = ChunkSums::of(&chunk);
        let block = BLOCK_BYTES as usize;
        for (from, to) in [(0, 200_000), (0, block), (block, 3 * block), (3 * block, 200_000), (block, block)] {
            let offset = u32::try_from(from).unwrap();
            assert!(sums.are_blocks_at(offset, &chunk[from..to]), "{from}..{to}");
            for place in [from, to.saturating_sub(1)].into_iter().filter(|place| (from..to).contains(place)) {
                let mut flipped = chunk[from..to].to_vec();
                flipped[place - from] ^= 1;
                assert!(!sums.are_blocks_at(offset, &flipped), "{from}..{to}, byte {place}");
            }
        }
        // Blocks of another place, parts of blocks, and more than there is.
        assert!(!sums.are_blocks_at(0, &chunk[block..2 * block]));
        assert!(!sums.are_blocks_at(0, &chunk[..block - 1]));
        assert!(!sums.are_blocks_at(1, &chunk[1..block]));
        assert!(!sums.are_blocks_at(3 * BLOCK_BYTES, &chunk[3 * block..199_999]));
        assert!(!sums.are_blocks_at(4 * BLOCK_BYTES, &chunk[..1]));
        assert!(!sums.are_blocks_at(u32::MAX, &chunk));
    }

    #[test]
    fn sums_that_do_not_fit_their_length_are_refused() {
        let good = ChunkSums::of(&[1; 70_000]);
        assert!(good.check_shape().is_ok());
        assert!(ChunkSums { length: 65_536, ..good.clone() }.check_shape().is_err());
        assert!(ChunkSums { digests: vec![], ..good.clone() }.check_shape().is_err());
        assert!(ChunkSums { length: 0, crcs: vec![], digests: vec![] }.check_shape().is_err());
    }
}
