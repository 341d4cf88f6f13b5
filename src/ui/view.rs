//! Records as the output shows them: plain rows, filled by the commands, read by nobody else.
//!
//! Field names and their order are what `--json` prints; [`table`](crate::ui::table) shows the
//! same rows to people. Absent is `null`.

use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use crate::content::hash::hex;
use crate::download::{DownloadId, Failure, Proof, ProviderReceipt, Receipt, Status, Trigger};
use crate::ui::human::Time;

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
    /// When the queue takes it up again.
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

/// What a directory holds: the document of `ls`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListingView {
    /// What was listed.
    pub cid: String,
    /// By name; what is no directory is its own only entry.
    pub entries: Vec<NamedView>,
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

/// A CAR that was written: the document of `export`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExportedView {
    /// The download.
    #[serde(serialize_with = "id")]
    pub id: DownloadId,
    /// The root in its header.
    pub cid: String,
    /// Where it is, absolute.
    #[serde(serialize_with = "path")]
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256, lower-case hexadecimal.
    pub sha256: String,
    /// Blocks in it.
    pub blocks: u64,
    /// Blocks that are known to belong to it and are not here.
    pub missing: u64,
    /// Whether nothing is missing.
    pub complete: bool,
}

/// What was taken from a CAR: the document of `import`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ImportView {
    /// The CAR, absolute.
    #[serde(serialize_with = "path")]
    pub car: PathBuf,
    /// One for each root.
    pub imported: Vec<ImportedView>,
}

/// A root of a CAR, in `import`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ImportedView {
    /// The root.
    pub cid: String,
    /// Its download as it is now; `null` if there is none.
    pub download: Option<DownloadView>,
    /// Why there is none; `null` where a signal came first.
    pub error: Option<ErrorView>,
}

impl ImportedView {
    /// A root of which nothing is known yet.
    pub fn of(cid: &str) -> Self {
        Self {
            cid: cid.to_owned(),
            download: None,
            error: None,
        }
    }
}

/// What a file or tree on disk is called: the document of `cid`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CidsView {
    /// Where it is, absolute; `null` for standard input.
    #[serde(serialize_with = "path_or_null")]
    pub path: Option<PathBuf>,
    /// Bytes of the file, or of all files of the tree.
    pub size: u64,
    /// SHA-256 of a file, lower-case hexadecimal; `null` for a tree.
    pub sha256: Option<String>,
    /// One for each profile.
    pub cids: Vec<ProfileCidView>,
}

/// What was proved of a file or tree on disk: the document of `verify`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VerifiedView {
    /// Where it is, absolute.
    #[serde(serialize_with = "path")]
    pub path: PathBuf,
    /// What it should be; `null` for a file that has no CID.
    pub cid: Option<String>,
    /// Whether everything that belongs there is there, and right.
    pub ok: bool,
    /// Bytes that were read and hashed.
    pub checked_bytes: u64,
    /// What is wrong, adjoining leaves as one range.
    pub bad: Vec<BadView>,
    /// What is not there, absolute; of a directory only itself.
    #[serde(serialize_with = "paths")]
    pub missing: Vec<PathBuf>,
    /// What is there besides, absolute; of a directory only itself.
    #[serde(serialize_with = "paths")]
    pub extra: Vec<PathBuf>,
    /// What nobody can tell, as nodes are lacking; absolute.
    #[serde(serialize_with = "paths")]
    pub unproved: Vec<PathBuf>,
    /// The weakest proof, if all is right.
    #[serde(serialize_with = "proof_or_null")]
    pub proof: Option<Proof>,
    /// Files and links that are right.
    pub files: u64,
    /// Seconds that it took.
    #[serde(serialize_with = "seconds")]
    pub elapsed: f64,
    /// Why it could not be looked at.
    pub error: Option<ErrorView>,
}

/// A wrong range of a file, in `verify`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BadView {
    /// The file, absolute.
    #[serde(serialize_with = "path")]
    pub path: PathBuf,
    /// Where it begins.
    pub offset: u64,
    /// Bytes of it.
    pub length: u64,
    /// What is wrong, in words.
    pub what: String,
}

/// What was mended on disk: the document of `repair`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RepairedView {
    /// Where it is, absolute.
    #[serde(serialize_with = "path")]
    pub path: PathBuf,
    /// What it should be; `null` for a file that has no CID.
    pub cid: Option<String>,
    /// Whether all of it is right now.
    pub ok: bool,
    /// Bytes that were read and hashed to find out.
    pub checked_bytes: u64,
    /// Bytes received.
    pub bytes_fetched: u64,
    /// What was wrong or missing and is right now, absolute.
    #[serde(serialize_with = "paths")]
    pub repaired: Vec<PathBuf>,
    /// What is still wrong or missing, absolute.
    #[serde(serialize_with = "paths")]
    pub failed: Vec<PathBuf>,
    /// What is there besides, absolute.
    #[serde(serialize_with = "paths")]
    pub extra: Vec<PathBuf>,
    /// Seconds that it took.
    #[serde(serialize_with = "seconds")]
    pub elapsed: f64,
}

/// All that the ledger knows: the document of `verify --all`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AllVerifiedView {
    /// Whether all of it is right.
    pub ok: bool,
    /// In the order of the paths.
    pub verified: Vec<VerifiedView>,
}

/// A CID under a profile, in `cid`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProfileCidView {
    /// Name of the profile.
    pub profile: &'static str,
    /// `null` where the profile cannot hold so much.
    pub cid: Option<String>,
}

/// An entry of a directory, in `ls`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NamedView {
    /// Its name.
    pub name: String,
    /// What it names.
    pub cid: String,
    /// `file`, `directory`, `symlink`; `unknown` if nobody has the block that would say it.
    pub kind: &'static str,
    /// Size in bytes, of a file or a link.
    pub size: Option<u64>,
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

/// What a receipt says beside which download it is of.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReceiptFacts {
    /// Root CID.
    pub cid: Option<String>,
    /// Final path on disk, absolute.
    #[serde(serialize_with = "path")]
    pub path: PathBuf,
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
    /// Seconds that the last run took.
    pub elapsed: f64,
    /// Who sent what.
    pub providers: Vec<ProviderView>,
}

/// A gateway, in `gateways list`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GatewayView {
    /// Base URL as given, without a trailing slash.
    pub url: String,
    /// `default`, `config`, `user` or `discovered`.
    pub origin: String,
    /// Whether it may be used.
    pub enabled: bool,
    /// How it is.
    pub state: GatewayState,
    /// Until when it cools down; since when it is retired.
    pub until: Option<Time>,
    /// Why it is in this state.
    pub reason: Option<String>,
    /// Requests sent.
    pub requests: u64,
    /// Proved bytes that it sent.
    pub bytes: u64,
    /// Answers that failed.
    pub errors: u64,
    /// Blocks or leaves whose proof failed.
    pub rejected: u64,
    /// What it can do.
    pub capabilities: CapabilitiesView,
    /// Seconds to the first byte.
    pub latency: Option<f64>,
    /// Bytes per second.
    pub throughput: Option<f64>,
}

/// How a gateway is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GatewayState {
    /// It answers.
    Ok,
    /// It is left alone for a while.
    Cooling,
    /// It is gone for good.
    Retired,
    /// The user does not want it.
    Disabled,
    /// It has not been asked yet.
    Unknown,
}

impl GatewayState {
    /// The stable name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            GatewayState::Ok => "ok",
            GatewayState::Cooling => "cooling",
            GatewayState::Retired => "retired",
            GatewayState::Disabled => "disabled",
            GatewayState::Unknown => "unknown",
        }
    }
}

/// What a gateway is known to honour; `None` is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct CapabilitiesView {
    /// Raw blocks.
    pub raw: Option<bool>,
    /// CARs.
    pub car: Option<bool>,
    /// `entity-bytes` in a request for a CAR.
    pub entity_bytes: Option<bool>,
    /// `Range` on plain bytes.
    pub range: Option<bool>,
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

/// The document of `gateways list`.
#[derive(Debug, Serialize)]
pub struct GatewayList<'a> {
    /// In the order they are asked.
    pub gateways: &'a [GatewayView],
}

/// A gateway, in `gateways check`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckedView {
    /// What is known of it by now.
    #[serde(flatten)]
    pub gateway: GatewayView,
    /// Why it cannot be used; null where it can.
    pub error: Option<String>,
    /// What is strange about it all the same.
    pub notes: Vec<String>,
}

/// The document of `gateways check`.
#[derive(Debug, Serialize)]
pub struct CheckedList<'a> {
    /// In the order they were asked for.
    pub gateways: &'a [CheckedView],
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

impl From<&Receipt> for ReceiptFacts {
    fn from(receipt: &Receipt) -> Self {
        Self {
            cid: receipt.cid.clone(),
            path: receipt.path.clone(),
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

/// A path as JSON can hold it: what is not Unicode becomes U+FFFD.
pub fn lossy(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// An entry of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EntryView {
    /// What is typed behind the `@`.
    pub name: String,
    /// Where it comes from.
    pub source: String,
    /// Size in bytes.
    pub size: Option<u64>,
    /// SHA-256 of the file, lower-case hexadecimal.
    pub sha256: Option<String>,
    /// What it is, in the user's words.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Least memory that using it takes, in bytes.
    pub memory: Option<u64>,
    /// Its licence.
    pub licence: Option<String>,
    /// Anything else.
    pub note: Option<String>,
}

/// The document of `catalog list`.
#[derive(Debug, Serialize)]
pub struct CatalogView<'a> {
    /// In the order of the file.
    pub entries: &'a [EntryView],
}

/// The document of `catalog show` and `catalog add`.
#[derive(Debug, Serialize)]
pub struct EntryShown<'a> {
    /// The entry.
    pub entry: &'a EntryView,
}

/// The document of `catalog remove`.
#[derive(Debug, Serialize)]
pub struct RemovedView<'a> {
    /// Names.
    pub removed: &'a [String],
}

/// The document of `catalog recommend`.
#[derive(Debug, Serialize)]
pub struct RecommendedView<'a> {
    /// `null` if nothing fits.
    pub recommended: Option<&'a EntryView>,
    /// Bytes of memory to fit into.
    pub memory: u64,
    /// Why this one, or none.
    pub reason: &'a str,
}

/// What became of an entry of a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It was in place already.
    Kept,
    /// It is new.
    Fetched,
    /// It had changed on disk, or was gone, and is as it was.
    Repaired,
    /// The manifest asks for something else there than before.
    Replaced,
    /// It is not in place.
    Failed,
}

impl Fate {
    /// Every fate, in the order of a summary.
    pub const ALL: [Fate; 5] = [
        Fate::Fetched,
        Fate::Repaired,
        Fate::Replaced,
        Fate::Kept,
        Fate::Failed,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Fate::Kept => "kept",
            Fate::Fetched => "fetched",
            Fate::Repaired => "repaired",
            Fate::Replaced => "replaced",
            Fate::Failed => "failed",
        }
    }
}

/// An entry of a manifest, in the table of `sync`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncedView {
    /// What became of it.
    pub fate: Fate,
    /// Where it goes, as the manifest has it.
    pub target: String,
    /// Bytes, of what is in place.
    pub size: Option<u64>,
    /// Why, where there is more to say.
    pub note: Option<String>,
}

/// Seconds, without digits that mean nothing.
pub fn millis(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

fn id<S: Serializer>(id: &DownloadId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(id.get())
}

fn path<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

fn path_or_null<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    path.as_deref().map(lossy).serialize(serializer)
}

fn paths<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(paths.iter().map(|path| lossy(path)))
}

fn seconds<S: Serializer>(seconds: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(millis(*seconds))
}

fn status<S: Serializer>(status: &Status, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(status.name())
}

fn proof_or_null<S: Serializer>(proof: &Option<Proof>, serializer: S) -> Result<S::Ok, S::Error> {
    proof.map(Proof::name).serialize(serializer)
}

fn trigger<S: Serializer>(trigger: &Trigger, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(trigger.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::json;
    use crate::ui::samples::{checked_rows, detail, gateway, view};

    #[test]
    fn documents_have_the_fields_that_scripts_rely_on() {
        let rows = [view(3, "model.bin", Status::InProgress)];
        let list = json::document(&DownloadList { downloads: &rows }).unwrap();
        insta::assert_snapshot!(list, @r#"{"v":1,"downloads":[{"id":3,"source":"bafy/a","cid":"bafy","content_path":"a","path":"/data/model.bin","kind":"file","status":"in_progress","bytes_verified":492830720,"bytes_total":1073741824,"sha256":null,"proof":"blocks","attempts":1,"error":null,"priority":0,"next_attempt_at":null,"created_at":"2023-11-14T22:13:20Z","updated_at":"2023-11-14T22:14:20Z","completed_at":null}]}"#);
        let shown = json::document(&DownloadShown {
            download: &detail(),
        })
        .unwrap();
        insta::assert_snapshot!(shown, @r#"{"v":1,"download":{"id":12,"source":"bafy/a","cid":"bafy","content_path":"a","path":"/data/a-rather-long-model-name-q4_k_m.gguf","kind":"file","status":"paused","bytes_verified":492830720,"bytes_total":1073741824,"sha256":null,"proof":"blocks","attempts":1,"error":{"kind":"retry","message":"every provider is unreachable: connection refused","hint":"fetchd resume 12"},"priority":0,"next_attempt_at":null,"created_at":"2023-11-14T22:13:20Z","updated_at":"2023-11-14T22:14:20Z","completed_at":null,"files":[{"path":"a","kind":"file","cid":null,"size":1073741824,"bytes_verified":492830720,"done":false}],"providers":[{"url":"http://a","bytes":492830720,"wasted":0,"requests":3,"errors":1,"rejected":0,"rungs":["blocks"]}],"checkpoints":[{"id":9,"trigger":"stop","bytes":492830720,"state_hash":"5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a","status":"completed","created_at":"2023-11-14T22:13:20.250Z","completed_at":"2023-11-14T22:13:20.260Z"}],"receipt":null,"owner":{"run":4,"pid":99,"host":null,"heartbeat_at":null}}}"#);
        let gateways = [gateway("http://a", GatewayState::Ok)];
        let list = json::document(&GatewayList {
            gateways: &gateways,
        })
        .unwrap();
        insta::assert_snapshot!(list, @r#"{"v":1,"gateways":[{"url":"http://a","origin":"default","enabled":true,"state":"ok","until":null,"reason":null,"requests":12,"bytes":5242880,"errors":1,"rejected":0,"capabilities":{"raw":true,"car":false,"entity_bytes":null,"range":true},"latency":0.02,"throughput":12897485.0}]}"#);
        let checked = checked_rows();
        let list = json::document(&CheckedList { gateways: &checked }).unwrap();
        insta::assert_snapshot!(list, @r#"{"v":1,"gateways":[{"url":"http://127.0.0.1:8080","origin":"default","enabled":true,"state":"ok","until":null,"reason":null,"requests":12,"bytes":5242880,"errors":1,"rejected":0,"capabilities":{"raw":true,"car":false,"entity_bytes":null,"range":true},"latency":0.02,"throughput":12897485.0,"error":null,"notes":["its clock is 2 h behind ours"]},{"url":"https://gateway.example","origin":"default","enabled":true,"state":"unknown","until":null,"reason":null,"requests":12,"bytes":5242880,"errors":1,"rejected":0,"capabilities":{"raw":null,"car":null,"entity_bytes":null,"range":null},"latency":null,"throughput":12897485.0,"error":"no connection: connection refused","notes":[]}]}"#);
    }
}
