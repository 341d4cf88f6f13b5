//! A tree that is only looked at: what stands at a target already.
//!
//! Follows no symlink below its root and changes nothing. On a disk that folds names, looking up
//! one name may find another; [`TreeView::walk`] gives the names as they are kept.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::disk::error::DiskError;
use crate::disk::part::PartFile;
use crate::disk::platform::Dir;
use crate::disk::random_file::RandomFile;
use crate::disk::tree::entry::{EntryFacts, EntryKind};
use crate::disk::tree::path::TreePath;
use crate::disk::tree::root::Root;

/// An open tree.
#[derive(Debug)]
pub struct TreeView {
    root: Root,
}

impl TreeView {
    /// Opens the directory at `path`; `None` if nothing is there.
    ///
    /// # Errors
    /// When something else than a directory is there, be it a symlink to one.
    pub fn open(path: &Path) -> Result<Option<Self>, DiskError> {
        let root = Root::open(path, false)?;
        Ok(root.map(|root| Self { root }))
    }

    /// The facts about an entry; `None` if there is none, or not below real directories.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn inspect(&self, path: &TreePath) -> Result<Option<EntryFacts>, DiskError> {
        inspect(&self.root, path)
    }

    /// What a symlink holds.
    ///
    /// # Errors
    /// When there is no symlink.
    pub fn read_link(&self, path: &TreePath) -> Result<Vec<u8>, DiskError> {
        self.root
            .at("read the link", path, |dir, name| dir.read_link(name))
    }

    /// Opens a regular file for reading; `None` if nothing is there.
    ///
    /// # Errors
    /// [`DiskError::NotRegular`] if something else is there.
    pub fn read_file(&self, path: &TreePath) -> Result<Option<RandomFile>, DiskError> {
        let file = self.open_regular(path)?;
        file.map(|file| RandomFile::of(file, &path.below(self.root.path())))
            .transpose()
    }

    /// The same as a part, which can only be read: to prove again what an earlier run installed.
    ///
    /// # Errors
    /// As [`TreeView::read_file`].
    pub fn read_part(&self, path: &TreePath) -> Result<Option<PartFile>, DiskError> {
        let file = self.open_regular(path)?;
        file.map(|file| PartFile::in_tree(file, &path.below(self.root.path())))
            .transpose()
    }

    /// The same of a part that has to be there.
    ///
    /// # Errors
    /// As above, and when it is gone.
    pub fn require_part(&self, path: &TreePath) -> Result<PartFile, DiskError> {
        self.read_part(path)?.ok_or_else(|| {
            let path = path.below(self.root.path());
            DiskError::of("open", &path)(io::ErrorKind::NotFound.into())
        })
    }

    fn open_regular(&self, path: &TreePath) -> Result<Option<File>, DiskError> {
        match self.inspect(path)?.map(|facts| facts.kind) {
            None => Ok(None),
            Some(EntryKind::File) => {
                let open = |dir: &Dir, name: &OsStr| dir.open_file(name, false);
                self.root.at("open", path, open).map(Some)
            }
            Some(_) => Err(DiskError::NotRegular {
                path: path.below(self.root.path()),
            }),
        }
    }

    /// Opens a regular file that a walk found, whatever its name.
    ///
    /// # Errors
    /// [`DiskError::NotRegular`] if something else is there by now.
    pub fn open_entry(&self, path: &Path) -> Result<RandomFile, DiskError> {
        let on_disk = self.root.path().join(path);
        let file = self.at_entry(path, |dir, name| dir.open_file(name, false));
        RandomFile::of(file.map_err(DiskError::of("open", &on_disk))?, &on_disk)
    }

    /// What a symlink holds that a walk found, whatever its name.
    ///
    /// # Errors
    /// When it is no symlink by now.
    pub fn read_link_entry(&self, path: &Path) -> Result<Vec<u8>, DiskError> {
        let link = self.at_entry(path, |dir, name| dir.read_link(name));
        link.map_err(DiskError::of("read the link", &self.root.path().join(path)))
    }

    fn at_entry<T>(
        &self,
        path: &Path,
        op: impl Fn(&Dir, &OsStr) -> io::Result<T>,
    ) -> io::Result<T> {
        let name = path.file_name().unwrap_or_default();
        let parent = path.parent().unwrap_or(Path::new(""));
        self.root.within_path(parent, |dir| op(dir, name))
    }

    /// The names in a directory, in no order; those of the root for `None`.
    ///
    /// # Errors
    /// When there is no directory, or it cannot be read.
    pub fn names(&self, path: Option<&TreePath>) -> Result<Vec<OsString>, DiskError> {
        let below = path.map_or("", TreePath::as_str);
        let list = |dir: &Dir| {
            let mut names = Vec::new();
            dir.list(&mut |name, _| names.push(name)).map(|()| names)
        };
        let on_disk = path.map_or_else(
            || self.root.path().to_path_buf(),
            |path| path.below(self.root.path()),
        );
        self.root
            .within(below, list)
            .map_err(DiskError::of("list", &on_disk))
    }

    /// All entries, each directory before what it holds, otherwise in no order.
    pub fn walk(&self) -> Walk<'_> {
        Walk::new(&self.root)
    }
}

pub(super) fn inspect(root: &Root, path: &TreePath) -> Result<Option<EntryFacts>, DiskError> {
    match root.at("examine", path, |dir, name| dir.look(name)) {
        Err(DiskError::Io { source, .. })
            if matches!(
                source.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        looked => looked,
    }
}

/// One entry of a [`Walk`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalkEntry {
    /// Below the root of the tree, in the very bytes of the disk.
    pub path: PathBuf,
    /// What it is.
    pub facts: EntryFacts,
}

/// Iterates over a tree. Memory holds the names of one directory and the paths of directories that
/// wait; one file descriptor is open at a time. After an error it goes on with the next entry.
#[derive(Debug)]
pub struct Walk<'tree> {
    root: &'tree Root,
    /// Directories still to be listed; the one at the end is next.
    waiting: Vec<PathBuf>,
    current: Option<Listing>,
}

/// The directory that is being gone through.
#[derive(Debug)]
struct Listing {
    dir: Dir,
    path: PathBuf,
    names: std::vec::IntoIter<OsString>,
}

impl<'tree> Walk<'tree> {
    pub(super) fn new(root: &'tree Root) -> Self {
        Self {
            root,
            waiting: vec![PathBuf::new()],
            current: None,
        }
    }

    fn list(&self, path: PathBuf) -> Result<Listing, DiskError> {
        let fail = |error| DiskError::of("list", &self.root.path().join(&path))(error);
        let dir = self.root.open_dir(&path).map_err(fail)?;
        let mut names = Vec::new();
        dir.list(&mut |name, _| names.push(name)).map_err(fail)?;
        Ok(Listing {
            dir,
            path,
            names: names.into_iter(),
        })
    }

    fn look(&self, listing: &Listing, name: &OsStr) -> Result<Option<WalkEntry>, DiskError> {
        let path = listing.path.join(name);
        match listing.dir.look(name) {
            // What is removed after the listing is not there.
            Ok(facts) => Ok(facts.map(|facts| WalkEntry { path, facts })),
            Err(error) => Err(DiskError::of("examine", &self.root.path().join(path))(
                error,
            )),
        }
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<WalkEntry, DiskError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some(mut listing) = self.current.take() else {
                let dir = self.waiting.pop()?;
                match self.list(dir) {
                    Ok(listing) => self.current = Some(listing),
                    Err(error) => return Some(Err(error)),
                }
                continue;
            };
            let Some(name) = listing.names.next() else {
                continue;
            };
            let looked = self.look(&listing, &name);
            self.current = Some(listing);
            if let Some(found) = looked.transpose() {
                if let Ok(entry) = &found
                    && entry.facts.kind == EntryKind::Directory
                {
                    self.waiting.push(entry.path.clone());
                }
                return Some(found);
            }
        }
    }
}
