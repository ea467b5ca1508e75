//! The commands of `dfs-sim`, as a user runs them.

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_dfs-sim");

struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        Ran {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("text"),
            stderr: String::from_utf8(output.stderr).expect("text"),
        }
    }
}

impl Ran {
    fn json(&self) -> Value {
        assert_eq!(self.stdout.lines().count(), 1, "one line: {}\n{}", self.stdout, self.stderr);
        serde_json::from_str(&self.stdout).expect("JSON")
    }
}

/// Runs a command line in `directory`.
fn run_in(directory: &Path, line: &str) -> Ran {
    let output = Command::new(PROGRAM).args(line.split_whitespace()).current_dir(directory).output();
    output.expect("the simulator starts").into()
}

fn run(line: &str) -> Ran {
    run_in(tempfile::tempdir().expect("a directory").path(), line)
}

#[test]
fn a_run_that_holds_says_so_on_one_page() {
    let ran = run("run seams --seed 3");
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    for line in ["scenario      seams", "seed          3", "trace         ", "\nheld\n"] {
        assert!(ran.stdout.contains(line), "{line} is not in\n{}", ran.stdout);
    }
}

#[test]
fn a_run_is_one_line_of_json_for_programs() {
    let json = run("run --scenario calls --seed 3 --json").json();
    for key in [
        "scenario",
        "seed",
        "build",
        "held",
        "virtual_ms",
        "wall_ms",
        "events",
        "packets",
        "packet_bytes",
        "trace",
        "operations",
        "faults",
        "recoveries",
        "invariants",
        "failure",
    ] {
        assert!(json.get(key).is_some(), "{key} is not in {json}");
    }
    assert_eq!((&json["held"], &json["scenario"], &json["seed"]), (&true.into(), &"calls".into(), &3.into()));
}

#[test]
fn every_kind_of_failure_has_its_exit_code() {
    for (scenario, kind, code) in [
        ("fail-correctness", "correctness", 1),
        ("fail-liveness", "liveness", 3),
        ("fail-endless", "liveness", 3),
        ("fail-error", "crash", 4),
        ("fail-panic", "crash", 4),
        ("fail-task-panic", "crash", 4),
        ("fail-stuck --wall-limit 2", "crash", 4),
        ("leak-task", "crash", 4),
    ] {
        let ran = run(&format!("run --json --seed 5 --scenario {scenario}"));
        let json = ran.json();
        assert_eq!(ran.code, Some(code), "{scenario}: {}", ran.stderr);
        assert_eq!((&json["held"], &json["failure"]["kind"]), (&false.into(), &kind.into()), "{scenario}");
        if scenario.starts_with("fail-") {
            assert_eq!(json["operations"]["count"]["done"], 30, "{scenario}: counts are told however it ends");
            assert_eq!(json["faults"]["proof"], 1);
        }
    }
}

#[test]
fn a_failure_tells_all_that_is_needed_and_keeps_its_trace() {
    let directory = tempfile::tempdir().expect("a directory");
    let ran = run_in(directory.path(), "run --scenario fail-correctness --seed 7");
    assert!(ran.stdout.ends_with("FAILED: correctness: the proof is right: it says \"no\"\n"), "{}", ran.stdout);
    for told in [
        "seed 7 of fail-correctness, build ",
        "promise  the proof is right",
        "seen     it says \"no\"",
        "replay   dfs-sim replay --scenario fail-correctness --seed 7 --build ",
        "dfs-sim-fail-correctness-7.trace",
    ] {
        assert!(ran.stderr.contains(told), "{told} is not in\n{}", ran.stderr);
    }
    assert_eq!(ran.stderr.matches("\"quoted\"").count(), 20, "the last lines are shown");
    let trace = std::fs::read_to_string(directory.path().join("dfs-sim-fail-correctness-7.trace")).expect("a trace");
    assert_eq!(trace.lines().count(), 30, "the whole trace is kept");

    let ran = run_in(directory.path(), "run --scenario fail-liveness --seed 7 --trace here");
    assert!(ran.stderr.contains("  trace    here\n"), "{}", ran.stderr);
    let trace = std::fs::read_to_string(directory.path().join("here")).expect("a trace");
    assert_eq!(trace.lines().count(), 30);
    assert!(!directory.path().join("dfs-sim-fail-liveness-7.trace").exists());
}

#[test]
fn an_unknown_scenario_lists_the_known_ones_and_runs_nothing() {
    for command in [
        "run nonsense",
        "run --scenario nonsense",
        "replay --seed 1 --scenario nonsense",
        "sweep --seeds 0..9 --scenario nonsense",
    ] {
        let ran = run(command);
        assert_eq!(ran.code, Some(2));
        assert!(
            ran.stderr.contains("there is no scenario \"nonsense\"; there are: life, idle, files, "),
            "{}",
            ran.stderr
        );
    }
    assert_eq!(run("walk").code, Some(2));
    assert_eq!(run("sweep --seeds 5..").code, Some(2));
}

/// The trace's hash on the page that a run prints.
fn hash(page: &str) -> &str {
    let line = page.lines().find(|line| line.starts_with("trace  ")).unwrap_or_else(|| panic!("no hash in\n{page}"));
    line.trim_start_matches("trace").trim()
}

#[test]
fn the_replay_line_of_a_failure_replays_it_to_the_same_trace() {
    let failed = run("run --json --scenario fail-liveness --seed 11").json();
    let line = failed["failure"]["replay"].as_str().expect("a command");
    let replayed = run(line.strip_prefix("dfs-sim ").expect("a command of this program"));
    assert_eq!(replayed.code, Some(3));
    assert_eq!(hash(&replayed.stderr), failed["trace"]);
    assert!(!replayed.stderr.contains("warning"), "{}", replayed.stderr);
    assert_eq!(replayed.stdout.matches(" count ").count(), 30);

    let other = run("replay --scenario fail-liveness --seed 11 --build another");
    assert!(other.stderr.starts_with("warning: the seed is of build another; it may not replay on this one"));
    assert_eq!(hash(&other.stderr), failed["trace"]);
}

#[test]
fn a_replay_shows_what_nodes_say_and_reading_changes_nothing() {
    let ran = run("run --json --scenario files --seed 2");
    let whole = run("replay --scenario files --seed 2 --packets");
    assert_eq!(hash(&whole.stderr), ran.json()["trace"], "packets and debug lines are shown without changing the run");
    let lines: Vec<Vec<&str>> = whole.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(lines.iter().any(|line| line[2] == "send"));
    let says = |node: &str, actor: &str, text: &str| {
        lines.iter().any(|line| line[1] == node && line[2] == actor && line[3..].join(" ").starts_with(text))
    };
    assert!(says("storage-1", "HeartbeatActor", "info: registered with the cluster"), "{}", whole.stdout);
    assert!(
        says("metadata-1", "NodeWatcher", "info: a storage node is alive")
            || says("metadata-2", "NodeWatcher", "info: a storage node is alive")
            || says("metadata-3", "NodeWatcher", "info: a storage node is alive")
    );

    let part = run("replay --scenario files --seed 2 --only storage-1,NodeWatcher --until 8s");
    assert!(part.stderr.contains("held until it was ended at 8.0 s"), "{}", part.stderr);
    assert_eq!(part.code, Some(0));
    assert!(part.stdout.lines().count() > 1);
    for line in part.stdout.lines() {
        assert!(line.contains("storage-1") || line.contains("NodeWatcher"), "{line}");
        assert!(line.split_whitespace().next().expect("a time").parse::<f64>().expect("a time") <= 8.0);
    }
}

#[test]
fn a_sweep_goes_on_where_its_log_ends_and_lists_what_failed() {
    let directory = tempfile::tempdir().expect("a directory");
    let sweep = |line: &str| run_in(directory.path(), &format!("sweep --log log --json {line}")).json();
    let first = sweep("--seeds 0..3 --scenario seams --twice 50");
    assert_eq!(
        (&first["seeds"], &first["held"], &first["resumed"], &first["repeated"]),
        (&3.into(), &3.into(), &0.into(), &1.into())
    );
    let second = sweep("--seeds 0..5 --scenario seams");
    assert_eq!((&second["seeds"], &second["held"], &second["resumed"]), (&5.into(), &5.into(), &3.into()));
    let log = std::fs::read_to_string(directory.path().join("log")).expect("a log");
    let mut seeds: Vec<u64> = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["seed"].as_u64().expect("a seed"))
        .collect();
    seeds.sort_unstable();
    assert_eq!(seeds, [0, 1, 2, 3, 4], "no seed is run again");

    let failed = run_in(directory.path(), "sweep --log log --seeds 0..2 --scenario fail-correctness");
    assert_eq!(failed.code, Some(1));
    for told in [
        "\nfailed        2\n  correctness 2\n",
        "\nseed 1: correctness: the proof is right",
        "  replay   dfs-sim replay --scenario fail-correctness --seed 1 --build ",
    ] {
        assert!(failed.stdout.contains(told), "{told} is not in\n{}", failed.stdout);
    }
}

#[test]
fn an_interrupted_sweep_keeps_its_log_and_ends_its_processes() {
    let directory = tempfile::tempdir().expect("a directory");
    let child = Command::new(PROGRAM)
        .args(["sweep", "--minutes", "9", "--scenario", "seams", "--log", "log", "--jobs", "2"])
        .current_dir(directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the simulator starts");
    #[allow(clippy::disallowed_methods, reason = "processes run in real time")]
    let deadline = Instant::now() + Duration::from_secs(60);
    let log = directory.path().join("log");
    while std::fs::read_to_string(&log).unwrap_or_default().lines().count() < 2 {
        #[allow(clippy::disallowed_methods, reason = "processes run in real time")]
        std::thread::sleep(Duration::from_millis(20));
        #[allow(clippy::disallowed_methods, reason = "processes run in real time")]
        let now = Instant::now();
        assert!(now < deadline, "a sweep gets on");
    }
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    assert!(killed.success());
    let ran = Ran::from(child.wait_with_output().expect("it ends"));
    assert_eq!(ran.code, Some(130));
    assert!(ran.stdout.ends_with("\ninterrupted\n"), "{}", ran.stdout);
}

#[test]
fn the_list_has_scenarios_but_none_of_the_proofs() {
    let listed = run("list");
    assert!(listed.stdout.contains("  a random cluster lives through"), "{}", listed.stdout);
    assert!(!listed.stdout.contains("fail-") && !listed.stdout.contains("leak-"));
    let json = run("list --json").json();
    assert!(json["scenarios"]["life"].is_string() && json["faults"].is_object() && json["invariants"].is_object());
}
