//! Files of the user's that are read at any offset: CAR files, mirrors on disk, things to verify.
//!
//! Read only, and never trusted to stay as they were: size and time are those of the moment of
//! opening, and whoever needs the bytes proves them.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::disk::error::DiskError;
use crate::disk::{Fingerprint, platform};

/// An open file; clones share it.
#[derive(Debug, Clone)]
pub struct RandomFile {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    file: File,
    path: Box<Path>,
    len: u64,
    modified: (i64, u32),
    mode: Option<u32>,
}

impl RandomFile {
    /// Opens a regular file, through symlinks if need be.
    ///
    /// # Errors
    /// [`DiskError::NotRegular`] for directories, pipes and devices; see also
    /// [`DiskError::is_missing`].
    pub fn open(path: &Path) -> Result<Self, DiskError> {
        let mut options = OpenOptions::new();
        let file = platform::no_wait(options.read(true))
            .open(path)
            .map_err(DiskError::of("open", path))?;
        Self::of(file, path)
    }

    /// The file behind an open handle; `path` serves messages only.
    pub(super) fn of(file: File, path: &Path) -> Result<Self, DiskError> {
        let metadata = file.metadata().map_err(DiskError::of("examine", path))?;
        if !metadata.is_file() {
            return Err(DiskError::NotRegular {
                path: path.to_path_buf(),
            });
        }
        let modified = metadata
            .modified()
            .map_err(DiskError::of("examine", path))?;
        let shared = Shared {
            file,
            path: path.into(),
            len: metadata.len(),
            modified: unix_time(modified),
            mode: platform::mode(&metadata),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Where it lies, as given.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    pub(super) fn file(&self) -> &File {
        &self.shared.file
    }

    /// Length in bytes when it was opened.
    pub fn len(&self) -> u64 {
        self.shared.len
    }

    /// Whether it was empty when it was opened.
    pub fn is_empty(&self) -> bool {
        self.shared.len == 0
    }

    /// When it was last modified before it was opened: seconds since 1970, rounded down, and
    /// nanoseconds on top.
    pub fn modified(&self) -> (i64, u32) {
        self.shared.modified
    }

    /// The permission bits when it was opened, where the system has them.
    pub fn mode(&self) -> Option<u32> {
        self.shared.mode
    }

    /// That of the moment when it was opened; `None` for a time beyond the year 2262.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        Fingerprint::new(self.len(), self.modified())
    }

    /// Reads some bytes at `offset`, fewer than asked near the end, none at it.
    ///
    /// # Errors
    /// When the system cannot read.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        loop {
            match platform::read_at(&self.shared.file, buffer, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read.map_err(DiskError::of("read", self.path())),
            }
        }
    }

    /// Reads all of it, and keeps nothing: whether the disk gives it.
    ///
    /// # Errors
    /// When the system cannot read.
    pub fn read_through(&self) -> Result<(), DiskError> {
        let mut buffer = vec![0; 256 << 10];
        let mut at = 0;
        loop {
            match self.read_at(at, &mut buffer)? {
                0 => return Ok(()),
                read => at += read as u64,
            }
        }
    }

    /// Fills `buffer` from `offset`.
    ///
    /// # Errors
    /// An unexpected end counts as a failed read.
    pub fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        platform::read_exact_at(&self.shared.file, buffer, offset)
            .map_err(DiskError::of("read", self.path()))
    }
}

/// Seconds, rounded down, and nanoseconds since 1970; a time that no calendar needs is cut.
pub(super) fn unix_time(time: SystemTime) -> (i64, u32) {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => (
            i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
            after.subsec_nanos(),
        ),
        Err(error) => {
            let before = error.duration();
            let seconds = i64::try_from(before.as_secs()).map_or(i64::MIN, |seconds| -seconds);
            match before.subsec_nanos() {
                0 => (seconds, 0),
                nanos => (seconds.saturating_sub(1), 1_000_000_000 - nanos),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn reads_anywhere() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.car");
        std::fs::write(&path, b"0123456789").unwrap();
        let file = RandomFile::open(&path).unwrap();
        assert_eq!(
            (file.len(), file.is_empty(), file.path()),
            (10, false, &*path)
        );
        assert!(file.modified().0 > 1_600_000_000);
        let mut four = [0; 4];
        file.clone().read_exact_at(5, &mut four).unwrap();
        assert_eq!(&four, b"5678");
        assert_eq!(file.read_at(8, &mut four).unwrap(), 2);
        assert_eq!(file.read_at(10, &mut four).unwrap(), 0);
        file.read_through().unwrap();
        assert!(file.read_exact_at(8, &mut four).is_err());
        assert!(file.read_exact_at(u64::MAX, &mut four).is_err());
    }

    #[test]
    fn opens_regular_files_only() {
        let dir = tempfile::tempdir().unwrap();
        assert!(
            RandomFile::open(&dir.path().join("none"))
                .unwrap_err()
                .is_missing()
        );
        // Windows already refuses to open a directory.
        assert!(matches!(
            RandomFile::open(dir.path()),
            Err(DiskError::NotRegular { .. } | DiskError::Io { .. })
        ));
    }

    #[cfg(unix)]
    #[test]
    fn a_symlink_is_followed_and_a_pipe_never_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link, pipe) = (
            dir.path().join("f"),
            dir.path().join("l"),
            dir.path().join("p"),
        );
        std::fs::write(&file, "x").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(RandomFile::open(&link).unwrap().len(), 1);
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        if made.is_ok_and(|status| status.success()) {
            assert!(matches!(
                RandomFile::open(&pipe),
                Err(DiskError::NotRegular { .. })
            ));
        }
    }

    #[test]
    fn times_before_1970_round_down() {
        assert_eq!(unix_time(UNIX_EPOCH + Duration::new(5, 7)), (5, 7));
        assert_eq!(unix_time(UNIX_EPOCH - Duration::from_secs(5)), (-5, 0));
        assert_eq!(
            unix_time(UNIX_EPOCH - Duration::new(5, 1)),
            (-6, 999_999_999)
        );
    }
}
