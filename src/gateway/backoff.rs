//! How long to wait between tries. Pure: the attempt's number and the chance come in as arguments.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

/// Share of a delay by which chance may shorten or lengthen it, so that many clients that failed
/// together do not come back together.
const JITTER: f64 = 0.25;

/// Waits that grow: 1 s, 2 s, 4 s by default.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// Tries after the first one.
    pub max_retries: u32,
    /// Before the first retry.
    pub initial: Duration,
    /// From one delay to the next, at least 1.
    pub multiplier: f32,
    /// No delay is longer, but for jitter.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            max_retries: 3,
            initial: Duration::from_secs(1),
            multiplier: 2.0,
            max: Duration::from_secs(60),
        }
    }
}

impl Backoff {
    /// The wait before retry number `attempt` (the first is 0), whatever `max_retries` says.
    /// `chance` in `0.0..1.0` spreads it by ±25 %.
    pub fn delay(&self, attempt: u32, chance: f64) -> Duration {
        let delay = ExponentialBuilder::new()
            .with_min_delay(self.initial.min(self.max))
            .with_factor(self.multiplier.max(1.0))
            .with_max_delay(self.max)
            .without_max_times()
            .build()
            .nth(attempt.min(64) as usize)
            .unwrap_or(self.max)
            .min(self.max);
        delay.mul_f64(1.0 - JITTER + 2.0 * JITTER * chance.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays() {
        let backoff = Backoff {
            max: Duration::from_secs(10),
            ..Backoff::default()
        };
        let table = [
            (0, 1000),
            (1, 2000),
            (2, 4000),
            (3, 8000),
            (4, 10_000),
            (5, 10_000),
            (u32::MAX, 10_000),
        ];
        for (attempt, millis) in table {
            assert_eq!(
                backoff.delay(attempt, 0.5),
                Duration::from_millis(millis),
                "{attempt}"
            );
        }
        assert_eq!(backoff.delay(0, 0.0), Duration::from_millis(750));
        assert_eq!(backoff.delay(0, 1.0), Duration::from_millis(1250));
    }

    #[test]
    fn odd_settings_do_not_panic() {
        let odd = Backoff {
            max_retries: 0,
            initial: Duration::from_secs(90),
            multiplier: f32::NAN,
            max: Duration::from_secs(5),
        };
        assert_eq!(odd.delay(0, 0.5), Duration::from_secs(5));
        assert_eq!(odd.delay(9, f64::INFINITY), Duration::from_secs_f64(6.25));
        let none = Backoff {
            initial: Duration::ZERO,
            max: Duration::ZERO,
            ..Backoff::default()
        };
        assert_eq!(none.delay(3, 0.9), Duration::ZERO);
    }
}
