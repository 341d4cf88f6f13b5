//! Taking up what an earlier run recorded of a tree.

use crate::content::cid::{self, Cid};
use crate::content::ranges::RangeSet;
use crate::content::unixfs::hamt::Place;
use crate::engine::plan::entry::{Directory, Entry, Expansion, Found, FoundKind, State, Totals};
use crate::engine::plan::file::FilePlan;
use crate::engine::plan::index::{Reading, Spot};
use crate::engine::plan::links;
use crate::engine::plan::tree::{First, Plan};
use crate::engine::plan::{EntryId, PlanError, check_hash};
use crate::store::{FileKind, FileRow, TreeRows};

impl Plan {
    /// Takes up what an earlier run recorded of the tree below `root`. Its unfinished entries come
    /// after that, by [`Plan::restore_entry`], and then [`Plan::end_restore`].
    ///
    /// # Errors
    /// What is recorded is beyond today's limits.
    pub fn restore(&mut self, root: Cid, rows: &TreeRows) -> Result<(), PlanError> {
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
        self.restore_directories(rows);
        if rows.root_kind.is_none() {
            self.insert(0, Entry::root(root));
        }
        Ok(())
    }

    /// All unfinished entries are restored: directories without any are finished.
    pub fn end_restore(&mut self) {
        self.directories
            .retain(|_, directory| directory.unfinished > 0);
    }

    /// A file that an earlier run finished: what is the same need not be fetched.
    pub fn know_finished(&mut self, row: &FileRow) {
        self.know_name(&row.file.path);
        let cid = row.file.cid.as_deref().map(cid::parse);
        if let (Some(Ok(cid)), Some(size)) = (cid, row.file.size) {
            let first = First::File(row.file.index, size);
            self.firsts.entry(Reading::of(&cid)).or_insert(first);
        }
    }

    /// A file that was finished may hold anything: nothing is copied from it.
    pub fn forget_finished(&mut self, row: &FileRow) {
        if let Some(reading) = Reading::of_row(row) {
            self.firsts.remove(&reading);
        }
    }

    /// Whether an entry of which nothing is known yet is the same as a file that is finished: it
    /// is to be copied then.
    ///
    /// # Errors
    /// [`PlanError::TooLarge`].
    pub fn adopt_twin(&mut self, id: EntryId) -> Result<bool, PlanError> {
        let Some(entry) = self.entries.get(&id) else {
            return Ok(false);
        };
        if self.must_be_read(&entry.cid) {
            return Ok(false);
        }
        let first = self.firsts.get(&Reading::of(&entry.cid)).copied();
        let (Some(First::File(first, size)), State::Unknown) = (first, &entry.state) else {
            return Ok(false);
        };
        let mut expansion = Expansion::default();
        self.found_twin(id, first, size, &mut expansion)?;
        self.unrecorded.extend(expansion.found);
        Ok(true)
    }

    /// Directories, with what is finished below them; of those without anything unfinished nothing
    /// is kept in the end.
    fn restore_directories(&mut self, rows: &TreeRows) {
        for row in &rows.directories {
            let Ok(cid) = cid::parse(&row.cid) else {
                continue;
            };
            self.know_name(&links::name_of(&cid));
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

    /// Takes up an entry that an earlier run did not finish.
    pub fn restore_entry(&mut self, row: FileRow) {
        let Some(Ok(cid)) = row.file.cid.as_deref().map(cid::parse) else {
            return;
        };
        self.know_name(&row.file.path);
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

    /// Counts what is there of unfinished files for the directories around them: little of such a
    /// directory is left to fetch, which must not be asked for as a whole.
    pub fn count_recovered(&mut self) {
        let files = self.files();
        let proved: Vec<(Option<EntryId>, u64)> = files
            .filter_map(|(id, file)| Some((self.entries.get(&id)?.parent, file.proved().total())))
            .collect();
        for (mut next, bytes) in proved {
            while let Some(directory) = next.and_then(|id| self.directories.get_mut(&id)) {
                directory.done_bytes += bytes;
                next = directory.parent;
            }
        }
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
        self.firsts.insert(Reading::of(&cid), First::File(id, size));
        let file = FilePlan::of_leaf(id, cid, size, &mut self.index);
        self.set_state(id, State::File(Box::new(file)));
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
