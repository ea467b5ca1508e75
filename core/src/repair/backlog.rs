//! The backlog: which groups are to be planned, the most urgent first.
//!
//! It holds places and numbers, not facts: a group is read again before it is planned. It is bounded; while it is full,
//! the least urgent group gives way to one that is more urgent. Nothing is forgotten for that, because all groups are
//! looked at again and again.
//!
//! Who waits for what cannot be had at the moment keeps nobody from what can: groups that nobody can help come last,
//! and a part of each look goes to those that have been due for the longest time, whatever they need.

use super::plan::NotPlanned;
use super::{GroupFacts, GroupPlace, Nodes, Purpose};
use crate::limit::{REPAIR_BACKLOG_MAX, REPAIR_BACKLOG_VERIFIES_MAX};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What a group needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Assessment {
    /// The live copies of the chunk that misses some, has some, and has the fewest.
    pub fewest_live: Option<u32>,
    /// Chunks with fewer live copies than wanted.
    pub chunks_below: u32,
    /// Of them, those with none.
    pub chunks_unavailable: u32,
    /// Copies that are missing.
    pub copies_missing: u32,
    /// Their bytes.
    pub bytes_missing: u64,
    /// Of them, those that can be copied from somewhere.
    pub bytes_to_copy: u64,
    /// Whether it has copies to be read back, because repair has touched their chunk.
    pub unverified: bool,
}

impl Assessment {
    /// Whether there is anything to do.
    #[must_use]
    pub fn is_needy(&self) -> bool {
        self.chunks_below > 0 || self.unverified
    }

    fn rank(&self, stuck: bool) -> Rank {
        match self.fewest_live {
            Some(live) if !stuck => Rank::Repairable { live },
            None if self.unverified => Rank::Unverified,
            Some(_) => Rank::Stuck,
            None => Rank::Lost,
        }
    }
}

/// How urgent a group is: what comes first has the lowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// Copies are missing that can be made: how many live ones the chunk has that has the fewest of these.
    Repairable { live: u32 },
    /// No copy is missing that could be made, but some are to be read back.
    Unverified,
    /// Copies are missing that nobody could make when it was looked at last.
    Stuck,
    /// Of what is missing, no live copy is left.
    Lost,
}

/// Tells what a group needs, whether or not it can be had.
#[must_use]
pub fn assess(group: &GroupFacts, nodes: &Nodes) -> Assessment {
    let mut assessment = Assessment::default();
    if group.purpose == Purpose::Gone {
        return assessment;
    }
    for chunk in &group.chunks {
        let live = chunk.live(nodes);
        let missing = u32::from(group.replication).saturating_sub(live);
        if missing > 0 {
            let bytes = u64::from(missing) * u64::from(chunk.length);
            assessment.chunks_below += 1;
            assessment.copies_missing += missing;
            assessment.bytes_missing += bytes;
            if live == 0 {
                assessment.chunks_unavailable += 1;
            } else {
                let fewest = assessment.fewest_live.map_or(live, |fewest| fewest.min(live));
                assessment.fewest_live = Some(fewest);
                assessment.bytes_to_copy += bytes;
            }
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
    ranks: BTreeSet<(Rank, GroupPlace)>,
    /// How many of them are [`Rank::Unverified`].
    unverified: usize,
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
    /// Whether nobody could help when it was looked at last, and no node has come or gone since.
    stuck: bool,
}

impl Entry {
    fn rank(&self) -> Rank {
        self.needs.rank(self.stuck)
    }
}

impl Backlog {
    /// Nothing is to be done.
    #[must_use]
    pub fn new() -> Backlog {
        Backlog::default()
    }

    /// Whether there may be more groups than it has room for.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.groups.len() >= REPAIR_BACKLOG_MAX
    }

    /// Notes what a group needs; one that needs nothing goes. Answers when it was first seen to need something, unless
    /// it goes, or there is no room for it.
    pub fn note(&mut self, group: &GroupFacts, needs: Assessment, now: Duration) -> Option<Duration> {
        let place = (group.file, group.group);
        let known = self.take(place);
        if !needs.is_needy() {
            return None;
        }
        let entry =
            Entry { needs, ..known.unwrap_or(Entry { needs, since: now, due: now, waits: None, stuck: false }) };
        if !self.has_room_for((entry.rank(), place)) {
            return None;
        }
        let since = entry.since;
        self.put(place, entry);
        Some(since)
    }

    /// Whether there is room for a group, made by letting go of the least urgent one where it is less urgent.
    fn has_room_for(&mut self, newcomer: (Rank, GroupPlace)) -> bool {
        if newcomer.0 == Rank::Unverified && self.unverified >= REPAIR_BACKLOG_VERIFIES_MAX {
            return false;
        }
        if self.is_full() {
            let least = self.ranks.last().copied().filter(|least| least.0 > newcomer.0);
            least.and_then(|(_, place)| self.take(place)).is_some()
        } else {
            true
        }
    }

    fn put(&mut self, place: GroupPlace, entry: Entry) {
        let rank = entry.rank();
        self.unverified += usize::from(rank == Rank::Unverified);
        self.ranks.insert((rank, place));
        self.groups.insert(place, entry);
    }

    fn take(&mut self, place: GroupPlace) -> Option<Entry> {
        let entry = self.groups.remove(&place)?;
        self.unverified -= usize::from(entry.rank() == Rank::Unverified);
        self.ranks.remove(&(entry.rank(), place));
        Some(entry)
    }

    /// Lets a group go.
    pub fn forget(&mut self, place: GroupPlace) {
        self.take(place);
    }

    /// The groups that are to be looked at now: the most urgent first, then, as a quarter, those that have been due for
    /// longest.
    #[must_use]
    pub fn due(&self, now: Duration, limit: usize) -> Vec<GroupPlace> {
        let due = |place: &GroupPlace| self.groups.get(place).filter(|entry| entry.due <= now);
        let mut urgent = self.ranks.iter().map(|(_, place)| *place).filter(|place| due(place).is_some());
        let mut places: Vec<GroupPlace> = urgent.by_ref().take(limit - limit / 4).collect();
        let mut others: Vec<GroupPlace> = urgent.collect();
        others.sort_by_key(|place| due(place).map(|entry| entry.due));
        places.extend(others.into_iter().take(limit / 4));
        places
    }

    /// A group was planned: it is to be looked at again then.
    pub fn planned(&mut self, place: GroupPlace, waits: Option<(NotPlanned, u32)>, due: Duration) {
        let stuck = waits.is_some_and(|(why, _)| why.is_stuck());
        if let Some(entry) = self.take(place) {
            self.put(place, Entry { waits, due, stuck, ..entry });
        }
    }

    /// A group is to be looked at at once.
    pub fn hurry(&mut self, place: GroupPlace, now: Duration) {
        if let Some(entry) = self.take(place) {
            self.put(place, Entry { due: entry.due.min(now), stuck: false, ..entry });
        }
    }

    /// All groups are to be looked at at once: nodes have come or gone.
    pub fn hurry_all(&mut self, now: Duration) {
        let places: Vec<GroupPlace> = self.groups.keys().copied().collect();
        places.into_iter().for_each(|place| self.hurry(place, now));
    }

    /// How many files have a group of which this holds.
    #[must_use]
    pub fn files_with(&self, holds: impl Fn(&Assessment) -> bool) -> u64 {
        let mut last = None;
        let mut files = 0;
        for (file, _) in self.groups.iter().filter(|(_, entry)| holds(&entry.needs)).map(|(place, _)| *place) {
            files += u64::from(last.replace(file) != Some(file));
        }
        files
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
