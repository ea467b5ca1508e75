//! Frames: what stands before each message on a stream.
//!
//! A stream begins with a request header of 16 bytes and the request's message. Every later message, in either
//! direction, has a frame header of 5 bytes. All numbers are little-endian. Payload has no frames: both sides know its
//! length from the messages around it.
//!
//! ```text
//! request: magic u8 | service u8 | method u8 | version u8 | deadline ms u32 | length u32 | flags u16 = 0 | zero u16
//! frame:   kind u8 | length u32
//! ```

use bytes::Bytes;
use dfs_core::limit::{MESSAGE_BYTES_MAX, RAFT_MESSAGE_BYTES_MAX};
use dfs_core::wire::Service;
use serde::Serialize;

/// Bytes of a request header.
pub(crate) const REQUEST_HEADER_BYTES: usize = 16;
/// Bytes of a frame header.
pub(crate) const FRAME_HEADER_BYTES: usize = 5;
/// Bytes of a hello at most.
pub(crate) const HELLO_BYTES_MAX: usize = 4096;

/// The first byte of every request. Another form of header would get another one.
const MAGIC: u8 = 0xD1;

/// Bytes that a message for this service may have.
pub(crate) fn message_bytes_max(service: Service) -> usize {
    match service {
        Service::Raft => RAFT_MESSAGE_BYTES_MAX,
        _ => MESSAGE_BYTES_MAX,
    }
}

/// The bytes are not a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// A message is larger than its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

/// What stands before a request's message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestHeader {
    /// The service's number, which may be unknown here.
    pub(crate) service: u8,
    pub(crate) method: u8,
    pub(crate) version: u8,
    /// Milliseconds that the sender is going to wait.
    pub(crate) deadline_ms: u32,
    /// Bytes of the message.
    pub(crate) length: u32,
}

impl RequestHeader {
    pub(crate) fn encode(self) -> [u8; REQUEST_HEADER_BYTES] {
        let mut bytes = [0; REQUEST_HEADER_BYTES];
        bytes[..4].copy_from_slice(&[MAGIC, self.service, self.method, self.version]);
        bytes[4..8].copy_from_slice(&self.deadline_ms.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.length.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: [u8; REQUEST_HEADER_BYTES]) -> Result<RequestHeader, Malformed> {
        let [magic, service, method, version, d0, d1, d2, d3, l0, l1, l2, l3, 0, 0, 0, 0] = bytes else {
            return Err(Malformed);
        };
        if magic != MAGIC {
            return Err(Malformed);
        }
        let deadline_ms = u32::from_le_bytes([d0, d1, d2, d3]);
        Ok(RequestHeader { service, method, version, deadline_ms, length: u32::from_le_bytes([l0, l1, l2, l3]) })
    }
}

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameKind {
    /// The message that is expected at this place.
    Message = 1,
    /// A refusal instead.
    Refusal = 2,
}

/// What stands before a later message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) kind: FrameKind,
    /// Bytes of the message.
    pub(crate) length: u32,
}

impl FrameHeader {
    pub(crate) fn encode(self) -> [u8; FRAME_HEADER_BYTES] {
        let [l0, l1, l2, l3] = self.length.to_le_bytes();
        [self.kind as u8, l0, l1, l2, l3]
    }

    pub(crate) fn decode(bytes: [u8; FRAME_HEADER_BYTES]) -> Result<FrameHeader, Malformed> {
        let [kind, l0, l1, l2, l3] = bytes;
        let kind = match kind {
            1 => FrameKind::Message,
            2 => FrameKind::Refusal,
            _ => return Err(Malformed),
        };
        Ok(FrameHeader { kind, length: u32::from_le_bytes([l0, l1, l2, l3]) })
    }
}

/// A request with its header, ready to be sent. The length in `header` is filled in.
pub(crate) fn encode_request<T: Serialize>(header: RequestHeader, message: &T, max: usize) -> Result<Bytes, TooLarge> {
    encode_behind(&[0; REQUEST_HEADER_BYTES], message, max, |length| RequestHeader { length, ..header }.encode())
}

/// A message with its frame header, ready to be sent.
pub(crate) fn encode_frame<T: Serialize>(kind: FrameKind, message: &T, max: usize) -> Result<Bytes, TooLarge> {
    encode_behind(&[0; FRAME_HEADER_BYTES], message, max, |length| FrameHeader { kind, length }.encode())
}

/// Encodes a message behind the place of its header, so that both leave in one buffer.
fn encode_behind<const N: usize, T: Serialize>(
    place: &[u8; N],
    message: &T,
    max: usize,
    header: impl FnOnce(u32) -> [u8; N],
) -> Result<Bytes, TooLarge> {
    let mut bytes =
        postcard::to_extend(message, place.to_vec()).expect("the types of the protocol have a postcard form");
    let length = bytes.len() - N;
    if length > max {
        return Err(TooLarge);
    }
    bytes[..N].copy_from_slice(&header(u32::try_from(length).map_err(|_| TooLarge)?));
    Ok(bytes.into())
}

#[cfg(test)]
mod tests;
