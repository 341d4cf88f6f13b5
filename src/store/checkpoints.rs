//! Checkpoints: what is proved *and* synced, so that a later run may believe it.
//!
//! A checkpoint is begun before the sync and completed after it: one transaction then records the
//! state and completes the checkpoint, so that the newest completed checkpoint of a download is
//! always the state in `files`. One that was begun and never completed says that a run died while
//! the disk was at work; it is shown, and never believed.

use jiff::Timestamp;
use rusqlite::{Connection, Row, named_params};

use crate::download::{DownloadId, RunId, Trigger};
use crate::store::files::{self, FileState};
use crate::store::sql::{self, int, micros};
use crate::store::thread::Durability;
use crate::store::traffic::{self, Traffic};
use crate::store::{Reply, Store, StoreError, lease};

/// Checkpoints kept of each download: those of the last minute or so.
const KEPT: u32 = 20;

/// A checkpoint that was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckpointId(i64);

/// What is to be recorded. Every byte it claims must be synced before it is completed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// What made it due.
    pub trigger: Trigger,
    /// The files whose state may have changed since the last checkpoint.
    pub files: Vec<FileState>,
    /// Proved and synced bytes of the whole download.
    pub bytes_verified: u64,
    /// What was received since the last checkpoint.
    pub traffic: Traffic,
    /// The time.
    pub now: Timestamp,
}

/// A checkpoint as `show` tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointRow {
    /// Its number; never used again.
    pub id: i64,
    /// The run that made it.
    pub run: RunId,
    /// What made it due: the name of a [`Trigger`].
    pub trigger: String,
    /// Proved and synced bytes of the whole download.
    pub bytes: u64,
    /// A hash of the state that it records.
    pub state_hash: [u8; 32],
    /// When it was begun.
    pub created: Timestamp,
    /// Since when it may be believed; `None` if it was never completed.
    pub completed: Option<Timestamp>,
}

impl Store {
    /// Notes that a checkpoint is begun; `None` if the state is the one of the newest completed
    /// checkpoint, so that there is nothing to do.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`].
    pub fn begin_checkpoint(
        &self,
        id: DownloadId,
        run: RunId,
        checkpoint: &Checkpoint,
    ) -> Reply<Option<CheckpointId>> {
        let (hash, trigger) = (state_hash(checkpoint), checkpoint.trigger);
        let (bytes, now) = (checkpoint.bytes_verified, checkpoint.now);
        let is_empty = checkpoint.files.is_empty();
        self.write_next((id, run), Durability::Process, move |tx| {
            lease::owned(tx, id, run)?;
            if is_empty || newest_hash(tx, id)? == Some(hash) {
                return Ok(None);
            }
            let begun = begin(tx, id, run, trigger, &hash, bytes, now)?;
            prune(tx, id)?;
            Ok(Some(begun))
        })
    }

    /// Records what is proved and synced by now, and completes the checkpoint that was begun for
    /// it.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`]; [`StoreError::NotFound`] for a file that was never resolved.
    pub fn complete_checkpoint(
        &self,
        id: DownloadId,
        run: RunId,
        begun: CheckpointId,
        checkpoint: Checkpoint,
    ) -> Reply<()> {
        // The one commit of a checkpoint is followed by the promise that it survives a power cut.
        self.write_next((id, run), Durability::Power, move |tx| {
            lease::owned(tx, id, run)?;
            traffic::add(tx, id, &checkpoint.traffic)?;
            for state in &checkpoint.files {
                if !files::record_state(tx, id, state)? {
                    return Err(StoreError::NotFound { id });
                }
            }
            Ok(complete(tx, id, begun, &checkpoint)?)
        })
    }

    /// The checkpoints that are kept of a download, newest first.
    pub fn checkpoints(&self, id: DownloadId) -> Reply<Vec<CheckpointRow>> {
        self.read(move |tx| {
            let statement = "SELECT * FROM checkpoints WHERE download_id = ?1 ORDER BY id DESC";
            Ok(sql::all(tx, statement, [id.get()], read)?)
        })
    }
}

/// A hash of everything that makes the state; neither of when nor of why it was recorded.
fn state_hash(checkpoint: &Checkpoint) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&checkpoint.bytes_verified.to_le_bytes());
    // Each part with its length before it, so that no two states run together to the same bytes.
    let mut part = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    for state in &checkpoint.files {
        part(&state.index.to_le_bytes());
        part(&state.verified.encode());
        part(&state.rungs);
        part(state.sha_state.as_deref().unwrap_or_default());
        part(state.sha256.as_ref().map_or(&[], |sum| sum.as_slice()));
        part(state.source.as_deref().unwrap_or_default().as_bytes());
        part(&[u8::from(state.done)]);
    }
    hasher.finalize().into()
}

fn newest_hash(tx: &Connection, id: DownloadId) -> rusqlite::Result<Option<[u8; 32]>> {
    let statement =
        "SELECT state_hash FROM checkpoints WHERE download_id = ?1 AND status = 'completed'
                     ORDER BY id DESC LIMIT 1";
    let hash = sql::first(tx, statement, [id.get()], |row| {
        sql::digest(row, "state_hash")
    })?;
    Ok(hash.flatten())
}

fn begin(
    tx: &Connection,
    id: DownloadId,
    run: RunId,
    trigger: Trigger,
    hash: &[u8; 32],
    bytes: u64,
    now: Timestamp,
) -> rusqlite::Result<CheckpointId> {
    let begun = sql::first(
        tx,
        "INSERT INTO checkpoints (download_id, run_id, trigger, state_hash, bytes, status, created_at)
         VALUES (:id, :run, :trigger, :hash, :bytes, 'in_progress', :now) RETURNING id",
        named_params! {
            ":id": id.get(),
            ":run": run.0,
            ":trigger": trigger.name(),
            ":hash": hash,
            ":bytes": int(bytes),
            ":now": micros(now),
        },
        |row| row.get("id"),
    )?;
    sql::required(begun.map(CheckpointId), "id")
}

fn complete(
    tx: &Connection,
    id: DownloadId,
    begun: CheckpointId,
    checkpoint: &Checkpoint,
) -> rusqlite::Result<()> {
    let now = micros(checkpoint.now);
    let statement = "UPDATE checkpoints SET status = 'completed', completed_at = ?2 WHERE id = ?1";
    sql::execute(tx, statement, (begun.0, now))?;
    let statement = "UPDATE downloads SET bytes_verified = ?2, updated_at = ?3 WHERE id = ?1";
    let bytes = int(checkpoint.bytes_verified);
    sql::execute(tx, statement, (id.get(), bytes, now))?;
    Ok(())
}

/// Drops the oldest; never the newest completed one, which is the state in `files`.
fn prune(tx: &Connection, id: DownloadId) -> rusqlite::Result<()> {
    let statement = "DELETE FROM checkpoints WHERE download_id = ?1 AND id <=
             (SELECT id FROM checkpoints WHERE download_id = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)
         AND id IS NOT (SELECT max(id) FROM checkpoints WHERE download_id = ?1 AND status = 'completed')";
    sql::execute(tx, statement, (id.get(), KEPT))?;
    Ok(())
}

fn read(row: &Row<'_>) -> rusqlite::Result<CheckpointRow> {
    Ok(CheckpointRow {
        id: row.get("id")?,
        run: sql::required(sql::run_id(row, "run_id")?, "run_id")?,
        trigger: row.get("trigger")?,
        bytes: sql::size(row, "bytes")?,
        state_hash: sql::required(sql::digest(row, "state_hash")?, "state_hash")?,
        created: sql::time(row, "created_at")?,
        completed: sql::optional_time(row, "completed_at")?,
    })
}
