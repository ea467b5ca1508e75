//! One level of the tree against a sorted list of names, and the open uploads.

use super::*;
use crate::limit::{COMPONENT_BYTES_MAX, LIST_PAGE_BYTES_MAX};
use crate::wire::metadata::{LevelEntry, LevelPage, ListLevel, ListUploads, OpenUpload};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// A cluster in which as many of these names exist as can together.
fn machine_with<'a>(names: impl IntoIterator<Item = &'a String>) -> (Machine, Vec<String>) {
    let mut machine = Machine::with_nodes(0);
    for (text, nonce) in names.into_iter().zip(1..) {
        let request = CreateFile { size_hint: Some(0), ..create_request(nonce, text) };
        if let Ok(created) = machine.create(request, &[]) {
            machine.commit(commit_request(created.file, nonce, 0, vec![])).unwrap();
        }
    }
    let names = machine.names();
    (machine, names)
}

fn level(machine: &Machine, prefix: &str, after: Option<&str>, limit: u32) -> LevelPage {
    let request = ListLevel { prefix: prefix.to_owned(), after: after.map(str::to_owned), limit };
    list_level(&machine.state, &request).unwrap()
}

fn texts(page: &LevelPage) -> Vec<String> {
    page.entries.iter().map(LevelEntry::text).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn a_level_is_the_names_cut_at_the_first_slash_behind_the_prefix(
        names in vec("[ab!0]{1,2}(/[ab!0]{1,2}){0,3}", 0..60),
        prefix in "[ab!0/]{0,4}",
        after in proptest::option::of("[ab!0/]{0,6}"),
        limit in 0_u32..20,
    ) {
        let (machine, names) = machine_with(&names);
        let cut = |name: &String| {
            let end = name[prefix.len()..].find('/').map_or(name.len(), |slash| prefix.len() + slash + 1);
            name[..end].to_owned()
        };
        let all: BTreeSet<String> = names.iter().filter(|name| name.starts_with(&prefix)).map(cut).collect();
        let fits = |text: &&String| after.as_ref().is_none_or(|after| *text > after);
        let expected: Vec<String> = all.iter().filter(fits).cloned().collect();
        let page = level(&machine, &prefix, after.as_deref(), limit);
        let count = expected.len().min(limit as usize);
        prop_assert_eq!(&texts(&page)[..], &expected[..count]);
        prop_assert_eq!(page.more, expected.len() > count);
        for entry in page.entries {
            if let LevelEntry::File(info) = entry {
                prop_assert_eq!(machine.stat(info.name.as_str()), Ok(info));
            }
        }
    }
}

#[test]
fn a_level_is_read_page_by_page_and_nothing_below_it() {
    let names: Vec<String> =
        (0..300).flat_map(|i| [format!("d/{i:03}/x/{i}"), format!("d/{i:03}/y"), format!("d/f{i:03}")]).collect();
    let (machine, _) = machine_with(&names);
    let expected: Vec<String> =
        (0..300).map(|i| format!("d/{i:03}/")).chain((0..300).map(|i| format!("d/f{i:03}"))).collect();
    for limit in [1, 7, 128, 1000] {
        let (mut all, mut after) = (Vec::new(), None::<String>);
        loop {
            machine.state.gets.set(0);
            let page = level(&machine, "d/", after.as_deref(), limit);
            assert!(machine.state.gets.get() <= page.entries.len() + 2, "a directory is not looked into");
            all.extend(texts(&page));
            after = all.last().cloned();
            if !page.more {
                break;
            }
        }
        assert_eq!(all, expected, "pages of {limit}");
    }
    assert!(machine.state.scan_limit_max.get() <= 128, "no scan grows with the directory");
    assert_eq!(texts(&level(&machine, "", None, 9)), ["d/"]);
    assert_eq!(texts(&level(&machine, "d", None, 9)), ["d/"]);
    assert_eq!(texts(&level(&machine, "d/00", None, 2)), ["d/000/", "d/001/"]);
    for prefix in ["d//", "/", "/d", "d/f001/", "e/", "d/000/y/"] {
        assert_eq!(level(&machine, prefix, None, 9), LevelPage { entries: vec![], more: false }, "{prefix}");
    }
}

#[test]
fn a_page_of_the_longest_entries_fits_a_message() {
    let part = "x".repeat(COMPONENT_BYTES_MAX - 4);
    let names: Vec<String> = (0..400).map(|i| format!("{part}/{part}/{part}/{part}{i:04}")).collect();
    let (machine, _) = machine_with(&names);
    let page = level(&machine, &format!("{part}/{part}/{part}/"), None, u32::MAX);
    assert!(page.more && page.entries.len() > 100);
    assert!(wire::encode(&page).len() <= LIST_PAGE_BYTES_MAX);
}

fn uploads(machine: &Machine, prefix: &str, after: Option<(&str, FileId)>, limit: u32) -> (Vec<(String, u64)>, bool) {
    let after = after.map(|(text, file)| (name(text), file));
    let page = list_uploads(&machine.state, &ListUploads { prefix: prefix.to_owned(), after, limit }).unwrap();
    (page.uploads.into_iter().map(|upload| (upload.name.to_string(), upload.file.0)).collect(), page.more)
}

#[test]
fn open_uploads_are_listed_by_name_and_from_the_newest_until_they_are_committed() {
    let mut machine = Machine::with_nodes(3);
    let request = CreateFile { size_hint: Some(99), ..create_request(1, "b/c") };
    machine.now = 1_000;
    let file = machine.create(request, &[1, 2, 3]).unwrap().file;
    for (nonce, text) in [(2, "a"), (3, "b/c"), (4, "b"), (5, "b/c/d")] {
        machine.open(nonce, text);
    }
    machine.now = 5_000;
    machine.upload("b/e", 1);
    let all = [("a", 2), ("b", 4), ("b/c", 3), ("b/c", 1), ("b/c/d", 5)].map(|(text, id)| (text.to_owned(), id));
    assert_eq!(uploads(&machine, "", None, 10), (all.to_vec(), false));
    assert_eq!(uploads(&machine, "b/", None, 10), (all[2..].to_vec(), false));
    assert_eq!(uploads(&machine, "b/c", Some(("b/c", FileId(3))), 1), (all[3..4].to_vec(), true));
    assert_eq!(uploads(&machine, "b/c", Some(("b/c", FileId(1))), 1), (all[4..].to_vec(), false));
    assert_eq!(uploads(&machine, "x", None, 10), (vec![], false));
    let page = ListUploads { prefix: String::new(), after: Some((name("b/c"), FileId(3))), limit: 1 };
    let expected = OpenUpload {
        file,
        name: name("b/c"),
        chunk_size: ChunkSize::try_from(CHUNK).unwrap(),
        chunks: 0,
        size_hint: Some(99),
        idle_ms: 4_000,
    };
    assert_eq!(list_uploads(&machine.state, &page).unwrap().uploads, [expected]);
    let reports = vec![report(0, 1, vec![chunk(0, CHUNK, 0, &[1, 2])])];
    machine.commit(commit_request(file, 1, u64::from(CHUNK), reports)).unwrap();
    assert_eq!(uploads(&machine, "b/c", None, 1), (all[2..3].to_vec(), true));
}

#[test]
fn pages_of_open_uploads_join_to_all_of_them() {
    let mut machine = Machine::with_nodes(3);
    for nonce in 0..300 {
        machine.open(nonce, &format!("f{}", nonce % 5));
    }
    for limit in [1, 50, 128, 1000] {
        let (mut all, mut after) = (Vec::new(), None::<(String, u64)>);
        loop {
            let from = after.as_ref().map(|(text, file)| (text.as_str(), FileId(*file)));
            let (page, more) = uploads(&machine, "f", from, limit);
            all.extend(page);
            after = all.last().cloned();
            if !more {
                break;
            }
        }
        assert!(all.is_sorted_by(|(a, i), (b, j)| (a, std::cmp::Reverse(i)) < (b, std::cmp::Reverse(j))));
        assert_eq!(all.len(), 300, "pages of {limit}");
    }
}
