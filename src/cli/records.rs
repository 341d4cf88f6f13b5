//! Commands about records: `list`, `show`, `history`, `prune`.

use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};

use crate::cli::values;
use crate::download::Status;

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

/// A parser that knows every status by name.
fn status_parser() -> impl clap::builder::TypedValueParser<Value = Status> {
    use clap::builder::TypedValueParser;
    PossibleValuesParser::new(Status::ALL.map(Status::name))
        .try_map(|name| Status::from_name(&name).ok_or("no such status"))
}

/// `fetchd show`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Show {
    /// Download to show: id, CID, unique prefix of a CID, or path
    #[arg(value_name = "ID")]
    pub id: String,
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
