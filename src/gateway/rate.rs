//! One allowance of bytes per second, shared by every body of a process.
//!
//! A token bucket kept as a single instant: the moment at which everything that was taken so far
//! is paid for. Takers queue up behind that moment, so the sum of any number of them keeps the
//! rate; nobody has to register.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

/// Least burst: one read of a socket.
const MIN_BURST: u64 = 64 << 10;

/// Bytes per second, for everybody together.
#[derive(Debug)]
pub struct RateLimit {
    bytes_per_second: u64,
    /// When everything taken so far is paid for; `None` before the first use.
    paid: Mutex<Option<Instant>>,
}

impl RateLimit {
    /// `bytes_per_second` of 0 counts as 1.
    pub fn new(bytes_per_second: u64) -> Self {
        Self {
            bytes_per_second: bytes_per_second.max(1),
            paid: Mutex::new(None),
        }
    }

    /// The most that may pass at once after a quiet time: a quarter of a second's worth, or 64 KiB.
    pub fn burst(&self) -> u64 {
        (self.bytes_per_second / 4).max(MIN_BURST)
    }

    /// Waits until `bytes` more may pass.
    pub async fn take(&self, bytes: u64) {
        let wait = {
            // A poisoned lock holds an instant all the same.
            let mut paid = self
                .paid
                .lock()
                .unwrap_or_else(|poisoned| poisoned.into_inner());
            let now = Instant::now();
            let (until, wait) = reserve(
                *paid,
                now,
                self.time_for(bytes),
                self.time_for(self.burst()),
            );
            *paid = Some(until);
            wait
        };
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    fn time_for(&self, bytes: u64) -> Duration {
        Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64)
    }
}

/// Puts `cost` after what is already taken; a quiet time is credited up to `burst`.
fn reserve(
    paid: Option<Instant>,
    now: Instant,
    cost: Duration,
    burst: Duration,
) -> (Instant, Duration) {
    let credit_from = now.checked_sub(burst).unwrap_or(now);
    let until = paid.map_or(credit_from, |paid| paid.max(credit_from)) + cost;
    (until, until.saturating_duration_since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_free_and_the_rest_waits_in_line() {
        let ms = Duration::from_millis;
        let now = Instant::now() + Duration::from_secs(3600);
        let (paid, wait) = reserve(None, now, ms(250), ms(250));
        assert_eq!(wait, ms(0));
        let (paid, wait) = reserve(Some(paid), now, ms(100), ms(250));
        assert_eq!(wait, ms(100));
        let (paid, wait) = reserve(Some(paid), now, ms(100), ms(250));
        assert_eq!(wait, ms(200));
        // An hour of silence is worth one burst, not an hour.
        let later = now + Duration::from_secs(3600);
        assert_eq!(reserve(Some(paid), later, ms(1000), ms(250)).1, ms(750));
    }

    #[test]
    fn the_burst_has_a_floor() {
        assert_eq!(RateLimit::new(0).burst(), MIN_BURST);
        assert_eq!(RateLimit::new(4 << 20).burst(), 1 << 20);
    }
}
