//! What was measured, for people and for programs.

use super::usage::ByRole;
use super::work::{Task, Took};
use crate::failure::Failure;
use crate::moment;
use crate::output::print;
use crate::table::{Align, Table};
use dfs_core::unit::ByteCount;
use serde::Serialize;
use std::time::Duration;

/// A gibibyte.
const GIB: f64 = (1_u64 << 30) as f64;
/// Bytes below which processor time for each gibibyte means nothing.
const TELLING_BYTES: u64 = 16 << 20;

/// Everything that was measured.
#[derive(Debug, Default)]
pub struct Report {
    lines: Vec<Line>,
    /// The most memory of any process of a role, in bytes.
    pub peaks: ByRole<u64>,
}

#[derive(Debug)]
struct Line {
    task: Task,
    took: Took,
    cpu_ms: ByRole<u64>,
}

/// All of it, as `bench --json` writes it.
#[derive(Serialize)]
pub struct ReportJson {
    work: Vec<LineJson>,
    memory_peak_bytes: ByRole<u64>,
}

#[derive(Serialize)]
struct LineJson {
    work: &'static str,
    operations: u64,
    seconds: f64,
    operations_per_second: f64,
    bytes: u64,
    bytes_per_second: f64,
    latency_ms: LatencyJson,
    cpu_seconds_per_gib: ByRole<f64>,
    cpu_ms_per_operation: ByRole<f64>,
}

#[derive(Serialize)]
struct LatencyJson {
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

impl Line {
    fn operations(&self) -> u64 {
        self.took.latencies.len()
    }

    fn per_second(&self, count: u64) -> f64 {
        count as f64 / self.took.elapsed.as_secs_f64().max(1e-9)
    }

    fn quantile_ms(&self, quantile: f64) -> f64 {
        self.took.latencies.value_at_quantile(quantile) as f64 / 1000.0
    }

    fn cpu_seconds_per_gib(&self) -> ByRole<f64> {
        match self.took.bytes {
            bytes if bytes < TELLING_BYTES => ByRole::default(),
            bytes => self.cpu_ms.map(|cpu_ms| cpu_ms as f64 / 1000.0 / (bytes as f64 / GIB)),
        }
    }

    fn cpu_ms_per_operation(&self) -> ByRole<f64> {
        match self.operations() {
            0 => ByRole::default(),
            operations => self.cpu_ms.map(|cpu_ms| cpu_ms as f64 / operations as f64),
        }
    }

    fn json(&self) -> LineJson {
        LineJson {
            work: self.task.name(),
            operations: self.operations(),
            seconds: self.took.elapsed.as_secs_f64(),
            operations_per_second: self.per_second(self.operations()),
            bytes: self.took.bytes,
            bytes_per_second: self.per_second(self.took.bytes),
            latency_ms: LatencyJson {
                p50: self.quantile_ms(0.5),
                p90: self.quantile_ms(0.9),
                p99: self.quantile_ms(0.99),
                p999: self.quantile_ms(0.999),
                max: self.took.latencies.max() as f64 / 1000.0,
            },
            cpu_seconds_per_gib: self.cpu_seconds_per_gib(),
            cpu_ms_per_operation: self.cpu_ms_per_operation(),
        }
    }

    fn row(&self) -> [String; 8] {
        let throughput = match self.took.bytes {
            0 => "-".to_owned(),
            bytes => format!("{}/s", ByteCount(self.per_second(bytes) as u64)),
        };
        let quantile = |quantile| format!("{:.1} ms", self.quantile_ms(quantile));
        [
            self.task.name().to_owned(),
            self.operations().to_string(),
            format!("{:.1}", self.per_second(self.operations())),
            throughput,
            quantile(0.5),
            quantile(0.9),
            quantile(0.99),
            moment::span(Duration::from_micros(self.took.latencies.max())),
        ]
    }
}

/// Columns of the first table, as wide as what usually stands in them, because lines are shown one by one.
const COLUMNS: [(&str, usize); 8] = [
    ("WORK", 12),
    ("OPERATIONS", 10),
    ("PER SECOND", 10),
    ("THROUGHPUT", 13),
    ("MEDIAN", 10),
    ("90 %", 10),
    ("99 %", 10),
    ("LONGEST", 10),
];

fn aligned(cells: [&str; 8]) -> String {
    let mut line = format!("{:<width$}", cells[0], width = COLUMNS[0].1);
    for (cell, (_, width)) in cells.iter().zip(COLUMNS).skip(1) {
        line.push_str(&format!("  {cell:>width$}"));
    }
    line
}

fn number(value: Option<f64>) -> String {
    value.map_or("?".to_owned(), |value| format!("{value:.2}"))
}

impl Report {
    /// Adds a line.
    pub fn add(&mut self, task: Task, took: Took, cpu_ms: ByRole<u64>) {
        self.lines.push(Line { task, took, cpu_ms });
    }

    /// Shows the line that was added last, the first with its heading.
    pub fn print_last(&self) -> Result<(), Failure> {
        let Some(line) = self.lines.last() else { return Ok(()) };
        if self.lines.len() == 1 {
            print(format_args!("{}\n", aligned(COLUMNS.map(|(heading, _)| heading))))?;
        }
        let row = line.row();
        print(format_args!("{}\n", aligned(row.each_ref().map(String::as_str))))
    }

    /// Shows what it cost.
    pub fn print_costs(&self) -> Result<(), Failure> {
        print(format_args!("\n{}\n{}", self.costs(), self.memory()))
    }

    fn costs(&self) -> Table {
        let mut table = Table::new(&[
            ("CPU SECONDS", Align::Left),
            ("OF", Align::Left),
            ("CLIENT", Align::Right),
            ("METADATA", Align::Right),
            ("STORAGE", Align::Right),
        ]);
        for line in &self.lines {
            let (of, cost) = match line.took.bytes {
                bytes if bytes >= TELLING_BYTES => ("a GiB", line.cpu_seconds_per_gib()),
                _ => ("1000 operations", line.cpu_ms_per_operation()),
            };
            let ByRole { client, metadata, storage } = cost;
            table.row([line.task.name().to_owned(), of.to_owned(), number(client), number(metadata), number(storage)]);
        }
        table
    }

    fn memory(&self) -> String {
        let shown = |bytes: Option<u64>| bytes.map_or("?".to_owned(), |bytes| ByteCount(bytes).to_string());
        let ByRole { client, metadata, storage } = self.peaks;
        format!(
            "Most memory of a process since it began: client {}, metadata {}, storage {}.\n",
            shown(client),
            shown(metadata),
            shown(storage)
        )
    }

    /// For programs.
    pub fn json(&self) -> ReportJson {
        ReportJson { work: self.lines.iter().map(Line::json).collect(), memory_peak_bytes: self.peaks }
    }
}
