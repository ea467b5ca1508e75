//! Names: moved, listed level by level, and deleted by the prefix.

use crate::cluster::{Cluster, Ran, finish};
use std::process::Stdio;

/// A11.
#[test]
fn a_move_renames_a_file_and_a_directory_with_all_below_it() {
    let cluster = Cluster::shared();
    for (name, content) in [("a11/d/1", "one"), ("a11/d/e/2", "two"), ("a11/d/e/f/3", "three"), ("a11/x", "x")] {
        cluster.put(name, content.as_bytes());
    }
    let id = cluster.json(&["stat", "--name", "a11/x"])["id"].to_string();
    let rename = |from: &str, to: &str| cluster.run(&["move", "--from", from, "--to", to]);
    rename("a11/x", "a11/y/z").succeeds();
    assert_eq!(cluster.json(&["stat", "--name", "a11/y/z"])["id"].to_string(), id, "it is the same version");
    rename("a11/d", "a11/p/q").succeeds();
    assert_eq!(cluster.names("a11/"), ["a11/p/q/1", "a11/p/q/e/2", "a11/p/q/e/f/3", "a11/y/z"]);
    assert_eq!(cluster.get("a11/p/q/e/f/3"), b"three");
    cluster.run(&["stat", "--name", "a11/d/1"]).fails(3, "a11/d/1");
    cluster.put("a11/d", b"the name of the directory is free");
    rename("a11/none", "a11/n").fails(3, "a11/none");
    rename("a11/d", "a11/y/z").fails(4, "a11/y/z exists already");
    rename("a11/d", "a11/p").fails(4, "a11/p exists already");
    rename("a11/p", "a11/p/q/r").fails(4, "below the source");
    rename("a11/p", "a11/d/e").fails(4, "below a file");
    let long = format!("{0}/{0}/{0}/{0}", "n".repeat(254));
    rename("a11/p", &long).fails(6, "longer than 1024 bytes");
    assert_eq!(cluster.names("a11/"), ["a11/d", "a11/p/q/1", "a11/p/q/e/2", "a11/p/q/e/f/3", "a11/y/z"]);
}

/// A11: whoever lists while a directory goes to and fro sees each file below it under one of its names, and either all
/// or none of them under each.
#[test]
fn a_directory_is_never_seen_half_moved() {
    let cluster = Cluster::shared();
    for file in 0..5 {
        cluster.put(&format!("a11-half/d0/{file}"), b"");
    }
    for turn in 0..6 {
        let (from, to) = (format!("a11-half/d{turn}"), format!("a11-half/d{}", turn + 1));
        let mut moving = cluster.command(&["move", "--from", &from, "--to", &to]);
        let moving = moving.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let all = |directory: &str| (0..5).map(|file| format!("{directory}/{file}")).collect::<Vec<_>>();
        let seen = cluster.names("a11-half/");
        assert!(seen == all(&from) || seen == all(&to), "{seen:?}");
        Ran::from(finish(moving, crate::cluster::PATIENCE)).succeeds();
        assert_eq!(cluster.names("a11-half/"), all(&to));
    }
}
