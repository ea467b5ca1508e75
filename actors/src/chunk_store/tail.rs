//! The tail: where the next record goes.
//!
//! It gives regions of the last segment to writers, one behind the other, grows that segment in steps, and begins
//! another when it is full. A store that starts always begins a new segment, with its first record: what an earlier
//! life left behind the last record is never written over.

use super::record::Position;
use super::segment::{Segment, Segments};
use std::io;
use std::sync::Arc;

/// Bytes by which a segment grows at once at most.
const GROWTH_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The end of the store. Its methods block.
pub struct Tail {
    next_segment: u32,
    current: Option<Current>,
}

struct Current {
    segment: Arc<Segment>,
    end: u64,
    allocated: u64,
}

impl Tail {
    /// A tail that will begin segment `next_segment`.
    #[must_use]
    pub fn new(next_segment: u32) -> Tail {
        Tail { next_segment, current: None }
    }

    /// Where the next record goes, or before it.
    #[must_use]
    pub fn position(&self) -> Position {
        match &self.current {
            Some(current) => Position { segment: current.segment.number, offset: current.end },
            None => Position { segment: self.next_segment, offset: 0 },
        }
    }

    /// Bytes that the last segment has allocated and not given away.
    #[must_use]
    pub fn unused_bytes(&self) -> u64 {
        self.current.as_ref().map_or(0, |current| current.allocated - current.end)
    }

    /// Gives away the next `length` bytes. Segments end before `segment_bytes`, but for a record that is larger.
    pub fn reserve(
        &mut self,
        segments: &Segments,
        segment_bytes: u64,
        length: u64,
    ) -> io::Result<(Arc<Segment>, Position)> {
        let full = |current: &Current| current.end > 0 && current.end + length > segment_bytes;
        if self.current.as_ref().is_some_and(full) {
            self.trim();
            self.current = None;
        }
        let current = match &mut self.current {
            Some(current) => current,
            none => {
                let segment = segments.create(self.next_segment)?;
                self.next_segment += 1;
                none.insert(Current { segment, end: 0, allocated: 0 })
            }
        };
        current.grow(current.end + length, segment_bytes)?;
        let position = Position { segment: current.segment.number, offset: current.end };
        current.end += length;
        Ok((current.segment.clone(), position))
    }

    /// Gives the unused part of the last segment back to the file system. A failure costs only space.
    pub fn trim(&mut self) {
        if let Some(current) = &mut self.current
            && current.segment.file.set_length(current.end).is_ok()
        {
            current.allocated = current.end;
        }
    }
}

impl Current {
    fn grow(&mut self, needed: u64, segment_bytes: u64) -> io::Result<()> {
        while self.allocated < needed {
            let least = (needed - self.allocated).min(GROWTH_BYTES_MAX);
            let step = segment_bytes.saturating_sub(self.allocated).clamp(least, GROWTH_BYTES_MAX);
            let file = &self.segment.file;
            // A disk that has no room for a whole step may have it for this record.
            let grown = file.allocate(self.allocated, step).map(|()| step);
            self.allocated += grown.or_else(|_| file.allocate(self.allocated, least).map(|()| least))?;
        }
        Ok(())
    }
}
