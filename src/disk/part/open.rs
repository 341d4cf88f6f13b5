//! Opening parts that are there: as they are, or, where their mode is in the way, made ours again.

use std::fs::{Metadata, OpenOptions};
use std::io;
use std::path::Path;

use crate::disk::error::DiskError;
use crate::disk::part::touched::is_at;
use crate::disk::part::{PartFile, require_regular};
use crate::disk::{install, platform};

impl PartFile {
    /// Opens a file that is there, `None` if it is not: for reading only if its mode forbids to
    /// write. Who means to write to it takes [`PartFile::open_own`].
    ///
    /// # Errors
    /// [`DiskError::NotRegular`] for a symlink or anything else that is not a plain file.
    pub fn open(path: &Path) -> Result<Option<Self>, DiskError> {
        match Self::open_as(path, OpenOptions::new().read(true).write(true)) {
            Err(error) if error.is_forbidden() && !platform::SYNC_NEEDS_WRITE => {
                Self::open_as(path, OpenOptions::new().read(true))
            }
            opened => opened,
        }
    }

    fn open_as(path: &Path, options: &mut OpenOptions) -> Result<Option<Self>, DiskError> {
        // Looked at first, since opening a device may do things; looked at again when open, since
        // only that binds the answer to the file that will be written.
        match std::fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(DiskError::of("open", path)(error)),
            Ok(metadata) => require_regular(&metadata, path)?,
        }
        let file = match platform::no_follow(options).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(DiskError::of("open", path))?,
        };
        require_regular(&file.metadata().map_err(DiskError::of("open", path))?, path)?;
        // Its creator may have died before the first sync, so the name is synced once more.
        Ok(Some(Self::new(file, path, false)))
    }

    /// Opens a part that is there, to be written to; `None` if it is not. `target` is the only other
    /// name that it may have: an install by hard link that was killed leaves it with both. One that
    /// a mode was preserved on is opened up again to its owner.
    ///
    /// # Errors
    /// As [`PartFile::open`], and [`DiskError::Shared`] for a file that has another name.
    pub fn open_own(path: &Path, target: Option<&Path>) -> Result<Option<Self>, DiskError> {
        let open = || Self::open_as(path, OpenOptions::new().read(true).write(true));
        let opened = match open() {
            Err(error) if error.is_forbidden() && open_up(path, target) => open()?,
            opened => opened?,
        };
        let Some(part) = opened else {
            return Ok(None);
        };
        match is_own(&part.metadata()?, target) {
            true => Ok(Some(part)),
            false => Err(DiskError::Shared { path: path.into() }),
        }
    }

    /// Removes a part, unless a process holds its lock; whether it is gone, which it is too if
    /// there was none.
    ///
    /// # Errors
    /// When it is there and stays.
    pub fn discard(path: &Path) -> Result<bool, DiskError> {
        let opened = match Self::open(path) {
            Err(error) if error.is_forbidden() && open_up(path, None) => Self::open(path),
            opened => opened,
        };
        let part = match opened {
            // To remove what is not there fails too where nothing can be written.
            Ok(None) => return Ok(true),
            Err(DiskError::NotRegular { .. }) => None,
            opened => opened?,
        };
        if part
            .as_ref()
            .is_some_and(|part| !part.try_lock().unwrap_or(true))
        {
            return Ok(false);
        }
        install::remove(path).map(|()| true)
    }
}

/// Whether a file has no names but those of the part and of what it becomes.
fn is_own(file: &Metadata, target: Option<&Path>) -> bool {
    let is_installed = || target.and_then(|target| is_at(file, target)) == Some(true);
    match platform::link_count(file) {
        0 | 1 => true,
        2 => is_installed(),
        _ => false,
    }
}

/// Gives the owner access to a part again; whether that was done. Why not, who opens it then says
/// best.
fn open_up(path: &Path, target: Option<&Path>) -> bool {
    let opened = platform::open_up_file(path, &|file| is_own(file, target));
    opened.unwrap_or(false)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    fn mode(path: &Path) -> u32 {
        let metadata = fs::symlink_metadata(path).expect("it is there");
        metadata.permissions().mode() & 0o7777
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("a file of ours");
    }

    /// A killed run may leave it with the mode that it was to have in the end.
    #[test]
    fn a_part_that_is_closed_to_its_owner_is_opened_up() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("part");
        fs::write(&path, "begun").expect("written");
        for closed in [0o444, 0o222, 0o000] {
            set_mode(&path, closed);
            let part = PartFile::open_own(&path, None).expect("opened");
            let part = part.expect("a part");
            part.write_at(0, b"B").expect("ours to write to");
            let mut read = [0; 5];
            part.read_at(0, &mut read).expect("ours to read");
            assert_eq!(&read, b"Begun");
        }
        set_mode(&path, 0o000);
        assert!(PartFile::discard(&path).expect("removed") && !path.exists());
    }

    #[test]
    fn what_is_only_looked_at_keeps_its_mode() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("file");
        fs::write(&path, "done").expect("written");
        set_mode(&path, 0o444);
        let file = PartFile::open(&path).expect("opened").expect("a file");
        let mut read = [0; 4];
        file.read_at(0, &mut read).expect("readable");
        file.sync().expect("synced");
        assert_eq!((&read, mode(&path)), (b"done", 0o444));
    }

    #[test]
    fn only_a_file_of_ours_is_opened_up_and_no_link_is_followed() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let at = |name: &str| dir.path().join(name);
        fs::write(at("file"), "mine").expect("written");
        set_mode(&at("file"), 0o444);
        std::os::unix::fs::symlink(at("file"), at("link")).expect("a link");
        assert!(!open_up(&at("link"), None));
        fs::hard_link(at("file"), at("other")).expect("another name");
        assert!(!open_up(&at("file"), None));
        assert!(!open_up(&at("none"), None) && !open_up(dir.path(), None));
        assert_eq!(mode(&at("file")), 0o444);

        assert!(open_up(&at("file"), Some(&at("other"))));
        assert_eq!(mode(&at("file")), 0o644);
    }

    /// Mode and time are no change of somebody else's, and later writes are told from them.
    #[test]
    fn what_is_preserved_is_our_own_change() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("part");
        let part = PartFile::create(&path).expect("created");
        part.write_at(0, b"right").expect("written");
        let preserved = crate::disk::tree::Preserved {
            mode: Some(0o4750),
            modified: Some((1_600_000_000, 5)),
        };
        part.preserve(&preserved).expect("set");
        part.sync_all().expect("synced");
        assert!(!part.is_doubted());
        let left = part.fingerprint().expect("ours");
        assert_eq!((left.len, left.mtime_ns), (5, 1_600_000_000_000_000_005));
        assert_eq!(mode(&path), 0o750);

        fs::write(&path, "wrong").expect("written");
        assert!(part.is_doubted() && part.fingerprint().is_none());
    }
}
