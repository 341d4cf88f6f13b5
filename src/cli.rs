//! The command line: clap types and help.
//!
//! No I/O, no environment, no defaults that the configuration could set: an option that was not
//! given is `None`, and `settings` decides. What clap cannot express is checked in [`parse`].

pub mod values;

mod help;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::error::ErrorKind;
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::cli::values::{Limit, MAX_CONNECTIONS, MAX_JOBS};
use crate::content::importer::Profile;
use crate::download::Status;

/// Download content by its CID from any HTTP source, and prove every byte
///
/// fetchd takes bytes from whoever has them, trusts nobody, proves every byte against the CID, and
/// keeps its state on disk: whatever ends a download, `fetchd resume` goes on where the proof ended.
#[derive(Debug, Parser)]
#[command(
    name = "fetchd",
    bin_name = "fetchd",
    version,
    max_term_width = 100,
    disable_help_subcommand = true,
    after_help = help::PROGRAM_EXAMPLES,
    after_long_help = help::program()
)]
pub struct Cli {
    /// Options that every command has.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options that every command has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Print JSON on standard output: one event a line, or one document
    #[arg(long, global = true)]
    pub json: bool,
    /// Print errors and results only
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Tell in words what the engine does; twice adds developers' traces
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t)]
    pub color: ColorWhen,
    /// How to show progress [default: bar on a terminal, otherwise plain]
    #[arg(
        long,
        global = true,
        value_name = "STYLE",
        value_enum,
        hide_possible_values = false
    )]
    pub progress: Option<ProgressStyle>,
    /// Configuration file to read [env: FETCHD_CONFIG]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory that holds fetchd's state [env: FETCHD_STATE_DIR]
    #[arg(long, global = true, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorWhen {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    #[value(help = None)]
    Auto,
    /// Everywhere.
    #[value(help = None)]
    Always,
    /// Nowhere.
    #[value(help = None)]
    Never,
}

/// How to show progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProgressStyle {
    /// Bars that are redrawn.
    #[value(help = None)]
    Bar,
    /// A line now and then.
    #[value(help = None)]
    Plain,
    /// One JSON event a line, on standard error.
    #[value(help = None)]
    Json,
    /// Nothing.
    #[value(help = None)]
    None,
}

/// The commands.
#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "made once, by the parser")]
pub enum Command {
    /// Download and prove
    #[command(after_help = help::GET)]
    Get(Get),
    /// Go on with paused, interrupted or failed downloads
    #[command(after_help = help::RESUME)]
    Resume(Resume),
    /// Fetch what is in the queue and due
    #[command(after_help = help::RUN)]
    Run(Run),
    /// Look on at what other invocations are doing
    #[command(after_help = help::WATCH)]
    Watch(Watch),
    /// Stop downloads at a checkpoint, from any terminal
    #[command(after_help = help::PAUSE)]
    Pause(Pause),
    /// Give downloads up, from any terminal
    #[command(after_help = help::CANCEL)]
    Cancel(Cancel),
    /// Make a checkpoint now and go on, from any terminal
    #[command(after_help = help::CHECKPOINT)]
    Checkpoint(Checkpoint),
    /// Show what a directory holds, proved, without fetching its files
    #[command(after_help = help::LS)]
    Ls(Ls),
    /// Bring every file of a manifest in place, and lock what it was resolved to
    #[command(after_help = help::SYNC)]
    Sync(Sync),
    /// Keep names for sources, and find what fits this machine
    #[command(after_help = help::CATALOG)]
    Catalog {
        /// What to do with it.
        #[command(subcommand)]
        command: CatalogCommand,
    },
    /// Print the CIDs that a file or a tree on disk has under importer profiles
    #[command(after_help = help::CID)]
    Cid(CidOf),
    /// Prove what is on disk against its CID, offline where that is possible
    #[command(after_help = help::VERIFY)]
    Verify(Verify),
    /// Fetch what is wrong or missing on disk, and nothing else
    #[command(after_help = help::REPAIR)]
    Repair(Repair),
    /// Hand finished or unfinished work on as a CAR file
    #[command(after_help = help::EXPORT)]
    Export(Export),
    /// Take from a CAR file all that proves right
    #[command(after_help = help::IMPORT)]
    Import(Import),
    /// List what is not finished, or has failed
    #[command(after_help = help::LIST)]
    List(List),
    /// Show everything that is known about one download
    #[command(after_help = help::SHOW)]
    Show(Show),
    /// Show what was asked of whom, newest first
    #[command(after_help = help::HISTORY)]
    History(History),
    /// Forget ended downloads, old history and their part files
    #[command(after_help = help::PRUNE)]
    Prune(Prune),
    /// Manage the providers that content is asked of
    #[command(after_help = help::GATEWAYS)]
    Gateways {
        /// What to do with them.
        #[command(subcommand)]
        command: GatewaysCommand,
    },
    /// Show or begin the configuration
    #[command(after_help = help::CONFIG)]
    Config {
        /// What to do with it.
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Print a completion script for a shell
    #[command(after_help = help::COMPLETIONS)]
    Completions {
        /// Shell to complete for
        shell: clap_complete::Shell,
    },
    /// Print the manual page of the program or of a command, as roff
    #[command(after_help = help::MAN)]
    Man(Man),
}

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
    /// Keep the modes and times that the entries of a directory have in the DAG
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

/// `fetchd history`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct History {
    /// Download to tell of: id, CID, unique prefix of a CID, or path [default: all]
    #[arg(value_name = "ID")]
    pub id: Option<String>,
    /// At most so many
    #[arg(short = 'n', long, value_name = "N")]
    pub limit: Option<u32>,
}

/// `fetchd prune`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Prune {
    /// Ended downloads to forget: id, CID, unique prefix of a CID, or path [default: all old ones]
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,
    /// Only what ended longer ago [default: the key retention; with IDs, any time]
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    pub older_than: Option<Duration>,
    /// Only say what would go
    #[arg(long)]
    pub dry_run: bool,
}

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

/// `fetchd catalog`.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum CatalogCommand {
    /// List the entries
    #[command(after_help = help::CATALOG_LIST)]
    List,
    /// Show all that is known of an entry
    #[command(after_help = help::CATALOG_SHOW)]
    Show(EntryName),
    /// Add an entry; comments and order of the file stay
    #[command(after_help = help::CATALOG_ADD)]
    Add(Box<AddEntry>),
    /// Remove entries; files that were fetched stay
    #[command(after_help = help::CATALOG_REMOVE)]
    Remove(EntryNames),
    /// Name the largest entry that fits this machine's memory
    #[command(after_help = help::CATALOG_RECOMMEND)]
    Recommend(Recommend),
}

/// An entry of the catalogue that a command is about.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct EntryName {
    /// Name of an entry, with or without the @
    #[arg(value_name = "NAME")]
    pub name: String,
}

/// Entries of the catalogue that a command is about.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct EntryNames {
    /// Name of an entry, with or without the @
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<String>,
}

/// `fetchd catalog add`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct AddEntry {
    /// Name of the entry: letters, digits and any of . _ - + :
    #[arg(value_name = "NAME")]
    pub name: String,
    /// What `fetchd get` takes: CID, path, name or URL
    #[arg(value_name = "SOURCE")]
    pub source: String,
    /// Size of the content (4.1GiB)
    #[arg(long, value_name = "SIZE", value_parser = values::positive_size)]
    pub size: Option<u64>,
    /// SHA-256 of the file, demanded whenever it is fetched
    #[arg(long, value_name = "HEX", value_parser = values::sha256)]
    pub sha256: Option<[u8; 32]>,
    /// What it is, in words of your own
    #[arg(long = "type", value_name = "TYPE")]
    pub kind: Option<String>,
    /// Least memory that using it takes (8GiB)
    #[arg(long, value_name = "SIZE", value_parser = values::positive_size)]
    pub memory: Option<u64>,
    /// Its licence
    #[arg(long, value_name = "LICENCE")]
    pub licence: Option<String>,
    /// Anything else
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
}

/// `fetchd catalog recommend`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Recommend {
    /// Only entries of this type
    #[arg(long = "type", value_name = "TYPE")]
    pub kind: Option<String>,
    /// Memory to fit into [default: this machine's, or its container's]
    #[arg(long, value_name = "SIZE", value_parser = values::positive_size)]
    pub memory: Option<u64>,
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
    /// Write the blocks to this CAR file; for one profile [default: unixfs-v0-2015]
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

/// `fetchd list`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct List {
    /// Finished and cancelled downloads too
    #[arg(short, long)]
    pub all: bool,
    /// Only downloads with this status; repeatable
    #[arg(long, value_name = "STATUS", value_parser = status_parser())]
    pub status: Vec<Status>,
    /// What to sort by
    #[arg(long, value_name = "KEY", value_enum, default_value_t)]
    pub sort: SortKey,
    /// At most so many
    #[arg(short = 'n', long, value_name = "N")]
    pub limit: Option<u32>,
}

/// What `list` sorts by; times and sizes with the newest or largest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum SortKey {
    /// Oldest id first.
    #[default]
    #[value(help = None)]
    Id,
    /// Newest first.
    #[value(help = None)]
    Created,
    /// Last changed first.
    #[value(help = None)]
    Updated,
    /// By the name of the status.
    #[value(help = None)]
    Status,
    /// Largest first.
    #[value(help = None)]
    Size,
    /// By path on disk.
    #[value(help = None)]
    Path,
}

/// `fetchd show`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Show {
    /// Download to show: id, CID, unique prefix of a CID, or path
    #[arg(value_name = "ID")]
    pub id: String,
}

/// `fetchd gateways`.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum GatewaysCommand {
    /// List gateways, what they can do and how they fare
    #[command(after_help = help::GATEWAYS_LIST)]
    List,
    /// Add gateways to the configured ones
    #[command(after_help = help::GATEWAYS_ADD)]
    Add(GatewayUrls),
    /// Remove gateways; those of the configuration are disabled
    #[command(after_help = help::GATEWAYS_REMOVE)]
    Remove(GatewayUrls),
    /// Ask disabled gateways again
    #[command(after_help = help::GATEWAYS_ENABLE)]
    Enable(GatewayUrls),
    /// Ask gateways no longer
    #[command(after_help = help::GATEWAYS_DISABLE)]
    Disable(GatewayUrls),
    /// Try what gateways can do, how fast, and what is wrong with them
    #[command(after_help = help::GATEWAYS_CHECK)]
    Check(CheckGateways),
    /// Forget what was said here of gateways, and how they fared
    #[command(after_help = help::GATEWAYS_RESET)]
    Reset(SomeGatewayUrls),
}

/// `fetchd gateways check`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct CheckGateways {
    /// Base URL of a gateway, known or not [default: all that may be asked now]
    #[arg(value_name = "URL")]
    pub urls: Vec<String>,
    /// Ask for this block, a small one that they should have, instead of the usual probe
    #[arg(long, value_name = "CID")]
    pub cid: Option<String>,
}

/// Gateways that a command is about, or all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct SomeGatewayUrls {
    /// Base URL of a gateway, as `list` prints it [default: all]
    #[arg(value_name = "URL")]
    pub urls: Vec<String>,
}

/// Gateways that a command is about.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct GatewayUrls {
    /// Base URL of a gateway, as `list` prints it
    #[arg(value_name = "URL", required = true)]
    pub urls: Vec<String>,
}

/// `fetchd config`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum ConfigCommand {
    /// Print each key, its value and where it comes from
    #[command(after_help = help::CONFIG_SHOW)]
    Show,
    /// Print where the configuration file is looked for
    #[command(after_help = help::CONFIG_PATH)]
    Path,
    /// Write a configuration file with every key explained
    #[command(after_help = help::CONFIG_INIT)]
    Init,
}

/// `fetchd man`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Man {
    /// Command to tell of [default: the program]
    #[arg(value_name = "COMMAND")]
    pub command: Vec<String>,
    /// Write every page into this directory, created if missing
    #[arg(short, long, value_name = "DIR", conflicts_with = "command")]
    pub dir: Option<PathBuf>,
}

/// A parser for numbers of downloads at once.
fn jobs_parser() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=i64::from(MAX_JOBS))
}

/// A parser that knows every status by name.
fn status_parser() -> impl clap::builder::TypedValueParser<Value = Status> {
    use clap::builder::TypedValueParser;
    PossibleValuesParser::new(Status::ALL.map(Status::name))
        .try_map(|name| Status::from_name(&name).ok_or("no such status"))
}

/// Reads the arguments, the program's name first. An error knows its exit code and prints itself.
pub fn parse<I, T>(args: I) -> Result<Cli, clap::Error>
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let cli = Cli::try_parse_from(args)?;
    check(&cli)?;
    Ok(cli)
}

/// The rules that span command levels, which clap does not check.
fn check(cli: &Cli) -> Result<(), clap::Error> {
    if cli.global.quiet && cli.global.verbose > 0 {
        return Err(conflict("--quiet and --verbose contradict each other"));
    }
    let Command::Get(get) = &cli.command else {
        return Ok(());
    };
    let to_stdout = get.output.as_deref() == Some(Path::new("-"));
    if get.output.is_some() && get.sources.len() > 1 {
        return Err(conflict(
            "--output names one file, but there are several sources; use --dir",
        ));
    }
    if to_stdout && get.queue {
        return Err(conflict(
            "what waits in the queue cannot go to standard output: name a file with --output",
        ));
    }
    if to_stdout && get.car {
        return Err(conflict("--car needs a file: name one with --output"));
    }
    if to_stdout && cli.global.json {
        return Err(conflict(
            "with --output - standard output is for the bytes, so --json cannot use it",
        ));
    }
    Ok(())
}

/// A usage error in clap's own format.
fn conflict(message: &str) -> clap::Error {
    Cli::command().error(ErrorKind::ArgumentConflict, message)
}

#[cfg(test)]
mod tests;
