//! Getting hold of the record of a download: a new one, one that is under way, or one that failed.

use jiff::Timestamp;

use crate::commands::context::Context;
use crate::commands::error::CommandError;
use crate::commands::options::Recorded;
use crate::commands::transfer::Transfer;
use crate::commands::{demand, select, typed};
use crate::download::{DownloadId, RunId, Status};
use crate::exit::ExitKind;
use crate::store::{Change, Claim, DownloadRow, Looked, NewDownload, RunRow, StoreError};

/// Makes a record, or takes up the one that is under way to the same place, or that failed there;
/// claimed in any case.
///
/// # Errors
/// [`Refused::DoneMeanwhile`] if another process has finished it since somebody `looked`.
pub fn take(
    context: &Context,
    transfer: &Transfer<'_>,
    new: NewDownload,
    looked: Looked,
) -> Result<DownloadRow, Refused> {
    if let Some(id) = failed_before(context, &new)? {
        match take_up(context, transfer, &new, id) {
            Err(Refused::Store(StoreError::ActiveExists { id })) => {
                return take_up(context, transfer, &new, id);
            }
            done => return done,
        }
    }
    let store = &context.store;
    let created = store.create_download_since(looked, new.clone(), transfer.run_id());
    match created.wait() {
        Ok(row) => Ok(row),
        Err(StoreError::ActiveExists { id }) => take_up(context, transfer, &new, id),
        Err(error) => Err(error.into()),
    }
}

/// A failed download of the same content to the same place.
fn failed_before(context: &Context, new: &NewDownload) -> Result<Option<DownloadId>, CommandError> {
    let Some(path) = &new.path else {
        return Ok(None);
    };
    if context.store.unfinished_at(path).wait()?.is_some() {
        return Ok(None);
    }
    let root = new.root_cid.as_deref();
    let failed = context
        .store
        .failed_at(path, root, &new.content_path, &new.source);
    let Some(id) = failed.wait()? else {
        return Ok(None);
    };
    let row = context.store.download(id).wait()?;
    Ok(row.filter(|row| is_same(row, new)).map(|row| row.id))
}

/// Why there is no record to go on with.
pub enum Refused {
    /// Another process has just finished it.
    DoneMeanwhile,
    /// What the store says.
    Store(StoreError),
    /// Anything else.
    Other(CommandError),
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::DoneMeanwhile => Self::DoneMeanwhile,
            error => Self::Store(error),
        }
    }
}

impl From<CommandError> for Refused {
    fn from(error: CommandError) -> Self {
        Self::Other(error)
    }
}

impl From<Refused> for CommandError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::DoneMeanwhile => StoreError::DoneMeanwhile.into(),
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
    let Some(row) = row else {
        return Err(Refused::Other(
            CommandError::new(
                ExitKind::Exists,
                "a download of another user is under way to the same place",
            )
            .hint("name another place with -o"),
        ));
    };
    if !is_same(&row, new) {
        return Err(Refused::Other(taken(id)));
    }
    if row.status != Status::Failed {
        check_part(&row, new).map_err(Refused::Other)?;
    }
    let new = new.clone();
    let change = move |row: &DownloadRow| as_wanted(row, &new);
    transfer.block_on(claim(context, transfer.run_id(), id, change))
}

/// What of a record changes as it is wanted now.
fn as_wanted(row: &DownloadRow, new: &NewDownload) -> Change {
    let pinned = match (&row.root_cid, &new.root_cid) {
        (None, Some(root)) => Some((root.clone(), new.content_path.clone())),
        _ => None,
    };
    let demanded = demand::of_both(row, new);
    Change {
        other_part: !takes_the_same(row, new),
        pinned,
        begins_anew: row.status == Status::Failed,
        asked: Some((demanded.options_json, demanded.sha256)),
    }
}

/// Whether a record is of the same content, saved in the same form. Of a name that nobody has
/// looked up yet, and of a plain file, the words of the user have to be the same.
pub fn is_same(row: &DownloadRow, new: &NewDownload) -> bool {
    let is_same_content = match (&row.root_cid, &new.root_cid) {
        (Some(row_root), Some(new_root)) => {
            row_root == new_root && row.content_path == new.content_path
        }
        _ => row.source == new.source,
    };
    is_same_content && (row.kind == "car") == (new.kind == "car")
}

fn takes_the_same(row: &DownloadRow, new: &NewDownload) -> bool {
    let before = Recorded::from_json(&row.options_json);
    before.takes_the_same(&Recorded::from_json(&new.options_json))
}

/// Fails unless the same part of a directory is wanted as before.
pub fn check_part(row: &DownloadRow, new: &NewDownload) -> Result<(), CommandError> {
    let id = row.id;
    if takes_the_same(row, new) {
        return Ok(());
    }
    let error = CommandError::new(
        ExitKind::Exists,
        format!("download {id} to the same place takes another part of the directory"),
    );
    Err(error.hint(format!(
        "go on with: fetchd resume {id}, or give it up with: fetchd cancel {id}"
    )))
}

/// The place is another download's.
pub fn taken(id: DownloadId) -> CommandError {
    CommandError::new(
        ExitKind::Exists,
        format!("download {id} of something else is under way to the same place"),
    )
    .hint(format!(
        "name another place with -o, or give that one up with: fetchd cancel {id}"
    ))
}

/// Makes a run the owner of a download that is not finished.
async fn claim(
    context: &Context,
    run: RunId,
    id: DownloadId,
    change: impl FnOnce(&DownloadRow) -> Change + Clone + Send + 'static,
) -> Result<DownloadRow, Refused> {
    let store = &context.store;
    let now = Timestamp::now();
    let claim = |from: &[Status], to| store.claim(id, run, from, to, now, change.clone());
    let mut claimed = claim(&[Status::Paused, Status::Failed], Status::Resuming).await?;
    if let Claim::Elsewhere {
        status: Status::Pending,
    } = claimed
    {
        claimed = claim(&[Status::Pending], Status::InProgress).await?;
    }
    match claimed {
        Claim::Taken(row) => Ok(*row),
        Claim::Elsewhere {
            status: Status::Success,
        } => Err(Refused::DoneMeanwhile),
        Claim::Elsewhere { status } if !status.is_unfinished() => Err(Refused::Other(
            CommandError::usage(format!(
                "download {id} cannot be gone on with: it is {status}"
            ))
            .hint(format!("see what became of it with: fetchd show {id}")),
        )),
        Claim::Owned { run } => {
            let owner = store.live_run(run).await?;
            let row = store.download(id).await?;
            Err(Refused::Other(busy(id, row.as_ref(), owner.as_ref())))
        }
        Claim::Elsewhere { .. } => Err(Refused::Other(busy(id, None, None))),
    }
}

/// Another process has it: who, where, since when.
pub fn busy(id: DownloadId, row: Option<&DownloadRow>, owner: Option<&RunRow>) -> CommandError {
    let who = owner.map_or_else(
        || "another process".to_owned(),
        |run| {
            let host = run.info.host.as_deref().map(|host| format!(" on {host}"));
            let (pid, host, since) = (run.info.pid, host.unwrap_or_default(), run.info.started);
            format!("process {pid}{host}, since {since:.0},")
        },
    );
    let look_on = format!("look on with: fetchd watch {id}");
    let hint = match row.and_then(typed::waiting) {
        Some(command) => format!("{look_on}, or wait for it with: {command}"),
        None => look_on,
    };
    let message = format!("{who} is working on download {id}");
    CommandError::new(ExitKind::Retry, message)
        .hint(hint)
        .about(id)
}

/// The run that works on what is wanted, if one does: the download, and who it is.
pub fn owner_of(
    context: &Context,
    new: &NewDownload,
) -> Result<Option<(DownloadRow, RunRow)>, CommandError> {
    let store = &context.store;
    let Some(path) = &new.path else {
        return Ok(None);
    };
    let row = select::under_way_to(context, path)?.filter(|row| is_same(row, new));
    let owner = match row.as_ref().and_then(|row| row.owner) {
        Some(run) => store.live_run(run).wait()?,
        None => None,
    };
    Ok(row.zip(owner))
}

/// Makes a run the owner of a download that is not finished, to go on with it after this change.
pub async fn resume(
    context: &Context,
    run: RunId,
    id: DownloadId,
    change: impl FnOnce(&DownloadRow) -> Change + Clone + Send + 'static,
) -> Result<DownloadRow, CommandError> {
    Ok(claim(context, run, id, change).await?)
}

/// The record as it is after a change.
pub fn reread(context: &Context, id: DownloadId) -> Result<DownloadRow, CommandError> {
    let row = context.store.download(id).wait()?;
    row.ok_or_else(|| CommandError::new(ExitKind::Internal, "a record of this run is gone"))
}
