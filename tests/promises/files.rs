//! Files go in and come out as they were.

use crate::cluster::{Cluster, Ran, bytes, executable, finish, wait_until};
use std::io::{Read, Write};
use std::process::Stdio;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// A1.
#[test]
fn a_file_of_42_bytes_is_identical_and_has_one_chunk() {
    let cluster = Cluster::shared();
    let content = bytes(42, 1);
    cluster.put("a01/small", &content);
    assert_eq!(cluster.get("a01/small"), content);
    let stat = cluster.json(&["stat", "--name", "a01/small"]);
    assert_eq!((&stat["size_bytes"], &stat["chunks"]), (&42.into(), &1.into()), "{stat}");
}

/// A2, A3: boundaries of chunks and groups, with the smallest chunks so that a group is 1 MiB.
#[test]
fn sizes_around_every_boundary_round_trip() {
    let cluster = Cluster::shared();
    let scratch = cluster.scratch();
    let (chunk, group) = (64 * KIB, MIB);
    for size in [0, 1, chunk - 1, chunk, chunk + 1, 2 * chunk, group - 1, group, group + 1, 2 * group + chunk + 7] {
        let (name, content) = (format!("a02/{size}"), bytes(size, size as u64 + 7));
        let file = scratch.path().join("source");
        std::fs::write(&file, &content).unwrap();
        let file = file.to_str().unwrap();
        cluster.run(&["upload", "-f", file, "-n", &name, "--chunk-size", "64KiB"]).succeeds();
        assert!(cluster.get(&name) == content, "{size} bytes come back as they were");
        let stat = cluster.json(&["stat", "--name", &name]);
        assert_eq!(stat["chunks"], size.div_ceil(chunk), "no empty tail chunk: {stat}");
        assert_eq!(stat["chunk_size_bytes"], chunk, "{stat}");
    }
}

/// A3.
#[test]
fn chunk_sizes_outside_64_kib_to_64_mib_are_refused() {
    let cluster = Cluster::shared();
    let scratch = cluster.scratch();
    let file = scratch.path().join("source");
    std::fs::write(&file, b"x").unwrap();
    for size in ["0", "-1", "1KiB", "128MiB", "65537", "four"] {
        let option = format!("--chunk-size={size}");
        let ran = cluster.run(&["upload", "-f", file.to_str().unwrap(), "-n", "a03/x", &option]);
        assert_eq!(ran.code, 2, "{size}: {}", ran.err);
        assert!(!ran.err.contains("panicked"), "{}", ran.err);
    }
    assert!(cluster.names("a03/").is_empty());
}

/// A4.
#[test]
fn a_listing_is_sorted_paged_and_shows_what_the_prefix_says() {
    let cluster = Cluster::shared();
    let names = ["a04/b", "a04/a-b", "a04/a.txt", "a04/a/x", "a04/a0", "a04/c/d/e"];
    for name in names {
        cluster.put(name, name.as_bytes());
    }
    let mut sorted = names;
    sorted.sort_unstable();
    assert_eq!(cluster.names("a04/"), sorted);
    assert_eq!(cluster.names("a04/a"), ["a04/a-b", "a04/a.txt", "a04/a/x", "a04/a0"]);
    assert!(cluster.names("a04/zzz").is_empty());
    assert!(cluster.names("").len() >= names.len());
    let none = cluster.run(&["list", "--limit", "0"]);
    assert_eq!(none.code, 2, "nothing is said of what was not looked at: {}", none.out);
    let limited = cluster.json(&["list", "--prefix", "a04/", "--limit", "2"]);
    assert_eq!(limited["files"].as_array().unwrap().len(), 2, "{limited}");
    assert_eq!(limited["more"], true, "{limited}");
}

/// A5.
#[test]
fn standard_input_goes_up_and_comes_back_on_standard_output() {
    let cluster = Cluster::shared();
    for size in [0, 5, 9 * MIB + 13] {
        let content = bytes(size, 5);
        let name = format!("a05/{size}");
        let mut upload = cluster.command(&["upload", "-f", "-", "-n", &name]);
        let mut child = upload.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let sent = content.clone();
        #[allow(clippy::disallowed_methods, reason = "a test outside of any node")]
        let feeder = std::thread::spawn(move || stdin.write_all(&sent));
        Ran::from(finish(child, crate::cluster::PATIENCE)).succeeds();
        feeder.join().unwrap().unwrap();
        let download = cluster
            .command(&["download", "-n", &name, "-o", "-"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = finish(download, crate::cluster::PATIENCE);
        assert!(output.status.success() && output.stdout == content, "{size}: {:?}", output.stderr);
    }
    // A disk that is full is a failure, also where only the end of the file is buffered.
    cluster.put("a05/line", b"no end of a line");
    let mut download = cluster.command(&["download", "-n", "a05/line", "-o", "-"]);
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let child = download.stdout(full).stderr(Stdio::piped()).spawn().unwrap();
    Ran::from(finish(child, crate::cluster::PATIENCE)).fails(8, "cannot write to standard output");
    // A reader that has enough is no failure.
    let mut download = cluster.command(&["download", "-n", &format!("a05/{}", 9 * MIB + 13), "-o", "-"]);
    let mut child = download.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ran = Ran::from(finish(child, crate::cluster::PATIENCE)).succeeds();
    assert_eq!(ran.err, "");
}

/// The first half of A6: a name that exists is refused.
#[test]
fn a_name_that_exists_is_refused_and_keeps_its_content() {
    let cluster = Cluster::shared();
    cluster.put("a06/name", b"first");
    let scratch = cluster.scratch();
    let file = scratch.path().join("source");
    std::fs::write(&file, b"second").unwrap();
    cluster.upload(&file, "a06/name").fails(4, "a06/name");
    assert_eq!(cluster.get("a06/name"), b"first");
    cluster.run(&["upload", "-f", file.to_str().unwrap(), "-n", "a06/name", "--checksum"]).fails(4, "a06/name");
    // The very same file is refused too, and the user told that it is stored, as after an answer that was lost.
    let again = |more: &[&str]| {
        let arguments = ["upload", "-f", file.to_str().unwrap(), "-n", "a06/again"];
        cluster.run(&[&arguments, more].concat())
    };
    again(&[]).succeeds();
    again(&[]).fails(4, "it is stored already: file");
    again(&["--checksum"]).fails(4, "has the same bytes");
    again(&["--overwrite"]).succeeds();
    cluster.upload(&file, "a06/name/below").fails(4, "a06/name/below");
    cluster.upload(&file, "a06").fails(4, "a06");
}

/// A6: a download that began before the file was overwritten gives the old content whole, a later one the new content.
#[test]
fn an_overwritten_file_is_read_as_it_was_or_as_it_is_and_never_mixed() {
    let cluster = Cluster::shared();
    let scratch = cluster.scratch();
    let file = scratch.path().join("source");
    // So many chunks that their locations come in two pages, the second after the file is overwritten.
    let (old, new) = (bytes(65 * MIB + 5, 61), bytes(9 * MIB + 3, 62));
    let overwrite = |content: &[u8]| {
        std::fs::write(&file, content).unwrap();
        let file = file.to_str().unwrap();
        cluster.run(&["upload", "-f", file, "-n", "a06/over", "--chunk-size", "64KiB", "--overwrite"])
    };
    overwrite(&old).succeeds();
    let mut reader = cluster.command(&["download", "-n", "a06/over", "-o", "-", "--parallel", "1"]);
    let mut reader = reader.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut pipe = reader.stdout.take().unwrap();
    // The reader has begun, and cannot go far: nobody takes what it reads.
    let mut begun = vec![0; 1000];
    pipe.read_exact(&mut begun).unwrap();
    overwrite(&new).succeeds();
    assert!(cluster.get("a06/over") == new, "a later reader gets the new content");
    assert_eq!(cluster.names("a06/over"), ["a06/over"]);
    pipe.read_to_end(&mut begun).unwrap();
    let ended = Ran::from(finish(reader, crate::cluster::PATIENCE)).succeeds();
    assert!(begun == old, "{} bytes were read of {}: {}", begun.len(), old.len(), ended.err);
}

/// A6: of two that overwrite the same version at once exactly one succeeds; the other is told, and nothing is mixed.
#[test]
fn of_two_that_overwrite_at_once_one_is_told_that_the_other_was_first() {
    let cluster = Cluster::start(1, 1);
    cluster.put("over", b"old");
    let contents = [bytes(MIB, 63), bytes(MIB + 1, 64)];
    let mut writers: Vec<_> = contents
        .iter()
        .map(|content| {
            let mut upload =
                cluster.command(&["upload", "-f", "-", "-n", "over", "--chunk-size", "64KiB", "--overwrite"]);
            let mut child = upload.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            child.stdin.as_mut().unwrap().write_all(&content[..200 * KIB]).unwrap();
            child
        })
        .collect();
    wait_until("both uploads are open", || cluster.json(&["status"])["open_uploads"] == 2);
    assert_eq!(cluster.get("over"), b"old");
    for (writer, content) in writers.iter_mut().zip(&contents) {
        writer.stdin.take().unwrap().write_all(&content[200 * KIB..]).unwrap();
    }
    let ended: Vec<Ran> =
        writers.into_iter().map(|writer| Ran::from(finish(writer, crate::cluster::PATIENCE))).collect();
    let winner = ended.iter().position(|ran| ran.code == 0).expect("one of them succeeds");
    assert!(cluster.get("over") == contents[winner]);
    let loser = ended.into_iter().nth(1 - winner).unwrap();
    loser.fails(4, "another upload replaced over meanwhile");
    let scratch = cluster.scratch();
    let file = scratch.path().join("source");
    std::fs::write(&file, &contents[1 - winner]).unwrap();
    cluster.run(&["upload", "-f", file.to_str().unwrap(), "-n", "over", "--overwrite"]).succeeds();
    assert!(cluster.get("over") == contents[1 - winner], "run again it replaces that version");
}

/// A7.
#[test]
fn names_that_could_escape_or_confuse_are_refused_everywhere() {
    let cluster = Cluster::shared();
    let scratch = cluster.scratch();
    let file = scratch.path().join("source");
    std::fs::write(&file, b"x").unwrap();
    let long = "x".repeat(300);
    for name in ["", "/etc/passwd", "a//b", "a/", "./a", "a/../b", "..", "a\nb", &long] {
        for verb in ["upload", "download", "stat", "delete"] {
            let option = format!("--name={name}");
            let mut arguments = vec![verb, &option];
            if verb == "upload" {
                arguments.extend(["-f", file.to_str().unwrap()]);
            }
            let mut command = cluster.command(&arguments);
            let ran = Ran::of({
                command.current_dir(scratch.path());
                command
            });
            assert_eq!(ran.code, 2, "{verb} {name:?}: {}", ran.err);
            assert!(!ran.err.contains("panicked"), "{}", ran.err);
        }
    }
    let left: Vec<_> = std::fs::read_dir(scratch.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["source"], "no download wrote anything");
}

/// A8.
#[test]
fn a_failed_download_leaves_the_local_file_and_nothing_else() {
    let cluster = Cluster::shared();
    let scratch = cluster.scratch();
    let file = scratch.path().join("precious");
    std::fs::write(&file, b"precious").unwrap();
    cluster.download("a08/unknown", &file).fails(3, "a08/unknown");
    assert_eq!(std::fs::read(&file).unwrap(), b"precious");
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1, "no temporary file is left");
    cluster.put("a08/known", b"new");
    cluster.download("a08/known", &file).succeeds();
    assert_eq!(std::fs::read(&file).unwrap(), b"new");
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1, "no temporary file is left");
}

/// A9.
#[test]
fn a_missing_local_file_is_found_before_any_request_and_an_unknown_name_has_its_own_code() {
    let cluster = Cluster::shared();
    let mut offline = executable();
    offline.args(["upload", "-f", "/nonexistent/file", "-n", "x", "--cluster", "/nonexistent/cluster"]);
    Ran::of(offline).fails(8, "/nonexistent/file");
    cluster.run(&["stat", "-n", "a09/unknown"]).fails(3, "a09/unknown");
    cluster.run(&["delete", "-n", "a09/unknown"]).fails(3, "a09/unknown");
}

/// A10.
#[test]
fn a_deleted_file_is_gone_at_once_by_name_and_by_id() {
    let cluster = Cluster::shared();
    cluster.put("a10/by-name", b"1");
    cluster.put("a10/by-id", b"2");
    let id = cluster.json(&["stat", "--name", "a10/by-id"])["id"].to_string();
    cluster.run(&["delete", "--name", "a10/by-name"]).succeeds();
    assert_eq!(cluster.names("a10/"), ["a10/by-id"]);
    cluster.run(&["delete", "--id", id.trim_matches('"')]).succeeds();
    assert!(cluster.names("a10/").is_empty());
    let scratch = cluster.scratch();
    cluster.download("a10/by-name", &scratch.path().join("x")).fails(3, "a10/by-name");
    cluster.put("a10/by-name", b"again");
    assert_eq!(cluster.get("a10/by-name"), b"again");
}

/// A12.
#[test]
fn a_range_is_exactly_the_bytes_that_were_asked_for() {
    let cluster = Cluster::shared();
    let scratch = cluster.scratch();
    let (block, chunk) = (64 * KIB, 128 * KIB);
    let group = 16 * chunk;
    let content = bytes(group + chunk + 7, 12);
    let size = content.len();
    let file = scratch.path().join("source");
    std::fs::write(&file, &content).unwrap();
    cluster.run(&["upload", "-f", file.to_str().unwrap(), "-n", "a12", "--chunk-size", "128KiB"]).succeeds();
    let out = scratch.path().join("part");
    let get = |range: &str| {
        let option = format!("--range={range}");
        cluster.run(&["download", "-n", "a12", "-o", out.to_str().unwrap(), &option])
    };
    for (first, last) in [
        (0, 0),
        (block - 1, block),
        (chunk - 1, chunk),
        (chunk, 2 * chunk - 1),
        (group - 1, group),
        (group, group + chunk - 1),
        (5, group + chunk + 1),
        (size - 1, size - 1),
        (size - 8, size + 1000),
    ] {
        get(&format!("{first}-{last}")).succeeds();
        assert!(std::fs::read(&out).unwrap() == content[first..size.min(last + 1)], "{first}-{last}");
    }
    get(&format!("{}-", group + 3)).succeeds();
    assert!(std::fs::read(&out).unwrap() == content[group + 3..]);
    get("-9").succeeds();
    assert!(std::fs::read(&out).unwrap() == content[size - 9..]);
    get(&format!("{size}-")).fails(6, &format!("{size} bytes"));
    assert!(std::fs::read(&out).unwrap() == content[size - 9..], "what was there stays");
    let ran = get("9-1");
    assert!(ran.code == 2 && ran.err.contains("not a range"), "{ran:?}");
}
