//! What became known of the tree and is not in the store yet.
//!
//! Gathered, since a directory of ten thousand files would otherwise mean ten thousand
//! transactions; written several times a second, and always before a checkpoint. What is lost with
//! the process is a block or two that are fetched again.

use std::collections::VecDeque;

use bytes::Bytes;
use tokio::sync::oneshot::{self, error::TryRecvError};

use crate::content::cid;
use crate::content::hash::VerifiedBlock;
use crate::engine::coordinator::Coordinator;
use crate::engine::plan::{Expansion, Found, FoundKind};
use crate::store::{FileKind, Kept, NewFile, Wrapping};

/// Facts that make the journal worth writing at once.
const ENOUGH_FACTS: usize = 512;
/// Bytes of nodes that make it worth writing at once.
const ENOUGH_BYTES: usize = 1 << 20;

/// Facts on their way to the store before no more are taken up: a disk that is slower than the
/// network must not fill the memory. A directory of many small files has most.
const FACTS_AHEAD: usize = 16_384;
/// About what a fact costs in memory.
const FACT_BYTES: usize = 256;

/// Facts that wait to be written.
#[derive(Debug, Default)]
pub struct Journal {
    files: Vec<NewFile>,
    kept: Vec<(Vec<u8>, Kept)>,
    kept_bytes: usize,
    /// What the store has not answered: how many facts, and who will say that it has.
    under_way: VecDeque<(usize, oneshot::Receiver<()>)>,
}

impl Journal {
    /// Notes what a block brought.
    pub fn note(&mut self, block: &VerifiedBlock, expansion: &mut Expansion) {
        self.files.extend(expansion.found.drain(..).map(row));
        let hash = block.cid().hash().to_bytes();
        if expansion.is_node {
            self.keep(hash, Kept::Block(block.data().to_vec()));
        } else if let Some((prefix, suffix)) = expansion.odd_wrapping.take() {
            let wrapping = Wrapping {
                prefix: prefix.to_vec(),
                suffix: suffix.to_vec(),
            };
            self.keep(hash, Kept::Wrapping(wrapping));
        }
    }

    /// Whether the store is so far behind that no more is to be taken up.
    pub fn is_behind(&self) -> bool {
        let facts = self.under_way.iter().map(|(facts, _)| facts);
        facts.sum::<usize>() > FACTS_AHEAD
    }

    /// Waits for the next answer of the store.
    pub async fn catch_up(&mut self) {
        if let Some((_, answer)) = self.under_way.front_mut() {
            // Without an answer the store is gone, and its failure comes as an input.
            let _ = answer.await;
            self.under_way.pop_front();
        }
    }

    /// What is noted goes to the store; whom to tell when it is there.
    fn begin_write(&mut self) -> oneshot::Sender<()> {
        while let Some((_, answer)) = self.under_way.front_mut()
            && answer.try_recv() != Err(TryRecvError::Empty)
        {
            self.under_way.pop_front();
        }
        let facts = self.files.len() + std::mem::take(&mut self.kept_bytes) / FACT_BYTES;
        let (told, answer) = oneshot::channel();
        self.under_way.push_back((facts, answer));
        told
    }

    /// Notes what was found while nothing could be recorded.
    pub fn note_found(&mut self, found: Vec<Found>) {
        self.files.extend(found.into_iter().map(row));
    }

    /// Keeps a proved block as it is.
    pub fn keep_block(&mut self, hash: Vec<u8>, block: &Bytes) {
        self.keep(hash, Kept::Block(block.to_vec()));
    }

    fn keep(&mut self, hash: Vec<u8>, kept: Kept) {
        self.kept_bytes += match &kept {
            Kept::Block(block) => block.len(),
            Kept::Wrapping(wrapping) => wrapping.prefix.len() + wrapping.suffix.len(),
        };
        self.kept.push((hash, kept));
    }

    fn is_full(&self) -> bool {
        self.files.len() + self.kept.len() >= ENOUGH_FACTS || self.kept_bytes >= ENOUGH_BYTES
    }

    fn is_empty(&self) -> bool {
        self.files.is_empty() && self.kept.is_empty()
    }
}

impl Coordinator<'_> {
    /// Writes the journal, if there is much in it.
    pub(super) fn write_full_journal(&mut self) {
        if self.journal.is_full() {
            self.write_journal();
        }
    }

    /// Writes what is in the journal to the store, beside the loop. The store works in order: what
    /// is asked of it later finds it there.
    pub(super) fn write_journal(&mut self) {
        if self.journal.is_empty() {
            return;
        }
        let told = self.journal.begin_write();
        let files = std::mem::take(&mut self.journal.files);
        let kept = std::mem::take(&mut self.journal.kept);
        let reply = self
            .store
            .record_found(self.job.id, self.job.run, files, kept);
        self.in_background(async move {
            let recorded = reply.await;
            // Nobody waits for it only when the download is over.
            let _ = told.send(());
            recorded
        });
    }
}

fn row(found: Found) -> NewFile {
    let (kind, size, target, place, is_done) = match found.kind {
        FoundKind::Unknown => (FileKind::Unknown, None, None, None, false),
        FoundKind::Shard { place, is_done } => (
            FileKind::Shard,
            None,
            None,
            Some(place.encode().to_vec()),
            is_done,
        ),
        FoundKind::File { size } => (FileKind::File, Some(size), None, None, false),
        FoundKind::LeftOut => (FileKind::Unknown, None, None, None, true),
        FoundKind::Directory => (FileKind::Directory, None, None, None, true),
        FoundKind::Symlink { target } => {
            let size = target.len() as u64;
            (
                FileKind::Symlink,
                Some(size),
                Some(target.to_vec()),
                None,
                true,
            )
        }
    };
    NewFile {
        index: found.id,
        parent: found.parent,
        path: found.path.to_string(),
        kind,
        cid: Some(cid::text(&found.cid)),
        size,
        tsize: found.tsize,
        mode: found.mode,
        mtime: found.mtime.map(|mtime| (mtime.seconds, mtime.nanos)),
        target,
        place,
        twin_of: found.twin_of,
        is_done,
    }
}
