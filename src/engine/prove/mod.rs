//! The plain threads that touch file bytes: one proves, one writes, one keeps the sums of whole
//! files and reads what did not come in order.
//!
//! Only the proving thread hands bytes to the sink. Results go back to the coordinator as values;
//! the threads own no plan and decide nothing.

mod follow;
mod sha;
mod stream;

use std::io;
use std::sync::{Arc, mpsc};
use std::thread;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::UnboundedSender;

use crate::content::cid::{Cid, codec};
use crate::content::hash::{self, FileSha256};
use crate::content::leaf;
use crate::content::unixfs::{self, Node};
use crate::disk::DiskError;
use crate::engine::input::{Done, Input, TaskId};
use crate::engine::local::LocalFiles;
use crate::engine::output::Writer;
use crate::engine::plan::EntryId;

pub use follow::FileSum;
pub use sha::{ShaJob, ShaReport, spawn_sha};
pub use stream::{Stream, Streamed};

/// The share of the byte budget that received data holds until it is proved and written.
pub type Permit = Option<OwnedSemaphorePermit>;

/// Threads that hold a part of the output open.
#[derive(Debug, Default)]
pub struct Threads(Vec<thread::JoinHandle<()>>);

impl Threads {
    /// Starts one more.
    pub fn spawn(&mut self, work: impl FnOnce() + Send + 'static) {
        self.0.retain(|thread| !thread.is_finished());
        self.0.push(thread::spawn(work));
    }

    /// Waits until all have ended. Blocks.
    pub fn join(self) {
        for thread in self.0 {
            if let Err(panicked) = thread.join() {
                std::panic::resume_unwind(panicked);
            }
        }
    }
}

/// What the proving thread is asked to do.
pub enum Work {
    /// Prove bytes and write them.
    Prove(Job),
    /// Copy a file that is finished to another place in the tree.
    Copy {
        /// The file to be made.
        entry: EntryId,
        /// The file that is there.
        from: Arc<str>,
        /// Where the copy goes.
        to: Arc<str>,
        /// How long it is.
        size: u64,
    },
    /// Let a file that has nothing yet share the blocks of a local one.
    Share(Share),
}

/// A local file whose blocks a new file is to share.
pub struct Share {
    /// Whose local files these are.
    pub provider: usize,
    /// The local files.
    pub from: Arc<LocalFiles>,
    /// Which of them.
    pub from_path: String,
    /// The new file.
    pub entry: EntryId,
    /// Where it is in the tree.
    pub path: Arc<str>,
    /// How long it is to be at the most.
    pub size: u64,
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub entry: EntryId,
    /// Where the file is in the tree.
    pub path: Arc<str>,
    /// Offset in the file.
    pub offset: u64,
}

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
    /// Where they belong.
    pub places: Vec<Place>,
    /// The bytes, in order.
    pub data: Vec<Bytes>,
    /// Where they were read from, if that was one of these places: there they need no writing.
    pub read_at: Option<(EntryId, u64)>,
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
        /// The sum of their file up to their end, if it came with the proof.
        sum: Option<FileSum>,
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
    /// A disk, at any offset of any file.
    Disk(Writer),
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

impl SinkError {
    /// Of a stream that cannot be written.
    pub fn of_stream(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Stream(error),
        }
    }
}

/// Starts the thread that proves and, behind it, the one that writes. They end when the sender is
/// dropped.
///
/// `sum` is that of a file up to where it has come, if anybody wants sums: as long as the bytes of
/// a file come in order, the proving thread takes them into its sum in the same pass.
pub fn spawn_prover(
    mut sink: Sink,
    sum: Option<FileSum>,
    results: UnboundedSender<Input>,
    threads: &mut Threads,
) -> mpsc::Sender<Work> {
    let (sender, queue) = mpsc::channel();
    let (to_sink, proved) = mpsc::channel();
    let mut prover = Prover {
        sum,
        to_sink,
        results: results.clone(),
    };
    threads.spawn(move || queue.into_iter().for_each(|work| prover.take(work)));
    threads.spawn(move || {
        for work in proved {
            sink.accept(work, &mut |input| {
                // The coordinator is gone only when the download is over.
                let _ = results.send(input);
            });
        }
    });
    sender
}

/// Proves bytes and hands them on to the sink.
struct Prover {
    /// The sum of the file whose bytes come in order, up to where they have come.
    sum: Option<FileSum>,
    to_sink: mpsc::Sender<SinkWork>,
    results: UnboundedSender<Input>,
}

/// What the writing thread is asked to do.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all work is to write, and a box for each would cost more than the space"
)]
enum SinkWork {
    Write(ProvedJob),
    Share(Share),
    Copy {
        entry: EntryId,
        from: Arc<str>,
        to: Arc<str>,
        size: u64,
    },
}

/// A job whose bytes are proved, and are exactly the file bytes.
struct ProvedJob {
    job: Job,
    /// The sum of their file up to their end, if it came with the proof.
    sum: Option<FileSum>,
}

impl Prover {
    fn take(&mut self, work: Work) {
        let mut job = match work {
            Work::Prove(job) => job,
            Work::Copy {
                entry,
                from,
                to,
                size,
            } => {
                let copy = SinkWork::Copy {
                    entry,
                    from,
                    to,
                    size,
                };
                // The sink is gone only when the download is over, and so is the coordinator.
                let _ = self.to_sink.send(copy);
                return;
            }
            Work::Share(share) => {
                let _ = self.to_sink.send(SinkWork::Share(share));
                return;
            }
        };
        // A raw block that needs no proof any more is a whole file, whose sum its link says.
        let has_sum = job.shape == Shape::Proved && hash::sha256_of_raw(&job.cid).is_some();
        let sum = self.sum.as_mut().filter(|_| !has_sum);
        let mut sum = sum.and_then(|sum| sum.follow(&job.places));
        let outcome = match payload(&mut job, sum.as_deref_mut()) {
            Payload::Proved => {
                let sum = sum.and_then(|sum| sum.after(&job));
                let _ = self.to_sink.send(SinkWork::Write(ProvedJob { job, sum }));
                return;
            }
            Payload::Disproved => Outcome::Disproved,
            Payload::Node(block) => Outcome::Node(block),
        };
        let _ = self.results.send(done(job, outcome));
    }
}

impl Sink {
    fn accept(&mut self, work: SinkWork, report: &mut dyn FnMut(Input)) {
        match (work, self) {
            (SinkWork::Write(proved), Sink::Disk(writer)) => {
                let written = write_everywhere(writer, &proved.job).map_err(SinkError::from);
                report(proved.written(written));
            }
            (SinkWork::Write(proved), Sink::Stream(stream)) => stream.accept(proved, report),
            (
                SinkWork::Copy {
                    entry,
                    from,
                    to,
                    size,
                },
                Sink::Disk(writer),
            ) => {
                let result = writer.copy(&from, &to, size);
                report(Input::Copied { entry, result });
            }
            (SinkWork::Share(share), Sink::Disk(writer)) => {
                let result = writer.share(&share);
                report(Input::Shared {
                    provider: share.provider,
                    entry: share.entry,
                    result,
                });
            }
            // A stream has no second file.
            (SinkWork::Copy { .. } | SinkWork::Share(_), Sink::Stream(_)) => {}
        }
    }
}

impl ProvedJob {
    fn written(self, result: Result<(), SinkError>) -> Input {
        let Self { mut job, sum } = self;
        let outcome = match result {
            Ok(()) => Outcome::Written {
                data: std::mem::take(&mut job.data),
                sum,
                permit: job.permit.take(),
            },
            Err(error) => Outcome::SinkFailed(error),
        };
        done(job, outcome)
    }
}

fn done(job: Job, outcome: Outcome) -> Input {
    Input::Done(Done {
        task: job.task,
        cid: job.cid,
        places: job.places,
        len: job.len,
        shape: job.shape,
        outcome,
    })
}

enum Payload {
    Proved,
    Disproved,
    Node(Bytes),
}

/// Proves the bytes of a job and leaves exactly the file bytes in `job.data`. Takes them into the
/// sum of their file where that can be done in the same pass.
fn payload(job: &mut Job, sum: Option<&mut FileSum>) -> Payload {
    match job.shape {
        _ if !is_right(job, sum.map(|sum| &mut sum.sha)) => Payload::Disproved,
        Shape::Block => unwrap_block(job),
        Shape::Leaf | Shape::Proved => Payload::Proved,
    }
}

/// Whether the bytes are what the link says.
fn is_right(job: &Job, sum: Option<&mut FileSha256>) -> bool {
    let hash = job.cid.hash();
    let parts = slices(&job.data);
    match (job.shape, sum) {
        (Shape::Proved, None) => true,
        (Shape::Proved, Some(sum)) => {
            parts.for_each(|part| sum.update(part));
            true
        }
        (Shape::Leaf, None) => leaf::rebuild(&job.cid, job.len, parts).is_some(),
        (Shape::Leaf, Some(sum)) => leaf::rebuild_in_file(&job.cid, job.len, parts, sum).is_some(),
        (Shape::Block, Some(sum)) if is_raw_leaf(job) => {
            hash::matches_in_file(hash, [&[]; 2], parts, sum)
        }
        (Shape::Block, _) => hash::matches(hash, parts),
    }
}

fn is_raw_leaf(job: &Job) -> bool {
    let total: u64 = job.data.iter().map(|part| part.len() as u64).sum();
    job.cid.codec() == codec::RAW && total == job.len
}

fn unwrap_block(job: &mut Job) -> Payload {
    if is_raw_leaf(job) {
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

fn write_everywhere(writer: &mut Writer, job: &Job) -> Result<(), DiskError> {
    let is_there = |place: &&Place| job.read_at == Some((place.entry, place.offset));
    let mut missing = job.places.iter().filter(|place| !is_there(place));
    missing.try_for_each(|place| writer.write(place, &job.data))
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
