//! Downloads and what belongs to them: `list`, `show`, `history`, `prune`, `get --dry-run`, receipts.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::content::hash::hex;
use crate::download::{DownloadId, Failure, Proof, ProviderReceipt, Receipt, Status, Trigger};
use crate::ui::human::Time;
use crate::ui::view::gateway::CapabilitiesView;
use crate::ui::view::{id, millis, path_or_null, paths, proof_or_null, status, trigger};

/// A download, in `list` and `show`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DownloadView {
    /// Its number.
    #[serde(serialize_with = "id")]
    pub id: DownloadId,
    /// As the user typed it.
    pub source: String,
    /// Root CID, once resolved.
    pub cid: Option<String>,
    /// Path under the CID.
    pub content_path: Option<String>,
    /// Final path on disk, absolute.
    #[serde(serialize_with = "path_or_null")]
    pub path: Option<PathBuf>,
    /// `file`, `directory`, `symlink`, or `car` where the blocks are saved.
    pub kind: Option<String>,
    /// Where it stands.
    #[serde(serialize_with = "status")]
    pub status: Status,
    /// Proved bytes.
    pub bytes_verified: u64,
    /// Size, once known.
    pub bytes_total: Option<u64>,
    /// SHA-256 of the whole file, lower-case hexadecimal.
    pub sha256: Option<String>,
    /// The weakest rung used.
    #[serde(serialize_with = "proof_or_null")]
    pub proof: Option<Proof>,
    /// Tries that reached a provider and brought no byte.
    pub attempts: u32,
    /// Why it paused or failed.
    pub error: Option<ErrorView>,
    /// Higher goes first.
    pub priority: i64,
    /// When the queue takes it up again, if that waits.
    pub next_attempt_at: Option<Time>,
    /// When it was asked for.
    pub created_at: Time,
    /// When its record changed last.
    pub updated_at: Time,
    /// When it ended.
    pub completed_at: Option<Time>,
}

/// What the record keeps of an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorView {
    /// Name of the kind.
    pub kind: &'static str,
    /// What happened.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl From<&Failure> for ErrorView {
    fn from(failure: &Failure) -> Self {
        Self {
            kind: failure.kind.name(),
            message: failure.message.clone(),
            hint: failure.hint.clone(),
        }
    }
}

/// A download with all that belongs to it, in `show`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DownloadDetail {
    /// The download.
    #[serde(flatten)]
    pub download: DownloadView,
    /// Its files.
    pub files: Vec<FileView>,
    /// Who sent what.
    pub providers: Vec<ProviderView>,
    /// What survives a power cut.
    pub checkpoints: Vec<CheckpointView>,
    /// What it can show for itself once finished.
    pub receipt: Option<ReceiptView>,
    /// Who works on it.
    pub owner: Option<OwnerView>,
}

/// A file of a download, or another entry of its tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileView {
    /// Path below the download's own; empty if the download is one file.
    pub path: String,
    /// `file`, `directory`, `symlink`, or `unknown` as long as its root is.
    pub kind: &'static str,
    /// Its CID.
    pub cid: Option<String>,
    /// Size, once known.
    pub size: Option<u64>,
    /// Proved bytes.
    pub bytes_verified: u64,
    /// Whether it is complete.
    pub done: bool,
}

/// A provider's line in a receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProviderView {
    /// Base URL as given, without a trailing slash.
    pub url: String,
    /// Proved bytes kept.
    pub bytes: u64,
    /// Bytes thrown away.
    pub wasted: u64,
    /// Requests sent.
    pub requests: u64,
    /// Answers that failed.
    pub errors: u64,
    /// Blocks or leaves whose proof failed.
    pub rejected: u64,
    /// How its bytes were proved.
    pub rungs: Vec<&'static str>,
}

impl From<&ProviderReceipt> for ProviderView {
    fn from(receipt: &ProviderReceipt) -> Self {
        Self {
            url: receipt.url.clone(),
            bytes: receipt.bytes,
            wasted: receipt.wasted,
            requests: receipt.requests,
            errors: receipt.errors,
            rejected: receipt.rejected,
            rungs: receipt.rungs.iter().map(|proof| proof.name()).collect(),
        }
    }
}

/// A checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckpointView {
    /// Its number.
    pub id: i64,
    /// What made it due.
    #[serde(serialize_with = "trigger")]
    pub trigger: Trigger,
    /// Proved and synced bytes.
    pub bytes: u64,
    /// BLAKE3 of the state that it records: no two in a row are the same.
    pub state_hash: String,
    /// `in_progress` or `completed`: only what is completed is believed.
    pub status: &'static str,
    /// When it was begun.
    pub created_at: Time,
    /// When it was durable.
    pub completed_at: Option<Time>,
}

/// The invocation that owns a download.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OwnerView {
    /// Number of the run.
    pub run: i64,
    /// Its process.
    pub pid: u32,
    /// Its host.
    pub host: Option<String>,
    /// When it last showed signs of life.
    pub heartbeat_at: Option<Time>,
}

/// The receipt of a finished download.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReceiptView {
    /// The download.
    #[serde(serialize_with = "id")]
    pub id: DownloadId,
    /// As the user typed it.
    pub source: String,
    /// The rest.
    #[serde(flatten)]
    pub facts: ReceiptFacts,
}

impl ReceiptView {
    /// The receipt of this download.
    pub fn new(id: DownloadId, source: &str, receipt: &Receipt) -> Self {
        Self {
            id,
            source: source.to_owned(),
            facts: ReceiptFacts::from(receipt),
        }
    }
}

/// What a receipt says beside which download it is of.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReceiptFacts {
    /// Root CID.
    pub cid: Option<String>,
    /// Final path on disk, absolute; `null` for standard output.
    #[serde(serialize_with = "path_or_null")]
    pub path: Option<PathBuf>,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of the whole file, lower-case hexadecimal.
    pub sha256: Option<String>,
    /// The weakest rung used.
    pub proof: &'static str,
    /// Bytes received by all runs.
    pub bytes_fetched: u64,
    /// Of those, bytes thrown away.
    pub bytes_wasted: u64,
    /// Proved bytes that were there before the last run.
    pub resumed_from: u64,
    /// Seconds that all runs took together.
    pub elapsed: f64,
    /// Who sent what.
    pub providers: Vec<ProviderView>,
}

impl From<&Receipt> for ReceiptFacts {
    fn from(receipt: &Receipt) -> Self {
        Self {
            cid: receipt.cid.clone(),
            path: Some(receipt.path.clone()).filter(|path| path != Path::new("-")),
            size: receipt.size,
            sha256: receipt.sha256.map(|sum| hex(&sum)),
            proof: receipt.proof.name(),
            bytes_fetched: receipt.bytes_fetched,
            bytes_wasted: receipt.bytes_wasted,
            resumed_from: receipt.resumed_from,
            elapsed: millis(receipt.elapsed),
            providers: receipt.providers.iter().map(ProviderView::from).collect(),
        }
    }
}

/// One thing that a provider was asked for, in `history`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AttemptView {
    /// Its number.
    pub id: i64,
    /// For which download.
    #[serde(serialize_with = "id")]
    pub download: DownloadId,
    /// By which run.
    pub run: i64,
    /// Base URL or path.
    pub provider: String,
    /// In which form.
    pub request: String,
    /// Offset in the file, where the request has one.
    pub offset: Option<u64>,
    /// Bytes received.
    pub bytes: u64,
    /// `ok`, or what went wrong.
    pub outcome: String,
    /// When it began.
    pub started_at: Time,
    /// When it ended.
    pub ended_at: Time,
}

/// The document of `list`.
#[derive(Debug, Serialize)]
pub struct DownloadList<'a> {
    /// In the order asked for.
    pub downloads: &'a [DownloadView],
}

/// The document of `show`.
#[derive(Debug, Serialize)]
pub struct DownloadShown<'a> {
    /// With everything.
    pub download: &'a DownloadDetail,
}

/// The document of `history`.
#[derive(Debug, Serialize)]
pub struct AttemptList<'a> {
    /// Newest first.
    pub attempts: &'a [AttemptView],
}

/// The document of `prune`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PruneView {
    /// Whether nothing was done.
    pub dry_run: bool,
    /// Numbers of the downloads that are forgotten.
    pub forgotten: Vec<i64>,
    /// Part files that are removed.
    #[serde(serialize_with = "paths")]
    pub parts: Vec<PathBuf>,
    /// Rows of history that are dropped, where that was looked at.
    pub history: Option<u64>,
}

/// What would be done with a source: the event of `get --dry-run`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlanView {
    /// As the user typed it.
    pub source: String,
    /// Where the way begins; `null` for a plain file.
    pub cid: Option<String>,
    /// Path under the CID.
    pub content_path: Option<String>,
    /// What the path means.
    pub content_cid: Option<String>,
    /// Where it would go, absolute; `null` for standard output.
    #[serde(serialize_with = "path_or_null")]
    pub path: Option<PathBuf>,
    /// `file`, `directory` or `symlink`.
    pub kind: &'static str,
    /// Size in bytes, of a file.
    pub size: Option<u64>,
    /// Of a directory, what its entries claim to hold.
    pub claimed: Option<u64>,
    /// Of a directory, how many names it has.
    pub entries: Option<u64>,
    /// `fetch`, `resume`, or `none` if it is in place.
    pub action: &'static str,
    /// Who would be asked, in this order.
    pub providers: Vec<PlannedProviderView>,
}

/// A provider that would be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedProviderView {
    /// Base URL or path.
    pub url: String,
    /// What it can do.
    pub capabilities: CapabilitiesView,
}
