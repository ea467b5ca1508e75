//! Listings against a sorted list of names.

use super::*;
use crate::limit::{COMPONENT_BYTES_MAX, LIST_PAGE_BYTES_MAX, LIST_PAGE_MAX};
use proptest::collection::vec;
use proptest::prelude::*;

/// A cluster in which as many of these names exist as can together.
fn machine_with<'a>(names: impl IntoIterator<Item = &'a String>) -> (Machine, Vec<String>) {
    let mut machine = Machine::with_nodes(0);
    let mut taken = Vec::new();
    for (text, nonce) in names.into_iter().zip(1..) {
        let request = CreateFile { size_hint: Some(0), ..create_request(nonce, text) };
        if let Ok(created) = machine.create(request, &[]) {
            machine.commit(commit_request(created.file, nonce, 0, vec![])).unwrap();
            taken.push(text.clone());
        }
    }
    taken.sort();
    (machine, taken)
}

fn texts(page: &FilePage) -> Vec<&str> {
    page.files.iter().map(|info| info.name.as_str()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn a_page_is_a_slice_of_the_sorted_names(
        names in vec("[ab!0]{1,2}(/[ab!0]{1,2}){0,3}", 0..60),
        prefix in "[ab!0/]{0,4}",
        after in proptest::option::of("[ab!0]{1,2}(/[ab!0]{1,2}){0,3}"),
        limit in 0_u32..40,
    ) {
        let (machine, taken) = machine_with(&names);
        let fits = |text: &&String| text.starts_with(&prefix) && after.as_ref().is_none_or(|after| *text > after);
        let expected: Vec<&String> = taken.iter().filter(fits).collect();
        let page = machine.list(&prefix, after.as_deref(), limit);
        let count = expected.len().min(limit as usize);
        prop_assert_eq!(texts(&page), &expected[..count]);
        prop_assert_eq!(page.more, expected.len() > count);
    }
}

#[test]
fn pages_join_to_the_whole_listing() {
    let names: Vec<String> = (0..500).map(|i| format!("d{}/e{}/f{i}", i % 7, i % 3)).collect();
    let (machine, taken) = machine_with(&names);
    for limit in [1, 3, 64, 1000] {
        let (mut all, mut after) = (Vec::new(), None::<String>);
        loop {
            let page = machine.list("d", after.as_deref(), limit);
            all.extend(texts(&page).into_iter().map(str::to_owned));
            after = all.last().cloned();
            if !page.more {
                break;
            }
        }
        assert_eq!(all, taken, "pages of {limit}");
    }
    assert!(machine.state.scan_limit_max.get() <= 128, "no scan grows with the namespace");
}

#[test]
fn a_page_of_the_longest_names_fits_a_message() {
    let component = "x".repeat(COMPONENT_BYTES_MAX - 4);
    let names: Vec<String> =
        (0..400).map(|i| format!("{component}/{component}/{component}/{component}{i:04}")).collect();
    let (machine, taken) = machine_with(&names);
    let page = machine.list("", None, u32::MAX);
    assert!(page.more && page.files.len() > 100);
    assert!(wire::encode(&page).len() <= LIST_PAGE_BYTES_MAX);
    assert_eq!(texts(&page), taken[..page.files.len()]);
}

#[test]
fn a_page_has_no_more_files_than_its_bound() {
    let names: Vec<String> = (0..LIST_PAGE_MAX + 5).map(|i| format!("{i:05}")).collect();
    let (machine, _) = machine_with(&names);
    let page = machine.list("", None, u32::MAX);
    assert_eq!((page.files.len(), page.more), (LIST_PAGE_MAX, true));
}

#[test]
fn a_prefix_longer_than_any_name_lists_nothing() {
    let (machine, _) = machine_with(&["a".to_owned()]);
    assert_eq!(machine.list(&"a".repeat(100_000), None, 10), FilePage { files: vec![], more: false });
}
