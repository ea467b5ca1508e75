//! What a node logs: events of `tracing`, on standard error, one a line with the node's name, as its settings say.

use crate::exit::Exit;
use crate::failure::Failure;
use dfs_nodes::settings::{LogFilter, LogFormat, NodeSettings};
use std::fmt;
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Begins to log. Once in a process.
///
/// # Errors
/// Something logs already.
pub fn start(settings: &NodeSettings) -> Result<(), Failure> {
    let node = format!("{}-{}", settings.role.role(), settings.node);
    let filter = EnvFilter::new(directives(&settings.log_level));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let begun = match settings.log_format {
        LogFormat::Text => subscriber
            .with_ansi(false)
            .map_event_format(|inner| Named { opening: format!("{node} "), replaces: "", inner })
            .try_init(),
        LogFormat::Json => subscriber
            .json()
            .flatten_event(true)
            .map_event_format(|inner| Named { opening: format!("{{\"node\":\"{node}\","), replaces: "{", inner })
            .try_init(),
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

/// What is logged, but for the Raft engine's own accounts, which fill a log at `info` and tell an operator nothing;
/// they are there for who names `openraft`.
fn directives(filter: &LogFilter) -> String {
    let text = filter.as_str();
    let mut levels = text.split(',').filter(|directive| !directive.contains('='));
    let is_wide = levels.any(|level| matches!(level, "info" | "debug" | "trace"));
    if is_wide && !text.contains("openraft") { format!("{text},openraft=warn") } else { text.to_owned() }
}

/// Events with the node's name before all else.
struct Named<F> {
    /// What a line begins with.
    opening: String,
    /// What the inner format begins with, which `opening` stands for.
    replaces: &'static str,
    inner: F,
}

impl<S, N, F> FormatEvent<S, N> for Named<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = String::new();
        self.inner.format_event(context, Writer::new(&mut line), event)?;
        writer.write_str(&self.opening)?;
        writer.write_str(line.strip_prefix(self.replaces).unwrap_or(&line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_raft_engine_is_quiet_unless_named() {
        let of = |text: &str| directives(&text.parse().unwrap());
        assert_eq!(of("info"), "info,openraft=warn");
        assert_eq!(of("debug,dfs_actors=trace"), "debug,dfs_actors=trace,openraft=warn");
        assert_eq!(of("error"), "error");
        assert_eq!(of("info,openraft=debug"), "info,openraft=debug");
        assert_eq!(of("dfs_actors=debug"), "dfs_actors=debug");
    }
}
