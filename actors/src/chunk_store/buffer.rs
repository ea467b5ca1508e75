//! Read buffers that are used again: fresh pages from the kernel for every read would cost as much as the reading.

use super::lock;
use bytes::Bytes;
use std::sync::{Arc, Mutex};

/// Bytes of a pooled buffer, and of one read at most.
pub const BUFFER_BYTES: usize = 1024 * 1024;
/// Reads below this get a buffer of their own.
const POOLED_BYTES_MIN: usize = BUFFER_BYTES / 4;
/// Idle buffers that are kept at most.
const IDLE_MAX: usize = 16;

/// A pool of buffers.
#[derive(Clone, Default)]
pub struct Buffers(Arc<Mutex<Vec<Box<[u8]>>>>);

impl Buffers {
    /// Lets `fill` fill a buffer of `length` bytes, at most [`BUFFER_BYTES`], and answers it without copying.
    pub fn filled<E>(&self, length: usize, fill: impl FnOnce(&mut [u8]) -> Result<(), E>) -> Result<Bytes, E> {
        if length < POOLED_BYTES_MIN {
            let mut bytes = vec![0; length];
            fill(&mut bytes)?;
            return Ok(bytes.into());
        }
        let idle = lock(&self.0).pop();
        let bytes = idle.unwrap_or_else(|| vec![0; BUFFER_BYTES].into_boxed_slice());
        let mut buffer = Buffer { bytes, length, pool: self.clone() };
        fill(&mut buffer.bytes[..length])?;
        Ok(Bytes::from_owner(buffer))
    }
}

struct Buffer {
    bytes: Box<[u8]>,
    length: usize,
    pool: Buffers,
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut idle = lock(&self.pool.0);
        if idle.len() < IDLE_MAX {
            idle.push(std::mem::take(&mut self.bytes));
        }
    }
}
