//! Same seed, same trace: shown by processes of the simulator's executable, because a run repeats only in a process of
//! its own. And shown to be broken, and the break found, by each kind of leak that the lints forbid.

use dfs_sim::sweep::{self, Entry, Launch, Log, SweepSettings, Total, Watch};
use serde_json::Value;
use std::process::Command;
use std::time::Duration;

const PROGRAM: &str = env!("CARGO_BIN_EXE_dfs-sim");

/// Runs a scenario and returns its summary without what depends on the real machine.
fn run(scenario: &str, seed: u64) -> Value {
    let output = Command::new(PROGRAM)
        .args(["run", scenario, "--seed", &seed.to_string(), "--json"])
        .output()
        .expect("the simulator starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{scenario} with seed {seed} fails: {errors}");
    let mut summary: Value = serde_json::from_slice(&output.stdout).expect("a summary is JSON");
    summary.as_object_mut().expect("a summary is an object").remove("wall_ms");
    summary
}

fn the_trace_is_a_function_of_the_seed(scenario: &str) {
    let first = run(scenario, 1);
    assert_eq!(first["trace"].as_str().map(str::len), Some(32), "{first}");
    assert_eq!(first, run(scenario, 1));
    assert_ne!(first["trace"], run(scenario, 2)["trace"]);
}

#[test]
fn every_seam_is_deterministic() {
    the_trace_is_a_function_of_the_seed("seams");
}

#[test]
fn quic_with_mutual_tls_is_deterministic_under_faults() {
    the_trace_is_a_function_of_the_seed("calls");
}

#[test]
fn the_whole_system_is_deterministic_under_the_end_of_its_leader() {
    the_trace_is_a_function_of_the_seed("files");
}

/// Nobody watches.
struct Unwatched;

impl Watch for Unwatched {
    fn ended(&mut self, _: &Entry, _: &Total) {}
    fn tick(&mut self, _: &Total) {}
}

/// Sweeps one seed of a scenario, twice.
async fn sweep_twice(scenario: &str) -> Total {
    let directory = tempfile::tempdir().expect("a directory");
    let launch = Launch {
        program: PROGRAM.into(),
        directory: directory.path().into(),
        scenario: scenario.to_owned(),
        hours: None,
        wall_limit: Duration::from_secs(60),
    };
    let seeds = "9..10".parse().expect("a range of seeds");
    let settings = SweepSettings { launch, seeds, duration: None, jobs: 1, twice_percent: 10 };
    let swept = sweep::run(&settings, &mut Log::default(), &mut Unwatched, std::future::pending()).await;
    swept.expect("processes start")
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts")
}

/// The sweep finds that the seed does not repeat, and names the line that the leak wrote as the first that differs.
fn the_leak_is_found(scenario: &str) {
    let total = runtime().block_on(sweep_twice(scenario));
    let failure = &total.failures[&9];
    assert_eq!((failure.kind.as_str(), total.exit_code()), (sweep::DETERMINISM, 4), "{scenario}: {failure}");
    let differing: Vec<&str> = failure.detail.lines().filter(|line| line.contains(scenario)).collect();
    let [one, another] = differing[..] else { panic!("{scenario}: {failure}") };
    assert!(one.trim_start().starts_with("one ") && another.trim_start().starts_with("another "), "{failure}");
    assert_ne!(one.split_once(scenario), another.split_once(scenario));
}

#[test]
fn the_wall_clock_is_found() {
    the_leak_is_found("leak-wall-clock");
}

#[test]
fn the_monotonic_clock_is_found() {
    the_leak_is_found("leak-monotonic-clock");
}

#[test]
fn a_thread_is_found() {
    the_leak_is_found("leak-thread");
}

#[test]
fn a_sleep_of_the_thread_is_found() {
    the_leak_is_found("leak-sleep");
}

#[test]
fn the_pool_for_blocking_work_is_found() {
    the_leak_is_found("leak-blocking");
}

#[test]
fn randomness_of_the_operating_system_is_found() {
    the_leak_is_found("leak-entropy");
}

#[test]
fn the_order_of_a_hash_map_is_found() {
    the_leak_is_found("leak-hash-order");
}

#[test]
fn a_socket_of_the_operating_system_is_found() {
    the_leak_is_found("leak-socket");
}

#[test]
fn a_task_without_an_owner_is_found_by_outliving_its_world() {
    let total = runtime().block_on(sweep_twice("leak-task"));
    assert!(total.failures[&9].detail.contains("1 tasks are left"), "{}", total.failures[&9]);
    assert_eq!(total.repeated, 1, "the trace itself is the same");
}

#[test]
fn a_scenario_without_a_leak_repeats() {
    let directory = tempfile::tempdir().expect("a directory");
    let launch = Launch {
        program: PROGRAM.into(),
        directory: directory.path().into(),
        scenario: "seams".to_owned(),
        hours: None,
        wall_limit: Duration::from_secs(60),
    };
    let total = runtime().block_on(sweep_twice("seams"));
    assert_eq!((total.held, total.repeated, total.exit_code()), (1, 1, 0));
    assert_eq!(runtime().block_on(sweep::divergence::find(&launch, 9)).expect("traces are read"), None);
}
