//! Laying a file that is there down as the part of a download, so that what is right of it need
//! not be fetched.
//!
//! Which bytes are right is not known here: whoever goes on with the part proves them. The file
//! itself stays as it is.

use std::path::Path;

use crate::disk::error::DiskError;
use crate::disk::part::PartFile;
use crate::disk::random_file::RandomFile;
use crate::disk::tree::Preserved;

/// Bytes copied at once.
const PIECE: usize = 1 << 20;

/// Copies the file at `from` to the part at `to`, behind what is there of it already: what an
/// earlier try laid down, or proved since, is as good. Shares the blocks where the disk can. Tells
/// `on_progress` of the bytes so far, and stops early once that says so.
///
/// # Errors
/// When one of them cannot be read or written.
pub fn lay(
    from: &Path,
    to: &Path,
    on_progress: &mut dyn FnMut(u64) -> bool,
) -> Result<(), DiskError> {
    let source = RandomFile::open(from)?;
    let part = match PartFile::open_own(to, None)? {
        Some(part) => part,
        None => PartFile::create(to)?,
    };
    let mut at = part.len()?;
    if at == 0 && part.clone_from(&source)? {
        at = source.len();
    }
    let mut piece = vec![0; PIECE];
    while at < source.len() && on_progress(at) {
        let len = source.read_at(at, &mut piece)?;
        if len == 0 {
            break;
        }
        part.write_at(at, &piece[..len])?;
        at += len as u64;
    }
    // Whoever could run or read the file still can; and we must be able to go on with the part.
    const OWNER: u32 = 0o600;
    part.preserve(&Preserved {
        mode: source.mode().map(|mode| mode | OWNER),
        modified: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_laid_down_once_is_not_laid_down_again() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (from, to) = (dir.path().join("file"), dir.path().join("part"));
        let bytes: Vec<u8> = (0..3 * PIECE + 5).map(|at| (at % 251) as u8).collect();
        std::fs::write(&from, &bytes).expect("written");
        lay(&from, &to, &mut |at| at < PIECE as u64).expect("half of it");
        let laid = std::fs::read(&to).expect("a part");
        assert!(laid.len() >= PIECE && bytes.starts_with(&laid));
        std::fs::write(&to, b"mine").expect("written");
        lay(&from, &to, &mut |_| true).expect("the rest");
        let laid = std::fs::read(&to).expect("a part");
        assert_eq!(&laid[..4], b"mine");
        assert_eq!(laid[4..], bytes[4..]);
    }

    #[cfg(unix)]
    #[test]
    fn permissions_come_along() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (from, to) = (dir.path().join("file"), dir.path().join("part"));
        std::fs::write(&from, "x").expect("written");
        std::fs::set_permissions(&from, std::fs::Permissions::from_mode(0o555)).expect("mode");
        lay(&from, &to, &mut |_| true).expect("laid down");
        let mode = std::fs::metadata(&to).expect("a part").permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
    }
}
