//! The mutants fit the code that they break. Whether each is found, `scripts/mutants` shows; that takes an hour.

use std::path::Path;
use std::process::{Command, Output};

fn mutants(arguments: &[&str]) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/mutants");
    Command::new(script).args(arguments).output().expect("bash is there")
}

#[test]
fn every_mutant_fits_the_code() {
    let output = mutants(&["--check"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_mutant_says_what_it_is() {
    let output = mutants(&["--list"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let listed = String::from_utf8(output.stdout).expect("the list is text");
    assert!(listed.lines().count() >= 8, "{listed}");
    for line in listed.lines() {
        assert!(line.ends_with('.') && line.split_whitespace().count() > 3, "{line}");
    }
}

#[test]
fn an_unknown_mutant_is_refused() {
    let output = mutants(&["no-such-mutant"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no-such-mutant"));
}
