//! Windows.

use std::fs::{DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::os::windows::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

mod dir;

pub(in crate::disk) use dir::{
    Dir, RENAMES_OPEN_DIRS, SYNC_NEEDS_WRITE, exchange, open_up, preserve_file, sync_file,
};

/// `FILE_FLAG_OPEN_REPARSE_POINT`: open a link itself, not what it points to.
const OPEN_REPARSE_POINT: u32 = 0x0020_0000;
/// `FILE_SHARE_READ | FILE_SHARE_WRITE`, without `FILE_SHARE_DELETE`.
const SHARE_READ_WRITE: u32 = 0x1 | 0x2;

/// NTFS may set the time of modification as late as when the file is closed.
pub(in crate::disk) const WRITES_SET_TIMES: bool = false;

/// Writes all of `bytes` at `offset`.
pub(in crate::disk) fn write_all_at(
    file: &File,
    mut bytes: &[u8],
    mut offset: u64,
) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = match file.seek_write(bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        bytes = &bytes[written..];
        offset += written as u64;
    }
    Ok(())
}

/// Reads up to `buffer.len()` bytes at `offset`; 0 at the end of the file.
pub(in crate::disk) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    file.seek_read(buffer, offset)
}

/// Makes `open` return a symlink at the last component instead of following it. The caller checks
/// that the result is a regular file.
pub(in crate::disk) fn no_follow(options: &mut OpenOptions) -> &mut OpenOptions {
    options.custom_flags(OPEN_REPARSE_POINT)
}

/// There are no permission bits.
pub(in crate::disk) fn open_up_file(
    _path: &Path,
    _is_ours: &dyn Fn(&Metadata) -> bool,
) -> io::Result<bool> {
    Ok(false)
}

/// Makes `open` never wait for another process: it does not here.
pub(in crate::disk) fn no_wait(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// New files inherit the access list of their directory; below the user's profile that is the
/// user alone.
pub(in crate::disk) fn private_file(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// New directories inherit the access list of their parent.
pub(in crate::disk) fn private_dir(builder: &mut DirBuilder) -> &mut DirBuilder {
    builder
}

/// Access lists are not judged.
pub(in crate::disk) fn open_to_others(_metadata: &Metadata) -> Option<u32> {
    None
}

/// Whether two different names are hard links to one file: std cannot tell yet, so never. A crash
/// between link and unlink then shows as a taken name with the right content.
pub(in crate::disk) fn are_links(_a: &Metadata, _b: &Metadata) -> bool {
    false
}

/// The permission bits: there are none.
pub(in crate::disk) fn mode(_metadata: &Metadata) -> Option<u32> {
    None
}

/// Makes `to` share the blocks of `from`: not done here.
pub(in crate::disk) fn clone_file(_from: &File, _to: &File) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// How many names a file has: not told here.
pub(in crate::disk) fn link_count(_metadata: &Metadata) -> u64 {
    1
}

/// When anything of a file was last changed: std cannot tell yet.
pub(in crate::disk) fn changed(_metadata: &Metadata) -> Option<(i64, i64)> {
    None
}

/// Whether what is open is what a name stands for: std cannot tell yet.
pub(in crate::disk) fn is_same_file(_open: &Metadata, _named: &Metadata) -> bool {
    true
}

/// Whether the file takes less room than its length: std cannot tell.
pub(in crate::disk) fn has_holes(_metadata: &Metadata) -> bool {
    false
}

/// Renames unless `to` exists, in one step: std's rename always replaces.
pub(in crate::disk) fn rename_exclusive(_from: &Path, _to: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// NTFS journals names; there is no sync of a directory to ask for.
pub(in crate::disk) fn sync_dir(_dir: &Path) -> io::Result<()> {
    Ok(())
}

/// Always: a file opened by [`lock_file`] cannot be removed or renamed while it is open.
pub(in crate::disk) fn is_at(_file: &File, _path: &Path) -> io::Result<bool> {
    Ok(true)
}

/// Takes the exclusive lock of a file, held until it is closed; `false` if another handle holds
/// it. True where the file system has no locks (`ERROR_INVALID_FUNCTION`, `ERROR_NOT_SUPPORTED`).
pub(in crate::disk) fn try_lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => match error.raw_os_error() {
            Some(1 | 50) => Ok(true),
            _ => Err(error),
        },
    }
}

/// Lets the lock file at `path` be opened so that [`is_at`] and [`remove_locked`] hold: nobody
/// can remove it while it is open.
pub(in crate::disk) fn lock_file(options: &mut OpenOptions) -> &mut OpenOptions {
    options
        .share_mode(SHARE_READ_WRITE)
        .custom_flags(OPEN_REPARSE_POINT)
}

/// Lets go of the lock, then removes the file. Whoever opened it in between keeps it: then the
/// removal fails, and that is right.
pub(in crate::disk) fn remove_locked(file: File, path: &Path) -> io::Result<()> {
    drop(file);
    let _still_in_use = std::fs::remove_file(path);
    Ok(())
}

/// Whether the failure to make a symlink says that there can be none here: the privilege is lacking
/// (`ERROR_PRIVILEGE_NOT_HELD`), or the file system knows none (`ERROR_INVALID_FUNCTION`,
/// `ERROR_NOT_SUPPORTED`).
pub(in crate::disk) fn lacks_links(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(1314 | 1 | 50))
}

/// Makes no symlink: that takes a privilege, and a word whether it leads to a file.
pub(in crate::disk) fn symlink(_: &[u8], _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// There is no numeric user id.
pub(in crate::disk) fn uid() -> Option<u32> {
    None
}

/// The name of this host.
pub(in crate::disk) fn hostname() -> Option<String> {
    std::env::var("COMPUTERNAME").ok()
}
