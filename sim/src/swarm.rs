//! The random swarm: what a life is like, and which faults it meets, all drawn from its seed.
//!
//! Each life turns on some of the faults and gives them weights of its own (swarm testing: Groce et al., ISSTA 2012):
//! a life with everything at once hides what two faults can do alone.

use crate::cluster::{ClusterShape, NodeName};
use crate::fault::{Fault, FaultKind};
use crate::network::Link;
use crate::random::Random;
use dfs_core::id::{NodeId, Role};
use dfs_nodes::settings::SNAPSHOT_ENTRIES_DEFAULT;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

/// How long faults of a round begin.
const ROUND: Duration = Duration::from_secs(40);

/// How long faults of a burst begin.
const BURST: Duration = Duration::from_secs(4);

/// Entries after which metadata nodes take a snapshot, in lives where they do it often.
const OFTEN: RangeInclusive<u64> = 100..=800;

/// What a life is like.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Metadata nodes.
    pub metadata: u64,
    /// Storage nodes.
    pub storage: u64,
    /// Users.
    pub users: u64,
    /// Entries of the metadata log after which a snapshot is taken.
    snapshot_entries: u64,
    /// Every link that no fault has made another.
    pub link: Link,
    /// How long a user thinks between two operations at most.
    pub thinking: Duration,
    /// Whether the first user only looks.
    pub has_reader: bool,
    /// Whether users change the windows in which silence is judged.
    pub changes_settings: bool,
    /// Faults that happen, with their weights.
    kinds: Vec<(FaultKind, u64)>,
    /// The storage node that may lose data for good: the loss of one store is what every file survives.
    victim: NodeName,
    /// Faults of one round at most.
    faults_max: u64,
}

impl Plan {
    /// Draws a life.
    pub fn draw(random: &mut Random) -> Plan {
        let metadata = if random.chance(850_000) { 3 } else { 1 };
        let storage = random.within(3..=6);
        let users = random.within(2..=4);
        let mut link = if random.chance(400_000) { Link::lossy() } else { Link::default() };
        if random.chance(500_000) {
            link.udp_payload_max = 9_000;
        }
        let has_reader = random.chance(500_000);
        let thinking = Duration::from_millis(random.within(800..=4_000));
        let kinds = loop {
            let drawn = |kind: &FaultKind| random.chance(450_000).then(|| (*kind, random.within(1..=10)));
            let kinds: Vec<(FaultKind, u64)> = FaultKind::ALL.iter().filter_map(drawn).collect();
            if !kinds.is_empty() {
                break kinds;
            }
        };
        let victim = NodeName { role: Role::Storage, id: NodeId(random.within(1..=storage)) };
        let faults_max = random.within(2..=12);
        // Few lives are long enough for snapshots as production takes them.
        let often = random.chance(500_000);
        let snapshot_entries = if often { random.within(OFTEN) } else { SNAPSHOT_ENTRIES_DEFAULT };
        let changes_settings = random.chance(300_000);
        Plan {
            metadata,
            storage,
            users,
            snapshot_entries,
            link,
            thinking,
            has_reader,
            changes_settings,
            kinds,
            victim,
            faults_max,
        }
    }

    /// The cluster.
    #[must_use]
    pub fn shape(&self) -> ClusterShape {
        let Plan { metadata, storage, users, snapshot_entries, .. } = *self;
        ClusterShape { metadata, storage, users, snapshot_entries }
    }

    /// The storage node that may lose data for good.
    #[must_use]
    pub fn victim(&self) -> NodeName {
        self.victim
    }

    /// Draws what happens in a round: faults, each with its beginning and its end, from the start of the round.
    pub fn round(&self, random: &mut Random) -> Vec<(Duration, Duration, Fault)> {
        let count = random.within(1..=self.faults_max);
        // Faults that come together hurt more than those that come one by one.
        let spread_ms = if random.chance(300_000) { BURST.as_millis() } else { ROUND.as_millis() } as u64;
        let mut drawn: Vec<_> = (0..count)
            .map(|_| {
                let begins = Duration::from_millis(random.within(0..=spread_ms));
                let lasts_ms = match random.within(0..=2) {
                    0 => random.within(1..=1_500),
                    1 => random.within(1_500..=12_000),
                    _ => random.within(12_000..=45_000),
                };
                (begins, begins + Duration::from_millis(lasts_ms), self.fault(random))
            })
            .collect();
        drawn.sort_by_key(|(begins, ends, _)| (*begins, *ends));
        drawn
    }

    fn fault(&self, random: &mut Random) -> Fault {
        let total: u64 = self.kinds.iter().map(|(_, weight)| weight).sum();
        let mut draw = random.within(1..=total);
        let mut kind = self.kinds[0].0;
        for (each, weight) in &self.kinds {
            kind = *each;
            if draw <= *weight {
                break;
            }
            draw -= weight;
        }
        let node = match kind {
            kind if kind.destroys() => self.victim,
            FaultKind::FullDisk | FaultKind::FailingReads => self.storage_node(random),
            _ => self.node(random),
        };
        let mut other = self.node(random);
        while other == node {
            other = self.node(random);
        }
        Fault { kind, node, other }
    }

    fn storage_node(&self, random: &mut Random) -> NodeName {
        NodeName { role: Role::Storage, id: NodeId(random.within(1..=self.storage)) }
    }

    /// Any node; metadata nodes are drawn as often as storage nodes.
    fn node(&self, random: &mut Random) -> NodeName {
        if random.chance(500_000) {
            self.storage_node(random)
        } else {
            NodeName { role: Role::Metadata, id: NodeId(random.within(1..=self.metadata)) }
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { metadata, storage, users, snapshot_entries, link, thinking, has_reader, .. } = self;
        let Plan { changes_settings, kinds, victim, faults_max, .. } = self;
        write!(f, "{metadata} + {storage} nodes, {users} users who think up to {} ms, ", thinking.as_millis())?;
        if *has_reader {
            write!(f, "the first of whom only looks, ")?;
        }
        if *changes_settings {
            write!(f, "who change settings, ")?;
        }
        write!(f, "a snapshot after {snapshot_entries} entries, ")?;
        write!(f, "loss {} ppm, packets up to {} bytes, ", link.loss_ppm, link.udp_payload_max)?;
        write!(f, "up to {faults_max} faults a round, {victim} may lose data:")?;
        kinds.iter().try_for_each(|(kind, weight)| write!(f, " {}={weight}", kind.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Seed;
    use std::collections::BTreeSet;

    #[test]
    fn lives_differ_and_only_their_victim_loses_data() {
        let mut kinds = BTreeSet::new();
        for seed in 0..200 {
            let mut random = Seed::new(seed).random();
            let plan = Plan::draw(&mut random);
            for (begins, ends, fault) in (0..5).flat_map(|_| plan.round(&mut random)) {
                assert!(begins < ends && begins <= ROUND, "{plan}");
                assert!(fault.other != fault.node, "{plan}");
                assert!(!fault.kind.destroys() || fault.node == plan.victim(), "{plan}");
                assert!(fault.node.id.0 >= 1 && fault.node.id.0 <= plan.storage.max(plan.metadata), "{plan}");
                kinds.insert(fault.kind);
            }
        }
        assert_eq!(kinds.len(), FaultKind::ALL.len());
    }

    #[test]
    fn half_of_all_lives_take_snapshots_often_and_their_plans_say_so() {
        let plans: Vec<Plan> = (0..200).map(|seed| Plan::draw(&mut Seed::new(seed).random())).collect();
        let often = plans.iter().filter(|plan| plan.shape().snapshot_entries != SNAPSHOT_ENTRIES_DEFAULT);
        assert!((70..=130).contains(&often.clone().count()));
        assert!(often.clone().all(|plan| OFTEN.contains(&plan.shape().snapshot_entries)));
        assert!(often.clone().any(|plan| plan.shape().snapshot_entries < OFTEN.end() / 4));
        for plan in &plans {
            let says = format!("a snapshot after {} entries", plan.shape().snapshot_entries);
            assert!(plan.to_string().contains(&says), "{plan}");
        }
    }
}
