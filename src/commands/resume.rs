//! `resume`: goes on with what is not finished.

use jiff::Timestamp;

use crate::cli::Resume;
use crate::commands::context::Context;
use crate::commands::error::CommandError;
use crate::commands::options::Recorded;
use crate::commands::transfer::Transfer;
use crate::commands::{claim, providers, select};
use crate::download::{Status, quoted};
use crate::exit::ExitKind;
use crate::store::{DownloadRow, Filter, Sort, Which};

/// Goes on with the downloads that were named, or with all that no person paused.
pub fn run(context: Context, resume: &Resume) -> Result<ExitKind, CommandError> {
    providers::check_mirrors(&resume.mirror)?;
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
        check(&context, row, resume, rows.len())?;
    }
    let mut transfer = Transfer::begin(&context, None)?;
    for row in &rows {
        if transfer.is_over(&row.source, Some(row.id)) {
            continue;
        }
        if row.status == Status::Success {
            transfer.already_there(row);
        } else if let Err(error) = one(&context, &mut transfer, resume, row) {
            transfer.refused(&row.source, error.about(row.id));
        }
    }
    transfer.end()
}

/// Everything unfinished except what a person paused, and what would go to a standard output that
/// expects no bytes; with `--reset` the failed ones too.
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
    rows.retain(|row| !row.paused_by_person() && row.path.is_some());
    Ok(rows)
}

fn check(
    context: &Context,
    row: &DownloadRow,
    resume: &Resume,
    among: usize,
) -> Result<(), CommandError> {
    let id = row.id;
    match row.status {
        Status::Success => Ok(()),
        Status::Cancelled => Err(
            CommandError::usage(format!("download {id} was cancelled")).hint(format!(
                "fetch it anew with: fetchd get {}",
                quoted(&row.source)
            )),
        ),
        Status::Failed if !resume.reset => {
            Err(CommandError::usage(format!("download {id} has failed"))
                .hint(format!("try again with: fetchd resume {id} --reset")))
        }
        _ if row.path.is_none() && (context.wants_json() || among > 1) => Err(CommandError::usage(
            format!("download {id} goes to standard output, which is then for its bytes alone"),
        )
        .hint(format!(
            "resume it alone, without --json: fetchd resume {id}"
        ))),
        _ => Ok(()),
    }
}

fn one(
    context: &Context,
    transfer: &mut Transfer<'_>,
    resume: &Resume,
    row: &DownloadRow,
) -> Result<(), CommandError> {
    let recorded = wanted(resume, Recorded::from_json(&row.options_json));
    let providers = transfer.providers(&recorded)?;
    let claimed = claim::resume(context, transfer, row.id)?;
    let (store, run) = (&context.store, transfer.run_id());
    if resume.reset {
        store.reset_attempts(row.id, run, Timestamp::now()).wait()?;
    }
    let options = recorded.to_json();
    store
        .set_options(row.id, run, options, claimed.expected_sha256)
        .wait()?;
    transfer.run(&claim::reread(context, row.id)?, providers);
    Ok(())
}

/// What was recorded, as far as nothing else is wanted now.
fn wanted(resume: &Resume, recorded: Recorded) -> Recorded {
    let gateways = if resume.gateway.is_empty() {
        recorded.gateways
    } else {
        providers::recordable(&resume.gateway)
    };
    let mut mirrors = recorded.mirrors;
    for mirror in providers::recordable(&resume.mirror) {
        if !mirrors.contains(&mirror) {
            mirrors.push(mirror);
        }
    }
    Recorded {
        gateways,
        mirrors,
        limit_rate: resume
            .limit_rate
            .map(Recorded::rate)
            .or(recorded.limit_rate),
        ..recorded
    }
}
