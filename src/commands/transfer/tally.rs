//! How the sources of one invocation ended, and its exit code. Pure.

use crate::exit::ExitKind;

/// How the sources of one invocation ended.
#[derive(Debug, Default)]
pub struct Tally {
    finished: u64,
    failures: Vec<ExitKind>,
}

impl Tally {
    /// A source that is in place.
    pub fn finished(&mut self) {
        self.finished += 1;
    }

    /// A source that is not.
    pub fn failed(&mut self, kind: ExitKind) {
        self.failures.push(kind);
    }

    /// How many are in place.
    pub fn count_finished(&self) -> u64 {
        self.finished
    }

    /// How many are not.
    pub fn count_failed(&self) -> u64 {
        self.failures.len() as u64
    }

    /// What ends the whole invocation, if it has happened.
    pub(super) fn urgent(&self) -> Option<ExitKind> {
        let is_urgent = |kind: &&ExitKind| {
            matches!(
                kind,
                ExitKind::Interrupted | ExitKind::Terminated | ExitKind::Closed
            )
        };
        self.failures.iter().find(is_urgent).copied()
    }

    /// Whether a signal, or a reader that went away, ends all of it.
    pub fn is_over(&self) -> bool {
        self.urgent().is_some()
    }

    /// The exit code of all together.
    pub fn outcome(&self) -> ExitKind {
        let Some(first) = self.failures.first() else {
            return ExitKind::Success;
        };
        if let Some(kind) = self.urgent() {
            return kind;
        }
        if self.failures.iter().all(|kind| kind == first) {
            *first
        } else {
            ExitKind::Partial
        }
    }
}
