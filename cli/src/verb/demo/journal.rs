//! What happened in a demo, as a table with times.

use crate::failure::Failure;
use crate::moment;
use crate::output::{note, print};
use crate::table::{Align, Table};
use std::time::Duration;
use tokio::time::Instant;

/// The steps that were done.
#[derive(Debug)]
pub(super) struct Journal {
    began: Instant,
    steps: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    at: Duration,
    name: &'static str,
    what: String,
    took: Duration,
}

impl Journal {
    pub(super) fn begin() -> Journal {
        Journal { began: Instant::now(), steps: Vec::new() }
    }

    /// Notes a step that began then and is done now.
    pub(super) fn step(&mut self, name: &'static str, what: impl Into<String>, began: Instant) {
        let step = Step { at: began - self.began, name, what: what.into(), took: began.elapsed() };
        note(format_args!("{}: {}", step.name, step.what));
        self.steps.push(step);
    }

    /// Shows all steps on standard output.
    pub(super) fn show(&self) -> Result<(), Failure> {
        print(format_args!("\n{}", self.table()))
    }

    fn table(&self) -> Table {
        let mut table =
            Table::new(&[("AT", Align::Right), ("STEP", Align::Left), ("TOOK", Align::Right), ("WHAT", Align::Left)]);
        for step in &self.steps {
            let at = format!("{}.{} s", step.at.as_secs(), step.at.subsec_millis() / 100);
            table.row([at, step.name.to_owned(), moment::span(step.took), step.what.clone()]);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_step_has_its_time() {
        let mut journal = Journal::begin();
        let began = Instant::now();
        tokio::time::advance(Duration::from_millis(1500)).await;
        journal.step("start", "3 + 3", began);
        journal.step("list", "a file", Instant::now());
        assert_eq!(
            journal.table().to_string(),
            "   AT  STEP    TOOK  WHAT\n0.0 s  start  1.5 s  3 + 3\n1.5 s  list    0 ms  a file\n"
        );
    }
}
