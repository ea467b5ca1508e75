//! Ranges of bytes, as users ask for them and as a file has them.
//!
//! A range is written as HTTP writes it (RFC 9110, section 14.1.2): `A-B` with both ends inclusive, `A-` to the end, or
//! `-N` for the last N bytes. [`ByteRange::resolve`] says which bytes of a file of known size are meant; the
//! [`Span`] that results is cut into its parts of chunks, and those into whole blocks, here and nowhere else.
//!
//! Deliberately absent: several ranges at once.

use crate::limit::BLOCK_BYTES;
use crate::unit::ChunkSize;
use std::fmt;
use std::str::FromStr;

/// Bytes of a file whose size need not be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteRange {
    /// From the byte `first`, counted from zero, to the byte `last` inclusive, or to the end.
    From {
        /// The first byte.
        first: u64,
        /// The last byte; the end of the file where absent.
        last: Option<u64>,
    },
    /// So many bytes at the end.
    Suffix(u64),
}

/// A text that is not a range of bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a range of bytes; write FIRST-LAST (both inclusive, from 0), FIRST- or -COUNT, such as 0-1023")]
pub struct InvalidByteRange(String);

/// A range that has no byte of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the range {range} is beyond the end: the file has {size} bytes")]
pub struct BeyondEnd {
    /// What was asked for.
    pub range: ByteRange,
    /// The bytes of the file.
    pub size: u64,
}

/// Consecutive bytes of a file of known size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub offset: u64,
    /// How many.
    pub length: u64,
}

/// The part of a span that is in one chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The chunk's place in the file.
    pub index: u64,
    /// The first byte, counted within the chunk.
    pub offset: u32,
    /// How many; at least one.
    pub length: u32,
}

impl ByteRange {
    /// The bytes of a file of `size` bytes that are meant: a last byte beyond the end means the end, and a suffix that
    /// is longer than the file means all of it.
    ///
    /// # Errors
    /// The first byte is not in the file, or the last none are asked for.
    pub fn resolve(self, size: u64) -> Result<Span, BeyondEnd> {
        match self {
            ByteRange::From { first, last } if first < size => {
                let end = last.map_or(size, |last| last.saturating_add(1).min(size));
                Ok(Span { offset: first, length: end.saturating_sub(first) })
            }
            ByteRange::Suffix(count) if count > 0 => {
                let length = count.min(size);
                Ok(Span { offset: size - length, length })
            }
            range => Err(BeyondEnd { range, size }),
        }
    }
}

impl FromStr for ByteRange {
    type Err = InvalidByteRange;

    fn from_str(text: &str) -> Result<ByteRange, InvalidByteRange> {
        let invalid = || InvalidByteRange(text.to_owned());
        let number = |digits: &str| -> Result<u64, InvalidByteRange> {
            // `u64` would read a sign too.
            if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(invalid());
            }
            digits.parse().map_err(|_| invalid())
        };
        let (first, last) = text.split_once('-').ok_or_else(invalid)?;
        if first.is_empty() {
            return Ok(ByteRange::Suffix(number(last)?));
        }
        let first = number(first)?;
        let last = if last.is_empty() { None } else { Some(number(last)?) };
        if last.is_some_and(|last| last < first) {
            return Err(invalid());
        }
        Ok(ByteRange::From { first, last })
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ByteRange::From { first, last: Some(last) } => write!(f, "{first}-{last}"),
            ByteRange::From { first, last: None } => write!(f, "{first}-"),
            ByteRange::Suffix(count) => write!(f, "-{count}"),
        }
    }
}

impl Span {
    /// The first byte behind it.
    #[must_use]
    pub fn end(self) -> u64 {
        self.offset.saturating_add(self.length)
    }

    /// Its parts, chunk by chunk, in a file with chunks of that size.
    pub fn parts(self, chunk_size: ChunkSize) -> impl Iterator<Item = Part> {
        let bytes = u64::from(chunk_size.bytes());
        let first = self.offset / bytes;
        let end = if self.length == 0 { first } else { self.end().div_ceil(bytes) };
        (first..end).map(move |index| {
            let chunk = index * bytes;
            let offset = self.offset.saturating_sub(chunk);
            let length = (self.end() - chunk).min(bytes) - offset;
            // Both are within a chunk, which is far below 4 GiB.
            Part { index, offset: u32::try_from(offset).unwrap_or(0), length: u32::try_from(length).unwrap_or(0) }
        })
    }
}

impl Part {
    /// The whole blocks of a chunk of `chunk_length` bytes that this part needs: what a node sends, and what can be
    /// checked. The chunk's last block may be shorter than the others.
    #[must_use]
    pub fn blocks(self, chunk_length: u32) -> Part {
        let offset = self.offset / BLOCK_BYTES * BLOCK_BYTES;
        let end = (self.offset + self.length).next_multiple_of(BLOCK_BYTES).min(chunk_length);
        Part { index: self.index, offset, length: end - offset }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn resolve(text: &str, size: u64) -> Option<(u64, u64)> {
        text.parse::<ByteRange>().unwrap().resolve(size).ok().map(|span| (span.offset, span.length))
    }

    #[test]
    fn ranges_mean_what_they_mean_in_http() {
        // RFC 9110, section 14.1.2: its examples, for a representation of 10000 bytes.
        assert_eq!(resolve("0-499", 10_000), Some((0, 500)));
        assert_eq!(resolve("500-999", 10_000), Some((500, 500)));
        assert_eq!(resolve("-500", 10_000), Some((9500, 500)));
        assert_eq!(resolve("9500-", 10_000), Some((9500, 500)));
        assert_eq!(resolve("0-0", 10_000), Some((0, 1)));
        assert_eq!(resolve("-1", 10_000), Some((9999, 1)));
        assert_eq!(resolve("9999-10000", 10_000), Some((9999, 1)));
        assert_eq!(resolve("0-18446744073709551615", 10_000), Some((0, 10_000)));
        assert_eq!(resolve("-20000", 10_000), Some((0, 10_000)));
    }

    #[test]
    fn a_range_beyond_the_end_is_an_error_that_names_the_size() {
        for text in ["10-", "10-20", "-0"] {
            let error = text.parse::<ByteRange>().unwrap().resolve(10).unwrap_err().to_string();
            assert!(error.contains(text) && error.contains("10 bytes"), "{error}");
        }
        assert_eq!(resolve("0-", 0), None);
        assert_eq!(resolve("-5", 0), Some((0, 0)));
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in ["", "-", "5", "5-4", "a-b", "+1-2", "1-+2", "1--2", "--1", "1-2-3", " 1-2", "1-2,4-5", "0x1-2"] {
            assert!(text.parse::<ByteRange>().is_err(), "{text}");
        }
        assert!("0-18446744073709551616".parse::<ByteRange>().is_err());
        for text in ["1-2", "1-", "-2"] {
            assert_eq!(text.parse::<ByteRange>().unwrap().to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn parts_tile_their_span_and_blocks_cover_them(
            offset in 0_u64..1_000_000, length in 0_u64..1_000_000, blocks in 1_u32..4, behind in 0_u64..200_000,
        ) {
            let chunk_size = ChunkSize::try_from(blocks * BLOCK_BYTES).unwrap();
            let size = offset + length + behind;
            let mut next = offset;
            for part in (Span { offset, length }).parts(chunk_size) {
                prop_assert_eq!(part.index * u64::from(chunk_size.bytes()) + u64::from(part.offset), next);
                prop_assert!(part.length > 0);
                next += u64::from(part.length);
                let chunk_length = chunk_size.chunk_length(size, part.index);
                prop_assert!(part.offset + part.length <= chunk_length);
                let whole = part.blocks(chunk_length);
                prop_assert_eq!(whole.offset, part.offset - part.offset % BLOCK_BYTES);
                let end = whole.offset + whole.length;
                prop_assert!(end >= part.offset + part.length && end - (part.offset + part.length) < BLOCK_BYTES);
                prop_assert!(end.is_multiple_of(BLOCK_BYTES) || end == chunk_length);
            }
            prop_assert_eq!(next, offset + length);
        }
    }
}
