//! Downloads that are cut off, that only look, and that bring many files.

use crate::cluster::{Cluster, PATIENCE, Ran, bytes, finish, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Temporary files in a directory.
fn parts(directory: &Path) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "part")).collect()
}

/// Begins a download and waits until it has so many bytes; answers it with the rest of its life before it.
fn cut_off_after(cluster: &Cluster, name: &str, out: &Path, least: u64, flag: Option<&str>) -> Child {
    let mut arguments = vec!["download", "-n", name, "-o", out.to_str().unwrap(), "--parallel", "1"];
    arguments.extend(flag);
    let mut command = cluster.command(&arguments);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    let directory = out.parent().unwrap();
    wait_until("some of the file is there", || {
        // It stands still while it is looked at, so that it cannot end meanwhile.
        kill_process(pid, Signal::STOP).unwrap();
        let enough = parts(directory).first().is_some_and(|part| part.metadata().is_ok_and(|part| part.len() >= least));
        if !enough {
            kill_process(pid, Signal::CONT).unwrap();
        }
        enough
    });
    child
}

fn interrupt(child: Child) -> Ran {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    kill_process(pid, Signal::CONT).unwrap();
    Ran::from(finish(child, PATIENCE))
}

/// A8, A13: what was cut off stays, is checked, and only the rest is fetched.
#[test]
fn an_interrupted_download_goes_on_where_it_was_cut_off() {
    let cluster = Cluster::start(1, 3);
    let scratch = cluster.scratch();
    let content = bytes(120 * MIB, 13);
    cluster.put("big", &content);
    let out = scratch.path().join("copy");
    std::fs::write(&out, b"precious").unwrap();

    let ran = interrupt(cut_off_after(&cluster, "big", &out, 10 * MIB as u64, None));
    ran.fails(130, "the same command goes on from there");
    assert_eq!(std::fs::read(&out).unwrap(), b"precious");
    let part = parts(scratch.path()).pop().expect("a part is kept");
    // What has become wrong meanwhile is noticed: the third chunk and all behind it are fetched again.
    let damaged = File::options().write(true).open(&part).unwrap();
    damaged.write_all_at(&[content[9 * MIB] ^ 1], 9 * MIB as u64).unwrap();

    let again = cluster.download("big", &out).succeeds();
    assert!(again.err.contains("8 MiB of 120 MiB are here already"), "{}", again.err);
    assert!(again.err.contains("112 MiB in"), "only the rest was fetched: {}", again.err);
    assert!(std::fs::read(&out).unwrap() == content);
    assert!(parts(scratch.path()).is_empty());

    // SIGKILL leaves the same.
    std::fs::write(&out, b"precious").unwrap();
    let mut child = cut_off_after(&cluster, "big", &out, 10 * MIB as u64, None);
    child.kill().unwrap();
    child.wait().unwrap();
    let again = cluster.download("big", &out).succeeds();
    assert!(again.err.contains("are here already"), "{}", again.err);
    assert!(std::fs::read(&out).unwrap() == content);

    // Unless it is asked not to.
    let ran = interrupt(cut_off_after(&cluster, "big", &out, 10 * MIB as u64, Some("--no-resume")));
    ran.fails(130, "interrupted");
    assert!(parts(scratch.path()).is_empty());

    // What is left of another version is never used.
    std::fs::write(&out, b"precious").unwrap();
    interrupt(cut_off_after(&cluster, "big", &out, 10 * MIB as u64, None)).fails(130, "are kept");
    cluster.run(&["delete", "-n", "big"]).succeeds();
    let other = bytes(9 * MIB, 14);
    cluster.put("big", &other);
    let again = cluster.download("big", &out).succeeds();
    assert!(!again.err.contains("are here already"), "{}", again.err);
    assert!(std::fs::read(&out).unwrap() == other);
    assert!(parts(scratch.path()).is_empty());
}

/// `--verify-only` reads every byte and writes nothing; a damaged file has its own exit code.
#[test]
fn a_file_can_be_verified_without_being_written() {
    let cluster = Cluster::start(1, 1);
    let content = bytes(300_000, 44);
    cluster.put("file", &content);
    let scratch = cluster.scratch();
    let verify = |arguments: &[&str]| {
        let mut command = cluster.command(&[&["download", "-n", "file", "--verify-only"], arguments].concat());
        command.current_dir(scratch.path());
        Ran::of(command)
    };
    let ran = verify(&[]).succeeds();
    assert!(ran.out.contains("file: 292.9 KiB can be read and are right"), "{}", ran.out);
    assert_eq!(verify(&["--quiet"]).succeeds().out, "");
    let ran = verify(&["--json", "--quiet"]).succeeds();
    let line: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&line["outcome"], &line["bytes"]), (&"verified".into(), &300_000.into()), "{line}");
    assert_eq!(crate::failures::flip(&cluster, "storage-1", &content[150_000..150_032]), 1);
    verify(&[]).fails(7, "1:0");
    let ran = verify(&["--json"]).fails(7, "1:0");
    let line: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&line["outcome"], &line["bytes"]), (&"failed".into(), &300_000.into()), "{line}");
    assert!(line["error"].as_str().is_some_and(|error| error.contains("1:0")), "{line}");
    let ran = cluster.run(&["download", "-n", "unknown", "--json"]).fails(3, "unknown");
    let line: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&line["outcome"], &line["name"], &line["id"]), (&"failed".into(), &"unknown".into(), &().into()));
    verify(&["--range", "0-1000"]).succeeds();
    verify(&["--range", "150000-150001"]).fails(7, "1:0");
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0, "nothing was written");
}

/// Everything below a directory, with an unreadable file and a link that leads out.
#[test]
fn all_files_below_a_directory_come_at_once_and_what_fails_is_named() {
    let cluster = Cluster::start(1, 1);
    let scratch = cluster.scratch();
    let names = ["tree/a", "tree/b/c", "tree/b/d e", "tree/out/secret", "trees/not-below", "alone"];
    for (seed, name) in names.iter().enumerate() {
        cluster.put(name, &bytes(100_000 + seed, seed as u64 + 70));
    }
    let content = |seed: usize| bytes(100_000 + seed, seed as u64 + 70);
    let (into, outside) = (scratch.path().join("into"), scratch.path().join("outside"));
    let get = |arguments: &[&str]| {
        let out = into.to_str().unwrap();
        cluster.run(&[&["download", "-r", "tree", "-o", out, "--json"], arguments].concat())
    };
    let ran = get(&[]).succeeds();
    assert_eq!(ran.out.lines().count(), 5, "four files and the total: {}", ran.out);
    let total: serde_json::Value = serde_json::from_str(ran.out.lines().last().unwrap()).unwrap();
    assert_eq!((&total["done"], &total["failed"]), (&4.into(), &0.into()), "{total}");
    for (seed, below) in [(0, "a"), (1, "b/c"), (2, "b/d e"), (3, "out/secret")] {
        assert!(std::fs::read(into.join(below)).unwrap() == content(seed), "{below}");
    }
    assert!(!into.join("not-below").exists());

    // Again, where one cannot be read and one would leave the directory.
    std::fs::remove_dir_all(&into).unwrap();
    std::fs::create_dir_all(&into).unwrap();
    std::fs::create_dir(&outside).unwrap();
    std::os::unix::fs::symlink(&outside, into.join("out")).unwrap();
    assert_eq!(crate::failures::flip(&cluster, "storage-1", &content(1)[50_000..50_032]), 1);
    let ran = get(&["--quiet", "--timeout", "3s"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("tree/b/c: chunk") && ran.err.contains("tree/out/secret: "), "{}", ran.err);
    assert!(ran.err.contains("2 of 4 files were not downloaded"), "{}", ran.err);
    assert!(std::fs::read(into.join("a")).unwrap() == content(0));
    assert!(std::fs::read(into.join("b/d e")).unwrap() == content(2));
    assert!(!into.join("b/c").exists());
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0, "nothing is written outside");
    assert!(parts(&into.join("b")).is_empty());

    let verify = |directory: &str| cluster.run(&["download", "-r", directory, "--verify-only", "--timeout", "3s"]);
    assert_eq!(verify("tree").code, 7);
    verify("trees").succeeds();
    verify("alone").fails(3, "no file below alone/");
    verify("a/../b").fails(2, "a/../b");
}

/// More files than are on their way at once.
#[test]
fn many_small_files_come_whole() {
    let cluster = Cluster::shared();
    let scratch = cluster.scratch();
    let count = 60_u32;
    for number in 0..count {
        cluster.put(&format!("many/{}/{number}", number % 7), format!("content of {number}").as_bytes());
    }
    let into = scratch.path().join("many");
    let mut command = cluster.command(&["download", "-r", "many/"]);
    command.current_dir(scratch.path());
    let ran = Ran::of(command).succeeds();
    assert!(ran.err.contains(&format!("downloaded {count} files of many/")), "{}", ran.err);
    let path = |number: u32| into.join(format!("{}/{number}", number % 7));
    let are_right = || {
        for number in 0..count {
            assert_eq!(std::fs::read_to_string(path(number)).unwrap(), format!("content of {number}"));
        }
    };
    are_right();

    // Again: only what is not there, or not right, comes.
    std::fs::write(path(3), "CONTENT of 3").unwrap();
    std::fs::write(path(4), "shorter").unwrap();
    std::fs::remove_file(path(5)).unwrap();
    let ran = cluster.run(&["download", "-r", "many/", "-o", into.to_str().unwrap(), "--json"]).succeeds();
    let total: serde_json::Value = serde_json::from_str(ran.out.lines().last().unwrap()).unwrap();
    assert_eq!((&total["done"], &total["there"]), (&3.into(), &(count - 3).into()), "{total}");
    are_right();
    let one = |arguments: &[&str]| {
        cluster
            .run(&[&["download", "-n", "many/1/1", "-o", path(1).to_str().unwrap()], arguments].concat())
            .succeeds()
            .err
    };
    assert!(one(&[]).contains("is here already and right"));
    assert!(one(&["--no-resume"]).contains("downloaded"));
}
