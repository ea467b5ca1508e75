//! Directories with all that is below them.

use crate::cluster::{Cluster, Ran, bytes};
use std::path::Path;

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
    assert_eq!((&summary["uploaded"], &summary["there"], &summary["failed"]), (&1.into(), &120.into(), &3.into()));
    assert_eq!(told.iter().filter(|line| line["result"] == "there").count(), 120);
    assert!(told.iter().any(|line| line["result"] == "uploaded" && line["name"] == "tree/of/d1/new"), "{}", ran.out);

    std::fs::remove_file(root.join("link")).unwrap();
    let ran = upload(&cluster, &root, &["--overwrite", "--json"]);
    assert_eq!(ran.code, 8, "{}", ran.err);
    assert_eq!(lines(&ran).last().unwrap()["uploaded"], FILES as u64 + 2);
    assert_eq!(cluster.get("tree/of/d2/f2"), b"changed");
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
