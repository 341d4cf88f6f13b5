//! What files and trees on disk are called: their CIDs under importer profiles, in one pass.
//!
//! Reads and hashes, and writes nothing but the CAR that somebody wants of it. Invariant: each file
//! is read from front to back, once for all profiles that are asked for; of a tree, memory holds the
//! entries and no file.

mod car;

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::content::cid::Cid;
use crate::content::importer::{
    Block, DirectoryError, Importer, Named, Profile, Root, directory, symlink,
};
use crate::disk::DiskError;
use crate::disk::random_file::RandomFile;
use crate::disk::tree::{EntryKind, TreeView, WalkEntry};
use crate::engine::crew::Crew;

pub use crate::engine::naming::car::CarOf;

/// Bytes read at once.
const PIECE: usize = 512 << 10;

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

    /// Names a file, and makes its SHA-256.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn file(&mut self, file: &RandomFile) -> Result<Names, NamingError> {
        self.read_file(file, true)
    }

    fn read_file(&mut self, file: &RandomFile, with_sum: bool) -> Result<Names, NamingError> {
        let mut at = 0;
        let mut read = |buffer: &mut [u8]| {
            let len = file.read_at(at, buffer)?;
            at += len as u64;
            Ok(len)
        };
        self.name(&mut read, with_sum)
    }

    /// Names what a stream holds, to its end, and makes its SHA-256.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn stream(&mut self, stream: &mut dyn Read) -> Result<Names, NamingError> {
        let mut read = |buffer: &mut [u8]| loop {
            match stream.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return Ok(read?),
            }
        };
        self.name(&mut read, true)
    }

    fn name(
        &mut self,
        read: &mut dyn FnMut(&mut [u8]) -> Result<usize, NamingError>,
        with_sum: bool,
    ) -> Result<Names, NamingError> {
        // Blocks of a CAR come in order: from one thread.
        let (aside, here) = match &self.car {
            Some(_) => (&[][..], Some(Importer::new(self.profiles))),
            None => (self.profiles, None),
        };
        let (mut crew, mut here) = (Crew::new(aside), here);
        if with_sum {
            crew = crew.with_sha256();
        }
        loop {
            let mut piece = vec![0; PIECE];
            let len = read(&mut piece)?;
            if len == 0 {
                break;
            }
            piece.truncate(len);
            let piece = Bytes::from(piece);
            if let (Some(importer), Some(car)) = (&mut here, &mut self.car) {
                importer.push_with(&piece, &mut |block| car.put(&block));
            }
            crew.push(piece);
            self.check()?;
        }
        let totals = crew.finish();
        let roots = match (here, &mut self.car) {
            (Some(importer), Some(car)) => importer.finish_with(&mut |block| car.put(&block)).roots,
            _ => totals.roots,
        };
        self.check()?;
        Ok(Names {
            size: totals.size,
            sha256: totals.sha256,
            roots,
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
                    let names = self.read_file(&view.open_entry(&entry.path)?, false)?;
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

/// What a file is called by the importers of whom one gives it this root; `None` if none does.
/// First those are asked by which most content was made, then all others, which reads it again.
///
/// # Errors
/// When it cannot be read.
pub fn find(file: &RandomFile, root: &Cid, with_sum: bool) -> Result<Option<Names>, NamingError> {
    let mut sha256 = None;
    for profiles in Profile::tiers(root) {
        let lacks_sum = with_sum && sha256.is_none();
        if profiles.is_empty() {
            continue;
        }
        let names = Namer::new(&profiles, None).read_file(file, lacks_sum)?;
        sha256 = sha256.or(names.sha256);
        if names.roots.iter().flatten().any(|found| found.is(root)) {
            return Ok(Some(Names { sha256, ..names }));
        }
    }
    Ok(None)
}

/// The names of the tree at `path` if an importer would give it this root; `None` too where there is
/// no directory.
///
/// # Errors
/// When it cannot be read, or is no tree.
pub fn find_tree(path: &Path, root: &Cid) -> Result<Option<Names>, NamingError> {
    let Some(view) = TreeView::open(path)? else {
        return Ok(None);
    };
    let names = Namer::new(Profile::ALL, None).tree(&view, path)?;
    let is_it = names.roots.iter().flatten().any(|found| found.is(root));
    Ok(Some(names).filter(|_| is_it))
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
