//! Who takes care of what: open work, claims of tasks, blocks that wait in the store.

use crate::content::cid::{Cid, Multihash};
use crate::engine::input::TaskId;
use crate::engine::plan::EntryId;
use crate::engine::plan::entry::{Claim, Entry};
use crate::engine::plan::index::{self, Spot};
use crate::engine::plan::tree::Plan;

/// Unfinished entries beyond which directories are put aside until others are done. A name costs
/// about 300 bytes here, and one directory block can add 100,000 at once.
const MAX_FRONTIER: usize = 32_768;
impl Plan {
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
            self.given.entry(task).or_default().push(id);
            self.open.remove(&id);
        }
    }

    /// A task takes care of an entry, or of everything unclaimed below a directory.
    pub fn claim_tree(&mut self, root: EntryId, task: TaskId) {
        self.tried.insert(root);
        if !self.directories.contains_key(&root) {
            // Nothing below it is known.
            return self.claim(root, task);
        }
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
        for id in self.given.remove(&task).unwrap_or_default() {
            if let Some(entry) = self.entries.get_mut(&id)
                && entry.claim == Some(Claim::Task(task))
            {
                entry.claim = None;
                self.open.insert(id);
            }
        }
    }

    /// The next block that is to be read from the store, if there is room for what is in it, or
    /// if `must_go_on` says that nothing else will make room.
    pub fn next_recall(&mut self, must_go_on: bool) -> Option<Cid> {
        if !must_go_on && self.is_crowded() {
            return None;
        }
        let next = self.recall.pop()?;
        self.queued.remove(&index::key(next.hash()));
        // What is found in it is anybody's.
        for spot in self.index.spots(next.hash()) {
            if let Spot::Entry(id) = spot
                && let Some(entry) = self.entries.get_mut(&id)
            {
                entry.claim = None;
            }
        }
        Some(next)
    }

    /// Whether entries wait for blocks that are in the store.
    pub fn awaits_recall(&self) -> bool {
        !self.recall.is_empty()
    }

    /// An entry waits for a block that is in the store.
    pub(super) fn wait_for_recall(&mut self, id: EntryId) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        entry.claim = Some(Claim::Recall);
        self.open.remove(&id);
        if self.queued.insert(index::key(entry.cid.hash())) {
            self.recall.push(entry.cid);
        }
    }

    /// A block is put aside in the store: it is expanded when there is room.
    pub fn put_aside(&mut self, hash: &Multihash) {
        self.stored.insert(index::key(hash));
        let spots: Vec<Spot> = self.index.spots(hash).collect();
        for spot in spots {
            if let Spot::Entry(id) = spot {
                self.wait_for_recall(id);
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
