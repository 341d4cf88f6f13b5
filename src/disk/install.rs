//! The step that gives a part its final name, and the durable removal and renaming around it.
//!
//! Not responsible for the proof of the content, nor for the sync of the part: the order is
//! *proved, synced, renamed, directory synced, recorded*, and this module does the middle two.
//! Invariant: a name that somebody else made is never replaced unless `overwrite` says so, and a
//! directory never is.

use std::io;
use std::path::Path;

use crate::disk::error::DiskError;
use crate::disk::platform;

/// Renames a synced part to its final name in the same directory and makes that durable.
///
/// May be repeated after a crash at any point: where the two names already stand for one file,
/// only the part's name is removed. With `overwrite`, a file or symlink (not what it points to)
/// is replaced in one step, so that at every moment the name holds the old or the new content.
///
/// # Errors
/// [`DiskError::Exists`] if the name is taken and `overwrite` is false; [`DiskError::IsDirectory`]
/// if a directory has it and `overwrite` is true. Then both files are as they were. When the sync
/// of the directory fails, the file has its final name but may lose it in a power cut.
pub fn install(part: &Path, target: &Path, overwrite: bool) -> Result<(), DiskError> {
    if are_links(part, target)? {
        // A rename between two names of one file does nothing and says that all is well.
        remove(part)?;
    } else if overwrite {
        replace(part, target)?;
    } else {
        rename_no_clobber(part, target).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => DiskError::Exists {
                path: target.to_path_buf(),
            },
            _ => DiskError::of("install", target)(source),
        })?;
    }
    sync_dir(parent(target))
}

/// Makes a symlink with this text and this final name, as [`install`] does with a part; `part` is
/// the name that it has until then.
///
/// # Errors
/// As [`install`]; then the part goes too, if it can.
pub fn install_link(
    text: &[u8],
    part: &Path,
    target: &Path,
    overwrite: bool,
) -> Result<(), DiskError> {
    remove(part)?;
    platform::symlink(text, part).map_err(DiskError::of("create the link", part))?;
    let installed = install(part, target, overwrite);
    if installed.is_err() {
        // What went wrong before says more than what goes wrong now.
        let _ = remove(part);
    }
    installed
}

/// Removes a file or symlink; it is fine if there is none.
///
/// # Errors
/// When it is there and stays.
pub fn remove(path: &Path) -> Result<(), DiskError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(DiskError::of("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Makes the names in a directory durable: what was created, renamed or removed there.
///
/// # Errors
/// When the file system says that it failed; where it has no such operation, this succeeds.
pub fn sync_dir(dir: &Path) -> Result<(), DiskError> {
    platform::sync_dir(dir).map_err(DiskError::of("sync", dir))
}

/// The directory that holds `path`; the current one for a bare name.
pub(super) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

fn are_links(part: &Path, target: &Path) -> Result<bool, DiskError> {
    let part_metadata = std::fs::symlink_metadata(part).map_err(DiskError::of("install", part))?;
    match std::fs::symlink_metadata(target) {
        Ok(there) => Ok(platform::are_links(&part_metadata, &there)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(DiskError::of("install", target)(error)),
    }
}

fn replace(part: &Path, target: &Path) -> Result<(), DiskError> {
    // Renaming a directory over an empty one would succeed.
    if std::fs::symlink_metadata(target).is_ok_and(|there| there.is_dir()) {
        return Err(DiskError::IsDirectory {
            path: target.to_path_buf(),
        });
    }
    std::fs::rename(part, target).map_err(DiskError::of("install", target))
}

/// Renames unless the target exists: in one step where the system can, else by a hard link, which
/// never replaces. A crash between link and unlink leaves two names for one file, which
/// [`install`] mends.
fn rename_no_clobber(part: &Path, target: &Path) -> io::Result<()> {
    match platform::rename_exclusive(part, target) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => link_and_unlink(part, target),
        done => done,
    }
}

fn link_and_unlink(part: &Path, target: &Path) -> io::Result<()> {
    match std::fs::hard_link(part, target) {
        Ok(()) => std::fs::remove_file(part),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        // No hard links here (FAT, some network file systems, any directory).
        Err(_) => look_and_rename(part, target),
    }
}

/// The last resort: somebody who makes the target between the two calls loses it. No safer way
/// is left on such a file system: to reserve the name by an empty file would show unproved
/// content under the final name.
fn look_and_rename(part: &Path, target: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(target) {
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => std::fs::rename(part, target),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::PathBuf;

    struct Place {
        _dir: tempfile::TempDir,
        part: PathBuf,
        target: PathBuf,
    }

    fn place() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let (part, target) = (dir.path().join("file.partial"), dir.path().join("file"));
        fs::write(&part, "new").unwrap();
        Place {
            _dir: dir,
            part,
            target,
        }
    }

    #[test]
    fn gives_the_final_name() {
        let place = place();
        install(&place.part, &place.target, false).unwrap();
        assert_eq!(fs::read(&place.target).unwrap(), b"new");
        assert!(!place.part.exists());
    }

    #[test]
    fn replaces_only_if_told_to() {
        let place = place();
        fs::write(&place.target, "old").unwrap();
        let error = install(&place.part, &place.target, false).unwrap_err();
        assert!(matches!(error, DiskError::Exists { ref path } if *path == place.target));
        assert_eq!(fs::read(&place.target).unwrap(), b"old");
        assert!(place.part.exists());

        install(&place.part, &place.target, true).unwrap();
        assert_eq!(fs::read(&place.target).unwrap(), b"new");
        assert!(!place.part.exists());
    }

    #[test]
    fn never_replaces_a_directory() {
        let place = place();
        fs::create_dir(&place.target).unwrap();
        assert!(matches!(
            install(&place.part, &place.target, false),
            Err(DiskError::Exists { .. })
        ));
        assert!(matches!(
            install(&place.part, &place.target, true),
            Err(DiskError::IsDirectory { .. })
        ));

        fs::remove_file(&place.part).unwrap();
        fs::create_dir(&place.part).unwrap();
        assert!(matches!(
            install(&place.part, &place.target, false),
            Err(DiskError::Exists { .. })
        ));
        assert!(matches!(
            install(&place.part, &place.target, true),
            Err(DiskError::IsDirectory { .. })
        ));
        fs::remove_dir(&place.target).unwrap();
        install(&place.part, &place.target, false).unwrap();
        assert!(place.target.is_dir());
    }

    #[cfg(unix)]
    #[test]
    fn a_symlink_is_a_taken_name_and_is_replaced_itself() {
        let place = place();
        let victim = place.target.with_file_name("victim");
        std::os::unix::fs::symlink(&victim, &place.target).unwrap();
        assert!(matches!(
            install(&place.part, &place.target, false),
            Err(DiskError::Exists { .. })
        ));
        assert!(!victim.exists(), "a dangling link is a taken name too");
        fs::write(&victim, "mine").unwrap();
        install(&place.part, &place.target, true).unwrap();
        assert!(fs::symlink_metadata(&place.target).unwrap().is_file());
        assert_eq!(fs::read(&victim).unwrap(), b"mine");
    }

    #[cfg(unix)]
    #[test]
    fn mends_a_crash_between_link_and_unlink() {
        for overwrite in [false, true] {
            let place = place();
            fs::hard_link(&place.part, &place.target).unwrap();
            install(&place.part, &place.target, overwrite).unwrap();
            assert!(!place.part.exists());
            assert_eq!(fs::read(&place.target).unwrap(), b"new");
        }
    }

    #[test]
    fn every_fallback_refuses_a_taken_name() {
        for rename in [rename_no_clobber, link_and_unlink, look_and_rename] {
            let place = place();
            fs::write(&place.target, "old").unwrap();
            let error = rename(&place.part, &place.target).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(fs::read(&place.target).unwrap(), b"old");
            fs::remove_file(&place.target).unwrap();
            rename(&place.part, &place.target).unwrap();
            assert_eq!(fs::read(&place.target).unwrap(), b"new");
            assert!(!place.part.exists());
        }
    }

    #[test]
    fn of_racing_installs_one_wins() {
        let place = place();
        let won = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..4)
                .map(|number| {
                    let part = place.part.with_extension(number.to_string());
                    fs::write(&part, "new").unwrap();
                    let target = &place.target;
                    scope.spawn(move || install(&part, target, false).is_ok())
                })
                .collect();
            racers
                .into_iter()
                .filter_map(|racer| racer.join().ok())
                .filter(|&won| won)
                .count()
        });
        assert_eq!(won, 1);
    }

    #[test]
    fn missing_files_and_parents_are_errors() {
        let place = place();
        let nowhere = place.target.join("no/file");
        assert!(
            install(&place.part, &nowhere, false)
                .unwrap_err()
                .is_uncreatable()
        );
        assert!(
            install(&nowhere, &place.target, true)
                .unwrap_err()
                .is_missing()
        );
        remove(&nowhere).unwrap();
        remove(&place.part).unwrap();
        remove(&place.part).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn equal_content_or_equal_length_is_no_link() {
        let place = place();
        fs::write(&place.target, "new").unwrap();
        fs::hard_link(&place.target, place.target.with_extension("other")).unwrap();
        assert!(matches!(
            install(&place.part, &place.target, false),
            Err(DiskError::Exists { .. })
        ));
        assert!(place.part.exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_read_only_directory_is_uncreatable() {
        use std::os::unix::fs::PermissionsExt;
        if platform::uid() == Some(0) {
            return; // permissions do not bind root
        }
        let place = place();
        let dir = parent(&place.target);
        fs::set_permissions(dir, fs::Permissions::from_mode(0o555)).unwrap();
        let error = install(&place.part, &place.target, false).unwrap_err();
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(error.is_uncreatable());
    }
}
