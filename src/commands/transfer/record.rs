//! What the record of a download says: to the engine that takes it up, and of the parts that it
//! leaves on disk.

use std::path::{Path, PathBuf};

use crate::cli::values;
use crate::commands::context::Context;
use crate::commands::error::CommandError;
use crate::commands::options::Recorded;
use crate::content::cid;
use crate::disk::part::PartFile;
use crate::disk::place::{Nonce, Target};
use crate::disk::{DiskError, inspect, private, tree};
use crate::download::{Receipt, RunId, Status};
use crate::engine::{Destination, Job, Saved, Subject};
use crate::exit::ExitKind;
use crate::store::{DownloadRow, FileKind};

/// The download as the engine needs it.
pub(super) async fn job(
    context: &Context,
    row: &DownloadRow,
    recorded: &Recorded,
    run: RunId,
) -> Result<Job, CommandError> {
    let store = &context.store;
    let broken = |what: &str| {
        CommandError::new(
            ExitKind::Config,
            format!("the record of download {} has no {what}", row.id),
        )
    };
    let names = row.content_path.split('/').filter(|name| !name.is_empty());
    let root = row
        .root_cid
        .as_deref()
        .and_then(|text| cid::parse(text).ok());
    let subject = match root {
        Some(root) => Subject::Content {
            root,
            names: names.map(str::to_owned).collect(),
        },
        None if recorded.url.is_some() => Subject::File,
        None => return Err(broken("valid CID")),
    };
    let checksum = recorded
        .checksum
        .as_deref()
        .map(values::checksum)
        .transpose();
    let destination = match (&row.path, part_path(context, row)) {
        (Some(target), Some(part)) => {
            if !matches!(row.kind.as_str(), "directory" | "car") {
                // What the root is may not have been recorded before a crash: then a directory can
                // be this download's own.
                let is_file = store.root_kind(row.id).await? == Some(FileKind::File);
                if is_file || recorded.url.is_some() || !inspect::is_directory(&part) {
                    check_part(&part)?;
                }
            }
            Destination::Disk {
                target: target.clone(),
                part,
                overwrite: recorded.force,
            }
        }
        (None, Some(spool)) => {
            private::create_private_dir(spool.parent().unwrap_or(&spool))?;
            Destination::Stdout { spool }
        }
        (_, None) => return Err(broken("valid name of its part file")),
    };
    Ok(Job {
        id: row.id,
        run,
        source: row.source.clone(),
        subject,
        destination,
        car_part: car_part_path(row),
        expected_sha256: row.expected_sha256,
        expected_size: recorded.size,
        checksum: checksum
            .map_err(|_| broken("valid checksum"))?
            .map(|checksum| checksum.digest),
        is_resuming: row.status == Status::Resuming,
        saved: Saved {
            bytes_fetched: row.bytes_fetched,
            bytes_wasted: row.bytes_wasted,
            bytes_verified: row.bytes_verified,
            elapsed: row.elapsed,
            providers: store.provider_totals(row.id).await?,
        },
        attempts: row.attempts,
        queue_tries: row.lane.is_some().then_some(row.queue_tries),
    })
}

/// Something else than a file at the part's name was put there by somebody else: it stays.
fn check_part(part: &Path) -> Result<(), CommandError> {
    match PartFile::open(part) {
        Err(error @ (DiskError::NotRegular { .. } | DiskError::IsDirectory { .. })) => {
            let hint = format!(
                "the part file is to have that name: move away what is there, {}, and resume",
                part.display()
            );
            Err(CommandError::from(error).hint(hint))
        }
        // Whatever else is wrong with it the engine finds, and knows what to do.
        _ => Ok(()),
    }
}

/// What a finished download can show for itself, with its path as the file system has it.
pub fn receipt(row: &DownloadRow) -> Option<Receipt> {
    let receipt = Receipt::from_json(row.receipt_json.as_deref()?)?;
    let path = row.path.clone().unwrap_or_else(|| receipt.path.clone());
    Some(Receipt { path, ..receipt })
}

/// The part file of a download. What is on its way to standard output has one among the state.
pub fn part_path(context: &Context, row: &DownloadRow) -> Option<PathBuf> {
    let nonce = Nonce::parse(&row.nonce)?;
    let Some(path) = &row.path else {
        let spool = context.settings.state_dir.join("spool");
        return Some(spool.join(format!("{nonce}.partial")));
    };
    Some(Target::at(path).ok()?.part_path(&nonce))
}

/// Where the CAR of a download is written; `None` if it is not saved as one.
fn car_part_path(row: &DownloadRow) -> Option<PathBuf> {
    let target = Target::at(row.path.as_deref().filter(|_| row.kind == "car")?).ok()?;
    Some(target.car_part_path(&Nonce::parse(&row.nonce)?))
}

/// Removes the parts that a download left: beside its target, or among the state.
pub fn remove_parts(context: &Context, row: &DownloadRow) -> Result<(), DiskError> {
    let parts = [part_path(context, row), car_part_path(row)];
    for part in parts.into_iter().flatten() {
        if inspect::is_absent(&part) {
            continue;
        }
        // What is in a directory there is not of a file.
        if inspect::is_directory(&part) && !row.may_be_tree() {
            return Err(DiskError::IsDirectory { path: part });
        }
        tree::remove_tree(&part)?;
    }
    Ok(())
}
