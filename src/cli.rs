//! The command line: clap types and help.
//!
//! No I/O, no environment, no defaults that the configuration could set: an option that was not
//! given is `None`, and `settings` decides. What clap cannot express is checked in [`parse`].

pub mod values;

mod disk;
mod fetch;
mod help;
mod records;
mod setup;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, ValueEnum};

pub use disk::*;
pub use fetch::*;
pub use records::*;
pub use setup::*;

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
    match &cli.command {
        Command::Get(get) => check_get(&cli.global, get),
        Command::Cid(args) if cli.global.json && is_dash(args.car.as_deref()) => Err(conflict(
            "with --car - standard output is for the CAR, so --json cannot use it",
        )),
        Command::Export(args) if is_dash(Some(&args.output)) => Err(conflict(
            "a CAR is exported to a file: name one with --output",
        )),
        Command::Import(args) if is_dash(args.output.as_deref()) => Err(conflict(
            "a CAR is imported to a file or directory: name one with --output",
        )),
        _ => Ok(()),
    }
}

/// Whether it means a standard stream.
fn is_dash(path: Option<&Path>) -> bool {
    path == Some(Path::new("-"))
}

fn check_get(global: &Global, get: &Get) -> Result<(), clap::Error> {
    let to_stdout = is_dash(get.output.as_deref());
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
    if to_stdout && global.json {
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
