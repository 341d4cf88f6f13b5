//! Commands that bring content, and those that steer them.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::cli::values::{self, Limit, MAX_CONNECTIONS, MAX_JOBS};

/// `fetchd get`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Get {
    /// CID, CID/path, ipfs:// or ipns:// address, or gateway URL
    #[arg(value_name = "SOURCE", required_unless_present = "input")]
    pub sources: Vec<String>,
    /// Read sources from FILE, one a line (# begins a comment, - is stdin)
    #[arg(short, long, value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// Name of the file, relative to --dir; - writes the bytes to stdout
    ///
    /// For one source only. Bytes are proved before they are written to standard output. Without
    /// it the name is the last segment of the path, else ?filename=, else the CID. An existing
    /// directory there is an error.
    #[arg(short, long, value_name = "PATH")]
    pub output: Option<PathBuf>,
    /// Directory to download to, created if missing
    ///
    /// Without it, the key download_dir of the configuration, else the current directory.
    #[arg(short, long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Ask only this gateway (URL) or CAR file; repeatable
    ///
    /// Replaces the configured gateways, and is recorded with the download.
    #[arg(long, value_name = "URL|CAR")]
    pub gateway: Vec<String>,
    /// Also take from this URL, file or directory, which holds the same bytes; repeatable
    ///
    /// A file may be an older version or a broken partial: what of it proves right, at the same
    /// offset, is copied, and the rest is fetched. A directory is matched path by path.
    #[arg(long, value_name = "URL|PATH")]
    pub mirror: Vec<String>,
    /// Also demand this SHA-256 of the file
    #[arg(long, value_name = "HEX", value_parser = values::sha256)]
    pub sha256: Option<[u8; 32]>,
    /// Also demand this digest of the file (sha256, sha512 or blake3)
    #[arg(long, value_name = "ALG:HEX", value_parser = values::checksum, conflicts_with = "sha256")]
    pub checksum: Option<values::Checksum>,
    /// Also demand the SHA-256 that FILE has for the name (as sha256sum writes it, - is stdin)
    ///
    /// Lines are HASH  NAME, HASH *NAME or SHA256 (NAME) = HASH. The name of the source is looked
    /// for, then that of --output; a source that is not in the list is refused.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["sha256", "checksum"])]
    pub sha256sums: Option<PathBuf>,
    /// Send this header to the source and its mirrors; repeatable, never stored
    ///
    /// A source that gets it is a URL: of a file, or of content at its gateway. No other gateway
    /// does.
    #[arg(long, value_name = "NAME: VALUE", value_parser = values::HeaderParser)]
    pub header: Vec<values::Header>,
    /// Take logins for the source and its mirrors from ~/.netrc
    #[arg(long)]
    pub netrc: bool,
    /// Keep what nothing proves; the record and the output say so
    #[arg(long)]
    pub allow_unverified: bool,
    /// Save the blocks, proved, as a CAR file: NAME.car, or --output
    ///
    /// Version 1, depth first, each block once: the same bytes whoever served them. The content
    /// is kept beside it until the CAR is complete, so there must be room for both.
    #[arg(long, conflicts_with_all = ["sha256", "checksum", "sha256sums", "include", "exclude", "preserve"])]
    pub car: bool,
    /// Of a directory, take only what matches; repeatable
    ///
    /// A pattern with a / is matched from the root of the directory, one without against every
    /// name; ** crosses directories. A pattern that names a directory stands for all of it.
    #[arg(long, value_name = "GLOB")]
    pub include: Vec<String>,
    /// Of a directory, leave out what matches; repeatable
    #[arg(long, value_name = "GLOB")]
    pub exclude: Vec<String>,
    /// Keep the modes and times that files and directories have in the DAG
    #[arg(long)]
    pub preserve: bool,
    /// Replace other content at the target
    ///
    /// A directory is replaced only if fetchd made every file in it.
    #[arg(long)]
    pub force: bool,
    /// Only say what would be done: kind, size, place, providers
    #[arg(long)]
    pub dry_run: bool,
    /// Most bytes per second, all connections together (500K, 2M, off)
    #[arg(long, value_name = "RATE", value_parser = values::rate)]
    pub limit_rate: Option<Limit>,
    /// Most connections at once [default: 8 to 16]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_CONNECTIONS)))]
    pub connections: Option<u32>,
    /// Refuse content that is larger (20M, 1.5GiB, off)
    #[arg(long, value_name = "SIZE", value_parser = values::limit)]
    pub max_size: Option<Limit>,
    /// Put it into the queue for 'fetchd run', print its id, and ask nobody
    ///
    /// All that is asked for is recorded, names are looked up when their turn comes. --header is
    /// never stored and is refused; --max-time then counts for each try.
    #[arg(long, conflicts_with_all = ["dry_run", "wait"])]
    pub queue: bool,
    /// Its place in the queue: higher is earlier [default: 0]
    #[arg(
        long,
        value_name = "N",
        requires = "queue",
        allow_negative_numbers = true
    )]
    pub priority: Option<i64>,
    /// If another process is fetching it, wait for that
    ///
    /// Then its path is printed, or it is taken over where the other one stopped.
    #[arg(long)]
    pub wait: bool,
    /// Pause after this time in all (90s, 5m, 1h30m)
    #[arg(long, value_name = "TIME", value_parser = values::positive_duration)]
    pub max_time: Option<Duration>,
}

/// `fetchd resume`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Resume {
    /// Downloads to go on with: id, CID, unique prefix of a CID, or path
    #[arg(value_name = "ID", required_unless_present = "all")]
    pub ids: Vec<String>,
    /// Everything unfinished, except what was paused by hand
    #[arg(long, conflicts_with = "ids")]
    pub all: bool,
    /// Forget the attempts and reopen failed downloads; proved bytes stay
    #[arg(long)]
    pub reset: bool,
    /// Ask only this gateway (URL) or CAR file from now on; repeatable
    #[arg(long, value_name = "URL|CAR")]
    pub gateway: Vec<String>,
    /// Also take from this URL, file or directory, which holds the same bytes; repeatable
    #[arg(long, value_name = "URL|PATH")]
    pub mirror: Vec<String>,
    /// At most so many at once [default: the key jobs]
    #[arg(short, long, value_name = "N", value_parser = jobs_parser())]
    pub jobs: Option<u32>,
    /// Most bytes per second from now on (500K, 2M, off)
    #[arg(long, value_name = "RATE", value_parser = values::rate)]
    pub limit_rate: Option<Limit>,
}

/// `fetchd run`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Run {
    /// Stay, and fetch what is queued later too
    #[arg(short, long)]
    pub watch: bool,
    /// At most so many at once [default: the key jobs]
    #[arg(short, long, value_name = "N", value_parser = jobs_parser())]
    pub jobs: Option<u32>,
}

/// A parser for numbers of downloads at once.
fn jobs_parser() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=i64::from(MAX_JOBS))
}

/// `fetchd sync`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Sync {
    /// Manifest to read; the lock lies beside it [default: fetchd.toml]
    #[arg(value_name = "MANIFEST")]
    pub manifest: Option<PathBuf>,
    /// Fail unless the lock pins all of it; resolve and write nothing anew
    #[arg(long)]
    pub locked: bool,
}

/// `fetchd watch`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Watch {
    /// Downloads to follow to their end: id, CID, unique prefix of a CID, or path [default: all]
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,
}

/// `fetchd pause`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Pause {
    /// Downloads to stop: id, CID, unique prefix of a CID, or path
    #[arg(value_name = "ID", required = true)]
    pub ids: Vec<String>,
}

/// `fetchd cancel`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Cancel {
    /// Downloads to give up: id, CID, unique prefix of a CID, or path
    #[arg(value_name = "ID", required = true)]
    pub ids: Vec<String>,
    /// Leave the part file on disk
    #[arg(long)]
    pub keep_partial: bool,
}

/// `fetchd checkpoint`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Checkpoint {
    /// Downloads to make safe: id, CID, unique prefix of a CID, or path
    #[arg(value_name = "ID", required = true)]
    pub ids: Vec<String>,
}
