//! What a node logs: events of `tracing`, on standard error, as its settings say.

use crate::exit::Exit;
use crate::failure::Failure;
use dfs_nodes::settings::{LogFormat, NodeSettings};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Begins to log. Once in a process.
///
/// # Errors
/// Something logs already.
pub fn start(settings: &NodeSettings) -> Result<(), Failure> {
    let filter = EnvFilter::new(settings.log_level.as_str());
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let begun = match settings.log_format {
        LogFormat::Text => subscriber.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
    };
    begun.map_err(|error| Failure::new(Exit::Failure, format_args!("cannot log: {error}")))?;
    // A panic is an event too, so that a program that reads the log sees it.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let cause = panic.payload_as_str().unwrap_or("unknown cause");
        tracing::error!(place, cause, "this is a bug: a task panicked");
    }));
    Ok(())
}
