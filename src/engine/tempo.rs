//! When a provider may be asked next, as far as its own limits on requests say.

use std::time::Instant;

use crate::gateway::pace::Pace;

/// The pace of one provider, and the requests that it is measured by.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tempo {
    pace: Pace,
    asked: Option<Instant>,
    refused: Option<Instant>,
}

impl Tempo {
    /// Begins with the pace that earlier downloads learnt.
    pub fn new(pace: Pace) -> Self {
        Self {
            pace,
            ..Self::default()
        }
    }

    /// The pace by now.
    pub fn pace(&self) -> Pace {
        self.pace
    }

    /// When the next request may be sent; `None` if at once.
    pub fn next(&self, now: Instant) -> Option<Instant> {
        let asked = self.asked?;
        let wait = self.pace.wait(now.saturating_duration_since(asked));
        (!wait.is_zero()).then(|| now + wait)
    }

    /// A request is sent.
    pub fn asked(&mut self, now: Instant) {
        if let Some(before) = self.asked.replace(now) {
            self.pace = self.pace.sent(now.saturating_duration_since(before));
        }
    }

    /// A request was answered, and not refused.
    pub fn answered(&mut self) {
        self.pace = self.pace.accepted();
    }

    /// A request that was sent at `sent` was refused because there were too many. Those that were
    /// under way together are refused together: that counts once.
    pub fn refused(&mut self, sent: Instant, now: Instant) {
        if self.refused.is_some_and(|before| sent <= before) {
            return;
        }
        let before = self.refused.replace(now);
        let since = before.map(|before| now.saturating_duration_since(before));
        self.pace = self.pace.refused(since);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_second_refusal_delays_the_next_request_only() {
        let start = Instant::now();
        let mut tempo = Tempo::default();
        tempo.asked(start);
        assert_eq!(tempo.next(start), None);
        tempo.refused(start, start);
        assert_eq!(tempo.next(start), None, "once is nothing");
        let (sent, told) = (start + MS, start + 2 * MS);
        tempo.refused(sent, told);
        tempo.refused(sent, told);
        let start = told;
        let next = tempo.next(start).expect("a wait");
        assert!(next - start <= 500 * MS);
        assert_eq!(tempo.next(next), None);
        tempo.asked(next);
        assert_eq!(tempo.next(next), Some(next + 500 * MS));
    }
}
