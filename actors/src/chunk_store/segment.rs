//! Segment files: `segments/NNNNNNNN.seg`, numbered from zero, never numbered twice.
//!
//! [`Segments`] keeps a bounded number of them open. A segment that is in use stays open whatever the bound says.

use super::lock;
use crate::disk::{Disk, DiskFile};
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// The directory of the segments.
pub const DIRECTORY: &str = "segments";
/// Segments that are kept open for the next reader at most.
const OPEN_MAX: usize = 128;

/// An open segment.
pub struct Segment {
    /// Its number.
    pub number: u32,
    /// Its file.
    pub file: Arc<dyn DiskFile>,
    /// Whether its name is durable.
    pub name_is_durable: AtomicBool,
}

/// The segments of a store.
pub struct Segments {
    disk: Arc<dyn Disk>,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    clock: u64,
    segments: BTreeMap<u32, (u64, Arc<Segment>)>,
}

impl Segments {
    /// The segments on a disk.
    #[must_use]
    pub fn new(disk: Arc<dyn Disk>) -> Segments {
        Segments { disk, open: Mutex::default() }
    }

    /// The numbers of all segments, rising.
    pub fn numbers(disk: &dyn Disk) -> io::Result<Vec<u32>> {
        let mut numbers: Vec<u32> = disk.list(DIRECTORY)?.iter().filter_map(|name| number(name)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// A segment that is there.
    pub fn get(&self, number: u32) -> io::Result<Arc<Segment>> {
        if let Some(segment) = lock(&self.open).touch(number) {
            return Ok(segment);
        }
        let file = self.disk.open(&path(number), false)?;
        Ok(self.keep(Segment { number, file, name_is_durable: AtomicBool::new(true) }))
    }

    /// A new segment. Its name is not durable yet.
    pub fn create(&self, number: u32) -> io::Result<Arc<Segment>> {
        let file = self.disk.open(&path(number), true)?;
        Ok(self.keep(Segment { number, file, name_is_durable: AtomicBool::new(false) }))
    }

    /// Makes the names of these segments durable, where they are not.
    pub fn sync_names<'s>(&self, segments: impl Iterator<Item = &'s Arc<Segment>>) -> io::Result<()> {
        let new: Vec<_> = segments.filter(|segment| !segment.name_is_durable.load(Ordering::Acquire)).collect();
        if !new.is_empty() {
            self.disk.sync_directory(DIRECTORY)?;
            new.iter().for_each(|segment| segment.name_is_durable.store(true, Ordering::Release));
        }
        Ok(())
    }

    /// Keeps a segment open and answers it, or the one that another thread has opened meanwhile.
    fn keep(&self, segment: Segment) -> Arc<Segment> {
        let mut open = lock(&self.open);
        if let Some(present) = open.touch(segment.number) {
            return present;
        }
        if open.segments.len() >= OPEN_MAX
            && let Some(oldest) = open.segments.iter().min_by_key(|(_, (used, _))| *used).map(|(number, _)| *number)
        {
            open.segments.remove(&oldest);
        }
        let (number, used, segment) = (segment.number, open.clock, Arc::new(segment));
        open.segments.insert(number, (used, segment.clone()));
        segment
    }
}

impl Open {
    fn touch(&mut self, number: u32) -> Option<Arc<Segment>> {
        self.clock += 1;
        let (used, segment) = self.segments.get_mut(&number)?;
        *used = self.clock;
        Some(segment.clone())
    }
}

/// Where a segment is.
pub fn path(number: u32) -> String {
    format!("{DIRECTORY}/{number:08}.seg")
}

/// The number of the segment with this name; nothing if it is no segment's name.
fn number(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".seg").filter(|digits| digits.len() >= 8)?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}
