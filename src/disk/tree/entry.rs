//! What stands in a directory, as the system tells it.

use crate::disk::Fingerprint;

/// What an entry of a directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symlink, whatever it points to.
    Link,
    /// A pipe, a socket, a device.
    Other,
}

/// The facts about an entry; those of a symlink are about the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryFacts {
    /// What it is.
    pub kind: EntryKind,
    /// Length in bytes; means something for files only.
    pub len: u64,
    /// When it was last modified: seconds since 1970, rounded down, and nanoseconds on top.
    pub modified: (i64, u32),
    /// The permission bits, where the system has them.
    pub mode: Option<u32>,
    /// How many names it has, where the system tells.
    pub(in crate::disk) names: Option<u64>,
    /// The number that the file system gave it, where the system tells.
    pub(in crate::disk) number: Option<u64>,
}

impl EntryFacts {
    /// As [`crate::disk::inspect::fingerprint`] gives it; `None` for a time beyond the year 2262.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        Fingerprint::new(self.len, self.modified)
    }
}

impl EntryFacts {
    /// Whether nothing but a name would go with it: a symlink, a pipe or the like, or one of
    /// several names of a file.
    pub(in crate::disk) fn is_mere_name(&self) -> bool {
        match self.kind {
            EntryKind::Link | EntryKind::Other => true,
            EntryKind::File => self.names.is_some_and(|names| names > 1),
            EntryKind::Directory => false,
        }
    }
}

/// What `--preserve` brings over. What is absent stays as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Preserved {
    /// Permission bits. The set-user-id, set-group-id and sticky bits are dropped: no stranger
    /// decides who a program runs as.
    pub mode: Option<u32>,
    /// Modification time: seconds since 1970, rounded down, and nanoseconds on top.
    pub modified: Option<(i64, u32)>,
}

impl Preserved {
    /// The bits of the mode that may be applied.
    pub fn permissions(&self) -> Option<u32> {
        self.mode.map(|mode| mode & 0o777)
    }
}
