//! What is known of the whole tree below a root, and what is still missing of it: the plan.
//!
//! A tree has entries: the root, and every name in every directory (shards of directories count as
//! entries without a name). Only what is not finished is kept in memory; directories are expanded
//! as their blocks arrive, so that memory holds a frontier, never the tree. A single file is a
//! tree of one entry. Pure: blocks come in verified, decisions go out as values.
//!
//! Invariants: an entry is in `entries` exactly as long as something of it is missing; whatever
//! waits for a block is in the index; numbers of entries are never used again.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;

use crate::content::cid::{self, Cid, Multihash, codec};
use crate::content::leaf::LeafForm;
use crate::content::ranges::RangeSet;
use crate::content::unixfs::hamt::{Place, Shard, Slot};
use crate::content::unixfs::{self, DirNode, FileNode, Mtime, Node, SymlinkNode};
use crate::engine::filter::Filter;
use crate::engine::input::TaskId;
use crate::engine::plan::file::{FilePlan, Growth, Inline, PieceKind};
use crate::engine::plan::index::{self, Index, Spot};
use crate::engine::plan::{EntryId, Limits, PlanError, check_hash};
use crate::store::{FileKind, FileRow, TreeRows};

/// Unfinished entries beyond which directories are put aside until others are done. A name costs
/// about 300 bytes here, and one directory block can add 100,000 at once.
const MAX_FRONTIER: usize = 32_768;

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
    fn root(cid: Cid) -> Self {
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
}

/// The word for what a root is.
fn root_word(kind: FileKind) -> Option<&'static str> {
    match kind {
        FileKind::File => Some("file"),
        FileKind::Directory => Some("directory"),
        FileKind::Symlink => Some("symlink"),
        FileKind::Unknown | FileKind::Shard => None,
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
    /// Bytes of finished files anywhere below it.
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
    /// An entry, or a node of a file: to be verified and given to [`Plan::expand`].
    Node,
    /// A leaf of this many file bytes, wanted in these places.
    Leaf {
        /// File bytes in the leaf.
        len: u64,
        /// Files and offsets, ascending.
        places: Vec<(EntryId, u64)>,
    },
}

/// The first entry seen with a root: others with the same root need no fetching.
#[derive(Debug, Clone, Copy)]
enum First {
    /// It is a file of this size.
    File(EntryId, u64),
    /// It is a directory: its block is in the store.
    Stored,
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

/// The plan of a tree.
#[derive(Debug)]
pub struct Plan {
    limits: Limits,
    filter: Filter,
    entries: BTreeMap<EntryId, Entry>,
    /// Entries that may have work that nobody does.
    open: BTreeSet<EntryId>,
    directories: HashMap<EntryId, Directory>,
    index: Index,
    firsts: HashMap<Box<[u8]>, First>,
    /// Blocks that are in the store, by a hash of their multihash.
    stored: HashSet<Box<[u8]>>,
    /// Entries and nodes whose blocks are in the store.
    recall: Vec<Cid>,
    /// What earlier runs proved of files, by entry, until their plans are made.
    saved: HashMap<EntryId, (RangeSet, RangeSet)>,
    /// What was asked for as a whole already.
    tried: HashSet<EntryId>,
    /// Found while nothing could be recorded.
    unrecorded: Vec<Found>,
    next_id: EntryId,
    /// Entries ever seen.
    entry_count: u64,
    totals: Totals,
    root_kind: Option<&'static str>,
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
            saved: HashMap::new(),
            tried: HashSet::new(),
            unrecorded: Vec::new(),
            next_id: 0,
            entry_count: 0,
            totals: Totals::default(),
            root_kind: None,
        }
    }

    /// Takes up what an earlier run recorded of the tree below `root`.
    ///
    /// # Errors
    /// What is recorded is beyond today's limits.
    pub fn restore(&mut self, root: Cid, rows: TreeRows) -> Result<(), PlanError> {
        check_hash(&self.limits, &root)?;
        self.root_kind = rows.root_kind.and_then(root_word);
        self.next_id = rows.next_index.max(1);
        self.entry_count = u64::from(rows.next_index);
        self.totals = Totals {
            files_done: rows.files_done,
            files_known: rows.files_done,
            done_bytes: rows.done_bytes,
            known_bytes: rows.done_bytes,
        };
        self.restore_directories(&rows);
        if rows.root_kind.is_none() {
            self.insert(0, Entry::root(root));
        }
        for row in rows.unfinished {
            self.restore_entry(row);
        }
        self.directories
            .retain(|_, directory| directory.unfinished > 0);
        Ok(())
    }

    /// Directories, with what is finished below them; of those without anything unfinished nothing
    /// is kept in the end.
    fn restore_directories(&mut self, rows: &TreeRows) {
        for row in &rows.directories {
            let Ok(cid) = cid::parse(&row.cid) else {
                continue;
            };
            let directory = Directory {
                cid,
                parent: row.parent,
                unfinished: 0,
                done_bytes: 0,
                largest_child: row.largest_child,
                claimed: row.claimed,
            };
            self.directories.insert(row.index, directory);
        }
        for row in &rows.directories {
            let mut next = Some(row.index);
            while let Some(directory) = next.and_then(|id| self.directories.get_mut(&id)) {
                directory.done_bytes += row.done_bytes;
                next = directory.parent;
            }
        }
    }

    fn restore_entry(&mut self, row: FileRow) {
        let Some(Ok(cid)) = row.file.cid.as_deref().map(cid::parse) else {
            return;
        };
        let place = row.file.place.as_deref().and_then(Place::decode);
        let entry = Entry {
            cid,
            depth: row.file.path.matches('/').count() as u32 + u32::from(row.file.index != 0),
            path: row.file.path.into(),
            parent: row.file.parent,
            tsize: row.file.size.or(row.file.tsize),
            claim: None,
            state: place.map_or(State::Unknown, State::Shard),
        };
        self.count_unfinished(entry.parent);
        self.insert(row.file.index, entry);
    }

    /// One more thing is missing of a directory, which makes it unfinished, and so those above.
    fn count_unfinished(&mut self, mut next: Option<EntryId>) {
        while let Some(directory) = next.and_then(|id| self.directories.get_mut(&id)) {
            directory.unfinished += 1;
            next = directory.parent.filter(|_| directory.unfinished == 1);
        }
    }

    /// What an earlier run proved of a file, to be believed once its root is known.
    pub fn set_saved(&mut self, id: EntryId, proved: RangeSet, by_leaves: RangeSet) {
        self.saved.insert(id, (proved, by_leaves));
    }

    /// The entry is a file of one leaf, and its bytes are on the disk.
    ///
    /// # Errors
    /// [`PlanError::TooLarge`].
    pub fn adopt_leaf(&mut self, id: EntryId, size: u64) -> Result<(), PlanError> {
        let Some(cid) = self.entries.get(&id).map(|entry| entry.cid) else {
            return Ok(());
        };
        self.index.remove(cid.hash(), Spot::Entry(id));
        self.count_file(size)?;
        self.firsts
            .insert(index::key(cid.hash()), First::File(id, size));
        let file = FilePlan::of_leaf(id, cid, size, &mut self.index);
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.state = State::File(Box::new(file));
        }
        let found = self.describe(id, FoundKind::File { size }, None, None, None);
        self.unrecorded.extend(found);
        if id == 0 {
            self.root_kind = Some("file");
        }
        Ok(())
    }

    /// Notes what was found and is to be recorded with the next block.
    pub fn note_found(&mut self, found: Vec<Found>) {
        self.unrecorded.extend(found);
    }

    /// Takes what was found while nothing could be recorded.
    pub fn take_unrecorded(&mut self) -> Vec<Found> {
        std::mem::take(&mut self.unrecorded)
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
        let active = self.files().map(|(_, file)| file.proved().total());
        self.totals.done_bytes + active.sum::<u64>()
    }

    /// The size of all files, as far as it is known: exact once no entry is unknown, before that
    /// with what directories claim. `None` before the root is known.
    pub fn size(&self) -> Option<u64> {
        self.root_kind?;
        let unknown = self.entries.values().filter_map(|entry| match entry.state {
            State::Unknown | State::Shard(_) => entry.tsize,
            _ => None,
        });
        Some(unknown.fold(self.totals.known_bytes, u64::saturating_add))
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

    /// What a block with this multihash would be good for.
    pub fn expects(&self, hash: &Multihash) -> Expected {
        let mut leaf_len = None;
        let mut places = Vec::new();
        for spot in self.index.spots(hash) {
            let Spot::Bytes(id, offset) = spot else {
                return Expected::Node;
            };
            let Some(piece) = self.file(id).and_then(|file| file.piece_at(offset)) else {
                continue;
            };
            if piece.kind == PieceKind::Node || leaf_len.is_some_and(|len| len != piece.len) {
                return Expected::Node;
            }
            leaf_len = Some(piece.len);
            places.push((id, offset));
        }
        match leaf_len {
            Some(len) => Expected::Leaf { len, places },
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

    /// Takes a block that was proved to have this multihash, wherever it is waited for.
    ///
    /// # Errors
    /// Whatever makes the tree unsound or unwanted; the download cannot go on.
    pub fn expand(&mut self, hash: &Multihash, block: &Bytes) -> Result<Expansion, PlanError> {
        let mut expansion = Expansion::default();
        let spots: Vec<Spot> = self.index.spots(hash).collect();
        for (nth, spot) in spots.into_iter().enumerate() {
            match spot {
                Spot::Entry(id) => self.expand_entry(id, block, &mut expansion)?,
                Spot::Bytes(id, offset) => {
                    let has_room = self.file(id).is_some_and(FilePlan::has_room);
                    if nth == 0 || has_room {
                        self.expand_piece(id, offset, block, &mut expansion)?;
                    }
                }
                Spot::Empty(id) => self.see_empty(id, block)?,
            }
        }
        if expansion.is_node {
            self.stored.insert(index::key(hash));
        }
        Ok(expansion)
    }

    fn expand_piece(
        &mut self,
        id: EntryId,
        offset: u64,
        block: &Bytes,
        expansion: &mut Expansion,
    ) -> Result<(), PlanError> {
        let Some(Entry {
            state: State::File(file),
            ..
        }) = self.entries.get_mut(&id)
        else {
            return Ok(());
        };
        let before = file.pieces_ahead();
        let found = expansion.inline.len();
        let mut growth = Growth {
            limits: &self.limits,
            index: &mut self.index,
            inline: &mut expansion.inline,
        };
        file.expand(offset, block, &mut growth)?;
        expansion.is_node |= file.pieces_ahead() >= before;
        if let ([only], false) = (&expansion.inline[found..], expansion.is_node) {
            expansion.odd_wrapping = odd_wrapping(block, &only.data);
        }
        self.open.insert(id);
        Ok(())
    }

    fn see_empty(&mut self, id: EntryId, block: &Bytes) -> Result<(), PlanError> {
        let Some(Entry {
            state: State::File(file),
            ..
        }) = self.entries.get_mut(&id)
        else {
            return Ok(());
        };
        let empties: Vec<Cid> = file.unseen_empties().to_vec();
        let hash = |cid: &Cid| crate::content::hash::matches(cid.hash(), [block.as_ref()]);
        for cid in empties.iter().filter(|cid| hash(cid)) {
            file.see_empty(cid, block, &mut self.index)?;
        }
        Ok(())
    }

    /// What an entry is, by its root block.
    fn expand_entry(
        &mut self,
        id: EntryId,
        block: &Bytes,
        expansion: &mut Expansion,
    ) -> Result<(), PlanError> {
        let Some(entry) = self.entries.get(&id) else {
            return Ok(());
        };
        if let State::Shard(place) = entry.state {
            return self.expand_shard(id, place, block, expansion);
        }
        let cid = entry.cid;
        let malformed = |source| PlanError::Malformed {
            cid: cid::text(&cid),
            source,
        };
        match unixfs::node(cid.codec(), block).map_err(malformed)? {
            Node::File(node) => self.found_file(id, &node, block, expansion),
            Node::Directory(node) => self.found_directory(id, &node, expansion),
            Node::HamtShard(node) => {
                let (mode, mtime) = (node.mode, node.mtime);
                let shard = node.place(Place::ROOT).map_err(malformed)?;
                self.open_directory(id, mode, mtime, expansion)?;
                self.add_slots(id, &shard, expansion)?;
                self.close_directory(id);
                Ok(())
            }
            Node::Symlink(node) => self.found_link(id, &node, expansion),
            Node::Opaque { .. } => {
                let node = FileNode {
                    size: block.len() as u64,
                    inline: 0..block.len(),
                    children: Vec::new(),
                    mode: None,
                    mtime: None,
                };
                self.found_file(id, &node, block, expansion)
            }
        }
    }

    fn found_file(
        &mut self,
        id: EntryId,
        node: &FileNode,
        block: &Bytes,
        expansion: &mut Expansion,
    ) -> Result<(), PlanError> {
        let Some(entry) = self.entries.get(&id) else {
            return Ok(());
        };
        if !self.filter.takes_file(&entry.path) {
            self.remove(id, 0);
            return Ok(());
        }
        let (cid, key) = (entry.cid, index::key(entry.cid.hash()));
        self.index.remove(cid.hash(), Spot::Entry(id));
        self.count_file(node.size)?;
        let twin_of = match self.firsts.get(&key) {
            Some(&First::File(first, _)) if first != id => Some(first),
            _ => None,
        };
        let kind = FoundKind::File { size: node.size };
        self.tell(id, kind, twin_of, node.mode, node.mtime, expansion);
        if let Some(first) = twin_of {
            self.make_twin(id, first);
            return Ok(());
        }
        self.firsts.insert(key, First::File(id, node.size));
        let saved = self.saved.remove(&id).unwrap_or_default();
        let mut growth = Growth {
            limits: &self.limits,
            index: &mut self.index,
            inline: &mut expansion.inline,
        };
        let file = FilePlan::new(id, cid, node, block, saved, &mut growth)?;
        if node.size == 0 {
            // An empty file must be made, too.
            expansion.inline.push(Inline {
                entry: id,
                offset: 0,
                data: Bytes::new(),
            });
        }
        expansion.is_node |= !node.children.is_empty();
        if node.children.is_empty() && cid.codec() == codec::DAG_PB {
            expansion.odd_wrapping = odd_wrapping(block, &block.slice(node.inline.clone()));
        }
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.state = State::File(Box::new(file));
        }
        self.open.insert(id);
        if id == 0 {
            self.root_kind = Some("file");
        }
        Ok(())
    }

    /// It is the same as another file: it waits for that one.
    fn make_twin(&mut self, id: EntryId, first: EntryId) {
        self.open.remove(&id);
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.state = State::Twin(first);
        }
    }

    /// Counts a file whose size is known now, against the limit.
    fn count_file(&mut self, size: u64) -> Result<(), PlanError> {
        self.totals.files_known += 1;
        self.totals.known_bytes = self.totals.known_bytes.saturating_add(size);
        let size = self.totals.known_bytes;
        match self.limits.max_size.filter(|&limit| size > limit) {
            Some(limit) => Err(PlanError::TooLarge { size, limit }),
            None => Ok(()),
        }
    }

    fn found_directory(
        &mut self,
        id: EntryId,
        node: &DirNode,
        expansion: &mut Expansion,
    ) -> Result<(), PlanError> {
        self.open_directory(id, node.mode, node.mtime, expansion)?;
        for entry in &node.entries {
            self.add_named(id, entry, expansion)?;
        }
        self.close_directory(id);
        Ok(())
    }

    /// The entry is a directory: it makes room for what is below it.
    fn open_directory(
        &mut self,
        id: EntryId,
        mode: Option<u32>,
        mtime: Option<Mtime>,
        expansion: &mut Expansion,
    ) -> Result<(), PlanError> {
        self.tell(id, FoundKind::Directory, None, mode, mtime, expansion);
        expansion.is_node = true;
        let Some(entry) = self.entries.get(&id) else {
            return Ok(());
        };
        if entry.depth >= self.limits.max_depth {
            let limit = self.limits.max_depth;
            return Err(PlanError::TooDeep { limit });
        }
        self.firsts
            .insert(index::key(entry.cid.hash()), First::Stored);
        let directory = Directory {
            cid: entry.cid,
            parent: entry.parent,
            // Itself, until everything in it is known.
            unfinished: 1,
            done_bytes: 0,
            largest_child: 0,
            claimed: 0,
        };
        self.directories.insert(id, directory);
        if id == 0 {
            self.root_kind = Some("directory");
        }
        Ok(())
    }

    /// Everything in the directory's own block is known.
    fn close_directory(&mut self, id: EntryId) {
        if let Some(entry) = self.entries.get(&id) {
            let hash = *entry.cid.hash();
            self.index.remove(&hash, Spot::Entry(id));
        }
        self.entries.remove(&id);
        self.open.remove(&id);
        self.child_done(Some(id), 0);
    }

    fn expand_shard(
        &mut self,
        id: EntryId,
        place: Place,
        block: &Bytes,
        expansion: &mut Expansion,
    ) -> Result<(), PlanError> {
        let Some(entry) = self.entries.get(&id) else {
            return Ok(());
        };
        let (cid, parent) = (entry.cid, entry.parent);
        let malformed = |source| PlanError::Malformed {
            cid: cid::text(&cid),
            source,
        };
        let shard = unixfs::hamt::SubShard {
            cid,
            tsize: entry.tsize,
            place,
        };
        let shard = shard.read(block).map_err(malformed)?;
        expansion.is_node = true;
        let kind = FoundKind::Shard {
            place,
            is_done: true,
        };
        self.tell(id, kind, None, None, None, expansion);
        if let Some(directory) = parent {
            self.add_slots_as(id, directory, &shard, expansion)?;
        }
        self.remove(id, 0);
        Ok(())
    }

    fn add_slots(
        &mut self,
        directory: EntryId,
        shard: &Shard,
        expansion: &mut Expansion,
    ) -> Result<(), PlanError> {
        self.add_slots_as(directory, directory, shard, expansion)
    }

    /// Adds what a shard holds to its directory; `via` is the entry whose claim it inherits.
    fn add_slots_as(
        &mut self,
        via: EntryId,
        directory: EntryId,
        shard: &Shard,
        expansion: &mut Expansion,
    ) -> Result<(), PlanError> {
        for slot in shard.slots() {
            match slot {
                Slot::Entry(entry) => self.add_named_via(via, directory, entry, expansion)?,
                Slot::Shard(sub) => {
                    let Some(above) = self.entries.get(&via) else {
                        continue;
                    };
                    let entry = Entry {
                        cid: sub.cid,
                        path: above.path.clone(),
                        parent: Some(directory),
                        depth: above.depth,
                        tsize: sub.tsize,
                        claim: above.claim,
                        state: State::Shard(sub.place),
                    };
                    self.add(entry, expansion)?;
                }
            }
        }
        Ok(())
    }

    fn add_named(
        &mut self,
        directory: EntryId,
        named: &unixfs::Entry,
        expansion: &mut Expansion,
    ) -> Result<(), PlanError> {
        self.add_named_via(directory, directory, named, expansion)
    }

    fn add_named_via(
        &mut self,
        via: EntryId,
        directory: EntryId,
        named: &unixfs::Entry,
        expansion: &mut Expansion,
    ) -> Result<(), PlanError> {
        let Some(above) = self.entries.get(&via) else {
            return Ok(());
        };
        let name = named.text().map_err(|source| PlanError::Malformed {
            cid: cid::text(&above.cid),
            source,
        })?;
        crate::engine::output::check_name(name).map_err(|source| PlanError::Name {
            name: name.to_owned(),
            dir: above.path.to_string(),
            source,
        })?;
        let path: Arc<str> = match &*above.path {
            "" => name.into(),
            dir => format!("{dir}/{name}").into(),
        };
        let is_raw = named.cid.codec() == codec::RAW;
        if !self.filter.may_hold(&path, is_raw) {
            return Ok(());
        }
        let entry = Entry {
            cid: named.cid,
            path,
            parent: Some(directory),
            // A shard's names are as deep as its directory's.
            depth: above.depth + 1,
            tsize: named.tsize,
            claim: above.claim,
            state: State::Unknown,
        };
        self.add(entry, expansion)
    }

    /// Adds an entry to its directory.
    fn add(&mut self, entry: Entry, expansion: &mut Expansion) -> Result<(), PlanError> {
        check_hash(&self.limits, &entry.cid)?;
        self.entry_count += 1;
        if self.entry_count > self.limits.max_entries {
            let limit = self.limits.max_entries;
            return Err(PlanError::TooManyEntries { limit });
        }
        let id = self.next_id;
        self.next_id += 1;
        if let Some(directory) = entry
            .parent
            .and_then(|parent| self.directories.get_mut(&parent))
        {
            directory.unfinished += 1;
            let claimed = entry.tsize.unwrap_or(0);
            directory.largest_child = directory.largest_child.max(claimed);
            directory.claimed = directory.claimed.saturating_add(claimed);
        }
        let kind = match entry.state {
            State::Shard(place) => FoundKind::Shard {
                place,
                is_done: false,
            },
            _ => FoundKind::Unknown,
        };
        let first = self.firsts.get(&index::key(entry.cid.hash())).copied();
        let (inlined, is_unknown) = (
            cid::identity(&entry.cid).map(Bytes::copy_from_slice),
            matches!(entry.state, State::Unknown),
        );
        self.insert(id, entry);
        match (inlined, first) {
            (Some(block), _) => {
                self.tell(id, kind, None, None, None, expansion);
                self.expand_entry(id, &block, expansion)
            }
            (None, Some(First::File(first, size))) if is_unknown => {
                self.found_twin(id, first, size, expansion)
            }
            _ => {
                self.tell(id, kind, None, None, None, expansion);
                Ok(())
            }
        }
    }

    /// An entry whose root is that of a file that is known already.
    fn found_twin(
        &mut self,
        id: EntryId,
        first: EntryId,
        size: u64,
        expansion: &mut Expansion,
    ) -> Result<(), PlanError> {
        let Some(entry) = self.entries.get(&id) else {
            return Ok(());
        };
        if !self.filter.takes_file(&entry.path) {
            self.remove(id, 0);
            return Ok(());
        }
        let cid = entry.cid;
        self.index.remove(cid.hash(), Spot::Entry(id));
        self.count_file(size)?;
        let kind = FoundKind::File { size };
        self.tell(id, kind, Some(first), None, None, expansion);
        self.make_twin(id, first);
        Ok(())
    }

    /// Puts an entry where what it waits for will find it.
    fn insert(&mut self, id: EntryId, mut entry: Entry) {
        let key = index::key(entry.cid.hash());
        if self.stored.contains(&key) {
            entry.claim = Some(Claim::Recall);
            self.recall.push(entry.cid);
        } else if entry.claim.is_none() {
            self.open.insert(id);
        }
        self.index.insert(entry.cid.hash(), Spot::Entry(id));
        self.entries.insert(id, entry);
    }

    fn found_link(
        &mut self,
        id: EntryId,
        node: &SymlinkNode,
        expansion: &mut Expansion,
    ) -> Result<(), PlanError> {
        let target = node.target.clone();
        let takes = self
            .entries
            .get(&id)
            .is_some_and(|entry| self.filter.takes_file(&entry.path));
        if takes {
            let kind = FoundKind::Symlink { target };
            self.tell(id, kind, None, node.mode, node.mtime, expansion);
        }
        if id == 0 {
            self.root_kind = Some("symlink");
        }
        self.remove(id, 0);
        Ok(())
    }

    /// Notes for the record what is known of an entry now.
    fn tell(
        &self,
        id: EntryId,
        kind: FoundKind,
        twin_of: Option<EntryId>,
        mode: Option<u32>,
        mtime: Option<Mtime>,
        expansion: &mut Expansion,
    ) {
        let found = self.describe(id, kind, twin_of, mode, mtime);
        expansion.found.extend(found);
    }

    fn describe(
        &self,
        id: EntryId,
        kind: FoundKind,
        twin_of: Option<EntryId>,
        mode: Option<u32>,
        mtime: Option<Mtime>,
    ) -> Option<Found> {
        let entry = self.entries.get(&id)?;
        Some(Found {
            id,
            parent: entry.parent,
            path: entry.path.clone(),
            cid: entry.cid,
            tsize: entry.tsize,
            kind,
            twin_of,
            mode,
            mtime,
        })
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

    fn remove(&mut self, id: EntryId, done_bytes: u64) {
        let Some(mut entry) = self.entries.remove(&id) else {
            return;
        };
        self.open.remove(&id);
        self.index.remove(entry.cid.hash(), Spot::Entry(id));
        if let State::File(file) = &mut entry.state {
            file.withdraw(&mut self.index);
        }
        self.child_done(entry.parent, done_bytes);
    }

    /// One thing less is missing of a directory; an empty one is finished itself.
    fn child_done(&mut self, directory: Option<EntryId>, bytes: u64) {
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

    /// The file that an entry is a twin of, and the entry's own path.
    pub fn twin(&self, id: EntryId) -> Option<(EntryId, Arc<str>)> {
        let entry = self.entries.get(&id)?;
        match entry.state {
            State::Twin(first) => Some((first, entry.path.clone())),
            _ => None,
        }
    }

    /// Whether a block would add names to the tree: it is a directory, or a part of one.
    pub fn would_grow(&self, hash: &Multihash, block: &Bytes) -> bool {
        self.index.spots(hash).any(|spot| match spot {
            Spot::Entry(id) => self.entries.get(&id).is_some_and(|entry| {
                let is_names = |node| matches!(node, Node::Directory(_) | Node::HamtShard(_));
                unixfs::node(entry.cid.codec(), block).is_ok_and(is_names)
            }),
            _ => false,
        })
    }

    /// Records that bytes of a file are proved and written.
    pub fn prove(&mut self, id: EntryId, offset: u64, len: u64, by_leaf: bool) {
        if let Some(Entry {
            state: State::File(file),
            ..
        }) = self.entries.get_mut(&id)
        {
            file.prove(offset, len, by_leaf, &mut self.index);
        }
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

    /// The first entry after `after` that may have work that nobody does.
    pub fn next_open(&self, after: Option<EntryId>) -> Option<EntryId> {
        let from = after.map_or(0, |after| after.saturating_add(1));
        self.open.range(from..).next().copied()
    }

    /// The entry has no open work before something changes.
    pub fn set_idle(&mut self, id: EntryId) {
        self.open.remove(&id);
    }

    /// A task takes care of an entry and of everything that will be found below it.
    pub fn claim(&mut self, id: EntryId, task: TaskId) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.claim = Some(Claim::Task(task));
            self.open.remove(&id);
        }
    }

    /// A task takes care of an entry, or of everything unclaimed below a directory.
    pub fn claim_tree(&mut self, root: EntryId, task: TaskId) {
        self.tried.insert(root);
        let is_part = |id: EntryId, entry: &Entry| id == root || self.is_below(entry, root);
        let below: Vec<EntryId> = self
            .entries
            .iter()
            .filter(|&(&id, entry)| entry.claim.is_none() && is_part(id, entry))
            .map(|(&id, _)| id)
            .collect();
        for id in below {
            self.claim(id, task);
        }
    }

    /// Whether this was asked for as a whole already.
    pub fn was_tried(&self, root: EntryId) -> bool {
        self.tried.contains(&root)
    }

    fn is_below(&self, entry: &Entry, directory: EntryId) -> bool {
        let mut next = entry.parent;
        while let Some(id) = next {
            if id == directory {
                return true;
            }
            next = self.directories.get(&id).and_then(|above| above.parent);
        }
        false
    }

    /// Gives back what a task claimed and did not bring.
    pub fn release(&mut self, task: TaskId) {
        for (&id, entry) in &mut self.entries {
            if entry.claim == Some(Claim::Task(task)) {
                entry.claim = None;
                self.open.insert(id);
            }
        }
    }

    /// The next block that is to be read from the store, if there is room for what is in it, or
    /// if `must_go_on` says that nothing else will make room.
    pub fn next_recall(&mut self, must_go_on: bool) -> Option<Cid> {
        (must_go_on || self.entries.len() < MAX_FRONTIER)
            .then(|| self.recall.pop())
            .flatten()
    }

    /// A block is put aside in the store: it is expanded when there is room.
    pub fn put_aside(&mut self, hash: &Multihash) {
        self.stored.insert(index::key(hash));
        for spot in self.index.spots(hash) {
            if let Spot::Entry(id) = spot
                && let Some(entry) = self.entries.get_mut(&id)
            {
                entry.claim = Some(Claim::Recall);
                self.open.remove(&id);
                self.recall.push(entry.cid);
            }
        }
    }

    /// Whether a block that would add names is to be put aside.
    pub fn is_crowded(&self) -> bool {
        self.entries.len() >= MAX_FRONTIER
    }

    /// The store does not have a block that it should have: it is fetched.
    pub fn not_recalled(&mut self, hash: &Multihash) {
        self.stored.remove(&index::key(hash));
        for spot in self.index.spots(hash) {
            if let Spot::Entry(id) = spot
                && let Some(entry) = self.entries.get_mut(&id)
            {
                entry.claim = None;
                self.open.insert(id);
            }
        }
    }
}

/// What stands around the file bytes of a dag-pb leaf, unless it is one of the usual forms, which
/// can be made again from the bytes alone.
fn odd_wrapping(block: &Bytes, data: &Bytes) -> Option<(Bytes, Bytes)> {
    let len = data.len() as u64;
    let start = (data.as_ptr() as usize).checked_sub(block.as_ptr() as usize)?;
    let prefix = block.get(..start)?;
    let suffix = block.get(start + data.len()..)?;
    let is_usual = [LeafForm::DagPbFile, LeafForm::DagPbRaw]
        .iter()
        .any(|form| form.wrapping(len) == (prefix.to_vec(), suffix.to_vec()));
    (!is_usual).then(|| (block.slice_ref(prefix), block.slice_ref(suffix)))
}
