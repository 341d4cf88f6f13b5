//! A CAR on disk as a source of blocks.
//!
//! Responsible for finding a block's bytes by its CID. Proves nothing: what a section holds is
//! believed no more than what a gateway sends. Where the sections are is kept in an index file
//! beside the other state, so that memory does not grow with the CAR and a second run reads
//! nothing again. Sync: belongs on a thread of its own.

mod index;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::content::car::{CarError, CarParser, Limits};
use crate::content::cid::Cid;
use crate::content::hash;
use crate::disk::DiskError;
use crate::disk::private;
use crate::disk::random_file::RandomFile;
use crate::gateway::car_file::index::{Index, Stamp};

/// Longest header of a CAR, and longest block in it.
const LIMITS: Limits = Limits {
    header: 1 << 20,
    block: 8 << 20,
};
/// Bytes read at once.
const PIECE: usize = 256 << 10;

/// A CAR on disk.
#[derive(Debug)]
pub struct CarFile {
    file: RandomFile,
    index: Index,
    roots: Vec<Cid>,
}

/// Why a CAR on disk cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CarFileError {
    /// The CAR, or its index, cannot be read or written.
    #[error("the CAR file or its index is not accessible")]
    Disk(#[from] DiskError),
    /// The file does not start as a CAR does.
    #[error("{} is no CAR", path.display())]
    NotCar {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: CarError,
    },
    /// A block is larger than the caller allows.
    #[error("the block has {len} bytes, more than {max}")]
    TooLarge {
        /// Bytes of the block.
        len: u64,
        /// The caller's cap.
        max: u64,
    },
}

impl CarFile {
    /// Opens a CAR. Reads all of it on first use, and again when its size or time has changed, to
    /// write its index to `index_dir`, which is created if need be.
    ///
    /// A CAR that is cut or damaged behind its header still serves the blocks before the damage;
    /// see [`CarFile::is_whole`].
    ///
    /// # Errors
    /// [`CarFileError::NotCar`] and [`CarFileError::Disk`].
    pub fn open(path: &Path, index_dir: &Path) -> Result<Self, CarFileError> {
        let (file, roots) = begin(path)?;
        let stamp = Stamp::of(&file);
        private::create_private_dir(index_dir)?;
        let index_path = index::path_for(path, index_dir)?;
        let index = match Index::open(&index_path, stamp) {
            Some(index) => index,
            None => Index::build(&file, stamp, &index_path)?,
        };
        Ok(Self { file, index, roots })
    }

    /// Looks whether a file begins as a CAR does, and reads no more of it.
    ///
    /// # Errors
    /// As [`CarFile::open`].
    pub fn check(path: &Path) -> Result<(), CarFileError> {
        begin(path).map(drop)
    }

    /// What the CAR names as its roots; writers may put anything here.
    pub fn roots(&self) -> &[Cid] {
        &self.roots
    }

    /// Whether the CAR ended properly when it was indexed, and not by a cut or damage.
    pub fn is_whole(&self) -> bool {
        self.index.is_whole()
    }

    /// Whether the CAR files a block under `cid`. What cannot be looked up may be there: asking for
    /// it tells why.
    pub fn may_have(&self, cid: &Cid) -> bool {
        let places = self.index.find(cid.hash());
        places.map_or(true, |places| !places.is_empty())
    }

    /// The bytes of the block that the CAR files under `cid`, unproved; `None` if it has none.
    ///
    /// # Errors
    /// [`CarFileError::TooLarge`] beyond `max` bytes, [`CarFileError::Disk`].
    pub fn block(&self, cid: &Cid, max: u64) -> Result<Option<Bytes>, CarFileError> {
        let places = self.index.find(cid.hash())?;
        let (mut first, mut too_large) = (None, None);
        for place in &places {
            let len = u64::from(place.len);
            if len > max {
                too_large = Some(CarFileError::TooLarge { len, max });
                continue;
            }
            let mut block = vec![0; place.len as usize];
            self.file.read_exact_at(place.offset, &mut block)?;
            // Of several copies the first may be the damaged one. A single one is the caller's to
            // prove, who does so anyway.
            if places.len() == 1 || hash::matches(cid.hash(), [block.as_slice()]) {
                return Ok(Some(block.into()));
            }
            first.get_or_insert(block);
        }
        match (first, too_large) {
            (None, Some(error)) => Err(error),
            (first, _) => Ok(first.map(Bytes::from)),
        }
    }
}

/// What may go wrong while a CAR is read from front to back.
enum ScanError {
    Disk(DiskError),
    Car(CarError),
}

/// Feeds a CAR to a parser, piece by piece.
struct Scan<'a> {
    file: &'a RandomFile,
    at: u64,
    parser: CarParser,
}

impl<'a> Scan<'a> {
    fn new(file: &'a RandomFile) -> Self {
        let parser = CarParser::new(LIMITS);
        Self {
            file,
            at: 0,
            parser,
        }
    }

    /// Pushes the next piece; `false` at the end of the file.
    fn feed(&mut self) -> Result<bool, ScanError> {
        let len = (self.file.len() - self.at).min(PIECE as u64);
        if len == 0 {
            return Ok(false);
        }
        let mut piece = vec![0; len as usize];
        self.file
            .read_exact_at(self.at, &mut piece)
            .map_err(ScanError::Disk)?;
        self.at += len;
        self.parser.push(piece.into());
        Ok(true)
    }
}

/// The file, and the roots that its header names.
fn begin(path: &Path) -> Result<(RandomFile, Vec<Cid>), CarFileError> {
    let file = RandomFile::open(path)?;
    let roots = read_roots(&file).map_err(|error| match error {
        ScanError::Disk(error) => CarFileError::Disk(error),
        ScanError::Car(source) => CarFileError::NotCar {
            path: path.to_owned(),
            source,
        },
    })?;
    Ok((file, roots))
}

fn read_roots(file: &RandomFile) -> Result<Vec<Cid>, ScanError> {
    let mut scan = Scan::new(file);
    loop {
        if let Some(header) = scan.parser.header() {
            return Ok(header.roots.clone());
        }
        if !scan.feed()? {
            scan.parser.finish().map_err(ScanError::Car)?;
            return Ok(Vec::new());
        }
        // Reading a section needs the header, so an error without one is the header's.
        let next = scan.parser.next();
        if scan.parser.header().is_none() {
            next.map_err(ScanError::Car)?;
        }
    }
}
