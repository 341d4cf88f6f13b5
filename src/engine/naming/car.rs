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
use crate::content::importer::{Block, Profile, Root, symlink};
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
    /// The block, as long as there is one only.
    only: Option<Block>,
    blocks: u64,
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
            only: None,
            blocks: 0,
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
        self.blocks += 1;
        self.only = (self.blocks == 1).then(|| block.clone());
        self.append(block)
    }

    fn append(&mut self, block: &Block) -> Result<(), DiskError> {
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

    /// Writes the root into the header: the part is the CAR then.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(&mut self, root: &Root) -> Result<(), DiskError> {
        let header = writer::header(&root.cid);
        if header.len() == self.header_len {
            self.file.rewrite_head(&header)?;
        } else {
            // Only a root without links is named otherwise than a node: a raw leaf beside nodes of
            // version 0, or bytes that are their own CID. It is all there is.
            self.file.restart()?;
            self.file.append(&header)?;
            if let Some(block) = self.only.take() {
                self.append(&block)?;
            }
        }
        self.file.flush()
    }

    /// Makes a finished CAR durable and gives it its final name.
    ///
    /// # Errors
    /// [`DiskError::Exists`] if the name is taken and `overwrite` is false; then, as after any
    /// other failure, the part stays.
    pub fn install(self, target: &Path, overwrite: bool) -> Result<(), DiskError> {
        self.file.install(target, overwrite)
    }
}

/// The CID of a node, too large to be its own CID.
fn some_root(profile: &Profile) -> Cid {
    symlink(profile, &[0; 200], &mut |_| {}).cid
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::importer::Importer;

    #[test]
    fn roots_of_more_than_one_block_are_of_one_length() {
        for profile in Profile::ALL {
            for size in [0, 10, 100, 3 << 20] {
                let mut blocks = 0;
                let mut importer = Importer::new(std::slice::from_ref(profile));
                let bytes: Vec<u8> = (0..size).map(|at: u32| (at >> 12) as u8).collect();
                importer.push_with(&bytes.into(), &mut |_| blocks += 1);
                let import = importer.finish_with(&mut |_| blocks += 1);
                for root in import.roots.into_iter().flatten().filter(|_| blocks > 1) {
                    let len = |cid: &Cid| writer::header(cid).len();
                    assert_eq!(
                        len(&root.cid),
                        len(&some_root(profile)),
                        "{}",
                        profile.name()
                    );
                }
            }
        }
    }
}
