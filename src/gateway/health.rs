//! How well a provider has done of late. Pure values, kept in the store between runs.

use std::time::Duration;

/// Weight of the newest value in the moving averages: the last ten or so count.
const WEIGHT: f64 = 0.2;
/// Assumed before anything is measured; optimistic enough that every provider gets its try.
const UNKNOWN_LATENCY: f64 = 0.5;
const UNKNOWN_THROUGHPUT: f64 = 1e6;
/// A provider rests this long after its first failure in a row, twice as long after each further
/// one, up to the limit.
const FIRST_COOL_DOWN: Duration = Duration::from_secs(1);
const MAX_COOL_DOWN: Duration = Duration::from_secs(60);

/// Measured health of one provider.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Health {
    /// Moving average of seconds from request to headers.
    pub latency: Option<f64>,
    /// Moving average of body bytes per second.
    pub throughput: Option<f64>,
    /// Exchanges that succeeded.
    pub successes: u64,
    /// Exchanges that failed.
    pub failures: u64,
    /// Failures since the last success.
    pub failures_in_a_row: u32,
}

impl Health {
    /// After an exchange that brought `bytes` in `body` time, its headers after `latency`.
    #[must_use]
    pub fn succeeded(self, latency: Duration, bytes: u64, body: Duration) -> Self {
        let mut next = self;
        next.successes = self.successes.saturating_add(1);
        next.failures_in_a_row = 0;
        next.latency = Some(average(self.latency, latency.as_secs_f64()));
        // A body that came with its headers says nothing about speed.
        if bytes > 0 && body >= Duration::from_millis(1) {
            next.throughput = Some(average(self.throughput, bytes as f64 / body.as_secs_f64()));
        }
        next
    }

    /// After an exchange that failed.
    #[must_use]
    pub fn failed(self) -> Self {
        Self {
            failures: self.failures.saturating_add(1),
            failures_in_a_row: self.failures_in_a_row.saturating_add(1),
            ..self
        }
    }

    /// How long to leave the provider alone now; `asked` is its own `Retry-After`.
    pub fn cool_down(&self, asked: Option<Duration>) -> Duration {
        let own = match self.failures_in_a_row {
            0 => Duration::ZERO,
            n => FIRST_COOL_DOWN
                .saturating_mul(1 << (n - 1).min(16))
                .min(MAX_COOL_DOWN),
        };
        asked.map_or(own, |asked| asked.max(own))
    }

    /// Expected seconds for a request of `bytes`, stretched by how often it fails: the provider
    /// with the least is the one to ask.
    pub fn expected_cost(&self, bytes: u64) -> f64 {
        let latency = self.latency.unwrap_or(UNKNOWN_LATENCY);
        let throughput = self.throughput.unwrap_or(UNKNOWN_THROUGHPUT).max(1.0);
        // One success is assumed, so that the first failure does not condemn.
        let success_rate =
            (self.successes as f64 + 1.0) / (self.successes as f64 + self.failures as f64 + 1.0);
        (latency + bytes as f64 / throughput) / success_rate
            * f64::from(1 + self.failures_in_a_row.min(10))
    }
}

fn average(old: Option<f64>, new: f64) -> f64 {
    // A value that the store returned damaged is forgotten.
    match old.filter(|old| old.is_finite() && *old >= 0.0) {
        Some(old) => old + WEIGHT * (new - old),
        None => new,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn averages_move_towards_what_is_new() {
        let health = Health::default().succeeded(MS(100), 1000, MS(1000));
        assert_eq!(
            (health.latency, health.throughput),
            (Some(0.1), Some(1000.0))
        );
        let health = health.succeeded(MS(200), 0, MS(0));
        assert!((health.latency.unwrap() - 0.12).abs() < 1e-9);
        assert_eq!((health.throughput, health.successes), (Some(1000.0), 2));
    }

    #[test]
    fn cool_down_grows_and_ends_with_a_success() {
        let mut health = Health::default();
        assert_eq!(health.cool_down(None), Duration::ZERO);
        let mut seen = Vec::new();
        for _ in 0..8 {
            health = health.failed();
            seen.push(health.cool_down(None).as_secs());
        }
        assert_eq!(seen, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(
            health.cool_down(Some(Duration::from_secs(300))).as_secs(),
            300
        );
        assert_eq!(
            health.succeeded(MS(1), 0, MS(0)).cool_down(None),
            Duration::ZERO
        );
    }

    #[test]
    fn fast_and_sound_is_cheaper() {
        let fast = Health::default().succeeded(MS(10), 10_000_000, MS(1000));
        let slow = Health::default().succeeded(MS(10), 100_000, MS(1000));
        let mib = 1 << 20;
        assert!(fast.expected_cost(mib) < Health::default().expected_cost(mib));
        assert!(Health::default().expected_cost(mib) < slow.expected_cost(mib));
        assert!(fast.expected_cost(mib) < fast.failed().expected_cost(mib));
        let damaged = Health {
            latency: Some(f64::NAN),
            ..Health::default()
        };
        assert_eq!(damaged.succeeded(MS(100), 0, MS(0)).latency, Some(0.1));
    }
}
