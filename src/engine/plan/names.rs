//! What the block of a directory brings, or a shard of one: the names in it, each a new entry.

use std::sync::Arc;

use bytes::Bytes;

use crate::content::cid::{self, codec};
use crate::content::unixfs::hamt::{Place, Shard, Slot};
use crate::content::unixfs::{self, DirNode, Mtime};
use crate::engine::output::check_name;
use crate::engine::plan::entry::{Directory, Entry, Expansion, FoundKind, State};
use crate::engine::plan::index::{Reading, Spot};
use crate::engine::plan::tree::{First, Plan};
use crate::engine::plan::{EntryId, PlanError};

impl Plan {
    pub(super) fn found_directory(
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
    pub(super) fn open_directory(
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
        self.firsts.insert(Reading::of(&entry.cid), First::Stored);
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
    pub(super) fn close_directory(&mut self, id: EntryId) {
        if let Some(entry) = self.entries.get(&id) {
            let hash = *entry.cid.hash();
            self.index.remove(&hash, Spot::Entry(id));
        }
        self.take_out(id);
        self.open.remove(&id);
        self.child_done(Some(id), 0);
    }

    pub(super) fn expand_shard(
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

    pub(super) fn add_slots(
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
        check_name(name).map_err(|source| PlanError::Name {
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
}
