//! The plain threads that touch file bytes: one proves, one writes, one hashes the whole file.
//!
//! Only the proving thread hands bytes to the sink. Results go back to the coordinator as values;
//! the threads own no plan and decide nothing.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Write};
use std::sync::mpsc;
use std::thread;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::UnboundedSender;

use crate::content::cid::{Cid, codec};
use crate::content::hash::{self, FileSha256};
use crate::content::leaf;
use crate::content::unixfs::{self, Node};
use crate::disk::DiskError;
use crate::disk::part::PartFile;
use crate::engine::input::{Input, TaskId};

/// Proved bytes that arrive out of order on their way to a stream may wait up to this many.
const REORDER_LIMIT: u64 = 32 << 20;

/// The share of the byte budget that received data holds until it is proved and written.
pub type Permit = Option<OwnedSemaphorePermit>;

/// Bytes to be proved and written.
pub struct Job {
    /// Who fetched them.
    pub task: TaskId,
    /// The link that they must satisfy.
    pub cid: Cid,
    /// What they are.
    pub shape: Shape,
    /// File bytes that the link stands for.
    pub len: u64,
    /// Where they belong in the file.
    pub offsets: Vec<u64>,
    /// The bytes, in order.
    pub data: Vec<Bytes>,
    /// Their share of the budget.
    pub permit: Permit,
}

/// What the bytes of a job are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A whole block.
    Block,
    /// The file bytes of a leaf block.
    Leaf,
    /// File bytes out of a block that is proved already.
    Proved,
}

/// What became of a job.
pub enum Outcome {
    /// Proved and written; the bytes are handed on for the whole-file hash.
    Written {
        /// The bytes.
        data: Vec<Bytes>,
        /// Their share of the budget.
        permit: Permit,
    },
    /// They are not what the link says.
    Disproved,
    /// A sound block that holds no plain leaf of the expected length.
    Node(Bytes),
    /// Proved, but there was no room to keep them until their turn came.
    Dropped,
    /// The sink failed.
    SinkFailed(SinkError),
}

/// Where proved bytes go.
pub enum Sink {
    /// A part file, at any offset.
    Part(PartFile),
    /// Standard output, in order.
    Stream(Stream),
}

/// A sink that failed.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The part file.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The stream, for another reason than a reader that went away.
    #[error("cannot write to standard output")]
    Stream(#[source] io::Error),
    /// The reader of the stream went away.
    #[error("the reader of standard output went away")]
    Closed,
}

/// Proved bytes on their way to standard output, put in order.
pub struct Stream {
    out: Box<dyn Write + Send>,
    next: u64,
    waiting: BTreeMap<u64, ProvedJob>,
    waiting_bytes: u64,
}

impl Stream {
    /// A stream that begins at offset 0.
    pub fn new(out: Box<dyn Write + Send>) -> Self {
        Self {
            out,
            next: 0,
            waiting: BTreeMap::new(),
            waiting_bytes: 0,
        }
    }
}

/// Starts the thread that proves and, behind it, the one that writes. They end when the sender is
/// dropped.
pub fn spawn_prover(mut sink: Sink, results: UnboundedSender<Input>) -> mpsc::Sender<Job> {
    let (sender, jobs) = mpsc::channel();
    let (to_sink, proved) = mpsc::channel();
    let prover = Prover {
        to_sink,
        results: results.clone(),
    };
    thread::spawn(move || jobs.into_iter().for_each(|job| prover.prove(job)));
    thread::spawn(move || {
        for job in proved {
            sink.accept(job, &mut |input| {
                // The coordinator is gone only when the download is over.
                let _ = results.send(input);
            });
        }
    });
    sender
}

/// Proves bytes and hands them on to the sink.
struct Prover {
    to_sink: mpsc::Sender<ProvedJob>,
    results: UnboundedSender<Input>,
}

/// A job whose bytes are proved, and are exactly the file bytes.
struct ProvedJob(Job);

impl Prover {
    fn prove(&self, mut job: Job) {
        let outcome = match payload(&mut job) {
            Payload::Proved => {
                // The sink is gone only when the download is over.
                let _ = self.to_sink.send(ProvedJob(job));
                return;
            }
            Payload::Disproved => Outcome::Disproved,
            Payload::Node(block) => Outcome::Node(block),
        };
        // As is the coordinator.
        let _ = self.results.send(done(job, outcome));
    }
}

impl Sink {
    fn accept(&mut self, proved: ProvedJob, report: &mut dyn FnMut(Input)) {
        match self {
            Sink::Part(part) => {
                let written = write_everywhere(part, &proved.0).map_err(SinkError::from);
                report(proved.written(written));
            }
            Sink::Stream(stream) => stream.accept(proved, report),
        }
    }
}

impl ProvedJob {
    fn written(self, result: Result<(), SinkError>) -> Input {
        let Self(mut job) = self;
        let outcome = match result {
            Ok(()) => Outcome::Written {
                data: std::mem::take(&mut job.data),
                permit: job.permit.take(),
            },
            Err(error) => Outcome::SinkFailed(error),
        };
        done(job, outcome)
    }
}

fn done(job: Job, outcome: Outcome) -> Input {
    Input::Done {
        task: job.task,
        cid: job.cid,
        offsets: job.offsets,
        len: job.len,
        shape: job.shape,
        outcome,
    }
}

enum Payload {
    Proved,
    Disproved,
    Node(Bytes),
}

/// Proves the bytes of a job and leaves exactly the file bytes in `job.data`.
fn payload(job: &mut Job) -> Payload {
    match job.shape {
        Shape::Proved => Payload::Proved,
        Shape::Leaf => match leaf::rebuild(&job.cid, job.len, slices(&job.data)) {
            Some(_) => Payload::Proved,
            None => Payload::Disproved,
        },
        Shape::Block if !hash::matches(job.cid.hash(), slices(&job.data)) => Payload::Disproved,
        Shape::Block => unwrap_block(job),
    }
}

fn unwrap_block(job: &mut Job) -> Payload {
    let total: u64 = job.data.iter().map(|part| part.len() as u64).sum();
    if job.cid.codec() == codec::RAW && total == job.len {
        return Payload::Proved;
    }
    let block = concat(&job.data);
    match unixfs::node(job.cid.codec(), &block) {
        Ok(Node::File(file)) if file.children.is_empty() && file.inline.len() as u64 == job.len => {
            job.data = vec![block.slice(file.inline)];
            Payload::Proved
        }
        // The coordinator names what is wrong with it.
        _ => Payload::Node(block),
    }
}

fn write_everywhere(part: &PartFile, job: &Job) -> Result<(), DiskError> {
    for &offset in &job.offsets {
        let mut at = offset;
        for piece in &job.data {
            part.write_at(at, piece)?;
            at += piece.len() as u64;
        }
    }
    Ok(())
}

impl Stream {
    fn accept(&mut self, ProvedJob(job): ProvedJob, report: &mut dyn FnMut(Input)) {
        let Some(&offset) = job.offsets.first() else {
            return;
        };
        if offset < self.next || self.waiting.contains_key(&offset) {
            return report(done(job, Outcome::Dropped));
        }
        // Bytes out of a node cannot be dropped: the plan holds no piece any more that would ask
        // for them again.
        let may_drop = offset > self.next && job.shape != Shape::Proved;
        if may_drop && self.waiting_bytes + job.len > REORDER_LIMIT {
            return report(done(job, Outcome::Dropped));
        }
        self.waiting_bytes += job.len;
        // A waiting job gives its share of the budget back: what it waits for may need it.
        let permit = job.permit.filter(|_| offset == self.next);
        let proved = ProvedJob(Job { permit, ..job });
        self.waiting.insert(offset, proved);
        while let Some(proved) = self.waiting.remove(&self.next) {
            self.waiting_bytes -= proved.0.len;
            self.emit(proved, report);
        }
    }

    fn emit(&mut self, proved: ProvedJob, report: &mut dyn FnMut(Input)) {
        let written = proved
            .0
            .data
            .iter()
            .try_for_each(|piece| self.out.write_all(piece))
            .and_then(|()| self.out.flush());
        self.next += proved.0.len;
        report(proved.written(written.map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => SinkError::Closed,
            _ => SinkError::Stream(error),
        })));
    }
}

/// What the whole-file hash is asked to do.
pub enum ShaJob {
    /// The next bytes of the file.
    Feed(Vec<Bytes>, Permit),
    /// Read the part up to this offset.
    ReadTo(u64),
    /// Report the state as it is now.
    Save,
    /// Report the digest.
    Finish,
}

/// What the whole-file hash reports.
pub enum ShaReport {
    /// The mid-state, restorable; `None` after a failure.
    State(Option<Vec<u8>>),
    /// The digest.
    Digest([u8; 32]),
    /// The part could not be read.
    Failed(DiskError),
}

/// Starts the thread that hashes the whole file as its prefix grows. It ends when its sender is
/// dropped.
pub fn spawn_sha(
    sha: FileSha256,
    part: Option<PartFile>,
    results: UnboundedSender<Input>,
) -> mpsc::Sender<ShaJob> {
    let (sender, jobs) = mpsc::channel();
    let hashing = Hashing {
        sha: Some(sha),
        part,
        jobs,
        later: VecDeque::new(),
        results,
    };
    thread::spawn(move || hashing.run());
    sender
}

/// The whole-file hash, on its thread.
struct Hashing {
    /// `None` once a read has failed: what came after would be hashed at the wrong place.
    sha: Option<FileSha256>,
    part: Option<PartFile>,
    jobs: mpsc::Receiver<ShaJob>,
    /// Jobs that came during a long read.
    later: VecDeque<ShaJob>,
    results: UnboundedSender<Input>,
}

/// After so many bytes a long read looks whether somebody waits for the state.
const READ_SLICE: u64 = 8 << 20;

impl Hashing {
    fn run(mut self) {
        while let Some(job) = self.next() {
            match job {
                ShaJob::Feed(data, _permit) => {
                    if let Some(sha) = &mut self.sha {
                        data.iter().for_each(|piece| sha.update(piece));
                    }
                }
                ShaJob::ReadTo(end) => self.read_to(end),
                ShaJob::Save => self.save(),
                ShaJob::Finish => {
                    if let Some(sha) = self.sha.clone() {
                        self.report(ShaReport::Digest(sha.finish()));
                    }
                }
            }
        }
    }

    fn next(&mut self) -> Option<ShaJob> {
        self.later.pop_front().or_else(|| self.jobs.recv().ok())
    }

    fn read_to(&mut self, end: u64) {
        while let (Some(sha), Some(part)) = (&mut self.sha, &self.part)
            && sha.position() < end
        {
            let slice_end = end.min(sha.position() + READ_SLICE);
            if let Err(error) = read_to(sha, part, slice_end) {
                self.sha = None;
                return self.report(ShaReport::Failed(error));
            }
            self.answer_between();
        }
    }

    /// A checkpoint, and with it a pause, does not wait for the end of a long read.
    fn answer_between(&mut self) {
        while let Ok(job) = self.jobs.try_recv() {
            match job {
                ShaJob::Save => self.save(),
                job => self.later.push_back(job),
            }
        }
    }

    fn save(&self) {
        self.report(ShaReport::State(self.sha.as_ref().map(FileSha256::save)));
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

/// The parts as slices, for the incremental hashes.
pub fn slices(data: &[Bytes]) -> impl Iterator<Item = &[u8]> + Clone {
    data.iter().map(|piece| piece.as_ref())
}

/// One contiguous buffer of the parts; no copy if there is only one.
pub fn concat(data: &[Bytes]) -> Bytes {
    match data {
        [one] => one.clone(),
        many => many.concat().into(),
    }
}
