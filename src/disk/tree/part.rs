//! The part that a tree is built in: `<target>.<nonce>.partial/`.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::disk::Fingerprint;
use crate::disk::error::DiskError;
use crate::disk::part::PartFile;
use crate::disk::platform::{self, Dir};
use crate::disk::tree::entry::{EntryFacts, EntryKind, Preserved};
use crate::disk::tree::path::TreePath;
use crate::disk::tree::root::Root;
use crate::disk::tree::spelling::{Folding, Spelling, probe};
use crate::disk::tree::sync::TreeSync;
use crate::disk::tree::view::{Walk, inspect};

/// A tree under construction, locked against other processes while it is open.
///
/// Everything in it has from the start the permissions that the user's umask leaves, as it will
/// have under its final name.
#[derive(Debug)]
pub struct Tree {
    pub(super) root: Arc<Root>,
    spelling: Spelling,
    left: HashMap<Box<str>, Option<Fingerprint>>,
}

impl Tree {
    /// Makes a new, empty tree at `path`.
    ///
    /// # Errors
    /// [`DiskError::Exists`] if the name is taken, be it by a dangling symlink.
    pub fn create(path: &Path) -> Result<Self, DiskError> {
        Dir::create(path).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => DiskError::Exists {
                path: path.to_path_buf(),
            },
            _ => DiskError::of("create", path)(source),
        })?;
        let tree = Self::lock(path)?;
        tree.ok_or_else(|| DiskError::of("open", path)(io::ErrorKind::NotFound.into()))
    }

    /// Opens a tree that is there; `None` if it is not.
    ///
    /// # Errors
    /// [`DiskError::Locked`] if another handle has it open, in this process or another; an error
    /// if something else than a directory is there, be it a symlink to one.
    pub fn open(path: &Path) -> Result<Option<Self>, DiskError> {
        match Self::lock(path) {
            Err(DiskError::Io { ref source, .. })
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                open_up(path)?;
                Self::lock(path)
            }
            opened => opened,
        }
    }

    fn lock(path: &Path) -> Result<Option<Self>, DiskError> {
        let Some(root) = Root::open(path, true)? else {
            return Ok(None);
        };
        let fail = |error| DiskError::of("lock", path)(error);
        if !root.dir().try_lock().map_err(fail)? {
            return Err(DiskError::Locked {
                path: path.to_path_buf(),
            });
        }
        // Its former owner may have installed or removed it before this lock.
        if !root.dir().is_at(path).map_err(fail)? {
            return Ok(None);
        }
        // A crash while permissions were preserved may have left it closed to its owner.
        open_up(path)?;
        let spelling = Spelling::new(probe(root.dir()));
        Ok(Some(Self {
            root: Arc::new(root),
            spelling,
            left: HashMap::new(),
        }))
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        self.root.path()
    }

    /// Whether a sync of it failed: nothing in it becomes durable for sure any more.
    pub fn has_failed_to_sync(&self) -> bool {
        self.root.has_failed_to_sync()
    }

    /// Whether its name stands for something else by now. If it stands for nothing, whoever needs
    /// it will be told so.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn is_replaced(&self) -> Result<bool, DiskError> {
        let path = self.path();
        let is_at = self.root.dir().is_at(path);
        let is_at = is_at.map_err(DiskError::of("examine", path))?;
        Ok(!is_at && std::fs::symlink_metadata(path).is_ok())
    }

    /// Whether this disk may take two different names for one; then [`crate::disk::tree::Links`]
    /// judges more strictly.
    pub fn folds_names(&self) -> bool {
        self.spelling.folding() != Folding::None
    }

    /// Makes a directory; `false` if it is there. The one that holds it must be there. A link, a
    /// pipe, or one of several names of a file is no reason to stop: it goes.
    ///
    /// # Errors
    /// [`DiskError::Exists`] if something else has that name, [`DiskError::NameConflict`] if
    /// another name of the tree is the same on this disk, [`DiskError::UnsafeName`] if the disk
    /// cannot hold the name.
    pub fn make_dir(&mut self, path: &TreePath) -> Result<bool, DiskError> {
        let mut made = self.root.at("create", path, Dir::make_dir);
        if made.is_err() && self.clear(path)? {
            made = self.root.at("create", path, Dir::make_dir);
        }
        if self.is_new(made, path)?.is_some() {
            return Ok(true);
        }
        self.require(EntryKind::Directory, path)?;
        Ok(false)
    }

    /// Makes a new, empty file. The caller closes it, so it decides how many are open.
    ///
    /// # Errors
    /// [`DiskError::Exists`] if that very name is taken, [`DiskError::NameConflict`] if another
    /// name of the tree is the same on this disk.
    pub fn create_file(&mut self, path: &TreePath) -> Result<PartFile, DiskError> {
        let made = self.root.at("create", path, Dir::create_file);
        let Some(file) = self.is_new(made, path)? else {
            return Err(self.exists(path));
        };
        PartFile::in_tree(file, &self.on_disk(path))
    }

    /// Opens a file that is there; `None` if nothing is. What is none goes as in
    /// [`Tree::make_dir`], so that nothing is written where another name leads.
    ///
    /// # Errors
    /// [`DiskError::IsDirectory`]; [`DiskError::NameConflict`] as above.
    pub fn open_file(&mut self, path: &TreePath) -> Result<Option<PartFile>, DiskError> {
        let Some(facts) = self.inspect(path)? else {
            return Ok(None);
        };
        self.check_spelling(path)?;
        if facts.is_mere_name() {
            return self.remove_file(path).map(|()| None);
        }
        if facts.kind == EntryKind::Directory {
            return Err(DiskError::IsDirectory {
                path: self.on_disk(path),
            });
        }
        let file = self.root.at("open", path, open_writable)?;
        PartFile::in_tree(file, &self.on_disk(path)).map(Some)
    }

    /// Makes a symlink that holds `target`; it is fine if it is there already, and another one
    /// goes as in [`Tree::make_dir`]. Whether it may be made is [`crate::disk::tree::Links`]'s to
    /// say.
    ///
    /// # Errors
    /// [`DiskError::Exists`] if something else has that name, [`DiskError::NameConflict`] as
    /// above, [`DiskError::NoLinks`] where no link can be.
    pub fn symlink(&mut self, path: &TreePath, target: &[u8]) -> Result<(), DiskError> {
        if self.make_link(path, target)? || self.holds(path, target)? {
            return Ok(());
        }
        if self.clear(path)? && self.make_link(path, target)? {
            return Ok(());
        }
        Err(self.exists(path))
    }

    fn make_link(&mut self, path: &TreePath, target: &[u8]) -> Result<bool, DiskError> {
        let made = self.root.at("create the link", path, |dir, name| {
            dir.symlink(name, target)
        });
        match made {
            Err(DiskError::Io { ref source, .. }) if platform::lacks_links(source) => {
                Err(DiskError::NoLinks {
                    path: self.on_disk(path),
                })
            }
            made => Ok(self.is_new(made, path)?.is_some()),
        }
    }

    /// Whether a symlink is there that holds this.
    fn holds(&self, path: &TreePath, target: &[u8]) -> Result<bool, DiskError> {
        let there = self.inspect(path)?;
        let is_link = there.is_some_and(|there| there.kind == EntryKind::Link);
        Ok(is_link && self.read_link(path)? == target)
    }

    /// Removes what stands at a path if nothing but a name goes with it; whether it did. The part is
    /// ours: nobody else has a reason to make names in it.
    fn clear(&mut self, path: &TreePath) -> Result<bool, DiskError> {
        let there = self.inspect(path)?;
        if !there.is_some_and(|there| there.is_mere_name()) {
            return Ok(false);
        }
        self.check_spelling(path)?;
        self.remove_file(path).map(|()| true)
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

    /// All entries, each directory before what it holds, otherwise in no order.
    pub fn walk(&self) -> Walk<'_> {
        Walk::new(&self.root)
    }

    /// Removes a file, symlink or whatever else is no directory; it is fine if there is none.
    ///
    /// # Errors
    /// When it is there and stays.
    pub fn remove_file(&self, path: &TreePath) -> Result<(), DiskError> {
        match self.root.at("remove", path, Dir::remove_file) {
            Err(error) if !error.is_missing() => Err(error),
            _ => Ok(()),
        }
    }

    /// Sets mode and time of an entry, `None` for the root: links first, then files, then
    /// directories from the deepest up, since every change in a directory makes it new again.
    /// May be repeated: where a mode is in the way of a later operation, the owner's access to the
    /// directory is restored, so all modes must be set again before the install. Returns how a file
    /// or link stood there before.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn preserve(
        &self,
        path: Option<&TreePath>,
        preserved: &Preserved,
    ) -> Result<Option<EntryFacts>, DiskError> {
        const VERB: &str = "set mode and time of";
        let Some(path) = path else {
            let root = self.root.dir();
            let set = root.preserve_self(preserved);
            return set.map(|()| None).map_err(DiskError::of(VERB, self.path()));
        };
        self.root.at(VERB, path, |dir, name| {
            let facts = dir.look(name)?;
            match facts.map(|facts| facts.kind) {
                None => return Err(io::ErrorKind::NotFound.into()),
                Some(EntryKind::Other) => return Err(io::ErrorKind::InvalidInput.into()),
                Some(kind) => dir.preserve(name, kind, preserved)?,
            }
            Ok(facts)
        })
    }

    /// Notes how a change of ours left a file, `None` if somebody else has touched it. Once that is
    /// said, it stays so.
    pub fn note_left(&mut self, path: &str, left: Option<Fingerprint>) {
        match self.left.get_mut(path) {
            Some(known) => *known = known.and(left),
            None => _ = self.left.insert(path.into(), left),
        }
    }

    /// How our last change left a file, as far as it was noted and not forgotten.
    pub fn left(&self, path: &str) -> Option<Option<Fingerprint>> {
        self.left.get(path).copied()
    }

    /// Forgets how a file was left: that is recorded elsewhere.
    pub fn forget_left(&mut self, path: &str) {
        self.left.remove(path);
    }

    /// Takes the sync of everything in the tree, bytes, names and metadata: one call on Linux,
    /// one sync a file elsewhere. It covers what was written before it runs, through whatever
    /// handle. To be run on any thread; when it fails, nothing of the tree is durable for sure
    /// and it must be opened again.
    pub fn full_sync(&self) -> TreeSync {
        TreeSync(Arc::clone(&self.root))
    }

    /// The value of a creation that succeeded; `None` if that very name is taken.
    fn is_new<T>(
        &mut self,
        made: Result<T, DiskError>,
        path: &TreePath,
    ) -> Result<Option<T>, DiskError> {
        match made {
            Ok(made) => Ok(Some(made)),
            Err(DiskError::Io { ref source, .. })
                if source.kind() == io::ErrorKind::AlreadyExists =>
            {
                self.check_spelling(path)?;
                Ok(None)
            }
            // Every file system has limits of its own: longer names, other characters.
            Err(DiskError::Io { ref source, .. })
                if matches!(
                    source.kind(),
                    io::ErrorKind::InvalidFilename | io::ErrorKind::InvalidInput
                ) =>
            {
                Err(DiskError::UnsafeName {
                    name: path.name().to_owned(),
                    reason: "this disk cannot hold it",
                })
            }
            Err(error) => Err(error),
        }
    }

    fn check_spelling(&mut self, path: &TreePath) -> Result<(), DiskError> {
        let on_disk = self.on_disk(path);
        self.spelling
            .check(&self.root, path)
            .map_err(DiskError::of("list the directory of", &on_disk))?
            .map_err(|other| DiskError::NameConflict {
                path: on_disk,
                other,
            })
    }

    fn require(&self, kind: EntryKind, path: &TreePath) -> Result<(), DiskError> {
        match self.inspect(path)? {
            Some(facts) if facts.kind == kind => Ok(()),
            _ => Err(self.exists(path)),
        }
    }

    fn exists(&self, path: &TreePath) -> DiskError {
        DiskError::Exists {
            path: self.on_disk(path),
        }
    }

    fn on_disk(&self, path: &TreePath) -> std::path::PathBuf {
        path.below(self.path())
    }
}

fn open_up(path: &Path) -> Result<(), DiskError> {
    platform::open_up(path).map_err(DiskError::of("open", path))
}

/// Opens a file of ours, whatever permissions were preserved on it.
fn open_writable(dir: &Dir, name: &OsStr) -> io::Result<std::fs::File> {
    const OWNER_READ_WRITE: u32 = 0o600;
    match dir.open_file(name, true) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            dir.set_mode(name, OWNER_READ_WRITE)?;
            dir.open_file(name, true)
        }
        opened => opened,
    }
}
