//! Where the bytes go: the part, and whether the target can take what comes of it.

use std::path::Path;

use crate::disk::part::PartFile;
use crate::disk::tree::{Tree, TreePath, TreeView};
use crate::disk::{DiskError, inspect, room};
use crate::engine::Destination;
use crate::engine::coordinator::{Coordinator, Stop};
use crate::engine::failure::{
    busy_failure, disk_failure, exists_failure, not_a_file, target_failure,
};
use crate::engine::output::Output;
use crate::engine::plan::FilePlan;

impl Coordinator<'_> {
    pub(in crate::engine) fn open_part(&self, path: &Path) -> Result<PartFile, Stop> {
        let id = self.job.id;
        let taken = |error: DiskError| Stop::Failed(target_failure(&error, id));
        let target = match &self.job.destination {
            Destination::Disk { target, .. } => Some(&**target),
            Destination::Stdout { .. } => None,
        };
        let part = match PartFile::open_own(path, target).map_err(taken)? {
            Some(part) => part,
            None => PartFile::create(path).map_err(taken)?,
        };
        let locked = part.try_lock();
        match locked.map_err(|error| Stop::Failed(disk_failure(&error, id)))? {
            true => Ok(part),
            false => Err(Stop::Failed(busy_failure(path, id))),
        }
    }

    pub(super) fn open_tree(&self, path: &Path) -> Result<Tree, Stop> {
        self.refuse_checksum("directory")?;
        let id = self.job.id;
        let opened = match Tree::open(path) {
            Ok(Some(tree)) => Ok(tree),
            Ok(None) => Tree::create(path),
            Err(error) => Err(error),
        };
        opened.map_err(|error| match error {
            DiskError::Locked { .. } => Stop::Failed(busy_failure(path, id)),
            error => Stop::Failed(target_failure(&error, id)),
        })
    }

    pub(super) fn make_output(&self) -> Result<Output, Stop> {
        let Destination::Disk { part, .. } = &self.job.destination else {
            return match self.plan.root_kind() {
                Some("file") => Ok(Output::Stdout),
                kind => Err(Stop::Failed(not_a_file(
                    self.root_text(),
                    kind.unwrap_or_default(),
                ))),
            };
        };
        match self.plan.root_kind() {
            Some("directory") => Ok(Output::tree(self.open_tree(part)?)),
            Some("file") => {
                let part = self.open_part(part)?;
                self.cut(&part)?;
                Ok(Output::File(part))
            }
            // A link has no bytes: all of it is made when it gets its name.
            _ => self.judge_root_link().map(|()| Output::Undecided),
        }
    }

    /// A part that somebody made longer than the file must not give it its length.
    pub(super) fn cut(&self, part: &PartFile) -> Result<(), Stop> {
        let Some(size) = self.plan.file(0).map(FilePlan::size) else {
            return Ok(());
        };
        let cut = part.len().and_then(|len| match len > size {
            true => part.set_len(size),
            false => Ok(()),
        });
        cut.map_err(|error| Stop::Failed(disk_failure(&error, self.job.id)))
    }

    /// Whether the target can take it: nothing else there, and room.
    pub(super) fn check_place(&mut self) {
        let Destination::Disk {
            target, overwrite, ..
        } = &self.job.destination
        else {
            return;
        };
        if self.is_in_place {
            return;
        }
        let (id, size) = (self.job.id, self.plan.size().unwrap_or(0));
        if let (Some(text), None) = (self.plan.root_link(), &self.job.car_part)
            && inspect::link_text(target).as_deref() == Some(&text[..])
        {
            self.is_in_place = true;
            return;
        }
        let is_free = match inspect::file_len(target) {
            _ if self.plan.is_directory() && !*overwrite && inspect::is_directory(target) => {
                self.may_be_there(target)
            }
            // Only a directory replaces a directory.
            _ if inspect::is_directory(target) && !self.plan.is_directory() => false,
            Ok(None) => !inspect::exists(target) || *overwrite,
            Ok(Some(there)) => *overwrite || (there == size && !self.plan.is_directory()),
            Err(_) if *overwrite => true,
            Err(error) => return self.fail(target_failure(&error, id)),
        };
        // No other file of the same size is that CAR: it would have been recognised.
        let is_taken = self.job.car_part.is_some() && inspect::exists(target) && !*overwrite;
        if !is_free || is_taken {
            let failure = exists_failure(target, id);
            return self.fail(failure);
        }
        let directory = target.parent().unwrap_or(target);
        let needed = match self.plan.is_directory() {
            // What directories claim is no proof, and no reason to refuse.
            true => self.plan.totals().known_bytes,
            false => size,
        };
        // A CAR is written beside the part that it comes from.
        let copies = 1 + u64::from(self.job.car_part.is_some());
        if let Err(error) = room::require(
            directory,
            needed
                .saturating_mul(copies)
                .saturating_sub(self.plan.proved_bytes()),
        ) {
            self.fail(target_failure(&error, id));
        }
    }

    /// Whether a directory that stands at the target may be the one that is wanted: it has every name
    /// that is known by now. At the install it is known whether it is.
    fn may_be_there(&self, target: &Path) -> bool {
        let Ok(Some(view)) = TreeView::open(target) else {
            return false;
        };
        let is_there = |path: &str| {
            let path = TreePath::parse(path);
            path.is_ok_and(|path| matches!(view.inspect(&path), Ok(Some(_))))
        };
        let mut entries = self.plan.entries();
        entries.all(|(_, entry)| entry.path.is_empty() || is_there(&entry.path))
    }
}
