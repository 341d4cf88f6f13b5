//! The thread that writes a file as it comes and sums it up on the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use bytes::Bytes;
use tokio::sync::mpsc::UnboundedSender;

use crate::disk::DiskError;
use crate::disk::part::PartFile;
use crate::disk::random_file::RandomFile;
use crate::engine::input::Input;
use crate::engine::prove::{Permit, Threads};
use crate::engine::whole::sums::{Summed, Summer, Sums, Wanted};

/// Bytes read at once from what is there already.
const PIECE: u64 = 512 << 10;

/// What the thread is asked to do.
pub enum Work {
    /// Begin with the first so many bytes of the part, which are there; 0 for a new file. Reports
    /// carry the number of this beginning.
    Begin {
        /// Bytes that are there.
        position: u64,
        /// Counts beginnings.
        number: u32,
    },
    /// Begin with a copy of a file on this machine, instead of anything that is there.
    Copy {
        /// The file.
        from: RandomFile,
        /// Counts beginnings.
        number: u32,
    },
    /// The next bytes.
    Write(Bytes, Permit),
    /// That was all.
    Finish,
}

/// What the thread reports.
pub enum Report {
    /// So many bytes from the beginning are written.
    Written {
        /// Bytes.
        position: u64,
        /// Since which beginning.
        number: u32,
    },
    /// What the file came to.
    Sums(Sums),
    /// The disk failed.
    Failed(DiskError),
}

/// The thread that writes, as others see it. It ends, whatever it is about, when this is dropped.
pub struct Desk {
    work: mpsc::Sender<Work>,
    is_stopped: Arc<AtomicBool>,
}

impl Desk {
    /// Asks for something. Answers, and failures, come as inputs.
    pub fn ask(&self, work: Work) {
        // The thread lives as long as this sender.
        let _ = self.work.send(work);
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.is_stopped.store(true, Ordering::Relaxed);
    }
}

/// Starts the thread.
pub fn spawn(
    part: PartFile,
    wanted: Wanted,
    results: UnboundedSender<Input>,
    threads: &mut Threads,
) -> Desk {
    let (work, queue) = mpsc::channel();
    let is_stopped = Arc::new(AtomicBool::new(false));
    let mut writer = Writer::new(part, wanted, is_stopped.clone());
    threads.spawn(move || {
        for work in queue {
            if let Some(report) = writer.report(work) {
                // The coordinator is gone only when the download is over.
                let _ = results.send(Input::Whole(report));
            }
        }
    });
    Desk { work, is_stopped }
}

/// What a file that is there comes to; `None` once it is stopped. Reads all of it, and writes
/// nothing.
pub fn sums_of(
    part: PartFile,
    wanted: Wanted,
    is_stopped: Arc<AtomicBool>,
) -> Result<Option<Sums>, DiskError> {
    let len = part.len()?;
    let mut reader = Writer::new(part, wanted, is_stopped);
    reader.read_to(len)?;
    reader.finish()
}

struct Writer {
    part: PartFile,
    number: u32,
    summer: Summer,
    is_stopped: Arc<AtomicBool>,
}

impl Writer {
    fn new(part: PartFile, wanted: Wanted, is_stopped: Arc<AtomicBool>) -> Self {
        Self {
            part,
            number: 0,
            summer: Summer::new(wanted),
            is_stopped,
        }
    }

    /// What is to be said of some work. After a failure nothing more is written: the bytes that
    /// failed are missing before those that come next.
    fn report(&mut self, work: Work) -> Option<Report> {
        self.take(work).unwrap_or_else(|error| {
            self.is_stopped.store(true, Ordering::Relaxed);
            Some(Report::Failed(error))
        })
    }

    fn take(&mut self, work: Work) -> Result<Option<Report>, DiskError> {
        match work {
            // What it belongs behind may not have been read, or written, to its end.
            _ if self.is_stopped() => Ok(None),
            Work::Begin { position, number } => {
                self.begin(number);
                self.part.set_len(position)?;
                self.read_to(position)?;
                Ok(None)
            }
            Work::Copy { from, number } => {
                self.begin(number);
                self.part.set_len(0)?;
                self.part.copy_from(&from)?;
                self.read_to(from.len())?;
                Ok(Some(self.written()))
            }
            Work::Write(bytes, _permit) => {
                self.part.write_at(self.summer.position(), &bytes)?;
                self.summer.push(bytes);
                Ok(Some(self.written()))
            }
            Work::Finish => Ok(self.finish()?.map(Report::Sums)),
        }
    }

    fn begin(&mut self, number: u32) {
        self.summer = self.summer.emptied();
        self.number = number;
    }

    fn written(&self) -> Report {
        Report::Written {
            position: self.summer.position(),
            number: self.number,
        }
    }

    /// Sums up what is there, as far as it is not stopped.
    fn read_to(&mut self, end: u64) -> Result<(), DiskError> {
        while self.summer.position() < end && !self.is_stopped() {
            let at = self.summer.position();
            let len = PIECE.min(end - at);
            let mut piece = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
            self.part.read_at(at, &mut piece)?;
            self.summer.push(Bytes::from(piece));
        }
        Ok(())
    }

    /// What all of it came to, if it is not stopped.
    fn finish(&mut self) -> Result<Option<Sums>, DiskError> {
        loop {
            let end = self.summer.position();
            let empty = self.summer.emptied();
            match std::mem::replace(&mut self.summer, empty).finish() {
                _ if self.is_stopped() => return Ok(None),
                Summed::Done(sums) => return Ok(Some(sums)),
                Summed::Again(summer) => self.summer = *summer,
            }
            self.read_to(end)?;
        }
    }

    fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::whole::Goal;

    /// What came behind bytes that were not read to their end has no place.
    #[test]
    fn a_stopped_thread_writes_nothing_more() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("part");
        std::fs::write(&path, b"what is here").expect("a part");
        let part = PartFile::open(&path).expect("readable").expect("a part");
        let is_stopped = Arc::new(AtomicBool::new(true));
        let mut writer = Writer::new(part, Wanted::of(&Goal::Nothing), is_stopped);
        let works = [
            Work::Begin {
                position: 12,
                number: 1,
            },
            Work::Write(Bytes::from_static(b" and more"), None),
        ];
        for work in works {
            assert!(writer.report(work).is_none());
        }
        assert_eq!(std::fs::read(&path).expect("readable"), b"what is here");
    }
}
