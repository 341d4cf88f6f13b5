//! Proving what stands on a disk against its CID.
//!
//! Walks the DAG depth first, as the disk has it: where bytes are missing nothing is unfolded, so
//! no DAG makes more work than the disk holds. Nodes come from the store, else from providers;
//! leaves are read and hashed on threads. Changes nothing. Invariants: a byte counts as right only
//! where its leaf, or the whole file, was hashed; memory holds the frontier of the walk, the names
//! of one way down and what is wrong, never a tree or a file.

mod directory;
mod file;
mod hashing;
mod nodes;
mod place;
mod walk;
mod whole;

use std::path::PathBuf;

use bytes::Bytes;

use crate::content::cid::Cid;
use crate::content::ranges::RangeSet;
use crate::disk::tree::EntryKind;
use crate::disk::{DiskError, Fingerprint};
use crate::download::{DownloadId, Failure, Proof, RunId};
use crate::engine::filter::Filter;
use crate::engine::plan::Limits;
use crate::store::{Store, StoreError};

pub use whole::{digest_of, is_sum, sha256_of};

/// What is to be proved.
pub struct Verification {
    /// What it should be.
    pub root: Cid,
    /// Where it stands.
    pub path: PathBuf,
    /// Where nodes are.
    pub store: Store,
    /// Limits on the DAG.
    pub limits: Limits,
    /// What of a directory should be there.
    pub filter: Filter,
    /// Where the root lies below that which the filter is about; empty if it is that itself.
    pub below: String,
    /// What the ledger knows of it.
    pub known: Option<Known>,
    /// The download, and the run that owns it, for which nodes are kept that come from providers.
    pub keeps_for: Option<(DownloadId, RunId)>,
}

/// What is known of content that a download of ours put where it stands. The store then has every
/// node of it, unless it was proved as a whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Known {
    /// Bytes of the file, where it is one.
    pub size: Option<u64>,
    /// Its SHA-256, where it is a file.
    pub sha256: Option<[u8; 32]>,
}

/// What was found.
#[derive(Debug)]
pub struct Report {
    /// Files that are right.
    pub files: u64,
    /// Bytes that were read and hashed.
    pub checked_bytes: u64,
    /// The weakest proof of what is right.
    pub proof: Proof,
    /// What is not right, in the order of the walk.
    pub findings: Vec<Finding>,
    /// What is there and does not belong to it, below the root; of a directory only itself.
    pub extra: Vec<PathBuf>,
    /// How the files stand there that are right, as they were opened: length and modification
    /// time. Only where the ledger knows the content.
    pub fingerprints: Vec<(String, Fingerprint)>,
    /// Why nodes are lacking that nobody here has.
    pub nobody: Option<Failure>,
}

/// Something that is not right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Below the root, with `/`; empty for the root itself.
    pub path: String,
    /// What it should be; `None` for a file that has no CID.
    pub cid: Option<Cid>,
    /// What is wrong with it.
    pub flaw: Flaw,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flaw {
    /// These bytes; what a file has beyond its end counts.
    Bytes(RangeSet),
    /// Something else stands there.
    Kind {
        /// What should: `file`, `directory`, `symlink`.
        expected: &'static str,
        /// What does.
        found: EntryKind,
        /// Bytes that should be there, where that is known.
        len: u64,
    },
    /// No link that leads where it should.
    Target {
        /// Where it should lead.
        expected: Bytes,
        /// What stands there; `None` if nothing does.
        found: Option<EntryKind>,
    },
    /// Nothing is there.
    Missing,
    /// Nobody can tell: nodes are lacking.
    Unproved,
}

impl Flaw {
    /// All of so many bytes are wrong.
    pub fn all(len: u64) -> Self {
        let mut bad = RangeSet::new();
        // Even a file without bytes can be another than it should be.
        bad.insert(0, len.max(1));
        Self::Bytes(bad)
    }

    /// Whether nothing stands there.
    pub fn is_missing(&self) -> bool {
        matches!(self, Flaw::Missing | Flaw::Target { found: None, .. })
    }
}

impl Report {
    /// One of which nothing is found yet; what is right has this proof, or a weaker one.
    pub fn new(proof: Proof) -> Self {
        Self {
            files: 0,
            checked_bytes: 0,
            proof,
            findings: Vec::new(),
            extra: Vec::new(),
            fingerprints: Vec::new(),
            nobody: None,
        }
    }

    /// Whether everything that belongs there is there, and right.
    pub fn is_ok(&self) -> bool {
        self.findings.is_empty()
    }

    /// Whether anything is known to be wrong.
    pub fn has_damage(&self) -> bool {
        let is_wrong = |finding: &Finding| finding.flaw != Flaw::Unproved;
        self.findings.iter().any(is_wrong)
    }
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The DAG is not sound, or beyond the limits.
    #[error("{}", .0.message)]
    Content(Failure),
}
