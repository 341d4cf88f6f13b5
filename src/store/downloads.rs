//! The table `downloads`: making a record and reading it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, Row, named_params};

use crate::download::{Action, DownloadId, Failure, Proof, RunId, Status};
use crate::exit::ExitKind;
use crate::store::installs::{self, Looked};
use crate::store::runs::INTERRUPTED;
use crate::store::sql::{self, micros, path_value};
use crate::store::thread::Durability;
use crate::store::{Reply, Store, StoreError};

/// Characters of a CID below which a prefix names nothing.
const SHORTEST_CID_PREFIX: usize = 8;

/// What is known of a download when it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDownload {
    /// As the user typed it.
    pub source: String,
    /// Canonical text; `None` while it is not resolved, and for a plain URL.
    pub root_cid: Option<String>,
    /// Path under the root, without leading slash; empty for the root itself.
    pub content_path: String,
    /// Final path, absolute; `None` for standard output.
    pub path: Option<PathBuf>,
    /// Part of the part file's name.
    pub nonce: String,
    /// What it is, as far as known: `file`.
    pub kind: String,
    /// What `resume` needs to go on alike (gateways, limits): JSON, opaque to the store.
    pub options_json: String,
    /// The checksum that the user gave.
    pub expected_sha256: Option<[u8; 32]>,
    /// Higher is earlier.
    pub priority: i64,
    /// Whom it asks, as [`crate::download::queue::Held`] names it, if it goes into the queue.
    pub lane: Option<String>,
    /// User id of the creator, where the system has one.
    pub uid: Option<u32>,
    /// When it was asked for.
    pub created: Timestamp,
}

/// A record, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownloadRow {
    /// Its number.
    pub id: DownloadId,
    /// As the user typed it.
    pub source: String,
    /// Pinned root, canonical text.
    pub root_cid: Option<String>,
    /// Path under the root, without leading slash.
    pub content_path: String,
    /// Final path, absolute; `None` for standard output.
    pub path: Option<PathBuf>,
    /// Part of the part file's name.
    pub nonce: String,
    /// What it is, as far as known.
    pub kind: String,
    /// Where it stands.
    pub status: Status,
    /// Tries that reached a provider and brought no new byte.
    pub attempts: u32,
    /// When a run last took it.
    pub last_attempt: Option<Timestamp>,
    /// Not before this does the queue try it again.
    pub next_attempt: Option<Timestamp>,
    /// Proved and synced bytes.
    pub bytes_verified: u64,
    /// Size, once known.
    pub bytes_total: Option<u64>,
    /// Bytes received by all runs.
    pub bytes_fetched: u64,
    /// Of those, bytes thrown away.
    pub bytes_wasted: u64,
    /// How long all runs took together.
    pub elapsed: Duration,
    /// The checksum that the user gave.
    pub expected_sha256: Option<[u8; 32]>,
    /// The checksum of the finished file.
    pub sha256: Option<[u8; 32]>,
    /// The weakest rung used, once finished.
    pub proof: Option<Proof>,
    /// Why it paused or failed last.
    pub failure: Option<Failure>,
    /// As [`NewDownload::options_json`].
    pub options_json: String,
    /// Higher is earlier.
    pub priority: i64,
    /// Whom it asks, if it is in the queue.
    pub lane: Option<String>,
    /// Tries of the queue that failed in a row.
    pub queue_tries: u32,
    /// The run that may change it.
    pub owner: Option<RunId>,
    /// What another terminal asks of that run.
    pub requested: Option<Action>,
    /// When that run took it in.
    pub acknowledged: Option<Timestamp>,
    /// User id of the creator.
    pub uid: Option<u32>,
    /// When it was asked for.
    pub created: Timestamp,
    /// When a run first took it.
    pub started: Option<Timestamp>,
    /// When anything of it last changed.
    pub updated: Timestamp,
    /// When it ended.
    pub completed: Option<Timestamp>,
    /// The receipt of a finished download: JSON, opaque to the store.
    pub receipt_json: Option<String>,
}

impl DownloadRow {
    /// Whether a person paused it, which `resume --all` respects.
    pub fn paused_by_person(&self) -> bool {
        let stopped = |failure: &Failure| failure.kind == ExitKind::Stopped;
        self.status == Status::Paused && self.failure.as_ref().is_some_and(stopped)
    }

    /// Whether the process that worked on it died: nothing was kept but what a checkpoint had.
    pub fn was_interrupted(&self) -> bool {
        let died =
            |why: &Failure| (why.kind, why.message.as_str()) == (ExitKind::Retry, INTERRUPTED);
        self.status.is_unfinished() && self.failure.as_ref().is_some_and(died)
    }

    /// Until when the queue leaves it alone; `None` if it is due, or does not wait at all. A wait
    /// that was written in the future is none, as for [`crate::store::Clock`].
    pub fn waits_until(&self, now: Timestamp) -> Option<Timestamp> {
        let waits = self.status == Status::Pending && self.updated <= now;
        self.next_attempt.filter(|&until| waits && until > now)
    }

    /// Whether its part may be a directory, as far as is known of what it is.
    pub fn may_be_tree(&self) -> bool {
        !matches!(self.kind.as_str(), "file" | "symlink")
    }
}

/// The query of [`Store::finished_below`]. Without the signs SQLite would look at every finished
/// download that there is.
pub(super) const FINISHED_BELOW: &str = "SELECT * FROM mine
    WHERE path >= ?1 AND path < ?2 AND +status = 'success' ORDER BY +id";

impl Store {
    /// Records a download: `pending`, or if `run` is given at once `in_progress` and owned by it.
    ///
    /// # Errors
    /// [`StoreError::ActiveExists`] if an unfinished download has the same path on disk.
    pub fn create_download(&self, new: NewDownload, run: Option<RunId>) -> Reply<DownloadId> {
        self.write(Durability::Power, move |tx| {
            refuse_second(tx, new.path.as_deref(), None)?;
            insert(tx, &new, run)
        })
    }

    /// The same for a run that owns it at once, unless a download to that path has finished since
    /// somebody `looked`: then what is wanted may be there by now. The record as it is made.
    ///
    /// # Errors
    /// As [`Store::create_download`], and [`StoreError::DoneMeanwhile`].
    pub fn create_download_since(
        &self,
        looked: Looked,
        new: NewDownload,
        run: RunId,
    ) -> Reply<DownloadRow> {
        self.write(Durability::Power, move |tx| {
            refuse_second(tx, new.path.as_deref(), None)?;
            if installs::look(tx, new.path.as_deref())? != looked {
                return Err(StoreError::DoneMeanwhile);
            }
            let id = insert(tx, &new, Some(run))?;
            by_id(tx, id)?.ok_or(StoreError::NotFound { id })
        })
    }

    /// The record of `id`.
    pub fn download(&self, id: DownloadId) -> Reply<Option<DownloadRow>> {
        self.read(move |tx| Ok(by_id(tx, id)?))
    }

    /// Every download with this path on disk, newest first.
    pub fn find_by_path(&self, path: &Path) -> Reply<Vec<DownloadId>> {
        let path = path_value(path);
        self.read(move |tx| {
            let statement = "SELECT id FROM mine WHERE path = ?1 ORDER BY id DESC";
            Ok(sql::all(tx, statement, [path], |row| {
                sql::download_id(row, "id")
            })?)
        })
    }

    /// Every finished download to below this directory, oldest first.
    pub fn finished_below(&self, dir: &Path) -> Reply<Vec<DownloadRow>> {
        let range = sql::below(dir);
        self.read(move |tx| Ok(sql::all(tx, FINISHED_BELOW, range, read)?))
    }

    /// Every download whose root CID is this text or begins with it, newest first. Fewer than 8
    /// characters find nothing.
    pub fn find_by_cid(&self, prefix: &str) -> Reply<Vec<DownloadId>> {
        let prefix = prefix.to_owned();
        self.read(move |tx| {
            if prefix.len() < SHORTEST_CID_PREFIX {
                return Ok(Vec::new());
            }
            // CIDs are ASCII, so `~` sorts behind every continuation.
            let statement = "SELECT id FROM mine
                             WHERE root_cid >= ?1 AND root_cid < ?1 || '~' ORDER BY id DESC";
            Ok(sql::all(tx, statement, [prefix], |row| {
                sql::download_id(row, "id")
            })?)
        })
    }

    /// The newest failed download of this content to this path on disk, or where nobody knows what
    /// content that is, of this source: a new wish for the same reopens it.
    pub fn failed_at(
        &self,
        path: &Path,
        root_cid: Option<&str>,
        content_path: &str,
        source: &str,
    ) -> Reply<Option<DownloadId>> {
        let (path, root_cid) = (path_value(path), root_cid.map(str::to_owned));
        let (content_path, source) = (content_path.to_owned(), source.to_owned());
        self.read(move |tx| {
            let statement = "SELECT id FROM mine WHERE path = ?1 AND status = 'failed'
                             AND +root_cid IS ?2 AND content_path = ?3
                             AND (?2 IS NOT NULL OR source = ?4) ORDER BY id DESC LIMIT 1";
            let wanted = (path, root_cid, content_path, source);
            Ok(sql::first(tx, statement, wanted, |row| {
                sql::download_id(row, "id")
            })?)
        })
    }

    /// The unfinished download with this path on disk; there is at most one.
    pub fn unfinished_at(&self, path: &Path) -> Reply<Option<DownloadId>> {
        let path = path.to_owned();
        self.read(move |tx| Ok(unfinished_at(tx, &path)?))
    }
}

/// The record of `id`.
pub(super) fn by_id(tx: &Connection, id: DownloadId) -> rusqlite::Result<Option<DownloadRow>> {
    sql::first(tx, "SELECT * FROM mine WHERE id = ?1", [id.get()], read)
}

/// The status of `id`.
pub(super) fn status(tx: &Connection, id: DownloadId) -> Result<Status, StoreError> {
    sql::first(
        tx,
        "SELECT status FROM mine WHERE id = ?1",
        [id.get()],
        read_status,
    )?
    .ok_or(StoreError::NotFound { id })
}

/// Fails if an unfinished download other than `except` has this path on disk. The unique index
/// says the same; this says which download it is, whoever's.
pub(super) fn refuse_second(
    tx: &Connection,
    path: Option<&Path>,
    except: Option<DownloadId>,
) -> Result<(), StoreError> {
    let Some(path) = path else {
        return Ok(());
    };
    match unfinished_at(tx, path)? {
        Some(id) if Some(id) != except => Err(StoreError::ActiveExists { id }),
        _ => Ok(()),
    }
}

pub(super) fn unfinished_at(tx: &Connection, path: &Path) -> rusqlite::Result<Option<DownloadId>> {
    let statement = "SELECT id FROM downloads WHERE path = ?1
                     AND status IN ('pending', 'in_progress', 'resuming', 'verifying', 'installing', 'paused')";
    sql::first(tx, statement, [path_value(path)], |row| {
        sql::download_id(row, "id")
    })
}

/// Writes a new row.
pub(super) fn insert(
    tx: &Connection,
    new: &NewDownload,
    run: Option<RunId>,
) -> Result<DownloadId, StoreError> {
    let status = if run.is_some() {
        Status::InProgress
    } else {
        Status::Pending
    };
    let started = run.map(|_| micros(new.created));
    let id = sql::first(
        tx,
        "INSERT INTO downloads (status, kind, source, root_cid, content_path, path, nonce, options,
                                expected_sha256, priority, queue_lane, owner_run, owner_uid,
                                created_at, updated_at, started_at, last_attempt_at)
         VALUES (:status, :kind, :source, :root_cid, :content_path, :path, :nonce, :options,
                 :expected_sha256, :priority, :lane, :owner_run, :uid, :created, :created, :started, :started)
         RETURNING id",
        named_params! {
            ":status": status.name(),
            ":kind": new.kind,
            ":source": new.source,
            ":root_cid": new.root_cid,
            ":content_path": new.content_path,
            ":path": new.path.as_deref().map(path_value),
            ":nonce": new.nonce,
            ":options": new.options_json,
            ":expected_sha256": new.expected_sha256,
            ":priority": new.priority,
            ":lane": new.lane,
            ":owner_run": run.map(|run| run.0),
            ":uid": new.uid,
            ":created": micros(new.created),
            ":started": started,
        },
        |row| sql::download_id(row, "id"),
    )?;
    Ok(sql::required(id, "id")?)
}

/// The status column of a row.
pub(super) fn read_status(row: &Row<'_>) -> rusqlite::Result<Status> {
    sql::required(sql::parsed(row, "status", Status::from_name)?, "status")
}

/// A whole row of `downloads`.
pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<DownloadRow> {
    Ok(DownloadRow {
        id: sql::download_id(row, "id")?,
        source: row.get("source")?,
        root_cid: row.get("root_cid")?,
        content_path: row.get("content_path")?,
        path: sql::optional_path(row, "path")?,
        nonce: row.get("nonce")?,
        kind: row.get("kind")?,
        status: read_status(row)?,
        attempts: row.get("attempts")?,
        last_attempt: sql::optional_time(row, "last_attempt_at")?,
        next_attempt: sql::optional_time(row, "next_attempt_at")?,
        bytes_verified: sql::size(row, "bytes_verified")?,
        bytes_total: sql::optional_size(row, "bytes_total")?,
        bytes_fetched: sql::size(row, "bytes_fetched")?,
        bytes_wasted: sql::size(row, "bytes_wasted")?,
        elapsed: Duration::from_micros(sql::size(row, "elapsed_us")?),
        expected_sha256: sql::digest(row, "expected_sha256")?,
        sha256: sql::digest(row, "sha256")?,
        proof: sql::parsed(row, "proof", Proof::from_name)?,
        failure: read_failure(row)?,
        options_json: row.get("options")?,
        priority: row.get("priority")?,
        lane: row.get("queue_lane")?,
        queue_tries: row.get("queue_tries")?,
        owner: sql::run_id(row, "owner_run")?,
        requested: sql::parsed(row, "requested_action", Action::from_name)?,
        acknowledged: sql::optional_time(row, "acknowledged_at")?,
        uid: row.get("owner_uid")?,
        created: sql::time(row, "created_at")?,
        started: sql::optional_time(row, "started_at")?,
        updated: sql::time(row, "updated_at")?,
        completed: sql::optional_time(row, "completed_at")?,
        receipt_json: row.get("receipt")?,
    })
}

fn read_failure(row: &Row<'_>) -> rusqlite::Result<Option<Failure>> {
    let Some(kind) = sql::parsed(row, "error_kind", ExitKind::from_record_name)? else {
        return Ok(None);
    };
    Ok(Some(Failure {
        kind,
        message: row
            .get::<_, Option<String>>("error_message")?
            .unwrap_or_default(),
        hint: row.get("error_hint")?,
    }))
}
