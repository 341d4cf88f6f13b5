//! What files and trees on disk are called: their CIDs under importer profiles, in one pass.
//!
//! Reads and hashes, writes nothing. Invariant: each file is read once, from front to back, however
//! many profiles there are; of a tree, memory holds the entries and no file.

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::content::hash::FileSha256;
use crate::content::importer::{
    DirectoryError, Importer, Named, Profile, Root, directory, symlink,
};
use crate::disk::DiskError;
use crate::disk::random_file::RandomFile;
use crate::disk::tree::{EntryKind, TreeView, WalkEntry};

/// Bytes read at once.
const PIECE: usize = 1 << 20;

/// What something is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// Bytes of the file, or of all files of the tree.
    pub size: u64,
    /// Of a file.
    pub sha256: Option<[u8; 32]>,
    /// For each profile its root; `None` where a file is more than the profile can hold.
    pub roots: Vec<Option<Root>>,
}

/// Why something has no name.
#[derive(Debug, thiserror::Error)]
pub enum NamingError {
    /// The disk failed, or something there is no file, directory or symlink.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The stream failed.
    #[error("cannot read the standard input")]
    Stream(#[from] io::Error),
    /// The entries make no directory.
    #[error("{} cannot be a directory of a DAG", path.display())]
    Directory {
        /// Where it is.
        path: PathBuf,
        /// Why not.
        source: DirectoryError,
    },
}

/// Names a file.
///
/// # Errors
/// When it cannot be read.
pub fn name_file(file: &RandomFile, profiles: &[Profile]) -> Result<Names, NamingError> {
    let mut at = 0;
    name(profiles, &mut |buffer| {
        let len = file.read_at(at, buffer)?;
        at += len as u64;
        Ok(len)
    })
}

/// Names what a stream holds, to its end.
///
/// # Errors
/// When it cannot be read.
pub fn name_stream(stream: &mut dyn Read, profiles: &[Profile]) -> Result<Names, NamingError> {
    name(profiles, &mut |buffer| loop {
        match stream.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return Ok(read?),
        }
    })
}

fn name(
    profiles: &[Profile],
    read: &mut dyn FnMut(&mut [u8]) -> Result<usize, NamingError>,
) -> Result<Names, NamingError> {
    let (mut importer, mut sha256) = (Importer::new(profiles), FileSha256::new());
    let mut buffer = vec![0; PIECE];
    loop {
        let len = read(&mut buffer)?;
        if len == 0 {
            break;
        }
        sha256.update(&buffer[..len]);
        importer.push(&Bytes::copy_from_slice(&buffer[..len]));
    }
    let import = importer.finish();
    Ok(Names {
        size: import.size,
        sha256: Some(sha256.finish()),
        roots: import.roots,
    })
}

/// The entries of a directory under each profile; `None` once one has no root.
type Entries = Vec<Option<Vec<Named>>>;

/// Names a whole tree: everything in it, symlinks as links. `path` serves messages only.
///
/// # Errors
/// [`NamingError`]; [`DiskError::NotRegular`] for pipes, sockets and devices.
pub fn name_tree(view: &TreeView, path: &Path, profiles: &[Profile]) -> Result<Names, NamingError> {
    let mut found = view.walk().collect::<Result<Vec<WalkEntry>, DiskError>>()?;
    found.sort_unstable_by(|one, other| other.path.cmp(&one.path));
    let none = || vec![Some(Vec::new()); profiles.len()];
    let mut open: HashMap<PathBuf, Entries> = HashMap::new();
    let mut size = 0;
    // What lies below a directory comes before it.
    for entry in found {
        let roots = match entry.facts.kind {
            EntryKind::File => {
                let names = name_file(&view.open_entry(&entry.path)?, profiles)?;
                size += names.size;
                names.roots
            }
            EntryKind::Directory => {
                let entries = open.remove(&entry.path).unwrap_or_else(none);
                close(profiles, entries, &path.join(&entry.path))?
            }
            EntryKind::Link => {
                let target = view.read_link_entry(&entry.path)?;
                let root = |profile| Some(symlink(profile, &target, &mut |_| {}));
                profiles.iter().map(root).collect()
            }
            EntryKind::Other => {
                let path = path.join(&entry.path);
                return Err(DiskError::NotRegular { path }.into());
            }
        };
        let name = entry.path.file_name().unwrap_or_default();
        let name = Bytes::copy_from_slice(name.as_encoded_bytes());
        let parent = entry.path.parent().unwrap_or(Path::new(""));
        let entries = open.entry(parent.to_path_buf()).or_insert_with(none);
        for (entries, root) in entries.iter_mut().zip(roots) {
            match (entries.as_mut(), root) {
                (Some(known), Some(root)) => known.push(Named {
                    name: name.clone(),
                    root,
                }),
                _ => *entries = None,
            }
        }
    }
    let entries = open.remove(Path::new("")).unwrap_or_else(none);
    Ok(Names {
        size,
        sha256: None,
        roots: close(profiles, entries, path)?,
    })
}

fn close(
    profiles: &[Profile],
    entries: Entries,
    path: &Path,
) -> Result<Vec<Option<Root>>, NamingError> {
    let root = |(profile, entries): (&Profile, Option<Vec<Named>>)| {
        let root = entries.map(|entries| directory(profile, entries, &mut |_| {}));
        root.transpose().map_err(|source| NamingError::Directory {
            path: path.to_path_buf(),
            source,
        })
    };
    profiles.iter().zip(entries).map(root).collect()
}
