//! From one look at a record to the next: what must have happened in between. Pure.

use crate::commands::transfer;
use crate::download::{Failure, Status};
use crate::event::{Event, What};
use crate::exit::ExitKind;
use crate::store::DownloadRow;

/// What was seen of one download.
#[derive(Debug, Default)]
pub struct Followed {
    /// As it was last seen, while somebody works on it.
    under_way: Option<Seen>,
    is_over: bool,
    /// How often it has gone back to the queue, as of the last look.
    tries: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Seen {
    status: Status,
    bytes: u64,
    total: Option<u64>,
    is_resolved: bool,
}

/// What a look brings.
#[derive(Debug, Default)]
pub struct Step {
    /// To be shown, in this order.
    pub events: Vec<Event>,
    /// How it ended, if it has.
    pub ending: Option<Result<(), ExitKind>>,
}

impl Followed {
    /// Whether somebody was working on it at the last look.
    pub fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// Whether it had ended at the last look, or rests until somebody takes it up.
    pub fn has_ended(&self) -> bool {
        self.is_over
    }

    /// How far it is, as the last look said. To be told again and again, as the engine does.
    pub fn progress(&self) -> Option<What> {
        let seen = self.under_way?;
        Some(What::Progress {
            bytes: seen.bytes,
            total: seen.total,
            files: None,
            is_proved: true,
        })
    }

    /// Takes in a look at the record.
    pub fn see(&mut self, row: &DownloadRow) -> Step {
        let mut step = Step::default();
        let mut say = |what| {
            step.events.push(Event {
                id: Some(row.id),
                what,
            });
        };
        if row.status.is_active() {
            self.is_over = false;
            self.under_way = Some(work(self.under_way, row, &mut say));
            return step;
        }
        let was_under_way = self.under_way.take().is_some();
        if row.status == Status::Pending {
            // It waits in the queue, for the first time or again. A whole try may lie between two
            // looks.
            let tries = self.tries.replace(row.queue_tries);
            if was_under_way || tries.is_some_and(|before| before < row.queue_tries) {
                say(failed(row, true));
                step.ending = Some(outcome(row));
            }
            self.is_over = false;
            return step;
        }
        if !std::mem::replace(&mut self.is_over, true) {
            end(row, &mut say);
            step.ending = Some(outcome(row));
        }
        step
    }
}

/// What is new of a download that somebody works on.
fn work(before: Option<Seen>, row: &DownloadRow, say: &mut impl FnMut(What)) -> Seen {
    let now = Seen {
        status: row.status,
        bytes: row.bytes_verified,
        total: row.bytes_total,
        is_resolved: row.bytes_total.is_some(),
    };
    if before.is_none() {
        say(What::Started {
            source: row.source.clone(),
            resumed_from: row.bytes_verified,
        });
    }
    if now.is_resolved && !before.is_some_and(|before| before.is_resolved) {
        say(What::Resolved {
            cid: row.root_cid.clone(),
            path: row.path.clone(),
            size: row.bytes_total,
        });
    }
    let is_checked = |status| matches!(status, Status::Verifying | Status::Installing);
    if is_checked(now.status) && !before.is_some_and(|before| is_checked(before.status)) {
        say(What::Verifying);
    }
    now
}

fn end(row: &DownloadRow, say: &mut impl FnMut(What)) {
    let source = row.source.clone();
    match row.status {
        Status::Success => {
            let Some(receipt) = transfer::receipt(row).map(Box::new) else {
                return;
            };
            if let Some(path) = row.path.clone() {
                say(What::Installed { path });
            }
            say(What::Finished {
                source,
                receipt,
                was_there: false,
            });
        }
        Status::Cancelled => say(What::Cancelled { source }),
        Status::Paused if row.paused_by_person() => say(What::Paused { source }),
        status => say(failed(row, status == Status::Paused)),
    }
}

fn failed(row: &DownloadRow, resumable: bool) -> What {
    What::Failed {
        source: row.source.clone(),
        failure: row.failure.clone().unwrap_or_else(interrupted),
        resumable,
    }
}

/// Of a record that does not say why.
fn interrupted() -> Failure {
    Failure {
        kind: ExitKind::Retry,
        message: "interrupted".to_owned(),
        hint: None,
    }
}

fn outcome(row: &DownloadRow) -> Result<(), ExitKind> {
    match row.status {
        Status::Success => Ok(()),
        Status::Cancelled => Err(ExitKind::Stopped),
        _ => Err(row
            .failure
            .as_ref()
            .map_or(ExitKind::Retry, |failure| failure.kind)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::download::DownloadId;
    use jiff::Timestamp;
    use std::time::Duration;

    fn row(status: Status, bytes: u64) -> DownloadRow {
        let now = Timestamp::UNIX_EPOCH;
        DownloadRow {
            id: DownloadId::new(3).expect("positive"),
            source: "bafy".to_owned(),
            root_cid: Some("bafy".to_owned()),
            content_path: String::new(),
            path: Some("/data/x".into()),
            nonce: "00000000".to_owned(),
            kind: "file".to_owned(),
            status,
            attempts: 0,
            last_attempt: None,
            next_attempt: None,
            bytes_verified: bytes,
            bytes_total: (bytes > 0).then_some(100),
            bytes_fetched: bytes,
            bytes_wasted: 0,
            elapsed: Duration::ZERO,
            expected_sha256: None,
            sha256: None,
            proof: None,
            failure: None,
            options_json: "{}".to_owned(),
            priority: 0,
            lane: None,
            queue_tries: 0,
            owner: None,
            requested: None,
            acknowledged: None,
            uid: None,
            created: now,
            started: None,
            updated: now,
            completed: None,
            receipt_json: None,
        }
    }

    fn told(looks: &[(Status, u64)]) -> (String, Followed) {
        let mut followed = Followed::default();
        let mut words = Vec::new();
        for &(status, bytes) in looks {
            let step = followed.see(&row(status, bytes));
            words.extend(step.events.iter().map(|event| match &event.what {
                What::Started { .. } => "started".to_owned(),
                What::Resolved { .. } => "resolved".to_owned(),
                What::Verifying => "verifying".to_owned(),
                What::Failed { resumable, .. } => format!("failed({resumable})"),
                What::Cancelled { .. } => "cancelled".to_owned(),
                other => format!("{other:?}"),
            }));
            words.extend(step.ending.map(|ending| format!("{ending:?}")));
        }
        (words.join(" "), followed)
    }

    #[test]
    fn a_life_is_told_once() {
        use Status::{Failed, InProgress, Installing, Pending, Verifying};
        let looks = [
            (Pending, 0),
            (InProgress, 0),
            (InProgress, 0),
            (InProgress, 40),
            (InProgress, 100),
            (Verifying, 100),
            (Installing, 100),
            (Failed, 100),
            (Failed, 100),
        ];
        let (words, followed) = told(&looks);
        assert_eq!(words, "started resolved verifying failed(false) Err(Retry)");
        assert!(followed.has_ended() && !followed.is_under_way());
        assert_eq!(followed.progress(), None);
    }

    #[test]
    fn what_goes_back_to_the_queue_has_not_ended() {
        use Status::{Cancelled, InProgress, Pending};
        let (words, followed) = told(&[(InProgress, 40), (Pending, 40), (Pending, 40)]);
        assert_eq!(words, "started resolved failed(true) Err(Retry)");
        assert!(!followed.has_ended());
        let looks = [
            (Pending, 0),
            (InProgress, 10),
            (Pending, 10),
            (Cancelled, 10),
        ];
        let (words, _) = told(&looks);
        assert!(
            words.ends_with("failed(true) Err(Retry) cancelled Err(Stopped)"),
            "{words}"
        );
        let mut followed = Followed::default();
        let mut see = |queue_tries| {
            let step = followed.see(&DownloadRow {
                queue_tries,
                ..row(Pending, 0)
            });
            step.ending
        };
        assert_eq!(
            [see(1), see(1), see(2)],
            [None, None, Some(Err(ExitKind::Retry))],
            "a try that nobody saw"
        );
    }
}
