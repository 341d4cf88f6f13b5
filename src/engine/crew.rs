//! Several hashes of the same bytes, side by side: the sum of a file and its roots under importer
//! profiles, each on a thread of its own once the file is worth it.
//!
//! Reads and decides nothing. Invariant: a thread has at most [`QUEUE`] batches waiting, and a batch
//! is shared by all of them, however large the file is.

use std::mem;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use bytes::Bytes;

use crate::content::hash::{FileSha256, Hasher};
use crate::content::importer::{Importer, Profile, Root};

/// Fewer bytes than this are hashed where they come: threads would cost more than they save.
const WORTH_THREADS: u64 = 4 << 20;
/// Bytes that are handed on together.
const BATCH: usize = 256 << 10;
/// Batches that wait for each thread.
const QUEUE: usize = 3;

type Batch = Arc<[Bytes]>;

/// What the bytes of a file came to.
#[derive(Debug)]
pub struct Totals {
    /// How many there are.
    pub size: u64,
    /// Their SHA-256, if it was asked for.
    pub sha256: Option<[u8; 32]>,
    /// Their digest by another function, if one was asked for.
    pub digest: Option<Vec<u8>>,
    /// For each profile the root; `None` where the file is more than the profile can hold.
    pub roots: Vec<Option<Root>>,
}

/// Hashes at work on one file.
pub struct Crew {
    position: u64,
    batch: Vec<Bytes>,
    batch_len: usize,
    /// Whether each hash has its thread.
    is_spread: bool,
    sha256: Option<Side<FileSha256>>,
    digest: Option<Side<Hasher>>,
    roots: usize,
    /// With the places of their profiles.
    importers: Vec<(Vec<usize>, Side<Importer>)>,
}

impl Crew {
    /// Finds the roots under these profiles. Those that cut alike share a thread, as they share
    /// the work.
    pub fn new(profiles: &[Profile]) -> Self {
        let mut groups: Vec<(Vec<usize>, Vec<Profile>)> = Vec::new();
        for (index, profile) in profiles.iter().enumerate() {
            let known =
                |(_, group): &&mut (_, Vec<Profile>)| group[0].chunker() == profile.chunker();
            match groups.iter_mut().find(known) {
                Some((places, group)) => {
                    places.push(index);
                    group.push(*profile);
                }
                None => groups.push((vec![index], vec![*profile])),
            }
        }
        let importers = groups
            .into_iter()
            .map(|(places, group)| (places, Side::Here(Importer::new(&group), Importer::push)));
        Self {
            position: 0,
            batch: Vec::new(),
            batch_len: 0,
            is_spread: false,
            sha256: None,
            digest: None,
            roots: profiles.len(),
            importers: importers.collect(),
        }
    }

    /// The same, and the SHA-256.
    #[must_use]
    pub fn with_sha256(mut self) -> Self {
        let sum = FileSha256::new();
        self.sha256 = Some(Side::Here(sum, |sum, bytes| sum.update(bytes)));
        self
    }

    /// The same, and the digest by the function with this multihash code, if fetchd computes it.
    #[must_use]
    pub fn with_digest(mut self, code: u64) -> Self {
        let side = |hasher| Side::Here(hasher, |hasher: &mut Hasher, bytes| hasher.update(bytes));
        self.digest = Hasher::new(code).map(side);
        self
    }

    /// How many bytes were taken.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Takes the next bytes. Blocks as long as the slowest hash lags behind.
    pub fn push(&mut self, bytes: Bytes) {
        self.position += bytes.len() as u64;
        self.batch_len += bytes.len();
        self.batch.push(bytes);
        if self.batch_len >= BATCH {
            self.hand_on();
        }
    }

    /// What all of it came to.
    pub fn finish(mut self) -> Totals {
        self.hand_on();
        let mut roots = vec![None; self.roots];
        for (places, importer) in self.importers {
            let import = importer.finish().finish();
            for (place, root) in places.into_iter().zip(import.roots) {
                roots[place] = root;
            }
        }
        Totals {
            size: self.position,
            sha256: self.sha256.map(|sum| sum.finish().finish()),
            digest: self.digest.map(|digest| digest.finish().finish()),
            roots,
        }
    }

    fn hand_on(&mut self) {
        if self.position >= WORTH_THREADS && !mem::replace(&mut self.is_spread, true) {
            self.spread();
        }
        self.batch_len = 0;
        let batch: Batch = mem::take(&mut self.batch).into();
        if let Some(sum) = &mut self.sha256 {
            sum.take(&batch);
        }
        if let Some(digest) = &mut self.digest {
            digest.take(&batch);
        }
        for (_, importer) in &mut self.importers {
            importer.take(&batch);
        }
    }

    /// Gives each hash a thread of its own.
    fn spread(&mut self) {
        self.sha256 = self.sha256.take().map(Side::aside);
        self.digest = self.digest.take().map(Side::aside);
        let importers = mem::take(&mut self.importers).into_iter();
        self.importers = importers
            .map(|(places, importer)| (places, importer.aside()))
            .collect();
    }
}

/// How a hash takes bytes.
type Take<T> = fn(&mut T, &Bytes);

/// One hash.
enum Side<T> {
    /// Made where the bytes come.
    Here(T, Take<T>),
    /// Made on a thread of its own, which ends when its sender is dropped.
    Aside(SyncSender<Batch>, JoinHandle<T>),
}

impl<T: Send + 'static> Side<T> {
    fn take(&mut self, batch: &Batch) {
        match self {
            Side::Here(state, take) => batch.iter().for_each(|bytes| take(state, bytes)),
            // A thread that is gone has panicked: the end will tell.
            Side::Aside(batches, _) => drop(batches.send(batch.clone())),
        }
    }

    fn aside(self) -> Self {
        let Side::Here(mut state, take) = self else {
            return self;
        };
        let (batches, queue) = sync_channel::<Batch>(QUEUE);
        let thread = thread::spawn(move || {
            for batch in queue {
                batch.iter().for_each(|bytes| take(&mut state, bytes));
            }
            state
        });
        Side::Aside(batches, thread)
    }

    fn finish(self) -> T {
        match self {
            Side::Here(state, _) => state,
            Side::Aside(batches, thread) => {
                drop(batches);
                let state = thread.join();
                state.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    #[test]
    fn threads_find_what_one_would_find() {
        for len in [0, 1000, 3 << 20, 9 << 20] {
            let bytes: Vec<u8> = (0..len).map(|at: u32| (at / 7 * 13) as u8).collect();
            let bytes = Bytes::from(bytes);
            let mut alone = Importer::new(Profile::ALL);
            alone.push(&bytes);
            let mut crew = Crew::new(Profile::ALL).with_sha256().with_digest(0x1e);
            for start in (0..bytes.len()).step_by(77_777) {
                crew.push(bytes.slice(start..bytes.len().min(start + 77_777)));
            }
            assert_eq!(crew.position(), bytes.len() as u64);
            let totals = crew.finish();
            assert_eq!(totals.roots, alone.finish().roots);
            assert_eq!(totals.sha256.unwrap()[..], Sha256::digest(&bytes)[..]);
            assert_eq!(totals.digest.unwrap(), blake3::hash(&bytes).as_bytes());
        }
    }
}
