//! A file that stands at the target already: renamed by this download before a crash could be
//! recorded, or put there by somebody else. Where it proves to be what is wanted, nothing is
//! fetched.

use std::path::Path;

use crate::disk::DiskError;
use crate::disk::part::PartFile;
use crate::engine::aside::Yields;
use crate::engine::begin::Signals;
use crate::engine::coordinator::{Coordinator, Stop};
use crate::engine::failure::disk_failure;
use crate::engine::output::Output;
use crate::engine::whole::progress::Progress;
use crate::engine::whole::{Goal, Joins, Phase, Sums, Wanted, Whole, writer};

impl Coordinator<'_> {
    /// What a file on the disk comes to, if it is what is wanted.
    pub(super) async fn sums_if_right(
        &mut self,
        file: PartFile,
        goal: &Goal,
        signals: &mut Signals,
    ) -> Result<Result<Option<Sums>, DiskError>, Stop> {
        let wanted = Wanted::of(goal);
        let work = move |is_stopped| writer::sums_of(file, wanted, is_stopped);
        let (sums, stop) = self.done_or_stopped(signals, Yields::Surely, work).await;
        if let Some(stop) = stop {
            return Err(stop);
        }
        Ok(sums.map(|sums| sums.filter(|sums| goal.is_met(sums))))
    }

    /// Whether a file on the disk is what this download wants, which is known by its sums alone.
    pub(in crate::engine) async fn is_right_on_disk(
        &mut self,
        file: PartFile,
        signals: &mut Signals,
    ) -> Result<bool, Stop> {
        let Some(goal) = self.whole.as_ref().map(|whole| whole.goal.clone()) else {
            return Ok(false);
        };
        let sums = self.sums_if_right(file, &goal, signals).await?;
        let sums = sums.map_err(|error| Stop::Failed(disk_failure(&error, self.job.id)))?;
        Ok(sums.is_some())
    }

    /// Takes what is at the target for the download, if its sums say that it is that.
    pub(super) async fn adopt_whole(
        &mut self,
        goal: &Goal,
        target: &Path,
        signals: &mut Signals,
    ) -> Result<bool, Stop> {
        // Without anything to compare with, no file is the one that is wanted.
        if *goal == Goal::Nothing {
            return Ok(false);
        }
        // What cannot be read is no such file; the install will say what it is.
        let Ok(Some(file)) = PartFile::open(target) else {
            return Ok(false);
        };
        let Ok(size) = file.len() else {
            return Ok(false);
        };
        let sums = self.sums_if_right(file.clone(), goal, signals).await?;
        let Ok(Some(sums)) = sums else {
            return Ok(false);
        };
        self.is_in_place = true;
        self.output = Output::File(file);
        self.tally.resumed_from = size;
        self.whole = Some(Whole {
            goal: goal.clone(),
            phase: Phase::Fetching,
            progress: Progress {
                position: size,
                total: Some(size),
                validator: None,
            },
            source: None,
            stream: None,
            furthest: size,
            written: size,
            number: 0,
            sent: vec![0; self.providers.len()],
            joins: Joins::Untried,
            switches: 0,
            writer: None,
        });
        self.resolve_whole();
        self.accept_whole(&sums, goal.proof());
        Ok(true)
    }
}
