//! What the engine announces.
//!
//! Two classes: *facts* are announced only after the commit that makes them true; *ticks* may be
//! merged or dropped and are never stored. Adding an event: the variant and its doc here, its
//! fold in `ui::state`, its JSON struct in `ui::json`, a snapshot of each.

use std::path::PathBuf;
use std::time::Duration;

use crate::download::{DownloadId, Failure, Proof, ProviderReceipt, Receipt, Trigger};

/// Something that happened to one download, or that the engine wants known.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The download; `None` before its record exists.
    pub id: Option<DownloadId>,
    /// What happened.
    pub what: What,
}

/// The kinds of event.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// Fact: a run owns the download and begins.
    Started {
        /// As the user typed it.
        source: String,
        /// Proved bytes that were there before this run.
        resumed_from: u64,
    },
    /// Fact: the root block is proved, so type and size are known.
    Resolved {
        /// Root CID, canonical text; `None` for a plain file.
        cid: Option<String>,
        /// Final path, absolute; `None` for standard output.
        path: Option<PathBuf>,
        /// Size in bytes of all files, where it is known already.
        size: Option<u64>,
    },
    /// Tick: work goes to this provider now.
    Provider {
        /// Base URL or path.
        url: String,
    },
    /// Tick: a provider is asked for a long answer, or for one of the first single blocks. For the
    /// story only.
    Request {
        /// Base URL or path.
        url: String,
        /// In which form.
        form: &'static str,
        /// The rung on which its bytes will be proved.
        rung: Proof,
        /// Offset in the file, of consecutive bytes.
        offset: Option<u64>,
        /// Bytes that are asked for, where that is known.
        bytes: Option<u64>,
    },
    /// Tick: an idle provider takes over what a slow one has not brought. For the story only.
    Takeover {
        /// Base URL or path of the one that helps.
        url: String,
        /// Of the slow one.
        from: String,
        /// Bytes that are missing.
        bytes: u64,
    },
    /// Tick: what a provider did in this run, told at its end. For the story only.
    Supplied {
        /// What it sent.
        sent: Box<ProviderReceipt>,
        /// Bytes per second of its long answers.
        rate: Option<f64>,
    },
    /// Tick: bytes that are here so far.
    Progress {
        /// Bytes.
        bytes: u64,
        /// Whether each of them is proved; those of a file that proves itself only at its end are
        /// not.
        is_proved: bool,
        /// Size, once known; of a directory, with what its entries claim.
        total: Option<u64>,
        /// Files done and files known, of a directory.
        files: Option<(u64, u64)>,
    },
    /// Tick: a provider failed and what the engine does about it.
    Trouble {
        /// Base URL or path.
        url: String,
        /// What it did, with causes.
        message: String,
        /// How long the engine waits before it asks this provider again; `None` if it goes on elsewhere.
        wait: Option<Duration>,
    },
    /// Fact: a provider sent bytes whose proof failed.
    Rejected {
        /// Base URL or path.
        url: String,
        /// The block that they were not.
        cid: String,
        /// Offset in the file, where the block has one.
        offset: Option<u64>,
    },
    /// Fact: everything up to here survives a power cut.
    Checkpoint {
        /// What made it due.
        trigger: Trigger,
        /// Proved and synced bytes.
        bytes: u64,
    },
    /// Tick: whole-file checks run.
    Verifying,
    /// Fact: the file has its final name, durably.
    Installed {
        /// Final path, absolute.
        path: PathBuf,
    },
    /// Something that the user should know, and that changes nothing.
    Notice {
        /// One sentence.
        message: String,
    },
    /// Fact: done.
    Finished {
        /// As the user typed it.
        source: String,
        /// What came from where.
        receipt: Box<Receipt>,
        /// Whether it was there before anybody was asked: then the receipt is of that time.
        was_there: bool,
    },
    /// Fact: ended by an error; what was proved is kept.
    Failed {
        /// As the user typed it.
        source: String,
        /// Why.
        failure: Failure,
        /// Whether `resume` can go on.
        resumable: bool,
    },
    /// Fact: paused by a person.
    Paused {
        /// As the user typed it.
        source: String,
    },
    /// Fact: cancelled by a person.
    Cancelled {
        /// As the user typed it.
        source: String,
    },
}
