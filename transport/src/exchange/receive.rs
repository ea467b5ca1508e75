//! The receiving half of an exchange.
//!
//! Bytes come in as QUIC's own buffers, several at a time, and are handed on without being copied. What was read
//! beyond the present message or payload is carried over to the next.

use super::CallError;
use super::outcome::Traffic;
use super::timer::Timer;
use crate::frame::{FRAME_HEADER_BYTES, FrameHeader, FrameKind, REQUEST_HEADER_BYTES, RequestHeader};
use bytes::{Buf, Bytes, BytesMut};
use dfs_core::refusal::Refusal;
use dfs_core::wire;
use futures_util::FutureExt;
use serde::de::DeserializeOwned;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::time::Instant;

/// Buffers that are taken from QUIC at a time.
const CHUNKS_AT_ONCE: usize = 16;
/// Bytes that are set aside for a message before any of it has come.
const MESSAGE_BYTES_AHEAD: usize = 64 * 1024;

/// The receiving half of an exchange. Dropping it early tells the peer to stop sending.
#[derive(Debug)]
pub struct ReceiveHalf {
    stream: quinn::RecvStream,
    timer: Timer,
    message_max: usize,
    /// Read, but not yet asked for.
    carry: VecDeque<Bytes>,
    carried: usize,
    /// The header of the message that is coming in.
    pending: Option<FrameHeader>,
    /// The part of that message that has come, if it came in several buffers.
    partial: BytesMut,
    payload_left: u64,
    ended: bool,
    /// Who wants to know how much was received.
    traffic: Option<Arc<Traffic>>,
    /// Bytes that were received before somebody did.
    uncounted: u64,
}

impl ReceiveHalf {
    pub(super) fn new(stream: quinn::RecvStream, deadline: Instant, message_max: usize) -> ReceiveHalf {
        ReceiveHalf {
            stream,
            timer: Timer::new(deadline),
            message_max,
            carry: VecDeque::new(),
            carried: 0,
            pending: None,
            partial: BytesMut::new(),
            payload_left: 0,
            ended: false,
            traffic: None,
            uncounted: 0,
        }
    }

    /// Receives a message.
    ///
    /// # Errors
    /// [`CallError::Refused`] if there is a refusal in its place; [`CallError::Broken`] if the stream ends before the
    /// message is complete, or payload is expected first.
    pub async fn receive_message<T: DeserializeOwned>(&mut self) -> Result<T, CallError> {
        self.receive_message_or_end().await?.ok_or(CallError::Broken)
    }

    /// Receives a message, or nothing if the peer has finished its side.
    ///
    /// # Errors
    /// As [`ReceiveHalf::receive_message`].
    pub async fn receive_message_or_end<T: DeserializeOwned>(&mut self) -> Result<Option<T>, CallError> {
        match self.receive_frame().await? {
            None => Ok(None),
            Some((FrameKind::Message, bytes)) => wire::decode(&bytes).map(Some).map_err(|_| CallError::Broken),
            Some((FrameKind::Refusal, bytes)) => Err(refusal(&bytes)),
        }
    }

    /// Says that the next `length` bytes are payload.
    pub fn expect_payload(&mut self, length: u64) {
        self.payload_left = length;
    }

    /// Bytes of payload that are still expected.
    #[must_use]
    pub fn payload_left(&self) -> u64 {
        self.payload_left
    }

    /// Receives between one and `max` bytes of the expected payload, or nothing once all of it was received.
    ///
    /// # Errors
    /// [`CallError::Broken`] if the stream ends before the payload is complete.
    pub async fn receive_payload(&mut self, max: usize) -> Result<Option<Bytes>, CallError> {
        if self.payload_left == 0 || max == 0 {
            return Ok(None);
        }
        if self.carried == 0 && !self.fill().await? {
            return Err(CallError::Broken);
        }
        let left = usize::try_from(self.payload_left).unwrap_or(usize::MAX);
        let payload = self.take_at_most(max.min(left));
        self.payload_left -= payload.len() as u64;
        Ok(Some(payload))
    }

    pub(super) fn count_into(&mut self, traffic: &Arc<Traffic>) {
        traffic.received.fetch_add(std::mem::take(&mut self.uncounted), Ordering::Relaxed);
        self.traffic = Some(traffic.clone());
    }

    /// Moves the deadline.
    pub fn set_deadline(&mut self, deadline: Instant) {
        self.timer.set_deadline(deadline);
    }

    /// The deadline of what is being waited for.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.timer.deadline()
    }

    pub(super) fn set_message_max(&mut self, message_max: usize) {
        self.message_max = message_max;
    }

    /// The refusal that comes next, if one does.
    pub(super) async fn receive_refusal(&mut self) -> Option<Refusal> {
        match self.receive_frame().await {
            Ok(Some((FrameKind::Refusal, bytes))) => wire::decode(&bytes).ok(),
            _ => None,
        }
    }

    /// The header that a stream begins with; `None` if it ends without one.
    pub(crate) async fn receive_request_header(&mut self) -> Result<Option<[u8; REQUEST_HEADER_BYTES]>, CallError> {
        self.take_exactly().await
    }

    /// The message behind `header`, whose length was checked.
    pub(crate) async fn receive_request_message(&mut self, header: RequestHeader) -> Result<Bytes, CallError> {
        self.take_message(header.length as usize).await
    }

    /// The next frame, or nothing at the end of the stream.
    pub(crate) async fn receive_frame(&mut self) -> Result<Option<(FrameKind, Bytes)>, CallError> {
        if self.payload_left > 0 {
            return Err(CallError::Broken);
        }
        let header = match self.pending {
            Some(header) => header,
            None => {
                let Some(bytes) = self.take_exactly::<FRAME_HEADER_BYTES>().await? else { return Ok(None) };
                let header = FrameHeader::decode(bytes).map_err(|_| CallError::Broken)?;
                if header.length as usize > self.message_max {
                    return Err(CallError::Broken);
                }
                *self.pending.insert(header)
            }
        };
        let bytes = self.take_message(header.length as usize).await?;
        self.pending = None;
        Ok(Some((header.kind, bytes)))
    }

    /// Reads more. False at the end of the stream.
    async fn fill(&mut self) -> Result<bool, CallError> {
        if self.ended {
            return Ok(false);
        }
        let mut chunks = [const { Bytes::new() }; CHUNKS_AT_ONCE];
        match self.timer.bound(self.stream.read_chunks(&mut chunks)).await {
            Err(_) => Err(CallError::TimedOut),
            Ok(Err(_)) => Err(CallError::Broken),
            Ok(Ok(None)) => {
                self.ended = true;
                Ok(false)
            }
            Ok(Ok(Some(count))) => {
                let before = self.carried;
                for chunk in chunks.into_iter().take(count).filter(|chunk| !chunk.is_empty()) {
                    self.carried += chunk.len();
                    self.carry.push_back(chunk);
                }
                let length = (self.carried - before) as u64;
                match &self.traffic {
                    Some(traffic) => _ = traffic.received.fetch_add(length, Ordering::Relaxed),
                    None => self.uncounted += length,
                }
                Ok(true)
            }
        }
    }

    /// The next `N` bytes; `None` if the stream ends before the first of them.
    async fn take_exactly<const N: usize>(&mut self) -> Result<Option<[u8; N]>, CallError> {
        while self.carried < N {
            if !self.fill().await? {
                return if self.carried == 0 { Ok(None) } else { Err(CallError::Broken) };
            }
        }
        let mut bytes = [0; N];
        let mut filled = 0;
        while filled < N {
            let part = self.take_at_most(N - filled);
            bytes[filled..filled + part.len()].copy_from_slice(&part);
            filled += part.len();
        }
        Ok(Some(bytes))
    }

    /// The next `length` bytes, copied only if they came in several buffers.
    async fn take_message(&mut self, length: usize) -> Result<Bytes, CallError> {
        if length == 0 {
            return Ok(Bytes::new());
        }
        while self.partial.len() < length {
            if self.carried == 0 && !self.fill().await? {
                return Err(CallError::Broken);
            }
            let part = self.take_at_most(length - self.partial.len());
            if part.len() == length {
                return Ok(part);
            }
            if self.partial.is_empty() {
                self.partial.reserve(length.min(MESSAGE_BYTES_AHEAD));
            }
            self.partial.extend_from_slice(&part);
        }
        Ok(std::mem::take(&mut self.partial).freeze())
    }

    /// Up to `max` bytes of the first buffer that is carried. There must be one.
    fn take_at_most(&mut self, max: usize) -> Bytes {
        let Some(front) = self.carry.front_mut() else { return Bytes::new() };
        let taken =
            if front.remaining() <= max { self.carry.pop_front().unwrap_or_default() } else { front.split_to(max) };
        self.carried -= taken.len();
        taken
    }
}

impl Drop for ReceiveHalf {
    fn drop(&mut self) {
        // The peer's clean end is usually here already, but unread. Reading it spares the peer a request to stop.
        if !self.ended && self.carried == 0 {
            let _ = self.stream.read_chunks(&mut [Bytes::new()]).now_or_never();
        }
    }
}

/// A refusal as an error; a peer that refuses in words unknown here has still refused.
fn refusal(bytes: &[u8]) -> CallError {
    CallError::Refused(wire::decode(bytes).unwrap_or(Refusal::Internal))
}
