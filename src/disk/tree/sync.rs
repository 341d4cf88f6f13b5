//! Making a tree durable: what is new in it, and the sync that any thread can run.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io;
use std::sync::Arc;

use crate::disk::error::DiskError;
use crate::disk::install;
use crate::disk::platform::{self, Dir};
use crate::disk::tree::entry::{EntryFacts, EntryKind};
use crate::disk::tree::path::TreePath;
use crate::disk::tree::root::Root;
use crate::disk::tree::view::Walk;

/// From this many directories on, one sync of the whole file system is cheaper than one for each.
const MANY_DIRS: usize = 32;

/// What is not durable yet.
#[derive(Debug, Default)]
pub(super) struct Unsynced {
    everything: bool,
    /// The name of the root in its parent.
    root_name: bool,
    /// Directories with new or removed names; the empty path is the root.
    dirs: HashSet<String>,
}

impl Unsynced {
    pub(super) fn new_tree() -> Self {
        Self {
            root_name: true,
            ..Self::default()
        }
    }

    pub(super) fn everything() -> Self {
        Self {
            everything: true,
            root_name: true,
            ..Self::default()
        }
    }

    /// The directory that holds `path` has changed.
    pub(super) fn changed(&mut self, path: &TreePath) {
        if !self.everything && !self.dirs.contains(path.dir()) {
            self.dirs.insert(path.dir().to_owned());
        }
    }

    pub(super) fn take(&mut self, root: &Arc<Root>) -> TreeSync {
        TreeSync {
            root: Arc::clone(root),
            unsynced: std::mem::take(self),
        }
    }
}

/// A sync that waits to be run.
#[derive(Debug)]
#[must_use = "nothing is durable before it ran"]
pub struct TreeSync {
    root: Arc<Root>,
    unsynced: Unsynced,
}

impl TreeSync {
    /// Runs it. On Linux a large one asks the file system to write out all that it has, other
    /// programs' data included, and fails if that fails for any of them.
    ///
    /// # Errors
    /// When the system says that it failed.
    pub fn run(self) -> Result<(), DiskError> {
        let Self { root, unsynced } = self;
        let fail = |error| DiskError::of("sync", root.path())(error);
        let many = unsynced.everything || unsynced.dirs.len() > MANY_DIRS;
        let whole = if many {
            root.dir().sync_file_system()
        } else {
            Err(io::ErrorKind::Unsupported.into())
        };
        match whole {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                sync_each(&root, &unsynced)?;
            }
            done => done.map_err(fail)?,
        }
        if unsynced.root_name {
            install::sync_dir(install::parent(root.path()))?;
        }
        Ok(())
    }
}

fn sync_each(root: &Root, unsynced: &Unsynced) -> Result<(), DiskError> {
    if unsynced.everything {
        return sync_everything_alone(root);
    }
    for dir in &unsynced.dirs {
        match root.within(dir, Dir::sync) {
            // Removed since, and its parent has changed with that.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            synced => synced.map_err(DiskError::of("sync", &root.path().join(dir)))?,
        }
    }
    Ok(())
}

/// Where no call syncs a whole file system: one sync for each entry.
pub(super) fn sync_everything_alone(root: &Root) -> Result<(), DiskError> {
    for entry in Walk::new(root) {
        let entry = entry?;
        let (Some(name), Some(dir)) = (entry.path.file_name(), entry.path.parent()) else {
            continue;
        };
        root.within_path(dir, |dir| sync_entry(dir, name, &entry.facts))
            .map_err(|error| DiskError::of("sync", &root.path().join(&entry.path))(error))?;
    }
    // Last, since it also empties the cache of the device where the others do not.
    root.dir()
        .sync()
        .map_err(DiskError::of("sync", root.path()))
}

fn sync_entry(dir: &Dir, name: &OsStr, facts: &EntryFacts) -> io::Result<()> {
    match facts.kind {
        EntryKind::Directory => dir.open_dir(name)?.sync(),
        EntryKind::File => match dir.open_file(name, platform::SYNC_NEEDS_WRITE) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                sync_closed(dir, name, facts, error)
            }
            opened => platform::sync_file(&opened?),
        },
        // The sync of the directory covers them.
        EntryKind::Link | EntryKind::Other => Ok(()),
    }
}

/// A file whose preserved mode lets not even its owner read it.
fn sync_closed(dir: &Dir, name: &OsStr, facts: &EntryFacts, denied: io::Error) -> io::Result<()> {
    let Some(mode) = facts.mode else {
        return Err(denied);
    };
    dir.set_mode(name, mode | 0o600)?;
    let synced = dir
        .open_file(name, platform::SYNC_NEEDS_WRITE)
        .and_then(|file| platform::sync_file(&file));
    dir.set_mode(name, mode)?;
    synced
}
