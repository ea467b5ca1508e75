use super::*;
use crate::random::Seed;
use std::collections::BTreeSet;

fn put(store: &Arc<dyn KeyValue>, key: &str, value: &str, durability: Durability) {
    let mut batch = Batch::new();
    batch.put(key, value);
    store.commit(batch, durability).unwrap();
}

fn keys(store: &dyn KeyValueView) -> Vec<String> {
    let pairs = store.scan(Bound::Unbounded, Bound::Unbounded, usize::MAX).unwrap();
    pairs.into_iter().map(|(key, _)| String::from_utf8(key).unwrap()).collect()
}

/// The keys that a power cut may leave, over many seeds.
fn outcomes(prepare: impl Fn(&Arc<dyn KeyValue>)) -> BTreeSet<Vec<String>> {
    (0..100)
        .map(|seed| {
            let stores = ModelStores::new();
            prepare(&stores.mount().open("s").unwrap());
            stores.crash(Crash::Power, &mut Seed::new(seed).random());
            keys(&*stores.mount().open("s").unwrap())
        })
        .collect()
}

#[test]
fn a_power_cut_keeps_what_was_synced_and_some_first_part_of_the_rest() {
    let found = outcomes(|store| {
        put(store, "a", "", Durability::Buffered);
        put(store, "b", "", Durability::Synced);
        put(store, "c", "", Durability::Buffered);
        put(store, "d", "", Durability::Buffered);
    });
    let sets = ["a b", "a b c", "a b c d"].map(|keys| keys.split(' ').map(str::to_owned).collect());
    assert_eq!(found, BTreeSet::from(sets));
}

#[test]
fn persist_makes_everything_before_it_durable() {
    let found = outcomes(|store| {
        put(store, "a", "", Durability::Buffered);
        store.persist().unwrap();
    });
    assert_eq!(found, BTreeSet::from([vec!["a".to_owned()]]));
}

#[test]
fn the_end_of_a_process_loses_nothing_but_its_handles() {
    let stores = ModelStores::new();
    let store = stores.mount().open("s").unwrap();
    put(&store, "a", "1", Durability::Buffered);
    stores.crash(Crash::Process, &mut Seed::new(1).random());
    assert!(store.get(b"a").is_err());
    assert!(store.commit(Batch::new(), Durability::Synced).is_err());
    let again = stores.mount().open("s").unwrap();
    drop(store);
    assert!(stores.mount().open("s").is_err(), "a handle of an earlier life closes nothing");
    assert_eq!(again.get(b"a").unwrap().unwrap(), b"1");
    let lost = (0..50).any(|seed| {
        let stores = ModelStores::new();
        put(&stores.mount().open("s").unwrap(), "a", "1", Durability::Buffered);
        stores.crash(Crash::Process, &mut Seed::new(seed).random());
        stores.crash(Crash::Power, &mut Seed::new(seed).random());
        keys(&*stores.mount().open("s").unwrap()).is_empty()
    });
    assert!(lost, "what was never synced goes with a later power cut");
}

#[test]
fn a_snapshot_shows_its_moment_and_costs_nothing_afterwards() {
    let stores = ModelStores::new();
    let store = stores.mount().open("s").unwrap();
    put(&store, "a", "1", Durability::Buffered);
    put(&store, "b", "1", Durability::Buffered);
    let early = store.snapshot();
    put(&store, "a", "2", Durability::Buffered);
    let late = store.snapshot();
    let mut batch = Batch::new();
    batch.delete("a");
    batch.delete("b");
    batch.put("c", "3");
    store.commit(batch, Durability::Buffered).unwrap();
    assert_eq!(keys(&*store), ["c"]);
    assert_eq!((keys(&*early), early.get(b"a").unwrap().unwrap()), (vec!["a".into(), "b".into()], b"1".to_vec()));
    assert_eq!(late.get(b"a").unwrap().unwrap(), b"2");
    assert_eq!(early.last(Bound::Unbounded, Bound::Excluded(b"b")).unwrap().unwrap().0, b"a");
    drop(early);
    assert_eq!(late.get(b"a").unwrap().unwrap(), b"2");
    drop(late);
    let state = stores.state();
    assert_eq!(lock(&state.stores["s"].table).row_count(), 1);
}

#[test]
fn a_range_that_ends_before_it_starts_is_empty() {
    let store = ModelStores::new().mount().open("s").unwrap();
    put(&store, "b", "", Durability::Buffered);
    assert!(store.scan(Bound::Included(b"c"), Bound::Included(b"a"), 9).unwrap().is_empty());
    assert!(store.scan(Bound::Excluded(b"b"), Bound::Excluded(b"b"), 9).unwrap().is_empty());
    assert_eq!(store.scan(Bound::Included(b"b"), Bound::Included(b"b"), 9).unwrap().len(), 1);
}

#[test]
fn stores_are_open_once_listed_and_removed_when_closed() {
    let stores = ModelStores::new().mount();
    let open = stores.open("b").unwrap();
    stores.open("a").unwrap();
    assert_eq!(stores.names().unwrap(), ["a", "b"]);
    assert!(stores.open("b").is_err());
    assert!(stores.remove("b").is_err());
    drop(open);
    stores.remove("b").unwrap();
    stores.remove("b").unwrap();
    assert_eq!(stores.names().unwrap(), ["a"]);
}

#[test]
fn a_failed_store_fails_until_the_machine_starts_again() {
    let stores = ModelStores::new();
    let store = stores.mount().open("s").unwrap();
    stores.fail("s");
    assert!(store.persist().is_err());
    stores.crash(Crash::Process, &mut Seed::new(1).random());
    stores.mount().open("s").unwrap().persist().unwrap();
}

#[test]
fn copies_hold_what_is_durable_or_everything_and_are_on_their_own() {
    let stores = ModelStores::new();
    let store = stores.mount().open("s").unwrap();
    put(&store, "a", "1", Durability::Synced);
    let mut batch = Batch::new();
    batch.put("b", "2");
    batch.delete("a");
    store.commit(batch, Durability::Buffered).unwrap();
    let (durable, live) = (stores.durable_copy(), stores.live_copy());
    for (copy, expected) in [(durable, "a"), (live, "b")] {
        copy.crash(Crash::Power, &mut Seed::new(1).random());
        let copy = copy.mount().open("s").expect("a copy is not open");
        assert_eq!(keys(&*copy), [expected]);
        put(&copy, "c", "", Durability::Synced);
    }
    assert_eq!(keys(&*store), ["b"]);
}

#[test]
fn stores_become_what_they_were_or_nothing() {
    let stores = ModelStores::new();
    let store = stores.mount().open("s").unwrap();
    put(&store, "old", "", Durability::Synced);
    put(&store, "lost", "", Durability::Buffered);
    let snapshot = stores.snapshot();
    put(&store, "new", "", Durability::Synced);
    stores.mount().open("other").unwrap();
    for _ in 0..2 {
        stores.restore(&snapshot);
        assert_eq!(stores.mount().names().unwrap(), ["s"]);
        let again = stores.mount().open("s").unwrap();
        assert_eq!(keys(&*again), ["old"]);
        put(&again, "later", "", Durability::Synced);
    }
    assert!(store.get(b"old").is_err(), "whoever had them open is fenced");
    stores.wipe();
    assert!(stores.mount().names().unwrap().is_empty());
}

#[test]
fn model_stores_conform() {
    dfs_actors::key_value::conformance::check(&*ModelStores::new().mount());
}
