//! Directories by handle: every name is looked up in an open directory and never followed.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rustix::fs::{self, AtFlags, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;

use crate::disk::tree::entry::{EntryFacts, EntryKind, Preserved};

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);
/// The type of file systems in user space (`FUSE_SUPER_MAGIC` of statfs(2)).
#[cfg(any(target_os = "linux", target_os = "android"))]
const FUSE: fs::FsWord = 0x6573_5546;

/// An open directory.
#[derive(Debug)]
pub(in crate::disk) struct Dir(File);

impl Dir {
    /// Opens the directory at `path`; a symlink as its last name is refused.
    pub(in crate::disk) fn open(path: &Path) -> io::Result<Self> {
        let opened = fs::open(path, DIRECTORY, Mode::empty());
        Ok(Self(File::from(opened.map_err(no_directory)?)))
    }

    /// Makes a directory at `path` with the permissions that the umask leaves.
    pub(in crate::disk) fn create(path: &Path) -> io::Result<()> {
        std::fs::create_dir(path)
    }

    /// Takes the exclusive lock of this directory, held until it is dropped; `false` if another
    /// handle holds it. True where the file system has no locks.
    pub(in crate::disk) fn try_lock(&self) -> io::Result<bool> {
        super::try_lock(&self.0)
    }

    /// Whether `path` still names this directory.
    pub(in crate::disk) fn is_at(&self, path: &Path) -> io::Result<bool> {
        super::is_at(&self.0, path)
    }

    /// Opens a directory in this one.
    pub(in crate::disk) fn open_dir(&self, name: &OsStr) -> io::Result<Self> {
        let opened = fs::openat(&self.0, name, DIRECTORY, Mode::empty());
        Ok(Self(File::from(opened.map_err(no_directory)?)))
    }

    /// Makes a directory in this one with the permissions that the umask leaves.
    pub(in crate::disk) fn make_dir(&self, name: &OsStr) -> io::Result<()> {
        Ok(fs::mkdirat(&self.0, name, Mode::from_raw_mode(0o777))?)
    }

    /// Makes a new file with the permissions that the umask leaves, and opens it for all access.
    pub(in crate::disk) fn create_file(&self, name: &OsStr) -> io::Result<File> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o666);
        Ok(File::from(fs::openat(&self.0, name, flags, mode)?))
    }

    /// Opens what is there, for writing too if `write`. The caller has looked whether it is a
    /// regular file, and looks again at the handle.
    pub(in crate::disk) fn open_file(&self, name: &OsStr, write: bool) -> io::Result<File> {
        let access = if write { OFlags::RDWR } else { OFlags::RDONLY };
        let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(File::from(fs::openat(&self.0, name, flags, Mode::empty())?))
    }

    /// Makes a symlink; where it leads is not looked at.
    pub(in crate::disk) fn symlink(&self, name: &OsStr, target: &[u8]) -> io::Result<()> {
        Ok(fs::symlinkat(OsStr::from_bytes(target), &self.0, name)?)
    }

    /// What a symlink holds.
    pub(in crate::disk) fn read_link(&self, name: &OsStr) -> io::Result<Vec<u8>> {
        Ok(fs::readlinkat(&self.0, name, Vec::new())?.into_bytes())
    }

    /// The facts about an entry, a symlink not followed; `None` if there is none.
    pub(in crate::disk) fn look(&self, name: &OsStr) -> io::Result<Option<EntryFacts>> {
        match fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(facts(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Gives the names in this directory, as the file system keeps them, with their numbers.
    pub(in crate::disk) fn list(
        &self,
        found: &mut dyn FnMut(OsString, Option<u64>),
    ) -> io::Result<()> {
        for entry in fs::Dir::read_from(&self.0)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if !matches!(name, b"." | b"..") {
                found(OsString::from_vec(name.to_vec()), Some(entry.ino()));
            }
        }
        Ok(())
    }

    /// Removes anything but a directory.
    pub(in crate::disk) fn remove_file(&self, name: &OsStr) -> io::Result<()> {
        Ok(fs::unlinkat(&self.0, name, AtFlags::empty())?)
    }

    /// Renames what is no directory, in place of a file or symlink that has the name.
    pub(in crate::disk) fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        Ok(fs::renameat(&self.0, from, &self.0, to)?)
    }

    /// Removes an empty directory.
    pub(in crate::disk) fn remove_dir(&self, name: &OsStr) -> io::Result<()> {
        Ok(fs::unlinkat(&self.0, name, AtFlags::REMOVEDIR)?)
    }

    /// Sets the permissions of a file or directory. The caller has looked that it is no symlink,
    /// for one would be followed.
    pub(in crate::disk) fn set_mode(&self, name: &OsStr, mode: u32) -> io::Result<()> {
        let mode = Mode::from_raw_mode(mode as _);
        Ok(fs::chmodat(&self.0, name, mode, AtFlags::empty())?)
    }

    /// Sets what is to be preserved on this directory itself.
    pub(in crate::disk) fn preserve_self(&self, preserved: &Preserved) -> io::Result<()> {
        preserve_file(&self.0, preserved)
    }

    /// Sets what is to be preserved on an entry. The caller has looked what `kind` it is; a link
    /// gets the time only.
    pub(in crate::disk) fn preserve(
        &self,
        name: &OsStr,
        kind: EntryKind,
        preserved: &Preserved,
    ) -> io::Result<()> {
        if let Some(modified) = preserved.modified {
            let times = times(modified);
            fs::utimensat(&self.0, name, &times, AtFlags::SYMLINK_NOFOLLOW)?;
        }
        // Last, since it may take the right to do more.
        if let Some(mode) = preserved.permissions().filter(|_| kind != EntryKind::Link) {
            self.set_mode(name, mode)?;
        }
        Ok(())
    }

    /// Makes the names in this directory durable.
    pub(in crate::disk) fn sync(&self) -> io::Result<()> {
        super::synced(self.0.sync_all())
    }

    /// Makes everything on the file system of this directory durable, in one call.
    ///
    /// # Errors
    /// `Unsupported` where there is no such call, or where it promises too little: a file system
    /// in user space is told of the data, but not asked to keep them. So is one that does not say
    /// what it is.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(in crate::disk) fn sync_file_system(&self) -> io::Result<()> {
        if !fs::fstatfs(&self.0).is_ok_and(|facts| facts.f_type != FUSE) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        fs::syncfs(&self.0).map_err(|errno| match errno {
            Errno::NOSYS | Errno::PERM => io::ErrorKind::Unsupported.into(),
            other => other.into(),
        })
    }

    /// Makes everything on the file system of this directory durable, in one call: none here.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(in crate::disk) fn sync_file_system(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Sets what is to be preserved on an open file.
pub(in crate::disk) fn preserve_file(file: &File, preserved: &Preserved) -> io::Result<()> {
    if let Some(modified) = preserved.modified {
        fs::futimens(file, &times(modified))?;
    }
    if let Some(mode) = preserved.permissions() {
        fs::fchmod(file, Mode::from_raw_mode(mode as _))?;
    }
    Ok(())
}

/// Whether an open directory can be renamed.
pub(in crate::disk) const RENAMES_OPEN_DIRS: bool = true;

/// Whether a file must be opened for writing to be synced.
pub(in crate::disk) const SYNC_NEEDS_WRITE: bool = false;

/// Hands the bytes of a file to the device. Where that leaves them in its cache (macOS), the sync
/// of a [`Dir`] that follows writes them down for good.
pub(in crate::disk) fn sync_file(file: &File) -> io::Result<()> {
    Ok(fs::fsync(file)?)
}

/// Gives the owner full access to the directory at `path`, if there is one and it lacks that.
pub(in crate::disk) fn open_up(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;

    let permissions = match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => metadata.permissions(),
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mode = permissions.mode() & 0o7777;
    if mode & 0o700 == 0o700 {
        return Ok(());
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode | 0o700))
}

/// Lets two paths change places in one step.
///
/// # Errors
/// `Unsupported` where the kernel or the file system has no such call.
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
pub(in crate::disk) fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    let exchange = fs::RenameFlags::EXCHANGE;
    fs::renameat_with(fs::CWD, one, fs::CWD, other, exchange).map_err(super::lacking)
}

/// Lets two paths change places in one step: not possible here.
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
pub(in crate::disk) fn exchange(_one: &Path, _other: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// `O_NOFOLLOW` on a link is ELOOP on some systems and ENOTDIR on others, EMLINK on FreeBSD.
fn no_directory(errno: Errno) -> io::Error {
    match errno {
        Errno::LOOP | Errno::MLINK => io::ErrorKind::NotADirectory.into(),
        other => other.into(),
    }
}

fn facts(stat: &fs::Stat) -> EntryFacts {
    use rustix::fs::FileType;

    EntryFacts {
        kind: match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => EntryKind::File,
            FileType::Directory => EntryKind::Directory,
            FileType::Symlink => EntryKind::Link,
            _ => EntryKind::Other,
        },
        len: u64::try_from(stat.st_size).unwrap_or(0),
        modified: (
            stat.st_mtime,
            u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
        ),
        mode: Some((stat.st_mode & 0o7777) as _),
        names: Some(stat.st_nlink as _),
        number: Some(stat.st_ino),
    }
}

fn times((seconds, nanos): (i64, u32)) -> Timestamps {
    Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: rustix::fs::UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: seconds,
            tv_nsec: nanos.into(),
        },
    }
}
