//! What is known of the whole tree below a root, and what is still missing of it: the plan.
//!
//! A tree has entries: the root, and every name in every directory (shards of directories count as
//! entries without a name). Only what is not finished is kept in memory; directories are expanded
//! as their blocks arrive, so that memory holds a frontier, never the tree. A single file is a
//! tree of one entry. Pure: blocks come in verified, decisions go out as values.
//!
//! Invariants: an entry is in `entries` exactly as long as something of it is missing; whatever
//! waits for a block is in the index; numbers of entries are never used again. Sums over the
//! entries are kept, never counted anew: there may be a hundred thousand.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use bytes::Bytes;

use crate::content::cid::{Cid, Multihash};
use crate::content::ranges::RangeSet;
use crate::content::unixfs::{self, Node};
use crate::engine::filter::Filter;
use crate::engine::input::TaskId;
use crate::engine::plan::entry::{Claim, Directory, Entry, Expected, Found, State, Totals};
use crate::engine::plan::file::FilePlan;
use crate::engine::plan::index::{Index, Reading, Spot};
use crate::engine::plan::links::{self, Linked};
use crate::engine::plan::piece::PieceKind;
use crate::engine::plan::{EntryId, Limits, PlanError, check_hash};

/// The first entry seen with a root: others with the same root, read alike, need no fetching.
#[derive(Debug, Clone, Copy)]
pub(super) enum First {
    /// It is a file of this size.
    File(EntryId, u64),
    /// It is a directory: its block is in the store.
    Stored,
}

/// The plan of a tree.
#[derive(Debug)]
pub struct Plan {
    pub(super) limits: Limits,
    pub(super) filter: Filter,
    pub(super) entries: BTreeMap<EntryId, Entry>,
    /// Entries that may have work that nobody does.
    pub(super) open: BTreeSet<EntryId>,
    pub(super) directories: HashMap<EntryId, Directory>,
    pub(super) index: Index,
    pub(super) firsts: HashMap<Reading, First>,
    /// Blocks that are in the store, by a hash of their multihash.
    pub(super) stored: HashSet<Box<[u8]>>,
    /// Blocks in the store that entries wait for, each once.
    pub(super) recall: Vec<Cid>,
    /// The same, by their multihashes.
    pub(super) queued: HashSet<Box<[u8]>>,
    /// What earlier runs proved of files, by entry, until their plans are made.
    pub(super) saved: HashMap<EntryId, (RangeSet, RangeSet)>,
    /// What was asked for as a whole already.
    pub(super) tried: HashSet<EntryId>,
    /// Found while nothing could be recorded.
    pub(super) unrecorded: Vec<Found>,
    pub(super) next_id: EntryId,
    /// Entries ever seen.
    pub(super) entry_count: u64,
    pub(super) totals: Totals,
    /// What the entries of which nothing is known claim, together.
    claimed_bytes: u128,
    /// Proved bytes of unfinished files.
    unfinished_bytes: u64,
    /// Entries that each task was given, or that were found below those.
    pub(super) given: HashMap<TaskId, Vec<EntryId>>,
    /// What is known where all links are followed, whatever blocks mean; else they mean UnixFS.
    pub(super) linked: Option<Linked>,
    pub(super) root_kind: Option<&'static str>,
    /// Where the root leads, if it is a symbolic link.
    pub(super) root_link: Option<Bytes>,
}

impl Plan {
    /// A plan of which nothing is known but the root.
    ///
    /// # Errors
    /// [`PlanError::Hash`] if the root's hash function is not accepted.
    pub fn new(root: Cid, limits: Limits, filter: Filter) -> Result<Self, PlanError> {
        let mut plan = Self::empty(limits, filter);
        check_hash(&plan.limits, &root)?;
        plan.next_id = 1;
        plan.insert(0, Entry::root(root));
        Ok(plan)
    }

    /// A plan without entries, to be filled with what an earlier run recorded.
    pub fn empty(limits: Limits, filter: Filter) -> Self {
        Self {
            limits,
            filter,
            entries: BTreeMap::new(),
            open: BTreeSet::new(),
            directories: HashMap::new(),
            index: Index::default(),
            firsts: HashMap::new(),
            stored: HashSet::new(),
            recall: Vec::new(),
            queued: HashSet::new(),
            saved: HashMap::new(),
            tried: HashSet::new(),
            unrecorded: Vec::new(),
            next_id: 0,
            entry_count: 0,
            totals: Totals::default(),
            claimed_bytes: 0,
            unfinished_bytes: 0,
            given: HashMap::new(),
            linked: None,
            root_kind: None,
            root_link: None,
        }
    }

    /// Whether the size of everything is known: no entry is a mystery.
    pub fn is_fully_known(&self) -> bool {
        let mut entries = self.entries.values();
        entries.all(|entry| matches!(entry.state, State::File(_) | State::Twin(_)))
    }

    /// Entries that wait for another one, which is the same.
    pub fn twins(&self) -> Vec<(EntryId, EntryId)> {
        let twin = |(&id, entry): (&EntryId, &Entry)| match entry.state {
            State::Twin(first) => Some((id, first)),
            _ => None,
        };
        self.entries.iter().filter_map(twin).collect()
    }

    /// What the root is, in words, once it is known.
    pub fn root_kind(&self) -> Option<&'static str> {
        self.root_kind
    }

    /// Where the root leads, if it is a symbolic link.
    pub fn root_link(&self) -> Option<&Bytes> {
        self.root_link.as_ref()
    }

    /// Whether the root is known to be a directory.
    pub fn is_directory(&self) -> bool {
        self.root_kind == Some("directory")
    }

    /// Whether nothing is missing any more.
    pub fn is_complete(&self) -> bool {
        self.entries.is_empty()
    }

    /// Sums over the tree.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Proved bytes of all files.
    pub fn proved_bytes(&self) -> u64 {
        self.totals.done_bytes + self.unfinished_bytes
    }

    /// The size of all files, as far as it is known: exact once no entry is unknown, before that
    /// with what directories claim. `None` before the root is known.
    pub fn size(&self) -> Option<u64> {
        self.root_kind?;
        let claimed = u64::try_from(self.claimed_bytes).unwrap_or(u64::MAX);
        Some(self.totals.known_bytes.saturating_add(claimed))
    }

    /// An unfinished entry.
    pub fn entry(&self, id: EntryId) -> Option<&Entry> {
        self.entries.get(&id)
    }

    /// Unfinished entries, in order.
    pub fn entries(&self) -> impl Iterator<Item = (EntryId, &Entry)> {
        self.entries.iter().map(|(&id, entry)| (id, entry))
    }

    /// A directory of which something is unfinished.
    pub fn directory(&self, id: EntryId) -> Option<&Directory> {
        self.directories.get(&id)
    }

    /// The plan of an unfinished file.
    pub fn file(&self, id: EntryId) -> Option<&FilePlan> {
        match &self.entries.get(&id)?.state {
            State::File(file) => Some(file),
            _ => None,
        }
    }

    fn file_mut(&mut self, id: EntryId) -> Option<&mut FilePlan> {
        match &mut self.entries.get_mut(&id)?.state {
            State::File(file) => Some(file),
            _ => None,
        }
    }

    /// The files that are known and unfinished.
    pub fn files(&self) -> impl Iterator<Item = (EntryId, &FilePlan)> {
        self.entries
            .iter()
            .filter_map(|(&id, entry)| match &entry.state {
                State::File(file) => Some((id, &**file)),
                _ => None,
            })
    }

    /// What a block with this multihash would be good for. As a leaf only where all who link to it
    /// read it alike; else each place makes of it what its own link says.
    pub fn expects(&self, hash: &Multihash) -> Expected {
        let mut leaf = None;
        let mut places = Vec::new();
        for spot in self.index.spots(hash) {
            let Spot::Bytes(id, offset) = spot else {
                return Expected::Node;
            };
            let Some(piece) = self.file(id).and_then(|file| file.piece_at(offset)) else {
                continue;
            };
            let form = (piece.len, piece.cid.codec());
            if piece.kind == PieceKind::Node || leaf.is_some_and(|leaf| leaf != form) {
                return Expected::Node;
            }
            leaf = Some(form);
            places.push((id, offset));
        }
        match leaf {
            Some((len, _)) => Expected::Leaf { len, places },
            None => Expected::No,
        }
    }

    /// A link that the plan holds for a multihash.
    pub fn link_to(&self, hash: &Multihash) -> Option<Cid> {
        let spot = self.index.spots(hash).next()?;
        let entry = self.entries.get(&spot.entry())?;
        match (spot, &entry.state) {
            (Spot::Bytes(_, offset), State::File(file)) => {
                file.piece_at(offset).map(|piece| piece.cid)
            }
            (Spot::Empty(_), State::File(file)) => {
                let empties = file.unseen_empties().iter();
                empties.copied().find(|empty| empty.hash() == hash)
            }
            _ => Some(entry.cid),
        }
    }

    /// Every byte of a file is proved and written: it is finished.
    pub fn finish_file(&mut self, id: EntryId) {
        let Some(file) = self.file(id) else { return };
        let size = file.size();
        self.totals.files_done += 1;
        self.totals.done_bytes += size;
        self.remove(id, size);
    }

    /// A twin is copied: it is finished.
    pub fn finish_twin(&mut self, id: EntryId, size: u64) {
        self.totals.files_done += 1;
        self.totals.done_bytes += size;
        self.remove(id, size);
    }

    pub(super) fn remove(&mut self, id: EntryId, done_bytes: u64) {
        let Some(mut entry) = self.take_out(id) else {
            return;
        };
        self.open.remove(&id);
        self.index.remove(entry.cid.hash(), Spot::Entry(id));
        if let State::File(file) = &mut entry.state {
            file.withdraw(&mut self.index);
        }
        self.child_done(entry.parent, done_bytes);
    }

    /// Puts an entry among those that are unfinished.
    pub(super) fn put_in(&mut self, id: EntryId, entry: Entry) {
        if let Some(Claim::Task(task)) = entry.claim {
            self.given.entry(task).or_default().push(id);
        }
        self.claimed_bytes += u128::from(entry.claimed_bytes());
        self.unfinished_bytes += entry.proved_bytes();
        self.entries.insert(id, entry);
    }

    /// Takes an entry out of those that are unfinished.
    pub(super) fn take_out(&mut self, id: EntryId) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        self.claimed_bytes -= u128::from(entry.claimed_bytes());
        self.unfinished_bytes -= entry.proved_bytes();
        Some(entry)
    }

    /// What an entry is, is known now.
    pub(super) fn set_state(&mut self, id: EntryId, state: State) {
        if let Some(entry) = self.take_out(id) {
            self.put_in(id, Entry { state, ..entry });
        }
    }

    /// One thing less is missing of a directory; an empty one is finished itself.
    pub(super) fn child_done(&mut self, directory: Option<EntryId>, bytes: u64) {
        let mut is_child_finished = true;
        let mut next = directory;
        while let Some(id) = next {
            let Some(directory) = self.directories.get_mut(&id) else {
                return;
            };
            directory.done_bytes += bytes;
            directory.unfinished -= usize::from(is_child_finished);
            next = directory.parent;
            is_child_finished = directory.unfinished == 0;
            if is_child_finished {
                self.directories.remove(&id);
            }
        }
    }

    /// Whether a block would add names to the tree: it is a directory, or a part of one.
    pub fn would_grow(&self, hash: &Multihash, block: &Bytes) -> bool {
        self.index.spots(hash).any(|spot| match spot {
            Spot::Entry(id) => self.entries.get(&id).is_some_and(|entry| {
                if self.linked.is_some() {
                    return matches!(links::followed(&entry.cid, block), Ok(Some(_)));
                }
                let is_names = |node| matches!(node, Node::Directory(_) | Node::HamtShard(_));
                unixfs::node(entry.cid.codec(), block).is_ok_and(is_names)
            }),
            _ => false,
        })
    }

    /// Records that bytes of a file are proved and written; how many of them are new.
    pub fn prove(&mut self, id: EntryId, offset: u64, len: u64, by_leaf: bool) -> u64 {
        let Some(Entry {
            state: State::File(file),
            ..
        }) = self.entries.get_mut(&id)
        else {
            return 0;
        };
        let before = file.proved().total();
        file.prove(offset, len, by_leaf, &mut self.index);
        let new_bytes = file.proved().total() - before;
        self.unfinished_bytes += new_bytes;
        new_bytes
    }

    /// Hands the plan of a file to `change`, and looks at it again for open work.
    pub fn with_file<T>(
        &mut self,
        id: EntryId,
        change: impl FnOnce(&mut FilePlan) -> T,
    ) -> Option<T> {
        let changed = self.file_mut(id).map(change);
        if changed.is_some() {
            self.open.insert(id);
        }
        changed
    }
}
