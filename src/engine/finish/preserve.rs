//! Mode and time of a download that is one file, as its DAG has them (`--preserve`).
//!
//! Set when the file has been looked at a last time, and made durable and recorded before it gets
//! its final name. Whoever is killed in between leaves a part that may be closed to its owner;
//! [`PartFile::open_own`](crate::disk::part::PartFile::open_own) opens that up again.

use std::sync::atomic::AtomicBool;

use crate::disk::DiskError;
use crate::disk::tree::Preserved;
use crate::engine::Destination;
use crate::engine::begin::Signals;
use crate::engine::coordinator::{Coordinator, Stop};
use crate::engine::output::Output;

impl Coordinator<'_> {
    /// Gives the part the mode and the time that the root of the file has, if they are wanted.
    pub(super) async fn preserve_file(&mut self, signals: &mut Signals) {
        if let Err(stop) = self.try_preserve_file(signals).await {
            self.halt(stop);
        }
    }

    async fn try_preserve_file(&mut self, signals: &mut Signals) -> Result<(), Stop> {
        let is_kept = matches!(self.job.destination, Destination::Disk { .. });
        let is_wanted = self.options.preserve && self.job.car_part.is_none();
        let (Output::File(part), true) = (&self.output, is_kept && is_wanted && !self.is_in_place)
        else {
            return Ok(());
        };
        let (id, run, part) = (self.job.id, self.job.run, part.clone());
        let rows = self.store.files(id).await;
        let rows = rows.map_err(|error| Stop::of_store(&error, id))?;
        let preserved = rows.first().map(|row| Preserved {
            mode: row.file.mode,
            modified: row.file.mtime,
        });
        let Some(preserved) = preserved.filter(|found| *found != Preserved::default()) else {
            return Ok(());
        };
        let work = move |_: &AtomicBool| {
            part.preserve(&preserved)?;
            part.sync_all()?;
            // What somebody has written since the last look must not seem to be as it was left.
            let is_doubted = part.is_doubted();
            if is_doubted {
                part.distrust()?;
            }
            Ok::<_, DiskError>((part.fingerprint(), is_doubted))
        };
        let done = self.watched(signals, work).await?;
        let (left, is_doubted) = done.map_err(|error| self.part_failed(&error))?;
        if is_doubted {
            return Err(self.changed("somebody else has changed it"));
        }
        let recorded = self.store.set_fingerprints(id, run, vec![(0, left)]).await;
        recorded.map_err(|error| Stop::of_store(&error, id))
    }
}
