//! How exchanges end, and what that means for their provider and for the work they took.

use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

use crate::content::car::CarError;
use crate::content::cid::Cid;
use crate::content::ranges::ByteRange;
use crate::engine::coordinator::Coordinator;
use crate::engine::failure::chain;
use crate::engine::input::{TaskEnd, TaskId};
use crate::engine::plan::{Expected, FilePlan};
use crate::engine::prove::Place;
use crate::engine::provider::{Consequence, Provider, Transport};
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
        if !self.end_task(id) {
            return;
        }
        match end {
            TaskEnd::Complete => {}
            TaskEnd::CarEnded { was_empty } => self.car_ended(id, was_empty),
            TaskEnd::BadCar(error) => self.car_broke(id, &error),
            TaskEnd::Failed(error) => {
                self.tally.reached_provider |= !error.is_unreachable();
                self.exchange_failed(id, error.advice(), chain(&error));
            }
            TaskEnd::NotInCar => {
                self.exchange_failed(id, Advice::Absent, "does not hold the block".to_owned());
            }
            TaskEnd::CarFile(error) => self.exchange_failed(id, Advice::Stop, chain(&error)),
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
            self.plan.with_file(entry, |file| file.give_back(range));
        }
        if matches!(aim, Aim::Entry(..) | Aim::Tree(..)) {
            self.plan.release(id);
        }
        true
    }

    /// Ends a task that is not needed any more.
    pub(super) fn abort(&mut self, id: TaskId) {
        self.end_task(id);
        self.retire(id);
    }

    /// A CAR that ended well: the plan alone knows whether it was complete.
    fn car_ended(&mut self, id: TaskId, was_empty: bool) {
        let Some(task) = self.net.tasks.get(&id) else {
            return;
        };
        let (index, transport) = (task.provider, task.transport);
        if task.useful > 0 || self.is_settled(task) {
            let honours_window = matches!(task.aim, Aim::Window(_, range)
                if task.received < range.len() + EARLY_LIMIT);
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
        self.providers[index].last_error = Some(message.to_owned());
        let consequence = self.providers[index].useless(transport, subject.as_ref(), was_empty);
        self.tell(index, message, consequence);
    }

    /// Whether nothing of what the task was sent for is still missing.
    pub(super) fn is_settled(&self, task: &Task) -> bool {
        match task.aim {
            Aim::Step(cid) => self.way.wanted() != Some(cid),
            Aim::Entry(_, cid) | Aim::Node(_, cid, _) | Aim::Leaf(_, cid, _) => {
                self.plan.expects(cid.hash()) == Expected::No
            }
            Aim::Window(entry, range) => self
                .plan
                .file(entry)
                .is_none_or(|file| file.proved().contains(range.start(), range.end())),
            Aim::Tree(..) => false,
        }
    }

    /// A CAR that broke off, or is none: blocks that came before are good; nothing came is a fault
    /// of the form.
    fn car_broke(&mut self, id: TaskId, error: &CarError) {
        let brought = self.net.tasks.get(&id).map_or(0, |task| task.useful);
        self.tally.reached_provider = true;
        let advice = match error {
            _ if brought > 0 => Advice::Retry { after: None },
            // Not even a header came: whatever that was, it was no CAR.
            CarError::Truncated { offset: 0, .. } => Advice::Elsewhere,
            CarError::Truncated { .. } => Advice::Retry { after: None },
            _ => Advice::Unsupported,
        };
        self.exchange_failed(id, advice, chain(error));
    }

    fn exchange_failed(&mut self, id: TaskId, advice: Advice, message: String) {
        let Some(task) = self.net.tasks.get_mut(&id) else {
            return;
        };
        task.outcome = Some(message.clone());
        let (index, transport, aim) = (task.provider, task.transport, task.aim);
        let (subject, budget) = (self.subject(&aim), self.failure_budget());
        let provider = &mut self.providers[index];
        provider.last_error = Some(message.clone());
        let consequence =
            provider.failed(transport, subject.as_ref(), advice, &budget, Instant::now());
        self.tell(index, &message, consequence);
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
        let url = self.providers[index].url().to_owned();
        let message = message.to_owned();
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
        let knows_windows = self.providers[task.provider].capabilities.entity_bytes == Known::Yes;
        let before = match task.aim {
            Aim::Window(_, range) if !knows_windows => range.start(),
            _ => 0,
        };
        if task.received + task.overhead > task.useful + before + USELESS_LIMIT {
            let message = "sent far more than was asked for, and little of it".to_owned();
            self.exchange_failed(id, Advice::Unsupported, message);
            self.abort(id);
        }
    }

    /// Ends tasks of which nothing is needed any more, because others have brought it.
    pub(super) fn drop_idle_tasks(&mut self) {
        let is_idle =
            |task: &Task| !task.ended && task.helped && task.pending == 0 && self.is_settled(task);
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
        let is_over = |task: &Task| task.ended && task.pending == 0;
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

    fn remember_attempt(&self, task: Task) {
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
        let limit = self.options.history_limit;
        self.in_background(self.store.record_attempt(attempt, limit));
    }
}

/// Learns the provider's speed from an exchange.
fn measure(provider: &mut Provider, task: &Task) {
    let Some(latency) = task.first_byte else {
        return;
    };
    let body = task.started.elapsed().saturating_sub(latency).as_secs_f64();
    provider.latency = average(provider.latency, latency.as_secs_f64());
    if task.received >= 1 << 20 && body > 0.0 {
        provider.throughput = average(provider.throughput, task.received as f64 / body);
    }
}

fn average(old: f64, new: f64) -> f64 {
    if old == 0.0 {
        new
    } else {
        old + WEIGHT * (new - old)
    }
}
