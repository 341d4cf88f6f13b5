//! Part files: where proven bytes wait, at their own offsets, until the file is complete.
//!
//! Only positional access, so that clones on several threads share one handle without a cursor.
//! Which bytes are proved is not known here. Invariant: after [`PartFile::sync`] succeeded, all
//! that was written before it survives a power cut, and so does the name of the part (of a file in a tree:
//! after the sync of the tree).

mod open;
mod touched;

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use touched::Touched;

use crate::disk::error::DiskError;
use crate::disk::random_file::RandomFile;
use crate::disk::tree::Preserved;
use crate::disk::{install, platform};

/// The most bytes one write call gets. On a fresh ext4 file a single writer that issues writes of
/// 1 MiB takes about three times as long as one that issues the same bytes in pieces of 256 KiB.
const MAX_WRITE: usize = 256 << 10;

/// An open part file; clones share it.
#[derive(Debug, Clone)]
pub struct PartFile {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    file: File,
    path: Box<Path>,
    /// The directory entry is durable.
    name_synced: AtomicBool,
    /// A sync failed on this handle.
    sync_failed: AtomicBool,
    /// Held over each change and the look at its time, so that no other thread takes a change of
    /// ours for somebody else's.
    touched: Mutex<Touched>,
}

impl PartFile {
    /// Makes a new, empty part with the permissions that the user's umask leaves.
    ///
    /// # Errors
    /// [`DiskError::Exists`] if the name is taken, be it by a dangling symlink.
    pub fn create(path: &Path) -> Result<Self, DiskError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)
            .map_err(|source| match source.kind() {
                io::ErrorKind::AlreadyExists => DiskError::Exists {
                    path: path.to_path_buf(),
                },
                _ => DiskError::of("create", path)(source),
            })?;
        Ok(Self::new(file, path, false))
    }

    /// A part in a tree: opened by handle, `path` serves messages only, and the tree makes the
    /// name durable.
    pub(super) fn in_tree(file: File, path: &Path) -> Result<Self, DiskError> {
        require_regular(&file.metadata().map_err(DiskError::of("open", path))?, path)?;
        Ok(Self::new(file, path, true))
    }

    fn new(file: File, path: &Path, name_synced: bool) -> Self {
        Self {
            shared: Arc::new(Shared {
                path: path.into(),
                name_synced: AtomicBool::new(name_synced),
                sync_failed: AtomicBool::new(false),
                touched: Mutex::new(Touched::of(&file)),
                file,
            }),
        }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Writes all of `bytes` at `offset`; a gap before it reads as zeroes.
    ///
    /// # Errors
    /// When it fails, any prefix of `bytes` may have been written.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.change("write", |file| {
            let mut at = offset;
            for piece in bytes.chunks(MAX_WRITE) {
                platform::write_all_at(file, piece, at)?;
                at += piece.len() as u64;
            }
            Ok(())
        })
    }

    /// Fills `buffer` from `offset`.
    ///
    /// # Errors
    /// An unexpected end counts as a failed read.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        platform::read_exact_at(&self.shared.file, buffer, offset).map_err(self.error("read"))
    }

    /// Makes the part, which is empty, a copy of a file: by sharing its blocks where the disk can,
    /// else byte by byte. What the file holds is not proved by that.
    ///
    /// # Errors
    /// When the file cannot be read, or is shorter by now, or the part cannot be written.
    pub fn copy_from(&self, from: &RandomFile) -> Result<(), DiskError> {
        if self.clone_from(from)? {
            return Ok(());
        }
        let mut buffer = vec![0; MAX_WRITE];
        let mut at = 0;
        while at < from.len() {
            let left = usize::try_from(from.len() - at).unwrap_or(usize::MAX);
            let piece = left.min(MAX_WRITE);
            from.read_exact_at(at, &mut buffer[..piece])?;
            self.write_at(at, &buffer[..piece])?;
            at += piece as u64;
        }
        Ok(())
    }

    /// Makes the part, which is empty, share the blocks of a file, up to the length that this had
    /// when it was opened; `false` where the disk cannot do that.
    ///
    /// # Errors
    /// When the length cannot be set.
    pub fn clone_from(&self, from: &RandomFile) -> Result<bool, DiskError> {
        let clone = |file: &File| platform::clone_file(from.file(), file);
        if self.change("write", clone).is_err() {
            return Ok(false);
        }
        // The file may have grown, or been cut, since it was opened.
        if self.len()? != from.len() {
            self.set_len(from.len())?;
        }
        Ok(true)
    }

    /// The same file, to be read only.
    ///
    /// # Errors
    /// When the system has no further handle for it.
    pub fn reader(&self) -> Result<RandomFile, DiskError> {
        let file = self.shared.file.try_clone().map_err(self.error("open"))?;
        RandomFile::of(file, self.path())
    }

    /// Length in bytes.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn len(&self) -> Result<u64, DiskError> {
        Ok(self.metadata()?.len())
    }

    fn metadata(&self) -> Result<Metadata, DiskError> {
        self.shared.file.metadata().map_err(self.error("examine"))
    }

    /// Whether it holds nothing.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn is_empty(&self) -> Result<bool, DiskError> {
        Ok(self.len()? == 0)
    }

    /// Cuts the part, or extends it by zeroes.
    ///
    /// # Errors
    /// Among others, when the file system has a smaller limit.
    pub fn set_len(&self, len: u64) -> Result<(), DiskError> {
        self.change("resize", |file| file.set_len(len))
    }

    /// Makes everything written so far durable, the first time with the name of the part.
    ///
    /// # Errors
    /// After a failure every later call on this handle and its clones fails too. The kernel may
    /// have dropped the pages that it could not write and reports that once only (seen by
    /// PostgreSQL on Linux in 2018), so a second sync that succeeds would prove nothing.
    pub fn sync(&self) -> Result<(), DiskError> {
        self.sync_by(File::sync_data)
    }

    /// The same with its mode and time of modification, which a sync of the bytes may leave out.
    ///
    /// # Errors
    /// As [`PartFile::sync`].
    pub fn sync_all(&self) -> Result<(), DiskError> {
        self.sync_by(File::sync_all)
    }

    fn sync_by(&self, sync: fn(&File) -> io::Result<()>) -> Result<(), DiskError> {
        if self.has_failed_to_sync() {
            let source = io::Error::other("an earlier sync of this file failed");
            return Err(self.error("sync")(source));
        }
        if let Err(source) = sync(&self.shared.file) {
            self.shared.sync_failed.store(true, Ordering::Release);
            return Err(self.error("sync")(source));
        }
        if !self.shared.name_synced.load(Ordering::Acquire) {
            install::sync_dir(install::parent(self.path()))?;
            self.shared.name_synced.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Whether a sync of it failed, so that none will succeed.
    pub fn has_failed_to_sync(&self) -> bool {
        self.shared.sync_failed.load(Ordering::Acquire)
    }

    /// Sets mode and time; the last thing to do before the last sync, which is to be
    /// [that of everything](Self::sync_all), since a later write makes the file new again.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn preserve(&self, preserved: &Preserved) -> Result<(), DiskError> {
        let preserve = |file: &File| platform::preserve_file(file, preserved);
        self.change("set mode and time of", preserve)
    }

    /// Takes the exclusive lock of the part, held until the last clone is dropped; `false` if
    /// somebody else holds it.
    ///
    /// Advisory on Unix; on Windows it also keeps other handles from reading and writing. True
    /// where the file system has no locks: nothing may depend on this lock, it only saves two
    /// processes from doing the same work.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn try_lock(&self) -> Result<bool, DiskError> {
        platform::try_lock(&self.shared.file).map_err(self.error("lock"))
    }

    fn error(&self, op: &'static str) -> impl FnOnce(io::Error) -> DiskError {
        DiskError::of(op, self.path())
    }
}

fn require_regular(metadata: &Metadata, path: &Path) -> Result<(), DiskError> {
    if metadata.is_file() {
        Ok(())
    } else {
        Err(DiskError::NotRegular {
            path: path.to_path_buf(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn writes_land_at_their_offsets() {
        let dir = dir();
        let path = dir.path().join("part");
        let part = PartFile::create(&path).unwrap();
        let bytes: Vec<u8> = (0..MAX_WRITE * 2 + 7).map(|i| (i % 251) as u8).collect();
        part.write_at(1000, &bytes).unwrap();
        part.clone().write_at(3, b"abc").unwrap();
        part.sync().unwrap();
        part.sync().unwrap();
        assert_eq!(part.len().unwrap(), 1000 + bytes.len() as u64);

        let again = PartFile::open(&path).unwrap().unwrap();
        let mut read = vec![0; bytes.len()];
        again.read_at(1000, &mut read).unwrap();
        assert!(read == bytes);
        let mut head = [1; 8];
        again.read_at(0, &mut head).unwrap();
        assert_eq!(&head, b"\0\0\0abc\0\0");
        again.write_at(0, b"x").unwrap();
        assert_eq!(std::fs::read(&path).unwrap()[0], b'x');
    }

    #[test]
    fn a_copy_is_the_same_whether_it_shares_blocks_or_not() {
        let dir = dir();
        let bytes: Vec<u8> = (0..MAX_WRITE * 2 + 7).map(|i| (i % 253) as u8).collect();
        std::fs::write(dir.path().join("old"), &bytes).unwrap();
        let old = RandomFile::open(&dir.path().join("old")).unwrap();
        let copy = PartFile::create(&dir.path().join("copy")).unwrap();
        copy.copy_from(&old).unwrap();
        let shared = PartFile::create(&dir.path().join("shared")).unwrap();
        let is_shared = shared.clone_from(&old).unwrap();
        std::fs::write(dir.path().join("old"), "changed").unwrap();
        assert!(std::fs::read(dir.path().join("copy")).unwrap() == bytes);
        let expected: &[u8] = if is_shared { &bytes } else { &[] };
        assert!(std::fs::read(dir.path().join("shared")).unwrap() == expected);
        assert_eq!(shared.reader().unwrap().len(), expected.len() as u64);
    }

    /// A checkpoint asks for the fingerprint while another thread writes.
    #[test]
    fn our_own_writes_are_nobody_elses() {
        let dir = dir();
        let part = PartFile::create(&dir.path().join("part")).unwrap();
        let is_written = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                (0..2000).for_each(|at| part.write_at(at * 512, &[1; 512]).unwrap());
                is_written.store(true, Ordering::Release);
            });
            while !is_written.load(Ordering::Acquire) {
                assert!(part.fingerprint().is_some());
            }
        });
        assert!(part.fingerprint().is_some() && !part.is_doubted());
    }

    #[cfg(unix)]
    #[test]
    fn what_was_distrusted_is_vouched_for_once_it_is_proved() {
        let dir = dir();
        let path = dir.path().join("part");
        let part = PartFile::create(&path).unwrap();
        part.write_at(0, b"right").unwrap();
        let before = part.fingerprint().unwrap();
        part.distrust().unwrap();
        assert!(part.is_doubted() && part.fingerprint().is_none());
        // So it is for a later run.
        let later = PartFile::open(&path).unwrap().unwrap();
        assert!(later.is_distrusted().unwrap() && later.fingerprint().is_none());

        assert!(part.vouch().unwrap());
        assert!(!part.is_doubted() && !part.is_distrusted().unwrap());
        assert!(part.fingerprint().unwrap() >= before);

        part.distrust().unwrap();
        std::fs::write(&path, "wrong").unwrap();
        assert!(!part.vouch().unwrap() && part.is_doubted());
    }

    #[test]
    fn reading_past_the_end_fails() {
        let dir = dir();
        let part = PartFile::create(&dir.path().join("part")).unwrap();
        assert!(part.is_empty().unwrap());
        part.set_len(10).unwrap();
        let error = part.read_at(8, &mut [0; 4]).unwrap_err();
        assert!(matches!(error, DiskError::Io { op: "read", ref source, .. }
            if source.kind() == io::ErrorKind::UnexpectedEof));
    }

    #[test]
    fn an_offset_beyond_all_files_fails() {
        let dir = dir();
        let part = PartFile::create(&dir.path().join("part")).unwrap();
        assert!(part.write_at(u64::MAX, b"ab").is_err());
        assert!(part.write_at(1 << 63, b"ab").is_err());
    }

    #[test]
    fn creates_only_what_is_not_there() {
        let dir = dir();
        let path = dir.path().join("part");
        PartFile::create(&path).unwrap();
        assert!(matches!(
            PartFile::create(&path),
            Err(DiskError::Exists { .. })
        ));
        let error = PartFile::create(&dir.path().join("no/part")).unwrap_err();
        assert!(error.is_uncreatable() && error.is_missing());
        let error = PartFile::create(&path.join("below")).unwrap_err();
        assert!(error.is_uncreatable(), "{error:?}");
    }

    #[cfg(unix)]
    #[test]
    fn a_part_with_another_name_is_nobodys_to_write_to() {
        let dir = dir();
        let (path, target) = (dir.path().join("part"), dir.path().join("target"));
        std::fs::write(&path, "x").unwrap();
        let open = |target| PartFile::open_own(&path, target).map(|part| part.is_some());
        assert!(open(None).unwrap());
        std::fs::hard_link(&path, &target).unwrap();
        assert!(
            open(Some(&target)).unwrap(),
            "killed between link and unlink"
        );
        assert!(matches!(open(None), Err(DiskError::Shared { .. })));
        std::fs::hard_link(&path, dir.path().join("third")).unwrap();
        let error = open(Some(&target)).unwrap_err();
        assert!(error.is_uncreatable(), "{error}");
    }

    #[test]
    fn opens_only_regular_files() {
        let dir = dir();
        assert!(PartFile::open(&dir.path().join("none")).unwrap().is_none());
        assert!(
            PartFile::open(&dir.path().join("no/part"))
                .unwrap()
                .is_none()
        );
        assert!(matches!(
            PartFile::open(dir.path()),
            Err(DiskError::NotRegular { .. })
        ));
    }

    #[cfg(unix)]
    #[test]
    fn follows_no_symlink() {
        let dir = dir();
        let (victim, link) = (dir.path().join("victim"), dir.path().join("part"));
        std::fs::write(&victim, "mine").unwrap();
        std::os::unix::fs::symlink(&victim, &link).unwrap();
        assert!(matches!(
            PartFile::open(&link),
            Err(DiskError::NotRegular { .. })
        ));
        assert!(matches!(
            PartFile::create(&link),
            Err(DiskError::Exists { .. })
        ));

        let dangling = dir.path().join("dangling");
        std::os::unix::fs::symlink(dir.path().join("elsewhere"), &dangling).unwrap();
        assert!(matches!(
            PartFile::create(&dangling),
            Err(DiskError::Exists { .. })
        ));
        assert!(!dir.path().join("elsewhere").exists());

        // The open itself refuses too, should the link appear after the first look.
        let mut options = OpenOptions::new();
        assert!(
            platform::no_follow(options.read(true).write(true))
                .open(&link)
                .is_err()
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_is_refused_at_once() {
        let dir = dir();
        let path = dir.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        if made.is_ok_and(|status| status.success()) {
            assert!(matches!(
                PartFile::open(&path),
                Err(DiskError::NotRegular { .. })
            ));
        }
    }

    #[test]
    fn one_handle_holds_the_lock() {
        let dir = dir();
        let path = dir.path().join("part");
        let first = PartFile::create(&path).unwrap();
        let clone = first.clone();
        let second = PartFile::open(&path).unwrap().unwrap();
        assert!(first.try_lock().unwrap());
        assert!(!second.try_lock().unwrap());
        drop(first);
        assert!(!second.try_lock().unwrap());
        drop(clone);
        assert!(second.try_lock().unwrap());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn where_there_are_no_locks_nobody_holds_one() {
        use rustix::fs::{Mode, OFlags};
        let dir = dir();
        let path = dir.path().join("part");
        std::fs::write(&path, "x").unwrap();
        // The simplest handle that cannot be locked.
        let file = rustix::fs::open(&path, OFlags::PATH, Mode::empty()).unwrap();
        let part = PartFile::new(file.into(), &path, true);
        assert!(part.try_lock().unwrap());
    }

    #[test]
    fn only_a_part_that_nobody_holds_is_discarded() {
        let dir = dir();
        let path = dir.path().join("part");
        assert!(PartFile::discard(&path).unwrap());
        let part = PartFile::create(&path).unwrap();
        assert!(part.try_lock().unwrap());
        assert!(!PartFile::discard(&path).unwrap() && path.exists());
        drop(part);
        assert!(PartFile::discard(&path).unwrap() && !path.exists());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_told_apart() {
        // `/dev/full` is no regular file, so the handle is made by hand.
        let file = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let part = PartFile::new(file, Path::new("/dev/full"), true);
        assert!(part.write_at(0, b"x").unwrap_err().is_no_room());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_failed_sync_stays_failed() {
        // A pipe cannot be synced: the simplest file whose sync fails.
        let (_reader, writer) = io::pipe().unwrap();
        let part = PartFile::new(
            File::from(std::os::fd::OwnedFd::from(writer)),
            Path::new("pipe"),
            true,
        );
        assert!(part.sync().is_err());
        assert!(part.has_failed_to_sync());
        let error = part.clone().sync().unwrap_err();
        assert!(matches!(error, DiskError::Io { op: "sync", ref source, .. }
            if source.to_string().contains("earlier")));
    }
}
