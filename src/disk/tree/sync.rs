//! Making a tree durable: the sync that any thread can run.

use std::ffi::OsStr;
use std::io;
use std::sync::Arc;

use crate::disk::error::DiskError;
use crate::disk::install;
use crate::disk::platform::{self, Dir};
use crate::disk::tree::entry::{EntryFacts, EntryKind};
use crate::disk::tree::root::Root;
use crate::disk::tree::view::Walk;

/// A sync of everything in a tree that waits to be run.
#[derive(Debug)]
#[must_use = "nothing is durable before it ran"]
pub struct TreeSync(pub(super) Arc<Root>);

impl TreeSync {
    /// Runs it. On Linux it asks the file system to write out all that it has, other programs'
    /// data included, and fails if that fails for any of them.
    ///
    /// # Errors
    /// When the system says that it failed. After that every later one of the same tree fails too:
    /// the system may say it once only, see [`PartFile::sync`](crate::disk::part::PartFile::sync).
    pub fn run(self) -> Result<(), DiskError> {
        let Self(root) = self;
        if root.has_failed_to_sync() {
            let source = io::Error::other("an earlier sync of this directory failed");
            return Err(DiskError::of("sync", root.path())(source));
        }
        let synced = sync_everything(&root);
        if synced.is_err() {
            root.note_failed_sync();
        }
        synced
    }
}

fn sync_everything(root: &Root) -> Result<(), DiskError> {
    match root.dir().sync_file_system() {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => sync_everything_alone(root)?,
        done => done.map_err(DiskError::of("sync", root.path()))?,
    }
    // The name of the root.
    install::sync_dir(install::parent(root.path()))
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
