//! Seeded randomness: everything that a simulation draws comes from one number.
//!
//! A [`Seed`] forks into independent seeds by label, so that one part drawing more than before does not change what
//! another part draws. A [`Random`] is a stream drawn from a seed.

use dfs_transport::world::EntropySource;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};
use std::ops::RangeInclusive;
use std::sync::{Mutex, PoisonError};

/// One million: the denominator of every probability here.
const PARTS: u64 = 1_000_000;

/// Where a stream of random numbers starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed([u8; 32]);

impl Seed {
    /// The root of all seeds of a simulation.
    #[must_use]
    pub fn new(number: u64) -> Seed {
        Seed(Sha256::digest(number.to_le_bytes()).into())
    }

    /// The seed of a part: same label, same seed; other labels are independent.
    #[must_use]
    pub fn fork(&self, label: &str) -> Seed {
        Seed(Sha256::new().chain_update(self.0).chain_update(label).finalize().into())
    }

    /// The stream that starts here.
    #[must_use]
    pub fn random(&self) -> Random {
        Random(ChaCha8Rng::from_seed(self.0))
    }
}

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct Random(ChaCha8Rng);

impl Random {
    /// A number below 2⁶⁴.
    pub fn number(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number within `range`. The bias of the remainder is far below what any simulation can notice.
    ///
    /// # Panics
    /// If the range is empty.
    pub fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        assert!(!range.is_empty(), "a number is drawn from at least one");
        match (range.end() - range.start()).checked_add(1) {
            Some(size) => range.start() + self.number() % size,
            None => self.number(),
        }
    }

    /// True `ppm` times in a million.
    pub fn chance(&mut self, ppm: u32) -> bool {
        ppm > 0 && self.number() % PARTS < u64::from(ppm)
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }
}

/// A node's entropy, from a seed.
#[derive(Debug)]
pub struct SeededEntropy(Mutex<Random>);

impl SeededEntropy {
    /// The entropy that starts at `seed`.
    #[must_use]
    pub fn new(seed: Seed) -> SeededEntropy {
        SeededEntropy(Mutex::new(seed.random()))
    }
}

impl EntropySource for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_forks_into_the_same_streams_again() {
        let draw = |label: &str| Seed::new(7).fork(label).random().number();
        assert_eq!(draw("a"), draw("a"));
        assert_ne!(draw("a"), draw("b"));
        assert_ne!(draw("a"), Seed::new(8).fork("a").random().number());
    }

    #[test]
    fn draws_stay_within_their_range() {
        let mut random = Seed::new(1).random();
        let drawn: Vec<u64> = (0..1000).map(|_| random.within(3..=5)).collect();
        assert!(drawn.iter().all(|number| (3..=5).contains(number)) && drawn.contains(&3) && drawn.contains(&5));
        assert!(!(0..1000).any(|_| random.chance(0)));
        assert!((0..1000).all(|_| random.chance(1_000_000)));
        random.within(0..=u64::MAX);
    }
}
