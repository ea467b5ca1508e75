//! Same seed, same trace: shown by processes of the simulator's executable, because a run repeats only in a process of
//! its own.

use std::process::Command;

/// Runs a scenario and returns its summary without what depends on the real machine.
fn run(scenario: &str, seed: u64) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_dfs-sim"))
        .args(["run", scenario, "--seed", &seed.to_string()])
        .output()
        .expect("the simulator starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{scenario} with seed {seed} fails: {errors}");
    let summary = String::from_utf8(output.stdout).expect("a summary is text");
    let fields = summary.trim().trim_matches(['{', '}']).split(',');
    fields.filter(|field| !field.starts_with("\"wall_ms\"")).collect::<Vec<_>>().join(",")
}

fn the_trace_is_a_function_of_the_seed(scenario: &str) {
    let first = run(scenario, 1);
    assert!(first.contains("\"trace\":"), "{first}");
    assert_eq!(first, run(scenario, 1));
    assert_ne!(first, run(scenario, 2));
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

#[test]
fn users_lose_nothing_in_a_storm() {
    run("storm", 1);
}

#[test]
fn a_wrong_command_line_is_an_error_of_its_own() {
    let status = Command::new(env!("CARGO_BIN_EXE_dfs-sim")).arg("walk").output().expect("the simulator starts").status;
    assert_eq!(status.code(), Some(2));
}
