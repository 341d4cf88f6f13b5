//! `get --wait`: waiting for another process that has the same download.

use std::time::Duration;

use crate::commands::context::Context;
use crate::commands::error::CommandError;
use crate::commands::transfer::Transfer;
use crate::commands::{claim, typed};
use crate::download::Status;
use crate::exit::ExitKind;
use crate::store::{DownloadRow, NewDownload};

/// How often the record is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Waits as long as another process works on what is wanted. Whether what that has put in place is
/// what is wanted here is for the caller to look at; if it put nothing there, it can be taken up.
///
/// # Errors
/// The other process ended it for good, with that error; a person paused or cancelled it; or a
/// signal came.
pub fn for_other(
    context: &Context,
    transfer: &mut Transfer<'_>,
    new: &NewDownload,
) -> Result<(), CommandError> {
    let Some((row, owner)) = claim::owner_of(context, new)? else {
        return Ok(());
    };
    let id = row.id;
    transfer.reporter.notice(&format!(
        "waiting for process {}, which is fetching it as download {id}",
        owner.info.pid
    ));
    loop {
        let row = claim::reread(context, id)?;
        match row.owner {
            None => return ended(&row),
            // Somebody else has taken it over, who may die in turn.
            Some(run) if run != owner.id => return for_other(context, transfer, new),
            // Gone without a word. Its work is taken from it, now or when it is no news any more.
            Some(_) if !context.is_alive(&owner) => context.reap()?,
            Some(_) => {}
        }
        // The timer belongs to the runtime that waits.
        transfer.wait_for(async { tokio::time::sleep(LOOK).await })?;
    }
}

fn ended(row: &DownloadRow) -> Result<(), CommandError> {
    let id = row.id;
    match (row.status, &row.failure) {
        (Status::Failed, Some(failure)) => Err(CommandError::from(failure.clone()).about(id)),
        (Status::Cancelled, _) => Err(CommandError::new(
            ExitKind::Stopped,
            format!("download {id} was cancelled while it was waited for"),
        )
        .hint(format!("fetch it anew with: {}", typed::anew(row)))),
        // What a person wants to rest is not taken up behind their back.
        _ if row.paused_by_person() => Err(CommandError::new(
            ExitKind::Stopped,
            format!("download {id} was paused while it was waited for"),
        )
        .about(id)),
        _ => Ok(()),
    }
}
