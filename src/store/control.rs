//! What other terminals ask of the owner of a download.

use jiff::Timestamp;
use rusqlite::Connection;

use crate::download::{Action, DownloadId, RunId, Status};
use crate::exit::ExitKind;
use crate::store::sql::{self, micros};
use crate::store::thread::Durability;
use crate::store::{Reply, Store, downloads, lease};

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requested {
    /// Written down for the owner, which acknowledges it soon if it lives.
    Asked {
        /// The owner.
        run: RunId,
    },
    /// Nobody works on it; the asker may act itself ([`Store::settle`]).
    Unowned {
        /// Where it stands.
        status: Status,
    },
    /// It has ended.
    Ended {
        /// How.
        status: Status,
    },
}

impl Store {
    /// Asks `action` of the owner of `id`. A request never weakens an earlier one that still
    /// stands: a cancelled download is not merely paused after all.
    ///
    /// # Errors
    /// [`crate::store::StoreError::NotFound`].
    pub fn request(&self, id: DownloadId, action: Action, now: Timestamp) -> Reply<Requested> {
        self.write(Durability::Process, move |tx| {
            let status = downloads::status(tx, id)?;
            if matches!(status, Status::Success | Status::Cancelled) {
                return Ok(Requested::Ended { status });
            }
            let Some(run) = lease::live_owner(tx, id)? else {
                return Ok(Requested::Unowned { status });
            };
            let earlier = standing(tx, id)?;
            let action = earlier.map_or(action, |earlier| earlier.max(action));
            if earlier != Some(action) {
                let statement =
                    "UPDATE downloads SET requested_action = ?2, acknowledged_at = NULL,
                                        updated_at = ?3 WHERE id = ?1";
                sql::execute(tx, statement, (id.get(), action.name(), micros(now)))?;
            }
            Ok(Requested::Asked { run })
        })
    }

    /// Marks a download that is paused for another reason as paused by a person, so that neither
    /// `resume --all` nor the queue takes it up. Whether it is paused and nobody works on it.
    ///
    /// # Errors
    /// [`crate::store::StoreError::NotFound`].
    pub fn keep_paused(&self, id: DownloadId, now: Timestamp) -> Reply<bool> {
        self.write(Durability::Process, move |tx| {
            if downloads::status(tx, id)? != Status::Paused || lease::live_owner(tx, id)?.is_some()
            {
                return Ok(false);
            }
            let statement = "UPDATE downloads SET error_kind = ?2, error_message = 'paused',
                                    error_hint = NULL, next_attempt_at = NULL, updated_at = ?3
                             WHERE id = ?1";
            let kind = ExitKind::Stopped.record_name();
            sql::execute(tx, statement, (id.get(), kind, micros(now)))?;
            Ok(true)
        })
    }

    /// What is asked of `run`, the owner of `id`. Only reads, and cheaply: made to be polled.
    ///
    /// # Errors
    /// [`crate::store::StoreError::LeaseLost`].
    pub fn requested_action(&self, id: DownloadId, run: RunId) -> Reply<Option<Action>> {
        self.read(move |tx| {
            lease::owned(tx, id, run)?;
            Ok(standing(tx, id)?)
        })
    }

    /// Says that `run` obeys `action`, which may take as long as the disk does. Of a stronger
    /// request that came meanwhile that is not said.
    ///
    /// # Errors
    /// [`crate::store::StoreError::LeaseLost`].
    pub fn acknowledge(
        &self,
        id: DownloadId,
        run: RunId,
        action: Action,
        now: Timestamp,
    ) -> Reply<()> {
        self.write(Durability::Process, move |tx| {
            lease::owned(tx, id, run)?;
            let statement = "UPDATE downloads SET acknowledged_at = ?3
                             WHERE id = ?1 AND requested_action = ?2";
            sql::execute(tx, statement, (id.get(), action.name(), micros(now)))?;
            Ok(())
        })
    }

    /// Says that `action` is done, for one that does not end the work. A stronger request that
    /// came meanwhile stands.
    ///
    /// # Errors
    /// [`crate::store::StoreError::LeaseLost`].
    pub fn fulfil(&self, id: DownloadId, run: RunId, action: Action) -> Reply<()> {
        self.write(Durability::Process, move |tx| {
            lease::owned(tx, id, run)?;
            let statement = "UPDATE downloads SET requested_action = NULL
                             WHERE id = ?1 AND requested_action = ?2";
            sql::execute(tx, statement, (id.get(), action.name()))?;
            Ok(())
        })
    }
}

fn standing(tx: &Connection, id: DownloadId) -> rusqlite::Result<Option<Action>> {
    let statement = "SELECT requested_action FROM downloads WHERE id = ?1";
    let action = sql::first(tx, statement, [id.get()], |row| {
        sql::parsed(row, "requested_action", Action::from_name)
    })?;
    Ok(action.flatten())
}
