//! Times on the command line: `90`, `90s`, `2m`, `1.5h`.

use std::time::Duration;

/// A text that is no time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no time: write seconds, or a number with s, m or h, such as 90s, 2m or 1.5h")]
pub(super) struct InvalidSpan(String);

/// A text that is no number of hours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no number of hours: write a number above 0 and up to 10000, such as 2 or 0.5")]
pub(super) struct InvalidHours(String);

/// Reads a time.
pub(super) fn parse(text: &str) -> Result<Duration, InvalidSpan> {
    let invalid = || InvalidSpan(text.to_owned());
    let (number, unit_s) = match text.as_bytes().last() {
        Some(b's') => (&text[..text.len() - 1], 1.0),
        Some(b'm') => (&text[..text.len() - 1], 60.0),
        Some(b'h') => (&text[..text.len() - 1], 3600.0),
        _ => (text, 1.0),
    };
    let number: f64 = number.parse().map_err(|_| invalid())?;
    Duration::try_from_secs_f64(number * unit_s).map_err(|_| invalid())
}

/// Reads a number of hours.
pub(super) fn parse_hours(text: &str) -> Result<f64, InvalidHours> {
    let hours = text.parse().ok().filter(|hours| *hours > 0.0 && *hours <= 10_000.0);
    hours.ok_or_else(|| InvalidHours(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units_and_seconds_need_none() {
        let seconds = |text: &str| parse(text).map(|span| span.as_secs_f64());
        assert_eq!(
            [seconds("90"), seconds("90s"), seconds("2m"), seconds("1.5h")],
            [Ok(90.0), Ok(90.0), Ok(120.0), Ok(5400.0)]
        );
        for wrong in ["", "s", "-1", "soon", "1d", "nan", "1e99", "inf"] {
            assert_eq!(seconds(wrong), Err(InvalidSpan(wrong.to_owned())));
        }
        assert_eq!(parse_hours("0.5"), Ok(0.5));
        for wrong in ["0", "-1", "nan", "inf", "x", "10001"] {
            assert!(parse_hours(wrong).is_err(), "{wrong}");
        }
    }
}
