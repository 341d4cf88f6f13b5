//! Checkpoints: when one is due, and the one order in which it is made.
//!
//! Bytes are written, then the hash of the prefix is asked for its state, then what is proved by
//! then is noted and the store hears that a checkpoint is begun; it knows whether anything has
//! changed. Then the part is synced on a thread of its own, one transaction records the note, and
//! only then it is announced. What a checkpoint claims is therefore always on the disk.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::OwnedSemaphorePermit;

use crate::content::ranges::RangeSet;
use crate::disk::{DiskError, Fingerprint};
use crate::download::{Action, ProviderReceipt, Trigger};
use crate::engine::coordinator::Coordinator;
use crate::engine::failure::target_failure;
use crate::engine::input::Input;
use crate::engine::output::{self, Output};
use crate::engine::plan::EntryId;
use crate::engine::prove::ShaJob;
use crate::event::What;
use crate::store::{Checkpoint, CheckpointId, FileState, StoreError, Traffic};

/// What is known of the checkpoints of this run.
pub struct Checkpointing {
    last: Instant,
    last_bytes: u64,
    stage: Stage,
    /// Held while no more bytes are let in.
    gate: Option<OwnedSemaphorePermit>,
    /// Asked for while another one was under way.
    again: Option<Trigger>,
    /// Files of which more is proved than the last checkpoint says.
    changed: BTreeSet<EntryId>,
    /// Files finished since the last checkpoint.
    finished: BTreeSet<EntryId>,
    /// Whether another terminal waits for a checkpoint.
    is_asked: bool,
    /// What was reported to the store already, by provider.
    reported: Vec<ProviderReceipt>,
    reported_fetched: u64,
    reported_wasted: u64,
    /// How long the run had taken then.
    reported_elapsed: Duration,
}

enum Stage {
    Idle,
    /// Waiting for the states of the whole-file hashes.
    Hash(Trigger),
    /// Waiting for the store to say whether there is anything new, with the paths of the files.
    Begin(Checkpoint, Vec<Arc<str>>),
    /// Waiting for the disk.
    Sync(CheckpointId, Checkpoint),
    /// Waiting for the store.
    Commit {
        trigger: Trigger,
        bytes: u64,
        /// Files that it records as finished.
        finished: Vec<EntryId>,
    },
}

/// So many finished files make a checkpoint due: until then they are kept in memory.
const ENOUGH_FILES: usize = 4096;

impl Checkpointing {
    /// Nothing yet.
    pub fn new(now: Instant) -> Self {
        Self {
            last: now,
            last_bytes: 0,
            stage: Stage::Idle,
            gate: None,
            again: None,
            changed: BTreeSet::new(),
            finished: BTreeSet::new(),
            is_asked: false,
            reported: Vec::new(),
            reported_fetched: 0,
            reported_wasted: 0,
            reported_elapsed: Duration::ZERO,
        }
    }

    /// Whether none is under way.
    pub fn is_idle(&self) -> bool {
        matches!(self.stage, Stage::Idle)
    }

    /// Whether no more bytes are let in for now.
    pub fn is_holding_back(&self) -> bool {
        self.gate.is_some()
    }

    /// What was received before this run counts as reported.
    pub fn begin_traffic(&mut self, fetched: u64, wasted: u64) {
        self.reported_fetched = fetched;
        self.reported_wasted = wasted;
    }

    /// More of a file is proved.
    pub fn note_progress(&mut self, entry: EntryId) {
        self.changed.insert(entry);
    }

    /// A file is finished.
    pub fn note_finished(&mut self, entry: EntryId) {
        self.changed.remove(&entry);
        self.finished.insert(entry);
    }

    /// What makes one due, if anything does. Files that were finished are grouped: a sync for each
    /// of many small ones would cost more than they do.
    fn due(
        &self,
        now: Instant,
        new_bytes: u64,
        every_bytes: u64,
        interval: Duration,
    ) -> Option<Trigger> {
        let fresh = new_bytes - self.last_bytes;
        let is_new = fresh > 0 || !self.finished.is_empty();
        let is_due = self.finished.len() >= ENOUGH_FILES
            || fresh >= every_bytes
            || (is_new && now.duration_since(self.last) >= interval);
        is_due.then_some(match self.finished.is_empty() {
            true => Trigger::Periodic,
            false => Trigger::Boundary,
        })
    }
}

impl Coordinator<'_> {
    pub(super) fn checkpoint_if_due(&mut self, now: Instant) {
        let (bytes, interval) = (
            self.options.checkpoint_bytes,
            self.options.checkpoint_interval,
        );
        let (state, new_bytes) = (&self.checkpointing, self.tally.new_bytes);
        if state.is_idle()
            && let Some(trigger) = state.due(now, new_bytes, bytes, interval)
        {
            self.checkpoint(trigger);
        }
        self.hold_back();
    }

    /// Lets no more in while a checkpoint is under way and the next one is due already: a disk that
    /// is slower than the network would otherwise owe more and more of what was received.
    fn hold_back(&mut self) {
        let fresh = self.tally.new_bytes - self.checkpointing.last_bytes;
        if self.checkpointing.is_idle() || fresh < self.options.checkpoint_bytes {
            self.checkpointing.gate = None;
        } else if self.checkpointing.gate.is_none() {
            self.checkpointing.gate = self.net.close_gate();
        }
    }

    /// Begins a checkpoint that another terminal waits for.
    pub(super) fn checkpoint_for_other(&mut self) {
        if !self.hear_of_checkpoint() {
            return;
        }
        if self.output.is_on_disk() {
            self.checkpoint(Trigger::Manual);
        } else {
            self.fulfil_checkpoint();
        }
    }

    /// The same while nothing is received: the checkpoint that comes next fulfils it, if there is
    /// anything that none has recorded yet.
    pub(super) fn checkpoint_is_asked(&mut self) {
        let state = &self.checkpointing;
        let has_news = !state.changed.is_empty() || !state.finished.is_empty() || !state.is_idle();
        if self.hear_of_checkpoint() && !(has_news && self.output.is_on_disk()) {
            self.fulfil_checkpoint();
        }
    }

    /// Acknowledges a wish for a checkpoint. It stands in the record, and is seen again and again,
    /// until it is fulfilled: whether it is a new one.
    fn hear_of_checkpoint(&mut self) -> bool {
        let is_new = !std::mem::replace(&mut self.checkpointing.is_asked, true);
        if is_new {
            self.acknowledge(Action::Checkpoint);
        }
        is_new
    }

    fn fulfil_checkpoint(&mut self) {
        if std::mem::take(&mut self.checkpointing.is_asked) {
            let (id, run) = (self.job.id, self.job.run);
            self.in_background(self.store.fulfil(id, run, Action::Checkpoint));
        }
    }

    /// Begins a checkpoint, or notes that one is wanted when the one under way is done.
    pub(super) fn checkpoint(&mut self, trigger: Trigger) {
        if !self.output.can_be_synced() {
            return;
        }
        if !self.checkpointing.is_idle() {
            self.checkpointing.again = Some(trigger);
            return;
        }
        self.checkpointing.last = Instant::now();
        self.checkpointing.last_bytes = self.tally.new_bytes;
        if self.hashing.sender.is_some() {
            self.checkpointing.stage = Stage::Hash(trigger);
            self.hashing.ask(ShaJob::Save);
        } else {
            self.note(trigger, HashMap::new());
        }
    }

    pub(super) fn checkpoint_states(&mut self, states: Vec<(EntryId, Vec<u8>)>) {
        if let Stage::Hash(trigger) = self.checkpointing.stage {
            // Where only a hash went on, the next run need not read all of it again.
            if trigger == Trigger::Stop {
                let hashed = states.iter().map(|(entry, _)| entry);
                self.checkpointing.changed.extend(hashed);
            }
            self.note(trigger, states.into_iter().collect());
        }
    }

    /// Notes what is proved and written by now, and asks the store whether that is new.
    fn note(&mut self, trigger: Trigger, mut sha_states: HashMap<EntryId, Vec<u8>>) {
        self.write_journal();
        let bytes = self.plan.proved_bytes();
        let whole = self.whole_state();
        let mut paths: Vec<Arc<str>> = Vec::new();
        let mut states = Vec::new();
        let is_changed = !self.checkpointing.changed.is_empty();
        for id in std::mem::take(&mut self.checkpointing.finished) {
            if let Some(file) = self.hashing.finished.get(&id) {
                paths.push(file.path.clone());
                let mut verified = RangeSet::new();
                verified.insert(0, file.size);
                states.push(FileState {
                    index: id,
                    verified,
                    rungs: file.by_leaves.encode(),
                    sha256: file.sha256,
                    done: true,
                    ..FileState::default()
                });
            }
        }
        for id in std::mem::take(&mut self.checkpointing.changed) {
            if let (Some(file), Some(entry)) = (self.plan.file(id), self.plan.entry(id)) {
                paths.push(entry.path.clone());
                states.push(FileState {
                    index: id,
                    verified: file.proved().clone(),
                    rungs: file.by_leaves().encode(),
                    sha_state: sha_states.remove(&id),
                    ..FileState::default()
                });
            }
        }
        if let Some(state) = whole.filter(|_| !states.is_empty() || is_changed) {
            states = vec![state];
            paths = vec!["".into()];
        }
        let checkpoint = Checkpoint {
            trigger,
            files: states,
            bytes_verified: bytes,
            traffic: Traffic::default(),
            now: Timestamp::now(),
        };
        let (id, run) = (self.job.id, self.job.run);
        let reply = self.store.begin_checkpoint(id, run, &checkpoint);
        self.checkpointing.stage = Stage::Begin(checkpoint, paths);
        self.beside(reply, |result| Some(Input::Begun(result)));
    }

    /// Syncs what is noted, if the store does not know it yet.
    pub(super) fn on_begun(&mut self, result: Result<Option<CheckpointId>, StoreError>) {
        let stage = std::mem::replace(&mut self.checkpointing.stage, Stage::Idle);
        let Stage::Begin(checkpoint, paths) = stage else {
            return;
        };
        let begun = match result {
            Ok(Some(begun)) => begun,
            unchanged => {
                self.checkpointing.stage = committing(&checkpoint);
                return self.on_committed(unchanged.map(|_| false));
            }
        };
        self.checkpointing.stage = Stage::Sync(begun, checkpoint);
        let (output, inputs) = (self.output.clone(), self.inputs.clone());
        self.threads.spawn(move || {
            let synced = output.sync().map(|()| {
                let paths = paths.iter();
                paths.map(|path| output.fingerprint(path)).collect()
            });
            // Nobody listens any more only when the download is over.
            let _ = inputs.send(Input::Synced(synced));
        });
    }

    pub(super) fn on_synced(&mut self, result: Result<Vec<Option<Fingerprint>>, DiskError>) {
        let stage = std::mem::replace(&mut self.checkpointing.stage, Stage::Idle);
        let Stage::Sync(begun, mut checkpoint) = stage else {
            return;
        };
        let fingerprints = match result {
            Ok(fingerprints) => fingerprints,
            // Its directory may have been taken away.
            Err(error) => return self.fail(target_failure(&error, self.job.id)),
        };
        for (state, fingerprint) in checkpoint.files.iter_mut().zip(fingerprints) {
            state.fingerprint = fingerprint;
        }
        self.checkpointing.stage = committing(&checkpoint);
        checkpoint.traffic = self.take_traffic();
        checkpoint.now = Timestamp::now();
        let (id, run) = (self.job.id, self.job.run);
        let reply = self.store.complete_checkpoint(id, run, begun, checkpoint);
        self.beside(reply, |result| {
            Some(Input::Committed(result.map(|()| true)))
        });
    }

    pub(super) fn on_committed(&mut self, result: Result<bool, StoreError>) {
        let stage = std::mem::replace(&mut self.checkpointing.stage, Stage::Idle);
        match (result, stage) {
            (
                Ok(is_new),
                Stage::Commit {
                    trigger,
                    bytes,
                    finished,
                },
            ) => {
                self.forget_left(&finished);
                self.hashing.are_recorded(&finished);
                if is_new {
                    self.announce(What::Checkpoint { trigger, bytes });
                }
            }
            (Ok(_), _) => {}
            // Nobody is told of a checkpoint that was not made.
            (Err(error), _) => return self.store_failed(error),
        }
        match self.checkpointing.again.take() {
            Some(trigger) => self.checkpoint(trigger),
            None => self.fulfil_checkpoint(),
        }
    }

    /// How these files were left is recorded now.
    fn forget_left(&self, finished: &[EntryId]) {
        if let Output::Tree(tree) = &self.output {
            let mut tree = output::lock(tree);
            let recorded = finished.iter();
            recorded
                .filter_map(|id| self.hashing.finished.get(id))
                .for_each(|file| tree.forget_left(&file.path));
        }
    }

    /// What was received since the last report to the store.
    pub(super) fn take_traffic(&mut self) -> Traffic {
        let state = &mut self.checkpointing;
        let fetched =
            self.tally.fetched - std::mem::replace(&mut state.reported_fetched, self.tally.fetched);
        let wasted =
            self.tally.wasted - std::mem::replace(&mut state.reported_wasted, self.tally.wasted);
        let run = self.started.elapsed();
        let elapsed = run - std::mem::replace(&mut state.reported_elapsed, run);
        state
            .reported
            .resize_with(self.providers.len(), ProviderReceipt::default);
        let mut providers = Vec::new();
        for (provider, reported) in self.providers.iter().zip(&mut state.reported) {
            let new = difference(&provider.receipt, reported);
            *reported = provider.receipt.clone();
            if new.requests > 0 || new.bytes > 0 || new.errors > 0 {
                providers.push(new);
            }
        }
        Traffic {
            fetched,
            wasted,
            elapsed,
            providers,
        }
    }
}

fn committing(checkpoint: &Checkpoint) -> Stage {
    let finished = checkpoint.files.iter().filter(|file| file.done);
    Stage::Commit {
        trigger: checkpoint.trigger,
        bytes: checkpoint.bytes_verified,
        finished: finished.map(|file| file.index).collect(),
    }
}

fn difference(now: &ProviderReceipt, before: &ProviderReceipt) -> ProviderReceipt {
    ProviderReceipt {
        url: now.url.clone(),
        bytes: now.bytes - before.bytes,
        wasted: now.wasted - before.wasted,
        requests: now.requests - before.requests,
        errors: now.errors - before.errors,
        rejected: now.rejected - before.rejected,
        rungs: now.rungs.clone(),
    }
}
