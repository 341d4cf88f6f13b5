//! `list`: the records.

use crate::cli::{List, SortKey};
use crate::commands::context::Context;
use crate::commands::error::CommandError;
use crate::commands::show;
use crate::exit::ExitKind;
use crate::store::{Filter, Sort, Which};
use crate::ui::table;
use crate::ui::view::{DownloadList, DownloadView};

/// Lists what is not finished or has failed, or what was asked for.
pub fn run(context: &Context, list: &List) -> Result<ExitKind, CommandError> {
    let which = match (&list.status, list.all) {
        (statuses, _) if !statuses.is_empty() => Which::Statuses(statuses.clone()),
        (_, true) => Which::All,
        _ => Which::Open,
    };
    let filter = Filter {
        which,
        sort: sort(list.sort),
        limit: list.limit,
    };
    let rows = context.store.downloads(filter).wait()?;
    let views: Vec<DownloadView> = rows.iter().map(show::view).collect();
    context.show(&DownloadList { downloads: &views }, || {
        table::downloads(&views, context.width())
    })?;
    Ok(ExitKind::Success)
}

fn sort(key: SortKey) -> Sort {
    match key {
        SortKey::Id => Sort::Oldest,
        SortKey::Created => Sort::Newest,
        SortKey::Updated => Sort::Updated,
        SortKey::Size => Sort::Size,
        SortKey::Status => Sort::Status,
        SortKey::Path => Sort::Path,
    }
}
