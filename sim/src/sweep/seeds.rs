//! Which seeds are swept, and which of them twice.

use std::str::FromStr;

/// Seeds, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeedRange {
    first: u64,
    /// The last one; without it there is no end.
    last: Option<u64>,
}

/// A text that names no seeds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSeeds {
    /// It is not of the form.
    #[error("{0:?} is no range of seeds: write 0..500 (without 500), 0..=499, or 0.. for no end")]
    NotARange(String),
    /// It ends before it begins.
    #[error("{0:?} has no seeds")]
    Empty(String),
}

impl SeedRange {
    /// All seeds from `first` on.
    #[must_use]
    pub fn from(first: u64) -> SeedRange {
        SeedRange { first, last: None }
    }

    /// How many they are, if they have an end.
    #[must_use]
    pub fn count(&self) -> Option<u64> {
        self.last.map(|last| (last - self.first).saturating_add(1))
    }

    /// Whether `seed` is one.
    #[must_use]
    pub fn contains(&self, seed: u64) -> bool {
        seed >= self.first && self.last.is_none_or(|last| seed <= last)
    }

    /// Each of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = u64> + use<> {
        self.first..=self.last.unwrap_or(u64::MAX)
    }
}

impl FromStr for SeedRange {
    type Err = InvalidSeeds;

    fn from_str(text: &str) -> Result<SeedRange, InvalidSeeds> {
        let invalid = || InvalidSeeds::NotARange(text.to_owned());
        let number = |text: &str| text.parse::<u64>().map_err(|_| invalid());
        let (first, end) = text.split_once("..").ok_or_else(invalid)?;
        let first = number(first)?;
        let empty = || InvalidSeeds::Empty(text.to_owned());
        let last = match end.strip_prefix('=') {
            _ if end.is_empty() => return Ok(SeedRange::from(first)),
            Some(last) => number(last)?,
            None => number(end)?.checked_sub(1).ok_or_else(empty)?,
        };
        if last < first { Err(empty()) } else { Ok(SeedRange { first, last: Some(last) }) }
    }
}

/// Whether `seed` is one of the share that is run twice: every tenth, for ten percent.
#[must_use]
pub fn is_repeated(seed: u64, percent: u8) -> bool {
    let before = |seed: u128| seed * u128::from(percent) / 100;
    before(u128::from(seed) + 1) > before(u128::from(seed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_written_as_in_rust() {
        let seeds = |text: &str| text.parse::<SeedRange>().map(|range| range.iter().take(4).collect::<Vec<_>>());
        assert_eq!(seeds("3..5"), Ok(vec![3, 4]));
        assert_eq!(seeds("3..=5"), Ok(vec![3, 4, 5]));
        assert_eq!(seeds("3.."), Ok(vec![3, 4, 5, 6]));
        assert_eq!(seeds(&format!("0..={}", u64::MAX)).unwrap().len(), 4);
        for empty in ["3..3", "5..3", "0..0", "5..=4"] {
            assert_eq!(seeds(empty), Err(InvalidSeeds::Empty(empty.to_owned())));
        }
        for wrong in ["", "3", "..3", "a..b", "-1..3"] {
            assert_eq!(seeds(wrong), Err(InvalidSeeds::NotARange(wrong.to_owned())));
        }
        assert_eq!("3..5".parse::<SeedRange>().unwrap().count(), Some(2));
    }

    #[test]
    fn a_share_of_the_seeds_is_repeated() {
        let repeated = |percent| (0..100).filter(|seed| is_repeated(*seed, percent)).collect::<Vec<_>>();
        assert_eq!(repeated(10), [9, 19, 29, 39, 49, 59, 69, 79, 89, 99]);
        assert_eq!((repeated(0).len(), repeated(33).len(), repeated(100).len()), (0, 33, 100));
        assert!(is_repeated(u64::MAX, 100));
    }
}
