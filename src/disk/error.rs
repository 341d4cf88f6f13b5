//! What can go wrong on disk, and the few classes that callers tell apart.

use std::io;
use std::path::{Path, PathBuf};

/// A failure on disk. The class methods say what it means for a download; nobody needs to look
/// into the source to decide.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The operating system refused.
    #[error("cannot {op} {}", path.display())]
    Io {
        /// What was tried: a verb, `create`, `write`, `sync` …
        op: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file system has less room than the work needs.
    #[error("{} has {available} bytes of room, {needed} are needed", path.display())]
    NoRoom {
        /// The directory that was to be filled.
        path: PathBuf,
        /// Bytes needed.
        needed: u64,
        /// Bytes available to this user.
        available: u64,
    },
    /// Something has that name already, and nobody allowed to replace it.
    #[error("{} exists already", path.display())]
    Exists {
        /// The name that is taken.
        path: PathBuf,
    },
    /// A directory stands where a file is to be; it is never replaced.
    #[error("{} is a directory", path.display())]
    IsDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// A symlink, device, pipe or the like stands where a plain file must be.
    #[error("{} is not a regular file", path.display())]
    NotRegular {
        /// The thing.
        path: PathBuf,
    },
    /// The name of something of ours stands for something that somebody else has put there.
    #[error("{} is not what was written: somebody else has put something else there", path.display())]
    Replaced {
        /// The name.
        path: PathBuf,
    },
    /// Two names of a tree are one name on this disk, or this disk cannot keep a name as it is.
    #[error("{} cannot stand beside {other:?}: this disk takes the two names for one", path.display())]
    NameConflict {
        /// What was to be made or opened.
        path: PathBuf,
        /// The name that stands there.
        other: String,
    },
    /// This disk holds no symlinks.
    #[error("cannot make the link {}: this disk holds no symbolic links", path.display())]
    NoLinks {
        /// What was to be made.
        path: PathBuf,
    },
    /// A directory that is to be replaced holds something that nobody vouches for.
    #[error("{} is not known to come from a download, so its directory stays", path.display())]
    Unknown {
        /// The entry.
        path: PathBuf,
    },
    /// A part is a file that has another name elsewhere: what is written to it would be written to
    /// that one too.
    #[error("{} is one file with another name, and may be somebody else's", path.display())]
    Shared {
        /// The part.
        path: PathBuf,
    },
    /// Another process holds the lock.
    #[error("{} is in use by another process", path.display())]
    Locked {
        /// The locked file.
        path: PathBuf,
    },
    /// A file is larger than the reader accepts.
    #[error("{} is larger than {max} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit in bytes.
        max: u64,
    },
    /// A name that must not become a file name.
    #[error("unsafe file name {name:?}: {reason}")]
    UnsafeName {
        /// The name as it came.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl DiskError {
    /// Whether room, quota or a file size limit ran out: freeing room mends it.
    pub fn is_no_room(&self) -> bool {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        match self {
            DiskError::NoRoom { .. } => true,
            DiskError::Io { source, .. } => {
                matches!(source.kind(), StorageFull | QuotaExceeded | FileTooLarge)
            }
            _ => false,
        }
    }

    /// Whether the system does not allow it: the permissions of a file are in the way, mostly.
    pub(in crate::disk) fn is_forbidden(&self) -> bool {
        let DiskError::Io { source, .. } = self else {
            return false;
        };
        source.kind() == io::ErrorKind::PermissionDenied
    }

    /// Whether, coming from the creation of a target, it says that no file can be made at that
    /// place (exit code 73): taken, not permitted, no such parent, a name that cannot be. A
    /// read-only or failing file system is a disk error (74) and not meant.
    pub fn is_uncreatable(&self) -> bool {
        use io::ErrorKind::{
            AlreadyExists, InvalidFilename, InvalidInput, IsADirectory, NotADirectory, NotFound,
            PermissionDenied,
        };
        match self {
            DiskError::Exists { .. }
            | DiskError::IsDirectory { .. }
            | DiskError::NotRegular { .. }
            | DiskError::Shared { .. }
            | DiskError::Unknown { .. } => true,
            DiskError::Io { source, .. } => matches!(
                source.kind(),
                AlreadyExists
                    | InvalidFilename
                    | InvalidInput
                    | IsADirectory
                    | NotADirectory
                    | NotFound
                    | PermissionDenied
            ),
            _ => false,
        }
    }

    /// Whether no file can have that name on this disk.
    pub fn is_bad_name(&self) -> bool {
        use io::ErrorKind::{InvalidFilename, InvalidInput};
        matches!(self, DiskError::Io { source, .. }
            if matches!(source.kind(), InvalidFilename | InvalidInput))
    }

    /// Whether it is about a name that must not, or cannot, be on this disk: a tree with such a
    /// name is refused (exit code 77).
    pub fn is_unsafe_name(&self) -> bool {
        matches!(
            self,
            DiskError::UnsafeName { .. }
                | DiskError::NameConflict { .. }
                | DiskError::NoLinks { .. }
        )
    }

    /// Whether something stands there that only its owner may take away.
    pub fn is_in_the_way(&self) -> bool {
        matches!(
            self,
            DiskError::Exists { .. } | DiskError::IsDirectory { .. } | DiskError::NotRegular { .. }
        )
    }

    /// Whether a directory on the way to it is not there, or is something else.
    pub fn lacks_directory(&self) -> bool {
        use io::ErrorKind::{NotADirectory, NotFound};
        matches!(self, DiskError::Io { source, .. } if matches!(source.kind(), NotFound | NotADirectory))
    }

    /// Whether the file is not there.
    pub fn is_missing(&self) -> bool {
        matches!(self, DiskError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// Whether, coming from a look at something, it says that something else is there than was
    /// thought: nothing, less, another kind of thing, or a name that this disk cannot keep. All
    /// else says that the system could not look.
    pub fn is_absent(&self) -> bool {
        use io::ErrorKind::{NotADirectory, NotFound, UnexpectedEof};
        match self {
            DiskError::NotRegular { .. } | DiskError::IsDirectory { .. } => true,
            DiskError::Io { source, .. } => {
                matches!(source.kind(), NotFound | NotADirectory | UnexpectedEof)
            }
            _ => self.is_unsafe_name(),
        }
    }

    /// Turns an [`io::Error`] into the error of `op` on `path`; for `map_err`.
    pub(super) fn of(op: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DiskError {
        move |source| DiskError::Io {
            op,
            path: path.to_path_buf(),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn io(kind: io::ErrorKind) -> DiskError {
        DiskError::of("write", Path::new("/x/file"))(kind.into())
    }

    #[test]
    fn classes() {
        let no_room = DiskError::NoRoom {
            path: "/x".into(),
            needed: 2,
            available: 1,
        };
        assert!(no_room.is_no_room() && !no_room.is_uncreatable());
        for kind in [
            io::ErrorKind::StorageFull,
            io::ErrorKind::QuotaExceeded,
            io::ErrorKind::FileTooLarge,
        ] {
            assert!(
                io(kind).is_no_room() && !io(kind).is_uncreatable(),
                "{kind}"
            );
        }
        for kind in [
            io::ErrorKind::PermissionDenied,
            io::ErrorKind::NotFound,
            io::ErrorKind::NotADirectory,
        ] {
            assert!(
                io(kind).is_uncreatable() && !io(kind).is_no_room(),
                "{kind}"
            );
        }
        let read_only = io(io::ErrorKind::ReadOnlyFilesystem);
        assert!(!read_only.is_uncreatable() && !read_only.is_no_room());
        assert!(io(io::ErrorKind::NotFound).is_missing());
        assert!(io(io::ErrorKind::NotADirectory).lacks_directory());
        assert!(io(io::ErrorKind::UnexpectedEof).is_absent());
        assert!(!io(io::ErrorKind::PermissionDenied).is_absent() && !no_room.is_absent());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn errors_of_the_system_fall_into_the_classes() {
        use rustix::io::Errno;
        let class = |errno: Errno| {
            let error = DiskError::of("write", Path::new("/x"))(io::Error::from(errno));
            (error.is_no_room(), error.is_uncreatable())
        };
        for errno in [Errno::NOSPC, Errno::DQUOT, Errno::FBIG] {
            assert_eq!(class(errno), (true, false), "{errno}");
        }
        for errno in [
            Errno::ACCESS,
            Errno::PERM,
            Errno::NOENT,
            Errno::NOTDIR,
            Errno::ISDIR,
            Errno::NAMETOOLONG,
        ] {
            assert_eq!(class(errno), (false, true), "{errno}");
        }
        for errno in [Errno::IO, Errno::ROFS] {
            assert_eq!(class(errno), (false, false), "{errno}");
        }
    }

    #[test]
    fn the_text_does_not_repeat_the_cause() {
        assert_eq!(
            io(io::ErrorKind::StorageFull).to_string(),
            "cannot write /x/file"
        );
    }
}
