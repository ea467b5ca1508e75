//! Directories with all that is below them.

use crate::cluster::{Cluster, PATIENCE, Ran, bytes, finish};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::Stdio;

const FILES: usize = 120;

/// A tree of small files, one of several chunks, and what cannot be stored.
fn plant(root: &Path) {
    for number in 0..FILES {
        let directory = root.join(format!("d{}", number % 7));
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join(format!("f{number}")), bytes(number * 50, number as u64)).unwrap();
    }
    std::fs::write(root.join("large"), bytes(300_000, 7)).unwrap();
}

fn upload(cluster: &Cluster, root: &Path, more: &[&str]) -> Ran {
    let arguments = ["upload", "-r", root.to_str().unwrap(), "-n", "tree/of", "--chunk-size", "64KiB"];
    cluster.run(&[&arguments, more].concat())
}

fn lines(ran: &Ran) -> Vec<serde_json::Value> {
    ran.out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// Files that were done, were there, and failed.
fn counts(summary: &serde_json::Value) -> (u64, u64, u64) {
    let count = |field: &str| summary[field].as_u64().unwrap_or_else(|| panic!("no {field}: {summary}"));
    (count("done"), count("there"), count("failed"))
}

/// `upload -r` stores every file of a tree, names what it passes over, and lets alone what is there already.
#[test]
fn a_tree_is_stored_whole_and_what_cannot_be_is_named() {
    let cluster = Cluster::shared();
    let scratch = cluster.scratch();
    let root = scratch.path().join("tree");
    plant(&root);
    let ran = upload(&cluster, &root, &[]).succeeds();
    assert!(ran.err.contains("uploaded 121 files below tree/of"), "{}", ran.err);
    assert_eq!(cluster.names("tree/of/").len(), FILES + 1);
    assert!(cluster.get("tree/of/d3/f45") == bytes(45 * 50, 45));
    assert!(cluster.get("tree/of/large") == bytes(300_000, 7));

    // Again, with a new file, a changed one, and some that cannot be stored.
    std::fs::write(root.join("d1/new"), b"new").unwrap();
    std::fs::write(root.join("d2/f2"), b"changed").unwrap();
    std::os::unix::fs::symlink("large", root.join("link")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
    let ran = upload(&cluster, &root, &["--json"]);
    // The changed file is refused, the link and the socket are local: no one code stands for all of them.
    assert_eq!(ran.code, 1, "{}", ran.err);
    for named in ["link: it is a symbolic link", "socket: it is a socket", "d2/f2: a file named"] {
        assert!(ran.err.contains(named), "{named:?} is not in\n{}", ran.err);
    }
    let told = lines(&ran);
    let summary = told.last().unwrap();
    assert_eq!(counts(summary), (1, 120, 3));
    assert_eq!(told.iter().filter(|line| line["outcome"] == "there").count(), 120);
    assert!(told.iter().any(|line| line["outcome"] == "uploaded" && line["name"] == "tree/of/d1/new"), "{}", ran.out);
    let refused = told.iter().find(|line| line["name"] == "tree/of/d2/f2").unwrap();
    assert_eq!((&refused["outcome"], &refused["bytes"]), (&"failed".into(), &7.into()), "{refused}");
    assert!(!ran.err.contains("uploaded 1 files"), "programs are told, and not people: {}", ran.err);

    // Only what is another file now is replaced.
    std::fs::remove_file(root.join("link")).unwrap();
    let ran = upload(&cluster, &root, &["--overwrite", "--json"]);
    assert_eq!(ran.code, 8, "{}", ran.err);
    assert_eq!(counts(lines(&ran).last().unwrap()), (1, FILES as u64 + 1, 1));
    assert_eq!(cluster.get("tree/of/d2/f2"), b"changed");
}

/// Whatever the flags, the same command again sends nothing again that is stored.
#[test]
fn a_tree_that_is_stored_is_not_sent_again_whatever_the_flags() {
    let cluster = Cluster::shared();
    let scratch = cluster.scratch();
    let root = scratch.path().join("tree");
    std::fs::create_dir(&root).unwrap();
    for (number, size) in [0, 5, 200_000].into_iter().enumerate() {
        std::fs::write(root.join(number.to_string()), bytes(size, number as u64)).unwrap();
    }
    let upload = |more: &[&str]| {
        let arguments = ["upload", "-r", root.to_str().unwrap(), "-n", "tree/again", "--chunk-size", "64KiB", "--json"];
        cluster.run(&[&arguments, more].concat())
    };
    let again = |more: &[&str]| counts(lines(&upload(more).succeeds()).last().unwrap());
    assert_eq!(again(&[]), (3, 0, 0));
    for flags in [&["--no-resume"][..], &["--checksum"], &["--overwrite"], &["--overwrite", "--no-resume"]] {
        assert_eq!(again(flags), (0, 3, 0), "{flags:?}");
    }
    // Other copies than there are were asked for.
    assert_eq!(again(&["--overwrite", "--replication", "2"]), (3, 0, 0));

    // The same size and time, but not the same bytes: only --checksum can know. Another time does not matter to it.
    let large = root.join("2");
    let modified = large.metadata().unwrap().modified().unwrap();
    std::fs::write(&large, bytes(200_000, 9)).unwrap();
    std::fs::File::options().write(true).open(&large).unwrap().set_modified(modified).unwrap();
    let small = std::fs::File::options().write(true).open(root.join("1")).unwrap();
    small.set_modified(modified + std::time::Duration::from_secs(60)).unwrap();
    let ran = upload(&["--checksum"]);
    assert_eq!((ran.code, counts(lines(&ran).last().unwrap())), (4, (0, 2, 1)), "{}", ran.err);
    assert_eq!(again(&["--checksum", "--overwrite"]), (1, 2, 0));
    assert!(cluster.get("tree/again/2") == bytes(200_000, 9));
}

/// A reader of what `--json` tells who goes away does not stop the work, and does not hide that some of it failed.
#[test]
fn a_tree_is_moved_whole_although_nobody_listens_any_more() {
    let cluster = Cluster::shared();
    let scratch = cluster.scratch();
    let root = scratch.path().join("tree");
    plant(&root);
    let unheard = |arguments: &[&str]| {
        let mut command = cluster.command(&[arguments, &["--json"]].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        Ran::from(finish(child, PATIENCE))
    };
    let ran = unheard(&["upload", "-r", root.to_str().unwrap(), "-n", "tree/unheard"]).succeeds();
    assert_eq!(ran.err, "");
    assert_eq!(cluster.names("tree/unheard/").len(), FILES + 1);
    std::os::unix::fs::symlink("large", root.join("link")).unwrap();
    let ran = unheard(&["upload", "-r", root.to_str().unwrap(), "-n", "tree/unheard"]);
    assert_eq!(ran.code, 8, "{}", ran.err);
    assert!(ran.err.contains("1 of 122 files were not uploaded"), "{}", ran.err);

    let into = scratch.path().join("into");
    std::fs::create_dir_all(into.join("large")).unwrap();
    let ran = unheard(&["download", "-r", "tree/unheard", "-o", into.to_str().unwrap()]);
    assert_eq!(ran.code, 8, "{}", ran.err);
    assert!(ran.err.contains("1 of 121 files were not downloaded"), "{}", ran.err);
    assert!((0..FILES).all(|number| into.join(format!("d{}/f{number}", number % 7)).is_file()));
}

/// A13: programs are told how far it came, and the same command goes on.
#[test]
fn a_tree_that_is_interrupted_is_told_as_far_as_it_came() {
    let cluster = Cluster::shared();
    let scratch = cluster.scratch();
    let root = scratch.path().join("tree");
    std::fs::create_dir(&root).unwrap();
    std::fs::write(root.join("small"), b"small").unwrap();
    let large = std::fs::File::create(root.join("large")).unwrap();
    large.set_len(48 << 20).unwrap();
    let arguments = ["upload", "-r", root.to_str().unwrap(), "-n", "tree/cut", "--chunk-size", "64KiB", "--json"];
    let mut command = cluster.command(&[&arguments[..], &["--parallel", "1"]].concat());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    told.read_line(&mut first).unwrap();
    assert!(first.contains("tree/cut/small"), "one chunk after the other takes long: {first}");
    kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), Signal::INT).unwrap();
    let mut rest = String::new();
    told.read_to_string(&mut rest).unwrap();
    Ran::from(finish(child, PATIENCE)).fails(130, "what is stored is not sent again");
    let summary: serde_json::Value = serde_json::from_str(&rest).unwrap_or_else(|error| panic!("{error}: {rest}"));
    assert_eq!((counts(&summary), &summary["error"]), ((1, 0, 0), &"interrupted".into()), "{summary}");

    let told = lines(&cluster.run(&arguments).succeeds());
    let resumed = told.iter().find(|line| line["name"] == "tree/cut/large").unwrap();
    assert_eq!((&resumed["outcome"], &resumed["bytes"]), (&"uploaded".into(), &(48 << 20).into()), "{resumed}");
    assert!(resumed["resumed_bytes"].as_u64().is_some_and(|bytes| bytes < 48 << 20), "{resumed}");
    assert_eq!(resumed["resumed_bytes"], told.last().unwrap()["resumed_bytes"]);
    assert_eq!(counts(told.last().unwrap()), (1, 1, 0));
}

/// A directory that is none, and one without a name of its own.
#[test]
fn what_is_no_directory_is_refused_before_any_request() {
    let cluster = Cluster::shared();
    let scratch = cluster.scratch();
    let file = scratch.path().join("file");
    std::fs::write(&file, b"x").unwrap();
    upload(&cluster, &file, &[]).fails(8, "is a file");
    upload(&cluster, &scratch.path().join("none"), &[]).fails(8, "none");
    cluster.run(&["upload", "-r", "/"]).fails(2, "--name");
}
