//! The step that gives a whole tree its final name, and what replaces a tree that stands there.
//!
//! Invariant: at every moment of a replacement, the old tree and the new one are both whole, under
//! the target's name, the part's, or the one that [`aside`] makes.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use crate::disk::error::DiskError;
use crate::disk::install::{install, parent, sync_dir};
use crate::disk::platform;
use crate::disk::tree::entry::EntryKind;
use crate::disk::tree::part::Tree;
use crate::disk::tree::remove::remove_tree;
use crate::disk::tree::view::{TreeView, WalkEntry};

impl Tree {
    /// Gives a synced tree its final name in the same directory, durably.
    ///
    /// # Errors
    /// [`DiskError::Exists`] if the name is taken, [`DiskError::Replaced`] if the part's name
    /// stands for something else by now; then nothing has changed. When the sync of the directory
    /// fails, the tree has its final name but may lose it in a power cut.
    pub fn install(self, target: &Path) -> Result<(), DiskError> {
        let (part, _lock) = self.for_rename()?;
        install(&part, target, false)
    }

    /// The same, and what stands at the target is replaced: a file or symlink at once, a
    /// directory only if `is_known` says yes for everything in it that is no directory itself.
    ///
    /// The names change places in one step where the system can; then the old tree is removed
    /// under the name of the part. A crash before that leaves the new tree under its final name
    /// and the old one as a part, so after a crash look first whether the target is right, and if
    /// so drop the part. Elsewhere the old tree is first renamed; [`settle`] mends a crash there.
    ///
    /// # Errors
    /// [`DiskError::Unknown`] with the first entry that is not known; [`DiskError::Replaced`] as
    /// above. Once the new tree has its name, only the removal of the old one can fail; it then
    /// lies under the part's name.
    pub fn replace(
        self,
        target: &Path,
        is_known: &mut dyn FnMut(&WalkEntry) -> bool,
    ) -> Result<(), DiskError> {
        settle(self.path(), target)?;
        match std::fs::symlink_metadata(target) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return self.install(target),
            Err(error) => return Err(DiskError::of("install", target)(error)),
            Ok(there) if there.is_dir() => require_known(target, is_known)?,
            Ok(_) => {}
        }
        let (part, _lock) = self.for_rename()?;
        match platform::exchange(&part, target) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                replace_in_steps(&part, target)
            }
            exchanged => {
                exchanged.map_err(DiskError::of("install", target))?;
                sync_dir(parent(target))?;
                remove_tree(&part)
            }
        }
    }

    /// The path, and the lock where a directory can be renamed while it is open.
    fn for_rename(self) -> Result<(PathBuf, Option<Self>), DiskError> {
        let path = self.path().to_path_buf();
        if self.is_replaced()? {
            return Err(DiskError::Replaced { path });
        }
        Ok((path, platform::RENAMES_OPEN_DIRS.then_some(self)))
    }
}

/// Completes or undoes what a crash left of a replacement in steps; to be called before the part
/// or the target is looked at. Does nothing otherwise.
///
/// # Errors
/// When the system refuses.
pub fn settle(part: &Path, target: &Path) -> Result<(), DiskError> {
    let aside = aside(part);
    let is_there = |path: &Path| match std::fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(DiskError::of("examine", path)(error)),
    };
    if !is_there(&aside)? {
        Ok(())
    } else if is_there(target)? {
        remove_tree(&aside)
    } else {
        install(&aside, target, false)
    }
}

pub(super) fn replace_in_steps(part: &Path, target: &Path) -> Result<(), DiskError> {
    let aside = aside(part);
    install(target, &aside, false)?;
    if let Err(error) = install(part, target, false) {
        // Somebody may have taken the name meanwhile; then the old tree stays where it is.
        let _kept_aside = install(&aside, target, false);
        return Err(error);
    }
    remove_tree(&aside)
}

/// The name for the old tree: that of the part with another ending, no longer than it.
pub(super) fn aside(part: &Path) -> PathBuf {
    let stem = part.file_stem().unwrap_or(OsStr::new("_"));
    let mut name = stem.to_owned();
    name.push(".old");
    part.with_file_name(name)
}

fn require_known(
    target: &Path,
    is_known: &mut dyn FnMut(&WalkEntry) -> bool,
) -> Result<(), DiskError> {
    let Some(view) = TreeView::open(target)? else {
        return Ok(());
    };
    for entry in view.walk() {
        let entry = entry?;
        if entry.facts.kind != EntryKind::Directory && !is_known(&entry) {
            return Err(DiskError::Unknown {
                path: target.join(entry.path),
            });
        }
    }
    Ok(())
}
