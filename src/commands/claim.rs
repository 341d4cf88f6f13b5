//! Getting hold of the record of a download: a new one, one that is under way, or one that failed.

use jiff::Timestamp;

use crate::commands::context::Context;
use crate::commands::error::CommandError;
use crate::commands::options::Recorded;
use crate::commands::transfer::Transfer;
use crate::download::{DownloadId, Status};
use crate::exit::ExitKind;
use crate::store::{Claim, DownloadRow, NewDownload, StoreError};

/// Makes a record, or takes up the one that is under way to the same place, or that failed there;
/// claimed in any case.
pub fn take(
    context: &Context,
    transfer: &Transfer<'_>,
    new: NewDownload,
) -> Result<DownloadRow, CommandError> {
    if let Some(id) = failed_before(context, &new)? {
        match take_up(context, transfer, &new, id) {
            Err(Refused::Store(StoreError::ActiveExists { id })) => {
                return Ok(take_up(context, transfer, &new, id)?);
            }
            done => return Ok(done?),
        }
    }
    let created = context
        .store
        .create_download(new.clone(), Some(transfer.run_id()));
    match created.wait() {
        Ok(id) => reread(context, id),
        Err(StoreError::ActiveExists { id }) => Ok(take_up(context, transfer, &new, id)?),
        Err(error) => Err(error.into()),
    }
}

/// A failed download of the same content to the same place.
fn failed_before(context: &Context, new: &NewDownload) -> Result<Option<DownloadId>, CommandError> {
    let (Some(path), Some(root)) = (&new.path, &new.root_cid) else {
        return Ok(None);
    };
    if context.store.unfinished_at(path).wait()?.is_some() {
        return Ok(None);
    }
    let failed = context.store.failed_at(path, root, &new.content_path);
    let Some(id) = failed.wait()? else {
        return Ok(None);
    };
    let row = context.store.download(id).wait()?;
    Ok(row.filter(|row| is_same(row, new)).map(|row| row.id))
}

/// Why a record could not be taken up: the store's own word is still of interest.
enum Refused {
    Store(StoreError),
    Other(CommandError),
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Refused> for CommandError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Store(error) => error.into(),
            Refused::Other(error) => error,
        }
    }
}

/// Goes on with a download to the same place, if it is of the same content, as it is wanted now.
fn take_up(
    context: &Context,
    transfer: &Transfer<'_>,
    new: &NewDownload,
    id: DownloadId,
) -> Result<DownloadRow, Refused> {
    let row = context.store.download(id).wait()?;
    if row.is_none() {
        let error = CommandError::new(
            ExitKind::Exists,
            "a download of another user is under way to the same place",
        );
        return Err(Refused::Other(error.hint("choose another place with -o")));
    }
    if !row.as_ref().is_some_and(|row| is_same(row, new)) {
        let error = CommandError::new(
            ExitKind::Exists,
            format!("download {id} of something else is under way to the same place"),
        );
        return Err(Refused::Other(error.hint(format!(
            "choose another place with -o, or give that one up with: fetchd cancel {id}"
        ))));
    }
    let takes_the_same = row.as_ref().is_none_or(|row| {
        let before = Recorded::from_json(&row.options_json);
        before.takes_the_same(&Recorded::from_json(&new.options_json))
    });
    let had_failed = row.is_some_and(|row| row.status == Status::Failed);
    if !takes_the_same && !had_failed {
        let error = CommandError::new(
            ExitKind::Exists,
            format!("download {id} to the same place takes another part of the directory"),
        );
        return Err(Refused::Other(error.hint(format!(
            "go on with: fetchd resume {id}, or give it up with: fetchd cancel {id}"
        ))));
    }
    let claimed = claim(context, transfer, id)?;
    let (store, run) = (&context.store, transfer.run_id());
    if !takes_the_same {
        store.forget_tree(id, run).wait()?;
    }
    // What failed begins anew; what is under way keeps the promise that it was asked for with.
    let sum = if had_failed {
        store.reset_attempts(id, run, new.created).wait()?;
        new.expected_sha256
    } else {
        new.expected_sha256.or(claimed.expected_sha256)
    };
    store
        .set_options(id, run, new.options_json.clone(), sum)
        .wait()?;
    reread(context, id).map_err(Refused::Other)
}

/// Whether a record is of the same content, saved in the same form.
fn is_same(row: &DownloadRow, new: &NewDownload) -> bool {
    let has_same_name = row.root_cid.is_some() || row.source == new.source;
    has_same_name
        && row.root_cid == new.root_cid
        && row.content_path == new.content_path
        && (row.kind == "car") == (new.kind == "car")
}

/// Makes this run the owner of a download that is not finished.
fn claim(
    context: &Context,
    transfer: &Transfer<'_>,
    id: DownloadId,
) -> Result<DownloadRow, Refused> {
    let store = &context.store;
    let now = Timestamp::now();
    let (run, rest) = (transfer.run_id(), [Status::Paused, Status::Failed]);
    let mut claim = store.claim(id, run, &rest, Status::Resuming, now).wait()?;
    if let Claim::Elsewhere {
        status: Status::Pending,
    } = claim
    {
        claim = store
            .claim(id, run, &[Status::Pending], Status::InProgress, now)
            .wait()?;
    }
    match claim {
        Claim::Taken(row) => Ok(*row),
        Claim::Elsewhere { status } if !status.is_unfinished() => {
            Err(Refused::Other(CommandError::usage(format!(
                "download {id} cannot be gone on with: it is {status}"
            ))))
        }
        Claim::Owned { .. } | Claim::Elsewhere { .. } => Err(Refused::Other(
            CommandError::new(
                ExitKind::Retry,
                format!("another process is working on download {id}"),
            )
            .hint(format!("see who it is with: fetchd show {id}"))
            .about(id),
        )),
    }
}

/// Makes this run the owner of a download that is not finished, to go on with it.
pub fn resume(
    context: &Context,
    transfer: &Transfer<'_>,
    id: DownloadId,
) -> Result<DownloadRow, CommandError> {
    Ok(claim(context, transfer, id)?)
}

/// The record as it is after a change.
pub fn reread(context: &Context, id: DownloadId) -> Result<DownloadRow, CommandError> {
    let row = context.store.download(id).wait()?;
    row.ok_or_else(|| CommandError::new(ExitKind::Internal, "a record of this run is gone"))
}
