//! Moves of files and directories.

use super::*;
use crate::limit::{COMPONENT_BYTES_MAX, NAME_BYTES_MAX, REQUEST_KEPT_MS};
use proptest::collection::vec;
use proptest::prelude::*;

#[test]
fn a_file_gets_another_name_and_keeps_everything_else() {
    let mut machine = Machine::with_nodes(3);
    let before = machine.upload("a/b/c", 2);
    let groups = machine.locate(before.file);
    let after = FileInfo { name: name("a/d"), ..before.clone() };
    assert_eq!(machine.rename(1, "a/b/c", "a/d"), Ok(MovedName::File(after.clone())));
    assert_eq!(machine.stat("a/d"), Ok(after.clone()));
    assert_eq!(stat(&machine.state, &FileTarget::Id(before.file)).unwrap(), Ok(after));
    assert_eq!(machine.stat("a/b/c"), Err(Refusal::NotFound));
    assert_eq!((machine.names(), machine.locate(before.file)), (vec!["a/d".to_owned()], groups));
    let expected = Totals { files: 1, file_bytes: before.size, open_uploads: 0, storage_nodes: 3 };
    assert_eq!(totals(&machine.state).unwrap(), expected);
    machine.upload("a/b", 0);
    assert_eq!(machine.names(), ["a/b", "a/d"], "the directory went with its last entry");
}

#[test]
fn a_directory_moves_with_all_below_it_and_its_empty_parents_go() {
    let mut machine = Machine::with_nodes(3);
    for text in ["x/d/1", "x/d/e/2", "x/d/e/f/3", "y"] {
        machine.upload(text, 0);
    }
    assert_eq!(machine.rename(1, "x/d", "p/q/r"), Ok(MovedName::Directory));
    assert_eq!(machine.names(), ["p/q/r/1", "p/q/r/e/2", "p/q/r/e/f/3", "y"]);
    assert_eq!(machine.stat("p/q/r/e/2").unwrap().name, name("p/q/r/e/2"));
    machine.upload("x", 0);
    // Into a directory of its own parent, which is left by nobody else.
    assert_eq!(machine.rename(2, "p/q/r", "p/q/s/t"), Ok(MovedName::Directory));
    assert_eq!(machine.names(), ["p/q/s/t/1", "p/q/s/t/e/2", "p/q/s/t/e/f/3", "x", "y"]);
    assert_eq!(machine.rename(3, "p/q/s/t", "p/q/t"), Ok(MovedName::Directory));
    for (text, request) in ["p/q/t/1", "p/q/t/e/2", "p/q/t/e/f/3", "x", "y"].into_iter().zip(10..) {
        machine.delete(request, by_name(text)).unwrap();
    }
    let leftovers = machine.state.pairs.keys().filter(|key| [2, 3].contains(&key[0])).count();
    assert_eq!(leftovers, 0, "no name and no directory is left");
}

#[test]
fn a_move_costs_the_same_whatever_is_below_the_directory() {
    let cost = |files: usize| {
        let mut machine = Machine::with_nodes(0);
        for file in 0..files {
            machine.upload(&format!("a/b/{file:05}"), 0);
        }
        machine.state.gets.set(0);
        machine.state.scan_limit_max.set(0);
        let entry = Entry {
            time: ClusterTime(0),
            command: Command::Move {
                request: MoveName {
                    request: RequestId(1),
                    first_tried: ClusterTime(0),
                    from: name("a/b"),
                    to: name("c/d"),
                },
            },
        };
        let change = apply(&machine.state, &entry).unwrap();
        change.outcome.unwrap();
        (change.changes.len(), machine.state.gets.get(), machine.state.scan_limit_max.get())
    };
    assert_eq!(cost(1), cost(500));
}

#[test]
fn what_cannot_be_moved_there_stays_where_it_is() {
    let mut machine = Machine::with_nodes(3);
    for text in ["a/b", "a/c/d", "f"] {
        machine.upload(text, 0);
    }
    machine.open(77, "open");
    let names = machine.names();
    for (from, to, refusal) in [
        ("g", "h", Refusal::NotFound),
        ("a/g", "h", Refusal::NotFound),
        ("f/g", "h", Refusal::NotFound),
        ("open", "h", Refusal::NotFound),
        ("f", "a/b", Refusal::NameExists),
        ("f", "a", Refusal::NameExists),
        ("f", "f", Refusal::NameExists),
        ("a", "a", Refusal::NameExists),
        ("a", "f", Refusal::NameExists),
        ("a/c", "a", Refusal::NameExists),
        ("a/c/d", "a/c", Refusal::NameExists),
        ("a", "a/x", Refusal::NameConflict),
        ("a", "a/c/x", Refusal::NameConflict),
        ("f", "f/x", Refusal::NameConflict),
        ("a", "f/x", Refusal::NameConflict),
        ("f", "a/b/x", Refusal::NameConflict),
    ] {
        assert_eq!(machine.rename(1, from, to), Err(refusal), "{from} to {to}");
        assert_eq!(machine.names(), names);
    }
    assert_eq!(machine.rename(1, "a", "ab"), Ok(MovedName::Directory), "a longer name is not below a shorter one");
}

#[test]
fn a_repeated_move_is_not_done_again() {
    let mut machine = Machine::with_nodes(3);
    let moved = FileInfo { name: name("b"), ..machine.upload("a", 0) };
    let request = MoveName { request: RequestId(1), first_tried: ClusterTime(0), from: name("a"), to: name("b") };
    let command = Command::Move { request };
    let done = Ok(Outcome::Moved(MovedName::File(moved)));
    assert_eq!(machine.apply(command.clone()), done);
    let other = machine.upload("a", 1);
    assert_eq!(machine.apply(command.clone()), done);
    assert_eq!(machine.stat("a"), Ok(other), "what came later under the old name stays");
    // An id is for one request.
    assert_eq!(machine.delete(1, by_name("a")), Err(Refusal::Malformed));
    let change = crate::settings::SettingChange { key: crate::settings::SettingKey::Replication, value: 2 };
    let request = ChangeSettings { request: RequestId(1), first_tried: ClusterTime(0), changes: vec![change] };
    assert_eq!(machine.apply(Command::ChangeSettings { request }), Err(Refusal::Malformed));
    machine.now = REQUEST_KEPT_MS + 1;
    assert_eq!(machine.apply(command), Err(Refusal::OutcomeUnknown));
}

#[test]
fn uploads_keep_their_names_and_their_versions_through_moves() {
    let mut machine = Machine::with_nodes(3);
    machine.upload("d/old", 1);
    let (below, over) = (machine.open_over(1, "d/new"), machine.open_over(2, "d/old"));
    machine.rename(1, "d", "e").unwrap();
    let commit = |machine: &mut Machine, file, nonce| machine.commit(commit_request(file, nonce, 0, vec![]));
    assert_eq!(commit(&mut machine, below, 1).unwrap().name, name("d/new"));
    assert_eq!(commit(&mut machine, over, 2).unwrap().file, over, "the name has been freed");
    assert_eq!(machine.names(), ["d/new", "d/old", "e/old"]);
    // A repeated commit is answered with the name that the file has now.
    machine.rename(2, "d/new", "f").unwrap();
    assert_eq!(commit(&mut machine, below, 1).unwrap().name, name("f"));
    // Another version that was moved to the name is not replaced.
    let over = machine.open_over(3, "d/old");
    machine.delete(3, by_name("d/old")).unwrap();
    machine.rename(4, "e/old", "d/old").unwrap();
    assert_eq!(commit(&mut machine, over, 3), Err(Refusal::Replaced));
}

/// A name of components of these lengths.
fn long(lengths: &[usize]) -> String {
    lengths.iter().map(|length| "x".repeat(*length)).collect::<Vec<_>>().join("/")
}

#[test]
fn a_directory_is_not_moved_to_where_a_name_below_it_would_be_too_long() {
    let mut machine = Machine::with_nodes(0);
    machine.upload(&format!("d/{}", long(&[250, 250, 250])), 0);
    machine.upload("d/short", 0);
    // 752 bytes lie below it, behind its slash: 271 bytes are left for its own name.
    assert_eq!(machine.rename(1, "d", &long(&[70, 201])), Err(Refusal::NameTooLong));
    assert_eq!(machine.rename(1, "d", &long(&[70, 200])), Ok(MovedName::Directory));
    // Its new parents know of the long name too.
    assert_eq!(machine.rename(2, &long(&[70]), &"z".repeat(71)), Err(Refusal::NameTooLong));
    assert_eq!(machine.rename(2, &long(&[70]), &format!("z/{}", "z".repeat(68))), Ok(MovedName::Directory));
    assert_eq!(machine.list("", None, 1000).files[1].name.as_str().len(), NAME_BYTES_MAX);
}

#[test]
fn a_name_that_has_gone_still_counts_for_the_bound_of_its_directory() {
    let mut machine = Machine::with_nodes(0);
    let gone = format!("d/{}", long(&[250, 250, 250]));
    machine.upload(&gone, 0);
    machine.upload("d/short", 0);
    machine.delete(1, by_name(&gone)).unwrap();
    assert_eq!(machine.rename(2, "d", &long(&[250, 100])), Err(Refusal::NameTooLong), "a bound, not a measure");
    machine.delete(3, by_name("d/short")).unwrap();
    machine.upload("d/short", 0);
    assert_eq!(machine.rename(4, "d", &long(&[250, 100])), Ok(MovedName::Directory), "the directory began anew");
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn no_moves_make_a_name_too_long_and_none_is_refused_that_is_far_from_it(
        files in vec(vec((any::<bool>(), 0_usize..3), 1..5), 1..12),
        moves in vec((any::<prop::sample::Index>(), 1_usize..5, vec((any::<bool>(), 0_usize..3), 1..4)), 1..20),
    ) {
        let text = |parts: &[(bool, usize)]| {
            let part = |(far, kind): &(bool, usize)| ["a", "b", "c"][*kind].repeat(if *far { COMPONENT_BYTES_MAX } else { 1 });
            parts.iter().map(part).collect::<Vec<_>>().join("/")
        };
        let mut machine = Machine::with_nodes(0);
        for (parts, nonce) in files.iter().zip(1..) {
            let Ok(taken) = FileName::new(text(parts)) else { continue };
            let request = CreateFile { size_hint: Some(0), ..create_request(nonce, taken.as_str()) };
            if let Ok(created) = machine.create(request, &[]) {
                machine.commit(commit_request(created.file, nonce, 0, vec![])).unwrap();
            }
        }
        // What bounds can have added up to: those of names that have gone move with their directories.
        let mut bound = machine.names().iter().map(String::len).max().unwrap_or(0);
        for ((pick, depth, to), request) in moves.iter().zip(1..) {
            let names = machine.names();
            let Some(from) = names.get(pick.index(names.len().max(1))) else { break };
            let from = from.split('/').take(*depth).collect::<Vec<_>>().join("/");
            let to = text(to);
            let below = names.iter().filter_map(|name| name.strip_prefix(&format!("{from}/"))).map(str::len).max();
            let needed = below.map_or(to.len(), |below| to.len() + 1 + below);
            match machine.rename(request, &from, &to) {
                Ok(_) => {
                    prop_assert!(needed <= NAME_BYTES_MAX);
                    bound += to.len() + 1;
                }
                Err(Refusal::NameTooLong) => prop_assert!(to.len() + 1 + bound > NAME_BYTES_MAX),
                Err(refusal) => prop_assert!(matches!(refusal, Refusal::NameExists | Refusal::NameConflict)),
            }
            // Listing walks every directory, and a look by id walks back up.
            for info in machine.list("", None, 1000).files {
                prop_assert_eq!(stat(&machine.state, &FileTarget::Id(info.file)).unwrap(), Ok(info));
            }
        }
    }
}
