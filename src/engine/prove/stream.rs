//! Proved bytes on their way to standard output, put in order.
//!
//! Invariant: what was written is a beginning of the file, without a hole; and each job is reported,
//! but for those that wait when all is over.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::content::hash::Hasher;
use crate::engine::input::Input;
use crate::engine::prove::{Job, Outcome, ProvedJob, Shape, SinkError, done};

/// Proved bytes that arrive out of order may wait up to this many.
const REORDER_LIMIT: u64 = 24 << 20;

/// Proved bytes on their way to standard output, put in order.
pub struct Stream {
    out: Box<dyn Write + Send>,
    next: u64,
    waiting: BTreeMap<u64, ProvedJob>,
    waiting_bytes: u64,
    /// A write failed: what comes next has no place behind what is missing.
    has_failed: bool,
}

/// The digest of all that goes out, by a function besides SHA-256.
#[derive(Clone)]
pub struct Streamed {
    hasher: Arc<Mutex<Option<Hasher>>>,
}

impl Streamed {
    /// Of nothing so far; `None` for a function that is not known.
    pub fn new(code: u64) -> Option<Self> {
        let hasher = Hasher::new(code)?;
        Some(Self {
            hasher: Arc::new(Mutex::new(Some(hasher))),
        })
    }

    /// The same as a writer that passes on what it hashes.
    pub fn before(&self, out: impl Write + Send + 'static) -> impl Write + Send + 'static {
        Summing {
            out,
            sum: self.clone(),
        }
    }

    /// The digest of what has gone out; `None` if it was taken already.
    pub fn finish(&self) -> Option<Vec<u8>> {
        self.hasher().take().map(Hasher::finish)
    }

    fn hasher(&self) -> MutexGuard<'_, Option<Hasher>> {
        self.hasher.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Summing<W> {
    out: W,
    sum: Streamed,
}

impl<W: Write> Write for Summing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        if let Some(hasher) = self.sum.hasher().as_mut() {
            hasher.update(&bytes[..written]);
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Stream {
    /// A stream that begins at offset 0.
    pub fn new(out: Box<dyn Write + Send>) -> Self {
        Self {
            out,
            next: 0,
            waiting: BTreeMap::new(),
            waiting_bytes: 0,
            has_failed: false,
        }
    }

    pub(super) fn accept(
        &mut self,
        ProvedJob { job, sum }: ProvedJob,
        report: &mut dyn FnMut(Input),
    ) {
        let place = job.places.first();
        let offset = place.expect("bytes are asked for at a place").offset;
        if self.has_failed || offset < self.next || self.waiting.contains_key(&offset) {
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
        let job = Job { permit, ..job };
        self.waiting.insert(offset, ProvedJob { job, sum });
        while let Some(proved) = self.waiting.remove(&self.next) {
            self.waiting_bytes -= proved.job.len;
            self.emit(proved, report);
        }
    }

    fn emit(&mut self, proved: ProvedJob, report: &mut dyn FnMut(Input)) {
        let pieces = &proved.job.data;
        let written = pieces
            .iter()
            .try_for_each(|piece| self.out.write_all(piece))
            .and_then(|()| self.out.flush());
        match written {
            Ok(()) => self.next += proved.job.len,
            Err(_) => self.has_failed = true,
        }
        report(proved.written(written.map_err(SinkError::of_stream)));
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::content::cid::{Cid, Multihash, codec};
    use crate::engine::prove::Place;

    /// Takes nothing once, after so many writes.
    struct Flaky {
        taken: Arc<Mutex<Vec<u8>>>,
        until: usize,
    }

    impl Write for Flaky {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.until = self.until.wrapping_sub(1);
            if self.until == usize::MAX {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.taken.lock().expect("one thread").extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn proved(offset: u64, data: &'static [u8]) -> ProvedJob {
        let hash = Multihash::wrap(0, &[]).expect("an empty digest");
        let job = Job {
            task: 0,
            cid: Cid::new_v1(codec::RAW, hash),
            shape: Shape::Leaf,
            len: data.len() as u64,
            places: vec![Place {
                entry: 0,
                path: "".into(),
                offset,
            }],
            data: vec![Bytes::from_static(data)],
            read_at: None,
            permit: None,
        };
        ProvedJob { job, sum: None }
    }

    /// What was written of these, and what was said of each: `w`ritten, `d`ropped, `f`ailed.
    fn written(until: usize, jobs: &[(u64, &'static [u8])]) -> (Vec<u8>, String) {
        let taken = Arc::new(Mutex::new(Vec::new()));
        let out = Flaky {
            taken: taken.clone(),
            until,
        };
        let mut stream = Stream::new(Box::new(out));
        let mut said = String::new();
        for &(offset, data) in jobs {
            stream.accept(proved(offset, data), &mut |input| {
                said.push(match input {
                    Input::Done(done) => match done.outcome {
                        Outcome::Written { .. } => 'w',
                        Outcome::Dropped => 'd',
                        Outcome::SinkFailed(_) => 'f',
                        _ => '?',
                    },
                    _ => '?',
                });
            });
        }
        let taken = taken.lock().expect("one thread").clone();
        (taken, said)
    }

    #[test]
    fn out_of_order_comes_in_order() {
        let jobs: [(u64, &[u8]); 4] = [(3, b"d"), (0, b"ab"), (0, b"ab"), (2, b"c")];
        assert_eq!(written(9, &jobs), (b"abcd".to_vec(), "wdww".to_owned()));
    }

    #[test]
    fn what_goes_out_is_hashed() {
        const BLAKE3: u64 = 0x1e;
        let sum = Streamed::new(BLAKE3).expect("a function that is known");
        let mut out = sum.before(Vec::new());
        out.write_all(b"all of it").expect("written");
        let digest = blake3::hash(b"all of it");
        assert_eq!(sum.finish().as_deref(), Some(&digest.as_bytes()[..]));
        assert!(sum.finish().is_none() && Streamed::new(0x55).is_none());
    }

    #[test]
    fn nothing_is_written_behind_a_hole() {
        let jobs: [(u64, &[u8]); 5] = [(0, b"a"), (2, b"c"), (1, b"b"), (3, b"d"), (4, b"e")];
        assert_eq!(written(1, &jobs), (b"a".to_vec(), "wfdd".to_owned()));
    }
}
