//! Directories by path: std has no way to open a name in an open directory.
//!
//! Each step of a walk is looked at before it is taken, and a symlink or junction is refused.
//! Somebody who plants one between the look and the step is not held off.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::windows::fs::{OpenOptionsExt, symlink_dir, symlink_file};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::disk::tree::entry::{EntryFacts, EntryKind, Preserved};

/// `DELETE`: the right to remove or rename.
const DELETE: u32 = 0x0001_0000;
/// `FILE_WRITE_ATTRIBUTES`.
const WRITE_ATTRIBUTES: u32 = 0x0100;
/// `FILE_SHARE_READ | FILE_SHARE_WRITE`, without `FILE_SHARE_DELETE`.
const SHARE_READ_WRITE: u32 = 0x1 | 0x2;
/// `FILE_FLAG_BACKUP_SEMANTICS`, without which no directory opens, and
/// `FILE_FLAG_OPEN_REPARSE_POINT`.
const DIRECTORY_ITSELF: u32 = 0x0200_0000 | super::OPEN_REPARSE_POINT;
/// `ERROR_SHARING_VIOLATION`.
const SHARING_VIOLATION: i32 = 32;

/// A directory.
#[derive(Debug)]
pub(in crate::disk) struct Dir {
    path: PathBuf,
    lock: std::sync::OnceLock<File>,
}

impl Dir {
    /// Opens the directory at `path`; a symlink as its last name is refused.
    pub(in crate::disk) fn open(path: &Path) -> io::Result<Self> {
        if !std::fs::symlink_metadata(path)?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Self {
            path: path.to_path_buf(),
            lock: std::sync::OnceLock::new(),
        })
    }

    /// Makes a directory at `path`.
    pub(in crate::disk) fn create(path: &Path) -> io::Result<()> {
        std::fs::create_dir(path)
    }

    /// Takes the exclusive lock of this directory, held until it is dropped; `false` if another
    /// handle holds it. The lock is a handle with the right to remove that it does not share;
    /// reading and writing in the directory ask for no such right.
    pub(in crate::disk) fn try_lock(&self) -> io::Result<bool> {
        let opened = OpenOptions::new()
            .access_mode(DELETE)
            .share_mode(SHARE_READ_WRITE)
            .custom_flags(DIRECTORY_ITSELF)
            .open(&self.path);
        match opened {
            Ok(file) => Ok(self.lock.set(file).is_ok()),
            Err(error) if error.raw_os_error() == Some(SHARING_VIOLATION) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Always: a locked directory cannot be removed or renamed.
    pub(in crate::disk) fn is_at(&self, _path: &Path) -> io::Result<bool> {
        Ok(true)
    }

    /// Opens a directory in this one.
    pub(in crate::disk) fn open_dir(&self, name: &OsStr) -> io::Result<Self> {
        Self::open(&self.path.join(name))
    }

    /// Makes a directory in this one.
    pub(in crate::disk) fn make_dir(&self, name: &OsStr) -> io::Result<()> {
        std::fs::create_dir(self.path.join(name))
    }

    /// Makes a new file, and opens it for all access.
    pub(in crate::disk) fn create_file(&self, name: &OsStr) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        options.open(self.path.join(name))
    }

    /// Opens what is there, for writing too if `write`. The caller has looked whether it is a
    /// regular file, and looks again at the handle.
    pub(in crate::disk) fn open_file(&self, name: &OsStr, write: bool) -> io::Result<File> {
        let mut options = OpenOptions::new();
        super::no_follow(options.read(true).write(write)).open(self.path.join(name))
    }

    /// Makes a symlink, to a directory if one stands where it leads. Most users lack the right.
    pub(in crate::disk) fn symlink(&self, name: &OsStr, target: &[u8]) -> io::Result<()> {
        let invalid = |_| io::Error::from(io::ErrorKind::InvalidInput);
        let target = str::from_utf8(target).map_err(invalid)?.replace('/', "\\");
        let link = self.path.join(name);
        if self.path.join(&target).is_dir() {
            symlink_dir(target, link)
        } else {
            symlink_file(target, link)
        }
    }

    /// What a symlink holds.
    pub(in crate::disk) fn read_link(&self, name: &OsStr) -> io::Result<Vec<u8>> {
        let target = std::fs::read_link(self.path.join(name))?;
        Ok(target.to_string_lossy().replace('\\', "/").into_bytes())
    }

    /// The facts about an entry, a symlink not followed; `None` if there is none.
    pub(in crate::disk) fn look(&self, name: &OsStr) -> io::Result<Option<EntryFacts>> {
        match std::fs::symlink_metadata(self.path.join(name)) {
            Ok(metadata) => facts(&metadata).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives the names in this directory, as the file system keeps them; there are no numbers.
    pub(in crate::disk) fn list(
        &self,
        found: &mut dyn FnMut(OsString, Option<u64>),
    ) -> io::Result<()> {
        for entry in std::fs::read_dir(&self.path)? {
            found(entry?.file_name(), None);
        }
        Ok(())
    }

    /// Removes anything but a directory. A symlink to a directory counts as one here.
    pub(in crate::disk) fn remove_file(&self, name: &OsStr) -> io::Result<()> {
        let path = self.path.join(name);
        if std::fs::symlink_metadata(&path)?.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        std::fs::remove_file(&path).or_else(|error| std::fs::remove_dir(&path).map_err(|_| error))
    }

    /// Renames what is no directory, in place of a file or symlink that has the name.
    pub(in crate::disk) fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        std::fs::rename(self.path.join(from), self.path.join(to))
    }

    /// Removes an empty directory.
    pub(in crate::disk) fn remove_dir(&self, name: &OsStr) -> io::Result<()> {
        std::fs::remove_dir(self.path.join(name))
    }

    /// There are no permission bits.
    pub(in crate::disk) fn set_mode(&self, _name: &OsStr, _mode: u32) -> io::Result<()> {
        Ok(())
    }

    /// Sets the time of this directory itself.
    pub(in crate::disk) fn preserve_self(&self, preserved: &Preserved) -> io::Result<()> {
        preserve_at(&self.path, preserved)
    }

    /// Sets the time of an entry, a symlink not followed.
    pub(in crate::disk) fn preserve(
        &self,
        name: &OsStr,
        _kind: EntryKind,
        preserved: &Preserved,
    ) -> io::Result<()> {
        preserve_at(&self.path.join(name), preserved)
    }

    /// NTFS journals names; there is no sync of a directory to ask for.
    pub(in crate::disk) fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    /// Makes everything on the file system of this directory durable, in one call: only
    /// administrators may.
    pub(in crate::disk) fn sync_file_system(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Sets the time of an open file; there are no permission bits.
pub(in crate::disk) fn preserve_file(file: &File, preserved: &Preserved) -> io::Result<()> {
    match preserved.modified {
        None => Ok(()),
        Some(modified) => {
            let time = system_time(modified).ok_or(io::ErrorKind::InvalidInput)?;
            file.set_modified(time)
        }
    }
}

/// Whether an open directory can be renamed.
pub(in crate::disk) const RENAMES_OPEN_DIRS: bool = false;

/// Whether a file must be opened for writing to be synced.
pub(in crate::disk) const SYNC_NEEDS_WRITE: bool = true;

/// Makes the bytes of a file durable.
pub(in crate::disk) fn sync_file(file: &File) -> io::Result<()> {
    file.sync_all()
}

/// There are no permission bits.
pub(in crate::disk) fn open_up(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// Lets two paths change places in one step: not possible here.
pub(in crate::disk) fn exchange(_one: &Path, _other: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

fn preserve_at(path: &Path, preserved: &Preserved) -> io::Result<()> {
    let file = OpenOptions::new()
        .access_mode(WRITE_ATTRIBUTES)
        .custom_flags(DIRECTORY_ITSELF)
        .open(path)?;
    preserve_file(&file, preserved)
}

fn facts(metadata: &Metadata) -> io::Result<EntryFacts> {
    let kind = metadata.file_type();
    Ok(EntryFacts {
        kind: if kind.is_symlink() {
            EntryKind::Link
        } else if kind.is_dir() {
            EntryKind::Directory
        } else if kind.is_file() {
            EntryKind::File
        } else {
            EntryKind::Other
        },
        len: metadata.len(),
        modified: crate::disk::random_file::unix_time(metadata.modified()?),
        mode: None,
        names: None,
        number: None,
    })
}

fn system_time((seconds, nanos): (i64, u32)) -> Option<SystemTime> {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let at = if seconds < 0 {
        UNIX_EPOCH.checked_sub(whole)
    } else {
        UNIX_EPOCH.checked_add(whole)
    };
    at?.checked_add(Duration::from_nanos(nanos.into()))
}
