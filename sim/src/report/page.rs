//! The one-page report: aligned plain text.

use super::{Recovery, Summary};
use std::collections::BTreeMap;
use std::fmt;

/// Where numbers end.
const NUMBERS_END: usize = 42;

/// A number with a comma at each thousand.
pub(crate) struct Number(pub(crate) u64);

/// Milliseconds in the unit that fits them.
pub(crate) struct Span(pub(crate) u64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        let mut text = String::new();
        for (place, digit) in digits.chars().enumerate() {
            if place > 0 && (digits.len() - place).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        f.pad(&text)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.0 / 1000, self.0 % 1000);
        let text = match seconds {
            0 => format!("{millis} ms"),
            1..=59 => format!("{seconds}.{} s", millis / 100),
            60..=3599 => format!("{} min {} s", seconds / 60, seconds % 60),
            _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        };
        f.pad(&text)
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faster = self.virtual_ms.checked_div(self.wall_ms).unwrap_or_default();
        writeln!(f, "scenario      {}", self.subject.scenario)?;
        writeln!(f, "seed          {}", self.subject.seed)?;
        writeln!(f, "build         {}", self.build)?;
        writeln!(f, "virtual time  {}", Span(self.virtual_ms))?;
        writeln!(f, "wall time     {} ({} times as fast)", Span(self.wall_ms), Number(faster))?;
        writeln!(f, "events        {}", Number(self.events))?;
        writeln!(f, "packets       {} ({} KiB)", Number(self.packets), Number(self.packet_bytes / 1024))?;
        writeln!(f, "trace         {}", self.trace)?;
        self.operations(f)?;
        numbers(f, "faults", &self.faults)?;
        self.recoveries(f)?;
        numbers(f, "invariants, and how often each was checked", &self.invariants)?;
        match &self.failure {
            None if self.ended_early => writeln!(f, "\nheld until it was ended at {}", Span(self.virtual_ms)),
            None => writeln!(f, "\nheld"),
            Some(failure) => writeln!(f, "\nFAILED: {failure}"),
        }
    }
}

impl Summary {
    fn operations(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.operations.is_empty() {
            return Ok(());
        }
        writeln!(f, "\noperations")?;
        for (what, outcomes) in &self.operations {
            let total = Number(outcomes.values().sum());
            let room = NUMBERS_END.saturating_sub(2 + what.chars().count());
            write!(f, "  {what}{total:>room$} ")?;
            for (outcome, count) in outcomes {
                write!(f, "  {} {outcome}", Number(*count))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }

    fn recoveries(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.recoveries.is_empty() {
            return Ok(());
        }
        writeln!(f, "\n{:<30}{:>12}  {:>12}  {:>12}", "recoveries", "count", "median", "max")?;
        for (from, Recovery { count, median_ms, max_ms }) in &self.recoveries {
            writeln!(f, "  {from:<28}{:>12}  {:>12}  {:>12}", Number(*count), Span(*median_ms), Span(*max_ms))?;
        }
        Ok(())
    }
}

fn numbers(f: &mut fmt::Formatter<'_>, heading: &str, counts: &BTreeMap<String, u64>) -> fmt::Result {
    if counts.is_empty() {
        return Ok(());
    }
    writeln!(f, "\n{heading}")?;
    let longest = counts.keys().map(|name| name.chars().count()).max().unwrap_or_default();
    // Numbers stand right below each other, and below those of other tables unless a name is long.
    let end = NUMBERS_END.max(longest + 12);
    for (name, count) in counts {
        let room = end - 2 - name.chars().count();
        writeln!(f, "  {name}{:>room$}", Number(*count))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_spans_are_easy_to_read() {
        assert_eq!([0, 999, 1000, 1_234_567].map(|n| Number(n).to_string()), ["0", "999", "1,000", "1,234,567"]);
        let spans = [850, 12_345, 250_000, 7_500_000].map(|ms| Span(ms).to_string());
        assert_eq!(spans, ["850 ms", "12.3 s", "4 min 10 s", "2 h 5 min"]);
        assert_eq!(format!("{:>8}|{:<6}|", Number(1000), Span(7)), "   1,000|7 ms  |");
    }
}
