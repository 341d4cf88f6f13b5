//! `ls`: what a directory holds, proved, without fetching its files.

use crate::cli::{Get, Ls};
use crate::commands::catalog::Lookup;
use crate::commands::context::Context;
use crate::commands::error::CommandError;
use crate::commands::options::{self, Recorded};
use crate::commands::providers;
use crate::commands::transfer::Transfer;
use crate::content::cid::{self, Cid};
use crate::content::source::{self, Source};
use crate::download::Failure;
use crate::engine::{Blocks, Listed, ListedKind};
use crate::exit::ExitKind;
use crate::ui::text;
use crate::ui::view::{ListingView, NamedView};

/// Lists one directory; anything else is listed as itself.
pub fn run(context: &Context, ls: &Ls) -> Result<ExitKind, CommandError> {
    let mut transfer = Transfer::begin(context, None)?;
    let listing = list(context, &mut transfer, ls);
    transfer.close();
    let listing = listing?;
    context.show(&listing, || text::listing(&listing))?;
    Ok(ExitKind::Success)
}

fn list(
    context: &Context,
    transfer: &mut Transfer<'_>,
    ls: &Ls,
) -> Result<ListingView, CommandError> {
    let (_, text) = Lookup::new(context).look_up(&Get::default(), &ls.source)?;
    let content = match source::parse(&text)? {
        Source::Content(content) => content,
        Source::Url(_) | Source::Catalog(_) => {
            return Err(CommandError::usage("only content by its CID can be listed")
                .hint("give a CID, /ipfs/CID, ipfs://CID or a gateway URL"));
        }
    };
    let named = transfer.resolve(&content, &ls.gateway)?;
    let recorded = Recorded {
        gateways: providers::recordable(&ls.gateway),
        hints: content.hint.iter().cloned().collect(),
        ..Recorded::default()
    };
    let providers = transfer.providers(&recorded)?;
    for notice in &providers.notices {
        transfer.reporter.notice(notice);
    }
    let mut options = options::engine(&context.settings, &recorded, None)?;
    options.discovery = transfer.discovery(&recorded)?;
    let name = match named.path.last() {
        Some(name) => name.clone(),
        None => cid::text(&named.cid),
    };
    let mut blocks = Blocks::new(providers.list, options);
    let listed = transfer.wait_for(look(&mut blocks, named.cid, named.path, name))?;
    let (cid, entries) = listed?;
    Ok(ListingView {
        cid: cid::text(&cid),
        entries: entries.iter().map(view).collect(),
    })
}

/// What is at the end of a path: the entries of a directory, or the thing itself.
async fn look(
    blocks: &mut Blocks,
    root: Cid,
    path: Vec<String>,
    name: String,
) -> Result<(Cid, Vec<Listed>), Failure> {
    let cid = blocks.resolve(root, path).await?;
    let listing = blocks.look(&cid).await?;
    if listing.kind != ListedKind::Directory {
        let itself = Listed {
            name,
            cid,
            tsize: None,
            kind: listing.kind,
            size: listing.size,
        };
        return Ok((cid, vec![itself]));
    }
    let mut entries = listing.entries;
    blocks.look_into(&mut entries).await?;
    Ok((cid, entries))
}

fn view(entry: &Listed) -> NamedView {
    NamedView {
        name: entry.name.clone(),
        cid: cid::text(&entry.cid),
        kind: entry.kind.name(),
        size: entry.size,
    }
}
