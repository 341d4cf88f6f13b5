//! `prune`: forgets what has ended, and removes what it left beside its targets.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use crate::cli::Prune;
use crate::commands::context::Context;
use crate::commands::error::CommandError;
use crate::commands::{select, transfer};
use crate::disk::inspect;
use crate::disk::part::PartFile;
use crate::disk::tree::Tree;
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
    for row in &rows {
        let part = match part(context, row) {
            Part::Free(path) => Some(path),
            Part::None => None,
            // Without its record nobody would know whose it is.
            Part::InUse => continue,
        };
        if !prune.dry_run {
            // The record goes first: a download that was reopened meanwhile keeps its part.
            match context.store.forget(row.id).wait() {
                Err(StoreError::Transition { .. } | StoreError::NotFound { .. }) => continue,
                done => done?,
            }
            if part.is_some() {
                transfer::remove_parts(context, row)?;
            }
        }
        view.forgotten.push(row.id.get());
        view.parts.extend(part);
    }
    if prune.ids.is_empty() && !prune.dry_run {
        view.history = Some(context.store.prune_history(before).wait()?);
    }
    context.show(&view, || text::pruned(&view))?;
    Ok(ExitKind::Success)
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
    /// One that some process has open, or that is neither a plain file nor a directory: it stays.
    InUse,
}

fn part(context: &Context, row: &DownloadRow) -> Part {
    let Some(path) = transfer::part_path(context, row) else {
        return Part::None;
    };
    if inspect::is_directory(&path) {
        return match Tree::open(&path) {
            Ok(None) => Part::None,
            Ok(Some(_)) => Part::Free(path),
            Err(_) => Part::InUse,
        };
    }
    match PartFile::open(&path) {
        Ok(None) => Part::None,
        Ok(Some(part)) if part.try_lock().unwrap_or(false) => Part::Free(path),
        Ok(Some(_)) | Err(_) => Part::InUse,
    }
}
