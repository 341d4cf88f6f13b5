//! The queue: what goes into it, and what a run takes from it.
//!
//! An entry is a download with a lane. While it waits, its status is `pending` and nobody owns it.

use jiff::Timestamp;
use rusqlite::{Connection, Row};

use crate::download::{DownloadId, RunId, Status};
use crate::store::downloads::{self, DownloadRow, NewDownload};
use crate::store::sql::{self, micros};
use crate::store::thread::Durability;
use crate::store::{Reply, Store, StoreError, lease};

/// What became of one of several wishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queued {
    /// It is a new entry.
    New(DownloadId),
    /// There is an unfinished or a failed download with the same path on disk: nothing was done.
    Taken(DownloadId),
}

/// What an earlier download is wanted for by now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueWish {
    /// Whom it asks.
    pub lane: String,
    /// Higher is earlier.
    pub priority: i64,
    /// As [`NewDownload::options_json`].
    pub options_json: String,
    /// The checksum that the user gave.
    pub expected_sha256: Option<[u8; 32]>,
    /// Whether more is demanded of its content than is recorded.
    pub is_more: bool,
    /// The time.
    pub now: Timestamp,
}

/// The time, as it is asked what is due.
///
/// A wait counts only if the time when it was written is not in the future: a clock that has been
/// set back since would let it last until that time comes round again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// The time now.
    pub now: Timestamp,
    /// What waits until then, or less, is due.
    pub due_by: Timestamp,
}

impl From<Timestamp> for Clock {
    fn from(now: Timestamp) -> Self {
        Self { now, due_by: now }
    }
}

/// No lanes, as the statements below take them.
const NO_LANES: &str = "[]";

/// The first of what is due. The index is named since SQLite would take the one of the statuses,
/// and sort all that wait.
const FIRST_READY: &str = "SELECT id FROM main.downloads AS entry INDEXED BY downloads_ready
    WHERE status = 'pending' AND owner_run IS NULL AND next_attempt_at IS NULL
      AND EXISTS (SELECT 1 FROM mine WHERE mine.id = entry.id)
    ORDER BY priority DESC, id LIMIT 1";

/// The same where the lanes `?1` are held back. It steps from lane to lane, and looks at the first
/// entry of each: however many entries a lane has that is held, they cost nothing. The last step
/// leads to those that have no lane.
const FIRST_READY_ELSEWHERE: &str = "WITH RECURSIVE lanes(lane) AS (
        SELECT '' UNION ALL
        SELECT (SELECT queue_lane FROM main.downloads INDEXED BY downloads_lanes
                WHERE status = 'pending' AND owner_run IS NULL AND next_attempt_at IS NULL
                  AND queue_lane > lane ORDER BY queue_lane LIMIT 1)
        FROM lanes WHERE lane IS NOT NULL)
    SELECT first.id AS id FROM lanes CROSS JOIN main.downloads AS first ON first.id =
        (SELECT id FROM main.downloads AS entry INDEXED BY downloads_lanes
         WHERE status = 'pending' AND owner_run IS NULL AND next_attempt_at IS NULL
           AND queue_lane IS lane AND EXISTS (SELECT 1 FROM mine WHERE mine.id = entry.id)
         ORDER BY priority DESC, id LIMIT 1)
    WHERE coalesce(lane, '') NOT IN (SELECT value FROM json_each(?1))
    ORDER BY first.priority DESC, first.id LIMIT 1";

/// The first time that an entry waits for, of the lanes that are not in `?1`.
const FIRST_WAITING: &str = "SELECT next_attempt_at AS due
    FROM main.downloads AS entry INDEXED BY downloads_waiting
    WHERE status = 'pending' AND owner_run IS NULL AND next_attempt_at IS NOT NULL
      AND coalesce(queue_lane, '') NOT IN (SELECT value FROM json_each(?1))
      AND EXISTS (SELECT 1 FROM mine WHERE mine.id = entry.id)
    ORDER BY next_attempt_at LIMIT 1";

/// Whether something waits that a clock ahead of `?1` told to, of the lanes that are not in `?2`.
/// What waits was last written when its wait began.
const ANY_VOID: &str = "SELECT 1 FROM main.downloads AS entry INDEXED BY downloads_waiting_since
    WHERE status = 'pending' AND owner_run IS NULL AND next_attempt_at IS NOT NULL
      AND updated_at > ?1
      AND coalesce(queue_lane, '') NOT IN (SELECT value FROM json_each(?2))
      AND EXISTS (SELECT 1 FROM mine WHERE mine.id = entry.id)
    LIMIT 1";

/// Ends all those waits.
const END_VOID: &str = "UPDATE main.downloads INDEXED BY downloads_waiting_since
    SET next_attempt_at = NULL
    WHERE status = 'pending' AND owner_run IS NULL AND next_attempt_at IS NOT NULL
      AND updated_at > ?1
      AND EXISTS (SELECT 1 FROM mine WHERE mine.id = main.downloads.id)";

/// What has waited until `?1` is due from now on, so that it is not looked at again and again.
const END_WAITS: &str = "UPDATE main.downloads INDEXED BY downloads_waiting
    SET next_attempt_at = NULL
    WHERE status = 'pending' AND owner_run IS NULL AND next_attempt_at <= ?1
      AND EXISTS (SELECT 1 FROM mine WHERE mine.id = main.downloads.id)";

impl Store {
    /// Records new entries, all of them or, after an error, none.
    pub fn enqueue(&self, new: Vec<NewDownload>) -> Reply<Vec<Queued>> {
        self.write(Durability::Power, move |tx| {
            new.iter().map(|new| enqueue(tx, new)).collect()
        })
    }

    /// Puts an earlier download into the queue, at its place by priority and age: one that is
    /// paused or has failed begins to wait, one that waits is due at once. One that a live run
    /// owns only becomes an entry; and if more is demanded of it, not even that, since nobody would
    /// look at that any more: then nothing is done, and that run is given back.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Transition`] if it has ended for good.
    pub fn queue_again(&self, id: DownloadId, wish: QueueWish) -> Reply<Option<RunId>> {
        self.write(Durability::Power, move |tx| queue_again(tx, id, &wish))
    }

    /// Makes `run` the owner of the next entry that is due, by priority, then age. Those of the
    /// lanes in `held` are passed over.
    pub fn claim_next(
        &self,
        run: RunId,
        clock: impl Into<Clock>,
        held: &[String],
    ) -> Reply<Option<DownloadRow>> {
        let (clock, held) = (clock.into(), json_list(held));
        self.write(Durability::Process, move |tx| {
            sql::execute(tx, END_WAITS, [micros(clock.due_by)])?;
            sql::execute(tx, END_VOID, [micros(clock.now)])?;
            let Some(id) = first_ready(tx, &held)? else {
                return Ok(None);
            };
            lease::write_claim(tx, id, run, Status::InProgress, clock.now)?;
            Ok(downloads::by_id(tx, id)?)
        })
    }

    /// Whether an entry is due. Those of the lanes in `held` are passed over. Only reads, and
    /// cheaply, however many wait.
    pub fn is_due(&self, clock: impl Into<Clock>, held: &[String]) -> Reply<bool> {
        let (clock, held) = (clock.into(), json_list(held));
        self.read(move |tx| {
            let due = first_due(tx, clock, &held)?;
            Ok(due.is_some_and(|due| due <= clock.due_by))
        })
    }

    /// How many entries are due at `now`, those of the lanes in `held` alone.
    pub fn count_due(&self, now: Timestamp, held: &[String]) -> Reply<u64> {
        let held = json_list(held);
        self.read(move |tx| {
            let statement = "SELECT count(*) AS many FROM mine
                             WHERE status = 'pending' AND owner_run IS NULL
                               AND (next_attempt_at IS NULL OR next_attempt_at <= ?1)
                               AND queue_lane IN (SELECT value FROM json_each(?2))";
            let many = sql::first(tx, statement, (micros(now), &held), |row| {
                sql::size(row, "many")
            })?;
            Ok(many.unwrap_or(0))
        })
    }

    /// When the next entry is due: a time not after `now` if one is already, `None` if there is
    /// none. Those of the lanes in `held` are passed over.
    pub fn next_due(&self, now: Timestamp, held: &[String]) -> Reply<Option<Timestamp>> {
        let held = json_list(held);
        self.read(move |tx| Ok(first_due(tx, now.into(), &held)?))
    }

    /// Pins what the name of an owned download led to.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`].
    pub fn pin(
        &self,
        id: DownloadId,
        run: RunId,
        root_cid: String,
        content_path: String,
    ) -> Reply<()> {
        self.write(Durability::Process, move |tx| {
            lease::owned(tx, id, run)?;
            Ok(pin(tx, id, &root_cid, &content_path)?)
        })
    }

    /// A number that changes whenever another connection has changed the database: cheap enough
    /// to be asked for many times a second.
    pub fn version(&self) -> Reply<i64> {
        self.read(|tx| Ok(tx.pragma_query_value(None, "data_version", |row| row.get(0))?))
    }
}

/// As [`Store::pin`].
pub(super) fn pin(
    tx: &Connection,
    id: DownloadId,
    root_cid: &str,
    content_path: &str,
) -> rusqlite::Result<()> {
    let statement = "UPDATE downloads SET root_cid = ?2, content_path = ?3 WHERE id = ?1";
    sql::execute(tx, statement, (id.get(), root_cid, content_path))?;
    Ok(())
}

fn first_ready(tx: &Connection, held: &str) -> rusqlite::Result<Option<DownloadId>> {
    let read = |row: &Row<'_>| sql::download_id(row, "id");
    match held == NO_LANES {
        true => sql::first(tx, FIRST_READY, [], read),
        false => sql::first(tx, FIRST_READY_ELSEWHERE, [held], read),
    }
}

/// As [`Store::next_due`].
fn first_due(tx: &Connection, clock: Clock, held: &str) -> rusqlite::Result<Option<Timestamp>> {
    let any_void = || sql::first(tx, ANY_VOID, (micros(clock.now), held), |_| Ok(()));
    if first_ready(tx, held)?.is_some() || any_void()?.is_some() {
        return Ok(Some(clock.due_by));
    }
    sql::first(tx, FIRST_WAITING, [held], |row| sql::time(row, "due"))
}

fn enqueue(tx: &Connection, new: &NewDownload) -> Result<Queued, StoreError> {
    if let Some(path) = new.path.as_deref() {
        let failed = "SELECT id FROM downloads WHERE path = ?1 AND status = 'failed'
                      ORDER BY id DESC LIMIT 1";
        let taken = match downloads::unfinished_at(tx, path)? {
            Some(id) => Some(id),
            None => sql::first(tx, failed, [sql::path_value(path)], |row| {
                sql::download_id(row, "id")
            })?,
        };
        if let Some(id) = taken {
            return Ok(Queued::Taken(id));
        }
    }
    Ok(Queued::New(downloads::insert(tx, new, None)?))
}

fn queue_again(
    tx: &Connection,
    id: DownloadId,
    wish: &QueueWish,
) -> Result<Option<RunId>, StoreError> {
    let from = downloads::status(tx, id)?;
    if let Some(run) = lease::live_owner(tx, id)? {
        if wish.is_more {
            return Ok(Some(run));
        }
        let statement = "UPDATE downloads SET queue_lane = ?2, priority = ?3 WHERE id = ?1";
        sql::execute(tx, statement, (id.get(), &wish.lane, wish.priority))?;
        return Ok(None);
    }
    let to = Status::Pending;
    if from != to && !from.can_become(to) {
        return Err(StoreError::Transition { id, from, to });
    }
    let statement = "UPDATE downloads SET status = 'pending', owner_run = NULL,
                            queue_lane = ?2, queue_tries = 0, priority = ?3, options = ?4,
                            expected_sha256 = ?5, attempts = 0, next_attempt_at = NULL,
                            error_kind = NULL, error_message = NULL, error_hint = NULL,
                            requested_action = NULL, completed_at = NULL, updated_at = ?6
                     WHERE id = ?1";
    let values = (
        id.get(),
        &wish.lane,
        wish.priority,
        &wish.options_json,
        wish.expected_sha256,
        micros(wish.now),
    );
    sql::execute(tx, statement, values)?;
    Ok(None)
}

fn json_list(lanes: &[String]) -> String {
    serde_json::to_string(lanes).unwrap_or_else(|_| NO_LANES.to_owned())
}
