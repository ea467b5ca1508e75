//! What chunks have in common on their way, in whichever direction.

use std::time::Duration;

/// Bytes that are handed to the transport or taken from it at once at most: progress is noticed in steps of this size.
pub(crate) const PIECE_BYTES: usize = 256 * 1024;
/// The slowest transfer that is worth waiting for, in bytes per second.
const BYTES_PER_SECOND_MIN: u32 = 256 * 1024;

/// How long so many bytes may take on their way.
pub(crate) fn longest(bytes: u32) -> Duration {
    Duration::from_secs(u64::from(bytes / BYTES_PER_SECOND_MIN))
}
