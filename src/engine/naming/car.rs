//! The CAR of what is named: its blocks as they come, children before their parents.
//!
//! The root is known last, so its place in the header is kept free. Invariant: memory holds a
//! digest for each of the first blocks, whatever is imported.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::content::car::writer;
use crate::content::cid::{self, Cid};
use crate::content::importer::{Block, Importer, Profile, Root};
use crate::disk::DiskError;
use crate::engine::export::Appender;
use crate::engine::naming::NamingError;

/// Blocks that are known by their digest, so that none of them is written twice: 64 GiB of chunks
/// of 256 KiB. Behind them a block that repeats is written again, which every reader accepts.
const REMEMBERED: usize = 1 << 18;

/// A CAR that gets its blocks while something is named.
pub struct CarOf {
    file: Appender,
    header_len: usize,
    seen: HashSet<[u8; 32]>,
    is_stopped: Arc<AtomicBool>,
    failed: Option<DiskError>,
}

impl CarOf {
    /// Begins a part at this path for what `profile` makes. `is_stopped` ends the naming early.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create(
        path: &Path,
        profile: &Profile,
        is_stopped: Arc<AtomicBool>,
    ) -> Result<Self, DiskError> {
        let mut file = Appender::create(path)?;
        let placeholder = writer::header(&some_root(profile));
        file.append(&placeholder)?;
        Ok(Self {
            file,
            header_len: placeholder.len(),
            seen: HashSet::new(),
            is_stopped,
            failed: None,
        })
    }

    /// Takes a block. What goes wrong is said by [`check`](Self::check).
    pub(super) fn put(&mut self, block: &Block) {
        if self.failed.is_none() && self.is_new(&block.cid) {
            self.failed = self.write(block).err();
        }
    }

    fn write(&mut self, block: &Block) -> Result<(), DiskError> {
        let len = block.parts.iter().map(|part| part.len() as u64).sum();
        self.file.append(&writer::section(&block.cid, len))?;
        block
            .parts
            .iter()
            .try_for_each(|part| self.file.append(part))
    }

    /// A block that is its own CID needs no place, one that was written none again.
    fn is_new(&mut self, cid: &Cid) -> bool {
        if cid::identity(cid).is_some() {
            return false;
        }
        let digest = cid.hash().digest().first_chunk::<32>();
        let Some(digest) = digest.filter(|_| cid.hash().digest().len() == 32) else {
            return true;
        };
        if self.seen.len() < REMEMBERED {
            return self.seen.insert(*digest);
        }
        !self.seen.contains(digest)
    }

    /// Whether to go on.
    pub(super) fn check(&mut self) -> Result<(), NamingError> {
        match self.failed.take() {
            Some(error) => Err(error.into()),
            None if self.is_stopped.load(Ordering::Relaxed) => Err(NamingError::Stopped),
            None => Ok(()),
        }
    }

    /// Writes the root into the header, makes the CAR durable and gives it its final name; its
    /// length.
    ///
    /// # Errors
    /// [`DiskError::Exists`] if the name is taken and `overwrite` is false; then, as after any
    /// other failure, the part stays.
    pub fn install(
        mut self,
        root: &Root,
        target: &Path,
        overwrite: bool,
    ) -> Result<u64, DiskError> {
        let header = writer::header(&root.cid);
        if header.len() == self.header_len {
            self.file.rewrite_head(&header)?;
        } else {
            // A root that is its own CID, the only kind of another length, has nothing below it
            // but what is so, too: all of the CAR is its header.
            self.file.restart()?;
            self.file.append(&header)?;
        }
        let len = self.file.position();
        self.file.install(target, overwrite)?;
        Ok(len)
    }
}

/// A root as long as those of all blocks that do not fit into their own CID.
fn some_root(profile: &Profile) -> Cid {
    let mut importer = Importer::new(std::slice::from_ref(profile));
    importer.push(&vec![0; 4096].into());
    let root = importer.finish().roots.first().copied().flatten();
    root.expect("a page fits into one block of every profile")
        .cid
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_has_roots_of_one_length() {
        for profile in Profile::ALL {
            let root = some_root(profile);
            let mut importer = Importer::new(std::slice::from_ref(profile));
            importer.push(&vec![1; 3 << 20].into());
            for found in importer.finish().roots.into_iter().flatten() {
                let len = found.cid.to_bytes().len();
                assert_eq!(len, root.to_bytes().len(), "{}", profile.name());
            }
        }
    }
}
