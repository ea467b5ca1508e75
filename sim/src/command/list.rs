//! `list`: scenarios, faults and invariants, a sentence each.

use super::print;
use crate::fault::FaultKind;
use crate::invariant::Invariants;
use crate::judgement::PROMISES;
use crate::scenario::Scenario;
use clap::Args;
use serde::Serialize;
use std::collections::BTreeMap;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  dfs-sim list
  dfs-sim list --json";

/// List scenarios, faults and invariants
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct ListArgs {
    /// As one line of JSON
    #[arg(long)]
    json: bool,
}

/// A name, and what it stands for in a sentence.
type Entry = (&'static str, &'static str);

/// The faults that can happen.
fn faults() -> Vec<Entry> {
    FaultKind::ALL.iter().map(|kind| (kind.name(), kind.sentence())).collect()
}

/// The invariants that are checked.
fn invariants() -> Vec<Entry> {
    [Invariants::list(), PROMISES.to_vec()].concat()
}

/// Everything there is, by what it is.
#[derive(Serialize)]
struct Listing {
    scenarios: BTreeMap<&'static str, &'static str>,
    faults: BTreeMap<&'static str, &'static str>,
    invariants: BTreeMap<&'static str, &'static str>,
}

impl ListArgs {
    pub(super) fn run(self) -> ExitCode {
        let scenarios = Scenario::all().into_iter().map(|scenario| (scenario.name(), scenario.description()));
        let scenarios: Vec<Entry> = scenarios.collect();
        if self.json {
            let sorted = |entries: &[Entry]| entries.iter().copied().collect();
            let listing =
                Listing { scenarios: sorted(&scenarios), faults: sorted(&faults()), invariants: sorted(&invariants()) };
            let line = serde_json::to_string(&listing).expect("a listing is made of text");
            print(format_args!("{line}\n"));
        } else {
            let parts = [("scenarios", scenarios), ("faults", faults()), ("invariants", invariants())];
            let shown = parts.into_iter().filter(|(_, entries)| !entries.is_empty());
            print(format_args!(
                "{}",
                shown.map(|(heading, entries)| table(heading, &entries)).collect::<Vec<_>>().join("\n")
            ));
        }
        ExitCode::SUCCESS
    }
}

fn table(heading: &str, entries: &[Entry]) -> String {
    let width = entries.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    let lines = entries.iter().map(|(name, sentence)| format!("  {name:<width$}  {sentence}\n"));
    format!("{heading}\n{}", lines.collect::<String>())
}
