//! The page of metrics as Prometheus reads it (text format 0.0.4).

use dfs_actors::meter::{BUCKETS_US, Distribution};
use std::fmt::{Display, Write};
use std::time::Duration;

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// How long things took.
    Histogram,
}

/// A page that is being written: one family of samples after the other.
#[derive(Debug, Default)]
pub struct Page {
    text: String,
    family: &'static str,
}

/// A number of seconds, as the format wants all times.
pub fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

impl Page {
    /// Begins the samples of a metric.
    pub fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> &mut Page {
        let word = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.family = name;
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {word}"));
        self
    }

    /// Adds a sample of the present metric.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) -> &mut Page {
        let (family, labels) = (self.family, Labels(labels, None));
        self.line(format_args!("{family}{labels} {value}"));
        self
    }

    /// A metric with one sample.
    pub fn single(&mut self, name: &'static str, kind: Kind, help: &str, value: impl Display) {
        self.family(name, kind, help).sample(&[], value);
    }

    /// Adds a histogram of the present metric.
    pub fn distribution(&mut self, labels: &[(&str, &str)], distribution: &Distribution) -> &mut Page {
        let family = self.family;
        let mut total = 0;
        for (place, count) in distribution.counts.iter().enumerate() {
            total += count;
            let bound = BUCKETS_US.get(place).map_or(f64::INFINITY, |us| seconds(Duration::from_micros(*us)));
            let bound = if bound.is_finite() { bound.to_string() } else { "+Inf".to_owned() };
            self.line(format_args!("{family}_bucket{} {total}", Labels(labels, Some(&bound))));
        }
        self.line(format_args!("{family}_sum{} {}", Labels(labels, None), seconds(distribution.sum)));
        self.line(format_args!("{family}_count{} {total}", Labels(labels, None)));
        self
    }

    /// The text.
    pub fn into_text(self) -> String {
        self.text
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing into a string does not fail.
        let _ = writeln!(self.text, "{line}");
    }
}

/// Labels as they stand behind a name; the last is a bucket's bound.
struct Labels<'a>(&'a [(&'a str, &'a str)], Option<&'a str>);

impl Display for Labels<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bound = self.1.map(|bound| ("le", bound));
        let mut opening = '{';
        for (name, value) in self.0.iter().copied().chain(bound) {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            write!(f, "{opening}{name}=\"{value}\"")?;
            opening = ',';
        }
        if opening == ',' { f.write_char('}') } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dfs_actors::meter::Histogram;

    #[test]
    fn a_page_is_what_prometheus_reads() {
        let mut page = Page::default();
        page.single("dfs_ready", Kind::Gauge, "Whether.", 1);
        page.family("dfs_odd_total", Kind::Counter, "Odd.").sample(&[("a", "x\"\\\ny"), ("b", "")], 7);
        let histogram = Histogram::default();
        for took_us in [90, 240, 20_000_000] {
            histogram.record(Duration::from_micros(took_us));
        }
        page.family("dfs_took_seconds", Kind::Histogram, "Took.")
            .distribution(&[("of", "b")], &histogram.distribution());
        let text = page.into_text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..3], ["# HELP dfs_ready Whether.", "# TYPE dfs_ready gauge", "dfs_ready 1"]);
        assert_eq!(lines[5], "dfs_odd_total{a=\"x\\\"\\\\\\ny\",b=\"\"} 7");
        assert_eq!(lines[8], "dfs_took_seconds_bucket{of=\"b\",le=\"0.0001\"} 1");
        assert_eq!(lines[9], "dfs_took_seconds_bucket{of=\"b\",le=\"0.00025\"} 2");
        let end = &lines[lines.len() - 4..];
        assert_eq!(end[0], "dfs_took_seconds_bucket{of=\"b\",le=\"10\"} 2");
        assert_eq!(end[1], "dfs_took_seconds_bucket{of=\"b\",le=\"+Inf\"} 3");
        assert_eq!(end[2..], ["dfs_took_seconds_sum{of=\"b\"} 20.00033", "dfs_took_seconds_count{of=\"b\"} 3"]);
    }
}
