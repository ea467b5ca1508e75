//! Small sets of small numbers.

const BITS: usize = u64::BITS as usize;

/// A set of numbers below a bound.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Bits(Box<[u64]>);

impl Bits {
    /// The empty set.
    pub(super) fn new(bound: usize) -> Bits {
        Bits(vec![0; bound.div_ceil(BITS)].into())
    }

    pub(super) fn has(&self, number: usize) -> bool {
        self.0[number / BITS] >> (number % BITS) & 1 == 1
    }

    pub(super) fn add(&mut self, number: usize) {
        self.0[number / BITS] |= 1 << (number % BITS);
    }

    /// Whether `other`, of the same bound, has all of it.
    pub(super) fn is_within(&self, other: &Bits) -> bool {
        self.0.iter().zip(&other.0).all(|(mine, theirs)| mine & !theirs == 0)
    }
}
