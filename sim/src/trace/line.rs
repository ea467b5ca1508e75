//! One line of the trace, in columns: virtual time, node, actor or kind, text.

use std::fmt;
use std::time::Duration;

/// A line.
pub(super) struct Line<'l> {
    pub(super) time: Duration,
    /// The node, or `-`.
    pub(super) node: &'l str,
    /// What kind of event it is, or the actor that says so.
    pub(super) kind: &'l str,
    pub(super) text: &'l str,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Line { time, node, kind, text } = self;
        let (seconds, micros) = (time.as_secs(), time.subsec_micros());
        writeln!(f, "{seconds:>6}.{micros:06}  {node:<10}  {kind:<15}  {}", OneLine(text))
    }
}

/// A text whose line breaks are shown as `; `.
struct OneLine<'t>(&'t str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "";
        for line in self.0.trim_end().lines() {
            write!(f, "{between}{line}")?;
            between = "; ";
        }
        Ok(())
    }
}
