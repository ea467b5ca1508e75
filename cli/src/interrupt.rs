//! Ctrl-C and SIGTERM, as something to wait for.

use crate::exit::Exit;
use crate::failure::Failure;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Hears Ctrl-C (SIGINT), SIGTERM and a closed terminal (SIGHUP) from the moment it is made; the process no longer
/// ends by them itself.
#[derive(Debug)]
pub struct Interrupt {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Interrupt {
    /// Begins to listen. It must be made inside a runtime.
    ///
    /// # Errors
    /// The operating system does not let it.
    pub fn listen() -> Result<Interrupt, Failure> {
        let hear = |kind| {
            signal(kind)
                .map_err(|cause| Failure::new(Exit::Failure, format_args!("cannot listen for signals: {cause}")))
        };
        Ok(Interrupt {
            interrupt: hear(SignalKind::interrupt())?,
            terminate: hear(SignalKind::terminate())?,
            hang_up: hear(SignalKind::hangup())?,
        })
    }

    /// Waits for the next of them.
    pub async fn heard(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}
