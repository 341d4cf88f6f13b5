//! Forgetting: records that have ended, and the history around them.

use jiff::Timestamp;

use crate::download::{DownloadId, Status};
use crate::store::downloads::{self, DownloadRow};
use crate::store::sql::{self, micros};
use crate::store::thread::Durability;
use crate::store::{Reply, Store, StoreError, nodes};

impl Store {
    /// The records that ended before `before` (finished, failed or cancelled), oldest first.
    pub fn ended_before(&self, before: Timestamp) -> Reply<Vec<DownloadRow>> {
        self.read(move |tx| {
            let statement = "SELECT * FROM mine
                             WHERE status IN ('success', 'failed', 'cancelled')
                               AND coalesce(completed_at, updated_at) < ?1 ORDER BY id";
            Ok(sql::all(tx, statement, [micros(before)], downloads::read)?)
        })
    }

    /// Forgets a record that has ended, with its history. Its number is never used again, and
    /// what it installed stays known.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Transition`] if it is unfinished.
    pub fn forget(&self, id: DownloadId) -> Reply<()> {
        self.write(Durability::Process, move |tx| {
            let from = downloads::status(tx, id)?;
            if from.is_unfinished() {
                let to = Status::Cancelled;
                return Err(StoreError::Transition { id, from, to });
            }
            sql::execute(tx, "DELETE FROM downloads WHERE id = ?1", [id.get()])?;
            Ok(nodes::sweep(tx, id)?)
        })
    }

    /// Drops what ended before `before` of the history: attempts of downloads that are finished or
    /// cancelled, checkpoints but for the one that a download may go on from, runs that own
    /// nothing, and gateways that nobody has named or asked since. The number of rows dropped.
    pub fn prune_history(&self, before: Timestamp) -> Reply<u64> {
        self.write(Durability::Process, move |tx| {
            let before = micros(before);
            let ended = "(SELECT id FROM mine WHERE status IN ('success', 'cancelled'))";
            let statements = [
                format!("DELETE FROM attempts WHERE ended_at < ?1 AND download_id IN {ended}"),
                format!(
                    "DELETE FROM checkpoints WHERE created_at < ?1
                     AND download_id IN (SELECT id FROM mine)
                     AND (download_id IN {ended} OR id NOT IN
                          (SELECT max(id) FROM checkpoints WHERE status = 'completed' GROUP BY download_id))"
                ),
                "DELETE FROM runs WHERE ended_at < ?1 AND id NOT IN
                 (SELECT owner_run FROM downloads WHERE owner_run IS NOT NULL)"
                    .to_owned(),
                "DELETE FROM gateways WHERE origin = 'discovered' AND enabled IS NULL
                 AND coalesce(last_used_at, cool_until, paced_at, 0) < ?1"
                    .to_owned(),
            ];
            let mut dropped = 0;
            for statement in statements {
                dropped += sql::execute(tx, &statement, [before])? as u64;
            }
            Ok(dropped)
        })
    }
}
