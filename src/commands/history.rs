//! `history`: what was asked of whom, and how it ended.

use crate::cli::History;
use crate::commands::context::Context;
use crate::commands::error::CommandError;
use crate::commands::select;
use crate::exit::ExitKind;
use crate::store::AttemptRow;
use crate::ui::table;
use crate::ui::view::{AttemptList, AttemptView};

/// Shows the history of one download, or of all.
pub fn run(context: &Context, history: &History) -> Result<ExitKind, CommandError> {
    let id = match &history.id {
        Some(text) => Some(select::one(context, text)?.id),
        None => None,
    };
    let limit = history.limit.unwrap_or(u32::MAX);
    let rows = context.store.history(id, limit).wait()?;
    let views: Vec<AttemptView> = rows.into_iter().map(view).collect();
    context.show(&AttemptList { attempts: &views }, || {
        table::attempts(&views, context.width())
    })?;
    Ok(ExitKind::Success)
}

fn view(row: AttemptRow) -> AttemptView {
    let attempt = row.attempt;
    AttemptView {
        id: row.id,
        download: attempt.download,
        run: attempt.run.0,
        provider: attempt.provider,
        request: attempt.request,
        offset: attempt.offset,
        bytes: attempt.bytes,
        outcome: attempt.outcome,
        started_at: attempt.started.into(),
        ended_at: attempt.ended.into(),
    }
}
