//! Commands about what the user sets up: catalogue, gateways, configuration, manual.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::help;
use crate::cli::values;

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
    /// Remove entries, or catalogues from elsewhere; files that were fetched stay
    #[command(after_help = help::CATALOG_REMOVE)]
    Remove(EntryNames),
    /// Fetch the catalogues from elsewhere that the user's own names
    #[command(after_help = help::CATALOG_UPDATE)]
    Update(UpdateCatalogs),
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
    /// The source is a catalogue itself: fetch it, and take its entries too
    #[arg(long, conflicts_with_all = ["size", "kind", "memory", "licence"])]
    pub catalog: bool,
    /// Ask only this gateway (URL) or CAR file for that catalogue; repeatable
    #[arg(long, value_name = "URL|CAR", requires = "catalog")]
    pub gateway: Vec<String>,
}

/// `fetchd catalog update`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct UpdateCatalogs {
    /// Names of catalogues [default: all]
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Ask only this gateway (URL) or CAR file; repeatable
    #[arg(long, value_name = "URL|CAR")]
    pub gateway: Vec<String>,
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
