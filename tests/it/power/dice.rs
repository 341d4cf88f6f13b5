//! Choices that a seed draws again.

use crate::support::dag::seeded;

/// A source of choices.
pub struct Dice(u64);

impl Dice {
    /// The same seeds, the same choices.
    pub fn new(seed: u64, salt: u64) -> Self {
        let mut dice = Self(seed);
        dice.0 = dice.next() ^ salt;
        dice
    }

    fn next(&mut self) -> u64 {
        // The generator of `seeded`, one number at a time.
        let bytes = seeded(self.0, 8);
        self.0 = u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
        self.0
    }

    /// A number from 0 up to this one, which it never is.
    pub fn below(&mut self, end: usize) -> usize {
        let end = end as u64;
        usize::try_from(self.next() % end).expect("below a length")
    }

    /// Yes, so many times in a hundred.
    pub fn is_so(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of these.
    pub fn one_of<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}
