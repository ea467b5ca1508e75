//! What is measured and how it is counted, without a cluster.

use super::report::Report;
use super::usage::{ByRole, Usage};
use super::work::{Plan, Task, repeat};
use super::*;
use crate::actors::Told;
use crate::exit::Exit;
use dfs_core::id::NodeId;
use dfs_core::wire::metadata::{NodeDescription, ProcessUsage};
use std::cell::Cell;
use tokio::time::sleep;

#[tokio::test(start_paused = true)]
async fn work_is_repeated_in_parallel_until_the_time_is_over() {
    let (running, most) = (Cell::new(0), Cell::new(0));
    let operation = async |_| {
        running.set(running.get() + 1);
        most.set(running.get().max(most.get()));
        sleep(Duration::from_millis(100)).await;
        running.set(running.get() - 1);
        Ok(10)
    };
    let took = repeat(4, u64::MAX, Duration::from_secs(1), &operation).await.unwrap();
    assert_eq!((took.latencies.len(), took.bytes, most.get()), (40, 400, 4));
    assert_eq!(took.elapsed, Duration::from_secs(1));
    let median_us = took.latencies.value_at_quantile(0.5);
    assert!((99_000..=101_000).contains(&median_us), "{median_us}");
    let took = repeat(4, 6, Duration::from_secs(1), &operation).await.unwrap();
    assert_eq!(took.latencies.len(), 6);
    let took = repeat(4, u64::MAX, Duration::from_millis(1), &operation).await.unwrap();
    assert_eq!(took.latencies.len(), 4, "what has begun is ended");
}

#[test]
fn a_kind_of_work_is_done_once_however_often_it_is_named() {
    let (upload, download) = (Kind::Upload, Kind::Download);
    assert_eq!(each_once(&[upload, download, upload]), [upload, download]);
    assert_eq!(each_once(&[]), Kind::value_variants());
}

#[tokio::test(start_paused = true)]
async fn the_first_failure_ends_the_work() {
    let failing = async |number| if number == 5 { Err(Failure::interrupted()) } else { Ok(0) };
    let failure = repeat(2, u64::MAX, Duration::from_secs(1), failing).await.unwrap_err();
    assert_eq!(failure.exit, Exit::Interrupted);
}

#[test]
fn sizes_that_make_no_sense_are_refused() {
    let plan = |size: &str, total: &str| {
        Plan::new(size.parse().unwrap(), total.parse().unwrap(), Duration::from_secs(1), None)
    };
    assert!(plan("64MiB", "64MiB").is_ok());
    for (size, total, word) in [("0", "1GiB", "--size"), ("2GiB", "4GiB", "--size"), ("64MiB", "1MiB", "--total")] {
        let failure = plan(size, total).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.message.contains(word) && failure.hint.is_some(), "{failure}");
    }
}

fn told(name: &str, uptime_ms: u64, cpu_ms: u64) -> Told {
    let process = Some(ProcessUsage { cpu_ms, resident_bytes: 1, resident_peak_bytes: cpu_ms * 10 });
    let description = NodeDescription {
        role: dfs_core::id::Role::Storage,
        node: NodeId(1),
        build: String::new(),
        ready: true,
        actor_restarts: 0,
        uptime_ms,
        actors: Vec::new(),
        process,
        metrics: None,
    };
    Told { name: name.to_owned(), description: Ok(description) }
}

#[test]
fn processor_time_is_summed_by_role_and_unknown_where_a_process_restarted() {
    let own = |cpu_ms| Some(ProcessUsage { cpu_ms, resident_bytes: 1, resident_peak_bytes: 7 });
    let before =
        Usage::of(&[told("metadata-1", 10, 5), told("storage-1", 10, 100), told("storage-2", 10, 200)], own(1));
    let after = [told("metadata-1", 20, 8), told("storage-1", 20, 150), told("storage-2", 20, 260)];
    let spent = Usage::of(&after, own(4)).since(&before);
    assert_eq!(spent, ByRole { client: Some(3), metadata: Some(3), storage: Some(110) });
    assert_eq!(Usage::of(&after, own(4)).peaks().storage, Some(2600));
    let restarted = [told("metadata-1", 20, 8), told("storage-1", 2, 150), told("storage-2", 20, 260)];
    assert_eq!(Usage::of(&restarted, own(4)).since(&before).storage, None);
    let gone = Told { name: "metadata-1".to_owned(), description: Err("gone".to_owned()) };
    assert_eq!(Usage::of(&[gone], own(4)).since(&before).metadata, None);
}

#[tokio::test(start_paused = true)]
async fn a_report_tells_rates_latencies_and_costs() {
    let gib = 1_u64 << 30;
    let operation = async |_| {
        sleep(Duration::from_millis(500)).await;
        Ok(gib)
    };
    let took = repeat(1, 2, Duration::from_secs(5), operation).await.unwrap();
    let mut report = Report::default();
    report.add(Task::Upload, took, ByRole { client: Some(3000), metadata: None, storage: Some(5000) });
    let json = serde_json::to_value(report.json()).unwrap();
    let line = &json["work"][0];
    assert_eq!((&line["operations"], &line["operations_per_second"]), (&2.into(), &2.0.into()));
    assert_eq!(line["bytes_per_second"], 2.0 * gib as f64);
    assert_eq!(line["cpu_seconds_per_gib"]["client"], 1.5);
    assert_eq!(line["cpu_seconds_per_gib"]["metadata"], serde_json::Value::Null);
    assert_eq!(line["cpu_ms_per_operation"]["storage"], 2500.0);
    assert!((499.0..=501.0).contains(&line["latency_ms"]["p99"].as_f64().unwrap()), "{line}");
}
