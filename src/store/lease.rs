//! Who may change a download, and how its status moves.
//!
//! A run takes a download by writing itself into `owner_run`. Everything that it writes later
//! goes through [`owned`] in the same transaction: a run that is not the owner (any more) changes
//! nothing. Every step of the status is one that [`Status::can_become`] knows.

use jiff::Timestamp;
use rusqlite::{Connection, named_params};

use crate::download::{DownloadId, Failure, Proof, RunId, Status};
use crate::exit::ExitKind;
use crate::store::downloads::{self, DownloadRow, NewDownload, refuse_second};
use crate::store::installs::{self, Install};
use crate::store::sql::{self, int, micros};
use crate::store::thread::Durability;
use crate::store::traffic::{self, Traffic};
use crate::store::{Change, Reply, Store, StoreError, cids, nodes};

/// What became of the wish to own a download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// The run owns it; the record as it is now.
    Taken(Box<DownloadRow>),
    /// Another run owns it, and has not ended.
    Owned {
        /// That run.
        run: RunId,
    },
    /// It has another status than those asked for.
    Elsewhere {
        /// Its status.
        status: Status,
    },
}

/// How a run ends its work on a download without finishing it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// `Paused`, `Failed` or `Cancelled`; `Pending` for an entry of the queue that is to be tried
    /// again.
    pub status: Status,
    /// Why; of kind `Stopped` if a person wanted it.
    pub failure: Option<Failure>,
    /// Tries that reached a provider and brought no new byte: added to the record's.
    pub tries: u32,
    /// When the queue is to try again; `None` for as soon as it can, if it is pending.
    pub next_attempt: Option<Timestamp>,
    /// Tries of the queue that failed in a row, this one counted.
    pub queue_tries: u32,
    /// What was received since the last checkpoint.
    pub traffic: Traffic,
    /// The time.
    pub now: Timestamp,
}

impl Ending {
    /// What a person's wish leaves of a download.
    pub fn by_person(status: Status, now: Timestamp) -> Self {
        let failure = (status == Status::Paused).then(|| Failure {
            kind: ExitKind::Stopped,
            message: "paused".to_owned(),
            hint: None,
        });
        Self {
            status,
            failure,
            tries: 0,
            next_attempt: None,
            queue_tries: 0,
            traffic: Traffic::default(),
            now,
        }
    }
}

/// What a finished download leaves behind.
#[derive(Debug, Clone, PartialEq)]
pub struct Finish {
    /// The receipt: JSON, opaque to the store.
    pub receipt_json: String,
    /// The weakest rung used.
    pub proof: Proof,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of the whole file, unless switched off.
    pub sha256: Option<[u8; 32]>,
    /// The file with its final name; `None` for standard output.
    pub install: Option<Install>,
    /// What was received since the last checkpoint.
    pub traffic: Traffic,
    /// The time.
    pub now: Timestamp,
}

impl Store {
    /// Makes `run` the owner of `id` and moves it to `to`, if its status is one of `from` and no
    /// run that has not ended owns it. `to` may be the status it has: then only the lease changes
    /// hands. What other terminals asked of an earlier owner is forgotten. The run may `change` by
    /// the record as it was what is wanted.
    ///
    /// # Errors
    /// [`StoreError::Transition`]; [`StoreError::ActiveExists`] if it is reopened while another
    /// download is under way to its path.
    pub fn claim(
        &self,
        id: DownloadId,
        run: RunId,
        from: &[Status],
        to: Status,
        now: Timestamp,
        change: impl FnOnce(&DownloadRow) -> Change + Send + 'static,
    ) -> Reply<Claim> {
        let from = from.to_vec();
        self.begin_anew(id, run);
        self.write(Durability::Process, move |tx| {
            claim(tx, id, run, &from, to, now, change)
        })
    }

    /// Moves an owned download on to an active status. A status that ends the work is the
    /// business of [`Store::finish`] and [`Store::end`].
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`], [`StoreError::Transition`].
    pub fn set_status(&self, id: DownloadId, run: RunId, to: Status, now: Timestamp) -> Reply<()> {
        self.write_next((id, run), Durability::Process, move |tx| {
            let from = owned(tx, id, run)?;
            step(
                id,
                from,
                to,
                &[
                    Status::InProgress,
                    Status::Verifying,
                    Status::Installing,
                    Status::Resuming,
                ],
            )?;
            let statement = "UPDATE downloads SET status = ?2, updated_at = ?3 WHERE id = ?1";
            sql::execute(tx, statement, (id.get(), to.name(), micros(now)))?;
            Ok(())
        })
    }

    /// Records that every byte is proved and in place, and lets go of the download.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`], [`StoreError::Transition`].
    pub fn finish(&self, id: DownloadId, run: RunId, finish: Finish) -> Reply<()> {
        self.write_next((id, run), Durability::Power, move |tx| {
            let from = owned(tx, id, run)?;
            step(id, from, Status::Success, &[Status::Success])?;
            traffic::add(tx, id, &finish.traffic)?;
            write_finish(tx, id, &finish)?;
            if let Some(install) = &finish.install {
                installs::record(tx, id, install, finish.now)?;
            }
            // A file that is not what its CID names says nothing of that CID's bytes.
            let is_content = finish
                .install
                .as_ref()
                .is_none_or(|file| file.cid.is_some());
            let sha256 = finish.sha256.as_ref().filter(|_| is_content);
            cids::finished(tx, id, sha256, finish.now)?;
            Ok(nodes::sweep(tx, id)?)
        })
    }

    /// Records what was found in place and proved, as a download that had nothing to fetch.
    ///
    /// # Errors
    /// [`StoreError::ActiveExists`] if an unfinished download has the same path on disk.
    pub fn record_in_place(
        &self,
        new: NewDownload,
        run: RunId,
        finish: Finish,
    ) -> Reply<DownloadId> {
        // What a power cut takes of it is found on disk once more.
        self.write(Durability::Process, move |tx| {
            downloads::refuse_second(tx, new.path.as_deref(), None)?;
            let id = downloads::insert(tx, &new, Some(run))?;
            write_finish(tx, id, &finish)?;
            if let Some(install) = &finish.install {
                installs::record(tx, id, install, finish.now)?;
            }
            Ok(id)
        })
    }

    /// Pauses, fails or cancels an owned download, and lets go of it.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`], [`StoreError::Transition`].
    pub fn end(&self, id: DownloadId, run: RunId, ending: Ending) -> Reply<()> {
        let reply = self.write(Durability::Power, move |tx| {
            let from = owned(tx, id, run)?;
            end(tx, id, from, &ending)
        });
        // The same run may take it out of the queue again.
        self.begin_anew(id, run);
        reply
    }

    /// Lets go of an owned download that has not begun or rests: its status stays.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`]; [`StoreError::Transition`] if it is active, since no active
    /// download may be without an owner.
    pub fn release(&self, id: DownloadId, run: RunId) -> Reply<()> {
        self.write(Durability::Process, move |tx| {
            let from = owned(tx, id, run)?;
            if from.is_active() {
                return Err(StoreError::Transition { id, from, to: from });
            }
            sql::execute(
                tx,
                "UPDATE downloads SET owner_run = NULL WHERE id = ?1",
                [id.get()],
            )?;
            Ok(())
        })
    }

    /// As [`Store::end`], for a download that no live run owns: what `pause` and `cancel` do
    /// themselves where there is nobody to ask.
    ///
    /// # Errors
    /// [`StoreError::Owned`], [`StoreError::Transition`], [`StoreError::NotFound`].
    pub fn settle(&self, id: DownloadId, ending: Ending) -> Reply<()> {
        self.write(Durability::Power, move |tx| {
            let from = downloads::status(tx, id)?;
            if let Some(run) = live_owner(tx, id)? {
                return Err(StoreError::Owned { id, run });
            }
            end(tx, id, from, &ending)
        })
    }
}

/// The status of `id`, if `run` owns it.
pub(super) fn owned(tx: &Connection, id: DownloadId, run: RunId) -> Result<Status, StoreError> {
    let statement = "SELECT status FROM downloads WHERE id = ?1 AND owner_run = ?2";
    sql::first(tx, statement, (id.get(), run.0), downloads::read_status)?
        .ok_or(StoreError::LeaseLost { id, run })
}

/// The run that owns `id` and has not ended.
pub(super) fn live_owner(tx: &Connection, id: DownloadId) -> rusqlite::Result<Option<RunId>> {
    let statement =
        "SELECT runs.id AS run FROM downloads JOIN runs ON runs.id = downloads.owner_run
                     WHERE downloads.id = ?1 AND runs.ended_at IS NULL";
    let owner = sql::first(tx, statement, [id.get()], |row| sql::run_id(row, "run"))?;
    Ok(owner.flatten())
}

/// Checks one step of the status machine, and that this method is the one to take it.
fn step(id: DownloadId, from: Status, to: Status, allowed: &[Status]) -> Result<(), StoreError> {
    if allowed.contains(&to) && from.can_become(to) {
        Ok(())
    } else {
        Err(StoreError::Transition { id, from, to })
    }
}

fn claim(
    tx: &Connection,
    id: DownloadId,
    run: RunId,
    from: &[Status],
    to: Status,
    now: Timestamp,
    change: impl FnOnce(&DownloadRow) -> Change,
) -> Result<Claim, StoreError> {
    let row = downloads::by_id(tx, id)?.ok_or(StoreError::NotFound { id })?;
    match live_owner(tx, id)? {
        Some(owner) if owner != run => return Ok(Claim::Owned { run: owner }),
        _ => {}
    }
    let status = row.status;
    if !from.contains(&status) {
        return Ok(Claim::Elsewhere { status });
    }
    // A lease is for work: it neither ends a download nor sticks to one that has ended.
    if !to.is_unfinished() || (status != to && !status.can_become(to)) {
        return Err(StoreError::Transition {
            id,
            from: status,
            to,
        });
    }
    refuse_second(tx, row.path.as_deref(), Some(id))?;
    write_claim(tx, id, run, to, now)?;
    change(&row).write(tx, id, now)?;
    let row = downloads::by_id(tx, id)?.ok_or(StoreError::NotFound { id })?;
    Ok(Claim::Taken(Box::new(row)))
}

pub(super) fn write_claim(
    tx: &Connection,
    id: DownloadId,
    run: RunId,
    to: Status,
    now: Timestamp,
) -> rusqlite::Result<usize> {
    sql::execute(
        tx,
        "UPDATE downloads SET owner_run = :run, status = :status, requested_action = NULL,
                next_attempt_at = NULL, completed_at = NULL, updated_at = :now,
                error_kind = iif(:active, NULL, error_kind),
                error_message = iif(:active, NULL, error_message),
                error_hint = iif(:active, NULL, error_hint),
                started_at = iif(:active, coalesce(started_at, :now), started_at),
                last_attempt_at = iif(:active, :now, last_attempt_at)
         WHERE id = :id",
        named_params! {
            ":id": id.get(),
            ":run": run.0,
            ":status": to.name(),
            ":active": to.is_active(),
            ":now": micros(now),
        },
    )
}

fn write_finish(tx: &Connection, id: DownloadId, finish: &Finish) -> rusqlite::Result<()> {
    sql::execute(
        tx,
        "UPDATE downloads SET status = 'success', owner_run = NULL, requested_action = NULL,
                next_attempt_at = NULL, error_kind = NULL, error_message = NULL, error_hint = NULL,
                bytes_verified = :size, bytes_total = :size, sha256 = :sha256, proof = :proof,
                receipt = :receipt, updated_at = :now, completed_at = :now
         WHERE id = :id",
        named_params! {
            ":id": id.get(),
            ":size": int(finish.size),
            ":sha256": finish.sha256,
            ":proof": finish.proof.name(),
            ":receipt": finish.receipt_json,
            ":now": micros(finish.now),
        },
    )?;
    // The file has its name: what was needed to go on with its part is needed no more.
    let statement = "UPDATE files SET done = 1, sha_state = NULL WHERE download_id = ?1";
    sql::execute(tx, statement, [id.get()])?;
    Ok(())
}

/// Whether an entry of the queue stays one: it does not leave it because a person paused it.
fn stays_queued(ending: &Ending) -> bool {
    let by_person = |failure: &Failure| failure.kind == ExitKind::Stopped;
    match ending.status {
        Status::Pending => true,
        Status::Paused => ending.failure.as_ref().is_some_and(by_person),
        _ => false,
    }
}

pub(super) fn end(
    tx: &Connection,
    id: DownloadId,
    from: Status,
    ending: &Ending,
) -> Result<(), StoreError> {
    let to = ending.status;
    step(
        id,
        from,
        to,
        &[
            Status::Pending,
            Status::Paused,
            Status::Failed,
            Status::Cancelled,
        ],
    )?;
    traffic::add(tx, id, &ending.traffic)?;
    let failure = ending.failure.as_ref();
    let completed = (!to.is_unfinished()).then(|| micros(ending.now));
    sql::execute(
        tx,
        "UPDATE downloads SET status = :status, owner_run = NULL, requested_action = NULL,
                attempts = attempts + :tries, next_attempt_at = :next,
                queue_tries = :queue_tries, queue_lane = iif(:stays, queue_lane, NULL),
                error_kind = :kind, error_message = :message, error_hint = :hint,
                updated_at = :now, completed_at = :completed
         WHERE id = :id",
        named_params! {
            ":id": id.get(),
            ":status": to.name(),
            ":tries": ending.tries,
            ":next": ending.next_attempt.map(micros),
            ":queue_tries": ending.queue_tries,
            ":stays": stays_queued(ending),
            ":kind": failure.map(|failure| failure.kind.record_name()),
            ":message": failure.map(|failure| &failure.message),
            ":hint": failure.and_then(|failure| failure.hint.as_deref()),
            ":now": micros(ending.now),
            ":completed": completed,
        },
    )?;
    Ok(nodes::sweep(tx, id)?)
}
