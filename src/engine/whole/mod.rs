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
mod sums;
mod writer;

use std::time::Instant;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::content::cid::{Cid, codec};
use crate::disk::{host, inspect, room};
use crate::download::{Proof, Trigger};
use crate::engine::begin::Signals;
use crate::engine::coordinator::{Coordinator, Stop, TICK};
use crate::engine::failure::{self, chain, disk_failure, exists_failure, target_failure};
use crate::engine::fetch;
use crate::engine::input::{Input, Opened, TaskEnd, TaskId};
use crate::engine::output::Output;
use crate::engine::prove::Permit;
use crate::engine::provider::{Place, Provider, Transport, next_cooled, ranking};
use crate::engine::task::Aim;
use crate::engine::{Checksum, Destination};
use crate::event::What;
use crate::exit::ExitKind;
use crate::gateway::error::GatewayError;
use crate::gateway::plain::Plain;
use crate::gateway::validator::Validator;
use crate::store::{FileKind, FileRow, FileState, Resolved};

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

    fn open_stream(&mut self, index: usize) {
        let line = self.new_line(index);
        let Some(whole) = &mut self.whole else { return };
        let plain = match (&self.providers[index].place, &whole.goal) {
            (Place::Plain(plain), _) => Some(plain.clone()),
            (Place::Http(gateway), Goal::Profile(root)) => Plain::behind(gateway, root),
            _ => None,
        };
        let Some(plain) = plain else {
            return self.providers[index].rule_out();
        };
        // A validator speaks for one source only.
        if whole.source != Some(index) {
            whole.progress.validator = None;
        }
        (whole.source, whole.stream) = (Some(index), Some(line.task));
        if whole.progress.validator.is_none() && whole.joins == Joins::Forbidden {
            self.restart();
        }
        let Some(whole) = &mut self.whole else { return };
        if whole.progress.validator.is_none() && whole.progress.position > 0 {
            whole.joins = Joins::Made;
        }
        let progress = whole.progress.clone();
        let from = fetch::From {
            position: progress.position,
            total: progress.total,
            validator: progress.validator,
        };
        let work = fetch::whole(plain, from, line.clone());
        self.start(index, Transport::Whole, Aim::Whole, line, work);
    }

    pub(super) fn on_opened(&mut self, opened: Opened) {
        if self
            .whole
            .as_ref()
            .is_none_or(|whole| whole.stream != Some(opened.task))
        {
            return;
        }
        if opened.offset == 0 {
            self.restart();
        }
        let Some(whole) = &mut self.whole else { return };
        whole.progress.total = opened
            .total
            .or(whole.progress.total.filter(|_| opened.offset > 0));
        whole.progress.validator = opened.validator;
        self.check_whole();
        self.resolve_whole();
    }

    /// Throws away what is here of the file, and begins anew.
    pub(super) fn restart(&mut self) {
        let Some(whole) = &mut self.whole else { return };
        if whole.progress.position == 0 {
            return;
        }
        let mut wasted = whole.progress.position;
        for (provider, sent) in self.providers.iter_mut().zip(&mut whole.sent) {
            let sent = std::mem::take(sent);
            provider.receipt.wasted += sent;
            if provider.is_local() {
                wasted -= sent;
            }
        }
        self.tally.wasted += wasted;
        (whole.progress.position, whole.written) = (0, 0);
        if whole.joins == Joins::Made {
            whole.joins = Joins::Untried;
        }
        whole.number += 1;
        let number = whole.number;
        whole.ask(Work::Begin {
            position: 0,
            number,
        });
        // Nobody is to be told of bytes that are gone.
        self.announce_progress();
    }

    /// Whether the file may be as long as it is said to be, and whether it fits.
    fn check_whole(&mut self) {
        let Some(whole) = &self.whole else { return };
        let size = whole
            .progress
            .total
            .unwrap_or(whole.progress.position)
            .max(whole.progress.position);
        if let Some(limit) = self.options.limits.max_size.filter(|&limit| size > limit) {
            return self.fail(failure::too_large(size, limit));
        }
        if let Destination::Disk {
            target, overwrite, ..
        } = &self.job.destination
            && !overwrite
            && inspect::exists(target)
        {
            let failure = exists_failure(target, self.job.id);
            return self.fail(failure);
        }
        let missing = size - whole.progress.position;
        let part = self.job.destination.part();
        if let Err(error) = room::require(part.parent().unwrap_or(part), missing) {
            self.fail(target_failure(&error, self.job.id));
        }
    }

    /// Announces and records, once, that there is such a file.
    fn resolve_whole(&mut self) {
        let (id, run) = (self.job.id, self.job.run);
        let size = self.whole.as_ref().and_then(Whole::size);
        if std::mem::replace(&mut self.is_resolved, true) || self.stop.is_some() {
            return;
        }
        let resolved = Resolved {
            root_cid: None,
            kind: "file".to_owned(),
            bytes_total: size,
            now: Timestamp::now(),
        };
        self.in_background(self.store.record_resolved(id, run, resolved));
        let mut row = FileRow::unknown_root(&self.root_text().unwrap_or_default()).file;
        (row.kind, row.size) = (FileKind::File, size);
        row.cid = self.root_text();
        self.in_background(self.store.record_found(id, run, vec![row], Vec::new()));
        self.announce_resolved();
        // From now on the record knows in which boot the part was begun.
        self.checkpointing.note_progress(0);
        self.checkpoint(Trigger::Periodic);
    }

    pub(super) fn on_chunk(&mut self, task: TaskId, data: Bytes, permit: Permit) {
        let len = data.len() as u64;
        self.count_received(task, len);
        let Some(whole) = self
            .whole
            .as_mut()
            .filter(|whole| whole.stream == Some(task))
        else {
            return self.waste(task, len);
        };
        whole.progress.position += len;
        if let Some(sent) = whole.source.and_then(|source| whole.sent.get_mut(source)) {
            *sent += len;
        }
        whole.ask(Work::Write(data, permit));
        if whole.progress.total.is_none() {
            self.check_whole();
        }
    }

    pub(super) fn whole_ended(&mut self, id: TaskId, end: TaskEnd) {
        let Some(whole) = self.whole.as_mut().filter(|whole| whole.stream == Some(id)) else {
            return;
        };
        whole.stream = None;
        match end {
            TaskEnd::Complete => whole.progress.total = Some(whole.progress.position),
            TaskEnd::Past { total }
                if total.or(whole.progress.total) == Some(whole.progress.position) =>
            {
                whole.progress.total = Some(whole.progress.position);
            }
            TaskEnd::Past { .. } | TaskEnd::Changed => {
                whole.progress.validator = None;
                whole.progress.total = None;
                self.restart();
            }
            TaskEnd::Failed(error) => self.stream_failed(id, &error),
            TaskEnd::Local(end) => self.local_file_ended(id, end),
            _ => {}
        }
    }

    fn stream_failed(&mut self, id: TaskId, error: &GatewayError) {
        self.tally.reached_provider |= !error.is_unreachable();
        let threshold = self.options.resume_threshold;
        let keeps = self
            .whole
            .as_ref()
            .is_some_and(|whole| whole.progress.is_worth_keeping(threshold));
        let source = self.whole.as_ref().and_then(|whole| whole.source);
        // Progress gives the budget back.
        if let Some(index) = source
            && self
                .net
                .tasks
                .get(&id)
                .is_some_and(|task| task.received > 0)
        {
            self.providers[index].made_progress();
        }
        self.exchange_failed(id, error.advice(), chain(error));
        if !keeps {
            self.restart();
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
