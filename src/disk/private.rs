//! State that is for one user alone: directories of mode 0700, files of mode 0600.
//!
//! What is new is made private. What is there already is left as it is, since its owner may have
//! opened it on purpose, and reported; the files in it are private all the same.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::path::Path;

use crate::disk::error::DiskError;
use crate::disk::platform;

/// Who can look into a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privacy {
    /// Its owner alone, as far as mode bits tell.
    Private,
    /// Others too.
    Open {
        /// The permission bits, `0o755` for example.
        mode: u32,
    },
}

/// Makes a directory, and the missing ones above it, for this user alone, unless it is there.
///
/// # Errors
/// Among others, when something that is not a directory has that name.
pub fn create_private_dir(dir: &Path) -> Result<Privacy, DiskError> {
    let mut builder = DirBuilder::new();
    platform::private_dir(builder.recursive(true))
        .create(dir)
        .map_err(DiskError::of("create", dir))?;
    let metadata = std::fs::metadata(dir).map_err(DiskError::of("examine", dir))?;
    Ok(platform::open_to_others(&metadata).map_or(Privacy::Private, |mode| Privacy::Open { mode }))
}

/// Options that give new files to this user alone and follow no symlink at the last component.
pub fn private_file_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    platform::private_file(platform::no_follow(&mut options));
    options
}

/// Makes an empty file for this user alone unless there is one: for files whose real writer would
/// make them with the permissions of the umask.
///
/// # Errors
/// When there is none and none can be made.
pub fn ensure_private_file(path: &Path) -> Result<(), DiskError> {
    match private_file_options()
        .write(true)
        .create_new(true)
        .open(path)
    {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(DiskError::of("create", path)(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makes_directories_once() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("a/b");
        assert_eq!(create_private_dir(&state).unwrap(), Privacy::Private);
        assert_eq!(create_private_dir(&state).unwrap(), Privacy::Private);
        let file = state.join("file");
        ensure_private_file(&file).unwrap();
        std::fs::write(&file, "kept").unwrap();
        ensure_private_file(&file).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"kept");
        assert!(create_private_dir(&file).is_err());
        assert!(create_private_dir(&file.join("below")).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn modes() {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let dir = tempfile::tempdir().unwrap();
        let (state, open) = (dir.path().join("state"), dir.path().join("open"));
        create_private_dir(&state).unwrap();
        assert_eq!(mode(&state), 0o700);
        ensure_private_file(&state.join("db")).unwrap();
        assert_eq!(mode(&state.join("db")), 0o600);

        std::fs::create_dir(&open).unwrap();
        std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(
            create_private_dir(&open).unwrap(),
            Privacy::Open { mode: 0o755 }
        );
        assert_eq!(mode(&open), 0o755);
    }
}
