//! Where the content stands: one file, or a tree.

use std::path::{Path, PathBuf};

use crate::disk::random_file::RandomFile;
use crate::disk::tree::{EntryKind, TreePath, TreeView};
use crate::disk::{DiskError, inspect};

/// A file or a tree on disk; paths are below its root, and empty for that itself.
pub enum Place {
    /// Nothing, or something else.
    Other(Option<EntryKind>, PathBuf),
    /// A file.
    File(PathBuf),
    /// A tree.
    Tree(TreeView),
}

impl Place {
    /// Opens what is there.
    pub fn open(path: &Path) -> Result<Self, DiskError> {
        if inspect::is_directory(path) {
            return Ok(match TreeView::open(path)? {
                Some(view) => Self::Tree(view),
                None => Self::Other(None, path.to_path_buf()),
            });
        }
        if !inspect::exists(path) {
            return Ok(Self::Other(None, path.to_path_buf()));
        }
        match RandomFile::open(path) {
            Err(DiskError::NotRegular { .. }) => {
                Ok(Self::Other(Some(EntryKind::Other), path.to_path_buf()))
            }
            // Its name is there: it is a link that leads nowhere.
            Err(error) if error.is_missing() => {
                Ok(Self::Other(Some(EntryKind::Link), path.to_path_buf()))
            }
            Err(error) => Err(error),
            Ok(_) => Ok(Self::File(path.to_path_buf())),
        }
    }

    /// What stands at this path; `None` if nothing does.
    pub fn look(&self, path: &str) -> Result<Option<EntryKind>, DiskError> {
        Ok(match self {
            Place::Other(kind, _) => *kind,
            Place::File(_) => Some(EntryKind::File),
            Place::Tree(_) if path.is_empty() => Some(EntryKind::Directory),
            Place::Tree(view) => view
                .inspect(&TreePath::parse(path)?)?
                .map(|facts| facts.kind),
        })
    }

    /// Opens the file at this path; `None` if it has gone.
    pub fn file(&self, path: &str) -> Result<Option<RandomFile>, DiskError> {
        match self {
            Place::Other(..) => Ok(None),
            Place::File(path) => RandomFile::open(path).map(Some),
            Place::Tree(view) => view.read_file(&TreePath::parse(path)?),
        }
    }

    /// What the link at this path holds; nothing if it is none.
    pub fn link(&self, path: &str) -> Result<Vec<u8>, DiskError> {
        match self {
            Place::Tree(view) => view.read_link(&TreePath::parse(path)?),
            // Of the root a link was followed: it may be meant, or what it leads to.
            Place::File(root) | Place::Other(_, root) => {
                Ok(inspect::link_text(root).unwrap_or_default())
            }
        }
    }

    /// The tree that it is.
    pub fn tree(&self) -> Option<&TreeView> {
        match self {
            Place::Tree(view) => Some(view),
            _ => None,
        }
    }
}
