//! What stands at a target and may be what is wanted, proved from its own bytes: by its checksum,
//! or by the CID that the usual importers would give it. So a lost ledger costs no download.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

use crate::commands::context::Context;
use crate::commands::error::CommandError;
use crate::commands::options::Recorded;
use crate::commands::sync::plan::{Expected, Step};
use crate::commands::sync::{Item, Outcome};
use crate::commands::transfer::{Transfer, Watch};
use crate::content::cid::{self, Cid};
use crate::disk::host;
use crate::disk::inspect::{self, Seen};
use crate::disk::place::Nonce;
use crate::disk::random_file::RandomFile;
use crate::download::{DownloadId, Proof, Receipt};
use crate::engine::{self, Names, NamingError};
use crate::settings::manifest::Pin;
use crate::store::{Finish, Install, NewDownload, StoreError, Traffic};
use crate::ui::view::Fate;

/// Bytes that were found to be what is expected.
struct Proved {
    pin: Pin,
    proof: Proof,
    is_directory: bool,
}

/// What stands at a path, so that any later change of it shows.
#[derive(Debug, PartialEq, Eq)]
struct Standing {
    seen: Seen,
    /// Of a directory, by [`inspect::tree_fingerprint`].
    tree: Option<i64>,
}

impl Standing {
    fn at(path: &Path) -> Self {
        let seen = inspect::look(path);
        let is_directory = seen == Seen::Directory;
        Self {
            seen,
            tree: is_directory
                .then(|| inspect::tree_fingerprint(path))
                .flatten(),
        }
    }

    /// As [`Install::mtime_ns`].
    fn mtime_ns(&self) -> i64 {
        match self.seen {
            Seen::File { mtime_ns, .. } => mtime_ns,
            _ => self.tree.unwrap_or(0),
        }
    }
}

/// Looks into what is in doubt. What proves right is done with; the rest is to be fetched.
pub(super) fn settle(
    context: &Context,
    transfer: &mut Transfer<'_>,
    items: &mut [Item<'_>],
    steps: Vec<Step>,
) -> Vec<Step> {
    let mut left = Vec::with_capacity(steps.len());
    for (item, step) in items.iter_mut().zip(steps) {
        let Step::Prove(expected, fetch) = step else {
            left.push(step);
            continue;
        };
        if transfer.ended_by().is_some() {
            // It is not begun any more, and counted as that.
            left.push(Step::Fetch(expected, fetch));
            continue;
        }
        left.push(match one(context, transfer, item, &expected) {
            Ok(Some(pin)) => {
                item.outcome = Some(Outcome::in_place(Fate::Kept, pin));
                Step::Done
            }
            Ok(None) => Step::Fetch(expected, fetch),
            Err(error) => {
                item.refuse(transfer, error);
                Step::Done
            }
        });
    }
    left
}

fn one(
    context: &Context,
    transfer: &mut Transfer<'_>,
    item: &Item<'_>,
    expected: &Expected,
) -> Result<Option<Pin>, CommandError> {
    let (path, wanted) = (item.path.clone(), expected.clone());
    let before = Standing::at(&path);
    let watch = Arc::new(Watch::default());
    let proving = {
        let watch = watch.clone();
        engine::detached(move || prove(&path, &wanted, &watch))
    };
    // How far an importer is nobody is told.
    let total = match before.seen {
        Seen::File { size, .. } if proves_by_sum(expected) => Some(size),
        _ => None,
    };
    let proved = transfer.watched(total, &watch, proving)??;
    // What changed while it was read is not what was proved.
    let Some(proved) = proved.filter(|_| Standing::at(&item.path) == before) else {
        return Ok(None);
    };
    let receipt = receipt(item, &proved);
    match record(context, transfer, item, (&proved, &before), &receipt) {
        Ok(id) => transfer.found_in_place(Some(id), &item.entry.source, receipt),
        // Something unfinished is to go there: it finds out that it is there.
        Err(StoreError::ActiveExists { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    Ok(Some(proved.pin))
}

/// Whether a checksum is believed: where there is one, unless only the manifest puts a CID beside
/// it. That has to be the file's as well.
fn proves_by_sum(expected: &Expected) -> bool {
    expected.sha256.is_some() && (expected.cid.is_none() || expected.is_pinned)
}

/// What is at `path`, if it is what is expected.
fn prove(path: &Path, expected: &Expected, watch: &Watch) -> Result<Option<Proved>, CommandError> {
    let is_directory = inspect::is_directory(path);
    let found = match (expected.sha256, expected.cid) {
        (Some(_), _) if is_directory => Ok(None),
        (Some(sha256), _) if proves_by_sum(expected) => {
            file_with_sum(path, expected.size, sha256, watch)
        }
        (Some(sha256), Some(cid)) => {
            let found = file_with_root(path, expected.size, &cid);
            found.map(|names| names.filter(|names| names.sha256 == Some(sha256)))
        }
        (None, Some(cid)) if is_directory => engine::find_tree(path, &cid),
        (None, Some(cid)) => file_with_root(path, expected.size, &cid),
        (_, None) => Ok(None),
    };
    let names = match found {
        Ok(Some(names)) => names,
        Ok(None) => return Ok(None),
        Err(NamingError::Disk(error)) if !error.is_uncreatable() => return Err(error.into()),
        // What no importer can name is something else.
        Err(_) => return Ok(None),
    };
    Ok(Some(Proved {
        pin: Pin {
            cid: expected.cid,
            size: names.size,
            sha256: names.sha256,
        },
        proof: match expected.sha256 {
            Some(_) => Proof::Sha256,
            None => Proof::Profile,
        },
        is_directory,
    }))
}

fn file_with_sum(
    path: &Path,
    size: Option<u64>,
    sha256: [u8; 32],
    watch: &Watch,
) -> Result<Option<Names>, NamingError> {
    let Some(file) = file_of(path, size)? else {
        return Ok(None);
    };
    let found = engine::sha256_of(&file, &mut |bytes| {
        watch.note(bytes);
        true
    })?;
    let names = Names {
        size: file.len(),
        sha256: found,
        roots: Vec::new(),
    };
    Ok(Some(names).filter(|names| names.sha256 == Some(sha256)))
}

fn file_with_root(
    path: &Path,
    size: Option<u64>,
    root: &Cid,
) -> Result<Option<Names>, NamingError> {
    match file_of(path, size)? {
        Some(file) => engine::find(&file, root, true),
        None => Ok(None),
    }
}

/// The file there, if it may have the right size.
fn file_of(path: &Path, size: Option<u64>) -> Result<Option<RandomFile>, NamingError> {
    let file = RandomFile::open(path)?;
    let may_be_it = size.is_none_or(|size| size == file.len());
    Ok(Some(file).filter(|_| may_be_it))
}

fn receipt(item: &Item<'_>, proved: &Proved) -> Receipt {
    Receipt {
        path: item.path.clone(),
        cid: proved.pin.cid.as_ref().map(cid::text),
        size: proved.pin.size,
        sha256: proved.pin.sha256,
        checksum: None,
        proof: proved.proof,
        bytes_fetched: 0,
        bytes_wasted: 0,
        resumed_from: proved.pin.size,
        elapsed: 0.0,
        providers: Vec::new(),
    }
}

/// Writes it into the ledger, as a download that had nothing to fetch.
fn record(
    context: &Context,
    transfer: &Transfer<'_>,
    item: &Item<'_>,
    (proved, standing): (&Proved, &Standing),
    receipt: &Receipt,
) -> Result<DownloadId, StoreError> {
    let now = Timestamp::now();
    let path: PathBuf = item.path.clone();
    let options = Recorded {
        url: receipt.cid.is_none().then(|| item.entry.source.clone()),
        preserve: item.entry.preserve,
        ..Recorded::default()
    };
    let new = NewDownload {
        source: item.entry.source.clone(),
        root_cid: receipt.cid.clone(),
        content_path: String::new(),
        path: Some(path.clone()),
        nonce: Nonce::random().to_string(),
        kind: match proved.is_directory {
            true => "directory",
            false => "file",
        }
        .to_owned(),
        options_json: options.to_json(),
        expected_sha256: item.entry.sha256,
        priority: 0,
        lane: None,
        uid: host::uid(),
        created: now,
    };
    let finish = Finish {
        receipt_json: receipt.to_json(),
        proof: receipt.proof,
        size: receipt.size,
        sha256: receipt.sha256,
        install: Some(Install {
            path,
            cid: receipt.cid.clone(),
            size: receipt.size,
            mtime_ns: standing.mtime_ns(),
            sha256: receipt.sha256,
        }),
        traffic: Traffic::default(),
        now,
    };
    let recorded = context
        .store
        .record_in_place(new, transfer.run_id(), finish);
    recorded.wait()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_in_a_directory_shows() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("file");
        std::fs::write(&file, b"one").expect("a file");
        let before = Standing::at(dir.path());
        assert_eq!(before, Standing::at(dir.path()));
        assert_eq!(Some(before.mtime_ns()), before.tree);
        let of_file = Standing::at(&file);
        let written = std::fs::File::options().write(true).open(&file);
        let past = written.and_then(|file| file.set_modified(std::time::UNIX_EPOCH));
        past.expect("a time");
        assert_ne!(before, Standing::at(dir.path()));
        assert_ne!(of_file, Standing::at(&file));
        assert_eq!(Standing::at(&file).mtime_ns(), 0);
    }
}
