//! A file that stands at the target already: renamed by this download before a crash could be
//! recorded, or put there by somebody else. Where it proves to be what is wanted, nothing is
//! fetched.

use std::path::Path;
use std::sync::Arc;

use crate::disk::DiskError;
use crate::disk::part::PartFile;
use crate::engine::aside::on_a_thread;
use crate::engine::coordinator::{Coordinator, Stop};
use crate::engine::output::Output;
use crate::engine::whole::progress::Progress;
use crate::engine::whole::{Goal, Joins, Phase, Wanted, Whole, writer};

impl Whole {
    /// Whether a file on the disk is what is wanted.
    pub async fn is_right_on_disk(&self, file: PartFile) -> Result<bool, DiskError> {
        let wanted = Wanted::of(&self.goal);
        let sums = on_a_thread(move || writer::sums_of(file, wanted, Arc::default())).await?;
        Ok(sums.is_some_and(|sums| self.goal.is_met(&sums)))
    }
}

impl Coordinator<'_> {
    /// Takes what is at the target for the download, if its sums say that it is that.
    pub(super) async fn adopt_whole(&mut self, goal: &Goal, target: &Path) -> Result<bool, Stop> {
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
        let (there, wanted) = (file.clone(), Wanted::of(goal));
        let sums = on_a_thread(move || writer::sums_of(there, wanted, Arc::default()));
        let sums = match sums.await {
            Ok(Some(sums)) if goal.is_met(&sums) => sums,
            _ => return Ok(false),
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
