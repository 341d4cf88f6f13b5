//! Where the bytes go: a part file, a part directory, or standard output.
//!
//! Knows the one part or the tree of parts behind a download and opens the files in it. It decides
//! nothing and proves nothing.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::disk::part::PartFile;
use crate::disk::place::SafeName;
use crate::disk::tree::{EntryFacts, EntryKind, Tree, TreePath, TreeView};
use crate::disk::{DiskError, Fingerprint};
use crate::engine::plan::EntryId;
use crate::engine::prove::{Place, Share};

/// Files that stay open for the next write.
const OPEN_FILES: usize = 32;

/// Where the bytes of a download go. A clone is the same place.
#[derive(Clone)]
pub enum Output {
    /// Nowhere yet: what the root is, nobody knows.
    Undecided,
    /// One file.
    File(PartFile),
    /// A directory that is being built.
    Tree(SharedTree),
    /// A directory that is only looked at.
    View(Arc<TreeView>),
    /// Standard output, in order.
    Stdout,
}

/// A tree that several threads put files into; each holds it for one step: to open a file, or, once
/// nothing more is written, to go through all of it.
pub type SharedTree = Arc<Mutex<Tree>>;

impl Output {
    /// A directory that is being built.
    pub fn tree(tree: Tree) -> Self {
        Output::Tree(Arc::new(Mutex::new(tree)))
    }

    /// Whether something is kept on disk.
    pub fn is_on_disk(&self) -> bool {
        matches!(self, Output::File(_) | Output::Tree(_) | Output::View(_))
    }

    /// Whether something is kept on disk, and no sync of it has failed: after that nothing of it
    /// becomes durable for sure.
    pub fn can_be_synced(&self) -> bool {
        match self {
            Output::File(part) => !part.has_failed_to_sync(),
            Output::Tree(tree) => !lock(tree).has_failed_to_sync(),
            Output::View(_) => true,
            Output::Undecided | Output::Stdout => false,
        }
    }

    /// Opens the file at this path of the tree, or makes it where the tree is being built.
    ///
    /// # Errors
    /// It cannot be opened, or something else is there.
    pub fn open(&self, path: &str) -> Result<PartFile, DiskError> {
        match self {
            Output::File(part) => Ok(part.clone()),
            Output::Tree(tree) => open_or_create(&mut lock(tree), &TreePath::parse(path)?),
            // It was there a moment ago.
            Output::View(view) => view.require_part(&TreePath::parse(path)?),
            Output::Undecided | Output::Stdout => {
                unreachable!("only what lies on a disk is opened")
            }
        }
    }

    /// Opens the file at this path of the tree, if it is there.
    ///
    /// # Errors
    /// It cannot be opened, or is no file.
    pub fn open_existing(&self, path: &str) -> Result<Option<PartFile>, DiskError> {
        match self {
            Output::File(part) => Ok(Some(part.clone())),
            Output::Tree(tree) => lock(tree).open_file(&TreePath::parse(path)?),
            Output::View(view) => view.read_part(&TreePath::parse(path)?),
            Output::Undecided | Output::Stdout => Ok(None),
        }
    }

    /// That of the file at this path; `None` if somebody else is known to have touched it.
    pub fn fingerprint(&self, path: &str) -> Option<Fingerprint> {
        let facts = match self {
            Output::File(part) => return part.fingerprint(),
            Output::Tree(tree) => {
                let tree = lock(tree);
                if let Some(left) = tree.left(path) {
                    return left;
                }
                tree.inspect(&TreePath::parse(path).ok()?)
            }
            Output::View(view) => view.inspect(&TreePath::parse(path).ok()?),
            Output::Undecided | Output::Stdout => return None,
        };
        let is_file = |facts: &EntryFacts| facts.kind == EntryKind::File;
        facts.ok()?.filter(is_file)?.fingerprint()
    }

    /// Makes everything written so far survive a power cut. Blocks.
    ///
    /// # Errors
    /// A failed sync; what was written may be lost.
    pub fn sync(&self) -> Result<(), DiskError> {
        match self {
            Output::File(part) => part.sync(),
            Output::Tree(tree) => {
                let sync = lock(tree).full_sync();
                sync.run()
            }
            Output::Undecided | Output::View(_) | Output::Stdout => Ok(()),
        }
    }
}

/// The tree, for one step. A thread that panicked has ended the program's work anyway.
pub fn lock(tree: &SharedTree) -> MutexGuard<'_, Tree> {
    tree.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open_or_create(tree: &mut Tree, path: &TreePath) -> Result<PartFile, DiskError> {
    if let Some(part) = tree.open_file(path)? {
        return Ok(part);
    }
    match tree.create_file(path) {
        Err(error) if error.lacks_directory() => {
            make_dirs(tree, path)?;
            tree.create_file(path)
        }
        made => made,
    }
}

/// Makes the directories above a path.
pub fn make_dirs(tree: &mut Tree, path: &TreePath) -> Result<(), DiskError> {
    let Some(parent) = path.parent() else {
        return Ok(());
    };
    match tree.make_dir(&parent) {
        Err(error) if error.lacks_directory() => {
            make_dirs(tree, &parent)?;
            tree.make_dir(&parent).map(|_| ())
        }
        made => made.map(|_| ()),
    }
}

/// Writes the files of an output, and keeps the last ones open.
pub struct Writer {
    output: Output,
    open: VecDeque<(EntryId, PartFile)>,
}

impl Writer {
    /// A writer of files on a disk.
    pub fn new(output: Output) -> Self {
        Self {
            output,
            open: VecDeque::new(),
        }
    }

    /// Writes at a place in the file of an entry, and notes how that left it.
    pub(super) fn write(&mut self, place: &Place, data: &[Bytes]) -> Result<(), DiskError> {
        let part = self.file(place.entry, &place.path)?;
        let mut at = place.offset;
        for piece in data {
            part.write_at(at, piece)?;
            at += piece.len() as u64;
        }
        let part = part.clone();
        self.note_left(&place.path, &part);
        Ok(())
    }

    fn note_left(&self, path: &str, part: &PartFile) {
        if let Output::Tree(tree) = &self.output {
            let left = part.fingerprint();
            lock(tree).note_left(path, left);
        }
    }

    /// The file at a path, open. If it is not as we left it, nobody believes in it any more.
    fn open(&self, path: &str) -> Result<PartFile, DiskError> {
        let part = self.output.open(path)?;
        if let Output::Tree(tree) = &self.output {
            let found = part.fingerprint();
            let mut tree = lock(tree);
            if tree.left(path).is_some_and(|left| left != found) {
                tree.note_left(path, None);
            }
        }
        Ok(part)
    }

    /// The file of an entry, open.
    fn file(&mut self, entry: EntryId, path: &Arc<str>) -> Result<&PartFile, DiskError> {
        let known = self.open.iter().position(|(id, _)| *id == entry);
        let found = match known.and_then(|at| self.open.remove(at)) {
            Some(found) => found,
            None => (entry, self.open(path)?),
        };
        if self.open.len() == OPEN_FILES {
            self.open.pop_front();
        }
        self.open.push_back(found);
        let last = self.open.len() - 1;
        Ok(&self.open[last].1)
    }

    /// Lets a file that has no byte yet share the blocks of a local one; whether the disk can do
    /// that.
    pub(super) fn share(&mut self, share: &Share) -> Result<bool, DiskError> {
        // What cannot be read will be said when it is read.
        let Ok(Some(from)) = share.from.file(&share.from_path) else {
            return Ok(false);
        };
        let part = self.file(share.entry, &share.path)?;
        let is_shared = part.is_empty()? && part.clone_from(&from)?;
        if is_shared && from.len() > share.size {
            part.set_len(share.size)?;
        }
        let part = part.clone();
        self.note_left(&share.path, &part);
        Ok(is_shared)
    }

    /// Copies a finished file of `size` bytes to another place in the tree, by sharing its blocks
    /// where the disk can.
    pub(super) fn copy(&mut self, from: &str, to: &str, size: u64) -> Result<(), DiskError> {
        let from = self.output.open(from)?.reader()?;
        let path = to;
        let to = self.output.open(path)?;
        if let Some(last) = size.checked_sub(1) {
            // One that was cut meanwhile is nothing to copy.
            from.read_exact_at(last, &mut [0])?;
        }
        to.set_len(0)?;
        to.copy_from(&from)?;
        to.set_len(size)?;
        self.note_left(path, &to);
        Ok(())
    }
}

/// Whether a disk can hold a file of this name.
///
/// # Errors
/// Why not.
pub fn check_name(name: &str) -> Result<(), DiskError> {
    SafeName::new(name).map(|_| ())
}
