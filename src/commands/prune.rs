//! `prune`: forgets what has ended, and removes what it left beside its targets.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use crate::cli::Prune;
use crate::commands::context::Context;
use crate::commands::error::CommandError;
use crate::commands::transfer::Tally;
use crate::commands::{select, transfer};
use crate::disk::inspect;
use crate::disk::part::PartFile;
use crate::disk::tree::Tree;
use crate::download::{chain, remedy};
use crate::exit::ExitKind;
use crate::store::{DownloadRow, StoreError};
use crate::ui::text;
use crate::ui::view::PruneView;

/// Forgets the named downloads, or all that ended long enough ago.
pub fn run(context: &Context, prune: &Prune) -> Result<ExitKind, CommandError> {
    let before = before(context, prune);
    let rows = chosen(context, prune, before)?;
    let mut view = PruneView {
        dry_run: prune.dry_run,
        ..PruneView::default()
    };
    let mut tally = Tally::default();
    for row in &rows {
        if let Err(error) = forget(context, row, &mut view) {
            tally.failed(error.kind);
            context.complain(&error);
        }
    }
    if prune.ids.is_empty() && !prune.dry_run {
        view.history = Some(context.store.prune_history(before).wait()?);
    }
    context.show(&view, || text::pruned(&view))?;
    Ok(tally.outcome())
}

/// Forgets one, and removes its part, unless it is not over any more, or some process has that
/// part.
fn forget(context: &Context, row: &DownloadRow, view: &mut PruneView) -> Result<(), CommandError> {
    let id = row.id;
    let part = match part(context, row)? {
        Part::None => None,
        Part::Free(path) => Some(path),
        // Without its record nobody would know whose it is.
        Part::InUse(path) => {
            let path = path.display();
            let message = format!("download {id} is kept: another process has {path} open");
            context.reporter_of_document().notice(&message);
            return Ok(());
        }
    };
    if !view.dry_run {
        // The record goes first: a download that was reopened meanwhile keeps its part.
        match context.store.forget(id).wait() {
            Err(StoreError::Transition { .. } | StoreError::NotFound { .. }) => return Ok(()),
            done => done?,
        }
    }
    view.forgotten.push(id.get());
    if !view.dry_run {
        transfer::remove_parts(context, row).map_err(|error| {
            CommandError::new(ExitKind::Disk, chain(&error)).hint(format!(
                "download {id} is forgotten; remove what it left by hand"
            ))
        })?;
    }
    view.parts.extend(part);
    Ok(())
}

/// What ended before this is old; the future, for downloads that are named without an age.
fn before(context: &Context, prune: &Prune) -> Timestamp {
    let age = match (prune.older_than, prune.ids.is_empty()) {
        (Some(age), _) => age,
        (None, true) => context.settings.keys.retention,
        (None, false) => Duration::ZERO,
    };
    if age.is_zero() {
        return Timestamp::MAX;
    }
    // An age beyond the calendar makes nothing old.
    let now = Timestamp::now();
    now.checked_sub(age).unwrap_or(Timestamp::MIN)
}

fn chosen(
    context: &Context,
    prune: &Prune,
    before: Timestamp,
) -> Result<Vec<DownloadRow>, CommandError> {
    if prune.ids.is_empty() {
        return Ok(context.store.ended_before(before).wait()?);
    }
    let mut rows = Vec::new();
    for text in &prune.ids {
        let row = select::one(context, text)?;
        if row.status.is_unfinished() {
            let (id, status) = (row.id, row.status);
            return Err(CommandError::usage(format!(
                "download {id} has not ended: it is {status}"
            ))
            .hint(format!("give it up first with: fetchd cancel {id}")));
        }
        let is_old = row.completed.unwrap_or(row.updated) < before;
        if is_old && !rows.contains(&row) {
            rows.push(row);
        }
    }
    Ok(rows)
}

/// What lies beside the target of a download that has ended.
enum Part {
    None,
    /// A part that nobody has open.
    Free(PathBuf),
    /// One that some process has open.
    InUse(PathBuf),
}

/// Looks for the part of a download that has ended.
///
/// # Errors
/// It cannot be looked at, or is nothing that fetchd wrote: it stays, as in [`Part::InUse`].
fn part(context: &Context, row: &DownloadRow) -> Result<Part, CommandError> {
    let path = transfer::part_path(context, row).filter(|path| !inspect::is_absent(path));
    let Some(path) = path else {
        return Ok(Part::None);
    };
    let opened = match inspect::is_directory(&path) && row.may_be_tree() {
        true => Tree::open(&path).map(|tree| tree.map(|_| true)),
        false => PartFile::open(&path).map(|part| part.map(|part| part.try_lock().unwrap_or(true))),
    };
    match opened {
        Ok(None) => Ok(Part::None),
        Ok(Some(true)) => Ok(Part::Free(path)),
        Ok(Some(false)) => Ok(Part::InUse(path)),
        Err(error) => {
            let first = remedy(&error).unwrap_or_else(|| "see what is wrong with it".to_owned());
            let hint = format!("{first}, then: fetchd prune {}", row.id);
            let kind = match error.is_in_the_way() {
                true => ExitKind::Exists,
                false => ExitKind::Disk,
            };
            Err(CommandError::new(kind, chain(&error)).hint(hint))
        }
    }
}
