//! How exchanges end, and what that means for their provider and for the work they took.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::content::car::CarError;
use crate::content::cid::Cid;
use crate::content::ranges::ByteRange;
use crate::engine::bad_car;
use crate::engine::coordinator::Coordinator;
use crate::engine::failure::chain;
use crate::engine::input::{Input, TaskEnd, TaskId};
use crate::engine::plan::{EntryId, Expected, FilePlan};
use crate::engine::prove::Place;
use crate::engine::provider::{Consequence, Out, Provider, Transport};
use crate::engine::receive::EARLY_LIMIT;
use crate::engine::task::{Aim, Task};
use crate::event::What;
use crate::gateway::capability::Known;
use crate::gateway::error::Advice;
use crate::store::Attempt;

/// An answer may bring this much that nothing asks for, beyond its useful bytes, before it is cut.
const USELESS_LIMIT: u64 = 32 << 20;
/// Weight of the newest measurement in a provider's averages.
const WEIGHT: f64 = 0.3;

impl Coordinator<'_> {
    pub(super) fn on_ended(&mut self, id: TaskId, end: TaskEnd) {
        if let Some(task) = self.net.tasks.get_mut(&id) {
            task.is_drained = true;
        }
        if !self.end_task(id) {
            return self.retire(id);
        }
        if self
            .net
            .tasks
            .get(&id)
            .is_some_and(|task| task.aim == Aim::Whole)
        {
            self.whole_ended(id, end);
            return self.retire(id);
        }
        match end {
            // Only whole files end like the last two.
            TaskEnd::Complete | TaskEnd::Past { .. } | TaskEnd::Changed => {}
            TaskEnd::CarEnded { was_empty } => self.car_ended(id, was_empty),
            TaskEnd::BadCar(error @ CarError::SectionTooLarge { .. }) => {
                self.block_too_large(id, &chain(&error));
            }
            TaskEnd::BadCar(error) => self.car_broke(id, &error),
            TaskEnd::Failed(error) if error.is_too_large() && self.is_for_block(id) => {
                self.block_too_large(id, &chain(&error));
            }
            TaskEnd::Failed(error) => {
                self.tally.reached_provider |= !error.is_unreachable();
                self.exchange_failed(id, error.advice(), chain(&error));
            }
            TaskEnd::NotInCar => {
                self.exchange_failed(id, Advice::Absent, "does not hold the block".to_owned());
            }
            TaskEnd::Local(end) => self.local_ended(id, end),
            TaskEnd::CarFile(error) => {
                self.exchange_failed(id, bad_car::on_disk(&error), chain(&error));
            }
        }
        self.retire(id);
    }

    /// The network part of a task is over: what it did not bring is open to others; `false` if it
    /// was over before.
    fn end_task(&mut self, id: TaskId) -> bool {
        let Some(task) = self.net.tasks.get_mut(&id) else {
            return false;
        };
        if std::mem::replace(&mut task.ended, true) {
            return false;
        }
        task.abort.abort();
        measure(&mut self.providers[task.provider], task);
        let aim = task.aim;
        if let Some((entry, range)) = aim.bytes() {
            self.reopen(entry, range);
        }
        if matches!(aim, Aim::Entry(..) | Aim::Tree(..)) {
            self.plan.release(id);
        }
        true
    }

    /// Opens a part of a file to everybody, but for what is still being fetched of it.
    pub(super) fn reopen(&mut self, entry: EntryId, range: ByteRange) {
        let running = self.net.tasks.values().filter(|task| !task.ended);
        let theirs = running.filter_map(|task| task.aim.bytes());
        let taken: Vec<ByteRange> = theirs
            .filter(|(of, part)| {
                *of == entry && part.start() < range.end() && range.start() < part.end()
            })
            .map(|(_, part)| part)
            .collect();
        self.plan.with_file(entry, |file| {
            file.give_back(range);
            taken.into_iter().for_each(|part| file.take(part));
        });
    }

    /// Ends a task that is not needed any more. What it has handed on before is still taken, as
    /// its own: the end comes behind that.
    pub(super) fn abort(&mut self, id: TaskId) {
        if self.end_task(id) {
            let end = TaskEnd::Complete;
            // The receiver lives as long as the coordinator.
            let _ = self.inputs.send(Input::Ended { task: id, end });
        }
    }

    /// A CAR that ended well: the plan alone knows whether it was complete.
    fn car_ended(&mut self, id: TaskId, was_empty: bool) {
        let Some(task) = self.net.tasks.get(&id) else {
            return;
        };
        let (index, transport) = (task.provider, task.transport);
        if task.useful > 0 || self.is_settled(task) {
            let honours_window = matches!(task.aim, Aim::Window(entry, range)
                if task.received < range.len() + EARLY_LIMIT && self.is_true_part(entry, range));
            let known = &mut self.providers[index].capabilities.entity_bytes;
            if honours_window && *known == Known::Unknown {
                *known = Known::Yes;
            }
            return;
        }
        let message = if was_empty {
            "answered with an empty CAR"
        } else {
            "answered with a CAR that holds nothing of what was asked for"
        };
        let subject = self.subject(&task.aim);
        self.tally.reached_provider = true;
        // Of a provider that has nothing, what else it said is more to the point.
        let last_error = &mut self.providers[index].last_error;
        if !was_empty || last_error.is_none() {
            *last_error = Some(message.to_owned());
        }
        let consequence = self.providers[index].useless(transport, subject.as_ref(), was_empty);
        self.tell(index, message, consequence);
    }

    /// Whether an answer of the whole file would have been told from one of this part.
    fn is_true_part(&self, entry: EntryId, part: ByteRange) -> bool {
        let file = self.plan.file(entry);
        file.is_some_and(|file| part.len() + EARLY_LIMIT < file.size())
    }

    /// Whether nothing of what the task was sent for is still missing.
    pub(super) fn is_settled(&self, task: &Task) -> bool {
        match task.aim {
            Aim::Step(cid) => self.wanted_step() != Some(cid),
            Aim::Entry(_, cid) | Aim::Node(_, cid, _) | Aim::Leaf(_, cid, _) => {
                self.plan.expects(cid.hash()) == Expected::No
            }
            Aim::Window(entry, range) => self
                .plan
                .file(entry)
                .is_none_or(|file| file.proved().contains(range.start(), range.end())),
            Aim::Tree(..) | Aim::Whole => false,
        }
    }

    /// A CAR that broke off, or is none: blocks that came before are good; nothing came is a fault
    /// of the form.
    fn car_broke(&mut self, id: TaskId, error: &CarError) {
        let brought = self.net.tasks.get(&id).map_or(0, |task| task.useful);
        self.tally.reached_provider = true;
        self.exchange_failed(id, bad_car::sent(error, brought > 0), chain(error));
    }

    fn is_for_block(&self, id: TaskId) -> bool {
        let task = self.net.tasks.get(&id);
        task.is_some_and(|task| task.aim.block().is_some())
    }

    fn block_too_large(&mut self, id: TaskId, message: &str) {
        let Some(task) = self.net.tasks.get_mut(&id) else {
            return;
        };
        task.outcome = Some(message.to_owned());
        let (index, transport) = (task.provider, task.transport);
        self.tally.reached_provider = true;
        let provider = &mut self.providers[index];
        provider.last_error = Some(message.to_owned());
        let consequence = provider.sent_too_much(transport);
        self.tell(index, message, consequence);
    }

    /// An exchange did not go well: its provider is judged by it.
    pub(super) fn exchange_failed(&mut self, id: TaskId, advice: Advice, message: String) {
        let Some(task) = self.net.tasks.get_mut(&id) else {
            return;
        };
        task.outcome = Some(message.clone());
        let (index, transport, aim, sent) = (task.provider, task.transport, task.aim, task.started);
        let (subject, budget) = (self.subject(&aim), self.failure_budget());
        let provider = &mut self.providers[index];
        provider.last_error = Some(message.clone());
        let consequence = provider.failed(transport, subject.as_ref(), advice, &budget, sent);
        if let Advice::Retry { after: Some(wait) } | Advice::SlowDown { after: Some(wait) } = advice
        {
            self.remember_wait(index, wait);
        }
        if let Advice::SlowDown { .. } = advice {
            self.remember_pace(index);
        }
        self.tell(index, &message, consequence);
    }

    /// Whoever asks for a wait is left alone by later downloads too.
    fn remember_wait(&self, index: usize, wait: Duration) {
        let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
        let now = Timestamp::now();
        let until = now.checked_add(wait);
        if let (Ok(until), Some(name)) = (until, self.providers[index].limited_as()) {
            self.in_background(self.store.cool_down(&name, until, now));
        }
    }

    /// How fast a provider may be asked, for later downloads.
    pub(super) fn remember_pace(&self, index: usize) {
        let provider = &self.providers[index];
        if let Some(name) = provider.limited_as() {
            let pace = provider.tempo.pace();
            self.in_background(self.store.set_pace(&name, pace, Timestamp::now()));
        }
    }

    /// What a task asks its provider for: a block, or the root of a file or a tree.
    fn subject(&self, aim: &Aim) -> Option<Cid> {
        match *aim {
            Aim::Window(entry, _) => self.plan.file(entry).map(|file| *file.root()),
            Aim::Tree(_, root) => Some(root),
            _ => aim.block(),
        }
    }

    pub(super) fn tell(&mut self, index: usize, message: &str, consequence: Consequence) {
        let wait = match consequence {
            Consequence::Wait(delay) => Some(delay),
            Consequence::OtherForm | Consequence::Gone => None,
        };
        let provider = &self.providers[index];
        let url = provider.url().to_owned();
        let message = match provider.out() {
            Some(Out::WaitTooLong(until)) => {
                format!("{message}; it asks not to be asked before {until:.0}")
            }
            _ => message.to_owned(),
        };
        self.announce(What::Trouble { url, message, wait });
    }

    /// A CAR that goes on behind the window that was asked for: the server knows no windows, and
    /// everything to the end of the file will come from it.
    pub(super) fn widen(&mut self, id: TaskId, places: &[Place]) {
        let Some(task) = self.net.tasks.get_mut(&id) else {
            return;
        };
        let Aim::Window(entry, range) = task.aim else {
            return;
        };
        let is_behind = |place: &Place| place.entry == entry && place.offset >= range.end();
        if task.transport != Transport::Car || task.helped || !places.iter().any(is_behind) {
            return;
        }
        self.providers[task.provider].capabilities.entity_bytes = Known::No;
        let size = self.plan.file(entry).map_or(0, FilePlan::size);
        let Some(wider) = ByteRange::new(range.start(), size) else {
            return;
        };
        task.aim = Aim::Window(entry, wider);
        self.plan.with_file(entry, |file| file.take(wider));
    }

    /// Cuts an answer off that has nothing more to give: all that it was asked for is here and it
    /// still goes on, or it sends far too much that nobody needs.
    pub(super) fn cut_if_done(&mut self, id: TaskId, is_useless: bool) {
        let Some(task) = self.net.tasks.get(&id) else {
            return;
        };
        if task.ended || !is_useless {
            return;
        }
        let is_settled = task.pending == 0 && self.is_settled(task);
        if is_settled || task.transport != Transport::Car {
            if is_settled {
                self.abort(id);
            }
            return;
        }
        // A server that knows no windows sends what comes before the window first.
        let before = match task.aim {
            Aim::Window(_, range) => range.start(),
            _ => 0,
        };
        let known = &mut self.providers[task.provider].capabilities.entity_bytes;
        let allowed = if *known == Known::Yes { 0 } else { before };
        if task.received + task.overhead <= task.useful + allowed + USELESS_LIMIT {
            return;
        }
        if before > allowed {
            // It knew windows once; from now on it is asked as one that does not.
            *known = Known::No;
        } else {
            let message = "sent far more than was asked for, and little of it".to_owned();
            self.exchange_failed(id, Advice::Unsupported, message);
        }
        self.abort(id);
    }

    /// Ends tasks of which nothing is needed any more, because others have brought it.
    pub(super) fn drop_idle_tasks(&mut self) {
        let is_idle = |task: &Task| {
            // What it still lacks came from others.
            let may_race = task.helped || task.missing() > 0 || task.aim.block().is_some();
            !task.ended && may_race && task.pending == 0 && self.is_settled(task)
        };
        let idle: Vec<TaskId> = self
            .net
            .tasks
            .iter()
            .filter(|(_, task)| is_idle(task))
            .map(|(&id, _)| id)
            .collect();
        idle.into_iter().for_each(|id| self.abort(id));
    }

    /// Forgets a task that is over and whose bytes are all proved or thrown away.
    pub(super) fn retire(&mut self, id: TaskId) {
        let is_over = |task: &Task| task.ended && task.is_drained && task.pending == 0;
        if !self.net.tasks.get(&id).is_some_and(is_over) {
            return;
        }
        let Some(task) = self.net.tasks.remove(&id) else {
            return;
        };
        let early: u64 = task.early.iter().map(|(_, block)| block.len() as u64).sum();
        self.providers[task.provider].receipt.wasted += early;
        self.tally.wasted += early;
        self.remember_attempt(task);
    }

    /// Adds a task to the history. Of single blocks that went well, only as many as the history
    /// has room for: a tree may need a hundred thousand.
    fn remember_attempt(&mut self, task: Task) {
        let limit = self.options.history_limit;
        if task.aim.block().is_some() && task.outcome.is_none() {
            self.tally.good_blocks += 1;
            if self.tally.good_blocks > u64::from(limit) {
                return;
            }
        }
        let ended = Timestamp::now();
        let took = SignedDuration::try_from(task.started.elapsed()).unwrap_or_default();
        let attempt = Attempt {
            download: self.job.id,
            run: self.job.run,
            provider: self.providers[task.provider].url().to_owned(),
            request: task.transport.name().to_owned(),
            offset: task.aim.bytes().map(|(_, range)| range.start()),
            bytes: task.received,
            outcome: task.outcome.unwrap_or_else(|| "ok".to_owned()),
            started: ended.checked_sub(took).unwrap_or(ended),
            ended,
        };
        self.in_background(self.store.record_attempt(attempt, limit));
    }
}

/// Learns the provider's speed from an exchange.
fn measure(provider: &mut Provider, task: &Task) {
    // Who was overtaken by another before the first byte is at least so slow.
    let overtaken = task.helped.then(|| task.started.elapsed());
    let Some(latency) = task.first_byte.or(overtaken) else {
        return;
    };
    let reading = task.first_byte.map(|_| task.reading_since.elapsed());
    let body = reading.unwrap_or_default().as_secs_f64();
    provider.latency = average(provider.latency, latency.as_secs_f64());
    let is_enough = task.received >= 1 << 20 || body >= 1.0;
    if is_enough && body > 0.0 {
        provider.throughput = average(provider.throughput, task.received.max(1) as f64 / body);
    }
}

fn average(old: f64, new: f64) -> f64 {
    if old == 0.0 {
        new
    } else {
        old + WEIGHT * (new - old)
    }
}
