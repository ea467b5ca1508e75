//! Names: moved, listed level by level, and deleted by the prefix.

use crate::cluster::{Cluster, Ran, bytes, finish, wait_until};
use std::io::Write;
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

/// A4, one level deep.
#[test]
fn a_listing_with_a_delimiter_shows_one_level_and_each_directory_once() {
    let cluster = Cluster::shared();
    for name in ["a04-level/b", "a04-level/d/1", "a04-level/d/2", "a04-level/d-1", "a04-level/d/e/f", "a04-level/z/y"] {
        cluster.put(name, b"");
    }
    let level = |prefix: &str| -> Vec<String> {
        let listed = cluster.json(&["list", "--delimiter", "/", "--prefix", prefix]);
        let entries = listed["entries"].as_array().expect("entries").clone();
        assert!(entries.iter().all(|entry| (entry["type"] == "directory") == entry["id"].is_null()), "{listed}");
        entries.iter().map(|entry| entry["name"].as_str().expect("a name").to_owned()).collect()
    };
    assert_eq!(level("a04-level/"), ["a04-level/b", "a04-level/d-1", "a04-level/d/", "a04-level/z/"]);
    assert_eq!(level("a04-level/d/"), ["a04-level/d/1", "a04-level/d/2", "a04-level/d/e/"]);
    assert_eq!(level("a04-level"), ["a04-level/"]);
    assert!(level("a04-level/none/").is_empty());
    let limited = cluster.json(&["list", "--delimiter", "/", "--prefix", "a04-level/", "--limit", "2"]);
    assert_eq!((limited["entries"].as_array().unwrap().len(), &limited["more"]), (2, &true.into()), "{limited}");
    let shown = cluster.run(&["list", "--delimiter", "/", "--prefix", "a04-level/"]).succeeds().out;
    assert_eq!(shown.lines().filter(|line| line.contains("a04-level/d/ ")).count(), 1, "{shown}");
    assert!(cluster.run(&["list", "--delimiter", "/", "--prefix", "none/"]).succeeds().out.contains("no files"));
}

#[test]
fn open_uploads_are_listed_with_all_and_only_with_it() {
    let cluster = Cluster::shared();
    let mut upload = cluster.command(&["upload", "-f", "-", "-n", "open/upload", "--chunk-size", "64KiB"]);
    let mut child = upload.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&bytes(200 * 1024, 1)).unwrap();
    let open = || cluster.json(&["list", "--all", "--prefix", "open/"]);
    wait_until("the upload is open", || open()["open_uploads"][0]["name"] == "open/upload");
    let listed = open();
    let upload = &listed["open_uploads"][0];
    assert!(upload["size_bytes"].is_null() && upload["id"].is_u64() && upload["idle_ms"].is_u64(), "{listed}");
    assert_eq!((&listed["files"], &listed["more_open_uploads"]), (&serde_json::json!([]), &false.into()));
    assert!(cluster.names("open/").is_empty(), "it is no file");
    assert!(cluster.run(&["list", "--all", "--prefix", "open/"]).succeeds().out.contains("OPEN UPLOAD"));
    assert!(cluster.run(&["list", "--prefix", "open/"]).succeeds().out.contains("no files"));
    drop(stdin);
    Ran::from(finish(child, crate::cluster::PATIENCE)).succeeds();
    assert_eq!(
        (cluster.names("open/"), &open()["open_uploads"]),
        (vec!["open/upload".to_owned()], &serde_json::json!([]))
    );
}

/// A10, many at once.
#[test]
fn everything_below_a_prefix_is_deleted_once_that_is_meant() {
    let cluster = Cluster::shared();
    for file in 0..25 {
        cluster.put(&format!("a10-r/d/{file}"), b"x");
    }
    cluster.put("a10-r/dx", b"stays");
    let ran = cluster.run(&["delete", "-r", "a10-r/d/"]).fails(2, "there is no terminal");
    assert!(ran.err.contains("--yes"), "{}", ran.err);
    assert_eq!(cluster.names("a10-r/d/").len(), 25, "nothing was deleted");
    let ran = cluster.run(&["delete", "-r", "a10-r/d/", "--yes"]).succeeds();
    assert!(ran.err.contains("deleted 25 files (25 B)"), "{}", ran.err);
    assert_eq!(cluster.names("a10-r/"), ["a10-r/dx"]);
    cluster.run(&["delete", "-r", "a10-r/d/", "--yes"]).fails(3, "begins with \"a10-r/d/\"");
}
