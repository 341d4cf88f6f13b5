//! What a directory needs once all its files are there: its empty directories and its links, what
//! is to be preserved, and its final name.
//!
//! Links are made last, and only when all of them are judged: nothing is ever written through one.

mod build;
mod install;
mod look;

use std::sync::atomic::AtomicBool;

use crate::content::cid::Cid;
use crate::disk::tree::{Links, TreePath, UnsafeLink};
use crate::disk::{DiskError, Fingerprint};
use crate::download::{DownloadId, Failure, RunId};
use crate::engine::begin::Signals;
use crate::engine::coordinator::{Coordinator, Stop};
use crate::engine::failure::{chain, disk_failure, no_checksum, one_by_one, target_failure};
use crate::engine::filter::Filter;
use crate::engine::output::{Output, SharedTree};
use crate::engine::plan::{Expansion, FoundKind, Limits};
use crate::engine::{Destination, Job};
use crate::exit::ExitKind;
use crate::store::Store;

/// How an entry was left, by its number; none if somebody else has touched it.
type Left = (u32, Option<Fingerprint>);

/// What completes a tree.
struct Builder<'a> {
    id: DownloadId,
    run: RunId,
    root: Cid,
    store: Store,
    tree: SharedTree,
    preserves: bool,
    limits: Limits,
    filter: Filter,
    is_stopped: &'a AtomicBool,
    hint: String,
}

impl Coordinator<'_> {
    /// Makes what is no file.
    pub(super) async fn build_tree(&mut self, signals: &mut Signals) {
        self.write_journal();
        self.with_builder(signals, |builder| builder.build()).await;
    }

    /// Looks at every file a last time.
    pub(super) async fn look_at_tree(&mut self, signals: &mut Signals) {
        self.with_builder(signals, |builder| builder.look_again())
            .await;
    }

    async fn with_builder(
        &mut self,
        signals: &mut Signals,
        work: fn(&Builder<'_>) -> Result<(), Stop>,
    ) {
        let (Output::Tree(tree), Some(root)) = (&self.output, self.root()) else {
            return;
        };
        let (id, run, store) = (self.job.id, self.job.run, self.store.clone());
        let (tree, preserves) = (tree.clone(), self.options.preserve);
        let (filter, hint) = (self.options.filter.clone(), one_by_one(&self.job));
        let limits = self.options.limits.clone();
        let work = move |is_stopped: &AtomicBool| {
            work(&Builder {
                id,
                run,
                root,
                store,
                tree,
                preserves,
                limits,
                filter,
                is_stopped,
                hint,
            })
        };
        if let Err(stop) = self.watched(signals, work).await.flatten() {
            self.halt(stop);
        }
    }

    /// Judges links as they are found, each by itself: a bad one must not wait for the end.
    pub(super) fn judge_links(&self, expansion: &Expansion) -> Result<(), Failure> {
        for found in &expansion.found {
            if let FoundKind::Symlink { target } = &found.kind
                && !found.path.is_empty()
            {
                let path = TreePath::parse(&found.path)
                    .map_err(|error| part_failure(&error, self.job.id, one_by_one(&self.job)))?;
                let judged = Links::new(false).add(&path, target);
                judged.map_err(|bad| unsafe_link(&bad, one_by_one(&self.job)))?;
            }
        }
        Ok(())
    }

    /// A link that is wanted by itself is judged as one that stands in the directory of its target,
    /// and that directory is what it must not lead out of.
    pub(super) fn judge_root_link(&self) -> Result<(), Stop> {
        let Destination::Disk { target, .. } = &self.job.destination else {
            return Ok(());
        };
        let Some(text) = self
            .plan
            .root_link()
            .filter(|_| self.job.car_part.is_none())
        else {
            return Ok(());
        };
        self.refuse_checksum("symbolic link")?;
        let name = target.file_name().and_then(|name| name.to_str());
        let path = TreePath::parse(name.unwrap_or("link"))
            .map_err(|error| Stop::Failed(disk_failure(&error, self.job.id)))?;
        let judged = Links::new(false).add(&path, text);
        judged.map_err(|bad| {
            let hint = "fetch what it leads to by its own CID or path".to_owned();
            Stop::Failed(unsafe_link(&bad, hint))
        })
    }

    /// A checksum is demanded of bytes, and only a file is bytes.
    ///
    /// # Errors
    /// One is demanded.
    pub(super) fn refuse_checksum(&self, what: &str) -> Result<(), Stop> {
        let is_demanded = self.job.expected_sha256.is_some() || self.job.checksum.is_some();
        match is_demanded && self.job.car_part.is_none() {
            true => Err(Stop::Failed(no_checksum(self.root_text(), what))),
            false => Ok(()),
        }
    }
}

/// What goes wrong in a part directory: a name that cannot be on this disk is refused, with what
/// can be done `instead`; what only its owner may take away is named; all else is the disk's.
fn part_failure(error: &DiskError, id: DownloadId, instead: impl Into<String>) -> Failure {
    if error.is_unsafe_name() {
        return Failure {
            kind: ExitKind::Refused,
            message: chain(error),
            hint: Some(instead.into()),
        };
    }
    match error.is_in_the_way() {
        true => target_failure(error, id),
        false => disk_failure(error, id),
    }
}

/// The same as a reason to stop.
pub(super) fn part_stop(error: &DiskError, job: &Job) -> Stop {
    // What is proved of the others is kept, also where the disk cannot hold one of the names.
    Stop::Failed(part_failure(error, job.id, one_by_one(job)))
}

fn unsafe_link(error: &UnsafeLink, hint: String) -> Failure {
    Failure {
        kind: ExitKind::Refused,
        message: chain(error),
        hint: Some(hint),
    }
}
