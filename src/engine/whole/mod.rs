//! Whole files that prove themselves only at their end: by the root that they have under an
//! importer profile, by a checksum, or, if the user consents, not at all.
//!
//! One stream at a time, from one source after the other. The part grows only at its end; it is
//! believed only as far as the classic rules allow (validators, a share of the file, the same boot
//! of the machine), since the sum at the end decides over all of it. A file that comes out wrong is
//! deleted, its source is asked no more, and another one begins anew.

mod adopt;
mod judge;
mod local;
mod pour;
mod progress;
mod stream;
mod sums;
mod writer;

use std::time::Instant;

use tokio::sync::mpsc::UnboundedReceiver;

use crate::content::cid::{Cid, codec};
use crate::disk::{host, inspect};
use crate::download::Proof;
use crate::engine::begin::Signals;
use crate::engine::coordinator::{Coordinator, Stop, TICK};
use crate::engine::failure::{self, disk_failure};
use crate::engine::input::{Input, TaskId};
use crate::engine::output::Output;
use crate::engine::provider::{Provider, next_cooled, ranking};
use crate::engine::{Checksum, Destination};
use crate::event::What;
use crate::exit::ExitKind;
use crate::gateway::validator::Validator;
use crate::store::FileState;

use progress::{Progress, Saved};
pub use sums::{Summed, Summer, Sums, Wanted};
pub use writer::Report;

use writer::{Desk, Work};

/// What proves a file at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goal {
    /// It has this root under one of the known importer profiles.
    Profile(Cid),
    /// It has this digest.
    Checksum(Checksum),
    /// Nothing; the user consented.
    Nothing,
}

impl Goal {
    /// Whether a file that came to these sums is what is wanted.
    fn is_met(&self, sums: &Sums) -> bool {
        match self {
            Goal::Profile(_) => sums.profile.is_some(),
            Goal::Checksum(wanted) => wanted.is_met(&sums.sha256, sums.digest.as_deref()),
            Goal::Nothing => true,
        }
    }

    /// The rung of the proof.
    fn proof(&self) -> Proof {
        match self {
            Goal::Profile(_) => Proof::Profile,
            Goal::Checksum(_) => Proof::Sha256,
            Goal::Nothing => Proof::Unverified,
        }
    }
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Bytes are missing.
    Fetching,
    /// All are here; the sums are being made.
    Summing,
    /// It is what was wanted.
    Proved,
}

/// Whether bytes of two answers were put together without a validator that says they belong to one
/// file, or bytes that stood on the disk with others. Then nobody is to blame if they do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Joins {
    /// Not so far.
    Untried,
    /// They were.
    Made,
    /// They were, and did not fit: never again.
    Forbidden,
}

/// A file on its way.
pub struct Whole {
    goal: Goal,
    phase: Phase,
    progress: Progress,
    /// Who sends, or sent last.
    source: Option<usize>,
    /// The task that brings bytes now.
    stream: Option<TaskId>,
    /// How far any answer has come: beyond that is progress.
    furthest: u64,
    /// Bytes from the beginning that are written.
    written: u64,
    /// Counts beginnings.
    number: u32,
    /// Bytes in the part, by the provider that sent them.
    sent: Vec<u64>,
    joins: Joins,
    switches: u32,
    /// The thread that writes; `None` when nothing more is to be written.
    writer: Option<Desk>,
}

impl Whole {
    /// Bytes of the file, as far as that is known.
    pub fn size(&self) -> Option<u64> {
        self.progress.total
    }

    /// Whether this very checksum is its proof.
    pub fn is_proved_by(&self, checksum: &Checksum) -> bool {
        matches!(&self.goal, Goal::Checksum(goal) if goal == checksum)
    }

    /// Bytes that are here.
    pub fn position(&self) -> u64 {
        self.progress.position
    }

    /// Whether bytes are on their way to the disk, with nothing before them that takes long.
    pub fn is_writing(&self) -> bool {
        self.writer.is_some() && (1..self.progress.position).contains(&self.written)
    }

    fn ask(&self, work: Work) {
        if let Some(writer) = &self.writer {
            writer.ask(work);
        }
    }

    /// Nothing more is to be written.
    pub fn close(&mut self) {
        self.writer = None;
    }
}

impl Coordinator<'_> {
    /// Takes up a file that proves itself only at its end.
    pub(super) async fn begin_whole(
        &mut self,
        goal: Goal,
        signals: &mut Signals,
    ) -> Result<(), Stop> {
        let id = self.job.id;
        let destination = self.job.destination.clone();
        let path = destination.part();
        if let Destination::Disk { target, .. } = &destination
            && !inspect::exists(path)
            && self.adopt_whole(&goal, target, signals).await?
        {
            return Ok(());
        }
        let rows = self.store.files(id).await;
        let rows = rows.map_err(|error| Stop::of_store(&error, id))?;
        let saved = rows
            .first()
            .and_then(|row| Saved::from_json(row.state.source.as_deref()?));
        let saved = saved.unwrap_or_default();
        let part = self.open_part(path)?;
        let len = part
            .len()
            .map_err(|error| Stop::Failed(disk_failure(&error, id)))?;
        let position = saved.believed(len, host::boot_id().as_deref());
        // Where nothing is here, what a source said of the file binds nobody: it may have been wrong.
        let is_begun = position > 0;
        let (inputs, wanted) = (self.inputs.clone(), Wanted::of(&goal));
        let whole = Whole {
            goal,
            phase: Phase::Fetching,
            progress: Progress {
                position,
                total: saved.total.filter(|_| is_begun),
                validator: saved.validator.as_deref().and_then(Validator::decode),
            },
            source: self
                .providers
                .iter()
                .position(|provider| provider.url() == saved.url),
            stream: None,
            furthest: position,
            written: 0,
            number: 0,
            sent: vec![0; self.providers.len()],
            // What stands there may have been changed, or be all that is left of a wrong file.
            joins: match position {
                0 => Joins::Untried,
                _ => Joins::Made,
            },
            switches: saved.switches,
            writer: Some(writer::spawn(
                part.clone(),
                wanted,
                inputs,
                &mut self.threads,
            )),
        };
        whole.ask(Work::Begin {
            position,
            number: 0,
        });
        self.output = Output::File(part);
        self.tally.resumed_from = position;
        self.whole = Some(whole);
        Ok(())
    }

    /// Takes up a plain file: what proves it, the user said.
    pub(super) async fn begin_file(&mut self, signals: &mut Signals) -> Result<(), Stop> {
        let sha256 = self.job.expected_sha256.map(Checksum::sha256);
        let goal = match self.job.checksum.clone().or(sha256) {
            Some(checksum) => Goal::Checksum(checksum),
            None if self.options.allow_unverified => Goal::Nothing,
            None => return Err(Stop::Failed(failure::unverifiable(&self.job.source))),
        };
        if let Goal::Checksum(checksum) = &goal {
            self.look_for_sum(checksum).await;
        }
        self.begin_whole(goal, signals).await
    }

    /// Nobody serves the content in a form that proves itself: those who may have it as a plain
    /// file are asked for that.
    pub(super) async fn fall_back(&mut self, signals: &mut Signals) {
        let Some(root) = self.root() else { return };
        (self.prover, self.hashing.sender) = (None, None);
        let is_there = self.providers.iter().any(Provider::sends_no_blocks);
        for provider in &mut self.providers {
            if provider.may_send_whole() {
                provider.revive();
            }
        }
        let message = "nobody serves it in a form that proves itself: the plain file is fetched, \
                       and proved by the root that importers would give it";
        // Where all say that they do not have it, that is only asked once more.
        if is_there {
            let message = message.to_owned();
            self.announce(What::Notice { message });
        }
        if let Err(stop) = self.begin_whole(Goal::Profile(root), signals).await {
            self.halt(stop);
        }
    }

    /// Whether it is worth asking for the plain file.
    pub(super) fn may_fall_back(&self) -> bool {
        let can_be_imported = |root: Cid| matches!(root.codec(), codec::RAW | codec::DAG_PB);
        self.whole.is_none()
            && self.wanted_step().is_none()
            && self.root().is_some_and(can_be_imported)
            && self.plan.root_kind().is_none()
            && self.providers.iter().any(Provider::may_send_whole)
    }

    /// Fetches until the file is proved or something stops it.
    pub(super) async fn transfer_whole(
        &mut self,
        receiver: &mut UnboundedReceiver<Input>,
        signals: &mut UnboundedReceiver<ExitKind>,
    ) {
        let mut tick = tokio::time::interval(TICK);
        let is_proved = |whole: &Whole| whole.phase == Phase::Proved;
        while self.stop.is_none() && !self.whole.as_ref().is_some_and(is_proved) {
            self.schedule_whole();
            if self.stop.is_none() {
                self.step(receiver, signals, &mut tick).await;
            }
        }
    }

    /// Opens the next stream, if none brings bytes and some are missing.
    fn schedule_whole(&mut self) {
        let now = Instant::now();
        let Some(whole) = &mut self.whole else { return };
        if whole.stream.is_some() || whole.phase != Phase::Fetching {
            return;
        }
        if whole.progress.is_whole() {
            whole.phase = Phase::Summing;
            return whole.ask(Work::Finish);
        }
        if self.check_local_file() {
            return;
        }
        let Some(whole) = &self.whole else { return };
        let mut ranking = ranking(&self.providers, now);
        ranking.retain(|&index| !self.providers[index].is_local());
        let same = whole.source.filter(|source| ranking.contains(source));
        match same.or(ranking.first().copied()) {
            Some(index) => self.open_stream(index),
            None => {
                self.net.wake = next_cooled(&self.providers, now);
                if self.net.wake.is_none() {
                    self.give_up();
                }
            }
        }
    }

    pub(super) fn on_whole(&mut self, report: Report) {
        match report {
            Report::Written { position, number } => self.on_whole_written(position, number),
            Report::Sums(sums) => self.judge(sums),
            Report::Failed(error) => {
                self.whole.iter_mut().for_each(Whole::close);
                self.fail(disk_failure(&error, self.job.id));
            }
        }
    }

    fn on_whole_written(&mut self, position: u64, number: u32) {
        if let Some(whole) = self.whole.as_mut().filter(|whole| whole.number == number) {
            self.tally.new_bytes += position.saturating_sub(whole.written);
            whole.written = position;
            self.checkpointing.note_progress(0);
        }
    }

    /// What a checkpoint remembers of it.
    pub(super) fn whole_state(&self) -> Option<FileState> {
        let whole = self.whole.as_ref()?;
        let source = whole.source.and_then(|source| self.providers.get(source));
        let saved = Saved {
            position: whole.written,
            total: whole.progress.total,
            url: source
                .map(|source| source.url().to_owned())
                .unwrap_or_default(),
            validator: whole.progress.validator.as_ref().map(Validator::encode),
            boot: host::boot_id(),
            switches: whole.switches,
        };
        Some(FileState {
            source: Some(saved.to_json()),
            sha256: self.hashing.digest(0),
            done: whole.phase == Phase::Proved,
            ..FileState::default()
        })
    }
}
