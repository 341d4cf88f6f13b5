//! The last look at a part before it gets its final name: is it still what was written, whoever may
//! have touched it meanwhile?
//!
//! Costs nothing as long as nothing is odd: another length, another file of the name, holes, or a
//! time of modification that is not that of our own last write. What is odd is proved once more from the disk; what then
//! proves wrong gets no final name, and no checkpoint describes it any more.

use crate::disk::DiskError;
use crate::disk::part::PartFile;
use crate::download::Failure;
use crate::engine::begin::Signals;
use crate::engine::coordinator::{Coordinator, Stop};
use crate::engine::failure::disk_failure;
use crate::engine::output::Output;
use crate::engine::plan::FilePlan;
use crate::engine::recover::Access;
use crate::exit::ExitKind;

/// What is odd about a part.
enum Oddity {
    /// Its name stands for another file.
    Replaced,
    /// It has another length.
    Length(u64),
    /// Somebody else may have written to it, or less of it is on the disk than was written.
    Doubts,
}

impl Coordinator<'_> {
    /// Stops the download if the part is not what was written.
    pub(super) async fn look_again(&mut self, signals: &mut Signals) {
        if self.job.car_part.is_none() {
            self.look_at_tree(signals).await;
        }
        let (Output::File(part), Some(size), false) =
            (self.output.clone(), self.known_size(), self.is_in_place)
        else {
            return;
        };
        let stop = match oddity(&part, size) {
            Ok(None) => return,
            Ok(Some(Oddity::Replaced)) => self.changed("somebody else has put another file there"),
            Ok(Some(Oddity::Length(len))) => match part.distrust() {
                Ok(()) => self.changed(&format!(
                    "somebody else has changed it, it is {len} bytes long where the file has {size}"
                )),
                Err(error) => Stop::Failed(disk_failure(&error, self.job.id)),
            },
            Ok(Some(Oddity::Doubts)) => match self.prove_again(&part, signals).await {
                Ok(true) => return,
                Ok(false) => self.changed("somebody else has changed it"),
                Err(stop) => stop,
            },
            Err(error) => Stop::Failed(disk_failure(&error, self.job.id)),
        };
        self.halt(stop);
    }

    fn changed(&self, how: &str) -> Stop {
        Stop::Failed(Failure {
            kind: ExitKind::Disk,
            message: format!("the part file is not as it was written: {how}"),
            hint: Some(format!(
                "prove it again with: fetchd resume {}",
                self.job.id
            )),
        })
    }

    /// Proves all of the part as it is on the disk.
    async fn prove_again(&mut self, part: &PartFile, signals: &mut Signals) -> Result<bool, Stop> {
        let id = self.job.id;
        part.distrust()
            .map_err(|error| Stop::Failed(disk_failure(&error, id)))?;
        if self.whole.is_some() {
            return self.is_right_on_disk(part.clone(), signals).await;
        }
        let found = self.recover(Access::Read, signals).await?;
        let file = found.plan.file(0);
        Ok(!found.has_lost && file.is_some_and(FilePlan::is_complete))
    }
}

fn oddity(part: &PartFile, size: u64) -> Result<Option<Oddity>, DiskError> {
    if part.is_replaced()? {
        return Ok(Some(Oddity::Replaced));
    }
    let len = part.len()?;
    if len != size {
        return Ok(Some(Oddity::Length(len)));
    }
    let has_doubts = part.is_doubted() || part.has_holes()?;
    Ok(has_doubts.then_some(Oddity::Doubts))
}
