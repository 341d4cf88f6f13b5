//! The coordinator: one loop, one owner of all that changes.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc as sync_mpsc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use crate::content::cid::{self, Cid};
use crate::content::path::Resolution;
use crate::download::{Action, DownloadId, Failure, Proof};
use crate::engine::checkpoint::Checkpointing;
use crate::engine::discover::Search;
use crate::engine::export::Saving;
use crate::engine::failure::{plan_failure, store_failure, timed_out};
use crate::engine::fetch::{BYTES_IN_FLIGHT, Line};
use crate::engine::files::Hashing;
use crate::engine::input::{Input, TaskId};
use crate::engine::journal::Journal;
use crate::engine::local::Surroundings;
use crate::engine::output::Output;
use crate::engine::plan::{Plan, PlanError};
use crate::engine::prove;
use crate::engine::provider::{Budget, Provider};
use crate::engine::task::Task;
use crate::engine::whole::Whole;
use crate::engine::{Ending, Job, Options, Subject};
use crate::event::{Event, What};
use crate::exit::ExitKind;
use crate::store::{Store, StoreError};

/// How often time-driven work is looked at: requests from other terminals are obeyed within this
/// plus one database read.
pub const TICK: Duration = Duration::from_millis(100);

/// Why the loop ends before everything is there.
#[derive(Debug)]
pub enum Stop {
    /// An error; the record keeps it.
    Failed(Failure),
    /// The content is not sound: no part of it is worth keeping.
    Unsound(Failure),
    /// Asked for from another terminal.
    Asked(Action),
    /// Asked for by a signal.
    Signal(ExitKind),
    /// Another run owns the download now; nothing may be written any more.
    LeaseLost,
}

impl Stop {
    /// The store refused: the download may have another owner by now.
    pub fn of_store(error: &StoreError, id: DownloadId) -> Self {
        match error {
            StoreError::LeaseLost { .. } => Self::LeaseLost,
            error => Self::Failed(store_failure(error, id)),
        }
    }
}

/// The network side: tasks under way and what they need.
pub struct Net {
    /// Tasks under way, or with bytes that are not proved yet.
    pub tasks: HashMap<TaskId, Task>,
    /// What runs them.
    pub set: JoinSet<()>,
    /// Jobs at the threads that prove and write.
    pub jobs: usize,
    /// When to look again, if nothing happens before.
    pub wake: Option<Instant>,
    budget: Arc<Semaphore>,
    /// One permit: that bytes may come in at all.
    gate: Arc<Semaphore>,
    next_task: TaskId,
}

impl Net {
    /// The single blocks that somebody fetches.
    pub fn blocks_under_way(&self) -> Vec<Cid> {
        let running = self.tasks.values().filter(|task| !task.ended);
        running.filter_map(|task| task.aim.block()).collect()
    }

    /// Whether tasks wait for a slow disk, or for a reader who takes his time.
    pub fn is_held_back(&self) -> bool {
        self.gate.available_permits() == 0 || self.budget.available_permits() < BYTES_IN_FLIGHT / 2
    }

    /// Lets no more bytes in until what is returned is dropped; `None` if it is closed already.
    pub fn close_gate(&self) -> Option<OwnedSemaphorePermit> {
        self.gate.clone().try_acquire_owned().ok()
    }
}

/// What was received and what came of it.
#[derive(Debug, Default)]
pub struct Tally {
    /// Bytes received by all runs.
    pub fetched: u64,
    /// Of those, bytes thrown away.
    pub wasted: u64,
    /// Proved bytes that were there when this run began.
    pub resumed_from: u64,
    /// Whether those were laid there before anything was fetched.
    pub is_laid: bool,
    /// Bytes proved by this run.
    pub new_bytes: u64,
    /// How a file that proves itself only at its end was proved.
    pub proof: Option<Proof>,
    /// Whether anything was proved as a leaf around plain bytes.
    pub used_leaves: bool,
    /// Whether any provider answered anything.
    pub reached_provider: bool,
    /// Single blocks that this run asked for and received.
    pub good_blocks: u64,
}

/// The owner of a download's state while it runs.
pub struct Coordinator<'a> {
    pub(super) job: Job,
    pub(super) options: Options,
    pub(super) providers: Vec<Provider>,
    pub(super) store: Store,
    pub(super) on_event: &'a mut dyn FnMut(&Event) -> ControlFlow<()>,

    /// The way from the root of the source to what is wanted; none to a plain file.
    pub(super) way: Option<Resolution>,
    /// A file that proves itself only at its end.
    pub(super) whole: Option<Whole>,
    /// Whether nobody serves the content in a form that proves itself, but somebody may as a file.
    pub(super) falls_back: bool,
    /// Whether the network waits until local files were looked at.
    pub(super) is_local_first: bool,
    /// What is on this disk already.
    pub(super) around: Surroundings,
    /// How far the search for further providers has come.
    pub(super) search: Search,
    /// Whether what is wanted is announced and recorded.
    pub(super) is_resolved: bool,
    pub(super) plan: Plan,
    pub(super) output: Output,
    /// Whether the output is the target itself, found complete.
    pub(super) is_in_place: bool,
    /// How far its CAR is, if it is saved as one.
    pub(super) saving: Saving,
    pub(super) net: Net,

    pub(super) threads: prove::Threads,
    pub(super) prover: Option<sync_mpsc::Sender<prove::Work>>,
    pub(super) hashing: Hashing,
    pub(super) journal: Journal,
    pub(super) checkpointing: Checkpointing,
    pub(super) tally: Tally,

    pub(super) started: Instant,
    pub(super) inputs: UnboundedSender<Input>,
    receiver: Option<UnboundedReceiver<Input>>,
    is_polling: bool,
    pub(super) stop: Option<Stop>,
}

impl<'a> Coordinator<'a> {
    /// A coordinator that has done nothing yet.
    pub fn new(
        job: Job,
        options: Options,
        providers: Vec<Provider>,
        store: Store,
        on_event: &'a mut dyn FnMut(&Event) -> ControlFlow<()>,
    ) -> Self {
        let (inputs, receiver) = unbounded_channel();
        Self {
            tally: Tally {
                fetched: job.saved.bytes_fetched,
                wasted: job.saved.bytes_wasted,
                ..Tally::default()
            },
            way: match &job.subject {
                Subject::Content { root, names } => Some(Resolution::new(*root, names.clone())),
                Subject::File => None,
            },
            whole: None,
            falls_back: false,
            is_local_first: true,
            around: Surroundings::default(),
            search: Search::default(),
            is_resolved: false,
            plan: Plan::empty(options.limits.clone(), options.filter.clone()),
            job,
            options,
            providers,
            store,
            on_event,
            output: Output::Undecided,
            is_in_place: false,
            saving: Saving::default(),
            net: Net {
                tasks: HashMap::new(),
                set: JoinSet::new(),
                jobs: 0,
                wake: None,
                budget: Arc::new(Semaphore::new(BYTES_IN_FLIGHT)),
                gate: Arc::new(Semaphore::new(1)),
                next_task: 0,
            },
            threads: prove::Threads::default(),
            prover: None,
            hashing: Hashing::default(),
            journal: Journal::default(),
            checkpointing: Checkpointing::new(Instant::now()),
            started: Instant::now(),
            inputs,
            receiver: Some(receiver),
            is_polling: false,
            stop: None,
        }
    }

    /// Runs the download to one of its endings.
    pub async fn run(mut self, mut signals: UnboundedReceiver<ExitKind>) -> Ending {
        let Some(mut receiver) = self.receiver.take() else {
            unreachable!("run consumes the coordinator");
        };
        if let Err(stop) = self.begin(&mut signals).await {
            self.halt(stop);
        }
        if self.way.is_some() {
            self.transfer(&mut receiver, &mut signals).await;
        }
        if std::mem::take(&mut self.falls_back) && self.stop.is_none() {
            self.fall_back(&mut signals).await;
        }
        if self.whole.is_some() {
            self.transfer_whole(&mut receiver, &mut signals).await;
        }
        if self.stop.is_none() {
            self.complete(&mut receiver, &mut signals).await;
        }
        self.end(&mut receiver, &mut signals).await
    }

    /// Fetches until every byte is proved or something stops it.
    async fn transfer(
        &mut self,
        receiver: &mut UnboundedReceiver<Input>,
        signals: &mut UnboundedReceiver<ExitKind>,
    ) {
        let mut tick = tokio::time::interval(TICK);
        let discovery = self.options.discovery.as_ref();
        if discovery.is_some_and(|discovery| discovery.is_eager) {
            self.search();
        }
        while self.stop.is_none() && !self.is_complete() {
            self.look_around().await;
            let has_more = self.recall().await;
            self.recall_nodes().await;
            if !has_more || self.plan.next_open(None).is_some() {
                self.schedule();
            }
            if self.stop.is_some() || self.falls_back || self.is_complete() {
                return;
            }
            if has_more {
                self.net.wake = Some(Instant::now());
            }
            self.step(receiver, signals, &mut tick).await;
        }
    }

    /// Waits for the next input, and takes all that are there.
    pub(super) async fn step(
        &mut self,
        receiver: &mut UnboundedReceiver<Input>,
        signals: &mut UnboundedReceiver<ExitKind>,
        tick: &mut tokio::time::Interval,
    ) {
        let wake = self.net.wake.map(tokio::time::Instant::from_std);
        let is_behind = self.journal.is_behind();
        tokio::select! {
            Some(kind) = signals.recv() => self.accept(Input::Signal(kind)),
            () = self.journal.catch_up(), if is_behind => {}
            Some(input) = receiver.recv(), if !is_behind => self.accept(input),
            _ = tick.tick() => self.on_tick(),
            () = sleep_until(wake) => self.net.wake = None,
        }
        while !self.journal.is_behind()
            && let Ok(input) = receiver.try_recv()
        {
            self.accept(input);
        }
        while self.net.set.try_join_next().is_some() {}
        self.checkpoint_if_due(Instant::now());
    }

    pub(super) fn accept(&mut self, input: Input) {
        match input {
            Input::Block {
                task,
                cid,
                data,
                permit,
            } => self.on_block(task, cid, data, permit),
            Input::Leaf(leaf) => self.on_leaf(leaf),
            Input::Opened(opened) => self.on_opened(opened),
            Input::Chunk { task, data, permit } => self.on_chunk(task, data, permit),
            Input::Whole(report) => self.on_whole(report),
            Input::Discovered(found) => self.on_discovered(found),
            Input::FirstByte { task, after } => self.on_first_byte(task, after),
            Input::Ended { task, end } => self.on_ended(task, end),
            Input::Done(done) => self.on_done(done),
            Input::Shared {
                provider,
                entry,
                result,
            } => self.on_shared(provider, entry, result),
            Input::Copied { entry, result } => self.on_copied(entry, result),
            Input::Recalled { first, result } => self.on_recalled(first, result),
            Input::Sha(report) => self.on_sha(report),
            Input::Begun(result) => self.on_begun(result),
            Input::Synced(result) => self.on_synced(result),
            Input::Committed(result) => self.on_committed(result),
            Input::Requested(result) => self.on_requested(result),
            Input::StoreFailed(error) => self.store_failed(error),
            Input::Signal(kind) => self.halt(Stop::Signal(kind)),
        }
    }

    /// What the passing of time brings: requests, limits, progress.
    fn on_tick(&mut self) {
        let now = Instant::now();
        let limit = self.options.max_time;
        if limit.is_some_and(|limit| now.duration_since(self.started) > limit) {
            self.fail(timed_out(&self.job));
        }
        self.poll_requests();
        self.write_journal();
        self.drop_idle_tasks();
        self.drop_slow_tasks(now);
        self.announce_progress();
    }

    pub(super) fn poll_requests(&mut self) {
        if std::mem::replace(&mut self.is_polling, true) {
            return;
        }
        let reply = self.store.requested_action(self.job.id, self.job.run);
        self.beside(reply, |result| Some(Input::Requested(result)));
    }

    fn on_requested(&mut self, result: Result<Option<Action>, StoreError>) {
        self.is_polling = false;
        match result {
            Ok(None) => {}
            Ok(Some(Action::Checkpoint)) => self.checkpoint_for_other(),
            Ok(Some(action)) => {
                let stop = Stop::Asked(action);
                if self.is_overruled_by(&stop) {
                    self.acknowledge(action);
                }
                self.halt(stop);
            }
            Err(error) => self.store_failed(error),
        }
    }

    /// Lets the terminal that asks know that it is obeyed: the disk may take long to sync what is
    /// to be kept.
    pub(super) fn acknowledge(&self, action: Action) {
        let (id, run) = (self.job.id, self.job.run);
        self.in_background(self.store.acknowledge(id, run, action, Timestamp::now()));
    }

    /// Lets a write to the store run beside the loop; only its failure comes back.
    pub(super) fn in_background<T: Send + 'static>(
        &self,
        reply: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) {
        self.beside(reply, |result| result.err().map(Input::StoreFailed));
    }

    /// Lets a call of the store run beside the loop, to which its answer comes as an input, if as
    /// anything.
    pub(super) fn beside<T: Send + 'static>(
        &self,
        reply: impl Future<Output = Result<T, StoreError>> + Send + 'static,
        input: impl FnOnce(Result<T, StoreError>) -> Option<Input> + Send + 'static,
    ) {
        let inputs = self.inputs.clone();
        tokio::spawn(async move {
            if let Some(input) = input(reply.await) {
                // Nobody listens any more only when the download is over.
                let _ = inputs.send(input);
            }
        });
    }

    pub(super) fn store_failed(&mut self, error: StoreError) {
        self.halt(Stop::of_store(&error, self.job.id));
    }

    /// Stops with an error; the first reason to stop wins.
    pub(super) fn fail(&mut self, failure: Failure) {
        self.halt(Stop::Failed(failure));
    }

    /// Stops because of the content itself.
    pub(super) fn refuse(&mut self, error: &PlanError) {
        self.halt(refusal(error, &self.job));
    }

    /// Stops; mostly the first reason wins. What fails after a person or a signal stopped the
    /// download is told, since it may cost what was to be kept.
    pub(super) fn halt(&mut self, stop: Stop) {
        if self.is_overruled_by(&stop) {
            self.stop = Some(stop);
        } else if let (Some(Stop::Asked(_) | Stop::Signal(_)), Stop::Failed(failure)) =
            (&self.stop, stop)
        {
            let message = failure.message;
            self.announce(What::Notice { message });
        }
    }

    /// Whether this reason to stop counts beside the one that there is, if any: a lost lease does,
    /// and that somebody gives up what was only to be paused, or failed.
    fn is_overruled_by(&self, stop: &Stop) -> bool {
        match (&self.stop, stop) {
            (None, _) => true,
            (Some(Stop::LeaseLost), _) => false,
            (Some(Stop::Asked(earlier)), Stop::Asked(later)) => later > earlier,
            (_, Stop::Asked(Action::Cancel { .. }) | Stop::LeaseLost) => true,
            _ => false,
        }
    }

    /// The next block on the way to what is wanted.
    pub(super) fn wanted_step(&self) -> Option<Cid> {
        self.way.as_ref().and_then(Resolution::wanted)
    }

    /// The root of what is wanted, or as near to it as the way has come; none of a plain file.
    pub(super) fn root(&self) -> Option<Cid> {
        self.way.as_ref().map(Resolution::here)
    }

    /// The same as text.
    pub(super) fn root_text(&self) -> Option<String> {
        self.root().map(|root| cid::text(&root))
    }

    /// Whether the way has ended and nothing is missing.
    pub(super) fn is_complete(&self) -> bool {
        self.wanted_step().is_none() && self.plan.is_complete()
    }

    pub(super) fn announce(&mut self, what: What) {
        let event = Event {
            id: Some(self.job.id),
            what,
        };
        if (self.on_event)(&event).is_break() && self.stop.is_none() {
            self.halt(Stop::Failed(Failure {
                kind: ExitKind::Closed,
                message: "the reader of standard output went away".to_owned(),
                hint: None,
            }));
        }
    }

    pub(super) fn announce_progress(&mut self) {
        let totals = self.plan.totals();
        let files = self.plan.is_directory();
        let whole = self.whole.as_ref();
        self.announce(What::Progress {
            bytes: whole.map_or_else(|| self.plan.proved_bytes(), Whole::position),
            total: whole.map_or_else(|| self.plan.size(), Whole::size),
            files: files.then_some((totals.files_done, totals.files_known)),
            is_proved: whole.is_none(),
        });
    }

    /// A new task: its number and what it needs to report.
    pub(super) fn new_line(&mut self, provider: usize) -> Line {
        self.net.next_task += 1;
        Line {
            task: self.net.next_task,
            inputs: self.inputs.clone(),
            budget: self.net.budget.clone(),
            gate: self.net.gate.clone(),
            turn: self.providers[provider].turn.clone(),
        }
    }

    /// What failures cost, with fresh randomness.
    pub(super) fn failure_budget(&self) -> Budget {
        Budget {
            backoff: self.options.backoff,
            max_wait: self.options.max_wait,
            jitter: random(),
            now: Instant::now(),
        }
    }
}

/// The reason to stop that the content itself gives.
pub fn refusal(error: &PlanError, job: &Job) -> Stop {
    let failure = plan_failure(error, job);
    match error.may_be_allowed() {
        true => Stop::Failed(failure),
        false => Stop::Unsound(failure),
    }
}

async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// A number in 0..1 to spread retries; the hasher's keys are the randomness of the standard
/// library.
pub fn random() -> f64 {
    use std::hash::{BuildHasher, Hasher};
    let bits = std::hash::RandomState::new().build_hasher().finish();
    (bits >> 11) as f64 / (1u64 << 53) as f64
}
