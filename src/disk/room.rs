//! Free space: whether what is to come fits.
//!
//! An answer is a snapshot, never a reservation: a write may still find the disk full.

use std::io;
use std::path::Path;

use crate::disk::error::DiskError;
use crate::disk::install::parent;

/// Bytes that this user may still write below `dir`, which need not exist yet: its nearest
/// existing ancestor is asked. File systems that know no size (some in user space report 0 of 0)
/// count as boundless.
///
/// # Errors
/// When the system cannot tell.
pub fn available(dir: &Path) -> Result<u64, DiskError> {
    let mut at = dir;
    loop {
        match fs4::statvfs(at) {
            Ok(stats) if stats.total_space() == 0 => return Ok(u64::MAX),
            Ok(stats) => return Ok(stats.available_space()),
            Err(error) if error.kind() == io::ErrorKind::NotFound && parent(at) != at => {
                at = parent(at)
            }
            Err(error) => return Err(DiskError::of("examine", at)(error)),
        }
    }
}

/// Demands that `needed` more bytes fit below `dir`.
///
/// # Errors
/// [`DiskError::NoRoom`] if they do not.
pub fn require(dir: &Path, needed: u64) -> Result<(), DiskError> {
    let available = available(dir)?;
    if needed <= available {
        Ok(())
    } else {
        Err(DiskError::NoRoom {
            path: dir.to_path_buf(),
            needed,
            available,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_the_nearest_directory_that_exists() {
        let dir = tempfile::tempdir().unwrap();
        let room = available(&dir.path().join("not/yet/there")).unwrap();
        assert!(room > 0);
        assert!(available(Path::new("not/yet/there")).is_ok());
    }

    #[test]
    fn tells_what_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        require(dir.path(), 0).unwrap();
        let error = require(dir.path(), u64::MAX - 1).unwrap_err();
        assert!(error.is_no_room());
        assert!(matches!(error, DiskError::NoRoom { needed, available, .. } if needed > available));
    }
}
