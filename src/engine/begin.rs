//! Beginning: what is wanted, what is there already, and where the bytes go.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use jiff::Timestamp;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::content::cid::{self, Cid};
use crate::content::hash::VerifiedBlock;
use crate::content::links;
use crate::disk::part::PartFile;
use crate::disk::tree::{self, Tree, TreePath, TreeView};
use crate::disk::{DiskError, inspect, room};
use crate::download::Status;
use crate::engine::Destination;
use crate::engine::coordinator::{Coordinator, Stop};
use crate::engine::failure::{
    busy_failure, disk_failure, exists_failure, not_a_file, path_failure, target_failure,
};
use crate::engine::output::{Output, Writer};
use crate::engine::plan::{FilePlan, Plan};
use crate::engine::prove::{self, FileSum, ShaJob, Sink, Stream};
use crate::engine::recover::{Access, Recovered, Recovery, RecoveryError};
use crate::engine::stored;
use crate::event::What;
use crate::exit::ExitKind;
use crate::store::{FileKind, FileRow, Resolved};

/// What the operating system asks of the process.
pub(super) type Signals = UnboundedReceiver<ExitKind>;

impl Coordinator<'_> {
    /// Takes up the work: the way to what is wanted, what is there already, the root if it needs
    /// no network.
    pub(super) async fn begin(&mut self, signals: &mut Signals) -> Result<(), Stop> {
        let (fetched, wasted) = (self.tally.fetched, self.tally.wasted);
        self.checkpointing.begin_traffic(fetched, wasted);
        if self.way.is_some() {
            self.follow_stored_way().await?;
            if self.wanted_step().is_none() {
                self.restore(signals).await?;
            }
            self.tally.resumed_from = self.plan.proved_bytes();
        } else {
            self.begin_file(signals).await?;
        }
        self.count_what_is_here();
        self.announce(What::Started {
            source: self.job.source.clone(),
            resumed_from: self.tally.resumed_from,
        });
        self.go_on().await?;
        if self.saved_car().is_some() {
            return Ok(());
        }
        if self.plan.root_kind().is_some() {
            self.announce_resolved();
            self.check_place();
            self.take_up_files();
        } else {
            self.arrive();
        }
        Ok(())
    }

    /// What an earlier run fetched and had no time to record is counted by what it left: at least
    /// those bytes came. Not what somebody laid there to begin with.
    fn count_what_is_here(&mut self) {
        if !self.job.is_resuming || self.is_in_place || self.tally.is_laid {
            return;
        }
        let here = self.tally.resumed_from;
        let unrecorded = here.saturating_sub(self.job.saved.bytes_verified);
        let least = here.saturating_add(self.tally.wasted);
        let fetched = self.tally.fetched;
        self.tally.fetched = fetched.max(least.min(fetched.saturating_add(unrecorded)));
    }

    async fn go_on(&mut self) -> Result<(), Stop> {
        if !self.job.is_resuming {
            return Ok(());
        }
        let (id, run) = (self.job.id, self.job.run);
        let moved = self
            .store
            .set_status(id, run, Status::InProgress, Timestamp::now())
            .await;
        moved.map_err(|error| Stop::of_store(&error, id))
    }

    /// Goes along the way as far as the store, or the CIDs themselves, hold its blocks.
    async fn follow_stored_way(&mut self) -> Result<(), Stop> {
        while let Some(cid) = self.wanted_step() {
            let Some(block) = self.stored_node(&cid).await? else {
                break;
            };
            let fed = self
                .way
                .as_mut()
                .map_or(Ok(()), |way| way.feed(block.data()));
            fed.map_err(|error| Stop::Failed(path_failure(&error)))?;
        }
        Ok(())
    }

    /// The end of the way is reached: what is wanted there is the root of the plan.
    pub(super) fn arrive(&mut self) {
        if self.wanted_step().is_some() || self.stop.is_some() {
            return;
        }
        let Some(root) = self.root() else { return };
        let (limits, filter) = (self.options.limits.clone(), self.options.filter.clone());
        match Plan::new(root, limits, filter) {
            Ok(plan) => self.plan = self.with_links(plan, &root),
            Err(error) => return self.refuse(&error),
        }
        // A root whose bytes sit in the CID itself needs no provider.
        if let Some(block) = VerifiedBlock::inlined(&root) {
            self.take_node(0, &block, None);
        }
    }

    /// The plan of what is below `root`: where data with links is saved as a CAR, all of it.
    fn with_links(&self, mut plan: Plan, root: &Cid) -> Plan {
        if self.job.car_part.is_some() && links::is_data(root.codec()) {
            plan.follow_links();
        }
        plan
    }

    /// A block that is in the store, or in the CID itself.
    pub(super) async fn stored_node(&self, cid: &Cid) -> Result<Option<VerifiedBlock>, Stop> {
        let block = stored::block(&self.store, cid).await;
        block.map_err(|error| Stop::of_store(&error, self.job.id))
    }

    /// Takes up what earlier runs left, and what somebody else put at the target.
    async fn restore(&mut self, signals: &mut Signals) -> Result<(), Stop> {
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
        let found = self.recover(Access::Read, signals).await?;
        let plan = &found.plan;
        let is_complete = |(id, _)| plan.file(id).is_some_and(FilePlan::is_complete);
        let is_whole = plan.root_kind().is_some()
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

    pub(super) fn open_part(&self, path: &Path) -> Result<PartFile, Stop> {
        let id = self.job.id;
        let taken = |error: DiskError| Stop::Failed(target_failure(&error, id));
        let target = match &self.job.destination {
            Destination::Disk { target, .. } => Some(&**target),
            Destination::Stdout { .. } => None,
        };
        let part = match PartFile::open_own(path, target).map_err(taken)? {
            Some(part) => part,
            None => PartFile::create(path).map_err(taken)?,
        };
        let locked = part.try_lock();
        match locked.map_err(|error| Stop::Failed(disk_failure(&error, id)))? {
            true => Ok(part),
            false => Err(Stop::Failed(busy_failure(path, id))),
        }
    }

    fn open_tree(&self, path: &Path) -> Result<Tree, Stop> {
        self.refuse_checksum("directory")?;
        let id = self.job.id;
        let opened = match Tree::open(path) {
            Ok(Some(tree)) => Ok(tree),
            Ok(None) => Tree::create(path),
            Err(error) => Err(error),
        };
        opened.map_err(|error| match error {
            DiskError::Locked { .. } => Stop::Failed(busy_failure(path, id)),
            error => Stop::Failed(target_failure(&error, id)),
        })
    }

    /// Finds out what is there, on a thread of its own, so that it can be stopped meanwhile.
    pub(super) async fn recover(
        &mut self,
        access: Access,
        signals: &mut Signals,
    ) -> Result<Recovered, Stop> {
        let plan = Plan::empty(self.options.limits.clone(), self.options.filter.clone());
        let plan = match self.root() {
            Some(root) => self.with_links(plan, &root),
            None => plan,
        };
        let work = |recovery: &Recovery<'_>| recovery.run(plan);
        self.with_recovery(access, signals, work).await
    }

    /// Whether the one file that is wanted is there, every byte of it, whatever is recorded.
    pub(super) async fn root_still_holds(&mut self, signals: &mut Signals) -> Result<bool, Stop> {
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
    fn take_up_files(&mut self) {
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

    /// What the root is, is known now: its record, its place on disk, the threads that write.
    pub(super) fn on_resolved(&mut self) {
        self.record_resolved();
        self.announce_resolved();
        self.check_place();
        if self.stop.is_some() {
            return;
        }
        match self.make_output() {
            Ok(output) => self.output = output,
            Err(stop) => return self.halt(stop),
        }
        self.start_threads(FileSum::default());
    }

    fn record_resolved(&self) {
        let (id, run) = (self.job.id, self.job.run);
        let resolved = Resolved {
            root_cid: None,
            kind: match self.job.car_part {
                Some(_) => "car".to_owned(),
                None => self.plan.root_kind().unwrap_or_default().to_owned(),
            },
            bytes_total: self.known_size(),
            now: Timestamp::now(),
        };
        self.in_background(self.store.record_resolved(id, run, resolved));
    }

    /// The size of everything, where it is exact.
    pub(super) fn known_size(&self) -> Option<u64> {
        if let Some(whole) = &self.whole {
            return whole.size();
        }
        let is_exact = !self.plan.is_directory() || self.plan.is_fully_known();
        self.plan.size().filter(|_| is_exact)
    }

    pub(super) fn announce_resolved(&mut self) {
        let path = match &self.job.destination {
            Destination::Disk { target, .. } => Some(target.clone()),
            Destination::Stdout { .. } => None,
        };
        self.announce(What::Resolved {
            cid: self.root_text(),
            path,
            size: self.known_size(),
        });
    }

    fn make_output(&self) -> Result<Output, Stop> {
        let Destination::Disk { part, .. } = &self.job.destination else {
            return match self.plan.root_kind() {
                Some("file") => Ok(Output::Stdout),
                kind => Err(Stop::Failed(not_a_file(
                    self.root_text(),
                    kind.unwrap_or_default(),
                ))),
            };
        };
        match self.plan.root_kind() {
            Some("directory") => Ok(Output::tree(self.open_tree(part)?)),
            Some("file") => {
                let part = self.open_part(part)?;
                self.cut(&part)?;
                Ok(Output::File(part))
            }
            // A link has no bytes: all of it is made when it gets its name.
            _ => self.judge_root_link().map(|()| Output::Undecided),
        }
    }

    /// A part that somebody made longer than the file must not give it its length.
    fn cut(&self, part: &PartFile) -> Result<(), Stop> {
        let Some(size) = self.plan.file(0).map(FilePlan::size) else {
            return Ok(());
        };
        let cut = part.len().and_then(|len| match len > size {
            true => part.set_len(size),
            false => Ok(()),
        });
        cut.map_err(|error| Stop::Failed(disk_failure(&error, self.job.id)))
    }

    /// Whether the target can take it: nothing else there, and room.
    fn check_place(&mut self) {
        let Destination::Disk {
            target, overwrite, ..
        } = &self.job.destination
        else {
            return;
        };
        if self.is_in_place {
            return;
        }
        let (id, size) = (self.job.id, self.plan.size().unwrap_or(0));
        if let (Some(text), None) = (self.plan.root_link(), &self.job.car_part)
            && inspect::link_text(target).as_deref() == Some(&text[..])
        {
            self.is_in_place = true;
            return;
        }
        let is_free = match inspect::file_len(target) {
            _ if self.plan.is_directory() && !*overwrite && inspect::is_directory(target) => {
                self.may_be_there(target)
            }
            // Only a directory replaces a directory.
            _ if inspect::is_directory(target) && !self.plan.is_directory() => false,
            Ok(None) => !inspect::exists(target) || *overwrite,
            Ok(Some(there)) => *overwrite || (there == size && !self.plan.is_directory()),
            Err(_) if *overwrite => true,
            Err(error) => return self.fail(target_failure(&error, id)),
        };
        // No other file of the same size is that CAR: it would have been recognised.
        let is_taken = self.job.car_part.is_some() && inspect::exists(target) && !*overwrite;
        if !is_free || is_taken {
            let failure = exists_failure(target, id);
            return self.fail(failure);
        }
        let directory = target.parent().unwrap_or(target);
        let needed = match self.plan.is_directory() {
            // What directories claim is no proof, and no reason to refuse.
            true => self.plan.totals().known_bytes,
            false => size,
        };
        // A CAR is written beside the part that it comes from.
        let copies = 1 + u64::from(self.job.car_part.is_some());
        if let Err(error) = room::require(
            directory,
            needed
                .saturating_mul(copies)
                .saturating_sub(self.plan.proved_bytes()),
        ) {
            self.fail(target_failure(&error, id));
        }
    }

    /// Whether a directory that stands at the target may be the one that is wanted: it has every name
    /// that is known by now. At the install it is known whether it is.
    fn may_be_there(&self, target: &Path) -> bool {
        let Ok(Some(view)) = TreeView::open(target) else {
            return false;
        };
        let is_there = |path: &str| {
            let path = TreePath::parse(path);
            path.is_ok_and(|path| matches!(view.inspect(&path), Ok(Some(_))))
        };
        let mut entries = self.plan.entries();
        entries.all(|(_, entry)| entry.path.is_empty() || is_there(&entry.path))
    }

    /// Starts the threads that prove and write, and the one that keeps the sums of whole files.
    /// `sum` is that of the file whose bytes are likely to come first.
    fn start_threads(&mut self, sum: FileSum) {
        let sink = match &self.output {
            Output::Stdout => Sink::Stream(Stream::new(Box::new(std::io::stdout()))),
            output => Sink::Disk(Writer::new(output.clone())),
        };
        let wants_sums = self.options.file_sha256 || self.job.expected_sha256.is_some();
        self.prover = Some(prove::spawn_prover(
            sink,
            wants_sums.then_some(sum),
            self.inputs.clone(),
            &mut self.threads,
        ));
        if wants_sums {
            self.hashing.sender = Some(prove::spawn_sha(
                self.output.clone(),
                self.inputs.clone(),
                &mut self.threads,
            ));
        }
    }
}
