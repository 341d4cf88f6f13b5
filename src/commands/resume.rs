//! `resume`: goes on with what is not finished.

use std::collections::HashMap;

use crate::cli::Resume;
use crate::commands::context::Context;
use crate::commands::error::CommandError;
use crate::commands::options::Recorded;
use crate::commands::transfer::{Shop, Supplied, Supply, Task, Transfer};
use crate::commands::{claim, providers, select, typed};
use crate::download::{DownloadId, Status};
use crate::exit::ExitKind;
use crate::store::{Change, DownloadRow, Filter, Sort, Which};

/// Goes on with the downloads that were named, or with all that no person paused.
pub fn run(context: Context, resume: &Resume) -> Result<ExitKind, CommandError> {
    providers::check_mirrors(&resume.mirror)?;
    let tasks = tasks(&context, resume)?;
    let mut transfer = Transfer::begin(&context, None)?;
    // Recorded in the place of those that were right, a mistake of typing would last.
    if let Err(error) = check_providers(&mut transfer, resume) {
        transfer.close();
        return Err(error);
    }
    let jobs = resume.jobs.unwrap_or(context.settings.keys.jobs);
    let tasks = tasks.into_iter();
    let mut chosen = Chosen { resume, tasks };
    let drained = transfer.drain(usize::try_from(jobs).unwrap_or(1), &mut chosen);
    for Task { row, .. } in chosen.tasks {
        transfer.is_over(&row.source, Some(row.id));
    }
    Ok(transfer.end_after(drained))
}

/// What to go on with, in the order asked for: each download once, however often it was named.
fn tasks(context: &Context, resume: &Resume) -> Result<Vec<Task>, CommandError> {
    let rows = if resume.all {
        interrupted(context, resume.reset)?
    } else {
        let named = resume.ids.iter().map(|id| select::one(context, id));
        named.collect::<Result<Vec<_>, _>>()?
    };
    let mut tasks: Vec<Task> = Vec::new();
    let mut first: HashMap<DownloadId, usize> = HashMap::new();
    for (place, row) in rows.into_iter().enumerate() {
        let nth = *first.entry(row.id).or_insert(tasks.len());
        match tasks.get_mut(nth) {
            Some(task) => task.places.push(place),
            None => tasks.push(Task {
                row,
                places: vec![place],
            }),
        }
    }
    for Task { row, places } in &tasks {
        let checked = check(context, row, resume, tasks.len());
        let named = places.first().and_then(|&place| resume.ids.get(place));
        checked.map_err(|error| CommandError {
            argument: named.cloned(),
            ..error
        })?;
    }
    Ok(tasks)
}

/// Makes the providers ready that the user has just named.
fn check_providers(transfer: &mut Transfer<'_>, resume: &Resume) -> Result<(), CommandError> {
    transfer.check_providers(&Recorded {
        gateways: providers::recordable(&resume.gateway),
        mirrors: providers::recordable(&resume.mirror),
        ..Recorded::default()
    })
}

/// The downloads to go on with, in the order asked for.
struct Chosen<'a> {
    resume: &'a Resume,
    tasks: std::vec::IntoIter<Task>,
}

impl Supply for Chosen<'_> {
    async fn next(&mut self, shop: &Shop) -> Result<Option<Supplied>, CommandError> {
        let Some(task) = self.tasks.next() else {
            return Ok(None);
        };
        if task.row.status == Status::Success {
            return Ok(Some(Supplied::There(task)));
        }
        Ok(Some(match take(shop, self.resume, &task.row).await {
            Ok(row) => Supplied::Task(Task { row, ..task }),
            Err(error) => Supplied::Refused(task, error),
        }))
    }
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
        Status::Cancelled => Err(CommandError::usage(format!("download {id} was cancelled"))
            .hint(format!("fetch it anew with: {}", typed::anew(row)))),
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

/// Claims a download, as it is wanted now.
async fn take(
    shop: &Shop,
    resume: &Resume,
    row: &DownloadRow,
) -> Result<DownloadRow, CommandError> {
    let options_json = wanted(resume, Recorded::from_json(&row.options_json)).to_json();
    let begins_anew = resume.reset;
    let change = move |row: &DownloadRow| Change {
        begins_anew,
        asked: Some((options_json, row.expected_sha256)),
        ..Change::default()
    };
    claim::resume(&shop.context, shop.run, row.id, change).await
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
            .map(Recorded::limit)
            .or(recorded.limit_rate),
        ..recorded
    }
}
