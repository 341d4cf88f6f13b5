//! The queue's decisions: when a failed entry is tried again, and which entries need not be tried
//! because nobody whom they ask can be reached. Pure: time and randomness come in as arguments.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long a failed entry waits, by how often it has failed in a row; the last one from then on.
pub const WAITS: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_secs(60),
    Duration::from_secs(300),
];

/// Each wait is longer by up to this part of it, so that many machines do not come back at once.
const JITTER: f64 = 0.1;

/// When an entry is tried again that failed for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Again {
    /// Tries that failed in a row, this one counted.
    pub tries: u32,
    /// How long it waits.
    pub wait: Duration,
}

impl Again {
    /// After one more failure, when `tries` in a row had failed before. Progress makes it the
    /// first one. `jitter` is random, from 0 to 1.
    pub fn after(tries: u32, made_progress: bool, jitter: f64) -> Self {
        let before = if made_progress { 0 } else { tries };
        Self {
            tries: before.saturating_add(1),
            wait: wait(before, jitter),
        }
    }
}

fn wait(tries: u32, jitter: f64) -> Duration {
    let last = WAITS.len() - 1;
    let index = usize::try_from(tries).unwrap_or(last).min(last);
    WAITS[index].mul_f64(1.0 + JITTER * jitter.clamp(0.0, 1.0))
}

/// Lanes that are held back: nobody whom their entries ask could be reached a moment ago, so that
/// there is no use in trying each entry. A lane is the entries that ask the same providers.
#[derive(Debug, Clone, Default)]
pub struct Held {
    lanes: HashMap<String, Hold>,
}

#[derive(Debug, Clone, Copy)]
struct Hold {
    again: Again,
    until: Instant,
}

impl Held {
    /// An entry of this lane reached nobody. Whether that is news: of several entries that were
    /// tried at once only the first one tells it.
    pub fn unreachable(&mut self, lane: &str, jitter: f64, now: Instant) -> bool {
        let before = self.lanes.get(lane);
        if before.is_some_and(|hold| now < hold.until) {
            return false;
        }
        let again = Again::after(before.map_or(0, |hold| hold.again.tries), false, jitter);
        let until = now + again.wait;
        self.lanes.insert(lane.to_owned(), Hold { again, until });
        again.tries == 1
    }

    /// An entry of this lane reached somebody. Whether the lane was held.
    pub fn reached(&mut self, lane: &str) -> bool {
        self.lanes.remove(lane).is_some()
    }

    /// The lanes that are held at this time.
    pub fn lanes(&self, now: Instant) -> Vec<String> {
        let held = self.lanes.iter().filter(|(_, hold)| now < hold.until);
        held.map(|(lane, _)| lane.clone()).collect()
    }

    /// Every lane that was held and was not reached since.
    pub fn all_lanes(&self) -> Vec<String> {
        self.lanes.keys().cloned().collect()
    }

    /// When the next lane is to be tried again.
    pub fn next(&self, now: Instant) -> Option<Instant> {
        let ends = self.lanes.values().map(|hold| hold.until);
        ends.filter(|&until| until > now).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_waits_grow_and_progress_begins_anew() {
        let seconds = |tries| Again::after(tries, false, 0.0).wait.as_secs();
        let waits: Vec<u64> = (0..7).map(seconds).collect();
        assert_eq!(waits, [1, 5, 15, 60, 300, 300, 300]);
        assert_eq!(
            Again::after(7, true, 0.0),
            Again {
                tries: 1,
                wait: WAITS[0]
            }
        );
        assert_eq!(Again::after(u32::MAX, false, 0.0).tries, u32::MAX);
    }

    #[test]
    fn jitter_only_lengthens_a_wait() {
        for (jitter, millis) in [(0.0, 5000), (0.5, 5250), (1.0, 5500), (7.0, 5500)] {
            let wait = Again::after(1, false, jitter).wait;
            assert_eq!(wait.as_millis(), millis);
        }
    }

    #[test]
    fn a_lane_is_held_for_a_while_and_told_of_once() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut held = Held::default();
        assert!(held.unreachable("a", 0.0, start));
        assert!(!held.unreachable("a", 0.0, start), "tried at once");
        assert_eq!(held.lanes(start), ["a"]);
        assert_eq!(held.next(start), Some(at(1)));
        assert!(held.lanes(at(1)).is_empty(), "to be tried again");
        assert!(!held.unreachable("a", 0.0, at(1)), "no news");
        assert_eq!(held.next(at(1)), Some(at(6)));
        assert_eq!(held.all_lanes(), ["a"]);
        assert!(held.reached("a"));
        assert!(!held.reached("a"));
        assert!(held.unreachable("a", 0.0, at(9)), "news again");
    }
}
