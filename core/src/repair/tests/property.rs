//! Whatever the cluster is like.

use super::*;
use crate::limit::{
    REPAIR_BYTES_PER_NODE_MAX, REPAIR_COPIES_MAX, REPAIR_COPIES_PER_NODE_MAX, REPAIR_VERIFIES_PER_NODE_MAX,
};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeSet;

const NODES: u64 = 6;

fn node() -> impl Strategy<Value = NodeFacts> {
    let health = prop_oneof![
        6 => Just(Health::Alive), 1 => Just(Health::Unknown), 1 => Just(Health::Suspect), 2 => Just(Health::Dead)
    ];
    let room = prop_oneof![3 => Just(1_u64 << 40), 1 => 0_u64..200 << 20];
    (health, room, 0_u32..4, prop::bool::weighted(0.9)).prop_map(|(health, available_bytes, writes, takes_chunks)| {
        NodeFacts { health, available_bytes, writes, takes_chunks, ..alive() }
    })
}

fn copies_of_one() -> impl Strategy<Value = Vec<CopyFacts>> {
    let holders = prop::sample::subsequence((1..=NODES + 1).collect::<Vec<_>>(), 0..=4);
    (holders, vec((prop::bool::weighted(0.9), prop::bool::weighted(0.3)), 4)).prop_map(|(holders, marks)| {
        let one = |(node, (counts, verified))| CopyFacts { counts, verified: verified && counts, ..on(node) };
        holders.into_iter().zip(marks).map(one).collect()
    })
}

/// What a group is for, the copies of its chunks, whether it has needed something for long, and the copies wanted.
type Parts = (Purpose, Vec<Vec<CopyFacts>>, bool, u8);

fn groups() -> impl Strategy<Value = Vec<(GroupFacts, Duration)>> {
    let purpose = prop_oneof![
        8 => Just(Purpose::Visible),
        1 => Just(Purpose::Gone),
        1 => (0_u64..4_000_000).prop_map(|at| Purpose::Upload { progress: ClusterTime(at) }),
    ];
    let one = (purpose, vec(copies_of_one(), 1..16), prop::bool::weighted(0.8), 1_u8..5);
    vec(one, 1..12).prop_map(|groups| {
        let one = |(file, parts): (u64, Parts)| {
            let (purpose, chunks, is_old, replication) = parts;
            let chunks = (0..).zip(&chunks).map(|(index, copies)| chunk(file, index, copies)).collect();
            let (facts, _) = group(file, chunks);
            (GroupFacts { purpose, replication, ..facts }, if is_old { Duration::ZERO } else { HOUR })
        };
        (1..).zip(groups).map(one).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_is_sound(facts in vec(node(), NODES as usize), groups in groups(), rounds in 1_usize..4) {
        let nodes = nodes(&facts);
        let mut leases = Leases::new();
        let mut seen = BTreeSet::new();
        let of = |id: ChunkId| {
            let chunks = groups.iter().flat_map(|(group, _)| group.chunks.iter().map(move |chunk| (group, chunk)));
            chunks.clone().find(|(_, chunk)| chunk.chunk == id).unwrap()
        };
        let is_alive = |node: NodeId| nodes[&node].health == Health::Alive;
        let mut sends = BTreeMap::<NodeId, (usize, u64)>::new();
        let mut takes = BTreeMap::<NodeId, (usize, u64)>::new();
        for _ in 0..rounds {
            let plan = plan_for(&groups, &nodes, &mut leases);
            let mut last = 0;
            for (source, id, copy) in copies(&plan) {
                let (group, chunk) = of(id);
                let source = chunk.copies.iter().find(|it| it.node == NodeId(source)).unwrap();
                prop_assert!(source.counts && is_alive(source.node), "a source has a copy and answers");
                prop_assert!(is_alive(copy.target) && nodes[&copy.target].takes_chunks, "a target answers and takes");
                prop_assert_eq!(copy.incarnation, nodes[&copy.target].incarnation);
                prop_assert!(!chunk.copies.iter().any(|it| it.node == copy.target && it.counts), "it has none yet");
                prop_assert!(seen.insert((id, copy.target)), "nothing is planned twice");
                prop_assert!(group.purpose != Purpose::Gone);
                let live = chunk.live(&nodes);
                prop_assert!(live >= last, "those with fewest copies first");
                last = live;
                if let Some(replaced) = copy.replaces {
                    let lost = chunk.copies.iter().find(|it| it.node == replaced).unwrap();
                    prop_assert!(!lost.is_live(&nodes), "only what is lost is replaced");
                }
                let sent: &mut (usize, u64) = sends.entry(source.node).or_default();
                *sent = (sent.0 + 1, sent.1 + u64::from(chunk.length));
                let taken = takes.entry(copy.target).or_default();
                (taken.0, taken.1) = (taken.0 + 1, taken.1 + u64::from(chunk.length));
            }
            for (node, id) in verifies(&plan) {
                let (_, chunk) = of(id);
                prop_assert!(is_alive(NodeId(node)));
                prop_assert!(chunk.copies.iter().any(|it| it.node == NodeId(node) && it.counts && !it.verified));
            }
            for node in nodes.keys() {
                prop_assert!(leases.busy(*node).verifies <= REPAIR_VERIFIES_PER_NODE_MAX);
            }
        }
        prop_assert!(leases.copies() <= REPAIR_COPIES_MAX);
        let is_share = |(count, bytes): (usize, u64)| {
            count <= REPAIR_COPIES_PER_NODE_MAX && (count <= 1 || bytes <= REPAIR_BYTES_PER_NODE_MAX)
        };
        prop_assert!(sends.values().all(|sent| is_share(*sent)));
        for (node, (count, bytes)) in takes {
            prop_assert!(is_share((count, bytes)) && bytes <= nodes[&node].available_bytes);
        }
        // Never more copies than wanted, and what is missing and not planned has a reason.
        let last = plan_for(&groups, &nodes, &mut leases);
        for (group, _) in &groups {
            for chunk in &group.chunks {
                let planned = u32::try_from(seen.iter().filter(|(id, _)| *id == chunk.chunk).count()).unwrap();
                let live = chunk.live(&nodes);
                prop_assert!(planned == 0 || live + planned <= u32::from(group.replication));
                let held = last.held_back.iter().any(|held| held.chunk == chunk.chunk);
                let needs = live < u32::from(group.replication) && group.purpose != Purpose::Gone;
                prop_assert_eq!(held, needs);
                prop_assert!(!needs || assess(group, &nodes).is_needy());
            }
        }
    }

    #[test]
    fn what_has_ended_leaves_nothing_behind(
        facts in vec(node(), NODES as usize),
        groups in groups(),
        told in vec(prop::option::of(prop::bool::ANY), 64),
    ) {
        let nodes = nodes(&facts);
        let mut leases = Leases::new();
        let plan = plan_for(&groups, &nodes, &mut leases);
        // Of some orders a receipt comes, whether they were done or not, of the others nothing.
        for ((node, task), told) in plan.orders.iter().zip(told.into_iter().cycle()) {
            let done = OrderOutcome::Done { read_back: Digest::of(b"") };
            let outcome = told.map(|is_done| if is_done { done } else { OrderOutcome::TargetFailed });
            outcome.map(|outcome| leases.settle(*node, &receipt(task, outcome), HOUR));
        }
        let unsettled = leases.copies();
        prop_assert!(leases.begin_round());
        prop_assert!(leases.copies() <= unsettled);
        leases.expire(&nodes, HOUR * 2);
        prop_assert_eq!((leases.copies(), leases.verifies()), (0, 0));
        for node in nodes.keys() {
            prop_assert_eq!(leases.busy(*node), Default::default());
        }
    }
}
