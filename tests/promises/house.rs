//! The house stays in order: crates import along the arrows only, and one TLS provider is in the graph.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Which crates each crate may import. An arrow more is a decision record more.
const ARROWS: &[(&str, &[&str])] = &[
    ("dfs-core", &[]),
    ("dfs-transport", &["dfs-core"]),
    ("dfs-actors", &["dfs-core", "dfs-transport"]),
    ("dfs-client", &["dfs-core", "dfs-transport"]),
    ("dfs-nodes", &["dfs-core", "dfs-transport", "dfs-actors", "dfs-client"]),
    ("dfs-cli", &["dfs-core", "dfs-transport", "dfs-client", "dfs-nodes"]),
    ("dfs-sim", &["dfs-core", "dfs-transport", "dfs-actors", "dfs-client", "dfs-nodes"]),
    ("dfs-tests", &["dfs-core", "dfs-transport", "dfs-actors", "dfs-client", "dfs-nodes", "dfs-cli"]),
];

/// External crates that only some crates of ours may know.
const OWNED: &[(&str, &[&str])] = &[
    ("openraft", &["dfs-actors"]),
    ("ractor", &["dfs-actors"]),
    ("fjall", &["dfs-actors"]),
    ("rcgen", &["dfs-transport"]),
    ("clap", &["dfs-cli", "dfs-sim"]),
];

/// What would make the core impure.
const IMPURE: &[&str] = &["tokio", "quinn", "futures-util", "getrandom", "rand", "rustix"];

fn metadata() -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--locked", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON")
}

/// The dependencies of each crate of the workspace, those for its tests left out.
fn dependencies(metadata: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let packages = metadata["packages"].as_array().expect("packages");
    let ours = packages.iter().filter(|package| package["source"].is_null());
    ours.map(|package| {
        let dependencies = package["dependencies"].as_array().expect("dependencies");
        let names = dependencies
            .iter()
            .filter(|dependency| dependency["kind"].is_null() || package["name"] == "dfs-tests")
            .map(|dependency| dependency["name"].as_str().expect("a name").to_owned());
        (package["name"].as_str().expect("a name").to_owned(), names.collect())
    })
    .collect()
}

#[test]
fn crates_import_along_the_arrows_only() {
    let dependencies = dependencies(&metadata());
    let names: Vec<&str> = dependencies.keys().map(String::as_str).collect();
    let mut known: Vec<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    known.sort_unstable();
    assert_eq!(names, known, "every crate of the workspace has its arrows");
    for (name, allowed) in ARROWS {
        let ours = dependencies[*name].iter().filter(|dependency| dependency.starts_with("dfs-"));
        for dependency in ours {
            assert!(allowed.contains(&dependency.as_str()), "{name} must not import {dependency}");
        }
    }
    for (library, owners) in OWNED {
        let users: Vec<&String> =
            dependencies.iter().filter(|(_, uses)| uses.contains(*library)).map(|(name, _)| name).collect();
        assert_eq!(users, *owners, "only {owners:?} may know {library}");
    }
    for library in IMPURE {
        assert!(!dependencies["dfs-core"].contains(*library), "the core must not know {library}");
    }
}

/// The lock file names every package that any feature or platform of the workspace can reach.
#[test]
fn there_is_one_tls_provider_in_the_dependency_graph() {
    let lock = include_str!("../../Cargo.lock");
    let has = |name: &str| lock.lines().any(|line| line == format!("name = \"{name}\""));
    assert!(has("ring"), "ring is the provider");
    for other in ["aws-lc-rs", "aws-lc-sys", "aws-lc-fips-sys", "openssl", "openssl-sys", "native-tls", "boring"] {
        assert!(!has(other), "{other} must not be in the graph");
    }
}
