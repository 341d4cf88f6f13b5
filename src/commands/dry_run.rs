//! `get --dry-run`: what would be done, without doing it.
//!
//! Proves what is wanted by its first blocks, fetches no file, and leaves no record and nothing
//! on disk.

use std::path::Path;

use crate::cli::Get;
use crate::commands::context::Context;
use crate::commands::error::CommandError;
use crate::commands::get::{self, Wanted};
use crate::commands::options;
use crate::commands::transfer::Transfer;
use crate::content::cid::{self, Cid};
use crate::disk::inspect;
use crate::download::{Failure, chain};
use crate::engine::{Blocks, ListedKind, Listing, Place, Provider};
use crate::exit::ExitKind;
use crate::gateway::error::{Advice, GatewayError};
use crate::ui::view::{PlanView, PlannedProviderView};

/// Says what `get` of one source would do.
pub fn one(
    context: &Context,
    transfer: &mut Transfer<'_>,
    get: &Get,
    text: &str,
) -> Result<(), CommandError> {
    let wanted = get::wanted(context, transfer, get, text)?;
    let recorded = get::recorded(get, &wanted);
    let providers = transfer.providers(&recorded)?;
    for notice in &providers.notices {
        transfer.reporter.notice(notice);
    }
    let views = providers.list.iter().map(provider).collect();
    let mut view = PlanView {
        source: wanted.source.clone(),
        cid: wanted.root.as_ref().map(cid::text),
        content_path: Some(wanted.names.join("/")).filter(|path| !path.is_empty()),
        content_cid: None,
        path: wanted.path.clone(),
        kind: ListedKind::File.name(),
        size: None,
        claimed: None,
        entries: None,
        action: action(context, get, &wanted)?,
        providers: views,
    };
    match wanted.root {
        None => view.size = transfer.wait_for(size_of_first(&providers.list))??,
        Some(root) => {
            let mut options = options::engine(&context.settings, &recorded, None)?;
            options.discovery = transfer.discovery(&recorded)?;
            let mut blocks = Blocks::new(providers.list, options);
            let names = wanted.names.clone();
            let (cid, listing) = transfer.wait_for(look(&mut blocks, root, names))??;
            let is_directory = listing.kind == ListedKind::Directory;
            view.content_cid = Some(cid);
            view.kind = listing.kind.name();
            view.size = listing.size;
            view.claimed = claimed(&listing);
            view.entries = is_directory.then_some(listing.entries.len() as u64);
        }
    }
    transfer.planned(&view);
    Ok(())
}

/// The size of a plain file, as the first of its places says.
async fn size_of_first(providers: &[Provider]) -> Result<Option<u64>, CommandError> {
    let Some(Place::Plain(plain)) = providers.first().map(|provider| &provider.place) else {
        return Ok(None);
    };
    let facts = plain.look().await.map_err(|error| unseen(&error))?;
    Ok(facts.total)
}

/// Why a plain file could not be looked at, as `get` would end.
fn unseen(error: &GatewayError) -> CommandError {
    let (kind, hint) = match error.advice() {
        Advice::Absent | Advice::Never => {
            (ExitKind::NotFound, "check the URL, or name another place")
        }
        // No login helps there.
        Advice::Unsupported | Advice::Unprovable => (ExitKind::Refused, "name another place"),
        Advice::Credentials | Advice::Withheld => (
            ExitKind::Refused,
            "give a login with --netrc or --header, or name another place",
        ),
        _ => (ExitKind::Retry, "try again later, or name another place"),
    };
    CommandError::new(kind, format!("{}: {}", error.url, chain(error)))
        .hint(format!("{hint} with --mirror"))
}

async fn look(
    blocks: &mut Blocks,
    root: Cid,
    names: Vec<String>,
) -> Result<(String, Listing), Failure> {
    let cid = blocks.resolve(root, names).await?;
    Ok((cid::text(&cid), blocks.look(&cid).await?))
}

/// What the entries of a directory claim to hold, blocks and all.
fn claimed(listing: &Listing) -> Option<u64> {
    let sizes = listing.entries.iter().map(|entry| entry.tsize.unwrap_or(0));
    let is_directory = listing.kind == ListedKind::Directory;
    is_directory.then(|| sizes.fold(0, u64::saturating_add))
}

/// What would become of it.
fn action(context: &Context, get: &Get, wanted: &Wanted) -> Result<&'static str, CommandError> {
    let recorded = get::recorded(get, wanted);
    if get::there(context, get, wanted, &recorded)?.is_some() {
        return Ok("none");
    }
    // A directory that is missing would be made.
    let parent = wanted.path.as_deref().and_then(Path::parent);
    if parent.is_some_and(inspect::exists) {
        get::check_target(context, wanted, get.force)?;
    }
    let under_way = match &wanted.path {
        Some(path) => context.store.unfinished_at(path).wait()?,
        None => None,
    };
    Ok(if under_way.is_some() {
        "resume"
    } else {
        "fetch"
    })
}

fn provider(provider: &Provider) -> PlannedProviderView {
    PlannedProviderView {
        url: provider.url().to_owned(),
        capabilities: (&provider.capabilities).into(),
    }
}
