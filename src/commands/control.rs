//! `pause` and `cancel`: asked of a live owner, done here where there is none.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::commands::context::Context;
use crate::commands::error::CommandError;
use crate::commands::{select, transfer};
use crate::disk::install;
use crate::download::{Action, DownloadId, Failure, Status};
use crate::exit::ExitKind;
use crate::store::{self, DownloadRow, Requested, Traffic};

/// How long the owner may take to acknowledge.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often the record is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(20);

/// Pauses downloads.
pub fn pause(context: &Context, ids: &[String]) -> Result<ExitKind, CommandError> {
    each(context, ids, Action::Pause)
}

/// Cancels downloads.
pub fn cancel(
    context: &Context,
    ids: &[String],
    keep_partial: bool,
) -> Result<ExitKind, CommandError> {
    each(context, ids, Action::Cancel { keep_partial })
}

fn each(context: &Context, ids: &[String], action: Action) -> Result<ExitKind, CommandError> {
    let rows = ids
        .iter()
        .map(|id| select::one(context, id))
        .collect::<Result<Vec<_>, _>>()?;
    for row in &rows {
        apply(context, row, action)?;
    }
    Ok(ExitKind::Success)
}

fn apply(context: &Context, row: &DownloadRow, action: Action) -> Result<(), CommandError> {
    let wanted = match action {
        Action::Cancel { .. } => Status::Cancelled,
        _ => Status::Paused,
    };
    match context
        .store
        .request(row.id, action, Timestamp::now())
        .wait()?
    {
        Requested::Ended { status } if status == wanted => Ok(()),
        Requested::Ended { status } => Err(ended(row.id, status)),
        Requested::Unowned { status } if status == wanted && wanted == Status::Paused => {
            mark_paused(context, row)
        }
        Requested::Unowned {
            status: Status::Failed,
        } if wanted == Status::Paused => Err(ended(row.id, Status::Failed)),
        Requested::Unowned { .. } => settle(context, row, action, wanted),
        Requested::Asked { .. } => wait_for(context, row, action, wanted),
    }
}

/// A download that rests already is marked as paused by a person, so that `resume --all` leaves
/// it alone.
fn mark_paused(context: &Context, row: &DownloadRow) -> Result<(), CommandError> {
    if row.paused_by_person() {
        return Ok(());
    }
    context
        .store
        .settle(row.id, ending(Status::Paused))
        .wait()?;
    Ok(())
}

fn settle(
    context: &Context,
    row: &DownloadRow,
    action: Action,
    wanted: Status,
) -> Result<(), CommandError> {
    context.store.settle(row.id, ending(wanted)).wait()?;
    if let (
        Action::Cancel {
            keep_partial: false,
        },
        Some(part),
    ) = (action, transfer::part_path(row))
    {
        install::remove(&part)?;
    }
    Ok(())
}

fn ending(status: Status) -> store::Ending {
    let failure = (status == Status::Paused).then(|| Failure {
        kind: ExitKind::Stopped,
        message: "paused".to_owned(),
        hint: None,
    });
    store::Ending {
        status,
        failure,
        tries: 0,
        next_attempt: None,
        traffic: Traffic::default(),
        now: Timestamp::now(),
    }
}

/// Waits until the owner has done what it was asked; if it dies meanwhile, does it here.
fn wait_for(
    context: &Context,
    row: &DownloadRow,
    action: Action,
    wanted: Status,
) -> Result<(), CommandError> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let now = context.store.download(row.id).wait()?;
        match now {
            Some(now) if now.status == wanted && now.owner.is_none() => return Ok(()),
            Some(now) if matches!(now.status, Status::Success | Status::Cancelled) => {
                return Err(ended(row.id, now.status));
            }
            Some(now) if now.owner.is_none() => return settle(context, row, action, wanted),
            Some(now) => {
                let owner = now
                    .owner
                    .map(|run| context.store.live_run(run).wait())
                    .transpose()?
                    .flatten();
                if owner.is_none_or(|run| !context.is_alive(&run)) {
                    context.reap()?;
                    return apply(context, row, action);
                }
            }
            None => return Ok(()),
        }
        std::thread::sleep(LOOK);
    }
    Err(CommandError::new(
        ExitKind::Retry,
        format!(
            "the process that works on download {} does not answer",
            row.id
        ),
    )
    .hint(format!("see who it is with: fetchd show {}", row.id)))
}

fn ended(id: DownloadId, status: Status) -> CommandError {
    CommandError::usage(format!("download {id} has ended already: {status}"))
        .hint(format!("look at it with: fetchd show {id}"))
}
