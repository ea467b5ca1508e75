//! An exchange: one request and all that follows from it, on one bidirectional stream.
//!
//! Owns the two halves of a QUIC stream, the deadline that bounds every wait on them, and the rule that messages and
//! payload never mix: messages have frames, payload has a length that the receiver announces with
//! [`Exchange::expect_payload`].
//!
//! An exchange that is dropped before [`Exchange::finish`] is reset in both directions, so that a transfer that was cut
//! off never looks complete to the other side. Every wait can be cancelled; a cancelled receive loses nothing.

mod outcome;
mod receive;
mod send;
mod timer;

pub use outcome::{Outcome, Probe, Traffic};
pub use receive::ReceiveHalf;
pub use send::SendHalf;

pub use crate::peers::unreachable::{CertificateFault, UnreachableReason};

use bytes::Bytes;
use dfs_core::refusal::Refusal;
use send::SendFault;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long a refusal may take to be handed to QUIC when the deadline has passed, and how long a sender that was
/// stopped waits for the reason.
const REFUSAL_WAIT: Duration = Duration::from_secs(1);

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The peer understood the request and refused it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The request was never sent: there is no usable connection to the peer.
    #[error("the peer cannot be used: {0}")]
    Unreachable(#[from] UnreachableReason),
    /// The deadline passed; whether the peer did what it was asked is unknown.
    #[error("the peer did not answer in time")]
    TimedOut,
    /// The stream or its connection ended early, or carried something malformed; whether the peer did what it was
    /// asked is unknown.
    #[error("the connection broke before the answer was complete")]
    Broken,
}

impl CallError {
    /// Whether the same request may succeed a little later, here or at another node of the same role.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            CallError::Refused(refusal) => refusal.is_retryable(),
            CallError::Unreachable(reason) => !reason.is_lasting(),
            CallError::TimedOut | CallError::Broken => true,
        }
    }
}

/// One bidirectional stream with a peer.
#[derive(Debug)]
pub struct Exchange {
    send: SendHalf,
    receive: ReceiveHalf,
}

impl Exchange {
    /// Takes a stream over. `message_max` bounds every message on it, in bytes.
    pub(crate) fn new(
        send: quinn::SendStream,
        receive: quinn::RecvStream,
        deadline: Instant,
        message_max: usize,
    ) -> Exchange {
        Exchange {
            send: SendHalf::new(send, deadline, message_max),
            receive: ReceiveHalf::new(receive, deadline, message_max),
        }
    }

    /// Sends a message.
    ///
    /// # Errors
    /// [`CallError::Refused`] if the peer has refused what was sent so far, or if the message is too large.
    pub async fn send_message<T: Serialize>(&mut self, message: &T) -> Result<(), CallError> {
        let sent = self.send.try_send_message(message).await;
        self.explain(sent).await
    }

    /// Sends bytes of payload.
    ///
    /// # Errors
    /// [`CallError::Refused`] if the peer has refused what was sent so far.
    pub async fn send_payload(&mut self, payload: Bytes) -> Result<(), CallError> {
        let sent = self.send.write(payload).await;
        self.explain(sent).await
    }

    /// Receives a message.
    ///
    /// # Errors
    /// [`CallError::Refused`] if there is a refusal in its place; [`CallError::Broken`] if the stream ends before the
    /// message is complete, or payload is expected first.
    pub async fn receive_message<T: DeserializeOwned>(&mut self) -> Result<T, CallError> {
        self.receive.receive_message().await
    }

    /// Receives a message, or nothing if the peer has finished its side.
    ///
    /// # Errors
    /// As [`Exchange::receive_message`].
    pub async fn receive_message_or_end<T: DeserializeOwned>(&mut self) -> Result<Option<T>, CallError> {
        self.receive.receive_message_or_end().await
    }

    /// Says that the next `length` bytes to be received are payload.
    pub fn expect_payload(&mut self, length: u64) {
        self.receive.expect_payload(length);
    }

    /// Bytes of payload that are still expected.
    #[must_use]
    pub fn payload_left(&self) -> u64 {
        self.receive.payload_left()
    }

    /// Receives between one and `max` bytes of the expected payload, or nothing once all of it was received.
    ///
    /// # Errors
    /// [`CallError::Broken`] if the stream ends before the payload is complete.
    pub async fn receive_payload(&mut self, max: usize) -> Result<Option<Bytes>, CallError> {
        self.receive.receive_payload(max).await
    }

    /// Sends the last message and finishes.
    ///
    /// # Errors
    /// As [`Exchange::send_message`].
    pub async fn reply<T: Serialize>(mut self, message: &T) -> Result<(), CallError> {
        self.send_message(message).await?;
        self.finish().await
    }

    /// Refuses what was asked: the peer receives `refusal` in place of the next message, and is told to send nothing
    /// more.
    ///
    /// # Errors
    /// The peer does not learn of the refusal, but that the exchange has failed.
    pub async fn refuse(self, refusal: Refusal) -> Result<(), CallError> {
        let Exchange { send, receive: _receive } = self;
        send.refuse(refusal).await
    }

    /// Finishes this side cleanly. What was sent reaches the peer even if the exchange is dropped now.
    ///
    /// # Errors
    /// [`CallError::Broken`] if something was cut off before.
    pub async fn finish(&mut self) -> Result<(), CallError> {
        self.send.finish()
    }

    /// Moves the deadline of both directions.
    pub fn set_deadline(&mut self, deadline: Instant) {
        self.send.set_deadline(deadline);
        self.receive.set_deadline(deadline);
    }

    /// The deadline of what is being waited for.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.receive.deadline()
    }

    /// Orders this stream among the others of its connection: higher goes first, the usual is zero.
    pub fn set_priority(&mut self, priority: i32) {
        self.send.set_priority(priority);
    }

    /// Tells from now on how this side ends the exchange.
    pub fn probe(&mut self) -> Probe {
        self.send.probe()
    }

    /// Counts what passes, and what has passed so far, with that of other exchanges.
    pub fn count_into(&mut self, traffic: &Arc<Traffic>) {
        self.send.count_into(traffic);
        self.receive.count_into(traffic);
    }

    /// Parts the two directions. Each resets itself when it is dropped early.
    #[must_use]
    pub fn into_split(self) -> (SendHalf, ReceiveHalf) {
        (self.send, self.receive)
    }

    /// Sends a whole request, header and all.
    pub(crate) async fn send_request(&mut self, request: Bytes) -> Result<(), CallError> {
        let sent = self.send.write(request).await;
        self.explain(sent).await
    }

    pub(crate) fn receive_half(&mut self) -> &mut ReceiveHalf {
        &mut self.receive
    }

    pub(crate) fn set_message_max(&mut self, message_max: usize) {
        self.send.set_message_max(message_max);
        self.receive.set_message_max(message_max);
    }

    /// A peer that refuses stops the sender. Its reason is on the other direction, or about to be.
    async fn explain(&mut self, sent: Result<(), SendFault>) -> Result<(), CallError> {
        match sent {
            Err(SendFault::Stopped) => {
                let deadline = self.deadline();
                self.receive.set_deadline(deadline.min(Instant::now() + REFUSAL_WAIT));
                let refusal = self.receive.receive_refusal().await;
                self.receive.set_deadline(deadline);
                Err(refusal.map_or(CallError::Broken, CallError::Refused))
            }
            other => other.map_err(CallError::from),
        }
    }
}

#[cfg(test)]
mod tests;
