//! What one run leaves in the records beside a download: whom it asked, and what it made safe. Pure.

use std::collections::BTreeSet;

use crate::download::{DownloadId, RunId, Trigger};
use crate::event::{Event, What};
use crate::store::{AttemptRow, CheckpointRow};

/// What was told of a run already.
#[derive(Debug)]
pub struct Traces {
    run: RunId,
    /// Providers that were named.
    asked: BTreeSet<String>,
    /// The newest attempt that was looked at.
    attempt: i64,
    /// The newest checkpoint that was told of.
    checkpoint: Option<i64>,
}

impl Traces {
    /// Of this run, nothing yet.
    pub fn of(run: RunId) -> Self {
        Self {
            run,
            asked: BTreeSet::new(),
            attempt: 0,
            checkpoint: None,
        }
    }

    /// The run that leaves them.
    pub fn run(&self) -> RunId {
        self.run
    }

    /// Tells what is new; both lists have the newest first.
    pub fn see(
        &mut self,
        id: DownloadId,
        attempts: &[AttemptRow],
        checkpoints: &[CheckpointRow],
    ) -> Vec<Event> {
        let mut told = self.exchanges(attempts);
        told.extend(self.checkpoints(checkpoints));
        let id = Some(id);
        told.into_iter().map(|what| Event { id, what }).collect()
    }

    fn exchanges(&mut self, attempts: &[AttemptRow]) -> Vec<What> {
        let mut told = Vec::new();
        let is_new = |row: &&AttemptRow| row.id > self.attempt && row.attempt.run == self.run;
        for row in attempts.iter().rev().filter(is_new) {
            let url = row.attempt.provider.clone();
            if self.asked.insert(url.clone()) {
                told.push(What::Provider { url: url.clone() });
            }
            if row.attempt.outcome != "ok" {
                told.push(What::Trouble {
                    url,
                    message: row.attempt.outcome.clone(),
                    wait: None,
                });
            }
        }
        self.attempt = attempts.first().map_or(self.attempt, |row| row.id);
        told
    }

    /// Of those that were made before anybody looked, the newest says it all.
    fn checkpoints(&mut self, checkpoints: &[CheckpointRow]) -> Vec<What> {
        let is_new = |row: &&CheckpointRow| {
            row.run == self.run && row.completed.is_some() && Some(row.id) > self.checkpoint
        };
        let mut new: Vec<&CheckpointRow> = checkpoints.iter().filter(is_new).collect();
        if self.checkpoint.is_none() {
            new.truncate(1);
        }
        self.checkpoint = new.first().map_or(self.checkpoint, |row| Some(row.id));
        let what = |row: &CheckpointRow| {
            Some(What::Checkpoint {
                trigger: Trigger::from_name(&row.trigger)?,
                bytes: row.bytes,
            })
        };
        new.into_iter().rev().filter_map(what).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Attempt;
    use jiff::Timestamp;

    fn attempt(id: i64, run: i64, provider: &str, outcome: &str) -> AttemptRow {
        let attempt = Attempt {
            download: DownloadId::new(1).expect("positive"),
            run: RunId(run),
            provider: provider.to_owned(),
            request: "car".to_owned(),
            offset: None,
            bytes: 1,
            outcome: outcome.to_owned(),
            started: Timestamp::UNIX_EPOCH,
            ended: Timestamp::UNIX_EPOCH,
        };
        AttemptRow { id, attempt }
    }

    fn checkpoint(id: i64, is_completed: bool) -> CheckpointRow {
        CheckpointRow {
            id,
            run: RunId(2),
            trigger: "periodic".to_owned(),
            bytes: 10 * id.unsigned_abs(),
            state_hash: [0; 32],
            created: Timestamp::UNIX_EPOCH,
            completed: is_completed.then_some(Timestamp::UNIX_EPOCH),
        }
    }

    fn words(events: Vec<Event>) -> String {
        let word = |event: Event| match event.what {
            What::Provider { url } => format!("ask {url}"),
            What::Trouble { url, message, .. } => format!("{url}: {message}"),
            What::Checkpoint { bytes, .. } => format!("safe {bytes}"),
            other => format!("{other:?}"),
        };
        events.into_iter().map(word).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn what_a_run_leaves_is_told_once() {
        let id = DownloadId::new(1).expect("positive");
        let mut traces = Traces::of(RunId(2));
        let mut see = |attempts: &[AttemptRow], checkpoints: &[CheckpointRow]| {
            words(traces.see(id, attempts, checkpoints))
        };
        let mut attempts = vec![attempt(2, 2, "a", "ok"), attempt(1, 1, "b", "ok")];
        let mut checkpoints = vec![checkpoint(2, true), checkpoint(1, true)];
        assert_eq!(see(&attempts, &checkpoints), "ask a, safe 20");
        assert_eq!(see(&attempts, &checkpoints), "");
        attempts.insert(0, attempt(3, 2, "b", "429"));
        attempts.insert(0, attempt(4, 2, "a", "ok"));
        checkpoints.insert(0, checkpoint(3, true));
        checkpoints.insert(0, checkpoint(4, false));
        assert_eq!(see(&attempts, &checkpoints), "ask b, b: 429, safe 30");
        checkpoints[0] = checkpoint(4, true);
        assert_eq!(see(&attempts, &checkpoints), "safe 40");
    }
}
