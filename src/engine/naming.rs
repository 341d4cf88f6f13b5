//! What files and trees on disk are called: their CIDs under importer profiles, in one pass.
//!
//! Reads and hashes, and writes nothing but the CAR that somebody wants of it. Invariant: each file
//! is read once, from front to back, however many profiles there are; of a tree, memory holds the
//! entries and no file.

mod car;

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::content::hash::FileSha256;
use crate::content::importer::{
    Block, DirectoryError, Importer, Named, Profile, Root, directory, symlink,
};
use crate::disk::DiskError;
use crate::disk::random_file::RandomFile;
use crate::disk::tree::{EntryKind, TreeView, WalkEntry};

pub use crate::engine::naming::car::CarOf;

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
    /// It was told to stop.
    #[error("stopped")]
    Stopped,
    /// The entries make no directory.
    #[error("{} cannot be a directory of a DAG", path.display())]
    Directory {
        /// Where it is.
        path: PathBuf,
        /// Why not.
        source: DirectoryError,
    },
}

/// Finds out names, and keeps the blocks where somebody wants them.
pub struct Namer<'a> {
    profiles: &'a [Profile],
    car: Option<&'a mut CarOf>,
}

impl<'a> Namer<'a> {
    /// A namer under these profiles. A CAR is for one profile.
    pub fn new(profiles: &'a [Profile], car: Option<&'a mut CarOf>) -> Self {
        Self { profiles, car }
    }

    /// Names a file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn file(&mut self, file: &RandomFile) -> Result<Names, NamingError> {
        let mut at = 0;
        self.name(&mut |buffer| {
            let len = file.read_at(at, buffer)?;
            at += len as u64;
            Ok(len)
        })
    }

    /// Names what a stream holds, to its end.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn stream(&mut self, stream: &mut dyn Read) -> Result<Names, NamingError> {
        self.name(&mut |buffer| loop {
            match stream.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return Ok(read?),
            }
        })
    }

    fn name(
        &mut self,
        read: &mut dyn FnMut(&mut [u8]) -> Result<usize, NamingError>,
    ) -> Result<Names, NamingError> {
        let (mut importer, mut sha256) = (Importer::new(self.profiles), FileSha256::new());
        let mut buffer = vec![0; PIECE];
        loop {
            let len = read(&mut buffer)?;
            if len == 0 {
                break;
            }
            sha256.update(&buffer[..len]);
            let piece = Bytes::copy_from_slice(&buffer[..len]);
            match &mut self.car {
                Some(car) => importer.push_with(&piece, &mut |block| car.put(&block)),
                None => importer.push(&piece),
            }
            self.check()?;
        }
        let import = match &mut self.car {
            Some(car) => importer.finish_with(&mut |block| car.put(&block)),
            None => importer.finish(),
        };
        self.check()?;
        Ok(Names {
            size: import.size,
            sha256: Some(sha256.finish()),
            roots: import.roots,
        })
    }

    fn put(&mut self, block: &Block) {
        if let Some(car) = &mut self.car {
            car.put(block);
        }
    }

    fn check(&mut self) -> Result<(), NamingError> {
        self.car.as_deref_mut().map_or(Ok(()), CarOf::check)
    }

    /// Names a whole tree: everything in it, symlinks as links. `path` serves messages only.
    ///
    /// # Errors
    /// [`NamingError`]; [`DiskError::NotRegular`] for pipes, sockets and devices.
    pub fn tree(&mut self, view: &TreeView, path: &Path) -> Result<Names, NamingError> {
        let mut found = view.walk().collect::<Result<Vec<WalkEntry>, DiskError>>()?;
        found.sort_unstable_by(|one, other| other.path.cmp(&one.path));
        let none = || vec![Some(Vec::new()); self.profiles.len()];
        let mut open: HashMap<PathBuf, Entries> = HashMap::new();
        let mut size = 0;
        // What lies below a directory comes before it.
        for entry in found {
            let roots = match entry.facts.kind {
                EntryKind::File => {
                    let names = self.file(&view.open_entry(&entry.path)?)?;
                    size += names.size;
                    names.roots
                }
                EntryKind::Directory => {
                    let entries = open.remove(&entry.path).unwrap_or_else(none);
                    self.close(entries, &path.join(&entry.path))?
                }
                EntryKind::Link => self.link(&view.read_link_entry(&entry.path)?),
                EntryKind::Other => {
                    let path = path.join(&entry.path);
                    return Err(DiskError::NotRegular { path }.into());
                }
            };
            let entries = open.entry(above(&entry)).or_insert_with(none);
            add(entries, &entry, roots);
        }
        let entries = open.remove(Path::new("")).unwrap_or_else(none);
        Ok(Names {
            size,
            sha256: None,
            roots: self.close(entries, path)?,
        })
    }

    fn link(&mut self, target: &[u8]) -> Vec<Option<Root>> {
        let profiles = self.profiles.iter();
        profiles
            .map(|profile| Some(symlink(profile, target, &mut |block| self.put(&block))))
            .collect()
    }

    fn close(&mut self, entries: Entries, path: &Path) -> Result<Vec<Option<Root>>, NamingError> {
        let mut roots = Vec::with_capacity(entries.len());
        for (profile, entries) in self.profiles.iter().zip(entries) {
            let root = entries
                .map(|entries| directory(profile, entries, &mut |block| self.put(&block)))
                .transpose();
            roots.push(root.map_err(|source| NamingError::Directory {
                path: path.to_path_buf(),
                source,
            })?);
        }
        self.check()?;
        Ok(roots)
    }
}

/// The entries of a directory under each profile; `None` once one has no root.
type Entries = Vec<Option<Vec<Named>>>;

fn above(entry: &WalkEntry) -> PathBuf {
    entry.path.parent().unwrap_or(Path::new("")).to_path_buf()
}

fn add(entries: &mut Entries, entry: &WalkEntry, roots: Vec<Option<Root>>) {
    let name = entry.path.file_name().unwrap_or_default();
    let name = Bytes::copy_from_slice(name.as_encoded_bytes());
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
