//! What every key-value store must do, as one test body for all of them: the production one and the simulated one.
//!
//! Deliberately absent: what survives a power cut. A real store cannot be asked that without pulling a plug; the
//! simulation asks it of its model.

use super::{Batch, Durability, KeyValue, KeyValueStores, KeyValueView};
use std::ops::Bound::{Excluded, Included, Unbounded};

const NAME: &str = "conformance";

/// Checks all of it on fresh stores, and leaves them without the stores that it made.
///
/// # Panics
/// If a store does something else than it must.
pub fn check(stores: &dyn KeyValueStores) {
    names_and_removal(stores);
    for body in [gets, ranges, the_last_pair, atomic_batches, snapshots] {
        let store = stores.open(NAME).expect("a store opens");
        body(&*store);
        drop(store);
        stores.remove(NAME).expect("a closed store can be removed");
    }
    reopening(stores);
    stores.remove(NAME).expect("a closed store can be removed");
}

fn names_and_removal(stores: &dyn KeyValueStores) {
    assert_eq!(stores.names().expect("stores have names"), Vec::<String>::new());
    for name in ["b", "a"] {
        let store = stores.open(name).expect("a store opens");
        put(&*store, &[(b"key", name.as_bytes())]);
    }
    assert_eq!(stores.names().expect("stores have names"), ["a", "b"]);
    stores.remove("a").expect("a closed store can be removed");
    stores.remove("a").expect("removing what is not there is no error");
    assert_eq!(stores.names().expect("stores have names"), ["b"]);
    let fresh = stores.open("a").expect("a removed store can be made anew");
    assert_eq!(fresh.get(b"key").expect("a store is readable"), None);
    drop(fresh);
    stores.remove("a").expect("a closed store can be removed");
    stores.remove("b").expect("a closed store can be removed");
}

fn gets(store: &dyn KeyValue) {
    assert_eq!(get(store, b"key"), None);
    put(store, &[(b"key", b"one"), (b"empty", b"")]);
    assert_eq!(get(store, b"key").as_deref(), Some(&b"one"[..]));
    assert_eq!(get(store, b"empty").as_deref(), Some(&b""[..]));
    put(store, &[(b"key", b"two")]);
    assert_eq!(get(store, b"key").as_deref(), Some(&b"two"[..]));
    delete(store, b"key");
    delete(store, b"never there");
    assert_eq!(get(store, b"key"), None);
}

fn ranges(store: &dyn KeyValue) {
    put(store, &[(b"b", b"2"), (b"a", b"1"), (b"d", b"4"), (b"c", b"3"), (b"c\0", b"3.5"), (b"\xff", b"9")]);
    delete(store, b"d");
    let keys = |start, end, limit| -> Vec<Vec<u8>> {
        store.scan(start, end, limit).expect("a store is readable").into_iter().map(|(key, _)| key).collect()
    };
    let all: Vec<&[u8]> = vec![b"a", b"b", b"c", b"c\0", b"\xff"];
    assert_eq!(keys(Unbounded, Unbounded, 10), all);
    assert_eq!(keys(Unbounded, Unbounded, 2), all[..2]);
    assert_eq!(keys(Unbounded, Unbounded, 0), all[..0]);
    assert_eq!(keys(Included(b"b"), Included(b"c"), 10), all[1..3]);
    assert_eq!(keys(Excluded(b"b"), Excluded(b"c\0"), 10), all[2..3]);
    assert_eq!(keys(Included(b"bb"), Unbounded, 10), all[2..]);
    assert_eq!(keys(Included(b"c"), Excluded(b"b"), 10), all[..0]);
    assert_eq!(keys(Excluded(b"c"), Excluded(b"c"), 10), all[..0]);
    assert_eq!(keys(Included(b"c"), Included(b"c"), 10), all[2..3]);
}

fn the_last_pair(store: &dyn KeyValue) {
    assert_eq!(store.last(Unbounded, Unbounded).expect("a store is readable"), None);
    put(store, &[(b"a", b"1"), (b"b", b"2"), (b"c", b"3")]);
    let last = |start, end| store.last(start, end).expect("a store is readable").map(|(key, _)| key);
    assert_eq!(last(Unbounded, Unbounded).as_deref(), Some(&b"c"[..]));
    assert_eq!(last(Unbounded, Excluded(b"c")).as_deref(), Some(&b"b"[..]));
    assert_eq!(last(Included(b"bb"), Excluded(b"c")), None);
    assert_eq!(last(Included(b"c"), Included(b"a")), None);
    delete(store, b"c");
    assert_eq!(last(Unbounded, Unbounded).as_deref(), Some(&b"b"[..]));
}

fn atomic_batches(store: &dyn KeyValue) {
    put(store, &[(b"old", b"1")]);
    let mut batch = Batch::new();
    batch.put("a", "first");
    batch.delete("old");
    batch.put("a", "second");
    batch.put("b", "gone at once");
    batch.delete("b");
    batch.delete("c");
    batch.put("c", "there after all");
    store.commit(batch, Durability::Synced).expect("a store takes a batch");
    assert_eq!(get(store, b"old"), None);
    assert_eq!(get(store, b"a").as_deref(), Some(&b"second"[..]), "a later change wins over an earlier one");
    assert_eq!(get(store, b"b"), None);
    assert_eq!(get(store, b"c").as_deref(), Some(&b"there after all"[..]));
    store.commit(Batch::new(), Durability::Synced).expect("an empty batch is a batch");
}

fn snapshots(store: &dyn KeyValue) {
    put(store, &[(b"a", b"1"), (b"b", b"2")]);
    let before = store.snapshot();
    put(store, &[(b"a", b"changed"), (b"c", b"new")]);
    delete(store, b"b");
    let after = store.snapshot();
    delete(store, b"a");
    assert_eq!(get(&*before, b"a").as_deref(), Some(&b"1"[..]));
    assert_eq!(get(&*before, b"c"), None);
    let pairs = before.scan(Unbounded, Unbounded, 10).expect("a snapshot is readable");
    assert_eq!(pairs, [(b"a".to_vec(), b"1".to_vec()), (b"b".to_vec(), b"2".to_vec())]);
    let last = before.last(Unbounded, Unbounded).expect("a snapshot is readable");
    assert_eq!(last, Some((b"b".to_vec(), b"2".to_vec())));
    assert_eq!(get(&*after, b"a").as_deref(), Some(&b"changed"[..]));
    assert_eq!(get(&*after, b"b"), None);
}

fn reopening(stores: &dyn KeyValueStores) {
    let store = stores.open(NAME).expect("a store opens");
    put(&*store, &[(b"a", b"1"), (b"b", b"2")]);
    delete(&*store, b"a");
    store.persist().expect("a store persists");
    let large = vec![7; 1024 * 1024];
    for number in 0..8_u8 {
        let mut batch = Batch::new();
        batch.put([number], large.clone());
        store.commit(batch, Durability::Buffered).expect("a store takes a batch");
    }
    drop(store);
    let store = stores.open(NAME).expect("a store opens again");
    assert_eq!(get(&*store, b"a"), None);
    assert_eq!(get(&*store, b"b").as_deref(), Some(&b"2"[..]));
    for number in 0..8_u8 {
        assert_eq!(get(&*store, &[number]).as_deref(), Some(&large[..]));
    }
}

fn get<V: KeyValueView + ?Sized>(view: &V, key: &[u8]) -> Option<Vec<u8>> {
    view.get(key).expect("a view is readable")
}

fn put(store: &dyn KeyValue, pairs: &[(&[u8], &[u8])]) {
    let mut batch = Batch::new();
    for (key, value) in pairs {
        batch.put(*key, *value);
    }
    store.commit(batch, Durability::Buffered).expect("a store takes a batch");
}

fn delete(store: &dyn KeyValue, key: &[u8]) {
    let mut batch = Batch::new();
    batch.delete(key);
    store.commit(batch, Durability::Buffered).expect("a store takes a batch");
}
