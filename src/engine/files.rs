//! Files on their way to being finished: their hashes, their copies, their place in the record.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, mpsc};

use bytes::Bytes;

use crate::content::ranges::RangeSet;
use crate::disk::DiskError;
use crate::engine::coordinator::Coordinator;
use crate::engine::failure::disk_failure;
use crate::engine::plan::{EntryId, FilePlan};
use crate::engine::prove::{Permit, Place, ShaJob, ShaReport, Work};

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
    /// Files finished by this run.
    pub finished: BTreeMap<EntryId, FinishedFile>,
    /// Files that wait for another one, which is the same.
    twins: HashMap<EntryId, Vec<EntryId>>,
    /// Copies under way.
    copies: usize,
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

    /// Whether digests or copies are due.
    pub fn is_busy(&self) -> bool {
        !self.finishing.is_empty() || self.copies > 0
    }

    /// The SHA-256 of a file finished by this run.
    pub fn digest(&self, entry: EntryId) -> Option<[u8; 32]> {
        self.finished.get(&entry).and_then(|file| file.sha256)
    }
}

impl Coordinator<'_> {
    /// Hands bytes to the hash of their file: as they are when it is their turn, else by a word
    /// that they can be read from the disk.
    pub(super) fn feed_sha(
        &mut self,
        places: &[Place],
        len: u64,
        data: Vec<Bytes>,
        permit: Permit,
    ) {
        if self.hashing.sender.is_none() {
            return;
        }
        let mut feed = Some((data, permit));
        for place in places {
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

    /// Lets the hash of a file read what is proved behind its position.
    pub(super) fn catch_up(&mut self, entry: EntryId, path: &Arc<str>) {
        let Some(file) = self.plan.file(entry) else {
            return;
        };
        if self.hashing.sender.is_none() || !self.output.is_on_disk() {
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
        if self.hashing.sender.is_none() {
            self.finish_file(entry, None);
        } else if self.hashing.finishing.insert(entry) {
            self.hashing.ask(ShaJob::Finish(entry));
        }
    }

    pub(super) fn on_sha(&mut self, report: ShaReport) {
        match report {
            ShaReport::Digest(entry, digest) => self.finish_file(entry, Some(digest)),
            ShaReport::Failed(error) => self.fail(disk_failure(&error, self.job.id)),
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
        for twin in self.hashing.twins.remove(&entry).unwrap_or_default() {
            self.copy_to_twin(twin, entry);
        }
    }

    /// An entry is the same file as `first`: it is copied as soon as that one is finished.
    pub(super) fn on_twin(&mut self, twin: EntryId, first: EntryId) {
        if self.hashing.finished.contains_key(&first) {
            self.copy_to_twin(twin, first);
        } else {
            self.hashing.twins.entry(first).or_default().push(twin);
        }
    }

    fn copy_to_twin(&mut self, twin: EntryId, first: EntryId) {
        let (Some(from), Some(to)) = (self.hashing.finished.get(&first), self.plan.entry(twin))
        else {
            return;
        };
        let work = Work::Copy {
            entry: twin,
            from: from.path.clone(),
            to: to.path.clone(),
            size: from.size,
        };
        self.hashing.copies += 1;
        self.send_work(work);
    }

    pub(super) fn on_copied(&mut self, twin: EntryId, result: Result<(), DiskError>) {
        self.hashing.copies -= 1;
        if let Err(error) = result {
            return self.fail(disk_failure(&error, self.job.id));
        }
        let Some((first, path)) = self.plan.twin(twin) else {
            return;
        };
        if let Some(from) = self.hashing.finished.get(&first) {
            let finished = FinishedFile {
                path,
                ..from.clone()
            };
            self.plan.finish_twin(twin, finished.size);
            self.record_finished(twin, finished);
        }
    }
}
