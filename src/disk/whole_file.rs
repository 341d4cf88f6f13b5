//! Small files that are read and written whole, and files of fetchd's own that appear complete.
//!
//! Invariant: a reader of the final name sees the old content or the new, never a mixture and
//! never a beginning, whatever happens in between.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use crate::disk::error::DiskError;
use crate::disk::inspect;
use crate::disk::install::{parent, remove, sync_dir};
use crate::disk::place::{Nonce, sibling};
use crate::disk::private::private_file_options;

/// How often a taken name for the temporary file is tried again.
const MAX_COLLISIONS: u32 = 16;
/// Bytes gathered before a write.
const BUFFER: usize = 64 << 10;

/// Who may read a new file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// The user alone: everything in the state directory.
    Private,
    /// Whoever the umask allows: files that the user asked for.
    Umask,
}

/// Reads a file of at most `max` bytes. Never more than that is kept in memory.
///
/// # Errors
/// [`DiskError::TooLarge`] if there is more; see also [`DiskError::is_missing`].
pub fn read_small(path: &Path, max: u64) -> Result<Vec<u8>, DiskError> {
    let file = File::open(path).map_err(DiskError::of("open", path))?;
    let mut bytes = Vec::new();
    // One byte more than allowed tells "too large", whatever the metadata says.
    file.take(max.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(DiskError::of("read", path))?;
    if bytes.len() as u64 > max {
        return Err(DiskError::TooLarge {
            path: path.to_path_buf(),
            max,
        });
    }
    Ok(bytes)
}

/// Makes or replaces a file, durably and in one step.
///
/// # Errors
/// Then the file is as it was, except when the sync of its directory failed.
pub fn write_atomic(path: &Path, bytes: &[u8], access: Access) -> Result<(), DiskError> {
    let mut file = NewFile::create(path, access)?;
    file.append(bytes)?;
    file.finish()
}

/// Replaces what a file of the user's holds, durably and in one step, or makes it: where the name is
/// a symlink the file that it leads to, and with the permissions that it has.
///
/// # Errors
/// Then the file is as it was, except when the sync of its directory failed.
pub fn rewrite(path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let (path, permissions) = match std::fs::canonicalize(path) {
        Ok(real) => {
            let metadata = std::fs::metadata(&real).map_err(DiskError::of("examine", &real))?;
            (real, Some(metadata.permissions()))
        }
        Err(_) if !inspect::exists(path) => (path.to_path_buf(), None),
        // A link that leads nowhere, or through what is closed, is not replaced by a file.
        Err(error) => return Err(DiskError::of("examine", path)(error)),
    };
    let mut file = NewFile::create(&path, Access::Umask)?;
    if let Some(permissions) = permissions {
        let set = file.writer.get_ref().set_permissions(permissions);
        set.map_err(DiskError::of("change the mode of", &path))?;
    }
    file.append(bytes)?;
    file.finish()
}

/// A file under construction, with a name of its own beside the final one; dropped unfinished, it
/// is removed.
#[derive(Debug)]
pub struct NewFile {
    writer: BufWriter<File>,
    temporary: Temporary,
    path: PathBuf,
}

/// A name that goes with this value.
#[derive(Debug)]
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // Nobody is left to be told, and the name will never be used again.
        let _ = remove(&self.0);
    }
}

impl NewFile {
    /// Begins the file that will be `path`.
    ///
    /// # Errors
    /// When no file can be made beside `path`.
    pub fn create(path: &Path, access: Access) -> Result<Self, DiskError> {
        let mut options = match access {
            Access::Private => private_file_options(),
            Access::Umask => OpenOptions::new(),
        };
        options.write(true).create_new(true);
        let (temporary, file) = create_beside(path, &options)?;
        Ok(Self {
            writer: BufWriter::with_capacity(BUFFER, file),
            temporary: Temporary(temporary),
            path: path.to_path_buf(),
        })
    }

    /// Adds bytes at the end.
    ///
    /// # Errors
    /// The file cannot be finished any more in a useful way then; drop it.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        self.writer
            .write_all(bytes)
            .map_err(DiskError::of("write", &self.path))
    }

    /// Makes the content durable, then gives it the final name, replacing what had it.
    ///
    /// # Errors
    /// Then the final name holds what it held, except when the sync of its directory failed.
    pub fn finish(self) -> Result<(), DiskError> {
        let Self {
            writer,
            temporary,
            path,
        } = self;
        let file = writer
            .into_inner()
            .map_err(|error| DiskError::of("write", &path)(error.into_error()))?;
        file.sync_all().map_err(DiskError::of("sync", &path))?;
        drop(file);
        std::fs::rename(&temporary.0, &path).map_err(DiskError::of("replace", &path))?;
        sync_dir(parent(&path))
    }
}

fn create_beside(path: &Path, options: &OpenOptions) -> Result<(PathBuf, File), DiskError> {
    let mut tried = 0;
    loop {
        let temporary = sibling(path, &format!(".{}.new", Nonce::random()));
        match options.open(&temporary) {
            Ok(file) => return Ok((temporary, file)),
            Err(error)
                if error.kind() == io::ErrorKind::AlreadyExists && tried < MAX_COLLISIONS =>
            {
                tried += 1
            }
            Err(error) => return Err(DiskError::of("create", path)(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[cfg(unix)]
    #[test]
    fn a_file_of_the_users_keeps_its_place_and_mode() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let (link, real) = (dir.path().join("link"), dir.path().join("real"));
        rewrite(&real, b"one").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("real", &link).unwrap();
        rewrite(&link, b"two").unwrap();
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("real"));
        assert_eq!(fs::read(&real).unwrap(), b"two");
        let mode = fs::metadata(&real).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        assert_eq!(names(dir.path()), ["link", "real"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_that_leads_nowhere_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("gone", &link).unwrap();
        rewrite(&link, b"two").unwrap_err();
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("gone"));
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn reads_up_to_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, "12345").unwrap();
        assert_eq!(read_small(&path, 5).unwrap(), b"12345");
        assert_eq!(read_small(&path, u64::MAX).unwrap(), b"12345");
        assert!(matches!(
            read_small(&path, 4),
            Err(DiskError::TooLarge { max: 4, .. })
        ));
        assert!(
            read_small(&dir.path().join("none"), 4)
                .unwrap_err()
                .is_missing()
        );
        assert!(read_small(dir.path(), 4).is_err());
    }

    #[test]
    fn replaces_in_one_step_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        write_atomic(&path, b"one", Access::Umask).unwrap();
        write_atomic(&path, b"two", Access::Private).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(names(dir.path()), ["f"]);
    }

    #[test]
    fn nothing_is_seen_before_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index");
        let mut file = NewFile::create(&path, Access::Private).unwrap();
        file.append(&[7; BUFFER + 1]).unwrap();
        file.append(b"end").unwrap();
        assert!(!path.exists());
        file.finish().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), BUFFER as u64 + 4);

        let mut abandoned = NewFile::create(&path, Access::Private).unwrap();
        abandoned.append(b"half").unwrap();
        drop(abandoned);
        assert_eq!(names(dir.path()), ["index"]);
    }

    #[test]
    fn failures_leave_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let taken = dir.path().join("dir");
        fs::create_dir_all(taken.join("full")).unwrap();
        assert!(write_atomic(&taken, b"x", Access::Umask).is_err());
        assert_eq!(names(dir.path()), ["dir"]);
        let nowhere = dir.path().join("no/file");
        assert!(
            write_atomic(&nowhere, b"x", Access::Umask)
                .unwrap_err()
                .is_uncreatable()
        );
    }

    #[test]
    fn a_name_of_full_length_works() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("n".repeat(255));
        write_atomic(&path, b"x", Access::Umask).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"x");
    }

    #[cfg(unix)]
    #[test]
    fn private_files_are_private() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        write_atomic(&path, b"x", Access::Private).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
}
