//! Choices that a seed draws again.

use super::dag::seeded;

/// A source of choices.
pub struct Dice(u64);

impl Dice {
    /// The same seed and salt, the same choices.
    pub fn new(seed: u64, salt: u64) -> Self {
        let mut dice = Self(seed);
        dice.0 = dice.number() ^ salt;
        dice
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        // The generator of `seeded`, one number at a time.
        let bytes = seeded(self.0, 8);
        self.0 = u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
        self.0
    }

    /// A number from 0 up to this one, which it never is.
    pub fn below(&mut self, end: usize) -> usize {
        let end = end as u64;
        usize::try_from(self.number() % end).expect("below a length")
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

/// What this variable says, or the time.
pub fn seed(variable: &str) -> u64 {
    let given = std::env::var(variable).ok();
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed();
    given
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| now.map_or(0, |now| now.as_secs()))
}
