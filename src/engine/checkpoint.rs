//! Checkpoints: when one is due, and the one order in which it is made.
//!
//! Bytes are written, then the hash of the prefix is asked for its state, then what is proved by
//! then is noted, the part is synced on a thread of its own, one transaction records the note, and
//! only then it is announced. What a checkpoint claims is therefore always on the disk.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::content::ranges::RangeSet;
use crate::disk::{DiskError, inspect};
use crate::download::{Proof, ProviderReceipt, Trigger};
use crate::engine::coordinator::Coordinator;
use crate::engine::finish::disk_failure;
use crate::engine::input::Input;
use crate::engine::prove::{ShaJob, ShaReport};
use crate::event::What;
use crate::store::{Checkpoint, FileState, Recorded, StoreError, Traffic};

/// What is known of the checkpoints of this run.
pub struct Checkpointing {
    last: Instant,
    last_bytes: u64,
    stage: Stage,
    /// Asked for while another one was under way.
    again: Option<Trigger>,
    /// What was reported to the store already, by provider.
    reported: Vec<ProviderReceipt>,
    reported_fetched: u64,
    reported_wasted: u64,
}

enum Stage {
    Idle,
    /// Waiting for the state of the whole-file hash.
    Hash(Trigger),
    /// Waiting for the disk.
    Sync(Note),
    /// Waiting for the store.
    Commit {
        trigger: Trigger,
        bytes: u64,
    },
}

/// What is proved and written before the sync begins.
struct Note {
    trigger: Trigger,
    proved: RangeSet,
    rungs: Vec<u8>,
    sha_state: Option<Vec<u8>>,
    is_complete: bool,
    digest: Option<[u8; 32]>,
}

impl Checkpointing {
    /// Nothing yet.
    pub fn new(now: Instant) -> Self {
        Self {
            last: now,
            last_bytes: 0,
            stage: Stage::Idle,
            again: None,
            reported: Vec::new(),
            reported_fetched: 0,
            reported_wasted: 0,
        }
    }

    /// Whether none is under way.
    pub fn is_idle(&self) -> bool {
        matches!(self.stage, Stage::Idle)
    }

    /// What was received before this run counts as reported.
    pub fn begin_traffic(&mut self, fetched: u64, wasted: u64) {
        self.reported_fetched = fetched;
        self.reported_wasted = wasted;
    }

    fn is_due(&self, now: Instant, new_bytes: u64, every_bytes: u64, interval: Duration) -> bool {
        let fresh = new_bytes - self.last_bytes;
        fresh >= every_bytes || (fresh > 0 && now.duration_since(self.last) >= interval)
    }
}

impl Coordinator<'_> {
    pub(super) fn checkpoint_if_due(&mut self, now: Instant) {
        let (bytes, interval) = (
            self.options.checkpoint_bytes,
            self.options.checkpoint_interval,
        );
        if self.checkpointing.is_idle()
            && self
                .checkpointing
                .is_due(now, self.new_bytes, bytes, interval)
        {
            self.checkpoint(Trigger::Periodic);
        }
    }

    /// Begins a checkpoint, or notes that one is wanted when the one under way is done.
    pub(super) fn checkpoint(&mut self, trigger: Trigger) {
        if self.part.is_none() || self.plan.is_none() {
            return;
        }
        if !self.checkpointing.is_idle() {
            self.checkpointing.again = Some(trigger);
            return;
        }
        self.checkpointing.last = Instant::now();
        self.checkpointing.last_bytes = self.new_bytes;
        match &self.sha {
            Some(sha) => {
                self.checkpointing.stage = Stage::Hash(trigger);
                // Its answer, or its failure, comes back as an input.
                let _ = sha.send(ShaJob::Save);
            }
            None => self.sync(trigger, None),
        }
    }

    pub(super) fn on_sha(&mut self, report: ShaReport) {
        match report {
            ShaReport::Digest(digest) => self.digest = Some(digest),
            ShaReport::Failed(error) => self.fail(disk_failure(&error, self.job.id)),
            ShaReport::State(state) => {
                if let Stage::Hash(trigger) = self.checkpointing.stage {
                    self.sync(trigger, state);
                }
            }
        }
    }

    fn sync(&mut self, trigger: Trigger, sha_state: Option<Vec<u8>>) {
        let (Some(part), Some(plan)) = (self.part.clone(), &self.plan) else {
            return;
        };
        let note = Note {
            trigger,
            proved: plan.proved().clone(),
            rungs: self.by_leaves.encode(),
            sha_state,
            is_complete: plan.is_complete(),
            digest: self.digest,
        };
        self.checkpointing.stage = Stage::Sync(note);
        let inputs = self.inputs.clone();
        std::thread::spawn(move || {
            // Nobody listens any more only when the download is over.
            let _ = inputs.send(Input::Synced(part.sync()));
        });
    }

    pub(super) fn on_synced(&mut self, result: Result<(), DiskError>) {
        let Stage::Sync(note) = std::mem::replace(&mut self.checkpointing.stage, Stage::Idle)
        else {
            return;
        };
        if let Err(error) = result {
            return self.fail(disk_failure(&error, self.job.id));
        }
        let bytes = note.proved.total();
        self.checkpointing.stage = Stage::Commit {
            trigger: note.trigger,
            bytes,
        };
        let state = FileState {
            index: 0,
            fingerprint: self
                .part
                .as_ref()
                .and_then(|part| inspect::fingerprint(part.path())),
            done: note.is_complete,
            verified: note.proved,
            rungs: note.rungs,
            sha_state: note.sha_state,
            sha256: note.digest,
        };
        let checkpoint = Checkpoint {
            trigger: note.trigger,
            files: vec![state],
            bytes_verified: bytes,
            traffic: self.take_traffic(),
            now: Timestamp::now(),
        };
        let reply = self.store.checkpoint(self.job.id, self.job.run, checkpoint);
        let inputs = self.inputs.clone();
        tokio::spawn(async move {
            let result = reply
                .await
                .map(|recorded| !matches!(recorded, Recorded::Unchanged));
            // Nobody listens any more only when the download is over.
            let _ = inputs.send(Input::Committed(result));
        });
    }

    pub(super) fn on_committed(&mut self, result: Result<bool, StoreError>) {
        let stage = std::mem::replace(&mut self.checkpointing.stage, Stage::Idle);
        match (result, stage) {
            (Ok(true), Stage::Commit { trigger, bytes }) => {
                self.announce(What::Checkpoint { trigger, bytes })
            }
            (Ok(_), _) => {}
            (Err(error), _) => self.store_failed(error),
        }
        if let Some(trigger) = self.checkpointing.again.take() {
            self.checkpoint(trigger);
        }
    }

    /// What was received since the last report to the store.
    pub(super) fn take_traffic(&mut self) -> Traffic {
        let state = &mut self.checkpointing;
        let fetched =
            self.bytes_fetched - std::mem::replace(&mut state.reported_fetched, self.bytes_fetched);
        let wasted =
            self.bytes_wasted - std::mem::replace(&mut state.reported_wasted, self.bytes_wasted);
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
            providers,
        }
    }

    /// The weakest rung that any byte was proved on.
    pub(super) fn weakest_proof(&self) -> Proof {
        if self.by_leaves.is_empty() {
            Proof::Blocks
        } else {
            Proof::Leaves
        }
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
