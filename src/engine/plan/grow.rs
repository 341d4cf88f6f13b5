//! What a verified block brings: files, links, and more of what is known already; what names it
//! adds, `names` knows.

use bytes::Bytes;

use crate::content::cid::{self, Cid, Multihash, codec};
use crate::content::leaf::LeafForm;
use crate::content::unixfs::hamt::Place;
use crate::content::unixfs::{self, FileNode, Mtime, Node, SymlinkNode};
use crate::engine::plan::entry::{Entry, Expansion, Found, FoundKind, State};
use crate::engine::plan::file::{FilePlan, Growth};
use crate::engine::plan::index::{self, Reading, Spot};
use crate::engine::plan::piece::Inline;
use crate::engine::plan::tree::{First, Plan};
use crate::engine::plan::{EntryId, PlanError, check_hash};

/// Bytes that are fetched at most where the user sets no limit: the largest number that every
/// reader of JSON holds exactly, and more than any disk. A DAG of a few blocks can claim more.
const LARGEST: u64 = 1 << 53;

impl Plan {
    /// Takes a block that was proved to have this multihash, wherever it is waited for.
    ///
    /// # Errors
    /// Whatever makes the tree unsound or unwanted; the download cannot go on.
    pub fn expand(&mut self, hash: &Multihash, block: &Bytes) -> Result<Expansion, PlanError> {
        let mut expansion = Expansion::default();
        let spots: Vec<Spot> = self.index.spots(hash).collect();
        let names = self.check_repetition(&spots, block)?;
        for (nth, spot) in spots.into_iter().enumerate() {
            match spot {
                // The block is in the store by the time when there is room again.
                Spot::Entry(id) if nth > 0 && names > 0 && self.is_crowded() => {
                    self.wait_for_recall(id);
                }
                Spot::Entry(id) => self.expand_entry(id, block, &mut expansion)?,
                Spot::Bytes(id, offset) => {
                    let has_room = self.file(id).is_some_and(FilePlan::has_room);
                    if nth == 0 || has_room {
                        self.expand_piece(id, offset, block, &mut expansion)?;
                    }
                }
                Spot::Empty(id) => {
                    self.see_empty(id, block)?;
                    // No bytes on disk would show how it was written.
                    expansion.is_node = true;
                }
            }
        }
        if expansion.is_node {
            self.stored.insert(index::key(hash));
        }
        Ok(expansion)
    }

    /// How many names, or shards, a block would add in each place; an error if all those places
    /// together would get more than a tree may have, before the first of them is made.
    fn check_repetition(&self, spots: &[Spot], block: &Bytes) -> Result<u64, PlanError> {
        let is_entry = |spot: &&Spot| matches!(spot, Spot::Entry(_));
        let places = spots.iter().filter(is_entry).count() as u64;
        let first = spots
            .first()
            .and_then(|spot| self.entries.get(&spot.entry()));
        let Some(entry) = first.filter(|_| places > 1) else {
            return Ok(0);
        };
        let names = match unixfs::node(entry.cid.codec(), block) {
            Ok(Node::Directory(node)) => node.entries.len() as u64,
            Ok(Node::HamtShard(node)) => node.len() as u64,
            _ => 0,
        };
        let limit = self.limits.max_entries;
        let all = self
            .entry_count
            .saturating_add(places.saturating_mul(names));
        match self.filter.takes_all() && all > limit {
            true => Err(PlanError::TooManyEntries { limit }),
            false => Ok(names),
        }
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
        let found = expansion.inline.len();
        let mut growth = Growth {
            limits: &self.limits,
            index: &mut self.index,
            inline: &mut expansion.inline,
        };
        expansion.is_node |= file.expand(offset, block, &mut growth)?;
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
        if let Some(links) = self.links_of(&cid, block)? {
            return self.found_links(id, &links, block.len(), expansion);
        }
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
            self.leave_out(id, expansion);
            return Ok(());
        }
        let (cid, reading) = (entry.cid, Reading::of(&entry.cid));
        self.index.remove(cid.hash(), Spot::Entry(id));
        self.count_file(node.size)?;
        let twin_of = match self.firsts.get(&reading) {
            Some(&First::File(first, _)) if first != id => Some(first),
            _ => None,
        };
        let kind = FoundKind::File { size: node.size };
        self.tell(id, kind, twin_of, node.mode, node.mtime, expansion);
        if let Some(first) = twin_of {
            self.make_twin(id, first);
            return Ok(());
        }
        self.firsts.insert(reading, First::File(id, node.size));
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
        self.set_state(id, State::File(Box::new(file)));
        self.open.insert(id);
        if id == 0 {
            self.root_kind = Some("file");
        }
        Ok(())
    }

    /// It turned out to be what nobody wants: that much is kept, so that it is not fetched again.
    fn leave_out(&mut self, id: EntryId, expansion: &mut Expansion) {
        self.tell(id, FoundKind::LeftOut, None, None, None, expansion);
        self.remove(id, 0);
    }

    /// It is the same as another file: it waits for that one.
    fn make_twin(&mut self, id: EntryId, first: EntryId) {
        self.open.remove(&id);
        self.set_state(id, State::Twin(first));
    }

    /// Counts a file whose size is known now, against the limit.
    pub(super) fn count_file(&mut self, size: u64) -> Result<(), PlanError> {
        self.totals.files_known += 1;
        self.totals.known_bytes = self.totals.known_bytes.saturating_add(size);
        let size = self.totals.known_bytes;
        let limit = self.limits.max_size.unwrap_or(LARGEST);
        if size > limit {
            return Err(PlanError::TooLarge { size, limit });
        }
        Ok(())
    }

    /// Adds an entry to its directory.
    pub(super) fn add(&mut self, entry: Entry, expansion: &mut Expansion) -> Result<(), PlanError> {
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
        let first = self.firsts.get(&Reading::of(&entry.cid)).copied();
        let (inlined, is_unknown) = (
            cid::identity(&entry.cid).map(Bytes::copy_from_slice),
            matches!(entry.state, State::Unknown) && !self.must_be_read(&entry.cid),
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
    pub(super) fn found_twin(
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
            self.leave_out(id, expansion);
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
    pub(super) fn insert(&mut self, id: EntryId, entry: Entry) {
        let is_stored = self.stored.contains(&index::key(entry.cid.hash()));
        if !is_stored && entry.claim.is_none() {
            self.open.insert(id);
        }
        self.index.insert(entry.cid.hash(), Spot::Entry(id));
        self.put_in(id, entry);
        if is_stored {
            self.wait_for_recall(id);
        }
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
        if !takes {
            self.leave_out(id, expansion);
            return Ok(());
        }
        let kind = FoundKind::Symlink { target };
        self.tell(id, kind, None, node.mode, node.mtime, expansion);
        expansion.is_node = true;
        if id == 0 {
            self.root_kind = Some("symlink");
            self.root_link = Some(node.target.clone());
        }
        self.remove(id, 0);
        Ok(())
    }

    /// Notes for the record what is known of an entry now.
    pub(super) fn tell(
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

    pub(super) fn describe(
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
