//! Points in time and spans, as people and programs read them. Always UTC.

use dfs_core::time::WallTime;
use dfs_core::unit::{InvalidTime, Milliseconds};
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

fn utc(time: WallTime) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(time.0) * 1_000_000).ok()
}

/// For people: `2026-11-22 08:36:05`. A time that no calendar has is shown as milliseconds.
#[must_use]
pub fn for_people(time: WallTime) -> String {
    let Some(moment) = utc(time) else { return format!("{} ms", time.0) };
    let (date, clock) = (moment.date(), moment.time());
    format!("{date} {:02}:{:02}:{:02}", clock.hour(), clock.minute(), clock.second())
}

/// For programs: RFC 3339, such as `2026-11-22T08:36:05.123Z`. A time that no calendar has is empty.
#[must_use]
pub fn for_programs(time: WallTime) -> String {
    utc(time).and_then(|moment| moment.format(&Rfc3339).ok()).unwrap_or_default()
}

/// A span in the unit that fits it: `850 ms`, `12.3 s`, `4 min 10 s`, `2 h 5 min`, `3 d 4 h`.
#[must_use]
pub fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..=59 => format!("{}.{} s", seconds, duration.subsec_millis() / 100),
        60..=3599 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..=86_399 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// Reads a span of at least a millisecond, such as `500ms`, `30s` or `2min`.
///
/// # Errors
/// Anything else.
pub fn parse_span(text: &str) -> Result<Duration, InvalidSpan> {
    match text.parse()? {
        Milliseconds(0) => Err(InvalidSpan::Zero),
        Milliseconds(milliseconds) => Ok(Duration::from_millis(milliseconds)),
    }
}

/// A text that is not a span.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSpan {
    /// It is no time.
    #[error(transparent)]
    Time(#[from] InvalidTime),
    /// It is no time at all.
    #[error("it must be at least 1ms")]
    Zero,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_utc() {
        let time = WallTime(1_795_336_565_123);
        assert_eq!(for_people(time), "2026-11-22 08:36:05");
        assert_eq!(for_programs(time), "2026-11-22T08:36:05.123Z");
        assert_eq!(for_people(WallTime(u64::MAX)), format!("{} ms", u64::MAX));
        assert_eq!(for_programs(WallTime(u64::MAX)), "");
    }

    #[test]
    fn spans_are_shown_in_the_unit_that_fits() {
        let shown = [850, 12_345, 250_000, 7_500_000, 273_600_000].map(|ms| span(Duration::from_millis(ms)));
        assert_eq!(shown, ["850 ms", "12.3 s", "4 min 10 s", "2 h 5 min", "3 d 4 h"]);
    }

    #[test]
    fn spans_are_read_with_their_unit() {
        assert_eq!(parse_span("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_span("30 s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_span("2min"), Ok(Duration::from_secs(120)));
        for text in ["", "3", "s", "0s", "-1s", "1.5s", "3 sec", "99999999999999999999s"] {
            assert!(parse_span(text).is_err(), "{text}");
        }
    }
}
