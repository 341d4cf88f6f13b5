//! The table `attempts`: the history of what was asked of whom.

use jiff::Timestamp;
use rusqlite::{Connection, Row, named_params};

use crate::download::{DownloadId, RunId};
use crate::store::sql::{self, int, micros};
use crate::store::thread::Durability;
use crate::store::{Reply, Store, lease};

/// One piece of work that a provider was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// For which download.
    pub download: DownloadId,
    /// By which run, which must own it.
    pub run: RunId,
    /// Base URL or path.
    pub provider: String,
    /// What was asked for: `block`, `car`, `range`, …
    pub request: String,
    /// Offset in the file, where the request has one.
    pub offset: Option<u64>,
    /// Bytes received.
    pub bytes: u64,
    /// How it ended: `ok`, or what went wrong.
    pub outcome: String,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
}

/// An attempt of the history; its id orders attempts by when they were recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptRow {
    /// Its number.
    pub id: i64,
    /// What it was.
    pub attempt: Attempt,
}

impl Store {
    /// Adds to the history of a download, and drops all but its newest `limit` attempts.
    ///
    /// # Errors
    /// [`crate::store::StoreError::LeaseLost`].
    pub fn record_attempt(&self, attempt: Attempt, limit: u32) -> Reply<()> {
        self.write(Durability::Process, move |tx| {
            lease::owned(tx, attempt.download, attempt.run)?;
            insert(tx, &attempt)?;
            let statement = "DELETE FROM attempts WHERE download_id = ?1 AND id <=
                             (SELECT id FROM attempts WHERE download_id = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)";
            sql::execute(tx, statement, (attempt.download.get(), limit))?;
            Ok(())
        })
    }

    /// The history of one download, or of all, newest first, at most `limit`.
    pub fn history(&self, id: Option<DownloadId>, limit: u32) -> Reply<Vec<AttemptRow>> {
        self.read(move |tx| {
            let rows = match id {
                Some(id) => {
                    let statement =
                        "SELECT * FROM attempts WHERE download_id = ?1 ORDER BY id DESC LIMIT ?2";
                    sql::all(tx, statement, (id.get(), limit), read)
                }
                None => sql::all(
                    tx,
                    "SELECT * FROM attempts ORDER BY id DESC LIMIT ?1",
                    [limit],
                    read,
                ),
            };
            Ok(rows?)
        })
    }
}

fn insert(tx: &Connection, attempt: &Attempt) -> rusqlite::Result<usize> {
    sql::execute(
        tx,
        "INSERT INTO attempts (download_id, run_id, provider, request, offset, bytes, outcome,
                               started_at, ended_at)
         VALUES (:id, :run, :provider, :request, :offset, :bytes, :outcome, :started, :ended)",
        named_params! {
            ":id": attempt.download.get(),
            ":run": attempt.run.0,
            ":provider": attempt.provider,
            ":request": attempt.request,
            ":offset": attempt.offset.map(int),
            ":bytes": int(attempt.bytes),
            ":outcome": attempt.outcome,
            ":started": micros(attempt.started),
            ":ended": micros(attempt.ended),
        },
    )
}

fn read(row: &Row<'_>) -> rusqlite::Result<AttemptRow> {
    let attempt = Attempt {
        download: sql::download_id(row, "download_id")?,
        run: sql::required(sql::run_id(row, "run_id")?, "run_id")?,
        provider: row.get("provider")?,
        request: row.get("request")?,
        offset: sql::optional_size(row, "offset")?,
        bytes: sql::size(row, "bytes")?,
        outcome: row.get("outcome")?,
        started: sql::time(row, "started_at")?,
        ended: sql::time(row, "ended_at")?,
    };
    Ok(AttemptRow {
        id: row.get("id")?,
        attempt,
    })
}
