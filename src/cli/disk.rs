//! Commands about content, and about files on disk.

use std::path::PathBuf;

use clap::Args;

use crate::cli::values;
use crate::content::importer::Profile;

/// `fetchd ls`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Ls {
    /// CID, CID/path, ipfs:// or ipns:// address, or gateway URL
    #[arg(value_name = "SOURCE")]
    pub source: String,
    /// Ask only this gateway (URL) or CAR file; repeatable
    #[arg(long, value_name = "URL|CAR")]
    pub gateway: Vec<String>,
}

/// `fetchd cid`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct CidOf {
    /// File or directory on disk; - reads standard input
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// Importer profile, by name; repeatable [default: the usual three]
    #[arg(long = "profile", value_name = "PROFILE", value_parser = values::profile)]
    pub profiles: Vec<Profile>,
    /// Write the blocks to this CAR file, - for stdout; for one profile [default: unixfs-v0-2015]
    ///
    /// With - the CIDs go to standard error. The CAR is made among the temporary files first.
    #[arg(long, value_name = "CAR")]
    pub car: Option<PathBuf>,
    /// Replace a CAR file of that name
    #[arg(long, requires = "car")]
    pub force: bool,
}

/// `fetchd verify`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Verify {
    /// File or directory on disk, or a finished download: id, CID, unique prefix of a CID
    #[arg(value_name = "PATH|ID", required_unless_present = "all")]
    pub subject: Option<String>,
    /// What it should be: CID, CID/path, ipfs:// address [default: as it was downloaded]
    #[arg(value_name = "CID")]
    pub cid: Option<String>,
    /// Everything that was downloaded and has not been replaced since
    #[arg(long, conflicts_with_all = ["subject", "cid"])]
    pub all: bool,
    /// Ask only this gateway (URL) or CAR file for nodes that are not here; repeatable
    #[arg(long, value_name = "URL|CAR")]
    pub gateway: Vec<String>,
}

/// `fetchd repair`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Repair {
    /// File or directory on disk, or a finished download: id, CID, unique prefix of a CID
    #[arg(value_name = "PATH|ID")]
    pub subject: String,
    /// What it should be: CID, CID/path, ipfs:// address [default: as it was downloaded]
    #[arg(value_name = "CID")]
    pub cid: Option<String>,
    /// Ask only this gateway (URL) or CAR file; repeatable
    #[arg(long, value_name = "URL|CAR")]
    pub gateway: Vec<String>,
    /// Ask this place too, which holds the same bytes; repeatable
    #[arg(long, value_name = "URL")]
    pub mirror: Vec<String>,
}

/// `fetchd export`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Export {
    /// Download to hand on: id, CID, unique prefix of a CID, or path
    #[arg(value_name = "ID")]
    pub id: String,
    /// CAR file to write
    #[arg(short, long, value_name = "CAR", required = true)]
    pub output: PathBuf,
    /// Replace what has that name
    #[arg(long)]
    pub force: bool,
}

/// `fetchd import`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Import {
    /// CAR file to read
    #[arg(value_name = "CAR")]
    pub car: PathBuf,
    /// Name of the file or directory, relative to --dir [default: the CID]
    #[arg(short, long, value_name = "PATH")]
    pub output: Option<PathBuf>,
    /// Directory to put it in, created if missing
    #[arg(short, long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Replace other content at the target
    #[arg(long)]
    pub force: bool,
}
