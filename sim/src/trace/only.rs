//! Which lines of a trace are wanted: `storage-1,NodeWatcher,12:3`.

use super::line::Line;

/// Lines of which a column has one of some texts; every line if there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Only(Vec<String>);

impl Only {
    /// The lines that `filter` names: texts with commas between them, each of which is an alternative.
    #[must_use]
    pub fn new(filter: &str) -> Only {
        Only(filter.split(',').map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned).collect())
    }

    pub(super) fn wants(&self, line: &Line<'_>) -> bool {
        let columns = [line.node, line.kind, line.text];
        self.0.is_empty() || self.0.iter().any(|wanted| columns.iter().any(|column| has(column, wanted)))
    }
}

/// Whether `column` has `wanted` in it, where a number counts only as a whole: chunk `2:3` is not in `12:3` or `2:34`.
fn has(column: &str, wanted: &str) -> bool {
    let digit = |c: char| c.is_ascii_digit();
    column.match_indices(wanted).any(|(start, _)| {
        let (before, after) = (&column[..start], &column[start + wanted.len()..]);
        let begins_inside = wanted.starts_with(digit) && before.ends_with(digit);
        let ends_inside = wanted.ends_with(digit) && after.starts_with(digit);
        !begins_inside && !ends_inside
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn texts_are_alternatives_and_numbers_are_whole() {
        let line =
            Line { time: Duration::ZERO, node: "storage-1", kind: "Heartbeat", text: "chunk 12:3 at 10.0.0.1:70" };
        let wants = |filter: &str| Only::new(filter).wants(&line);
        assert!(wants("") && wants("storage-1") && wants("Heart") && wants("12:3") && wants("nobody, 12:3"));
        assert!(wants("storage-") && wants("storage"));
        assert!(!wants("storage-2") && !wants("2:3") && !wants("12:34") && !wants("nobody") && !wants("1:7"));
        let tenth = Line { node: "storage-10", ..line };
        assert!(!Only::new("storage-1").wants(&tenth));
    }
}
