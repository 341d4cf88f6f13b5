//! Lock files: a process lives exactly as long as it holds one.
//!
//! The kernel drops the lock when its holder dies in whatever way, so no pid is ever judged. The
//! lock belongs to the open file, not to its name; a file that lost its name while somebody
//! waited for it is noticed and tried again. Invariant: at most one [`LockFile`] for a path.
//!
//! Whoever shows its lock to others takes it *before* it tells them the path: between the
//! creation of the file and the lock, [`is_held`] says `false`.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::disk::error::DiskError;
use crate::disk::platform;

/// [`is_held`] itself locks for a moment, so a refusal is believed only when it lasts.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(1);
/// How often the file may lose its name between open and lock before that is an error.
const MAX_REMOVALS: u32 = 10_000;

/// A lock that is held until this value is dropped, or the process ends.
#[derive(Debug)]
pub struct LockFile {
    file: File,
    path: PathBuf,
}

impl LockFile {
    /// Makes the file (for this user alone) if need be and locks it; `None` if another handle, in
    /// this process or another, holds it.
    ///
    /// # Errors
    /// Among others, where the file system has no locks.
    pub fn try_acquire(path: &Path) -> Result<Option<Self>, DiskError> {
        for _ in 0..MAX_REMOVALS {
            let file = open_or_create(path)?;
            if !try_lock(&file).map_err(DiskError::of("lock", path))? {
                return Ok(None);
            }
            // Its last holder may have removed it after we opened it: then this lock is worth
            // nothing, since others will make and lock a new file.
            if platform::is_at(&file, path).map_err(DiskError::of("lock", path))? {
                return Ok(Some(Self {
                    file,
                    path: path.to_path_buf(),
                }));
            }
        }
        let source = io::Error::other("the file disappears as soon as it is made");
        Err(DiskError::of("lock", path)(source))
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the file and lets go. Merely dropping the lock keeps the file, which does no harm.
    ///
    /// # Errors
    /// When the file could not be removed; the lock is gone all the same.
    pub fn release(self) -> Result<(), DiskError> {
        let Self { file, path } = self;
        platform::remove_locked(file, &path).map_err(DiskError::of("remove", &path))
    }
}

/// Whether some other handle holds the lock of this path; a missing file is held by nobody.
///
/// # Errors
/// When the system cannot tell. The holder must then be taken for alive.
pub fn is_held(path: &Path) -> Result<bool, DiskError> {
    let mut options = OpenOptions::new();
    let file = match platform::lock_file(options.read(true)).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        opened => opened.map_err(DiskError::of("open", path))?,
    };
    // Shared, so that two who ask at once do not take each other for the holder.
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(DiskError::of("lock", path)(error)),
    }
}

fn open_or_create(path: &Path) -> Result<File, DiskError> {
    let mut options = OpenOptions::new();
    // Opened for writing too: locks of network file systems ask for it.
    options.read(true).write(true).create(true).truncate(false);
    platform::private_file(platform::lock_file(&mut options))
        .open(path)
        .map_err(DiskError::of("open", path))
}

fn try_lock(file: &File) -> io::Result<bool> {
    for _ in 0..TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(dir: &tempfile::TempDir) -> PathBuf {
        dir.path().join("1.lock")
    }

    #[test]
    fn one_holder_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = path(&dir);
        assert!(!is_held(&path).unwrap());
        let lock = LockFile::try_acquire(&path).unwrap().unwrap();
        assert_eq!(lock.path(), path);
        assert!(is_held(&path).unwrap());
        assert!(LockFile::try_acquire(&path).unwrap().is_none());
        drop(lock);
        assert!(path.exists());
        assert!(!is_held(&path).unwrap());
        assert!(LockFile::try_acquire(&path).unwrap().is_some());
    }

    #[test]
    fn release_removes_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = path(&dir);
        let lock = LockFile::try_acquire(&path).unwrap().unwrap();
        lock.release().unwrap();
        assert!(!path.exists());
        assert!(!is_held(&path).unwrap());
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_private_and_no_symlink() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = path(&dir);
        let _lock = LockFile::try_acquire(&path).unwrap().unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0);
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path().join("elsewhere"), &link).unwrap();
        assert!(LockFile::try_acquire(&link).is_err());
        assert!(!dir.path().join("elsewhere").exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_removed_file_is_not_removed_twice() {
        let dir = tempfile::tempdir().unwrap();
        let path = path(&dir);
        let first = LockFile::try_acquire(&path).unwrap().unwrap();
        std::fs::remove_file(&path).unwrap();
        let second = LockFile::try_acquire(&path).unwrap().unwrap();
        first.release().unwrap();
        assert!(path.exists(), "the file of the second holder stays");
        second.release().unwrap();
        assert!(!path.exists());
    }

    /// Many threads take, check and release one path; the counter would pass 1 if two held it.
    #[test]
    fn removal_races_never_give_two_holders() {
        use std::sync::atomic::{AtomicU32, Ordering};
        let dir = tempfile::tempdir().unwrap();
        let path = path(&dir);
        let (holders, acquired) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let Some(lock) = LockFile::try_acquire(&path).unwrap() else {
                            continue;
                        };
                        assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0);
                        acquired.fetch_add(1, Ordering::SeqCst);
                        std::thread::yield_now();
                        holders.fetch_sub(1, Ordering::SeqCst);
                        lock.release().unwrap();
                    }
                });
            }
        });
        assert!(acquired.into_inner() > 0);
    }

    #[test]
    fn a_missing_directory_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("no/1.lock");
        assert!(LockFile::try_acquire(&below).unwrap_err().is_missing());
        assert!(!is_held(&below).unwrap());
    }
}
