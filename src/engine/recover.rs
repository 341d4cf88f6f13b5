//! Going on: finding out what an earlier run left that can be proved.
//!
//! A file that is exactly as the newest completed checkpoint left it is believed, once a few leaves
//! of it proved right. After a SIGKILL, or when anybody else has touched it, every leaf in it is
//! hashed again against the nodes that the store keeps: the page cache is still there, so only
//! bytes in flight are lost, and no change goes unnoticed. Runs on a thread of its own, since it
//! reads as much as there is; it can be stopped at every entry and every leaf.

mod stands;
mod twins;

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use crate::content::cid::{self, Cid, codec};
use crate::content::hash::{self, FileSha256, VerifiedBlock};
use crate::content::leaf;
use crate::content::ranges::RangeSet;
use crate::disk::part::PartFile;
use crate::disk::{DiskError, Fingerprint};
use crate::download::{DownloadId, RunId};
use crate::engine::Job;
use crate::engine::coordinator::{Stop, refusal};
use crate::engine::files::FinishedFile;
use crate::engine::filter::Filter;
use crate::engine::output::Output;
use crate::engine::plan::{
    EntryId, Expansion, FilePlan, Inline, Limits, Piece, PieceKind, Plan, PlanError, Reading,
};
use crate::engine::prove::FileSum;
use crate::engine::stored;
use crate::engine::tree::part_stop;
use crate::exit::ExitKind;
use crate::store::{FileKind, FileRow, FileState, Page, Store, StoreError, TreeRows};

/// One pass over what is there.
pub struct Recovery<'a> {
    /// The download.
    pub id: DownloadId,
    /// The run that owns it.
    pub run: RunId,
    /// What is wanted.
    pub root: Cid,
    /// Where nodes and rows are.
    pub store: Store,
    /// Where the files are.
    pub output: Output,
    /// Whether they are ours to change.
    pub access: Access,
    /// Largest block, in bytes.
    pub max_block: u64,
    /// Set when it is to stop early.
    pub is_stopped: &'a AtomicBool,
}

/// Whether the files are ours to change. The record always is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// They may belong to somebody else.
    Read,
    /// They are parts of this download.
    ReadWrite,
}

/// What was found.
pub struct Recovered {
    /// Everything that is still missing.
    pub plan: Plan,
    /// The hashes of unfinished files, as far as they had come.
    pub hashes: Vec<FileSum>,
    /// Files that were finished before.
    pub finished: Vec<(EntryId, FinishedFile)>,
    /// Whether the disk holds less than the last checkpoint says.
    pub has_lost: bool,
    /// Whether anything was proved as a leaf around plain bytes.
    pub used_leaves: bool,
}

/// Why it ended early.
#[derive(Debug)]
pub enum RecoveryError {
    /// It was told to stop.
    Stopped,
    /// The content is not sound, or not wanted.
    Plan(PlanError),
    /// The disk failed.
    Disk(DiskError),
    /// The store failed.
    Store(StoreError),
}

impl RecoveryError {
    /// The reason to stop that it is.
    pub fn into_stop(self, job: &Job) -> Stop {
        match self {
            // Only who stops it hears of it, and knows why.
            RecoveryError::Stopped => Stop::Signal(ExitKind::Interrupted),
            RecoveryError::Plan(error) => refusal(&error, job),
            RecoveryError::Disk(error) => part_stop(&error, job),
            RecoveryError::Store(error) => Stop::of_store(&error, job.id),
        }
    }
}

impl From<PlanError> for RecoveryError {
    fn from(error: PlanError) -> Self {
        RecoveryError::Plan(error)
    }
}

impl From<DiskError> for RecoveryError {
    fn from(error: DiskError) -> Self {
        RecoveryError::Disk(error)
    }
}

impl From<StoreError> for RecoveryError {
    fn from(error: StoreError) -> Self {
        RecoveryError::Store(error)
    }
}

impl Recovery<'_> {
    /// Fills an empty plan with what is recorded and with what the disk proves.
    ///
    /// # Errors
    /// See [`RecoveryError`].
    pub fn run(&self, mut plan: Plan) -> Result<Recovered, RecoveryError> {
        let reopened = self.reopen_changed(&mut plan)?;
        let mut has_lost = false;
        let tree = self.store.tree(self.id).wait()?;
        plan.restore(self.root, &tree)?;
        let mut hashes = Vec::new();
        if tree.root_kind.is_some() {
            self.each_row(self.store.unfinished_pages(self.id), |row| {
                plan.restore_entry(row);
                Ok(())
            })?;
            plan.end_restore();
            self.each_row(self.store.unfinished_pages(self.id), |row| {
                has_lost |= self.recover_entry(&mut plan, &row, &mut hashes)?;
                Ok(())
            })?;
            if self.access == Access::Read {
                self.compare_twins(&mut plan)?;
            }
        } else {
            let root = FileRow::unknown_root(&cid::text(&self.root));
            has_lost |= self.recover_entry(&mut plan, &root, &mut hashes)?;
        }
        let is_lost =
            |(id, _)| reopened.contains(&id) && !plan.file(id).is_some_and(FilePlan::is_complete);
        has_lost |= plan.entries().any(is_lost);
        let used_leaves =
            tree.used_leaves || plan.files().any(|(_, file)| !file.by_leaves().is_empty());
        Ok(Recovered {
            plan,
            hashes,
            finished: finished_root(&tree),
            has_lost,
            used_leaves,
        })
    }

    /// Whether a file that was finished holds what it should, whatever anybody did to it. What is
    /// recorded of it is neither believed nor changed.
    ///
    /// # Errors
    /// See [`RecoveryError`].
    pub fn still_holds(&self, row: &FileRow, limits: Limits) -> Result<bool, RecoveryError> {
        let mut row = row.clone();
        row.state = FileState::default();
        row.file.parent = None;
        let (id, path) = (row.file.index, row.file.path.clone());
        let mut plan = Plan::empty(limits, Filter::default());
        plan.restore_entry(row.clone());
        self.recover_entry(&mut plan, &row, &mut Vec::new())?;
        let len = self.open(&path)?.map(|part| part.len()).transpose()?;
        let file = plan.file(id);
        Ok(file.is_some_and(|file| file.is_complete() && len == Some(file.size())))
    }

    /// Shows every row of a table that is read page by page, as long as nobody says stop.
    fn each_row(
        &self,
        pages: impl Iterator<Item = Page>,
        mut visit: impl FnMut(FileRow) -> Result<(), RecoveryError>,
    ) -> Result<(), RecoveryError> {
        for page in pages {
            for row in page? {
                self.check_stop()?;
                visit(row)?;
            }
        }
        Ok(())
    }

    fn check_stop(&self) -> Result<(), RecoveryError> {
        match self.is_stopped.load(Ordering::Relaxed) {
            true => Err(RecoveryError::Stopped),
            false => Ok(()),
        }
    }

    /// Looks at every file that is recorded as finished; those that are not as they were left are
    /// opened again, to be proved once more from what is there.
    fn reopen_changed(&self, plan: &mut Plan) -> Result<BTreeSet<EntryId>, RecoveryError> {
        let (mut changed, mut doubted) = (BTreeSet::new(), HashSet::new());
        self.each_row(self.store.finished_pages(self.id), |row| {
            let now = self.output.fingerprint(&row.file.path);
            // What is shorter than the file was somebody else's when it was recorded.
            let is_long = |now: Fingerprint| row.file.size.is_none_or(|size| now.len >= size);
            let is_whole = now.is_some_and(is_long);
            match is_whole && now == row.state.fingerprint {
                true => plan.know_finished(&row),
                false => {
                    changed.insert(row.file.index);
                    doubted.extend(Reading::of_row(&row));
                }
            }
            Ok(())
        })?;
        if !doubted.is_empty() {
            // What may have been copied from one of them is as it was left, and may be as wrong.
            self.each_row(self.store.finished_pages(self.id), |row| {
                if Reading::of_row(&row).is_some_and(|reading| doubted.contains(&reading)) {
                    changed.insert(row.file.index);
                    plan.forget_finished(&row);
                }
                Ok(())
            })?;
        }
        if !changed.is_empty() {
            let indexes = changed.iter().copied().collect();
            self.store.reopen_files(self.id, self.run, indexes).wait()?;
        }
        Ok(changed)
    }

    /// Finds out what is there of one unfinished entry; whether it is less than was recorded.
    fn recover_entry(
        &self,
        plan: &mut Plan,
        row: &FileRow,
        hashes: &mut Vec<FileSum>,
    ) -> Result<bool, RecoveryError> {
        let id = row.file.index;
        let Some(cid) = plan.entry(id).map(|entry| entry.cid) else {
            return Ok(false);
        };
        if self.access == Access::ReadWrite && plan.adopt_twin(id)? {
            return Ok(false);
        }
        let part = match row.file.kind {
            FileKind::Shard | FileKind::Directory | FileKind::Symlink => None,
            FileKind::File | FileKind::Unknown => self.open(&row.file.path)?,
        };
        let now = self.output.fingerprint(&row.file.path);
        let is_untouched = part.is_some() && now.is_some() && now == row.state.fingerprint;
        if let Some(block) = self.stored_node(&cid)? {
            plan.set_saved(id, RangeSet::new(), row.state.by_leaves());
            self.grow(plan, &block)?;
        } else if let Some(len) = part.as_ref().and_then(|part| part.len().ok())
            && let Some(bytes) = self.leaf(part.as_ref(), &cid, len)
        {
            if plan.must_be_read(&cid) {
                if let Ok(block) = VerifiedBlock::check(cid, bytes) {
                    self.grow(plan, &block)?;
                }
            } else {
                plan.adopt_leaf(id, len)?;
                let is_trusted = is_untouched && row.state.verified.contains(0, len);
                plan.prove(id, 0, len, !is_trusted);
                return Ok(self.settle(plan, row, is_untouched, hashes));
            }
        }
        if let Some(part) = &part {
            let claimed = &row.state.verified;
            match is_untouched && self.sample_holds(plan, id, part, claimed)? {
                true => self.scan(plan, id, part, claimed)?,
                false => self.scan(plan, id, part, &RangeSet::new())?,
            }
        }
        Ok(self.settle(plan, row, is_untouched, hashes))
    }

    /// Whether less is proved of a file than was recorded; takes its hash along if not.
    fn settle(
        &self,
        plan: &mut Plan,
        row: &FileRow,
        is_untouched: bool,
        hashes: &mut Vec<FileSum>,
    ) -> bool {
        let id = row.file.index;
        let Some(file) = plan.file(id) else {
            return !row.state.verified.is_empty();
        };
        let keeps = row
            .state
            .verified
            .iter()
            .all(|range| file.proved().contains(range.start(), range.end()));
        let prefix = file.proved().covered_until(0);
        let sha = row.state.sha_state.as_deref().and_then(FileSha256::restore);
        let sha = sha.filter(|sha| sha.position() <= prefix && (keeps || is_untouched));
        hashes.extend(sha.map(|sha| FileSum { entry: id, sha }));
        !keeps
    }

    fn open(&self, path: &str) -> Result<Option<PartFile>, RecoveryError> {
        match self.output.open_existing(path) {
            Ok(part) => Ok(part),
            // What cannot be opened holds nothing; the writer will say what is wrong with it.
            Err(error) => {
                tracing::debug!(%error, path, "cannot be opened again");
                Ok(None)
            }
        }
    }

    /// The whole file of `len` bytes, if it is the leaf that `cid` names.
    fn leaf(&self, part: Option<&PartFile>, cid: &Cid, len: u64) -> Option<Bytes> {
        let can_be = len <= self.max_block && (len > 0 || cid.codec() != codec::RAW);
        let bytes = part
            .filter(|_| can_be)
            .and_then(|part| read(part, 0, len).ok())?;
        leaf::rebuild(cid, len, [bytes.as_slice()]).map(|_| bytes.into())
    }

    /// Proves every piece of a file whose bytes are there, expanding stored nodes on the way.
    fn scan(
        &self,
        plan: &mut Plan,
        id: EntryId,
        part: &PartFile,
        trusted: &RangeSet,
    ) -> Result<(), RecoveryError> {
        let len = part.len()?;
        let mut at = 0;
        while let Some(piece) = plan
            .file(id)
            .and_then(|file| file.first_piece_from(at))
            .cloned()
        {
            self.check_stop()?;
            at = piece.offset + piece.len;
            let is_trusted = trusted.contains(piece.offset, at);
            if is_trusted || self.holds(part, len, &piece)? {
                plan.prove(id, piece.offset, piece.len, !is_trusted);
            } else if piece.kind == PieceKind::Node
                && piece.offset < len
                && let Some(node) = self.stored_node(&piece.cid)?
            {
                self.grow(plan, &node)?;
                at = piece.offset;
            }
        }
        Ok(())
    }

    /// Whether a few leaves of what a checkpoint claims are in the part: the first one, the last
    /// one, and one between them.
    fn sample_holds(
        &self,
        plan: &mut Plan,
        id: EntryId,
        part: &PartFile,
        claimed: &RangeSet,
    ) -> Result<bool, RecoveryError> {
        let len = part.len()?;
        for offset in sample(claimed) {
            while let Some(piece) = plan.file(id).and_then(|file| file.piece_over(offset)) {
                let piece = piece.clone();
                let node = match piece.kind {
                    PieceKind::Leaf if self.holds(part, len, &piece)? => break,
                    PieceKind::Leaf => return Ok(false),
                    PieceKind::Node => self.stored_node(&piece.cid)?,
                };
                match node {
                    Some(node) => self.grow(plan, &node)?,
                    // What leads there is gone: there is nothing to compare with.
                    None => return Ok(false),
                }
            }
        }
        Ok(true)
    }

    fn holds(&self, part: &PartFile, len: u64, piece: &Piece) -> Result<bool, RecoveryError> {
        let is_there = piece.kind == PieceKind::Leaf && piece.offset + piece.len <= len;
        let bytes = is_there.then(|| read(part, piece.offset, piece.len));
        let Some(Ok(bytes)) = bytes else {
            return Ok(false);
        };
        if leaf::rebuild(&piece.cid, piece.len, [bytes.as_slice()]).is_some() {
            return Ok(true);
        }
        if piece.cid.codec() != codec::DAG_PB {
            return Ok(false);
        }
        let hash = piece.cid.hash();
        let wrapping = self.store.wrapping(&hash.to_bytes()).wait()?;
        Ok(wrapping.is_some_and(|around| {
            hash::matches(hash, [&around.prefix[..], &bytes, &around.suffix])
        }))
    }

    /// Expands the plan by a block of the store.
    fn grow(&self, plan: &mut Plan, block: &VerifiedBlock) -> Result<(), RecoveryError> {
        let Expansion { inline, found, .. } = plan.expand(block.cid().hash(), block.data())?;
        // What is found in a block that was put aside has to be recorded now.
        plan.note_found(found);
        for Inline {
            entry,
            offset,
            data,
        } in inline
        {
            self.place_inline(plan, entry, offset, &data)?;
        }
        Ok(())
    }

    /// Bytes out of a node are proved already: where the file lacks them they are simply written.
    fn place_inline(
        &self,
        plan: &mut Plan,
        entry: EntryId,
        offset: u64,
        data: &Bytes,
    ) -> Result<(), RecoveryError> {
        let Some(path) = plan.entry(entry).map(|entry| entry.path.clone()) else {
            return Ok(());
        };
        let len = data.len() as u64;
        let part = match self.access {
            Access::ReadWrite => Some(self.output.open(&path)?),
            Access::Read => self.output.open_existing(&path)?,
        };
        let Some(part) = part else { return Ok(()) };
        let is_there = read(&part, offset, len).is_ok_and(|found| found == data.as_ref());
        if !is_there && self.access == Access::ReadWrite {
            part.write_at(offset, data)?;
        }
        if is_there || self.access == Access::ReadWrite {
            plan.prove(entry, offset, len, false);
        }
        Ok(())
    }

    fn stored_node(&self, cid: &Cid) -> Result<Option<VerifiedBlock>, RecoveryError> {
        match cid.codec() {
            // A leaf, which the store keeps in no download.
            codec::RAW => Ok(VerifiedBlock::inlined(cid)),
            _ => Ok(stored::block_now(&self.store, cid)?),
        }
    }
}

/// Offsets of bytes in the first, a middle and the last leaf of what is claimed.
fn sample(claimed: &RangeSet) -> Vec<u64> {
    let ranges: Vec<_> = claimed.iter().collect();
    let (Some(first), Some(last)) = (ranges.first(), ranges.last()) else {
        return Vec::new();
    };
    let middle = &ranges[ranges.len() / 2];
    let between = middle.start() + (middle.end() - middle.start()) / 2;
    let mut offsets = vec![first.start(), between, last.end() - 1];
    offsets.dedup();
    offsets
}

/// The root, if it is a file that was finished before but not installed.
fn finished_root(tree: &TreeRows) -> Vec<(EntryId, FinishedFile)> {
    let root = tree.finished_root.iter();
    let finished = root.map(|row| (0, FinishedFile::recorded(row.clone())));
    finished.collect()
}

fn read(part: &PartFile, offset: u64, len: u64) -> Result<Vec<u8>, DiskError> {
    let mut buffer = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
    part.read_at(offset, &mut buffer)?;
    Ok(buffer)
}
