//! The threads that read leaves and hash them.

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use bytes::Bytes;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::content::cid::{Cid, codec};
use crate::content::{hash, leaf};
use crate::disk::DiskError;
use crate::disk::random_file::RandomFile;
use crate::store::Store;

/// More threads than this wait for the disk or the memory, not for each other.
const MAX_THREADS: usize = 8;
/// Jobs that wait for each thread.
const QUEUE: usize = 2;
/// Bytes of a job, about, and the most leaves in one: what a thread does between two answers.
pub const JOB_BYTES: u64 = 4 << 20;
/// As above.
pub const JOB_LEAVES: usize = 512;

/// Number of a file that is being proved.
pub type FileId = u64;

/// Bytes that should be in a file.
pub struct Expected {
    /// What they should be.
    pub what: What,
    /// Where.
    pub offset: u64,
    /// How many.
    pub len: u64,
    /// Whether it may be no leaf at all: then bytes that do not match say nothing.
    pub is_doubtful: bool,
}

/// What bytes should be.
pub enum What {
    /// Those of this leaf.
    Leaf(Cid),
    /// These, out of a node.
    Inline(Bytes),
}

/// Consecutive bytes of one file.
pub struct Job {
    /// The file.
    pub file: FileId,
    /// Its bytes.
    pub source: RandomFile,
    /// What they should be.
    pub expected: Vec<Expected>,
}

/// What became of a job.
pub struct Done {
    /// The file.
    pub file: FileId,
    /// Bytes that were hashed.
    pub bytes: u64,
    /// Those that are not what they should be.
    pub wrong: Vec<Expected>,
}

/// What a thread says of a job; a panic is passed on to who waits for the answer.
type Answer = thread::Result<Result<Done, DiskError>>;

/// The threads. They end when this is dropped.
pub struct Hashers {
    jobs: mpsc::Sender<(Job, OwnedSemaphorePermit)>,
    done: UnboundedReceiver<Answer>,
    room: Arc<Semaphore>,
    under_way: usize,
}

impl Hashers {
    /// Starts the threads; wrappings of odd leaves come from this store.
    pub fn start(store: &Store) -> Self {
        Self::each(|| {
            let mut hasher = Hasher {
                store: store.clone(),
                buffer: Vec::new(),
            };
            move |job| hasher.prove(job)
        })
    }

    /// Starts the threads, each with work of its own.
    fn each<W>(work: impl Fn() -> W) -> Self
    where
        W: FnMut(Job) -> Result<Done, DiskError> + Send + 'static,
    {
        let threads = thread::available_parallelism().map_or(2, usize::from);
        let threads = threads.clamp(1, MAX_THREADS);
        let (jobs, queue) = mpsc::channel();
        let queue = Arc::new(Mutex::new(queue));
        let (results, done) = unbounded_channel();
        for _ in 0..threads {
            let (queue, results, work) = (queue.clone(), results.clone(), work());
            thread::spawn(move || run(&queue, &results, work));
        }
        Self {
            jobs,
            done,
            room: Arc::new(Semaphore::new(threads * (QUEUE + 1))),
            under_way: 0,
        }
    }

    /// Hands a job over, as soon as there is room for it.
    pub async fn give(&mut self, job: Job) {
        // The semaphore is never closed.
        if let Ok(permit) = self.room.clone().acquire_owned().await {
            self.under_way += 1;
            // The threads live as long as this sender.
            let _ = self.jobs.send((job, permit));
        }
    }

    /// What a job came to, if one is done.
    pub fn look(&mut self) -> Option<Result<Done, DiskError>> {
        let answer = self.done.try_recv().ok()?;
        Some(self.settle(answer))
    }

    /// What the next job comes to; `None` if none is under way.
    pub async fn wait(&mut self) -> Option<Result<Done, DiskError>> {
        if self.under_way == 0 {
            return None;
        }
        let answer = self.done.recv().await?;
        Some(self.settle(answer))
    }

    fn settle(&mut self, answer: Answer) -> Result<Done, DiskError> {
        self.under_way -= 1;
        answer.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked))
    }
}

/// What one thread does.
fn run(
    queue: &Mutex<mpsc::Receiver<(Job, OwnedSemaphorePermit)>>,
    results: &UnboundedSender<Answer>,
    mut work: impl FnMut(Job) -> Result<Done, DiskError>,
) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((job, permit)) = next else { return };
        // After a panic the buffer is written anew, as after any job.
        let done = std::panic::catch_unwind(AssertUnwindSafe(|| work(job)));
        drop(permit);
        if results.send(done).is_err() {
            return;
        }
    }
}

/// What one thread holds.
struct Hasher {
    store: Store,
    buffer: Vec<u8>,
}

impl Hasher {
    fn prove(&mut self, job: Job) -> Result<Done, DiskError> {
        let Job {
            file,
            source,
            expected,
        } = job;
        let (mut bytes, mut wrong) = (0, Vec::new());
        for piece in expected {
            bytes += piece.len;
            if !self.is_right(&source, &piece)? {
                wrong.push(piece);
            }
        }
        Ok(Done { file, bytes, wrong })
    }

    fn is_right(&mut self, source: &RandomFile, piece: &Expected) -> Result<bool, DiskError> {
        let len = usize::try_from(piece.len).unwrap_or(usize::MAX);
        if self.buffer.len() < len {
            self.buffer.resize(len, 0);
        }
        match source.read_exact_at(piece.offset, &mut self.buffer[..len]) {
            Ok(()) => {}
            // Cut since it was opened.
            Err(DiskError::Io { source, .. }) if source.kind() == io::ErrorKind::UnexpectedEof => {
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        let found = &self.buffer[..len];
        Ok(match &piece.what {
            What::Inline(bytes) => found == bytes.as_ref(),
            What::Leaf(cid) => {
                leaf::rebuild(cid, piece.len, [found]).is_some() || self.is_odd_leaf(cid, found)
            }
        })
    }

    /// Whether these are the bytes of a leaf whose wrapping is kept, as no usual one fits.
    fn is_odd_leaf(&self, cid: &Cid, found: &[u8]) -> bool {
        if cid.codec() != codec::DAG_PB {
            return false;
        }
        let kept = self.store.wrapping(&cid.hash().to_bytes()).wait();
        // Without it nothing is proved, and what the store's trouble is others will say.
        kept.ok().flatten().is_some_and(|wrapping| {
            let parts = [&wrapping.prefix, found, &wrapping.suffix];
            hash::matches(cid.hash(), parts)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever waits is told, be the other threads alive.
    #[test]
    fn a_panic_reaches_who_waits() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let waits = || {
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            runtime.expect("a runtime").block_on(async {
                let mut hashers =
                    Hashers::each(|| |_: Job| -> Result<Done, DiskError> { panic!("a bug") });
                let job = Job {
                    file: 0,
                    source: RandomFile::open(file.path()).expect("it is there"),
                    expected: Vec::new(),
                };
                hashers.give(job).await;
                hashers.wait().await.is_some()
            })
        };
        assert!(std::panic::catch_unwind(AssertUnwindSafe(waits)).is_err());
    }
}
