//! Plain files on this machine that may hold the same bytes: an older version, somebody's broken
//! partial, what another download left.
//!
//! Nothing in them is believed: each leaf is proved as if a stranger had sent it. They are asked
//! before the network, each byte at most once, and what does not prove right there is left to the
//! others without any blame: a file may be a little other than what is wanted.

mod around;
mod hand_out;
mod read;

use std::collections::{HashMap, HashSet};
use std::path::Path;

use crate::content::ranges::RangeSet;
use crate::disk::DiskError;
use crate::disk::random_file::RandomFile;
use crate::disk::tree::{TreePath, TreeView};
use crate::engine::plan::EntryId;
use crate::engine::whole::Sums;

pub use around::Surroundings;
pub use read::check;

/// Entries whose search is remembered before those that are finished are forgotten.
const MAX_REMEMBERED: usize = 4096;
/// Files of a tree that a directory may lack, before it is not looked at any more, if it has
/// held none so far.
const MAX_MISSES: u32 = 256;

/// A file or a directory on this machine.
#[derive(Debug)]
pub enum LocalFiles {
    /// One file, of whatever name.
    File(RandomFile),
    /// Files by their path.
    Directory(TreeView),
}

impl LocalFiles {
    /// Opens a file, through symbolic links if need be, or a directory. Waits for no pipe.
    ///
    /// # Errors
    /// [`DiskError::NotRegular`] for anything else; see also [`DiskError::is_missing`].
    pub fn open(path: &Path) -> Result<Self, DiskError> {
        match std::path::absolute(path)
            .ok()
            .as_deref()
            .map(TreeView::open)
        {
            Some(Ok(Some(view))) => Ok(Self::Directory(view)),
            _ => RandomFile::open(path).map(Self::File),
        }
    }

    /// The file that may be the one at `path` of the tree, open; `None` if there is none.
    ///
    /// # Errors
    /// It is there and cannot be opened.
    pub fn file(&self, path: &str) -> Result<Option<RandomFile>, DiskError> {
        match self {
            Self::File(file) => Ok(Some(file.clone())),
            Self::Directory(view) => {
                let Ok(path) = TreePath::parse(path) else {
                    return Ok(None);
                };
                match view.read_file(&path) {
                    Err(DiskError::NotRegular { .. }) => Ok(None),
                    read => read,
                }
            }
        }
    }

    /// Whether it may hold this entry: a single file is the one that is wanted, not one of a tree.
    fn may_hold(&self, entry: EntryId) -> bool {
        entry == 0 || matches!(self, Self::Directory(_))
    }

    /// Whether it may hold many entries.
    fn is_directory(&self) -> bool {
        matches!(self, Self::Directory(_))
    }
}

/// What was looked for in local files, found or not.
#[derive(Debug, Default)]
pub struct Tried {
    /// Bytes of files.
    bytes: HashMap<EntryId, RangeSet>,
    /// Entries of which nobody knew what they are.
    roots: HashSet<EntryId>,
    /// Whether the sum of the whole file was made.
    pub has_summed: bool,
    misses: u32,
    /// Files of ours that share the blocks of these.
    shared: HashSet<EntryId>,
    /// Whether the disk was found not to share blocks with these.
    cannot_share: bool,
}

impl Tried {
    /// Up to where the bytes from `offset` on were looked for.
    fn until(&self, entry: EntryId, offset: u64) -> u64 {
        let bytes = self.bytes.get(&entry);
        bytes.map_or(offset, |bytes| bytes.covered_until(offset))
    }

    fn note(&mut self, entry: EntryId, start: u64, end: u64) {
        self.bytes.entry(entry).or_default().insert(start, end);
    }

    /// Forgets what is finished, where it has become much.
    fn forget(&mut self, is_finished: impl Fn(EntryId) -> bool) {
        if self.bytes.len() + self.roots.len() > MAX_REMEMBERED {
            self.bytes.retain(|&entry, _| !is_finished(entry));
            self.roots.retain(|&entry| !is_finished(entry));
            self.shared.retain(|&entry| !is_finished(entry));
        }
    }
}

/// How the reading of a local file ended.
#[derive(Debug)]
pub enum LocalEnd {
    /// All that was asked for was read.
    Read,
    /// There is no such file.
    NotThere,
    /// The file ends there.
    EndsAt(u64),
    /// A whole file of so many bytes came to this.
    Summed(RandomFile, Sums),
    /// It cannot be read.
    Failed(DiskError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_a_directory_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        std::fs::write(dir.path().join("sub/f"), "abc").unwrap();
        let view = LocalFiles::open(dir.path()).unwrap();
        assert!(view.is_directory() && view.may_hold(7));
        assert_eq!(view.file("sub/f").unwrap().unwrap().len(), 3);
        for none in ["sub", "no", "../x", ""] {
            assert!(view.file(none).unwrap().is_none(), "{none:?}");
        }
        let file = LocalFiles::open(&dir.path().join("sub/f")).unwrap();
        assert!(file.may_hold(0) && !file.may_hold(1));
        assert_eq!(file.file("any").unwrap().unwrap().len(), 3);
        let missing = LocalFiles::open(&dir.path().join("no")).unwrap_err();
        assert!(missing.is_missing());
    }

    #[test]
    fn what_was_tried_is_kept_as_long_as_it_matters() {
        let mut tried = Tried::default();
        tried.note(0, 0, 10);
        tried.note(0, 10, 20);
        assert_eq!((tried.until(0, 5), tried.until(0, 20)), (20, 20));
        assert_eq!(tried.until(1, 3), 3);
        for entry in 1..=MAX_REMEMBERED as EntryId {
            tried.note(entry, 0, 1);
        }
        tried.forget(|entry| entry > 0);
        assert_eq!((tried.bytes.len(), tried.until(0, 0)), (1, 20));
    }
}
