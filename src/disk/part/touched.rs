//! Who has changed a part: only what nobody else has touched is believed without another proof.

use std::fs::{File, Metadata};
use std::io;
use std::path::Path;
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::disk::error::DiskError;
use crate::disk::part::PartFile;
use crate::disk::{Fingerprint, platform};

/// The time of modification, in seconds since 1970, of a part that nobody is to believe in: the
/// beginning of 1990, which every file system can hold, and when no part was written.
const MARK: u64 = 631_152_000;

/// When a file was last modified, in nanoseconds since 1970, and when anything of it was last
/// changed: whoever sets the first one back does not set back the second.
type Times = (i64, Option<(i64, i64)>);

/// Who has changed a part.
#[derive(Debug)]
pub(super) struct Touched {
    /// When we did last; none where nobody can tell.
    by_us: Option<Times>,
    /// Whether somebody else has, or is believed to have.
    by_others: bool,
}

impl Touched {
    /// Of a file that was opened just now.
    pub(super) fn of(file: &File) -> Self {
        Self {
            by_us: times_of(file),
            by_others: false,
        }
    }
}

impl PartFile {
    /// Changes the file, and looks whether somebody else has since our last change.
    pub(super) fn change(
        &self,
        op: &'static str,
        change: impl FnOnce(&File) -> io::Result<()>,
    ) -> Result<(), DiskError> {
        let file = &self.shared.file;
        let mut touched = self.touched();
        let changed = change(file);
        touched.by_us = times_of(file);
        changed.map_err(self.error(op))
    }

    /// Who has changed it by now. While this is held, we do not.
    fn touched(&self) -> MutexGuard<'_, Touched> {
        // A thread that panicked has ended the program's work anyway.
        let touched = self.shared.touched.lock();
        let mut touched = touched.unwrap_or_else(PoisonError::into_inner);
        let now = times_of(&self.shared.file);
        if touched.by_us.is_some() && now.is_some() && now != touched.by_us {
            touched.by_others = true;
        }
        touched
    }

    /// Whether somebody else has written to it since it was opened, as far as its times tell, or it
    /// was [distrusted](Self::distrust). Who is told so reads all of the file once more.
    pub fn is_doubted(&self) -> bool {
        self.touched().by_others
    }

    /// By what a later run finds that nobody has touched it since; `None` if somebody has by now, or
    /// its name stands for something else, or an earlier run [distrusted](Self::distrust) it.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        let touched = self.touched();
        let own = self.metadata().ok()?;
        let is_replaced = is_at(&own, self.path()) == Some(false);
        let is_ours = !touched.by_others && !is_marked(&own) && !is_replaced;
        Fingerprint::of(&own).filter(|_| is_ours)
    }

    /// Whether the name stands for something else by now. If it stands for nothing, whoever needs it
    /// will be told so.
    ///
    /// # Errors
    /// When the file itself cannot be looked at.
    pub fn is_replaced(&self) -> Result<bool, DiskError> {
        Ok(is_at(&self.metadata()?, self.path()) == Some(false))
    }

    /// Whether less is on the disk than the length says. What was written has no holes: somebody
    /// cut it, and it grew again. So it is with every file where the file system compresses, as ZFS
    /// mostly does.
    ///
    /// # Errors
    /// When the file cannot be looked at.
    pub fn has_holes(&self) -> Result<bool, DiskError> {
        Ok(platform::has_holes(&self.metadata()?))
    }

    /// Marks it as not what any checkpoint describes: whoever takes it up, now or after a crash,
    /// proves all of it again.
    ///
    /// # Errors
    /// When the time cannot be set.
    pub fn distrust(&self) -> Result<(), DiskError> {
        let mark = UNIX_EPOCH + Duration::from_secs(MARK);
        let mut touched = self.touched();
        touched.by_others = true;
        self.set_time(&mut touched, mark)
    }

    /// Whether it was [distrusted](Self::distrust), by whatever run, and not written to since.
    ///
    /// # Errors
    /// When the file cannot be looked at.
    pub fn is_distrusted(&self) -> Result<bool, DiskError> {
        Ok(is_marked(&self.metadata()?))
    }

    /// Takes the [mark](Self::distrust) off a part of which every byte was proved since: it was
    /// modified now, by us. `false` if somebody has written to it meanwhile.
    ///
    /// # Errors
    /// When the time cannot be set.
    pub fn vouch(&self) -> Result<bool, DiskError> {
        let mut touched = self.touched();
        if times_of(&self.shared.file) != touched.by_us {
            return Ok(false);
        }
        touched.by_others = false;
        self.set_time(&mut touched, SystemTime::now())
            .map(|()| true)
    }

    fn set_time(&self, touched: &mut Touched, time: SystemTime) -> Result<(), DiskError> {
        let set = self.shared.file.set_modified(time);
        // As the file system keeps it, which may be coarser.
        touched.by_us = times_of(&self.shared.file);
        set.map_err(self.error("mark"))
    }
}

/// Whether a path stands for this very file; `None` if nothing is there that can be looked at.
pub(super) fn is_at(file: &Metadata, path: &Path) -> Option<bool> {
    let there = std::fs::symlink_metadata(path).ok()?;
    Some(platform::is_same_file(file, &there))
}

/// When a file was last changed, where each write sets the times at once.
fn times_of(file: &File) -> Option<Times> {
    let metadata = file.metadata().ok();
    let metadata = metadata.filter(|_| platform::WRITES_SET_TIMES)?;
    let now = Fingerprint::of(&metadata)?;
    Some((now.mtime_ns, platform::changed(&metadata)))
}

fn is_marked(metadata: &Metadata) -> bool {
    let mark = i64::try_from(Duration::from_secs(MARK).as_nanos());
    Fingerprint::of(metadata).is_some_and(|now| mark == Ok(now.mtime_ns))
}
