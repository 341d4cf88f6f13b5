//! The step that gives a whole tree its final name, and what replaces a tree that stands there.
//!
//! Invariant: at every moment of a replacement, the old tree and the new one are both whole, under
//! the target's name, the part's, or the one that [`aside`] makes; the old one goes only when the
//! new one has its name.

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
    /// directory only if `is_known` says yes for everything in it that is no directory itself, both
    /// before it loses its name and after: what came meanwhile gives it its name back.
    ///
    /// The names change places in one step where the system can; then the old tree is removed
    /// under the name of the part. A crash before that leaves the new tree under its final name
    /// and the old one as a part, so after a crash look first whether the target is right, and if
    /// so drop the part. Elsewhere the old tree is first renamed; [`settle`] mends a crash there.
    ///
    /// # Errors
    /// [`DiskError::Unknown`] with the first entry that is not known; [`DiskError::Replaced`] as
    /// above; [`DiskError::Exists`] with the name of an old tree that was put aside and could not
    /// come back. Once the new tree has its name for good, only the removal of the old one can fail;
    /// it then lies under the part's name.
    pub fn replace(
        self,
        target: &Path,
        is_known: &mut dyn FnMut(&WalkEntry) -> bool,
    ) -> Result<(), DiskError> {
        settle(self.path(), target)?;
        match std::fs::symlink_metadata(target) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return self.install(target),
            Err(error) => return Err(DiskError::of("install", target)(error)),
            Ok(_) => require_known(target, target, is_known)?,
        }
        let (part, _lock) = self.for_rename()?;
        match platform::exchange(&part, target) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                replace_in_steps(&part, target, is_known)
            }
            exchanged => {
                let fail = |error| DiskError::of("install", target)(error);
                exchanged.map_err(fail)?;
                sync_dir(parent(target))?;
                remove_known(&part, target, is_known, || {
                    platform::exchange(&part, target).map_err(fail)?;
                    sync_dir(parent(target))
                })
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
    match (is_there(&aside)?, is_there(target)?) {
        (false, _) => Ok(()),
        (true, false) => install(&aside, target, false),
        // What stands there is somebody else's; the next replacement names what is put aside.
        (true, true) if is_there(part)? => Ok(()),
        (true, true) => remove_tree(&aside),
    }
}

pub(super) fn replace_in_steps(
    part: &Path,
    target: &Path,
    is_known: &mut dyn FnMut(&WalkEntry) -> bool,
) -> Result<(), DiskError> {
    let aside = aside(part);
    install(target, &aside, false)?;
    if let Err(error) = install(part, target, false) {
        // Somebody may have taken the name meanwhile; then the old tree stays where it is.
        return Err(match install(&aside, target, false) {
            Ok(()) => error,
            Err(_) => DiskError::Exists { path: aside },
        });
    }
    remove_known(&aside, target, is_known, || {
        install(target, part, false)?;
        install(&aside, target, false)
    })
}

/// Removes the `old` tree that the one at the target has replaced. If something has come into it
/// since it was looked at, it gets its name back by `undo`.
fn remove_known(
    old: &Path,
    target: &Path,
    is_known: &mut dyn FnMut(&WalkEntry) -> bool,
    undo: impl FnOnce() -> Result<(), DiskError>,
) -> Result<(), DiskError> {
    match require_known(old, target, is_known) {
        Ok(()) => remove_tree(old),
        Err(error) => undo().and(Err(error)),
    }
}

/// The name for the old tree: that of the part with another ending, no longer than it.
pub(super) fn aside(part: &Path) -> PathBuf {
    let stem = part.file_stem().unwrap_or(OsStr::new("_"));
    let mut name = stem.to_owned();
    name.push(".old");
    part.with_file_name(name)
}

/// Whether everything is known in what stands at `path`, whose name in an error is `name`. Anything
/// but a directory is.
fn require_known(
    path: &Path,
    name: &Path,
    is_known: &mut dyn FnMut(&WalkEntry) -> bool,
) -> Result<(), DiskError> {
    let there = std::fs::symlink_metadata(path);
    if !there.map_err(DiskError::of("examine", path))?.is_dir() {
        return Ok(());
    }
    let Some(view) = TreeView::open(path)? else {
        return Ok(());
    };
    for entry in view.walk() {
        let entry = entry?;
        if entry.facts.kind != EntryKind::Directory && !is_known(&entry) {
            return Err(DiskError::Unknown {
                path: name.join(entry.path),
            });
        }
    }
    Ok(())
}
