//! The table `runs`: which invocations own work, and what becomes of the work of dead ones.
//!
//! Which runs are dead the caller decides, by their lock files; this module only records it.

use jiff::Timestamp;
use rusqlite::{Connection, Row, named_params};

use crate::download::{Action, DownloadId, RunId, Status};
use crate::exit::ExitKind;
use crate::store::downloads::{self, DownloadRow};
use crate::store::lease::{self, Ending};
use crate::store::sql::{self, micros};
use crate::store::thread::Durability;
use crate::store::{Reply, Store, StoreError, open};

/// Why the work of a dead run is paused.
pub(super) const INTERRUPTED: &str = "interrupted";

/// What tells one invocation from another, for people and for systems without locks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunInfo {
    /// Process id.
    pub pid: u32,
    /// Start time of the process, in the system's own unit.
    pub start_time: Option<u64>,
    /// Id of the boot.
    pub boot_id: Option<String>,
    /// Name of the host.
    pub host: Option<String>,
    /// User id.
    pub uid: Option<u32>,
    /// When it began.
    pub started: Timestamp,
}

/// A run that has not ended: alive, or dead and not yet reaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRow {
    /// Its number.
    pub id: RunId,
    /// What is known of its process.
    pub info: RunInfo,
    /// When it last said that it lives.
    pub heartbeat: Timestamp,
}

/// A download that a dead run was working on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interrupted {
    /// Where it stood: for `installing`, the target may prove that the rename happened.
    pub was: Status,
    /// What its owner had said that it would do.
    pub asked: Option<Action>,
    /// The record as it is now: paused, given up, or back in the queue.
    pub download: DownloadRow,
}

impl Store {
    /// Records an invocation that is going to own work.
    pub fn begin_run(&self, info: RunInfo) -> Reply<RunId> {
        self.write(Durability::Process, move |tx| {
            let id = sql::first(
                tx,
                "INSERT INTO runs (pid, start_time, boot_id, host, uid, started_at, heartbeat_at)
                 VALUES (:pid, :start_time, :boot_id, :host, :uid, :started, :started) RETURNING id",
                named_params! {
                    ":pid": info.pid,
                    ":start_time": info.start_time.map(sql::int),
                    ":boot_id": info.boot_id,
                    ":host": info.host,
                    ":uid": info.uid,
                    ":started": micros(info.started),
                },
                |row| sql::run_id(row, "id"),
            )?;
            Ok(sql::required(id.flatten(), "id")?)
        })
    }

    /// Says that a run lives; `false` if it was declared dead.
    pub fn heartbeat(&self, run: RunId, now: Timestamp) -> Reply<bool> {
        self.write(Durability::Process, move |tx| {
            let statement = "UPDATE runs SET heartbeat_at = ?2 WHERE id = ?1 AND ended_at IS NULL";
            Ok(sql::execute(tx, statement, (run.0, micros(now)))? == 1)
        })
    }

    /// Records that a run has ended. It should have ended its work before; what it still owns
    /// anybody may claim.
    pub fn end_run(&self, run: RunId, now: Timestamp) -> Reply<()> {
        self.write(Durability::Process, move |tx| Ok(end(tx, run, now)?))
    }

    /// The runs that have not ended, oldest first.
    pub fn live_runs(&self) -> Reply<Vec<RunRow>> {
        self.read(move |tx| {
            let statement = "SELECT * FROM runs WHERE ended_at IS NULL ORDER BY id";
            Ok(sql::all(tx, statement, [], read)?)
        })
    }

    /// A run, as long as it has not ended.
    pub fn live_run(&self, run: RunId) -> Reply<Option<RunRow>> {
        self.read(move |tx| {
            let statement = "SELECT * FROM runs WHERE id = ?1 AND ended_at IS NULL";
            Ok(sql::first(tx, statement, [run.0], read)?)
        })
    }

    /// Ends the runs in `dead` and takes their downloads from them, and from runs that ended
    /// without letting go: active ones are paused as interrupted, or go back to the queue that
    /// they came from; others keep their status.
    /// Gives back the interrupted ones.
    pub fn reap(&self, dead: &[RunId], now: Timestamp) -> Reply<Vec<Interrupted>> {
        let dead = dead.to_vec();
        self.write(Durability::Process, move |tx| reap(tx, dead, now))
    }

    /// As [`Store::reap`], for what this handle shows from now on alone: of a store that was opened
    /// for reading, or whose disk takes nothing. What others record later it does not show.
    pub fn reap_in_memory(&self, dead: &[RunId], now: Timestamp) -> Reply<Vec<Interrupted>> {
        let dead = dead.to_vec();
        self.read(move |tx| {
            open::shadow(tx)?;
            reap(tx, dead, now)
        })
    }
}

fn reap(tx: &Connection, dead: Vec<RunId>, now: Timestamp) -> Result<Vec<Interrupted>, StoreError> {
    for run in dead {
        end(tx, run, now)?;
    }
    let mut interrupted = Vec::new();
    for (id, was) in orphans(tx)? {
        let asked = acknowledged(downloads::by_id(tx, id)?);
        if let Some(download) = orphan(tx, id, was, asked, now)? {
            interrupted.push(Interrupted {
                was,
                asked,
                download,
            });
        }
    }
    Ok(interrupted)
}

fn end(tx: &Connection, run: RunId, now: Timestamp) -> rusqlite::Result<()> {
    let statement = "UPDATE runs SET ended_at = ?2 WHERE id = ?1 AND ended_at IS NULL";
    sql::execute(tx, statement, (run.0, micros(now)))?;
    Ok(())
}

/// Downloads that a run owns which has ended.
fn orphans(tx: &Connection) -> rusqlite::Result<Vec<(DownloadId, Status)>> {
    let statement = "SELECT mine.id AS id, status FROM mine JOIN runs ON runs.id = owner_run
                     WHERE owner_run IS NOT NULL AND ended_at IS NOT NULL ORDER BY +mine.id";
    sql::all(tx, statement, [], |row| {
        Ok((sql::download_id(row, "id")?, downloads::read_status(row)?))
    })
}

/// Takes an orphan from its owner; the record if it was interrupted by that.
fn orphan(
    tx: &Connection,
    id: DownloadId,
    was: Status,
    asked: Option<Action>,
    now: Timestamp,
) -> Result<Option<DownloadRow>, StoreError> {
    let wished = match asked {
        Some(Action::Pause) => Some(Status::Paused),
        Some(Action::Cancel { .. }) => Some(Status::Cancelled),
        Some(Action::Checkpoint) | None => None,
    };
    if let Some(status) = wished.filter(|_| was.is_active()) {
        lease::end(tx, id, was, &Ending::by_person(status, now))?;
        return Ok(downloads::by_id(tx, id)?);
    }
    if !was.is_active() {
        let statement =
            "UPDATE downloads SET owner_run = NULL, requested_action = NULL WHERE id = ?1";
        sql::execute(tx, statement, [id.get()])?;
        return Ok(None);
    }
    let statement = "UPDATE downloads SET owner_run = NULL, requested_action = NULL,
                            status = iif(queue_lane IS NULL, 'paused', 'pending'),
                            error_kind = ?2, error_message = ?3, error_hint = ?4, updated_at = ?5
                     WHERE id = ?1";
    let kind = ExitKind::Retry.record_name();
    let hint = format!("go on with: fetchd resume {id}");
    let updated = micros(now);
    sql::execute(tx, statement, (id.get(), kind, INTERRUPTED, hint, updated))?;
    Ok(downloads::by_id(tx, id)?)
}

/// What was asked of a download whose owner had acknowledged it: who asked was told that it is
/// obeyed.
fn acknowledged(row: Option<DownloadRow>) -> Option<Action> {
    row.filter(|row| row.acknowledged.is_some())?.requested
}

fn read(row: &Row<'_>) -> rusqlite::Result<RunRow> {
    Ok(RunRow {
        id: sql::required(sql::run_id(row, "id")?, "id")?,
        info: RunInfo {
            pid: row.get("pid")?,
            start_time: sql::optional_size(row, "start_time")?,
            boot_id: row.get("boot_id")?,
            host: row.get("host")?,
            uid: row.get("uid")?,
            started: sql::time(row, "started_at")?,
        },
        heartbeat: sql::time(row, "heartbeat_at")?,
    })
}
