//! A view with changes on top reads like one map.

use super::*;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

fn bound() -> impl Strategy<Value = Bound<Vec<u8>>> {
    let key = vec(0_u8..4, 0..3);
    prop_oneof![Just(Bound::Unbounded), key.clone().prop_map(Bound::Included), key.prop_map(Bound::Excluded)]
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn an_overlay_scans_like_the_map_with_its_changes_written(
        base in btree_map(vec(0_u8..4, 0..3), vec(any::<u8>(), 0..2), 0..20),
        changes in vec((vec(0_u8..4, 0..3), proptest::option::of(vec(any::<u8>(), 0..2))), 0..20),
        start in bound(),
        end in bound(),
        limit in 0_usize..8,
    ) {
        let base = Memory { pairs: base, ..Memory::default() };
        let mut overlay = Overlay::new(&base);
        overlay.add(Change { changes: changes.clone(), outcome: Ok(Outcome::Done) }).unwrap();
        let mut flat = base.clone();
        flat.write(changes.clone());
        let (start, end) = (start.as_ref().map(Vec::as_slice), end.as_ref().map(Vec::as_slice));
        prop_assert_eq!(overlay.scan(start, end, limit), flat.scan(start, end, limit));
        for (key, _) in &changes {
            prop_assert_eq!(overlay.get(key), flat.get(key));
        }
        let mut written = base.clone();
        written.write(overlay.into_changes());
        prop_assert_eq!(written.pairs, flat.pairs);
    }
}
