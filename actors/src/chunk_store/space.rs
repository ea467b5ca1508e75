//! Room for chunks: the real file system's, less a reserve for the index and for deletes.
//!
//! The file system is asked at most once a second; in between, what writers have reserved is subtracted. What a
//! segment has allocated and not given away counts as free: it is ours.

use super::lock;
use crate::disk::Disk;
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// Bytes of the reserve at least, where the settings do not say.
const RESERVE_BYTES_MIN: u64 = 1024 * 1024 * 1024;
/// The reserve is this part of the capacity at least, where the settings do not say.
const RESERVE_PART: u64 = 20;
const FRESH_FOR: Duration = Duration::from_secs(1);

/// The room of one store.
pub struct Space {
    reserve_bytes: Option<u64>,
    reading: Mutex<Reading>,
}

#[derive(Clone, Copy, Default)]
struct Reading {
    at: Option<Instant>,
    capacity: u64,
    /// What was free when the file system was asked, less what was reserved since.
    free: u64,
}

impl Space {
    /// Nothing is known of the room yet.
    #[must_use]
    pub fn new(reserve_bytes: Option<u64>) -> Space {
        Space { reserve_bytes, reading: Mutex::default() }
    }

    /// Asks the file system, if that was not done lately. `unused_bytes` are allocated and not given away. Blocks.
    pub fn refresh(&self, now: Instant, disk: &dyn Disk, unused_bytes: u64) {
        let mut reading = lock(&self.reading);
        if reading.at.is_some_and(|at| now.saturating_duration_since(at) < FRESH_FOR) {
            return;
        }
        match disk.space() {
            Ok(space) => {
                let free = space.available_bytes.saturating_add(unused_bytes);
                *reading = Reading { at: Some(now), capacity: space.capacity_bytes, free };
            }
            Err(error) => tracing::warn!(%error, "the file system does not tell its free space"),
        }
    }

    /// Takes room for a record; refuses if the reserve would suffer.
    #[must_use]
    pub fn take(&self, bytes: u64) -> bool {
        let mut reading = lock(&self.reading);
        let enough = bytes.saturating_add(self.reserve(reading.capacity)) <= reading.free;
        if enough {
            reading.free -= bytes;
        }
        enough
    }

    /// The file system's bytes, and how many chunks can still take.
    #[must_use]
    pub fn capacity_and_available(&self) -> (u64, u64) {
        let reading = *lock(&self.reading);
        (reading.capacity, reading.free.saturating_sub(self.reserve(reading.capacity)))
    }

    fn reserve(&self, capacity: u64) -> u64 {
        self.reserve_bytes.unwrap_or_else(|| RESERVE_BYTES_MIN.max(capacity / RESERVE_PART))
    }
}
