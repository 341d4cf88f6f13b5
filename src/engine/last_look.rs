//! The last look at a part before it gets its final name: is it still what was written, whoever may
//! have touched it meanwhile?
//!
//! Costs nothing as long as nothing is odd: another length, another file of the name, holes (which
//! every file has where the file system compresses), or a time of modification that is not that of
//! our own last write. What is odd is proved once more from the disk; what then proves wrong gets no
//! final name, and no checkpoint describes it any more.

use crate::disk::DiskError;
use crate::disk::part::PartFile;
use crate::download::Failure;
use crate::engine::aside::on_a_thread;
use crate::engine::begin::Signals;
use crate::engine::coordinator::{Coordinator, Stop};
use crate::engine::failure::disk_failure;
use crate::engine::output::Output;
use crate::exit::ExitKind;

/// What is odd about a part.
enum Oddity {
    /// Its name stands for another file.
    Replaced,
    /// It has another length.
    Length(u64),
    /// Somebody else may have written to it, or less of it is on the disk than was written.
    Doubts,
    /// An earlier run found it wrong, and this one has proved all of it.
    Mark,
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
        if let Err(stop) = self.look_at_part(part, size, signals).await {
            self.halt(stop);
        }
    }

    async fn look_at_part(
        &mut self,
        part: PartFile,
        size: u64,
        signals: &mut Signals,
    ) -> Result<(), Stop> {
        let oddity = oddity(&part, size).map_err(|error| self.part_failed(&error))?;
        match oddity {
            None => return Ok(()),
            Some(Oddity::Replaced) => {
                return Err(self.changed("somebody else has put another file there"));
            }
            Some(Oddity::Length(len)) => {
                let marked = part.distrust();
                marked.map_err(|error| self.part_failed(&error))?;
                return Err(self.changed(&format!(
                    "somebody else has changed it, it is {len} bytes long where the file has {size}"
                )));
            }
            Some(Oddity::Doubts) => {
                let marked = part.distrust();
                marked.map_err(|error| self.part_failed(&error))?;
                if !self.holds(&part, signals).await? {
                    return Err(self.changed("somebody else has changed it"));
                }
            }
            Some(Oddity::Mark) => {}
        }
        // What was proved may be somebody else's, who has synced nothing.
        let vouched = on_a_thread(move || part.vouch().and_then(|done| part.sync().map(|()| done)));
        match vouched.await.map_err(|error| self.part_failed(&error))? {
            true => Ok(()),
            false => Err(self.changed("somebody else has changed it")),
        }
    }

    pub(super) fn part_failed(&self, error: &DiskError) -> Stop {
        Stop::Failed(disk_failure(error, self.job.id))
    }

    pub(super) fn changed(&self, how: &str) -> Stop {
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
    async fn holds(&mut self, part: &PartFile, signals: &mut Signals) -> Result<bool, Stop> {
        match self.whole.is_some() {
            true => self.is_right_on_disk(part.clone(), signals).await,
            false => self.root_still_holds(signals).await,
        }
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
    if part.is_doubted() || part.has_holes()? {
        return Ok(Some(Oddity::Doubts));
    }
    Ok(part.is_distrusted()?.then_some(Oddity::Mark))
}
