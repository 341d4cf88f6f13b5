//! The open root of a tree, and the walk from it to where an operation takes place.
//!
//! Invariant: between the root and the operation only real directories are passed.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::disk::error::DiskError;
use crate::disk::platform::Dir;
use crate::disk::tree::entry::EntryKind;
use crate::disk::tree::path::TreePath;

/// What the owner of a directory needs to work in it.
const OWNER_ALL: u32 = 0o700;

/// An open root. Holds one file descriptor; each operation opens what it passes and closes it.
#[derive(Debug)]
pub(super) struct Root {
    dir: Dir,
    path: PathBuf,
    /// Directories below are ours: where their permissions are in the way, they are opened up.
    ours: bool,
    sync_failed: AtomicBool,
}

impl Root {
    /// Opens a directory; `None` if nothing is there.
    pub(super) fn open(path: &Path, ours: bool) -> Result<Option<Self>, DiskError> {
        match Dir::open(path) {
            Ok(dir) => Ok(Some(Self {
                dir,
                path: path.to_path_buf(),
                ours,
                sync_failed: AtomicBool::new(false),
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(DiskError::of("open", path)(error)),
        }
    }

    pub(super) fn dir(&self) -> &Dir {
        &self.dir
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a sync of what is in it failed.
    pub(super) fn has_failed_to_sync(&self) -> bool {
        self.sync_failed.load(Ordering::Acquire)
    }

    /// Notes that a sync of what is in it failed.
    pub(super) fn note_failed_sync(&self) {
        self.sync_failed.store(true, Ordering::Release);
    }

    /// Does `op` in the directory that holds `path`, with the last name of it.
    pub(super) fn at<T>(
        &self,
        verb: &'static str,
        path: &TreePath,
        op: impl Fn(&Dir, &OsStr) -> io::Result<T>,
    ) -> Result<T, DiskError> {
        let name = OsStr::new(path.name());
        self.within(path.dir(), |dir| op(dir, name))
            .map_err(|error| DiskError::of(verb, &path.below(&self.path))(error))
    }

    /// Does `op` in the directory with this path, given as `/` between names, empty for the root.
    pub(super) fn within<T>(
        &self,
        path: &str,
        op: impl Fn(&Dir) -> io::Result<T>,
    ) -> io::Result<T> {
        self.walk(
            || {
                path.split('/')
                    .filter(|name| !name.is_empty())
                    .map(OsStr::new)
            },
            op,
        )
    }

    /// Does `op` in the directory with this relative path as the disk has it.
    pub(super) fn within_path<T>(
        &self,
        path: &Path,
        op: impl Fn(&Dir) -> io::Result<T>,
    ) -> io::Result<T> {
        self.walk(|| path.iter(), op)
    }

    /// Opens the directory with this relative path as the disk has it; empty for the root.
    pub(super) fn open_dir(&self, path: &Path) -> io::Result<Dir> {
        self.within_path(path, |dir| dir.open_dir(OsStr::new(".")))
    }

    fn walk<'a, T, N: Iterator<Item = &'a OsStr>>(
        &self,
        names: impl Fn() -> N,
        op: impl Fn(&Dir) -> io::Result<T>,
    ) -> io::Result<T> {
        match self
            .descend(names(), false)
            .and_then(|dir| self.run(dir, &op))
        {
            Err(error) if self.ours && error.kind() == io::ErrorKind::PermissionDenied => self
                .descend(names(), true)
                .and_then(|dir| self.run(dir, &op)),
            done => done,
        }
    }

    fn run<T>(&self, dir: Option<Dir>, op: impl Fn(&Dir) -> io::Result<T>) -> io::Result<T> {
        op(dir.as_ref().unwrap_or(&self.dir))
    }

    /// Opens one directory after the other; `None` is the root.
    fn descend<'a>(
        &self,
        names: impl Iterator<Item = &'a OsStr>,
        open_up: bool,
    ) -> io::Result<Option<Dir>> {
        let mut at: Option<Dir> = None;
        for name in names {
            let dir = at.as_ref().unwrap_or(&self.dir);
            if open_up {
                open_up_dir(dir, name)?;
            }
            at = Some(dir.open_dir(name)?);
        }
        Ok(at)
    }
}

fn open_up_dir(dir: &Dir, name: &OsStr) -> io::Result<()> {
    let closed = dir.look(name)?.is_some_and(|facts| {
        facts.kind == EntryKind::Directory
            && facts.mode.is_some_and(|mode| mode & OWNER_ALL != OWNER_ALL)
    });
    if closed {
        dir.set_mode(name, OWNER_ALL)?;
    }
    Ok(())
}
