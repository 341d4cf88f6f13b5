//! Content and files on disk: `ls`, `cid`, `export`, `import`, `verify`, `repair`.

use std::path::PathBuf;

use serde::Serialize;

use crate::download::{DownloadId, Proof};
use crate::ui::view::record::{DownloadView, ErrorView};
use crate::ui::view::{id, path, path_or_null, paths, proof_or_null, seconds};

/// What a directory holds: the document of `ls`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListingView {
    /// What was listed.
    pub cid: String,
    /// By name; what is no directory is its own only entry.
    pub entries: Vec<NamedView>,
}

/// An entry of a directory, in `ls`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NamedView {
    /// Its name.
    pub name: String,
    /// What it names.
    pub cid: String,
    /// `file`, `directory`, `symlink`; `unknown` if nobody has the block that would say it.
    pub kind: &'static str,
    /// Size in bytes, of a file or a link.
    pub size: Option<u64>,
}

/// What was taken from a CAR: the document of `import`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ImportView {
    /// The CAR, absolute.
    #[serde(serialize_with = "path")]
    pub car: PathBuf,
    /// One for each root.
    pub imported: Vec<ImportedView>,
}

/// A root of a CAR, in `import`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ImportedView {
    /// The root.
    pub cid: String,
    /// Its download as it is now; `null` if there is none.
    pub download: Option<DownloadView>,
    /// Why there is none; `null` where a signal came first.
    pub error: Option<ErrorView>,
}

impl ImportedView {
    /// A root of which nothing is known yet.
    pub fn of(cid: &str) -> Self {
        Self {
            cid: cid.to_owned(),
            download: None,
            error: None,
        }
    }
}

/// What a file or tree on disk is called: the document of `cid`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CidsView {
    /// Where it is, absolute; `null` for standard input.
    #[serde(serialize_with = "path_or_null")]
    pub path: Option<PathBuf>,
    /// Bytes of the file, or of all files of the tree.
    pub size: u64,
    /// SHA-256 of a file, lower-case hexadecimal; `null` for a tree.
    pub sha256: Option<String>,
    /// One for each profile.
    pub cids: Vec<ProfileCidView>,
}

/// A CID under a profile, in `cid`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProfileCidView {
    /// Name of the profile.
    pub profile: &'static str,
    /// `null` where the profile cannot hold so much.
    pub cid: Option<String>,
}

/// A CAR that was written: the document of `export`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExportedView {
    /// The download.
    #[serde(serialize_with = "id")]
    pub id: DownloadId,
    /// The root in its header.
    pub cid: String,
    /// Where it is, absolute.
    #[serde(serialize_with = "path")]
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256, lower-case hexadecimal.
    pub sha256: String,
    /// Blocks in it.
    pub blocks: u64,
    /// Blocks that are known to belong to it and are not here.
    pub missing: u64,
    /// Whether nothing is missing.
    pub complete: bool,
}

/// What was proved of a file or tree on disk: the document of `verify`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VerifiedView {
    /// Where it is, absolute.
    #[serde(serialize_with = "path")]
    pub path: PathBuf,
    /// What it should be; `null` for a file that has no CID.
    pub cid: Option<String>,
    /// Whether everything that belongs there is there, and right.
    pub ok: bool,
    /// Bytes that were read and hashed.
    pub checked_bytes: u64,
    /// What is wrong, adjoining leaves as one range.
    pub bad: Vec<BadView>,
    /// What is not there, absolute; of a directory only itself.
    #[serde(serialize_with = "paths")]
    pub missing: Vec<PathBuf>,
    /// What is there besides, absolute; of a directory only itself.
    #[serde(serialize_with = "paths")]
    pub extra: Vec<PathBuf>,
    /// What nobody can tell, as nodes are lacking; absolute.
    #[serde(serialize_with = "paths")]
    pub unproved: Vec<PathBuf>,
    /// The weakest proof, if all is right.
    #[serde(serialize_with = "proof_or_null")]
    pub proof: Option<Proof>,
    /// Files and links that are right.
    pub files: u64,
    /// Seconds that it took.
    #[serde(serialize_with = "seconds")]
    pub elapsed: f64,
    /// Why it could not be looked at.
    pub error: Option<ErrorView>,
}

/// A wrong range of a file, in `verify`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BadView {
    /// The file, absolute.
    #[serde(serialize_with = "path")]
    pub path: PathBuf,
    /// Where it begins.
    pub offset: u64,
    /// Bytes of it.
    pub length: u64,
    /// What is wrong, in words.
    pub what: String,
}

/// All that the ledger knows: the document of `verify --all`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AllVerifiedView {
    /// Whether all of it is right.
    pub ok: bool,
    /// In the order of the paths.
    pub verified: Vec<VerifiedView>,
}

/// What was mended on disk: the document of `repair`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RepairedView {
    /// Where it is, absolute.
    #[serde(serialize_with = "path")]
    pub path: PathBuf,
    /// What it should be; `null` for a file that has no CID.
    pub cid: Option<String>,
    /// Whether all of it is right now.
    pub ok: bool,
    /// Bytes that were read and hashed to find out.
    pub checked_bytes: u64,
    /// Bytes received.
    pub bytes_fetched: u64,
    /// What was wrong or missing and is right now, absolute.
    #[serde(serialize_with = "paths")]
    pub repaired: Vec<PathBuf>,
    /// What is still wrong or missing, absolute.
    #[serde(serialize_with = "paths")]
    pub failed: Vec<PathBuf>,
    /// What is there besides, absolute.
    #[serde(serialize_with = "paths")]
    pub extra: Vec<PathBuf>,
    /// Seconds that it took.
    #[serde(serialize_with = "seconds")]
    pub elapsed: f64,
}
