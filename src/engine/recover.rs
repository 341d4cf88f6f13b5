//! Going on: finding out what an earlier run left that can be proved.
//!
//! A file that is exactly as the last checkpoint left it is believed. After a SIGKILL, or when
//! anybody else has touched it, every leaf in it is hashed again against the nodes that the store
//! keeps: the page cache is still there, so only bytes in flight are lost, and no change goes
//! unnoticed. Runs on a thread of its own, since it reads as much as there is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use crate::content::cid::{self, Cid, codec};
use crate::content::hash::{FileSha256, VerifiedBlock};
use crate::content::leaf;
use crate::content::ranges::RangeSet;
use crate::disk::DiskError;
use crate::disk::part::PartFile;
use crate::download::{DownloadId, RunId};
use crate::engine::Job;
use crate::engine::coordinator::{Stop, refusal};
use crate::engine::failure::{disk_failure, store_failure};
use crate::engine::files::FinishedFile;
use crate::engine::output::Output;
use crate::engine::plan::{EntryId, Expansion, Inline, Piece, PieceKind, Plan, PlanError};
use crate::engine::prove::FileSum;
use crate::exit::ExitKind;
use crate::store::{FileKind, FileRow, Store, StoreError, TreeRows};

/// Rows that are read from the store at once.
const PAGE: u32 = 4096;

/// One pass over what is there.
pub struct Recovery {
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
    pub is_stopped: Arc<AtomicBool>,
}

/// Whether the files are ours to change.
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
            RecoveryError::Disk(error) => Stop::Failed(disk_failure(&error, job.id)),
            RecoveryError::Store(StoreError::LeaseLost { .. }) => Stop::LeaseLost,
            RecoveryError::Store(error) => Stop::Failed(store_failure(&error, job.id)),
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

impl Recovery {
    /// Fills an empty plan with what is recorded and with what the disk proves.
    ///
    /// # Errors
    /// See [`RecoveryError`].
    pub fn run(&self, mut plan: Plan) -> Result<Recovered, RecoveryError> {
        let mut has_lost = self.check_finished()?;
        let tree = self.store.tree(self.id).wait()?;
        let rows = match tree.root_kind {
            Some(_) => tree.unfinished.clone(),
            None => vec![FileRow::unknown_root(&cid::text(&self.root))],
        };
        let used_leaves = tree.used_leaves;
        let finished = finished_root(&tree);
        plan.restore(self.root, tree)?;
        let mut hashes = Vec::new();
        for row in rows {
            if self.is_stopped.load(Ordering::Relaxed) {
                return Err(RecoveryError::Stopped);
            }
            has_lost |= self.recover_entry(&mut plan, &row, &mut hashes)?;
        }
        let used_leaves = used_leaves || plan.files().any(|(_, file)| !file.by_leaves().is_empty());
        Ok(Recovered {
            plan,
            hashes,
            finished,
            has_lost,
            used_leaves,
        })
    }

    /// Looks at every file that is recorded as finished; one that is not as it was left is opened
    /// again. Whether there was any.
    fn check_finished(&self) -> Result<bool, RecoveryError> {
        let (mut after, mut lost) = (None, Vec::new());
        loop {
            let page = self.store.finished_files(self.id, after, PAGE).wait()?;
            let Some(last) = page.last() else { break };
            after = Some(last.file.index);
            let is_touched = |row: &&FileRow| {
                let now = self.output.fingerprint(&row.file.path);
                now.is_none() || now != row.state.fingerprint
            };
            lost.extend(page.iter().filter(is_touched).map(|row| row.file.index));
            if self.is_stopped.load(Ordering::Relaxed) {
                return Err(RecoveryError::Stopped);
            }
        }
        if lost.is_empty() || self.access == Access::Read {
            return Ok(!lost.is_empty());
        }
        self.store.reopen_files(self.id, self.run, lost).wait()?;
        Ok(true)
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
        let part = match row.file.kind {
            FileKind::Shard | FileKind::Directory | FileKind::Symlink => None,
            FileKind::File | FileKind::Unknown => self.open(&row.file.path)?,
        };
        let now = self.output.fingerprint(&row.file.path);
        let is_untouched = part.is_some() && now.is_some() && now == row.state.fingerprint;
        let trusted = match is_untouched {
            true => row.state.verified.clone(),
            false => RangeSet::new(),
        };
        if let Some(block) = self.stored_node(&cid)? {
            plan.set_saved(id, RangeSet::new(), row.state.by_leaves());
            self.grow(plan, &block)?;
        } else if let Some(len) = now.map(|(len, _)| len)
            && self.is_leaf(part.as_ref(), &cid, len)
        {
            plan.adopt_leaf(id, len)?;
        }
        if let Some(part) = &part {
            self.scan(plan, id, part, &trusted)?;
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

    /// Whether the whole file of `len` bytes is the leaf that `cid` names.
    fn is_leaf(&self, part: Option<&PartFile>, cid: &Cid, len: u64) -> bool {
        let can_be = len <= self.max_block && (len > 0 || cid.codec() != codec::RAW);
        let bytes = part
            .filter(|_| can_be)
            .and_then(|part| read(part, 0, len).ok());
        bytes.is_some_and(|bytes| leaf::rebuild(cid, len, [bytes.as_slice()]).is_some())
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
            if self.is_stopped.load(Ordering::Relaxed) {
                return Err(RecoveryError::Stopped);
            }
            at = piece.offset + piece.len;
            let is_trusted = trusted.contains(piece.offset, at);
            if is_trusted || self.holds(part, len, &piece) {
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

    fn holds(&self, part: &PartFile, len: u64, piece: &Piece) -> bool {
        piece.kind == PieceKind::Leaf
            && piece.offset + piece.len <= len
            && read(part, piece.offset, piece.len).is_ok_and(|bytes| {
                leaf::rebuild(&piece.cid, piece.len, [bytes.as_slice()]).is_some()
            })
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
        if let Some(data) = cid::identity(cid) {
            return Ok(VerifiedBlock::check(*cid, Bytes::copy_from_slice(data)).ok());
        }
        if cid.codec() == codec::RAW {
            return Ok(None);
        }
        let block = self.store.node(&cid.hash().to_bytes()).wait()?;
        // A node that does not prove right any more is fetched again.
        Ok(block.and_then(|block| VerifiedBlock::check(*cid, Bytes::from(block)).ok()))
    }
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
