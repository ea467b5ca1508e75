//! The sending half of an exchange.

use super::outcome::{Outcome, Probe, Traffic};
use super::timer::Timer;
use super::{CallError, REFUSAL_WAIT};
use crate::frame::{self, FrameKind};
use bytes::Bytes;
use dfs_core::refusal::Refusal;
use quinn::{VarInt, WriteError};
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::time::Instant;

/// The code of a stream that was given up.
const RESET: VarInt = VarInt::from_u32(1);

/// Why nothing more can be sent.
#[derive(Debug)]
pub(super) enum SendFault {
    /// The peer wants no more. It may have said why.
    Stopped,
    TooLarge,
    TimedOut,
    Broken,
}

impl From<SendFault> for CallError {
    fn from(fault: SendFault) -> CallError {
        match fault {
            SendFault::TooLarge => CallError::Refused(Refusal::TooLarge),
            SendFault::TimedOut => CallError::TimedOut,
            SendFault::Stopped | SendFault::Broken => CallError::Broken,
        }
    }
}

/// The sending half of an exchange. Dropping it before [`SendHalf::finish`] resets the stream.
#[derive(Debug)]
pub struct SendHalf {
    stream: quinn::SendStream,
    timer: Timer,
    message_max: usize,
    /// Set while a write is under way: if it is cancelled or fails, the stream holds a part of it.
    torn: bool,
    finished: bool,
    /// Who wants to know how it ends.
    probe: Option<Probe>,
    /// Who wants to know how much was sent.
    traffic: Option<Arc<Traffic>>,
    /// Bytes that were sent before somebody did.
    uncounted: u64,
}

impl SendHalf {
    pub(super) fn new(stream: quinn::SendStream, deadline: Instant, message_max: usize) -> SendHalf {
        SendHalf {
            stream,
            timer: Timer::new(deadline),
            message_max,
            torn: false,
            finished: false,
            probe: None,
            traffic: None,
            uncounted: 0,
        }
    }

    /// Sends a message.
    ///
    /// # Errors
    /// [`CallError::Broken`] also if the peer has refused; the receiving half then has the refusal.
    pub async fn send_message<T: Serialize>(&mut self, message: &T) -> Result<(), CallError> {
        Ok(self.try_send_message(message).await?)
    }

    /// Sends bytes of payload.
    ///
    /// # Errors
    /// [`CallError::Broken`] also if the peer has refused; the receiving half then has the refusal.
    pub async fn send_payload(&mut self, payload: Bytes) -> Result<(), CallError> {
        Ok(self.write(payload).await?)
    }

    /// Sends a refusal in place of the next message, and finishes.
    ///
    /// # Errors
    /// The peer does not learn of the refusal, but that the exchange has failed.
    pub async fn refuse(mut self, refusal: Refusal) -> Result<(), CallError> {
        self.probe.iter().for_each(|probe| probe.refused(&refusal));
        // The deadline may be the very reason of the refusal.
        self.timer.set_deadline(self.timer.deadline().max(Instant::now() + REFUSAL_WAIT));
        let frame = frame::encode_frame(FrameKind::Refusal, &refusal, self.message_max);
        self.write(frame.map_err(|_| SendFault::TooLarge)?).await?;
        self.finish()
    }

    /// Finishes cleanly. What was sent reaches the peer even if this half is dropped now.
    ///
    /// # Errors
    /// [`CallError::Broken`] if something was cut off before.
    pub fn finish(&mut self) -> Result<(), CallError> {
        if self.torn {
            return Err(CallError::Broken);
        }
        self.stream.finish().map_err(|_| CallError::Broken)?;
        self.finished = true;
        self.probe.iter().for_each(|probe| probe.ended(Outcome::Done));
        Ok(())
    }

    /// Tells from now on how this half ends.
    pub fn probe(&mut self) -> Probe {
        self.probe.get_or_insert_default().clone()
    }

    pub(super) fn count_into(&mut self, traffic: &Arc<Traffic>) {
        traffic.sent.fetch_add(std::mem::take(&mut self.uncounted), Ordering::Relaxed);
        self.traffic = Some(traffic.clone());
    }

    /// Moves the deadline.
    pub fn set_deadline(&mut self, deadline: Instant) {
        self.timer.set_deadline(deadline);
    }

    pub(super) fn set_priority(&mut self, priority: i32) {
        // A stream that is closed already has no use for a priority.
        let _ = self.stream.set_priority(priority);
    }

    pub(super) fn set_message_max(&mut self, message_max: usize) {
        self.message_max = message_max;
    }

    pub(super) async fn try_send_message<T: Serialize>(&mut self, message: &T) -> Result<(), SendFault> {
        let frame = frame::encode_frame(FrameKind::Message, message, self.message_max);
        self.write(frame.map_err(|_| SendFault::TooLarge)?).await
    }

    /// Hands bytes to QUIC, as they are.
    pub(super) async fn write(&mut self, bytes: Bytes) -> Result<(), SendFault> {
        if self.torn {
            return Err(SendFault::Broken);
        }
        self.torn = true;
        let length = bytes.len() as u64;
        match self.timer.bound(self.stream.write_chunk(bytes)).await {
            Err(_) => Err(SendFault::TimedOut),
            Ok(Err(WriteError::Stopped(_))) => Err(SendFault::Stopped),
            Ok(Err(_)) => Err(SendFault::Broken),
            Ok(Ok(())) => {
                self.torn = false;
                match &self.traffic {
                    Some(traffic) => _ = traffic.sent.fetch_add(length, Ordering::Relaxed),
                    None => self.uncounted += length,
                }
                Ok(())
            }
        }
    }
}

impl Drop for SendHalf {
    fn drop(&mut self) {
        if !self.finished {
            // A stream that is merely dropped would end cleanly, as if all had been sent.
            let _ = self.stream.reset(RESET);
        }
    }
}
