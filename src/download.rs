//! What was asked for, and what can become of it: the pure status machine of a download.
//!
//! No I/O, but for the looks of [`remedy()`], and no clock. The store keeps these values, the engine
//! moves them; neither adds a transition that [`Status::can_become`] does not know.

pub mod queue;
mod remedy;
mod shell;

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use remedy::remedy;
pub use shell::{is_hostile, quoted, quoted_path};

/// Number of a download: small, positive, never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DownloadId(i64);

impl DownloadId {
    /// An id as a row holds it; `None` unless positive.
    pub fn new(value: i64) -> Option<Self> {
        (value > 0).then_some(Self(value))
    }

    /// The number.
    pub fn get(self) -> i64 {
        self.0
    }
}

impl fmt::Display for DownloadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Number of an invocation that owns work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub i64);

/// Where a download stands.
///
/// | from | to |
/// |---|---|
/// | `pending` | `in_progress`, `paused`, `cancelled` |
/// | `in_progress` | `verifying`, `paused`, `failed`, `cancelled`, `pending` |
/// | `resuming` | `in_progress`, `paused`, `failed`, `cancelled`, `pending` |
/// | `verifying` | `installing`, `paused`, `failed`, `cancelled`, `pending` |
/// | `installing` | `success`, `paused`, `failed`, `cancelled`, `pending` |
/// | `paused` | `resuming`, `cancelled`, `pending`, `success` (the target proves that the rename happened) |
/// | `failed` | `resuming` (`resume --reset`, or a new `get`), `cancelled`, `pending` |
/// | `success`, `cancelled` | – |
///
/// Only an entry of the queue goes back to `pending`: to be tried again, or because it was queued
/// again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// In the queue: not begun, or to be tried again.
    Pending,
    /// A live run is fetching it.
    InProgress,
    /// A run has taken it up again and is checking what the disk holds.
    Resuming,
    /// Every byte is here; whole-file checks run.
    Verifying,
    /// Being renamed to its final name.
    Installing,
    /// Stopped, to be gone on with.
    Paused,
    /// Every byte proved and in place.
    Success,
    /// Ended by an error that waiting does not mend.
    Failed,
    /// Given up by the user.
    Cancelled,
}

impl Status {
    /// Every status, in the order of a download's life.
    pub const ALL: [Status; 9] = [
        Status::Pending,
        Status::InProgress,
        Status::Resuming,
        Status::Verifying,
        Status::Installing,
        Status::Paused,
        Status::Success,
        Status::Failed,
        Status::Cancelled,
    ];

    /// The stable name in the store and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Status::Pending => "pending",
            Status::InProgress => "in_progress",
            Status::Resuming => "resuming",
            Status::Verifying => "verifying",
            Status::Installing => "installing",
            Status::Paused => "paused",
            Status::Success => "success",
            Status::Failed => "failed",
            Status::Cancelled => "cancelled",
        }
    }

    /// The status with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }

    /// Whether the table above allows this step.
    pub const fn can_become(self, next: Status) -> bool {
        use Status::{
            Cancelled, Failed, InProgress, Installing, Paused, Pending, Resuming, Success,
            Verifying,
        };
        matches!(
            (self, next),
            (Pending, InProgress | Paused | Cancelled)
                | (
                    InProgress,
                    Verifying | Paused | Failed | Cancelled | Pending
                )
                | (Resuming, InProgress | Paused | Failed | Cancelled | Pending)
                | (
                    Verifying,
                    Installing | Paused | Failed | Cancelled | Pending
                )
                | (Installing, Success | Paused | Failed | Cancelled | Pending)
                | (Paused, Resuming | Cancelled | Success | Pending)
                | (Failed, Resuming | Cancelled | Pending)
        )
    }

    /// Whether a run that lives must own it.
    pub const fn is_active(self) -> bool {
        matches!(
            self,
            Status::InProgress | Status::Resuming | Status::Verifying | Status::Installing
        )
    }

    /// Whether work is left to do without anybody reopening it.
    pub const fn is_unfinished(self) -> bool {
        self.is_active() || matches!(self, Status::Pending | Status::Paused)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How the bytes of a download were proved: the rungs of the ladder, strongest first, so that the
/// weakest one used is the maximum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// Whole blocks, each hashed against the link that led to it.
    Blocks,
    /// Leaf blocks rebuilt around plain file bytes.
    Leaves,
    /// The whole DAG rebuilt under a known importer profile.
    Profile,
    /// The file's checksum alone.
    Sha256,
    /// Nothing; the user consented.
    Unverified,
}

impl Proof {
    /// The stable name in the store and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Proof::Blocks => "blocks",
            Proof::Leaves => "leaves",
            Proof::Profile => "profile",
            Proof::Sha256 => "sha256",
            Proof::Unverified => "unverified",
        }
    }

    /// The proof with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [
            Proof::Blocks,
            Proof::Leaves,
            Proof::Profile,
            Proof::Sha256,
            Proof::Unverified,
        ]
        .into_iter()
        .find(|proof| proof.name() == name)
    }
}

/// What another terminal asks of the owner of a download.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Write a checkpoint now and go on.
    Checkpoint,
    /// Checkpoint and stop; `resume` goes on.
    Pause,
    /// Give up; the part file goes unless it is to be kept.
    Cancel {
        /// Whether the part file stays on disk.
        keep_partial: bool,
    },
}

impl Action {
    /// The stable name in the store.
    pub const fn name(self) -> &'static str {
        match self {
            Action::Checkpoint => "checkpoint",
            Action::Pause => "pause",
            Action::Cancel {
                keep_partial: false,
            } => "cancel",
            Action::Cancel { keep_partial: true } => "cancel_keep_partial",
        }
    }

    /// Whether what was fetched goes with it.
    pub const fn removes_part(self) -> bool {
        matches!(
            self,
            Action::Cancel {
                keep_partial: false
            }
        )
    }

    /// The action with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [
            Action::Checkpoint,
            Action::Pause,
            Action::Cancel {
                keep_partial: false,
            },
            Action::Cancel { keep_partial: true },
        ]
        .into_iter()
        .find(|action| action.name() == name)
    }
}

/// What made a checkpoint due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// Enough bytes, or enough time.
    Periodic,
    /// Files of a directory were completed.
    Boundary,
    /// The last byte was proved.
    Completion,
    /// `fetchd checkpoint`, or SIGUSR1.
    Manual,
    /// A pause, a signal, or an error that ends the run.
    Stop,
}

impl Trigger {
    /// The stable name in the store and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Trigger::Periodic => "periodic",
            Trigger::Boundary => "boundary",
            Trigger::Completion => "completion",
            Trigger::Manual => "manual",
            Trigger::Stop => "stop",
        }
    }

    /// The trigger with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [
            Trigger::Periodic,
            Trigger::Boundary,
            Trigger::Completion,
            Trigger::Manual,
            Trigger::Stop,
        ]
        .into_iter()
        .find(|trigger| trigger.name() == name)
    }
}

/// Why a download paused or failed, as the record keeps it and the user reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Decides the exit code and the status.
    pub kind: crate::exit::ExitKind,
    /// What happened: a lowercase fragment, with its causes.
    pub message: String,
    /// What to do next: a sentence, where possible with the command to type.
    pub hint: Option<String>,
}

/// An error and its causes as one fragment, `what: why: why`, as [`Failure::message`] has it;
/// without repeating a cause that a message already ends with.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.ends_with(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        cause = error.source();
    }
    text
}

/// Bytes and answers by provider: a line of the receipt.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ProviderReceipt {
    /// Base URL as given, without a trailing slash; a path for a CAR file.
    pub url: String,
    /// Proved bytes kept.
    pub bytes: u64,
    /// Bytes received and thrown away.
    pub wasted: u64,
    /// Requests sent.
    pub requests: u64,
    /// Answers that failed.
    pub errors: u64,
    /// Blocks or leaves whose proof failed.
    pub rejected: u64,
    /// How its bytes were proved.
    pub rungs: Vec<Proof>,
}

/// What a finished download can show for itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// Final path, absolute; `-` for standard output.
    pub path: PathBuf,
    /// Root CID in canonical text; `None` for a plain file.
    pub cid: Option<String>,
    /// File size in bytes.
    pub size: u64,
    /// SHA-256 of the whole file, unless switched off.
    pub sha256: Option<[u8; 32]>,
    /// The weakest rung used.
    pub proof: Proof,
    /// The function of the checksum that proves it, where that is not SHA-256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
    /// Bytes received by all runs of this download.
    pub bytes_fetched: u64,
    /// Of those, bytes thrown away.
    pub bytes_wasted: u64,
    /// Proved bytes that were there when the last run began.
    pub resumed_from: u64,
    /// Seconds that all runs took together.
    pub elapsed: f64,
    /// Who sent what.
    pub providers: Vec<ProviderReceipt>,
}

impl Receipt {
    /// The form in which the record keeps it. The path is kept beside it, as the file system has
    /// it; here it may be approximate.
    pub fn to_json(&self) -> String {
        let path = PathBuf::from(self.path.to_string_lossy().into_owned());
        serde_json::to_string(&Self {
            path,
            ..self.clone()
        })
        .unwrap_or_default()
    }

    /// Reads what [`Receipt::to_json`] wrote.
    pub fn from_json(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_transitions() {
        let mut table = String::new();
        for from in Status::ALL {
            let next: Vec<&str> = Status::ALL
                .into_iter()
                .filter(|&to| from.can_become(to))
                .map(Status::name)
                .collect();
            table.push_str(&format!("{from} -> {}\n", next.join(" ")));
        }
        assert_eq!(
            table,
            "pending -> in_progress paused cancelled\n\
             in_progress -> pending verifying paused failed cancelled\n\
             resuming -> pending in_progress paused failed cancelled\n\
             verifying -> pending installing paused failed cancelled\n\
             installing -> pending paused success failed cancelled\n\
             paused -> pending resuming success cancelled\n\
             success -> \n\
             failed -> pending resuming cancelled\n\
             cancelled -> \n"
        );
    }

    #[test]
    fn names_round_trip() {
        assert!(
            Status::ALL
                .into_iter()
                .all(|s| Status::from_name(s.name()) == Some(s))
        );
        assert_eq!(Proof::from_name("leaves"), Some(Proof::Leaves));
        assert_eq!(
            Action::from_name("cancel_keep_partial"),
            Some(Action::Cancel { keep_partial: true })
        );
    }

    #[test]
    fn the_weakest_proof_is_the_maximum() {
        assert_eq!(Proof::Blocks.max(Proof::Leaves), Proof::Leaves);
        assert!(Proof::Sha256 < Proof::Unverified);
    }
}
