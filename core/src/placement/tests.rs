use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

const GIB: u64 = 1 << 30;

fn candidate(node: u64, available_gib: u64) -> Candidate {
    Candidate { node: NodeId(node), available_bytes: available_gib * GIB, writes: 0, fresh: true, slow: false }
}

/// How often each node is chosen in `rounds` choices.
fn tally(candidates: &[Candidate], wanted: usize, rounds: u64) -> BTreeMap<u64, u64> {
    let mut tally = BTreeMap::new();
    for seed in 0..rounds {
        for node in choose(candidates, wanted, 1, &[], seed).unwrap() {
            *tally.entry(node.0).or_default() += 1;
        }
    }
    tally
}

fn assert_about(actual: u64, expected: u64) {
    assert!(actual.abs_diff(expected) * 10 <= expected, "{actual} is not about {expected}");
}

#[test]
fn nodes_alike_are_chosen_alike_in_every_place() {
    let candidates: Vec<_> = (1..=6).map(|node| candidate(node, 100)).collect();
    let tally = tally(&candidates, 3, 10_000);
    assert_eq!(tally.len(), 6);
    tally.values().for_each(|count| assert_about(*count, 5_000));
    let firsts = (0..6_000).filter(|seed| choose(&candidates, 3, 2, &[], *seed).unwrap()[0] == NodeId(4));
    assert_about(firsts.count() as u64, 1_000);
}

#[test]
fn free_space_attracts_and_writes_in_progress_repel() {
    let busy = Candidate { writes: 3, ..candidate(3, 400) };
    let tally = tally(&[candidate(1, 100), candidate(2, 300), busy], 1, 10_000);
    assert_about(tally[&1], 2_000);
    assert_about(tally[&2], 6_000);
    assert_about(tally[&3], 2_000);
}

#[test]
fn a_node_of_unknown_space_is_chosen_only_where_fresh_ones_do_not_suffice() {
    let unknown = |node| Candidate { available_bytes: 0, fresh: false, ..candidate(node, 0) };
    let candidates = [unknown(1), candidate(2, 1), unknown(3), candidate(4, 1)];
    for seed in 0..100 {
        let chosen = choose(&candidates, 3, 2, &[], seed).unwrap();
        assert!(chosen[..2].contains(&NodeId(2)) && chosen[..2].contains(&NodeId(4)) && chosen.len() == 3);
        assert!(choose(&candidates, 2, 2, &[], seed).unwrap().iter().all(|node| [2, 4].contains(&node.0)));
    }
}

#[test]
fn an_excluded_node_is_taken_only_for_the_quorum() {
    let candidates: Vec<_> = (1..=3).map(|node| candidate(node, 10)).collect();
    for seed in 0..100 {
        let chosen = choose(&candidates, 3, 2, &[NodeId(1)], seed).unwrap();
        assert!(chosen.len() == 2 && !chosen.contains(&NodeId(1)), "two are enough: {chosen:?}");
        let chosen = choose(&candidates, 3, 2, &[NodeId(1), NodeId(2)], seed).unwrap();
        assert!(chosen.len() == 2 && chosen[0] == NodeId(3), "the others come first: {chosen:?}");
    }
}

#[test]
fn too_few_candidates_are_refused() {
    let twice = [candidate(1, 1), candidate(1, 1)];
    assert_eq!(choose(&twice, 3, 2, &[], 0), Err(Refusal::TooFewNodes { needed: 2, available: 1 }));
    assert_eq!(choose(&[], 0, 0, &[], 0), Ok(vec![]));
}

proptest! {
    #[test]
    fn a_choice_is_distinct_sufficient_and_a_function_of_its_seed(
        nodes in prop::collection::vec((0_u64..20, any::<u64>(), any::<u32>(), any::<bool>()), 0..30),
        excluded in prop::collection::vec(0_u64..20, 0..10),
        wanted in 0_usize..9,
        needed in 0_usize..6,
        seed: u64,
    ) {
        let candidates: Vec<_> = nodes
            .iter()
            .map(|(node, available_bytes, writes, fresh)| Candidate {
                node: NodeId(*node),
                available_bytes: *available_bytes,
                writes: *writes,
                fresh: *fresh,
                slow: node % 3 == 0,
            })
            .collect();
        let excluded: Vec<_> = excluded.into_iter().map(NodeId).collect();
        let distinct: BTreeSet<_> = candidates.iter().map(|candidate| candidate.node).collect();
        let chosen = choose(&candidates, wanted, needed, &excluded, seed);
        prop_assert_eq!(&chosen, &choose(&candidates, wanted, needed, &excluded, seed));
        match chosen {
            Ok(chosen) => {
                let set: BTreeSet<_> = chosen.iter().copied().collect();
                prop_assert_eq!(set.len(), chosen.len());
                prop_assert!(set.is_subset(&distinct));
                prop_assert!(chosen.len() >= needed && chosen.len() <= wanted.max(needed));
                let welcome = distinct.iter().filter(|node| !excluded.contains(node)).count();
                let avoided = chosen.iter().filter(|node| excluded.contains(node)).count();
                prop_assert_eq!(avoided, needed.saturating_sub(welcome));
            }
            Err(_) => prop_assert!(distinct.len() < needed),
        }
    }
}

#[test]
fn a_slow_node_gets_less_and_is_still_tried() {
    let slow = Candidate { slow: true, ..candidate(1, 400) };
    let all = [slow, candidate(2, 400), candidate(3, 400), candidate(4, 400)];
    let first = |node: u64| (0..4000).filter(|seed| choose(&all, 1, 1, &[], *seed).unwrap() == [NodeId(node)]).count();
    let (slow, quick) = (first(1), first(2));
    assert!((100..250).contains(&slow), "a fortieth of the odds is its share: {slow} of 4000");
    assert!(quick > 5 * slow, "{quick}");
}
