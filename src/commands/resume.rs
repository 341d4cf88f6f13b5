//! `resume`: goes on with what is not finished.

use jiff::Timestamp;

use crate::cli::Resume;
use crate::commands::context::Context;
use crate::commands::error::CommandError;
use crate::commands::options::Recorded;
use crate::commands::transfer::Transfer;
use crate::commands::{get, providers, select};
use crate::download::Status;
use crate::exit::ExitKind;
use crate::store::{DownloadRow, Filter, Sort, Which};

/// Goes on with the downloads that were named, or with all that no person paused.
pub fn run(context: Context, resume: &Resume) -> Result<ExitKind, CommandError> {
    let rows = if resume.all {
        interrupted(&context, resume.reset)?
    } else {
        resume
            .ids
            .iter()
            .map(|id| select::one(&context, id))
            .collect::<Result<Vec<_>, _>>()?
    };
    for row in &rows {
        check(row, resume)?;
    }
    let mut transfer = Transfer::begin(&context, None)?;
    for row in &rows {
        if transfer.is_over() {
            break;
        }
        if row.status == Status::Success {
            transfer.already_there(row);
        } else if let Err(error) = one(&context, &mut transfer, resume, row) {
            transfer.refused(&row.source, Some(row.id), error);
        }
    }
    transfer.end()
}

/// Everything unfinished except what a person paused; with `--reset` the failed ones too.
fn interrupted(context: &Context, with_failed: bool) -> Result<Vec<DownloadRow>, CommandError> {
    let mut statuses = vec![Status::Pending, Status::Paused];
    if with_failed {
        statuses.push(Status::Failed);
    }
    let filter = Filter {
        which: Which::Statuses(statuses),
        sort: Sort::Oldest,
        limit: None,
    };
    let mut rows = context.store.downloads(filter).wait()?;
    rows.retain(|row| !row.paused_by_person());
    Ok(rows)
}

fn check(row: &DownloadRow, resume: &Resume) -> Result<(), CommandError> {
    match row.status {
        Status::Cancelled => Err(
            CommandError::usage(format!("download {} was cancelled", row.id))
                .hint(format!("fetch it anew with: fetchd get {}", row.source)),
        ),
        Status::Failed if !resume.reset => Err(CommandError::usage(format!(
            "download {} has failed",
            row.id
        ))
        .hint(format!("try again with: fetchd resume {} --reset", row.id))),
        _ => Ok(()),
    }
}

fn one(
    context: &Context,
    transfer: &mut Transfer<'_>,
    resume: &Resume,
    row: &DownloadRow,
) -> Result<(), CommandError> {
    let claimed = get::claim(context, transfer, row.id)?;
    let run = transfer.run_id();
    if resume.reset {
        context
            .store
            .reset_attempts(row.id, run, Timestamp::now())
            .wait()?;
    }
    if !resume.gateway.is_empty() {
        let recorded = Recorded {
            gateways: providers::recordable(&resume.gateway),
            ..Recorded::from_json(&claimed.options_json)
        };
        context
            .store
            .set_options(row.id, run, recorded.to_json(), claimed.expected_sha256)
            .wait()?;
    }
    if let Some(row) = context.store.download(row.id).wait()? {
        transfer.run(&row);
    }
    Ok(())
}
