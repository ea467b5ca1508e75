//! `bench`: how fast a running cluster is, and what that costs.
//!
//! Each kind of work is done for some seconds by so many operations at once; what it took is measured here, and the
//! processor time of every node is asked before and after. Everything that is made lies under a name of its own. Files are
//! deleted in the end, after an interruption too; an upload that was cut off stays open.

mod report;
mod usage;
mod work;

use crate::connect::ClusterArgs;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::json;
use crate::moment;
use crate::output::{note, print};
use crate::runtime;
use clap::{Args, ValueEnum};
use dfs_core::unit::ByteCount;
use report::Report;
use std::collections::BTreeSet;
use std::time::Duration;
use usage::Usage;
use work::{Bench, Plan};

const EXAMPLES: &str = "\
Examples:
  dfs-cli bench                             all kinds of work, some seconds each
  dfs-cli bench upload --size 256MiB --parallel 4 --duration 30s
  dfs-cli bench small metadata --parallel 64
  dfs-cli bench --json | jq '.work[] | {work, bytes_per_second, latency_ms}'

upload and download move large files; small writes and reads files of 4 KiB; metadata makes empty files, looks them up,
lists them and deletes them. Files that are made lie under bench-…/ and are deleted in the end, after an interruption
too; uploads that it cuts off stay open (`list --all` shows them). docs/OPERATIONS.md says how to read the tables.

With --json: work, an array with the fields work, operations, seconds, operations_per_second, bytes, bytes_per_second,
latency_ms (p50, p90, p99, p999, max), cpu_seconds_per_gib and cpu_ms_per_operation (client, metadata, storage; null
where they are not known or mean nothing); and memory_peak_bytes (client, metadata, storage: the most that any process
of the role ever had).";

/// Measure a running cluster
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct BenchArgs {
    /// Kinds of work [default: all]
    #[arg(value_enum)]
    kinds: Vec<Kind>,
    /// How long each is done, and no new operation is begun afterwards
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = moment::parse_span)]
    duration: Duration,
    /// Bytes of a large file, up to 1GiB
    #[arg(long, value_name = "SIZE", default_value = "64MiB")]
    size: ByteCount,
    /// Bytes that `upload` writes at most in all, each counted once
    #[arg(long, value_name = "SIZE", default_value = "2GiB")]
    total: ByteCount,
    /// Operations at once [default: 2 large files, 32 of the rest]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    parallel: Option<u16>,
    /// Write JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// A kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Kind {
    /// Large files are stored.
    Upload,
    /// A large file is read again and again.
    Download,
    /// Files of 4 KiB are stored and read.
    Small,
    /// Empty files are made, looked up, listed and deleted.
    Metadata,
}

impl BenchArgs {
    pub(super) fn run(self) -> Result<(), Failure> {
        let plan = Plan::new(self.size, self.total, self.duration, self.parallel)?;
        let kinds = each_once(&self.kinds);
        runtime::run("bench", async |world| {
            let mut interrupt = Interrupt::listen()?;
            let client = self.cluster.client(&world)?;
            let bench = Bench::new(&world, client.clone(), plan);
            let measured = tokio::select! {
                measured = measure(&bench, &kinds, self.json) => measured,
                () = interrupt.heard() => Err(Failure::interrupted()),
            };
            // Whatever happened: what was made goes. A second interruption leaves it, and says where.
            let cleaned = tokio::select! {
                cleaned = bench.clean_up() => cleaned,
                () = interrupt.heard() => Err(Failure::interrupted()),
            };
            if cleaned.is_err() {
                note(format_args!("what was made under {} is not all deleted", bench.prefix()));
            }
            client.close().await;
            let report = measured?;
            cleaned?;
            if self.json { print(format_args!("{}\n", json::pretty(&report.json()))) } else { report.print_costs() }
        })
    }
}

/// The kinds that are asked for, each once, as their files have names by kind; all where none is.
fn each_once(asked: &[Kind]) -> Vec<Kind> {
    let mut seen = BTreeSet::new();
    let asked = if asked.is_empty() { Kind::value_variants() } else { asked };
    asked.iter().copied().filter(|kind| seen.insert(*kind)).collect()
}

/// Does all the work, and shows each line as soon as it is known.
async fn measure(bench: &Bench, kinds: &[Kind], json: bool) -> Result<Report, Failure> {
    let nodes = bench.client().nodes().await?;
    let mut report = Report::default();
    for kind in kinds {
        for task in work::tasks(*kind) {
            bench.prepare(*task).await?;
            let before = Usage::now(bench.client(), &nodes).await;
            let measured = bench.measure(*task).await?;
            let after = Usage::now(bench.client(), &nodes).await;
            report.add(*task, measured, after.since(&before));
            if !json {
                report.print_last()?;
            }
        }
    }
    report.peaks = Usage::now(bench.client(), &nodes).await.peaks();
    Ok(report)
}

#[cfg(test)]
mod tests;
