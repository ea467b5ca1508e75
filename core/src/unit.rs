//! Units: byte counts and spans of time as people write them, and the chunk size of a file.

use crate::limit::{BLOCK_BYTES, CHUNK_BYTES_DEFAULT, CHUNK_BYTES_MAX, CHUNK_BYTES_MIN};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A number of bytes. Read from `4096`, `64KiB`, `4 MiB`, `1GiB` or `1TiB`; shown with one decimal at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ByteCount(pub u64);

/// A text that is not a number of bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a size; write a whole number with B, KiB, MiB, GiB or TiB, such as 4MiB")]
pub struct InvalidByteCount(String);

const UNITS: [(&str, u64); 5] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl fmt::Display for ByteCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, size) = UNITS.into_iter().find(|(_, size)| self.0 >= *size).unwrap_or(("B", 1));
        if self.0.is_multiple_of(size) {
            return write!(f, "{} {word}", self.0 / size);
        }
        // Tenths, rounded down, so that nothing is shown as larger than it is.
        let tenths = u128::from(self.0) * 10 / u128::from(size);
        write!(f, "{}.{} {word}", tenths / 10, tenths % 10)
    }
}

impl FromStr for ByteCount {
    type Err = InvalidByteCount;

    fn from_str(text: &str) -> Result<Self, InvalidByteCount> {
        let invalid = || InvalidByteCount(text.to_owned());
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, word) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| invalid())?;
        let size = match word.trim() {
            "" => 1,
            word => UNITS.into_iter().find(|(unit, _)| *unit == word).ok_or_else(invalid)?.1,
        };
        number.checked_mul(size).map(ByteCount).ok_or_else(invalid)
    }
}

/// A span of time. Read from a whole number with `ms`, `s`, `min`, `h` or `d`; shown exactly, in the greatest unit that
/// fits, hours at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Milliseconds(pub u64);

/// A text that is not a span of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a time; write a whole number with ms, s, min, h or d, such as 500ms, 30s or 2min")]
pub struct InvalidTime(String);

const TIMES: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000), ("ms", 1)];

impl fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, size): &(&str, u64)| self.0 >= *size && self.0.is_multiple_of(*size);
        // Days are left out: 24 h is what people expect.
        let (word, size) = TIMES.into_iter().skip(1).find(fits).unwrap_or(("ms", 1));
        write!(f, "{} {word}", self.0 / size)
    }
}

impl FromStr for Milliseconds {
    type Err = InvalidTime;

    fn from_str(text: &str) -> Result<Self, InvalidTime> {
        let invalid = || InvalidTime(text.to_owned());
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, word) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| invalid())?;
        let (_, size) = TIMES.into_iter().find(|(unit, _)| *unit == word.trim()).ok_or_else(invalid)?;
        number.checked_mul(size).map(Milliseconds).ok_or_else(invalid)
    }
}

/// The bytes of every chunk of a file but its last: a multiple of 64 KiB, from 64 KiB to 64 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct ChunkSize(u32);

/// A number of bytes that is not a chunk size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is not a chunk size; choose a multiple of 64 KiB from 64 KiB to 64 MiB", ByteCount(*.0))]
pub struct InvalidChunkSize(u64);

impl ChunkSize {
    /// The bytes of one chunk.
    #[must_use]
    pub fn bytes(self) -> u32 {
        self.0
    }

    /// How many chunks a file of `size` bytes has. An empty file has none.
    #[must_use]
    pub fn chunk_count(self, size: u64) -> u64 {
        size.div_ceil(u64::from(self.0))
    }

    /// The bytes of the chunk at `index` in a file of `size` bytes; zero beyond its end.
    #[must_use]
    pub fn chunk_length(self, size: u64, index: u64) -> u32 {
        let start = index.saturating_mul(u64::from(self.0));
        u32::try_from(size.saturating_sub(start).min(u64::from(self.0))).unwrap_or(self.0)
    }
}

impl Default for ChunkSize {
    fn default() -> Self {
        ChunkSize(CHUNK_BYTES_DEFAULT)
    }
}

impl TryFrom<u64> for ChunkSize {
    type Error = InvalidChunkSize;

    fn try_from(bytes: u64) -> Result<Self, InvalidChunkSize> {
        let allowed = u64::from(CHUNK_BYTES_MIN)..=u64::from(CHUNK_BYTES_MAX);
        match u32::try_from(bytes) {
            Ok(size) if allowed.contains(&bytes) && size % BLOCK_BYTES == 0 => Ok(ChunkSize(size)),
            _ => Err(InvalidChunkSize(bytes)),
        }
    }
}

impl TryFrom<u32> for ChunkSize {
    type Error = InvalidChunkSize;

    fn try_from(bytes: u32) -> Result<Self, InvalidChunkSize> {
        ChunkSize::try_from(u64::from(bytes))
    }
}

impl From<ChunkSize> for u32 {
    fn from(size: ChunkSize) -> u32 {
        size.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_counts_are_read_as_people_write_them() {
        for (text, bytes) in [("0", 0), ("4096", 4096), ("64KiB", 65536), ("4 MiB", 4 << 20), ("1TiB", 1 << 40)] {
            assert_eq!(text.parse(), Ok(ByteCount(bytes)), "{text}");
        }
        for text in ["", "-1", "4 mib", "1.5GiB", "99999999999999999999", "16777216TiB", "MiB"] {
            assert!(text.parse::<ByteCount>().is_err(), "{text}");
        }
        assert_eq!(ByteCount(1536).to_string(), "1.5 KiB");
        assert_eq!(ByteCount(4 << 20).to_string(), "4 MiB");
        assert_eq!(ByteCount(0).to_string(), "0 B");
    }

    #[test]
    fn chunk_sizes_outside_64_kib_to_64_mib_are_refused() {
        for bytes in [0_u64, 1024, 65535, 65537, 128 << 20, u64::MAX] {
            assert!(ChunkSize::try_from(bytes).is_err(), "{bytes}");
        }
        for bytes in [65536_u64, 4 << 20, 64 << 20] {
            assert!(ChunkSize::try_from(bytes).is_ok(), "{bytes}");
        }
    }

    #[test]
    fn chunks_tile_a_file_without_an_empty_tail() {
        let size = ChunkSize::try_from(65536_u64).unwrap();
        for (bytes, count, last) in [(0, 0, 0), (1, 1, 1), (65535, 1, 65535), (65536, 1, 65536), (65537, 2, 1)] {
            assert_eq!(size.chunk_count(bytes), count);
            if count > 0 {
                assert_eq!(size.chunk_length(bytes, count - 1), last);
            }
            assert_eq!(size.chunk_length(bytes, count), 0);
        }
    }
}
