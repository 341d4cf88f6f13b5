//! The one answer that brings a plain file, from its opening to its end.

use bytes::Bytes;
use jiff::Timestamp;

use crate::disk::{inspect, room};
use crate::download::Trigger;
use crate::engine::Destination;
use crate::engine::coordinator::Coordinator;
use crate::engine::failure::{self, chain, exists_failure, target_failure};
use crate::engine::fetch;
use crate::engine::input::{Opened, TaskEnd, TaskId};
use crate::engine::prove::Permit;
use crate::engine::provider::{Place, Transport};
use crate::engine::task::Aim;
use crate::engine::whole::writer::Work;
use crate::engine::whole::{Goal, Joins, Whole};
use crate::gateway::error::GatewayError;
use crate::gateway::plain::Plain;
use crate::store::{FileKind, FileRow, Resolved};

impl Coordinator<'_> {
    pub(super) fn open_stream(&mut self, index: usize) {
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

    pub(in crate::engine) fn on_opened(&mut self, opened: Opened) {
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
    pub(in crate::engine) fn restart(&mut self) {
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
    pub(super) fn check_whole(&mut self) {
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
    pub(super) fn resolve_whole(&mut self) {
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

    pub(in crate::engine) fn on_chunk(&mut self, task: TaskId, data: Bytes, permit: Permit) {
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

    pub(in crate::engine) fn whole_ended(&mut self, id: TaskId, end: TaskEnd) {
        let Some(whole) = self.whole.as_mut().filter(|whole| whole.stream == Some(id)) else {
            return;
        };
        whole.stream = None;
        match end {
            // A length that is known binds: an answer may be a part of the rest.
            TaskEnd::Complete => {
                whole.progress.total.get_or_insert(whole.progress.position);
            }
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
        // Progress gives the budget back: what is kept, and goes further than ever before. Else who
        // always breaks off would be asked for ever.
        if let Some(whole) = &mut self.whole
            && whole.progress.position > whole.furthest
        {
            whole.furthest = whole.progress.position;
            if let Some(index) = whole.source.filter(|_| keeps) {
                self.providers[index].made_progress();
            }
        }
        self.exchange_failed(id, error.advice(), chain(error));
        if !keeps {
            self.restart();
        }
    }
}
