//! The final name of a tree, or of a link that is wanted by itself.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use crate::disk::tree::{self, EntryKind, WalkEntry};
use crate::disk::{DiskError, Fingerprint, inspect, install};
use crate::download::{DownloadId, Failure, RunId, Status, quoted_path};
use crate::engine::aside::on_a_thread;
use crate::engine::begin::Signals;
use crate::engine::coordinator::{Coordinator, Stop};
use crate::engine::failure::{chain, exists_failure, store_failure, target_failure};
use crate::engine::output::SharedTree;
use crate::exit::ExitKind;
use crate::store::{FileRow, Store, StoreError};

impl Coordinator<'_> {
    /// Makes the link with its final name.
    pub(in crate::engine) async fn install_link(
        &self,
        text: Bytes,
        part: PathBuf,
        target: PathBuf,
        overwrite: bool,
    ) -> Result<(), Failure> {
        let id = self.job.id;
        on_a_thread(move || {
            match install::install_link(&text, &part, &target, overwrite) {
                // Somebody else made the very same link: installs may race.
                Err(DiskError::Exists { .. })
                    if inspect::link_text(&target).as_deref() == Some(&text[..]) =>
                {
                    Ok(())
                }
                Err(DiskError::Exists { .. }) => Err(exists_failure(&target, id)),
                done => done.map_err(|error| target_failure(&error, id)),
            }
        })
        .await
    }

    /// Gives the tree its final name.
    pub(in crate::engine) async fn install_tree(
        &mut self,
        tree: SharedTree,
        target: PathBuf,
        overwrite: bool,
        signals: &mut Signals,
    ) -> Result<(), Stop> {
        let (id, run, store) = (self.job.id, self.job.run, self.store.clone());
        let part = self.job.destination.part().to_path_buf();
        let work = move |is_stopped: &AtomicBool| {
            let tree = Arc::try_unwrap(tree).map(Mutex::into_inner);
            let Ok(Ok(tree)) = tree else {
                return Err(Failure {
                    kind: ExitKind::Internal,
                    message: "a thread still writes to the directory".to_owned(),
                    hint: Some(format!("go on with: fetchd resume {id}")),
                });
            };
            let installed = match overwrite {
                true => {
                    let ledger =
                        Ledger::of(&store, &target).map_err(|error| store_failure(&error, id))?;
                    tree.replace(&target, &mut |entry| ledger.knows(entry))
                }
                false => tree.install(&target),
            };
            let error = match installed {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            // Somebody else put the very same tree there: installs may race, and databases are lost.
            let is_taken = matches!(error, DiskError::Exists { .. } | DiskError::Unknown { .. });
            if is_taken && matches!(tree::same_tree(&part, &target, is_stopped), Ok(true)) {
                return take_over(&store, (id, run), &part, &target)
                    .map_err(|error| store_failure(&error, id));
            }
            Err(not_installed(&error, &target, id))
        };
        self.installing(signals, work).await
    }
}

fn not_installed(error: &DiskError, target: &Path, id: DownloadId) -> Failure {
    match error {
        DiskError::Exists { path } if path == target => exists_failure(target, id),
        DiskError::Replaced { path } => replaced(path, id),
        DiskError::Unknown { .. } => Failure {
            kind: ExitKind::Exists,
            message: chain(error),
            hint: Some(format!(
                "--force replaces only directories that fetchd made; move it away and go on with: fetchd resume {id}"
            )),
        },
        error => target_failure(error, id),
    }
}

/// What has the name of the part is not what was written: it gets no final name, and stays.
fn replaced(path: &Path, id: DownloadId) -> Failure {
    Failure {
        kind: ExitKind::Disk,
        message: "the part directory is not the one that was written: somebody else has put something else there".to_owned(),
        hint: Some(format!(
            "move {} away and go on with: fetchd resume {id}",
            quoted_path(path)
        )),
    }
}

/// Takes the tree at the target for the one in the part, which holds the same and is needed no more.
fn take_over(
    store: &Store,
    (id, run): (DownloadId, RunId),
    part: &Path,
    target: &Path,
) -> Result<(), StoreError> {
    let there = |row: &FileRow| inspect::fingerprint(&target.join(&row.file.path));
    for page in store.finished_pages(id) {
        let page = page?;
        let known = page.iter();
        let known = known.filter_map(|row| Some((row.file.index, Some(there(row)?))));
        store.set_fingerprints(id, run, known.collect()).wait()?;
    }
    if let Err(error) = tree::remove_tree(part) {
        tracing::warn!(error = %chain(&error), "cannot remove the part");
    }
    Ok(())
}

/// What is known to come from downloads in a directory that stands at the target.
struct Ledger<'a> {
    store: &'a Store,
    target: &'a Path,
    /// The files that the newest download of a whole directory left there, by path below the
    /// target.
    files: HashMap<PathBuf, Fingerprint>,
}

impl<'a> Ledger<'a> {
    fn of(store: &'a Store, target: &'a Path) -> Result<Self, StoreError> {
        let mut ledger = Self {
            store,
            target,
            files: HashMap::new(),
        };
        for id in store.find_by_path(target).wait()? {
            let row = store.download(id).wait()?;
            if row.is_some_and(|row| row.status == Status::Success) {
                ledger.take_files(id)?;
                break;
            }
        }
        Ok(ledger)
    }

    fn take_files(&mut self, id: DownloadId) -> Result<(), StoreError> {
        let known = |row: FileRow| Some((row.file.path.into(), row.state.fingerprint?));
        for page in self.store.finished_pages(id) {
            self.files.extend(page?.into_iter().filter_map(known));
        }
        Ok(())
    }

    /// Whether this is as a download left it. A link has no bytes of its own to lose.
    fn knows(&self, entry: &WalkEntry) -> bool {
        if entry.facts.kind == EntryKind::Link {
            return true;
        }
        let Some(found) = entry.facts.fingerprint() else {
            return false;
        };
        // A file may have been mended since, by a download of it alone.
        let is_alone = || {
            let install = self.store.install_at(&self.target.join(&entry.path)).wait();
            let install = install.ok().flatten();
            install.is_some_and(|known| known.fingerprint() == found)
        };
        self.files.get(&entry.path) == Some(&found) || is_alone()
    }
}
