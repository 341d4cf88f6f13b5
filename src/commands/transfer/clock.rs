//! How much time `--max-time` leaves.

use std::time::{Duration, Instant};

use crate::commands::error::CommandError;
use crate::exit::ExitKind;

/// Runs from when it was started.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started: Instant,
    limit: Option<Duration>,
}

impl Clock {
    /// Starts now, with `limit` to go; `None` for as long as it takes.
    pub fn start(limit: Option<Duration>) -> Self {
        let started = Instant::now();
        Self { started, limit }
    }

    /// What is left, down to nothing.
    pub fn left(&self) -> Option<Duration> {
        let limit = self.limit?;
        Some(limit.saturating_sub(self.started.elapsed()))
    }

    /// Waits until nothing is left; for ever without a limit.
    pub async fn over(&self) -> CommandError {
        let end = self.limit.and_then(|limit| self.started.checked_add(limit));
        match end {
            Some(end) => tokio::time::sleep_until(end.into()).await,
            None => std::future::pending().await,
        }
        CommandError::new(
            ExitKind::Retry,
            "the time that --max-time allows is over, and the transfer had not begun",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_ends_when_its_time_is_over_and_without_a_limit_never() {
        let clock = Clock::start(Some(Duration::ZERO));
        assert_eq!(clock.left(), Some(Duration::ZERO));
        assert_eq!(clock.over().await.kind, ExitKind::Retry);
        // A time that no clock can show is no limit either.
        for limit in [None, Some(Duration::MAX)] {
            let endless = Clock::start(limit);
            let waited = tokio::time::timeout(Duration::from_millis(1), endless.over()).await;
            assert!(waited.is_err());
        }
    }
}
