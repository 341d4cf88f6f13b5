//! Checkpoints: what is proved *and* synced, so that a later run may believe it.
//!
//! The caller syncs first. One transaction then records the state and completes the checkpoint,
//! so that the newest completed checkpoint of a download is always the state in `files`.

use jiff::Timestamp;
use rusqlite::{Connection, Row, named_params};

use crate::download::{DownloadId, RunId, Trigger};
use crate::store::files::{self, FileState};
use crate::store::sql::{self, int, micros};
use crate::store::thread::Durability;
use crate::store::traffic::{self, Traffic};
use crate::store::{Reply, Store, StoreError, lease};

/// Completed checkpoints kept of each download.
const KEPT: u32 = 3;

/// What is to be recorded. Every byte it claims must be synced already.
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

/// What became of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// It is the newest checkpoint now.
    Written,
    /// The state is the one of the newest checkpoint; at most the traffic was added.
    Unchanged,
}

/// A checkpoint as `show` tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointRow {
    /// The run that made it.
    pub run: RunId,
    /// What made it due: the name of a [`Trigger`].
    pub trigger: String,
    /// Proved and synced bytes of the whole download.
    pub bytes: u64,
    /// Whether it may be believed.
    pub completed: bool,
    /// When it was made.
    pub created: Timestamp,
}

impl Store {
    /// Records what is proved and synced.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`]; [`StoreError::NotFound`] for a file that was never resolved.
    pub fn checkpoint(
        &self,
        id: DownloadId,
        run: RunId,
        checkpoint: Checkpoint,
    ) -> Reply<Recorded> {
        // The one commit of a checkpoint is followed by the promise that it survives a power cut.
        self.write(Durability::Power, move |tx| {
            lease::owned(tx, id, run)?;
            traffic::add(tx, id, &checkpoint.traffic)?;
            let hash = state_hash(&checkpoint);
            if checkpoint.files.is_empty() || newest_hash(tx, id)? == Some(hash) {
                return Ok(Recorded::Unchanged);
            }
            for state in &checkpoint.files {
                if !files::record_state(tx, id, state)? {
                    return Err(StoreError::NotFound { id });
                }
            }
            complete(tx, id, run, &checkpoint, &hash)?;
            prune(tx, id)?;
            Ok(Recorded::Written)
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

fn complete(
    tx: &Connection,
    id: DownloadId,
    run: RunId,
    checkpoint: &Checkpoint,
    hash: &[u8; 32],
) -> rusqlite::Result<()> {
    sql::execute(
        tx,
        "INSERT INTO checkpoints (download_id, run_id, trigger, state_hash, bytes, status,
                                  created_at, completed_at)
         VALUES (:id, :run, :trigger, :hash, :bytes, 'completed', :now, :now)",
        named_params! {
            ":id": id.get(),
            ":run": run.0,
            ":trigger": checkpoint.trigger.name(),
            ":hash": hash,
            ":bytes": int(checkpoint.bytes_verified),
            ":now": micros(checkpoint.now),
        },
    )?;
    let statement = "UPDATE downloads SET bytes_verified = ?2, updated_at = ?3 WHERE id = ?1";
    let bytes = int(checkpoint.bytes_verified);
    sql::execute(tx, statement, (id.get(), bytes, micros(checkpoint.now)))?;
    Ok(())
}

fn prune(tx: &Connection, id: DownloadId) -> rusqlite::Result<()> {
    let statement = "DELETE FROM checkpoints WHERE download_id = ?1 AND id <=
                     (SELECT id FROM checkpoints WHERE download_id = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)";
    sql::execute(tx, statement, (id.get(), KEPT))?;
    Ok(())
}

fn read(row: &Row<'_>) -> rusqlite::Result<CheckpointRow> {
    Ok(CheckpointRow {
        run: sql::required(sql::run_id(row, "run_id")?, "run_id")?,
        trigger: row.get("trigger")?,
        bytes: sql::size(row, "bytes")?,
        completed: row.get::<_, String>("status")? == "completed",
        created: sql::time(row, "created_at")?,
    })
}
