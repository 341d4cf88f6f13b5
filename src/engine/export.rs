//! Handing a download on as a CAR: every block that can be proved from what is here.
//!
//! Interior blocks come from the store, leaves are built again around the bytes on disk. Asks
//! nobody. Invariants: every block is what its CID names before it is written; one root gives the
//! same bytes, whoever served it, as far as all of it is here.

mod blocks;
mod car_file;
mod places;
mod save;

use std::sync::atomic::{AtomicBool, Ordering};

use crate::content::car::writer::{self, Dfs, DfsError};
use crate::content::cid::Cid;
use crate::content::hash::VerifiedBlock;
use crate::content::path::Resolution;
use crate::disk::DiskError;
use crate::engine::export::blocks::Found;
use crate::engine::stored;
use crate::store::{Store, StoreError};

pub use blocks::Origin;
pub(in crate::engine) use car_file::Appender;
pub use car_file::{CarPart, is_car_of};
pub use save::Saving;

/// What is to be handed on.
pub struct Export {
    /// Where interior blocks are.
    pub store: Store,
    /// The root of the content.
    pub root: Cid,
    /// Where the bytes are.
    pub origin: Origin,
    /// Largest block, in bytes.
    pub max_block: u64,
}

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exported {
    /// Blocks that were written.
    pub blocks: u64,
    /// Bytes of the CAR.
    pub bytes: u64,
    /// Blocks that are known to belong to it and are not here; what is below them, nobody knows.
    pub missing: u64,
}

/// Why no CAR was written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// It was told to stop.
    #[error("interrupted")]
    Stopped,
    /// The disk failed, or the name is taken.
    #[error("the CAR cannot be written")]
    Disk(#[from] DiskError),
    /// The bytes may be there, and cannot be read.
    #[error("the download cannot be read")]
    Source(#[source] DiskError),
    /// The store failed.
    #[error("the state cannot be read")]
    Store(#[from] StoreError),
    /// The content is not sound.
    #[error("the content is no sound DAG")]
    Content(#[from] DfsError),
}

/// The root of what the names below `root` mean, as far as the store knows the way.
///
/// # Errors
/// When the store cannot be read.
pub fn content_root(
    store: &Store,
    root: Cid,
    names: Vec<String>,
) -> Result<Option<Cid>, StoreError> {
    let mut way = Resolution::new(root, names);
    while let Some(wanted) = way.wanted() {
        let Some(block) = stored::block_now(store, &wanted)? else {
            return Ok(None);
        };
        if way.feed(block.data()).is_err() {
            return Ok(None);
        }
    }
    Ok(Some(way.here()))
}

impl Export {
    /// Writes the CAR, depth first, each block once. Blocks; tells `on_progress` of the bytes so
    /// far.
    ///
    /// # Errors
    /// See [`ExportError`].
    pub fn write(
        &self,
        part: &mut CarPart,
        is_stopped: &AtomicBool,
        on_progress: &mut dyn FnMut(u64),
    ) -> Result<Exported, ExportError> {
        let mut done = Exported::default();
        part.append(&writer::header(&self.root))?;
        let mut dfs = match self.origin {
            Origin::File(_) => Dfs::of_file(&self.root),
            _ => Dfs::new(&self.root),
        };
        let mut found = Found::new(self);
        while let Some(cid) = dfs.next_wanted() {
            if is_stopped.load(Ordering::Relaxed) {
                return Err(ExportError::Stopped);
            }
            match found.take(&cid)? {
                Some(block) => {
                    dfs.feed(block.data())?;
                    append(part, &block)?;
                    done.blocks += 1;
                    on_progress(part.position());
                }
                None => {
                    dfs.skip();
                    done.missing += 1;
                }
            }
        }
        done.bytes = part.position();
        Ok(done)
    }
}

fn append(part: &mut CarPart, block: &VerifiedBlock) -> Result<(), DiskError> {
    part.append(&writer::section(block.cid(), block.data().len() as u64))?;
    part.append(block.data())
}
