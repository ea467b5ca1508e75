//! Placement: which nodes take a group of chunks.
//!
//! The choice is random, with odds by free space and by writes in progress, so that space fills evenly and nobody is
//! swamped. It is the leader's: the state machine only checks that it is possible.
//!
//! Deliberately absent: failure domains, which come with repair planning.

use crate::id::NodeId;
use crate::refusal::Refusal;
use std::collections::BTreeSet;

/// A slow node gets one in so many of the chunks that it would get otherwise.
const SLOW_ODDS: u64 = 8;

/// A node that may be given work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The node.
    pub node: NodeId,
    /// Bytes that it can still take as chunks; zero where the leader does not know.
    pub available_bytes: u64,
    /// Chunk writes in progress there.
    pub writes: u32,
    /// Whether the leader has had a beat of it lately. Others are taken only if the fresh ones do not suffice.
    pub fresh: bool,
    /// Whether it is slow beside others.
    pub slow: bool,
}

impl Candidate {
    /// Its odds among its like: free MiB per write in progress, and never none. A slow one has a fraction of them, and so
    /// is still tried, and found to be quick again.
    fn weight(&self) -> u64 {
        let odds = (self.available_bytes >> 20) / (u64::from(self.writes) + 1);
        let odds = if self.slow { odds / SLOW_ODDS } else { odds };
        odds.max(1)
    }
}

/// Chooses up to `wanted` distinct nodes in random order, fresh ones first.
///
/// Excluded nodes are taken only if the others are fewer than `needed`: a client excludes nodes that failed it, and a
/// placement with fewer copies is better than one that fails again.
///
/// # Errors
/// [`Refusal::TooFewNodes`] if there are fewer candidates than `needed`.
pub fn choose(
    candidates: &[Candidate],
    wanted: usize,
    needed: usize,
    excluded: &[NodeId],
    seed: u64,
) -> Result<Vec<NodeId>, Refusal> {
    let mut seen = BTreeSet::new();
    let distinct: Vec<Candidate> = candidates.iter().copied().filter(|candidate| seen.insert(candidate.node)).collect();
    if distinct.len() < needed {
        return Err(Refusal::TooFewNodes {
            needed: u8::try_from(needed).unwrap_or(u8::MAX),
            available: u32::try_from(distinct.len()).unwrap_or(u32::MAX),
        });
    }
    let (avoided, welcome): (Vec<_>, Vec<_>) = distinct.into_iter().partition(|it| excluded.contains(&it.node));
    let mut random = SplitMix64(seed);
    let mut chosen = Vec::new();
    draw(&welcome, wanted.max(needed), &mut random, &mut chosen);
    if chosen.len() < needed {
        draw(&avoided, needed, &mut random, &mut chosen);
    }
    Ok(chosen)
}

/// Draws nodes into `chosen` until it has `count`: fresh ones first, then others.
fn draw(from: &[Candidate], count: usize, random: &mut SplitMix64, chosen: &mut Vec<NodeId>) {
    for fresh in [true, false] {
        let mut pool: Vec<&Candidate> = from.iter().filter(|candidate| candidate.fresh == fresh).collect();
        while chosen.len() < count && !pool.is_empty() {
            let total: u128 = pool.iter().map(|candidate| u128::from(candidate.weight())).sum();
            let mut left = random.below(total);
            let hit = pool.iter().position(|candidate| {
                let weight = u128::from(candidate.weight());
                let hit = left < weight;
                left = left.saturating_sub(weight);
                hit
            });
            chosen.push(pool.swap_remove(hit.unwrap_or(0)).node);
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood: *Fast splittable pseudorandom number generators*, OOPSLA 2014).
#[derive(Clone, Debug)]
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not zero. The bias is below bound / 2^128.
    fn below(&mut self, bound: u128) -> u128 {
        ((u128::from(self.next()) << 64) | u128::from(self.next())) % bound
    }
}

#[cfg(test)]
mod tests;
