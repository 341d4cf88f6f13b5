//! The thread that keeps the sums of whole files as their prefixes grow.
//!
//! It hashes what nobody else has hashed: bytes that come alone, and those that came out of order,
//! which it reads again.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, mpsc};

use bytes::Bytes;
use tokio::sync::mpsc::UnboundedSender;

use crate::content::hash::FileSha256;
use crate::disk::DiskError;
use crate::disk::part::PartFile;
use crate::engine::input::Input;
use crate::engine::output::Output;
use crate::engine::plan::EntryId;
use crate::engine::prove::{FileSum, Permit, Threads};

/// What the thread is asked to do.
pub enum ShaJob {
    /// Go on from this state: somebody has hashed all before. Without it, a file begins at its
    /// first byte.
    GoOn(FileSum),
    /// The next bytes of a file.
    Feed(EntryId, Vec<Bytes>, Permit),
    /// Read a file up to this offset.
    ReadTo {
        /// The file.
        entry: EntryId,
        /// Where it is in the tree.
        path: Arc<str>,
        /// Up to here.
        end: u64,
    },
    /// Report the states of all unfinished files as they are now.
    Save,
    /// Report the digest of a file, and forget it.
    Finish(EntryId),
}

/// What the thread reports.
pub enum ShaReport {
    /// The mid-states of all unfinished files, restorable.
    States(Vec<(EntryId, Vec<u8>)>),
    /// The digest of a file.
    Digest(EntryId, [u8; 32]),
    /// There is none of a file: an earlier failure to read it was reported.
    NoDigest(EntryId),
    /// A file could not be read.
    Failed(DiskError),
}

/// Starts the thread. It ends when its sender is dropped.
pub fn spawn_sha(
    output: Output,
    results: UnboundedSender<Input>,
    threads: &mut Threads,
) -> mpsc::Sender<ShaJob> {
    let (sender, jobs) = mpsc::channel();
    let hashing = Hashing {
        files: HashMap::new(),
        output,
        jobs,
        later: VecDeque::new(),
        results,
    };
    threads.spawn(move || hashing.run());
    sender
}

/// The hashes of whole files, on their thread.
struct Hashing {
    /// `None` once a read has failed: what came after would be hashed at the wrong place.
    files: HashMap<EntryId, Option<FileSha256>>,
    output: Output,
    jobs: mpsc::Receiver<ShaJob>,
    /// Jobs that came during a long read.
    later: VecDeque<ShaJob>,
    results: UnboundedSender<Input>,
}

/// After so many bytes a long read looks whether somebody waits for the states.
const READ_SLICE: u64 = 8 << 20;

impl Hashing {
    fn run(mut self) {
        while let Some(job) = self.next() {
            match job {
                ShaJob::GoOn(FileSum { entry, sha }) => {
                    if let Some(file) = self.file(entry) {
                        *file = sha;
                    }
                }
                ShaJob::Feed(entry, data, _permit) => {
                    if let Some(sha) = self.file(entry) {
                        data.iter().for_each(|piece| sha.update(piece));
                    }
                }
                ShaJob::ReadTo { entry, path, end } => self.read_to(entry, &path, end),
                ShaJob::Save => self.save(),
                ShaJob::Finish(entry) => self.finish(entry),
            }
        }
    }

    fn next(&mut self) -> Option<ShaJob> {
        self.later.pop_front().or_else(|| self.jobs.recv().ok())
    }

    fn file(&mut self, entry: EntryId) -> Option<&mut FileSha256> {
        let file = self.files.entry(entry);
        file.or_insert_with(|| Some(FileSha256::default())).as_mut()
    }

    fn read_to(&mut self, entry: EntryId, path: &str, end: u64) {
        let part = match self.output.open(path) {
            Ok(part) => part,
            Err(error) => return self.failed(entry, error),
        };
        while let Some(sha) = self.file(entry)
            && sha.position() < end
        {
            let slice_end = end.min(sha.position() + READ_SLICE);
            if let Err(error) = read_to(sha, &part, slice_end) {
                return self.failed(entry, error);
            }
            if !self.answer_between() {
                return;
            }
        }
    }

    fn failed(&mut self, entry: EntryId, error: DiskError) {
        self.files.insert(entry, None);
        self.report(ShaReport::Failed(error));
    }

    /// A checkpoint, and with it a pause, does not wait for the end of a long read; nor does one who
    /// wants no answer any more: then it is `false`.
    fn answer_between(&mut self) -> bool {
        loop {
            match self.jobs.try_recv() {
                Ok(ShaJob::Save) => self.save(),
                Ok(job) => self.later.push_back(job),
                Err(error) => return error != mpsc::TryRecvError::Disconnected,
            }
        }
    }

    fn save(&self) {
        let states = self.files.iter().filter_map(|(&entry, sha)| {
            let sha = sha.as_ref()?;
            Some((entry, sha.save()))
        });
        self.report(ShaReport::States(states.collect()));
    }

    fn finish(&mut self, entry: EntryId) {
        let sha = self.files.remove(&entry);
        let sha = sha.unwrap_or_else(|| Some(FileSha256::default()));
        self.report(match sha {
            Some(sha) => ShaReport::Digest(entry, sha.finish()),
            None => ShaReport::NoDigest(entry),
        });
    }

    fn report(&self, report: ShaReport) {
        // The coordinator is gone only when the download is over.
        let _ = self.results.send(Input::Sha(report));
    }
}

fn read_to(sha: &mut FileSha256, part: &PartFile, end: u64) -> Result<(), DiskError> {
    let mut buffer = vec![0; 256 << 10];
    while sha.position() < end {
        let len = buffer
            .len()
            .min(usize::try_from(end - sha.position()).unwrap_or(usize::MAX));
        part.read_at(sha.position(), &mut buffer[..len])?;
        sha.update(&buffer[..len]);
    }
    Ok(())
}
