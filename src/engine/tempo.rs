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

    /// A request was refused because there were too many.
    pub fn refused(&mut self, now: Instant) {
        let before = self.refused.replace(now);
        let since = before.map(|before| now.saturating_duration_since(before));
        self.pace = self.pace.refused(since);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_refusal_delays_the_next_request_only() {
        let start = Instant::now();
        let mut tempo = Tempo::default();
        tempo.asked(start);
        assert_eq!(tempo.next(start), None);
        tempo.refused(start);
        let next = tempo.next(start).expect("a wait");
        assert_eq!(next - start, Duration::from_millis(500));
        assert_eq!(tempo.next(next), None);
        tempo.asked(next);
        assert_eq!(tempo.next(next), Some(next + Duration::from_millis(500)));
    }
}
