//! The backlog: which groups are to be planned, the most urgent first.
//!
//! It holds places and numbers, not facts: a group is read again before it is planned. It is bounded; while it is full,
//! whoever fills it waits, and nothing is forgotten, because all groups are looked at again and again.

use super::plan::NotPlanned;
use super::{GroupFacts, GroupPlace, Nodes, Purpose};
use crate::id::{FileId, GroupIndex};
use crate::limit::REPAIR_BACKLOG_MAX;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What a group needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Assessment {
    /// The live copies of the chunk that misses some and has the fewest.
    pub fewest_live: u32,
    /// Chunks with fewer live copies than wanted.
    pub chunks_below: u32,
    /// Of them, those with none.
    pub chunks_unavailable: u32,
    /// Copies that are missing.
    pub copies_missing: u32,
    /// Their bytes.
    pub bytes_missing: u64,
    /// Whether it has copies to be read back, because repair has touched their chunk.
    pub unverified: bool,
}

impl Assessment {
    /// Whether there is anything to do.
    #[must_use]
    pub fn is_needy(&self) -> bool {
        self.chunks_below > 0 || self.unverified
    }

    /// What comes first has the lowest.
    fn rank(&self) -> u32 {
        if self.chunks_below > 0 { self.fewest_live } else { u32::MAX }
    }
}

/// Tells what a group needs, whether or not it can be had.
#[must_use]
pub fn assess(group: &GroupFacts, nodes: &Nodes) -> Assessment {
    let mut assessment = Assessment { fewest_live: u32::MAX, ..Assessment::default() };
    if group.purpose == Purpose::Gone {
        return assessment;
    }
    for chunk in &group.chunks {
        let live = chunk.live(nodes);
        let missing = u32::from(group.replication).saturating_sub(live);
        if missing > 0 {
            assessment.fewest_live = assessment.fewest_live.min(live);
            assessment.chunks_below += 1;
            assessment.chunks_unavailable += u32::from(live == 0);
            assessment.copies_missing += missing;
            assessment.bytes_missing += u64::from(missing) * u64::from(chunk.length);
        }
        let mut live = chunk.copies.iter().filter(|copy| copy.is_live(nodes));
        let touched = live.clone().any(|copy| copy.verified);
        assessment.unverified |= group.purpose == Purpose::Visible && touched && live.any(|copy| !copy.verified);
    }
    assessment
}

/// The groups that need something.
#[derive(Clone, Debug, Default)]
pub struct Backlog {
    groups: BTreeMap<GroupPlace, Entry>,
    ranks: BTreeSet<(u32, FileId, GroupIndex)>,
}

#[derive(Clone, Debug)]
struct Entry {
    needs: Assessment,
    /// When it was first seen to need something.
    since: Duration,
    /// When it is to be looked at again.
    due: Duration,
    /// Why chunks of it wait, and how many.
    waits: Option<(NotPlanned, u32)>,
}

impl Backlog {
    /// Nothing is to be done.
    #[must_use]
    pub fn new() -> Backlog {
        Backlog::default()
    }

    /// How many groups it has room for.
    #[must_use]
    pub fn room(&self) -> usize {
        REPAIR_BACKLOG_MAX.saturating_sub(self.groups.len())
    }

    /// Notes what a group needs; one that needs nothing goes. Answers when it was first seen to need something, unless
    /// it goes, or there is no room for it.
    pub fn note(&mut self, group: &GroupFacts, needs: Assessment, now: Duration) -> Option<Duration> {
        let place = (group.file, group.group);
        if !needs.is_needy() {
            self.forget(place);
            return None;
        }
        if let Some(entry) = self.groups.get_mut(&place) {
            self.ranks.remove(&(entry.needs.rank(), place.0, place.1));
            entry.needs = needs;
            self.ranks.insert((needs.rank(), place.0, place.1));
            return Some(entry.since);
        }
        if self.room() == 0 {
            return None;
        }
        self.groups.insert(place, Entry { needs, since: now, due: now, waits: None });
        self.ranks.insert((needs.rank(), place.0, place.1));
        Some(now)
    }

    /// Lets a group go.
    pub fn forget(&mut self, place: GroupPlace) {
        if let Some(entry) = self.groups.remove(&place) {
            self.ranks.remove(&(entry.needs.rank(), place.0, place.1));
        }
    }

    /// The groups that are to be looked at now, the most urgent first.
    #[must_use]
    pub fn due(&self, now: Duration, limit: usize) -> Vec<GroupPlace> {
        let places = self.ranks.iter().map(|(_, file, group)| (*file, *group));
        places.filter(|place| self.groups.get(place).is_some_and(|entry| entry.due <= now)).take(limit).collect()
    }

    /// A group was planned: it is to be looked at again then.
    pub fn planned(&mut self, place: GroupPlace, waits: Option<(NotPlanned, u32)>, due: Duration) {
        if let Some(entry) = self.groups.get_mut(&place) {
            (entry.waits, entry.due) = (waits, due);
        }
    }

    /// A group is to be looked at at once.
    pub fn hurry(&mut self, place: GroupPlace, now: Duration) {
        if let Some(entry) = self.groups.get_mut(&place) {
            entry.due = entry.due.min(now);
        }
    }

    /// All groups are to be looked at at once: nodes have come or gone.
    pub fn hurry_all(&mut self, now: Duration) {
        self.groups.values_mut().for_each(|entry| entry.due = entry.due.min(now));
    }

    /// What all groups need together.
    pub fn needs(&self) -> impl Iterator<Item = &Assessment> {
        self.groups.values().map(|entry| &entry.needs)
    }

    /// Why chunks wait, and how many.
    #[must_use]
    pub fn waits(&self) -> BTreeMap<NotPlanned, u64> {
        let mut waits = BTreeMap::new();
        for (why, chunks) in self.groups.values().filter_map(|entry| entry.waits) {
            *waits.entry(why).or_default() += u64::from(chunks);
        }
        waits
    }
}
