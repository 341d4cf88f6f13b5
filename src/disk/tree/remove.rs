//! Removal of whole trees, without following a link.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use crate::disk::error::DiskError;
use crate::disk::install;
use crate::disk::platform::{self, Dir};
use crate::disk::tree::entry::EntryKind;
use crate::disk::tree::part::Tree;
use crate::disk::tree::root::Root;
use crate::disk::tree::view::WalkEntry;

/// Removes the directory at `path` with all that it holds, or the file or symlink that stands
/// there, durably; it is fine if there is nothing. Directories that are closed to their owner are
/// opened up first. After a failure, a part of it is gone.
///
/// # Errors
/// When something is there and stays.
pub fn remove_tree(path: &Path) -> Result<(), DiskError> {
    let fail = |error| DiskError::of("remove", path)(error);
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(fail(error)),
        Ok(there) if !there.is_dir() => install::remove(path)?,
        Ok(_) => {
            platform::open_up(path).map_err(fail)?;
            if let Some(root) = Root::open(path, true)? {
                empty(&root)?;
            }
            fine_if_gone(std::fs::remove_dir(path)).map_err(fail)?;
        }
    }
    install::sync_dir(install::parent(path))
}

impl Tree {
    /// Removes everything that `is_wanted` does not want. Who wants something wants the directories
    /// above it.
    ///
    /// # Errors
    /// When something cannot be examined, or stays.
    pub fn retain(&mut self, is_wanted: &mut dyn FnMut(&Path) -> bool) -> Result<(), DiskError> {
        let mut unwanted = Vec::new();
        for entry in self.walk() {
            let entry = entry?;
            if !is_wanted(&entry.path) {
                unwanted.push(entry);
            }
        }
        // A walk comes to a directory before it comes to what is in it.
        unwanted
            .iter()
            .rev()
            .try_for_each(|entry| remove_entry(&self.root, entry))
    }
}

fn remove_entry(root: &Root, entry: &WalkEntry) -> Result<(), DiskError> {
    let Some(name) = entry.path.file_name() else {
        return Ok(());
    };
    let parent = entry.path.parent().unwrap_or(Path::new(""));
    let removed = root.within_path(parent, |dir| {
        fine_if_gone(match entry.facts.kind {
            EntryKind::Directory => dir.remove_dir(name),
            _ => dir.remove_file(name),
        })
    });
    removed.map_err(|error| DiskError::of("remove", &root.path().join(&entry.path))(error))
}

/// Removes all that the root holds. Each directory is seen twice: to remove its files and find
/// its directories, and when those are gone, to remove itself.
fn empty(root: &Root) -> Result<(), DiskError> {
    let mut waiting = vec![(PathBuf::new(), false)];
    while let Some((path, is_empty)) = waiting.pop() {
        let fail = |error| DiskError::of("remove", &root.path().join(&path))(error);
        if is_empty {
            let Some(name) = path.file_name() else {
                continue;
            };
            let parent = path.parent().unwrap_or(Path::new(""));
            root.within_path(parent, |dir| fine_if_gone(dir.remove_dir(name)))
                .map_err(fail)?;
        } else {
            let dirs = match root.within_path(&path, remove_files) {
                // Somebody else removes it, too.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                dirs => dirs.map_err(fail)?,
            };
            waiting.push((path.clone(), true));
            waiting.extend(dirs.into_iter().map(|name| (path.join(name), false)));
        }
    }
    Ok(())
}

/// Removes what is no directory; returns the directories.
fn remove_files(dir: &Dir) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    dir.list(&mut |name, _| names.push(name))?;
    let mut dirs = Vec::new();
    for name in names {
        match dir.look(&name)?.map(|facts| facts.kind) {
            None => {}
            Some(EntryKind::Directory) => dirs.push(name),
            Some(_) => fine_if_gone(dir.remove_file(&name))?,
        }
    }
    Ok(dirs)
}

pub(super) fn fine_if_gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
