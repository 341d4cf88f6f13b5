//! Proofs of whole files: by their SHA-256, or by the root that an importer would give them.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::content::cid::Cid;
use crate::content::hash::{self, FileSha256};
use crate::disk::DiskError;
use crate::disk::random_file::RandomFile;
use crate::engine::aside::detached;
use crate::engine::naming::{self, NamingError};

/// Bytes read at once.
const PIECE: usize = 1 << 20;

/// The SHA-256 of a file; tells `on_progress` of the bytes so far, and gives up with `None` once
/// that says so.
///
/// # Errors
/// When it cannot be read.
pub fn sha256_of(
    file: &RandomFile,
    on_progress: &mut dyn FnMut(u64) -> bool,
) -> Result<Option<[u8; 32]>, DiskError> {
    let mut sum = FileSha256::new();
    let mut piece = vec![0; PIECE];
    while on_progress(sum.position()) {
        match file.read_at(sum.position(), &mut piece)? {
            0 => return Ok(Some(sum.finish())),
            len => sum.update(&piece[..len]),
        }
    }
    Ok(None)
}

/// The digest of the first `len` bytes of a file by the function with this multihash code; `None`
/// for one that is not known, and if it is told to stop before all is read.
///
/// # Errors
/// When it cannot be read, or is shorter.
pub fn digest_of(
    file: &RandomFile,
    len: u64,
    code: u64,
    is_stopped: &AtomicBool,
) -> Result<Option<Vec<u8>>, DiskError> {
    let Some(mut hasher) = hash::Hasher::new(code) else {
        return Ok(None);
    };
    let mut piece = vec![0; PIECE];
    let mut at = 0;
    while at < len {
        if is_stopped.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let read = PIECE.min(usize::try_from(len - at).unwrap_or(PIECE));
        file.read_exact_at(at, &mut piece[..read])?;
        hasher.update(&piece[..read]);
        at += read as u64;
    }
    Ok(Some(hasher.finish()))
}

/// Whether a file has this SHA-256.
///
/// # Errors
/// When it cannot be read.
pub async fn is_sum(file: &RandomFile, sha256: [u8; 32]) -> Result<bool, DiskError> {
    let file = file.clone();
    let found = detached(move || sha256_of(&file, &mut |_| true)).await?;
    Ok(found == Some(sha256))
}

/// Whether an importer would give a file this root.
///
/// # Errors
/// When it cannot be read.
pub async fn has_root(file: &RandomFile, root: Cid) -> Result<bool, DiskError> {
    let file = file.clone();
    match detached(move || naming::find(&file, &root, false)).await {
        Ok(names) => Ok(names.is_some()),
        Err(NamingError::Disk(error)) => Err(error),
        Err(_) => Ok(false),
    }
}

/// Whether an importer would give the tree at `path` this root.
pub async fn is_tree(path: &Path, root: Cid) -> Result<bool, DiskError> {
    let path = path.to_path_buf();
    match detached(move || naming::find_tree(&path, &root)).await {
        Ok(names) => Ok(names.is_some()),
        Err(NamingError::Disk(error)) => Err(error),
        Err(_) => Ok(false),
    }
}
