//! `cid`: what a file or tree on disk is called under importer profiles.
//!
//! Needs neither state nor configuration.

use std::path::Path;

use crate::cli::{CidOf, Global};
use crate::commands::context;
use crate::commands::error::CommandError;
use crate::content::cid;
use crate::content::hash::hex;
use crate::content::importer::{Profile, Root};
use crate::disk::inspect;
use crate::disk::random_file::RandomFile;
use crate::disk::tree::TreeView;
use crate::download::chain;
use crate::engine::{self, Names, NamingError};
use crate::exit::ExitKind;
use crate::ui::view::{CidsView, ProfileCidView};
use crate::ui::{json, table};

/// The profiles that most content was imported with.
const USUAL: usize = 3;

/// Prints the CIDs.
pub fn run(global: &Global, args: &CidOf) -> Result<ExitKind, CommandError> {
    let usual = &Profile::ALL[..USUAL];
    let profiles = match args.profiles.as_slice() {
        [] => usual,
        asked => asked,
    };
    let names = names(&args.path, profiles).map_err(failed)?;
    let is_stream = args.path == Path::new("-");
    let path = std::path::absolute(&args.path).unwrap_or_else(|_| args.path.clone());
    let one = |(profile, root): (&Profile, &Option<Root>)| ProfileCidView {
        profile: profile.name(),
        cid: root.map(|root| cid::text(&root.cid)),
    };
    let view = CidsView {
        path: Some(path).filter(|_| !is_stream),
        size: names.size,
        sha256: names.sha256.map(|sha256| hex(&sha256)),
        cids: profiles.iter().zip(&names.roots).map(one).collect(),
    };
    let text = match global.json {
        true => json::document(&view)
            .map_err(|error| CommandError::new(ExitKind::Internal, error.to_string()))?,
        false => table::cids(&view),
    };
    context::print(&text)?;
    Ok(ExitKind::Success)
}

fn names(path: &Path, profiles: &[Profile]) -> Result<Names, NamingError> {
    if path == Path::new("-") {
        return engine::name_stream(&mut std::io::stdin().lock(), profiles);
    }
    if inspect::is_directory(path)
        && let Some(view) = TreeView::open(path)?
    {
        return engine::name_tree(&view, path, profiles);
    }
    engine::name_file(&RandomFile::open(path)?, profiles)
}

fn failed(error: NamingError) -> CommandError {
    match error {
        NamingError::Disk(error) => error.into(),
        NamingError::Stream(_) => CommandError::new(ExitKind::Disk, chain(&error)),
        NamingError::Directory { .. } => CommandError::new(ExitKind::Refused, chain(&error)),
    }
}
