//! The thread that writes a file as it comes and sums it up on the way.

use std::sync::mpsc;

use bytes::Bytes;
use tokio::sync::mpsc::UnboundedSender;

use crate::content::cid::Cid;
use crate::content::hash::{FileSha256, Hasher};
use crate::content::importer::{Importer, Profile};
use crate::disk::DiskError;
use crate::disk::part::PartFile;
use crate::engine::input::Input;
use crate::engine::prove::{Permit, Threads};

/// Bytes read at once from what is there already.
const PIECE: u64 = 256 << 10;

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

/// What a file came to.
pub struct Sums {
    /// Its SHA-256.
    pub sha256: [u8; 32],
    /// Its digest by the function of the checksum that was asked for.
    pub digest: Option<Vec<u8>>,
    /// The name of the importer profile under which it has the root that is wanted.
    pub profile: Option<&'static str>,
}

/// What is to be found out on the way.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Multihash code of a checksum besides SHA-256.
    pub function: Option<u64>,
    /// A root that the file may have under one of the profiles.
    pub root: Option<Cid>,
}

/// Starts the thread. It ends when its sender is dropped.
pub fn spawn(
    part: PartFile,
    wanted: Wanted,
    results: UnboundedSender<Input>,
    threads: &mut Threads,
) -> mpsc::Sender<Work> {
    let (sender, queue) = mpsc::channel();
    threads.spawn(move || {
        let mut writer = Writer::new(part, wanted);
        for work in queue {
            let report = match writer.take(work) {
                Ok(report) => report,
                Err(error) => Some(Report::Failed(error)),
            };
            if let Some(report) = report {
                // The coordinator is gone only when the download is over.
                let _ = results.send(Input::Whole(report));
            }
        }
    });
    sender
}

struct Writer {
    part: PartFile,
    wanted: Wanted,
    profiles: Vec<Profile>,
    position: u64,
    number: u32,
    sha256: FileSha256,
    digest: Option<Hasher>,
    importer: Importer,
}

impl Writer {
    fn new(part: PartFile, wanted: Wanted) -> Self {
        let profiles = wanted
            .root
            .as_ref()
            .map(Profile::candidates)
            .unwrap_or_default();
        Self {
            part,
            position: 0,
            number: 0,
            sha256: FileSha256::new(),
            digest: wanted.function.and_then(Hasher::new),
            importer: Importer::new(&profiles),
            profiles,
            wanted,
        }
    }

    fn take(&mut self, work: Work) -> Result<Option<Report>, DiskError> {
        match work {
            Work::Begin { position, number } => {
                *self = Self::new(self.part.clone(), self.wanted.clone());
                self.number = number;
                self.part.set_len(position)?;
                self.read_to(position)?;
                Ok(None)
            }
            Work::Write(bytes, _permit) => {
                self.part.write_at(self.position, &bytes)?;
                self.sum(&bytes);
                Ok(Some(Report::Written {
                    position: self.position,
                    number: self.number,
                }))
            }
            Work::Finish => Ok(Some(Report::Sums(self.finish()))),
        }
    }

    /// Sums up what is there.
    fn read_to(&mut self, end: u64) -> Result<(), DiskError> {
        while self.position < end {
            let len = PIECE.min(end - self.position);
            let mut piece = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
            self.part.read_at(self.position, &mut piece)?;
            self.sum(&Bytes::from(piece));
        }
        Ok(())
    }

    fn sum(&mut self, bytes: &Bytes) {
        self.position += bytes.len() as u64;
        self.sha256.update(bytes);
        if let Some(digest) = &mut self.digest {
            digest.update(bytes);
        }
        if !self.profiles.is_empty() {
            self.importer.push(bytes);
        }
    }

    fn finish(&mut self) -> Sums {
        let empty = Self::new(self.part.clone(), self.wanted.clone());
        let done = std::mem::replace(self, empty);
        let import = done.importer.finish();
        let matching = done.wanted.root.as_ref().and_then(|wanted| {
            let is_wanted = |root: &Option<_>| {
                root.as_ref()
                    .is_some_and(|root: &crate::content::importer::Root| root.is(wanted))
            };
            let index = import.roots.iter().position(is_wanted)?;
            done.profiles.get(index).map(Profile::name)
        });
        Sums {
            sha256: done.sha256.finish(),
            digest: done.digest.map(Hasher::finish),
            profile: matching,
        }
    }
}
