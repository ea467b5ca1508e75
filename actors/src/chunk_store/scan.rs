//! Reading a segment from some place to its end, record by record.
//!
//! A whole header tells how far to step, whatever is behind it. Where there is none (a torn header, a hole that was
//! never written, allocated space), the next one is looked for at every page. Nothing is ever given up because of
//! what lies before it.

use super::index::Location;
use super::record::{HEADER_BYTES, Header, Owner, PAGE_BYTES, Position, RecordKey, State, Trailer, ZERO_PAGE};
use crate::disk::DiskFile;
use dfs_core::checksum::Digest;
use dfs_core::limit::BLOCK_BYTES;
use std::io;

/// Bytes that are read at once.
const WINDOW_BYTES: usize = 1024 * 1024;
const _: () = assert!(WINDOW_BYTES.is_multiple_of(BLOCK_BYTES as usize));

/// What one step finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A whole record that counts.
    Record(RecordKey, Location),
    /// A record that is not whole: it has rotted, or it never was.
    Broken(RecordKey, u64),
    /// A region without a record that counts.
    Hole,
    /// Nothing more.
    End {
        /// Behind this there are only zeros.
        used: u64,
    },
}

/// What one look at a region finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A whole header, and what is behind it.
    Region(Header, Condition),
    /// Nothing more.
    End {
        /// Behind this there are only zeros.
        used: u64,
    },
}

/// What is behind a whole header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// A whole trailer, and payload that has its CRCs. This is the chunk's checksum.
    Whole(Digest),
    /// A whole trailer, and payload that is not what it says. This is the checksum that it says.
    Damaged(Digest),
    /// No whole trailer: the record was never sealed, or its trailer is damaged.
    Unsealed,
    /// A record that does not count any more.
    Dead,
}

/// Reads one segment.
pub struct Scan<'s> {
    file: &'s dyn DiskFile,
    owner: Owner,
    at: Position,
    length: u64,
    /// Behind this, nothing but zeros was seen yet.
    used: u64,
    buffer: Vec<u8>,
}

impl<'s> Scan<'s> {
    /// Begins at a place that is the start of a record, or of nothing.
    pub fn new(file: &'s dyn DiskFile, owner: Owner, from: Position) -> io::Result<Scan<'s>> {
        let length = file.length()?;
        let used = from.offset.min(length);
        Ok(Scan { file, owner, at: from, length, used, buffer: vec![0; WINDOW_BYTES] })
    }

    /// The next record, hole, or end. Blocks.
    ///
    /// # Errors
    /// The file cannot be read. What is there is then unknown, so it is not taken for a hole.
    pub fn step(&mut self) -> io::Result<Found> {
        Ok(match self.examine()? {
            Seen::Region(header, Condition::Whole(checksum)) => {
                let Header { position, layout, sequence, .. } = header;
                Found::Record(header.key, Location { position, layout, sequence, checksum })
            }
            Seen::Region(header, Condition::Damaged(_) | Condition::Unsealed) => {
                Found::Broken(header.key, header.sequence)
            }
            Seen::Region(_, Condition::Dead) => Found::Hole,
            Seen::End { used } => Found::End { used },
        })
    }

    /// The next region that has a header, and in what condition it is. Blocks.
    ///
    /// # Errors
    /// As for [`step`](Self::step).
    pub fn examine(&mut self) -> io::Result<Seen> {
        let filled = self.file.read_at(self.at.offset, &mut self.buffer[..HEADER_BYTES])?;
        let header = match Header::decode(&self.buffer[..filled], &self.owner, self.at) {
            Some(header) => header,
            None => match self.search()? {
                Some(header) => header,
                None => return Ok(Seen::End { used: self.used }),
            },
        };
        let condition = if header.state == State::Live { self.check(&header)? } else { Condition::Dead };
        self.at.offset += header.layout.record_length;
        self.used = self.at.offset.min(self.length);
        Ok(Seen::Region(header, condition))
    }

    /// Goes to the next page that begins with a header.
    fn search(&mut self) -> io::Result<Option<Header>> {
        while self.at.offset < self.length {
            let filled = self.file.read_at(self.at.offset, &mut self.buffer)?;
            if filled == 0 {
                break;
            }
            for page in self.buffer[..filled].chunks(PAGE_BYTES as usize) {
                if let Some(header) = Header::decode(page, &self.owner, self.at) {
                    return Ok(Some(header));
                }
                self.at.offset += PAGE_BYTES;
                if page != &ZERO_PAGE[..page.len()] {
                    self.used = self.at.offset.min(self.length);
                }
            }
        }
        Ok(None)
    }

    /// In what condition the record of a header is, its payload included.
    fn check(&mut self, header: &Header) -> io::Result<Condition> {
        let layout = &header.layout;
        let mut bytes = vec![0; layout.trailer_bytes()];
        let filled = self.file.read_at(header.position.offset + layout.trailer_offset(), &mut bytes)?;
        let trailer = Trailer::decode(&bytes[..filled], layout.payload_length)
            .filter(|trailer| trailer.key == header.key && trailer.sequence == header.sequence);
        let Some(trailer) = trailer else { return Ok(Condition::Unsealed) };
        let mut crcs = trailer.sums.crcs.iter();
        let mut rest = layout.payload_length as usize;
        let mut at = header.position.offset + u64::from(layout.payload_offset);
        while rest > 0 {
            let window = &mut self.buffer[..rest.min(WINDOW_BYTES)];
            if self.file.read_at(at, window)? < window.len() {
                return Ok(Condition::Damaged(trailer.checksum));
            }
            let good = window.chunks(BLOCK_BYTES as usize).all(|block| Some(&crc32c::crc32c(block)) == crcs.next());
            if !good {
                return Ok(Condition::Damaged(trailer.checksum));
            }
            rest -= window.len();
            at += window.len() as u64;
        }
        Ok(Condition::Whole(trailer.checksum))
    }
}
