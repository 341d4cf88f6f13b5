//! What stands at a path already, without changing anything.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::disk::Fingerprint;
use crate::disk::error::DiskError;
use crate::disk::random_file::RandomFile;
use crate::disk::tree::TreeView;

const PIECE: usize = 256 << 10;

/// Length of the regular file at `path`; `None` if nothing is there.
///
/// # Errors
/// [`DiskError::NotRegular`] for anything else than a file.
pub fn file_len(path: &Path) -> Result<Option<u64>, DiskError> {
    match RandomFile::open(path) {
        Ok(file) => Ok(Some(file.len())),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error),
    }
}

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Nothing that can be seen.
    Nothing,
    /// A regular file.
    File {
        /// Its length in bytes.
        size: u64,
        /// Its modification time in nanoseconds since 1970 UTC.
        mtime_ns: i64,
    },
    /// A directory.
    Directory,
    /// A symlink, wherever it leads.
    Symlink,
    /// Something else.
    Other,
}

/// What stands at `path`, by one look that opens nothing.
pub fn look(path: &Path) -> Seen {
    let Ok(there) = std::fs::symlink_metadata(path) else {
        return Seen::Nothing;
    };
    let kind = there.file_type();
    if kind.is_dir() {
        return Seen::Directory;
    }
    if kind.is_symlink() {
        return Seen::Symlink;
    }
    match Fingerprint::of(&there) {
        Some(Fingerprint { len, mtime_ns }) if kind.is_file() => Seen::File {
            size: len,
            mtime_ns,
        },
        _ => Seen::Other,
    }
}

/// Whether a path leads to a directory, be it through symlinks.
pub fn leads_to_directory(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|there| there.is_dir())
}

/// Whether a path leads to what is neither a file nor a directory, a pipe for example, be it through
/// symlinks: to open that may wait for ever.
pub fn leads_to_special(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|there| !there.is_file() && !there.is_dir())
}

/// A number that changes when a name, size or time in the directory at `path` does; never 0.
/// `None` if it cannot be gone through.
pub fn tree_fingerprint(path: &Path) -> Option<i64> {
    /// FNV-1a, of 64 bits: it keeps watch over accidents, not over attackers.
    fn mix(hash: u64, bytes: &[u8]) -> u64 {
        bytes.iter().fold(hash, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }
    let view = TreeView::open(path).ok()??;
    let mut sum = 1_u64;
    for entry in view.walk() {
        let entry = entry.ok()?;
        let name = entry.path.as_os_str().as_encoded_bytes();
        let Fingerprint { len, mtime_ns } = entry.facts.fingerprint().unwrap_or_default();
        let hash = mix(0xcbf2_9ce4_8422_2325, name);
        let hash = mix(
            mix(hash, &[0]),
            format!("{:?}", entry.facts.kind).as_bytes(),
        );
        let hash = mix(mix(hash, &len.to_le_bytes()), &mtime_ns.to_le_bytes());
        // A walk has no order.
        sum = sum.wrapping_add(hash);
    }
    Some(sum.cast_signed()).filter(|sum| *sum != 0)
}

/// Whether two names are those of one thing; `None` if neither is there.
pub fn is_one(one: &Path, other: &Path) -> Option<bool> {
    match (identity(one), identity(other)) {
        (None, None) => None,
        (one, other) => Some(one == other),
    }
}

#[cfg(unix)]
fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let there = std::fs::symlink_metadata(path).ok()?;
    Some((there.dev(), there.ino()))
}

/// The path as the system writes it, which has each name as it was made.
#[cfg(not(unix))]
fn identity(path: &Path) -> Option<PathBuf> {
    std::fs::canonicalize(path).ok()
}

/// Whether the directory of this file does not tell names apart by the case of their letters.
pub fn ignores_case(file: &Path) -> bool {
    let Some(name) = file.file_name().and_then(|name| name.to_str()) else {
        return false;
    };
    let swapped = match name.to_uppercase() {
        upper if upper == name => name.to_lowercase(),
        upper => upper,
    };
    swapped != name && is_one(file, &file.with_file_name(swapped)) == Some(true)
}

/// Whether anything is there, be it a symlink that leads nowhere.
pub fn exists(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}

/// Whether certainly nothing is there: what cannot be looked at may be.
pub fn is_absent(path: &Path) -> bool {
    let looked = std::fs::symlink_metadata(path).map_err(DiskError::of("examine", path));
    looked.is_err_and(|error| error.is_absent())
}

/// What the symlink at `path` holds; `None` if there is none.
pub fn link_text(path: &Path) -> Option<Vec<u8>> {
    let text = std::fs::read_link(path).ok()?;
    Some(text.as_os_str().as_encoded_bytes().to_vec())
}

/// Whether a directory is there; a symlink to one is none.
pub fn is_directory(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|there| there.is_dir())
}

/// Whether `path` is the directory `directory` or lies somewhere below it, whatever links lead
/// there. What is not there lies nowhere.
pub fn is_within(path: &Path, directory: &Path) -> bool {
    let real = |path: &Path| std::fs::canonicalize(path).ok();
    let both = real(path).zip(real(directory));
    both.is_some_and(|(path, directory)| path.starts_with(directory))
}

/// That of the file at `path`, through symlinks if need be, whoever may read it; `None` if there is
/// none.
pub fn fingerprint(path: &Path) -> Option<Fingerprint> {
    let there = std::fs::metadata(path).ok().filter(Metadata::is_file)?;
    Fingerprint::of(&there)
}

/// The path without symlinks on the way or at its end; `None` if nothing is there.
pub fn real_path(path: &Path) -> Option<PathBuf> {
    std::fs::canonicalize(path).ok()
}

/// Whether `path` is a symlink that leads to `other`, directly or through more of them: what it
/// holds is there only as long as the other is.
pub fn is_link_to(path: &Path, other: &Path) -> bool {
    let is_link = std::fs::symlink_metadata(path).is_ok_and(|there| there.is_symlink());
    let ends = |path: &Path| std::fs::canonicalize(path).ok();
    is_link && ends(path).is_some_and(|end| Some(end) == ends(other))
}

/// Whether two files hold the same bytes; `false` if `other` is only a link to `one`, or if it is
/// told to stop before that is known.
///
/// # Errors
/// When one of them cannot be read.
pub fn same_content(one: &Path, other: &Path, is_stopped: &AtomicBool) -> Result<bool, DiskError> {
    if is_link_to(other, one) {
        return Ok(false);
    }
    same_bytes(
        &RandomFile::open(one)?,
        &RandomFile::open(other)?,
        is_stopped,
    )
}

/// Whether two open files hold the same bytes, as [`same_content`] tells it.
///
/// # Errors
/// As there.
pub fn same_bytes(
    one: &RandomFile,
    other: &RandomFile,
    is_stopped: &AtomicBool,
) -> Result<bool, DiskError> {
    if one.len() != other.len() {
        return Ok(false);
    }
    let (mut left, mut right) = (vec![0; PIECE], vec![0; PIECE]);
    let mut at = 0;
    while at < one.len() {
        let len = PIECE.min(usize::try_from(one.len() - at).unwrap_or(PIECE));
        one.read_exact_at(at, &mut left[..len])?;
        other.read_exact_at(at, &mut right[..len])?;
        if left[..len] != right[..len] || is_stopped.load(Ordering::Relaxed) {
            return Ok(false);
        }
        at += len as u64;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares_and_measures() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("a"), vec![7; PIECE + 1]).expect("write");
        std::fs::write(path("b"), vec![7; PIECE + 1]).expect("write");
        std::fs::write(path("c"), vec![8; PIECE + 1]).expect("write");
        let [goes_on, is_stopped] = [false, true].map(AtomicBool::new);
        assert!(same_content(&path("a"), &path("b"), &goes_on).expect("read"));
        assert!(!same_content(&path("a"), &path("c"), &goes_on).expect("read"));
        assert!(!same_content(&path("a"), &path("b"), &is_stopped).expect("read"));
        assert_eq!(file_len(&path("a")).expect("read"), Some(PIECE as u64 + 1));
        assert_eq!(file_len(&path("none")).expect("read"), None);
        assert!(file_len(dir.path()).is_err());
        assert!(fingerprint(&path("a")).is_some());
        assert_eq!(fingerprint(&path("none")), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_file_holds_nothing_of_its_own() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("a"), b"bytes").expect("write");
        std::fs::write(path("b"), b"bytes").expect("write");
        for (link, to) in [("to-a", "a"), ("to-b", "b"), ("far", "to-a")] {
            std::os::unix::fs::symlink(path(to), path(link)).expect("a link");
        }
        let goes_on = AtomicBool::new(false);
        let is_same = |other: &str| same_content(&path("a"), &path(other), &goes_on).expect("read");
        assert!(is_same("b") && is_same("to-b"));
        assert!(!is_same("to-a") && !is_same("far"));
    }
}
