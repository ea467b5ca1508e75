//! The deadline of one half of an exchange.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use tokio::time::{Instant, Sleep, sleep_until};

/// The deadline passed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expired;

/// Bounds every wait of a half. It registers with tokio's clock once, not once for each wait: there is one wait for
/// every few packets.
#[derive(Debug)]
pub(super) struct Timer {
    deadline: Instant,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    pub(super) fn new(deadline: Instant) -> Timer {
        Timer { deadline, sleep: None }
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    pub(super) fn set_deadline(&mut self, deadline: Instant) {
        if deadline != self.deadline {
            self.deadline = deadline;
            if let Some(sleep) = &mut self.sleep {
                sleep.as_mut().reset(deadline);
            }
        }
    }

    /// Waits for `future`, but not beyond the deadline.
    pub(super) async fn bound<F: Future>(&mut self, future: F) -> Result<F::Output, Expired> {
        let mut future = pin!(future);
        poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            let deadline = self.deadline;
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            sleep.as_mut().poll(cx).map(|()| Err(Expired))
        })
        .await
    }
}
