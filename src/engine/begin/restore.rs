//! Taking up what earlier runs left, and what somebody else put at the target.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::content::cid;
use crate::disk::part::PartFile;
use crate::disk::tree::{self, TreeView};
use crate::disk::{DiskError, inspect};
use crate::engine::Destination;
use crate::engine::begin::Signals;
use crate::engine::coordinator::{Coordinator, Stop};
use crate::engine::failure::target_failure;
use crate::engine::output::Output;
use crate::engine::plan::{FilePlan, Plan};
use crate::engine::prove::{FileSum, ShaJob};
use crate::engine::recover::{Access, Recovered, Recovery, RecoveryError};
use crate::event::What;
use crate::store::{FileKind, FileRow};

impl Coordinator<'_> {
    /// Takes up what earlier runs left, and what somebody else put at the target.
    pub(super) async fn restore(&mut self, signals: &mut Signals) -> Result<(), Stop> {
        let Destination::Disk { target, part, .. } = self.job.destination.clone() else {
            return Ok(());
        };
        let id = self.job.id;
        let kind = self.store.root_kind(id).await;
        let kind = kind.map_err(|error| Stop::of_store(&error, id))?;
        let fail = |error: DiskError| Stop::Failed(target_failure(&error, id));
        if self.job.car_part.is_some() {
            self.adopt_car(target, signals).await?;
        } else {
            tree::settle(&part, &target).map_err(fail)?;
            if !inspect::exists(&part) && inspect::exists(&target) {
                self.adopt_target(kind, &target, signals).await?;
            }
        }
        if self.is_in_place {
            return Ok(());
        }
        if kind == Some(FileKind::File) {
            let rows = self.store.files(id).await;
            let rows = rows.map_err(|error| Stop::of_store(&error, id))?;
            // A part that proves itself only at its end holds no leaf that could be proved now. Of
            // such a file, and of one that failed, only a size is recorded that somebody claimed.
            let state = rows.first().map(|row| &row.state);
            let is_whole = state.is_some_and(|state| state.source.is_some());
            let is_claim = state.is_none_or(|state| state.verified.is_empty())
                && match self.root() {
                    Some(root) => self.stored_node(&root).await?.is_none(),
                    None => true,
                };
            if is_whole || is_claim {
                return Ok(());
            }
        }
        // Of a record that knows nothing yet there is a part where somebody laid bytes to begin
        // with.
        let is_laid = || inspect::file_len(&part).is_ok_and(|len| len.is_some_and(|len| len > 0));
        match kind {
            Some(FileKind::File) => self.output = Output::File(self.open_part(&part)?),
            Some(FileKind::Directory) => self.output = Output::tree(self.open_tree(&part)?),
            None if is_laid() => {
                self.output = Output::File(self.open_part(&part)?);
                self.tally.is_laid = true;
            }
            _ => return Ok(()),
        }
        let recovered = self.recover(Access::ReadWrite, signals).await?;
        if kind.is_none() && recovered.plan.root_kind() != Some("file") {
            // Its root is not here: what it is, a provider will say.
            self.output = Output::Undecided;
            return Ok(());
        }
        self.take_recovered(recovered);
        if kind.is_none() {
            self.record_resolved();
        }
        match &self.output {
            Output::File(part) => self.cut(part),
            _ => Ok(()),
        }
    }

    /// A target that exists may hold this very content: renamed by this download before a crash
    /// could be recorded, or put there by somebody else. Proved in full, it is done.
    async fn adopt_target(
        &mut self,
        kind: Option<FileKind>,
        target: &Path,
        signals: &mut Signals,
    ) -> Result<(), Stop> {
        // What cannot be opened is no such content; the install will say what it is.
        let (output, len) = match kind {
            Some(FileKind::Directory) => match TreeView::open(target) {
                Ok(Some(view)) => (Output::View(Arc::new(view)), None),
                _ => return Ok(()),
            },
            _ => match PartFile::open(target) {
                Ok(Some(file)) => (Output::File(file.clone()), file.len().ok()),
                _ => return Ok(()),
            },
        };
        self.output = output;
        let (plan, filter) = (self.plan_to_recover(), self.options.filter.clone());
        let work = move |recovery: &Recovery<'_>| {
            let found = recovery.run(plan)?;
            let stands = recovery.stands_whole(&found.plan, &filter)?;
            Ok((found, stands))
        };
        let (found, stands) = self.with_recovery(Access::Read, signals, work).await?;
        let plan = &found.plan;
        let is_complete = |(id, _)| plan.file(id).is_some_and(FilePlan::is_complete);
        let is_whole = plan.root_kind().is_some()
            && stands
            && !found.has_lost
            && plan.entries().all(is_complete)
            && len.is_none_or(|len| plan.size() == Some(len));
        if is_whole {
            self.is_in_place = true;
            self.take_recovered(found);
        } else {
            self.output = Output::Undecided;
        }
        Ok(())
    }

    /// Finds out what is there, on a thread of its own, so that it can be stopped meanwhile.
    pub(in crate::engine) async fn recover(
        &mut self,
        access: Access,
        signals: &mut Signals,
    ) -> Result<Recovered, Stop> {
        let plan = self.plan_to_recover();
        let work = |recovery: &Recovery<'_>| recovery.run(plan);
        self.with_recovery(access, signals, work).await
    }

    fn plan_to_recover(&self) -> Plan {
        let plan = Plan::empty(self.options.limits.clone(), self.options.filter.clone());
        match self.root() {
            Some(root) => self.with_links(plan, &root),
            None => plan,
        }
    }

    /// Whether the one file that is wanted is there, every byte of it, whatever is recorded.
    pub(in crate::engine) async fn root_still_holds(
        &mut self,
        signals: &mut Signals,
    ) -> Result<bool, Stop> {
        let limits = self.options.limits.clone();
        let work = |recovery: &Recovery<'_>| {
            let row = FileRow::unknown_root(&cid::text(&recovery.root));
            recovery.still_holds(&row, limits)
        };
        self.with_recovery(Access::Read, signals, work).await
    }

    async fn with_recovery<T: Send + 'static>(
        &mut self,
        access: Access,
        signals: &mut Signals,
        work: impl FnOnce(&Recovery<'_>) -> Result<T, RecoveryError> + Send + 'static,
    ) -> Result<T, Stop> {
        let Some(root) = self.root() else {
            unreachable!("only content has something to recover");
        };
        let (id, run, store) = (self.job.id, self.job.run, self.store.clone());
        let (output, max_block) = (self.output.clone(), self.options.limits.max_block);
        let work = move |is_stopped: &AtomicBool| {
            work(&Recovery {
                id,
                run,
                root,
                store,
                output,
                access,
                max_block,
                is_stopped,
            })
        };
        let done = self.watched(signals, work).await?;
        done.map_err(|error| error.into_stop(&self.job))
    }

    fn take_recovered(&mut self, recovered: Recovered) {
        if recovered.has_lost {
            let message = "the disk does not hold all that the last checkpoint says; what is \
                           missing is fetched again";
            self.announce(What::Notice {
                message: message.to_owned(),
            });
        }
        self.plan = recovered.plan;
        self.plan.count_recovered();
        self.journal.note_found(self.plan.take_unrecorded());
        self.tally.used_leaves = recovered.used_leaves;
        let is_next = |sum: &&FileSum| {
            let file = self.plan.file(sum.entry);
            file.is_some_and(|file| file.proved().covered_until(0) == sum.sha.position())
        };
        let next = recovered.hashes.iter().find(is_next).cloned();
        self.start_threads(next.unwrap_or_default());
        for sum in recovered.hashes {
            self.hashing.begin_at(sum.entry, sum.sha.position());
            self.hashing.ask(ShaJob::GoOn(sum));
        }
        self.hashing.finished.extend(recovered.finished);
    }

    /// Files that are known from an earlier run: their hashes go on, and what is whole is finished.
    pub(super) fn take_up_files(&mut self) {
        let files: Vec<(u32, Arc<str>)> = self
            .plan
            .entries()
            .filter(|(id, _)| self.plan.file(*id).is_some())
            .map(|(id, entry)| (id, entry.path.clone()))
            .collect();
        for (id, path) in files {
            self.checkpointing.note_progress(id);
            self.catch_up(id, &path);
            self.look_at_file(id);
        }
        for (twin, first) in self.plan.twins() {
            self.on_twin(twin, first);
        }
    }
}
