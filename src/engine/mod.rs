//! The engine: the only place that decides what is missing, from whom to get it, when it is
//! durable and when the download is done.
//!
//! One coordinator owns the plan and is the only one that talks to the store. Network tasks
//! (`fetch`) hand received bytes to it, two plain threads (`prove`) hash and write them, and
//! everything that happens (results, signals, requests from other terminals, time) is an input of
//! its one loop (`coordinator`). It announces facts through a callback, after the commit that
//! makes them true.
//!
//! Invariants: a byte is counted as proved only after it was hashed against its link and written;
//! a checkpoint claims only what was synced before it; a final name appears only for a file whose
//! every byte is proved, and only once.

mod aside;
mod bad_car;
mod begin;
mod blocks;
mod checkpoint;
mod connections;
mod coordinator;
mod crew;
mod discover;
mod exchange;
mod export;
mod failure;
mod fetch;
mod files;
mod filter;
mod finish;
mod give_up;
mod help;
mod input;
mod journal;
mod last_look;
mod local;
mod naming;
mod output;
mod pace;
mod plan;
mod prove;
mod provider;
mod receive;
mod recover;
mod schedule;
mod stored;
mod task;
mod tempo;
mod tree;
mod verify;
mod whole;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;

use crate::content::cid::Cid;
use crate::download::{DownloadId, Failure, ProviderReceipt, Receipt, RunId};
use crate::event::Event;
use crate::exit::ExitKind;
use crate::gateway::backoff::Backoff;
use crate::store::Store;

pub use aside::detached;
pub use blocks::{Blocks, Listed, ListedKind, Listing};
pub use connections::Connections;
pub use coordinator::random;
pub use discover::Discovery;
pub use export::{CarPart, Export, ExportError, Exported, Origin, content_root};
pub use filter::Filter;
pub use local::LocalFiles;
pub use naming::{CarOf, Namer, Names, NamingError, find, find_tree};
pub use plan::Limits;
pub use provider::{Place, Provider};
pub use tempo::Tempo;
pub use verify::{
    Finding, Flaw, Known, Report, Verification, VerifyError, digest_of, is_sum, sha256_of,
};

/// One download, as the engine needs to know it. The caller has claimed it for `run`.
pub struct Job {
    /// Its number.
    pub id: DownloadId,
    /// The run that owns it.
    pub run: RunId,
    /// As the user typed it.
    pub source: String,
    /// What to fetch.
    pub subject: Subject,
    /// Where to put it.
    pub destination: Destination,
    /// Where the CAR is written that all of it is to be saved as; `None` to save the content.
    pub car_part: Option<PathBuf>,
    /// What the user says the file's SHA-256 is.
    pub expected_sha256: Option<[u8; 32]>,
    /// How long the file was when somebody wrote that down.
    pub expected_size: Option<u64>,
    /// What the user says its digest by another function is.
    pub checksum: Option<Checksum>,
    /// Whether the record says `resuming`, and not yet `in_progress`.
    pub is_resuming: bool,
    /// What earlier runs left.
    pub saved: Saved,
    /// Tries so far that reached a provider and brought nothing.
    pub attempts: u32,
    /// Of an entry of the queue, its tries so far that failed in a row. Such a download is never
    /// given up for trying too often, and goes back to the queue where waiting may help.
    pub queue_tries: Option<u32>,
}

/// What is to be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// Content by its CID.
    Content {
        /// Where the way to it begins.
        root: Cid,
        /// The names along that way; none if the root itself is wanted.
        names: Vec<String>,
    },
    /// The file that the first provider has, and others may have too.
    File,
}

/// The digest that a file is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checksum {
    /// Multihash code of the function.
    pub code: u64,
    /// The digest.
    pub digest: Vec<u8>,
}

/// Multihash code of SHA-256, which is computed of every file anyway.
const SHA2_256: u64 = 0x12;
const SHA2_512: u64 = 0x13;
const BLAKE3: u64 = 0x1e;

impl Checksum {
    /// Of a SHA-256.
    pub fn sha256(digest: [u8; 32]) -> Self {
        Self {
            code: SHA2_256,
            digest: digest.to_vec(),
        }
    }

    /// The function that has to be computed besides SHA-256.
    fn function(&self) -> Option<u64> {
        (self.code != SHA2_256).then_some(self.code)
    }

    /// What users call the function, if it is another than SHA-256.
    fn name(&self) -> Option<&'static str> {
        match self.code {
            SHA2_512 => Some("sha512"),
            BLAKE3 => Some("blake3"),
            _ => None,
        }
    }

    fn is_met(&self, sha256: &[u8; 32], digest: Option<&[u8]>) -> bool {
        match self.function() {
            None => self.digest == sha256,
            Some(_) => digest == Some(&self.digest),
        }
    }
}

/// Where the file goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// A file or a directory on disk.
    Disk {
        /// Its final path, absolute.
        target: PathBuf,
        /// Its part, beside it.
        part: PathBuf,
        /// Whether other content at the target may be replaced, a directory only if the ledger
        /// knows all that is in it.
        overwrite: bool,
    },
    /// Standard output, in order.
    Stdout {
        /// Where a file is kept that proves itself only at its end, until then.
        spool: PathBuf,
    },
}

impl Destination {
    /// Where the bytes are until all of them are proved, if they are kept at all.
    pub fn part(&self) -> &Path {
        match self {
            Destination::Disk { part, .. } => part,
            Destination::Stdout { spool } => spool,
        }
    }
}

/// What earlier runs of a download recorded.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Saved {
    /// Bytes received.
    pub bytes_fetched: u64,
    /// Of those, bytes thrown away.
    pub bytes_wasted: u64,
    /// Bytes that the last checkpoint says are proved.
    pub bytes_verified: u64,
    /// How long they took together.
    pub elapsed: Duration,
    /// What each provider sent.
    pub providers: Vec<ProviderReceipt>,
}

/// What the engine needs of the configuration.
#[derive(Debug, Clone)]
pub struct Options {
    /// Limits on the DAG.
    pub limits: Limits,
    /// How often and how long to wait for a provider.
    pub backoff: Backoff,
    /// A longer `Retry-After` ends the download with "retry later".
    pub max_wait: Duration,
    /// Bytes per second; who sends less for a while is given up. `None`: nobody is.
    pub min_speed: Option<u64>,
    /// All of it may take this long.
    pub max_time: Option<Duration>,
    /// Tries without a new byte before the download counts as failed.
    pub max_resume_attempts: u32,
    /// What of a directory is wanted.
    pub filter: Filter,
    /// Where further providers can be found, if they may be looked for.
    pub discovery: Option<Discovery>,
    /// Whether bytes that nothing proves may be kept.
    pub allow_unverified: bool,
    /// The share of a file, 0 to 1, from which on a broken stream is gone on with although
    /// nothing says that the rest belongs to the same bytes.
    pub resume_threshold: f64,
    /// Sources that may be given up for sending another file.
    pub max_source_switches: u32,
    /// Whether there are others to ask, another time: nobody here having it is then not the end.
    pub asks_others_later: bool,
    /// Whether files and directories get the modes and times that they have in the DAG.
    pub preserve: bool,
    /// Requests under way at once, to all providers together.
    pub connections: Connections,
    /// Bytes that may be asked for ahead of the first missing one where they go to a stream.
    pub stream_ahead: u64,
    /// Single blocks asked of one provider at once.
    pub per_gateway: usize,
    /// A checkpoint is due after so many new bytes,
    pub checkpoint_bytes: u64,
    /// or after so long, if there is anything new.
    pub checkpoint_interval: Duration,
    /// Whether the whole file's SHA-256 is computed although nobody asked.
    pub file_sha256: bool,
    /// Rows of history to keep for each download.
    pub history_limit: u32,
}

/// How a run of the engine ended. The record says the same by then.
#[derive(Debug)]
pub enum Ending {
    /// It has its final name, or was written to standard output.
    Finished(Box<Receipt>),
    /// An error ended it; the record is paused or failed.
    Failed {
        /// Why.
        failure: Failure,
        /// Whether `resume` can go on.
        resumable: bool,
        /// Whether any provider answered anything.
        reached: bool,
    },
    /// A person paused it from another terminal.
    Paused,
    /// A person cancelled it from another terminal.
    Cancelled,
    /// A signal ended it, after a checkpoint.
    Signalled(ExitKind),
}

/// Fetches, proves and installs one download.
///
/// `signals` brings what the process was asked to do by the operating system. `on_event` may stop
/// the run by breaking: nobody listens any more.
pub async fn run(
    job: Job,
    options: Options,
    providers: Vec<Provider>,
    store: Store,
    signals: UnboundedReceiver<ExitKind>,
    on_event: &mut dyn FnMut(&Event) -> ControlFlow<()>,
) -> Ending {
    coordinator::Coordinator::new(job, options, providers, store, on_event)
        .run(signals)
        .await
}
