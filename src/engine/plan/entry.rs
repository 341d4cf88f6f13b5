//! Entries of a tree, and what becomes known of them.

use std::sync::Arc;

use bytes::Bytes;

use crate::content::cid::Cid;
use crate::content::unixfs::Mtime;
use crate::content::unixfs::hamt::Place;
use crate::engine::input::TaskId;
use crate::engine::plan::EntryId;
use crate::engine::plan::file::FilePlan;
use crate::engine::plan::piece::Inline;

/// Who takes care of an entry, and of everything that will be found below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// A network task.
    Task(TaskId),
    /// Its block is in the store and will be read from there.
    Recall,
}

/// What an unfinished entry is.
#[derive(Debug)]
pub enum State {
    /// Nobody knows yet.
    Unknown,
    /// A shard of its parent directory.
    Shard(Place),
    /// A file.
    File(Box<FilePlan>),
    /// The same file as another entry, to be copied when that one is done.
    Twin(EntryId),
}

/// An unfinished entry.
#[derive(Debug)]
pub struct Entry {
    /// Its root.
    pub cid: Cid,
    /// Path under the root, with `/`; empty for the root itself.
    pub path: Arc<str>,
    /// The directory that it is in; `None` for the root.
    pub parent: Option<EntryId>,
    /// Directories above.
    pub depth: u32,
    /// Bytes of all blocks below, as the writer of the directory claims.
    pub tsize: Option<u64>,
    /// Who takes care of it.
    pub claim: Option<Claim>,
    /// What it is.
    pub state: State,
}

impl Entry {
    /// The root of a tree.
    pub fn root(cid: Cid) -> Self {
        Self {
            cid,
            path: "".into(),
            parent: None,
            depth: 0,
            tsize: None,
            claim: None,
            state: State::Unknown,
        }
    }

    /// Bytes that it claims, as long as nobody knows better.
    pub(super) fn claimed_bytes(&self) -> u64 {
        match self.state {
            State::Unknown | State::Shard(_) => self.tsize.unwrap_or(0),
            State::File(_) | State::Twin(_) => 0,
        }
    }

    /// Bytes of it that are proved.
    pub(super) fn proved_bytes(&self) -> u64 {
        match &self.state {
            State::File(file) => file.proved().total(),
            State::Unknown | State::Shard(_) | State::Twin(_) => 0,
        }
    }
}

/// A directory of which something is unfinished.
#[derive(Debug)]
pub struct Directory {
    /// Its root.
    pub cid: Cid,
    /// The directory that it is in.
    pub parent: Option<EntryId>,
    /// Unfinished entries right below it.
    pub unfinished: usize,
    /// Bytes of finished files anywhere below it, and of those that an earlier run began.
    pub done_bytes: u64,
    /// Largest claimed size right below it.
    pub largest_child: u64,
    /// What the entries right below it claim, together.
    pub claimed: u64,
}

/// What became known of an entry, for the record.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Its number.
    pub id: EntryId,
    /// The directory that it is in.
    pub parent: Option<EntryId>,
    /// Path under the root.
    pub path: Arc<str>,
    /// Its root.
    pub cid: Cid,
    /// Bytes of all blocks below, as claimed.
    pub tsize: Option<u64>,
    /// What it is.
    pub kind: FoundKind,
    /// The finished or unfinished file that is the same.
    pub twin_of: Option<EntryId>,
    /// Permission bits, where the DAG has them.
    pub mode: Option<u32>,
    /// Time of last modification, where the DAG has it.
    pub mtime: Option<Mtime>,
}

/// What an entry turned out to be.
#[derive(Debug, Clone, PartialEq)]
pub enum FoundKind {
    /// Not known yet.
    Unknown,
    /// A shard of its parent; done when its own entries are recorded.
    Shard {
        /// Where it stands.
        place: Place,
        /// Whether its entries are recorded.
        is_done: bool,
    },
    /// A file of so many bytes.
    File {
        /// Its size.
        size: u64,
    },
    /// A directory whose entries, or shards, are recorded with it.
    Directory,
    /// A file or link that the user does not want.
    LeftOut,
    /// A symbolic link.
    Symlink {
        /// Where it leads, any bytes.
        target: Bytes,
    },
}

/// What a verified block brought.
#[derive(Debug, Default)]
pub struct Expansion {
    /// File bytes in the block itself: to be written, then to be reported as proved.
    pub inline: Vec<Inline>,
    /// What became known.
    pub found: Vec<Found>,
    /// Whether the block is needed again and not on the disk as file bytes: it is to be kept.
    pub is_node: bool,
    /// What stands before and behind the file bytes in a leaf of no usual form.
    pub odd_wrapping: Option<(Bytes, Bytes)>,
}

/// What a block that was just received means to the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// Nothing that is missing.
    No,
    /// An entry, or a node of a file: to be verified and given to [`crate::engine::plan::Plan::expand`].
    Node,
    /// A leaf of this many file bytes, wanted in these places.
    Leaf {
        /// File bytes in the leaf.
        len: u64,
        /// Files and offsets, ascending.
        places: Vec<(EntryId, u64)>,
    },
}

/// Sums over the tree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Files whose every byte is proved.
    pub files_done: u64,
    /// Files known.
    pub files_known: u64,
    /// Proved bytes of finished files.
    pub done_bytes: u64,
    /// Bytes of the files known.
    pub known_bytes: u64,
}
