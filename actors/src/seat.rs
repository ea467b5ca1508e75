//! Seats: where a restarted actor sits again.
//!
//! An actor's reference dies with it. A seat outlives it: handles point to the seat, the actor's supervisor puts each
//! new life of the actor into it, and whoever asks while it is vacant is told so at once. There is no global registry.

use dfs_core::refusal::Refusal;
use ractor::{ActorRef, Message, RpcReplyPort};
use std::fmt;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// Why a seat did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// No actor sits there at the moment, or it ended before it answered.
    #[error("the actor is not running")]
    Vacant,
    /// The deadline passed.
    #[error("the actor did not answer in time")]
    TimedOut,
}

impl From<AskError> for Refusal {
    fn from(error: AskError) -> Refusal {
        match error {
            AskError::Vacant => Refusal::Unavailable,
            AskError::TimedOut => Refusal::DeadlineExceeded,
        }
    }
}

/// The place of one actor in its node. Clones are the same seat.
pub struct Seat<M>(Arc<watch::Sender<Option<ActorRef<M>>>>);

impl<M: Message> Seat<M> {
    /// A vacant seat.
    #[must_use]
    pub fn new() -> Seat<M> {
        Seat(Arc::new(watch::Sender::new(None)))
    }

    /// Puts a life of the actor into the seat.
    pub(crate) fn take(&self, actor: ActorRef<M>) {
        self.0.send_replace(Some(actor));
    }

    /// Leaves the seat vacant.
    pub(crate) fn leave(&self) {
        self.0.send_replace(None);
    }

    /// Whether nobody sits there at the moment.
    #[must_use]
    pub fn is_vacant(&self) -> bool {
        self.0.borrow().is_none()
    }

    /// Sends a message; gives it back if nobody sits there. The sender holds a permit for what the message costs.
    ///
    /// # Errors
    /// The message, if the seat is vacant.
    pub fn cast(&self, message: M) -> Result<(), M> {
        let Some(actor) = self.0.borrow().clone() else {
            return Err(message);
        };
        match actor.send_message(message) {
            Ok(()) => Ok(()),
            Err(ractor::MessagingErr::SendErr(message)) => Err(message),
            // The other errors are about types that do not fit, which `ActorRef<M>` rules out.
            Err(_) => Ok(()),
        }
    }

    /// Asks a question and waits for its answer.
    ///
    /// # Errors
    /// [`AskError::Vacant`] at once if nobody sits there; [`AskError::TimedOut`] at the deadline.
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(RpcReplyPort<T>) -> M,
        deadline: Instant,
    ) -> Result<T, AskError> {
        let (answer, answered) = tokio::sync::oneshot::channel();
        self.cast(question(answer.into())).map_err(|_| AskError::Vacant)?;
        match timeout_at(deadline, answered).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(AskError::Vacant),
            Err(_) => Err(AskError::TimedOut),
        }
    }
}

impl<M: Message> Default for Seat<M> {
    fn default() -> Self {
        Seat::new()
    }
}

impl<M> Clone for Seat<M> {
    fn clone(&self) -> Self {
        Seat(self.0.clone())
    }
}

impl<M> fmt::Debug for Seat<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seat")
    }
}
