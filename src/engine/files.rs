//! Files on their way to being finished: their hashes, their copies, their place in the record.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, mpsc};

use bytes::Bytes;

use crate::content::hash;
use crate::content::ranges::RangeSet;
use crate::disk::DiskError;
use crate::engine::coordinator::{Coordinator, Stop};
use crate::engine::input::Input;
use crate::engine::plan::{EntryId, FilePlan};
use crate::engine::prove::{FileSum, Permit, Place, ShaJob, ShaReport, Streamed, Work};
use crate::engine::tree::part_stop;
use crate::store::{FileRow, StoreError};

/// A file whose every byte is proved and written.
#[derive(Debug, Clone)]
pub struct FinishedFile {
    /// Where it is in the tree.
    pub path: Arc<str>,
    /// Its size.
    pub size: u64,
    /// Its SHA-256, unless switched off.
    pub sha256: Option<[u8; 32]>,
    /// What was proved as leaves around plain bytes.
    pub by_leaves: RangeSet,
}

/// What is known of the hashes of whole files.
#[derive(Default)]
pub struct Hashing {
    /// To the thread that hashes; `None` where nobody wants the sums.
    pub sender: Option<mpsc::Sender<ShaJob>>,
    /// Bytes of each file handed to it.
    positions: HashMap<EntryId, u64>,
    /// Files whose digest is due.
    finishing: HashSet<EntryId>,
    /// Digests that came with the proof of all their bytes at once.
    whole: HashMap<EntryId, [u8; 32]>,
    /// Files finished by this run that no checkpoint has recorded yet; the root stays. The record
    /// knows the others: there may be a hundred thousand.
    pub finished: HashMap<EntryId, FinishedFile>,
    /// Files that wait for another one, which is the same.
    twins: HashMap<EntryId, Vec<EntryId>>,
    /// Finished files that the record is asked for.
    recalled: HashSet<EntryId>,
    /// The digest of what goes to standard output, where one is demanded.
    pub streamed: Option<Streamed>,
    /// Copies under way, and what they will be.
    copies: HashMap<EntryId, FinishedFile>,
}

impl FinishedFile {
    /// A file as it is recorded.
    pub fn recorded(row: FileRow) -> Self {
        Self {
            by_leaves: row.state.by_leaves(),
            path: row.file.path.into(),
            size: row.file.size.unwrap_or(0),
            sha256: row.state.sha256,
        }
    }
}

impl Hashing {
    /// Takes up a file whose first `position` bytes are hashed.
    pub fn begin_at(&mut self, entry: EntryId, position: u64) {
        self.positions.insert(entry, position);
    }

    /// Asks the thread for something. It lives as long as its sender, and its answers, or its
    /// failures, come back as inputs.
    pub fn ask(&self, job: ShaJob) {
        if let Some(sender) = &self.sender {
            let _ = sender.send(job);
        }
    }

    /// Whether files are being copied within the tree.
    pub fn is_copying(&self) -> bool {
        !self.copies.is_empty()
    }

    /// Whether digests or copies are due.
    pub fn is_busy(&self) -> bool {
        !self.finishing.is_empty() || !self.recalled.is_empty() || !self.copies.is_empty()
    }

    /// The SHA-256 of a finished file, unless a checkpoint has recorded it and it is not the root.
    pub fn digest(&self, entry: EntryId) -> Option<[u8; 32]> {
        self.finished.get(&entry).and_then(|file| file.sha256)
    }

    /// A checkpoint has recorded these finished files.
    pub fn are_recorded(&mut self, files: &[EntryId]) {
        for file in files.iter().filter(|&&file| file != 0) {
            self.finished.remove(file);
        }
    }
}

impl Coordinator<'_> {
    /// Hands bytes to the hash of their file: by the sum that came with their proof, as they are
    /// when it is their turn, else by a word that they can be read from the disk.
    pub(super) fn feed_sha(
        &mut self,
        places: &[Place],
        len: u64,
        data: Vec<Bytes>,
        sum: Option<FileSum>,
        permit: Permit,
    ) {
        if self.hashing.sender.is_none() {
            return;
        }
        if let Some(sum) = sum {
            self.skip_to(sum);
        }
        let mut feed = Some((data, permit));
        for place in places {
            if self.sum_in_link(place.entry).is_some() {
                continue;
            }
            let position = self.hashing.positions.entry(place.entry).or_default();
            if place.offset == *position
                && let Some((data, permit)) = feed.take()
            {
                *position += len;
                self.hashing.ask(ShaJob::Feed(place.entry, data, permit));
            }
            self.catch_up(place.entry, &place.path);
        }
    }

    /// Moves the hash of a file on to a sum of its first bytes, once all of them are written.
    fn skip_to(&mut self, sum: FileSum) {
        let (entry, end) = (sum.entry, sum.sha.position());
        let Some(file) = self.plan.file(entry) else {
            return;
        };
        let position = self.hashing.positions.entry(entry).or_default();
        if *position == 0 && end == file.size() {
            // The thread need not even hear of it.
            self.hashing.whole.insert(entry, sum.sha.finish());
            *position = end;
        } else if *position < end && file.proved().contains(0, end) {
            *position = end;
            self.hashing.ask(ShaJob::GoOn(sum));
        }
    }

    /// The sum of a file that is one raw block.
    fn sum_in_link(&self, entry: EntryId) -> Option<[u8; 32]> {
        hash::sha256_of_raw(self.plan.file(entry)?.root())
    }

    /// Lets the hash of a file read what is proved behind its position.
    pub(super) fn catch_up(&mut self, entry: EntryId, path: &Arc<str>) {
        let Some(file) = self.plan.file(entry) else {
            return;
        };
        let needs_thread = hash::sha256_of_raw(file.root()).is_none();
        if self.hashing.sender.is_none() || !self.output.is_on_disk() || !needs_thread {
            return;
        }
        let position = self.hashing.positions.entry(entry).or_default();
        let end = file.proved().covered_until(*position);
        if end > *position {
            *position = end;
            self.hashing.ask(ShaJob::ReadTo {
                entry,
                path: path.clone(),
                end,
            });
        }
    }

    /// Finishes a file whose every byte is proved, by way of its hash if that is wanted.
    pub(super) fn look_at_file(&mut self, entry: EntryId) {
        if !self.plan.file(entry).is_some_and(FilePlan::is_complete) {
            return;
        }
        let known = self.sum_in_link(entry);
        if self.hashing.sender.is_none() {
            self.finish_file(entry, None);
        } else if let Some(digest) = known.or_else(|| self.hashing.whole.remove(&entry)) {
            self.finish_file(entry, Some(digest));
        } else if self.hashing.finishing.insert(entry) {
            self.hashing.ask(ShaJob::Finish(entry));
        }
    }

    pub(super) fn on_sha(&mut self, report: ShaReport) {
        match report {
            ShaReport::Digest(entry, digest) => self.finish_file(entry, Some(digest)),
            ShaReport::NoDigest(entry) => {
                self.hashing.finishing.remove(&entry);
            }
            ShaReport::Failed(error) => self.halt(part_stop(&error, &self.job)),
            ShaReport::States(states) => self.checkpoint_states(states),
        }
    }

    fn finish_file(&mut self, entry: EntryId, sha256: Option<[u8; 32]>) {
        let (Some(file), Some(path)) = (
            self.plan.file(entry),
            self.plan.entry(entry).map(|entry| entry.path.clone()),
        ) else {
            return;
        };
        let finished = FinishedFile {
            path,
            size: file.size(),
            sha256,
            by_leaves: file.by_leaves().clone(),
        };
        self.hashing.finishing.remove(&entry);
        self.hashing.positions.remove(&entry);
        self.plan.finish_file(entry);
        self.record_finished(entry, finished);
    }

    fn record_finished(&mut self, entry: EntryId, finished: FinishedFile) {
        self.checkpointing.note_finished(entry);
        self.hashing.finished.insert(entry, finished);
        self.copy_to_twins(entry);
    }

    /// An entry is the same file as `first`: it is copied as soon as that one is finished.
    pub(super) fn on_twin(&mut self, twin: EntryId, first: EntryId) {
        self.hashing.twins.entry(first).or_default().push(twin);
        if self.hashing.finished.contains_key(&first) {
            self.copy_to_twins(first);
        } else if self.plan.entry(first).is_none() && self.hashing.recalled.insert(first) {
            let reply = self.store.entries(self.job.id, first.checked_sub(1), 1);
            self.beside(reply, move |result| Some(Input::Recalled { first, result }));
        }
    }

    /// The record of a finished file that others are the same as.
    pub(super) fn on_recalled(&mut self, first: EntryId, result: Result<Vec<FileRow>, StoreError>) {
        self.hashing.recalled.remove(&first);
        match result.map(|rows| rows.into_iter().find(|row| row.file.index == first)) {
            Ok(Some(row)) => {
                let file = FinishedFile::recorded(row);
                self.hashing.finished.insert(first, file);
                self.copy_to_twins(first);
                self.hashing.are_recorded(&[first]);
            }
            // Only who owns the download takes rows away.
            Ok(None) => self.halt(Stop::LeaseLost),
            Err(error) => self.store_failed(error),
        }
    }

    /// Copies a finished file to all entries that are the same.
    fn copy_to_twins(&mut self, first: EntryId) {
        let twins = self.hashing.twins.remove(&first).unwrap_or_default();
        for twin in twins {
            let (Some(from), Some(to)) = (self.hashing.finished.get(&first), self.plan.entry(twin))
            else {
                continue;
            };
            let work = Work::Copy {
                entry: twin,
                from: from.path.clone(),
                to: to.path.clone(),
                size: from.size,
            };
            let path = to.path.clone();
            let copy = FinishedFile {
                path,
                ..from.clone()
            };
            self.hashing.copies.insert(twin, copy);
            self.send_work(work);
        }
    }

    pub(super) fn on_copied(&mut self, twin: EntryId, result: Result<(), DiskError>) {
        let copy = self.hashing.copies.remove(&twin);
        if let Err(error) = result {
            return self.halt(part_stop(&error, &self.job));
        }
        if let Some(finished) = copy {
            self.plan.finish_twin(twin, finished.size);
            self.record_finished(twin, finished);
        }
    }
}
