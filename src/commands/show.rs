//! `show`: everything that is known of one download.

use jiff::Timestamp;

use crate::commands::context::Context;
use crate::commands::error::CommandError;
use crate::commands::{select, transfer};
use crate::content::hash::hex;
use crate::download::Trigger;
use crate::exit::ExitKind;
use crate::store::{CheckpointRow, DownloadRow, FileRow};
use crate::ui::text;
use crate::ui::view::{
    CheckpointView, DownloadDetail, DownloadShown, DownloadView, ErrorView, FileView, OwnerView,
    ProviderView, ReceiptView,
};

/// Shows one download.
pub fn run(context: &Context, id: &str) -> Result<ExitKind, CommandError> {
    let row = select::one(context, id)?;
    let files = context.store.files(row.id).wait()?;
    let providers = context.store.provider_totals(row.id).wait()?;
    let checkpoints = context.store.checkpoints(row.id).wait()?;
    let owner = row
        .owner
        .map(|run| context.store.live_run(run).wait())
        .transpose()?
        .flatten();
    let receipt = transfer::receipt(&row);
    let detail = DownloadDetail {
        download: view(&row),
        files: files.iter().map(file).collect(),
        providers: providers.iter().map(ProviderView::from).collect(),
        checkpoints: checkpoints.iter().map(checkpoint).collect(),
        receipt: receipt.map(|receipt| ReceiptView::new(row.id, &row.source, &receipt)),
        owner: owner.map(|run| OwnerView {
            run: run.id.0,
            pid: run.info.pid,
            host: run.info.host,
            heartbeat_at: Some(run.heartbeat.into()),
        }),
    };
    context.show(&DownloadShown { download: &detail }, || {
        text::download(&detail)
    })?;
    Ok(ExitKind::Success)
}

/// A record as lists and documents show it.
pub fn view(row: &DownloadRow) -> DownloadView {
    DownloadView {
        id: row.id,
        source: row.source.clone(),
        cid: row.root_cid.clone(),
        content_path: Some(row.content_path.clone()).filter(|path| !path.is_empty()),
        path: row.path.clone(),
        kind: Some(row.kind.clone()),
        status: row.status,
        bytes_verified: row.bytes_verified,
        bytes_total: row.bytes_total,
        sha256: row.sha256.map(|sum| hex(&sum)),
        proof: row.proof,
        attempts: row.attempts,
        error: row.failure.as_ref().map(ErrorView::from),
        priority: row.priority,
        next_attempt_at: row.waits_until(Timestamp::now()).map(Into::into),
        created_at: row.created.into(),
        updated_at: row.updated.into(),
        completed_at: row.completed.map(Into::into),
    }
}

fn file(row: &FileRow) -> FileView {
    FileView {
        path: row.file.path.clone(),
        kind: row.file.kind.name(),
        cid: row.file.cid.clone(),
        size: row.file.size,
        bytes_verified: verified(row),
        done: row.state.done,
    }
}

/// What proves itself only as a whole has no proved ranges, until it is done.
fn verified(row: &FileRow) -> u64 {
    let whole = row.file.size.filter(|_| row.state.done);
    whole.unwrap_or_else(|| row.state.verified.total())
}

fn checkpoint(row: &CheckpointRow) -> CheckpointView {
    CheckpointView {
        id: row.id,
        trigger: Trigger::from_name(&row.trigger).unwrap_or(Trigger::Periodic),
        bytes: row.bytes,
        state_hash: hex(&row.state_hash),
        status: match row.completed {
            Some(_) => "completed",
            None => "in_progress",
        },
        created_at: row.created.into(),
        completed_at: row.completed.map(Into::into),
    }
}
