//! Linux, macOS and the other Unixes.

use std::ffi::OsStr;
use std::fs::{DirBuilder, File, Metadata, OpenOptions, Permissions, TryLockError};
use std::io;
#[cfg(any(target_os = "linux", target_os = "android"))]
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;

mod dir;

pub(in crate::disk) use dir::{
    Dir, RENAMES_OPEN_DIRS, SYNC_NEEDS_WRITE, exchange, open_up, preserve_file, sync_file,
};

/// Whether every write sets the file's time of modification before it returns.
pub(in crate::disk) const WRITES_SET_TIMES: bool = true;

/// Writes all of `bytes` at `offset`.
pub(in crate::disk) fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    file.write_all_at(bytes, offset)
}

/// Reads up to `buffer.len()` bytes at `offset`; 0 at the end of the file.
pub(in crate::disk) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    file.read_at(buffer, offset)
}

/// Makes `open` fail on, or return, a symlink at the last component, but never follow it; and
/// never wait for the other end of a pipe. The caller checks that the result is a regular file.
pub(in crate::disk) fn no_follow(options: &mut OpenOptions) -> &mut OpenOptions {
    options.custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK))
}

/// Gives the owner leave to read and write the file at `path` if `is_ours` says that it may; whether
/// it did. A symlink is no such file, and none is followed.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(in crate::disk) fn open_up_file(
    path: &Path,
    is_ours: &dyn Fn(&Metadata) -> bool,
) -> io::Result<bool> {
    // A handle of this kind needs no leave, and holds on to the file whatever its name becomes.
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, rustix::fs::Mode::empty())?);
    let metadata = file.metadata()?;
    let is_meant = metadata.is_file() && is_ours(&metadata);
    if is_meant {
        let handle = format!("/proc/self/fd/{}", file.as_raw_fd());
        std::fs::set_permissions(handle, opened_up(&metadata))?;
    }
    Ok(is_meant)
}

/// Gives the owner leave to read and write the file at `path` if `is_ours` says that it may; whether
/// it did. A symlink is no such file, and none is followed.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(in crate::disk) fn open_up_file(
    path: &Path,
    is_ours: &dyn Fn(&Metadata) -> bool,
) -> io::Result<bool> {
    use rustix::fs::{AtFlags, CWD, Mode, chmodat};

    let metadata = std::fs::symlink_metadata(path)?;
    let is_meant = metadata.is_file() && is_ours(&metadata);
    if is_meant {
        let mode = Mode::from_raw_mode(opened_up(&metadata).mode() as _);
        chmodat(CWD, path, mode, AtFlags::SYMLINK_NOFOLLOW)?;
    }
    Ok(is_meant)
}

fn opened_up(metadata: &Metadata) -> Permissions {
    const OWNER_READ_WRITE: u32 = 0o600;
    Permissions::from_mode(metadata.permissions().mode() & 0o7777 | OWNER_READ_WRITE)
}

/// Makes `open` follow symlinks, but never wait for the other end of a pipe.
pub(in crate::disk) fn no_wait(options: &mut OpenOptions) -> &mut OpenOptions {
    options.custom_flags(flags(OFlags::NONBLOCK))
}

fn flags(flags: OFlags) -> i32 {
    // All open flags lie below the sign bit.
    flags.bits() as i32
}

/// Makes new files readable by their owner alone.
pub(in crate::disk) fn private_file(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600)
}

/// Makes new directories accessible to their owner alone.
pub(in crate::disk) fn private_dir(builder: &mut DirBuilder) -> &mut DirBuilder {
    builder.mode(0o700)
}

/// The permission bits of others, if they may do anything here.
pub(in crate::disk) fn open_to_others(metadata: &Metadata) -> Option<u32> {
    let mode = metadata.permissions().mode() & 0o777;
    (mode & 0o077 != 0).then_some(mode)
}

/// Whether two different names are hard links to one file. The count of links and the size guard
/// against file systems that give several files one number.
pub(in crate::disk) fn are_links(a: &Metadata, b: &Metadata) -> bool {
    same_inode(a, b) && a.is_file() && a.nlink() > 1 && b.nlink() > 1 && a.len() == b.len()
}

fn same_inode(a: &Metadata, b: &Metadata) -> bool {
    a.dev() == b.dev() && a.ino() == b.ino()
}

/// The permission bits.
pub(in crate::disk) fn mode(metadata: &Metadata) -> Option<u32> {
    Some(metadata.permissions().mode() & 0o7777)
}

/// Makes `to`, which is empty, share the blocks of `from`.
///
/// # Errors
/// Where the file system cannot do that, or the two lie on different ones; `to` is empty then.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(in crate::disk) fn clone_file(from: &File, to: &File) -> io::Result<()> {
    Ok(rustix::fs::ioctl_ficlone(to, from)?)
}

/// Makes `to` share the blocks of `from`: not possible here between open files.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(in crate::disk) fn clone_file(_from: &File, _to: &File) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// How many names a file has.
pub(in crate::disk) fn link_count(metadata: &Metadata) -> u64 {
    metadata.nlink()
}

/// When anything of a file was last changed, its times too: seconds since 1970, and nanoseconds.
/// Nobody can set it.
pub(in crate::disk) fn changed(metadata: &Metadata) -> Option<(i64, i64)> {
    Some((metadata.ctime(), metadata.ctime_nsec()))
}

/// Whether what is open is what a name stands for.
pub(in crate::disk) fn is_same_file(open: &Metadata, named: &Metadata) -> bool {
    same_inode(open, named)
}

/// Whether the file takes less room than its length.
pub(in crate::disk) fn has_holes(metadata: &Metadata) -> bool {
    /// What `st_blocks` counts, whatever the file system's own blocks are.
    const BLOCK: u64 = 512;
    metadata.blocks().saturating_mul(BLOCK) < metadata.len()
}

/// Renames unless `to` exists, in one step.
///
/// # Errors
/// `AlreadyExists`, or `Unsupported` where the kernel or the file system has no such call.
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
pub(in crate::disk) fn rename_exclusive(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};

    renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE).map_err(lacking)
}

/// File systems without the flag of a rename say EINVAL; system call filters say EPERM.
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn lacking(errno: Errno) -> io::Error {
    match errno {
        Errno::NOSYS | Errno::INVAL | Errno::NOTSUP | Errno::PERM => {
            io::ErrorKind::Unsupported.into()
        }
        other => other.into(),
    }
}

/// Renames unless `to` exists, in one step: not possible here.
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
pub(in crate::disk) fn rename_exclusive(_from: &Path, _to: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Makes the names in a directory durable.
///
/// A directory that this user may not read cannot be synced by any means, and some network and
/// user-space file systems know no sync of directories; both count as done.
pub(in crate::disk) fn sync_dir(dir: &Path) -> io::Result<()> {
    match File::open(dir) {
        Ok(file) => synced(file.sync_all()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        Err(error) => synced(Err(error)),
    }
}

/// The sync of a directory on a file system that knows none counts as done.
fn synced(result: io::Result<()>) -> io::Result<()> {
    result.or_else(|error| match Errno::from_io_error(&error) {
        Some(Errno::INVAL | Errno::NOTSUP | Errno::NOSYS) => Ok(()),
        _ => Err(error),
    })
}

/// Whether an open lock file is still what its path names: its former holder may have removed it
/// between our open and our lock.
pub(in crate::disk) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match std::fs::symlink_metadata(path) {
        Ok(there) => Ok(same_inode(&ours, &there)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Takes the exclusive lock of a file or directory, held until it is closed; `false` if another
/// handle holds it. True where the file system has no locks.
pub(in crate::disk) fn try_lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => match Errno::from_io_error(&error) {
            // Locks of NFS ask for a handle that may write, which no directory has.
            Some(Errno::BADF | Errno::NOTSUP | Errno::NOSYS | Errno::INVAL | Errno::NOLCK) => {
                Ok(true)
            }
            _ => Err(error),
        },
    }
}

/// Lets the lock file at `path` be opened so that [`is_at`] and [`remove_locked`] hold.
pub(in crate::disk) fn lock_file(options: &mut OpenOptions) -> &mut OpenOptions {
    no_follow(options)
}

/// Removes a lock file whose lock `file` holds, then lets go. Removed first: whoever opened the
/// old file meanwhile gets the lock of a file that has no name, and sees that by [`is_at`].
pub(in crate::disk) fn remove_locked(file: File, path: &Path) -> io::Result<()> {
    let removed = if is_at(&file, path)? {
        std::fs::remove_file(path)
    } else {
        Ok(())
    };
    drop(file);
    removed
}

/// Whether the failure to make a symlink says that the file system has none. What FAT calls not
/// permitted is never said of a directory where files can be made.
pub(in crate::disk) fn lacks_links(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::PERM | Errno::NOSYS | Errno::NOTSUP))
}

/// Makes a symlink.
pub(in crate::disk) fn symlink(target: &[u8], path: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(OsStr::from_bytes(target), path)
}

/// The effective user id.
pub(in crate::disk) fn uid() -> Option<u32> {
    Some(rustix::process::geteuid().as_raw())
}

/// The name of this host.
pub(in crate::disk) fn hostname() -> Option<String> {
    let name = rustix::system::uname();
    Some(name.nodename().to_string_lossy().into_owned())
}
