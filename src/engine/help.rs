//! Helping the slowest: what is under way, but not coming, is asked of somebody idle too.
//!
//! Only where nothing is open any more, so that little comes twice. Of a window the helper takes the
//! tail, and its first owner keeps the rest; of a single block the first answer wins.

use std::time::{Duration, Instant};

use crate::content::ranges::ByteRange;
use crate::engine::coordinator::Coordinator;
use crate::engine::input::TaskId;
use crate::engine::plan::{EntryId, Piece, adjoining};
use crate::engine::provider::{Provider, Transport};
use crate::engine::schedule::piece_range;
use crate::engine::task::{Aim, Task};
use crate::event::What;

/// A disk may take this long before anybody else is asked for the same.
const LOCAL_PATIENCE: Duration = Duration::from_secs(10);

impl Coordinator<'_> {
    /// An idle provider takes a part of what the slowest has not brought; whether it did.
    pub(super) fn help_slowest(&mut self, index: usize, now: Instant) -> bool {
        // What a file on this machine has was looked for there first.
        if self.load(index).is_busy() || self.providers[index].is_local() {
            return false;
        }
        let mut slow: Vec<(u64, TaskId)> = self
            .net
            .tasks
            .iter()
            .filter(|(_, task)| self.may_help(index, task, now))
            .map(|(&id, task)| (task.missing(), id))
            .collect();
        slow.sort_unstable_by(|one, other| other.cmp(one));
        slow.into_iter().any(|(_, id)| self.help(index, id))
    }

    fn may_help(&self, index: usize, task: &Task, now: Instant) -> bool {
        let is_local = self.providers[task.provider].is_local();
        if is_local && now.duration_since(task.started) < LOCAL_PATIENCE {
            return false;
        }
        // Nothing is known yet of the file: the two best are asked at once.
        let is_first = self.plan.root_kind().is_none()
            && task.aim.block().is_some()
            && self.net.tasks.len() < 2;
        let is_others = task.provider != index && !task.ended;
        // Of a stream, what its reader has no room for waits; nothing is gained by dividing that.
        let part = if self.output.is_on_disk() { 0.5 } else { 1.0 };
        is_others && (is_first || needs_help(task, &self.providers[index], part, now))
    }

    fn help(&mut self, index: usize, id: TaskId) -> bool {
        let Some(aim) = self.net.tasks.get(&id).map(|task| task.aim) else {
            return false;
        };
        let before = self.net.tasks.get(&id).map_or(0, Task::missing);
        let helped = match aim {
            Aim::Window(entry, range) => self.take_tail(index, id, entry, range),
            Aim::Tree(..) => false,
            _ => self.ask_twice(index, aim),
        };
        if helped {
            self.tell_takeover(index, id, before);
        }
        if let (true, Some(task)) = (helped, self.net.tasks.get_mut(&id)) {
            task.helped = true;
        }
        helped
    }

    fn tell_takeover(&mut self, index: usize, id: TaskId, before: u64) {
        let Some(task) = self.net.tasks.get(&id) else {
            return;
        };
        let what = What::Takeover {
            url: self.providers[index].url().to_owned(),
            from: self.providers[task.provider].url().to_owned(),
            bytes: before.saturating_sub(task.missing()),
        };
        if task.aim.block().is_none() {
            self.announce(what);
        }
    }

    /// The same block from another provider: the first answer wins.
    fn ask_twice(&mut self, index: usize, aim: Aim) -> bool {
        match aim.block() {
            Some(cid) if self.providers[index].node_transport(&cid).is_some() => {
                self.send_for_block(index, aim, cid);
                true
            }
            _ => false,
        }
    }

    /// The second half of what a window still lacks, or its last leaf a second time.
    fn take_tail(&mut self, index: usize, slow: u64, entry: EntryId, range: ByteRange) -> bool {
        let Some(file) = self.plan.file(entry) else {
            return false;
        };
        let missing: Vec<&Piece> = file.missing_leaves(range).collect();
        let tail: Vec<Piece> = missing[missing.len() / 2..]
            .iter()
            .copied()
            .cloned()
            .collect();
        let Some(start) = tail.first().map(|piece| piece.offset) else {
            return false;
        };
        let keeps = ByteRange::new(range.start(), start);
        let form = self.providers[index].bulk_transport(Some(file.root()));
        let helped = match form {
            Some(Transport::Range) => {
                let run = adjoining(tail.iter()).cloned().collect();
                self.fetch_run(index, entry, run)
            }
            Some(Transport::Car) => {
                let span = ByteRange::new(start, range.end());
                span.is_some_and(|span| self.fetch_span(index, entry, span))
            }
            Some(Transport::Raw) => tail.first().is_some_and(|piece| {
                let range = piece_range(piece);
                range.is_some_and(|range| self.ask_twice(index, Aim::Leaf(entry, piece.cid, range)))
            }),
            Some(Transport::Whole) | None => false,
        };
        if let (true, Some(task), Some(keeps)) = (helped, self.net.tasks.get_mut(&slow), keeps)
            && form != Some(Transport::Raw)
        {
            task.aim = Aim::Window(entry, keeps);
            // Where there are holes in the tail, not all of it has found somebody new.
            if let Some(tail) = ByteRange::new(start, range.end()) {
                self.reopen(entry, tail);
            }
        }
        helped
    }
}

/// Whether a task takes so long that somebody idle is better off doing this part of it, 0 to 1.
fn needs_help(task: &Task, helper: &Provider, part: f64, now: Instant) -> bool {
    let age = now.duration_since(task.started).as_secs_f64();
    let latency = helper.latency.max(0.05);
    if matches!(task.aim, Aim::Tree(..)) {
        // Nobody knows what of it is missing.
        return false;
    }
    if task.aim.block().is_some() {
        return !task.helped && age > (3.0 * latency).max(1.0);
    }
    let remaining = task.missing() as f64 / task.rate(now).max(1.0);
    let helpers = task.missing() as f64 * part / helper.assumed_throughput() + latency;
    // Who failed last would most likely leave a hole: it helps only where nobody else moves.
    let least = if helper.has_just_failed() { 10.0 } else { 0.25 };
    age > 2.0 * latency && remaining > least && remaining > 1.5 * helpers
}
