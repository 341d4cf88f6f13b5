//! The coordinator: one loop, one owner of all that changes.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc as sync_mpsc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{AbortHandle, JoinSet};

use crate::content::cid::Cid;
use crate::content::ranges::{ByteRange, RangeSet};
use crate::disk::part::PartFile;
use crate::download::{Action, Failure, Trigger};
use crate::engine::checkpoint::Checkpointing;
use crate::engine::fetch::{BYTES_IN_FLIGHT, Line};
use crate::engine::input::{Input, TaskId};
use crate::engine::plan::FilePlan;
use crate::engine::prove;
use crate::engine::provider::{Budget, Provider, Transport};
use crate::engine::{Ending, Job, Options};
use crate::event::{Event, What};
use crate::exit::ExitKind;
use crate::store::{Store, StoreError};

/// How often time-driven work is looked at: requests from other terminals are obeyed within this
/// plus one database read.
const TICK: Duration = Duration::from_millis(100);

/// Why the loop ends before the file is complete.
#[derive(Debug)]
pub enum Stop {
    /// An error; the record keeps it.
    Failed(Failure),
    /// Asked for from another terminal.
    Asked(Action),
    /// Asked for by a signal.
    Signal(ExitKind),
    /// Another run owns the download now; nothing may be written any more.
    LeaseLost,
}

/// A network task under way, or with bytes that are not proved yet.
pub struct Task {
    /// Whom it asks.
    pub provider: usize,
    /// In which form.
    pub transport: Transport,
    /// The bytes of the file that nobody else fetches meanwhile.
    pub range: Option<ByteRange>,
    /// The block that it is about, where it is about one.
    pub block: Option<Cid>,
    /// File bytes received that the plan had a use for.
    pub useful: u64,
    /// Received bytes of any kind.
    pub received: u64,
    /// What the received blocks cost beside their bytes.
    pub overhead: u64,
    /// Jobs at the proving thread.
    pub pending: usize,
    /// Where their bytes belong.
    pub pending_ranges: RangeSet,
    /// Whether what it did not bring is open to others again.
    pub is_released: bool,
    /// Whether the network part is over.
    pub ended: bool,
    /// Blocks that nothing was waiting for when they came: their parents may follow.
    pub early: Vec<(Cid, Bytes)>,
    /// Bytes in `early`.
    pub early_bytes: u64,
    /// When it was sent.
    pub started: Instant,
    /// Time to the first byte.
    pub first_byte: Option<Duration>,
    /// How it ended, for the history.
    pub outcome: Option<String>,
    /// Ends it.
    pub abort: AbortHandle,
}

/// The owner of a download's state while it runs.
pub struct Coordinator<'a> {
    pub(super) job: Job,
    pub(super) options: Options,
    pub(super) providers: Vec<Provider>,
    pub(super) store: Store,
    pub(super) on_event: &'a mut dyn FnMut(&Event) -> ControlFlow<()>,

    pub(super) plan: Option<FilePlan>,
    pub(super) part: Option<PartFile>,
    /// Whether the "part" is the target itself, found complete.
    pub(super) is_in_place: bool,
    pub(super) tasks: HashMap<TaskId, Task>,
    pub(super) network: JoinSet<()>,
    pub(super) current: usize,
    pub(super) wake: Option<Instant>,

    pub(super) prover: Option<sync_mpsc::Sender<prove::Job>>,
    pub(super) sha: Option<sync_mpsc::Sender<prove::ShaJob>>,
    /// File bytes handed to the whole-file hash.
    pub(super) sha_position: u64,
    pub(super) digest: Option<[u8; 32]>,

    pub(super) by_leaves: RangeSet,
    pub(super) checkpointing: Checkpointing,
    pub(super) bytes_fetched: u64,
    pub(super) bytes_wasted: u64,
    pub(super) resumed_from: u64,
    pub(super) new_bytes: u64,
    pub(super) reached_provider: bool,

    pub(super) started: Instant,
    pub(super) inputs: UnboundedSender<Input>,
    receiver: Option<UnboundedReceiver<Input>>,
    budget: Arc<Semaphore>,
    next_task: TaskId,
    polling: bool,
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
            by_leaves: job.saved.by_leaves.clone(),
            bytes_fetched: job.saved.bytes_fetched,
            bytes_wasted: job.saved.bytes_wasted,
            job,
            options,
            providers,
            store,
            on_event,
            plan: None,
            part: None,
            is_in_place: false,
            tasks: HashMap::new(),
            network: JoinSet::new(),
            current: 0,
            wake: None,
            prover: None,
            sha: None,
            sha_position: 0,
            digest: None,
            checkpointing: Checkpointing::new(Instant::now()),
            resumed_from: 0,
            new_bytes: 0,
            reached_provider: false,
            started: Instant::now(),
            inputs,
            receiver: Some(receiver),
            budget: Arc::new(Semaphore::new(BYTES_IN_FLIGHT)),
            next_task: 0,
            polling: false,
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
        self.transfer(&mut receiver, &mut signals).await;
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
        while self.stop.is_none() && !self.is_complete() {
            self.schedule();
            if self.stop.is_some() {
                return;
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
        let wake = self.wake.map(tokio::time::Instant::from_std);
        tokio::select! {
            Some(kind) = signals.recv() => self.accept(Input::Signal(kind)),
            Some(input) = receiver.recv() => self.accept(input),
            _ = tick.tick() => self.on_tick(),
            () = sleep_until(wake) => self.wake = None,
        }
        while let Ok(input) = receiver.try_recv() {
            self.accept(input);
        }
        while self.network.try_join_next().is_some() {}
    }

    /// Waits for the next input alone: what is left to do when the download stops.
    pub(super) async fn accept_next(&mut self, receiver: &mut UnboundedReceiver<Input>) {
        if let Some(input) = receiver.recv().await {
            self.accept(input);
        }
    }

    fn accept(&mut self, input: Input) {
        match input {
            Input::Block {
                task,
                cid,
                data,
                permit,
            } => self.on_block(task, cid, data, permit),
            Input::Leaf {
                task,
                cid,
                offset,
                len,
                data,
                permit,
            } => self.on_leaf(task, cid, offset, len, data, permit),
            Input::FirstByte { task, after } => self.on_first_byte(task, after),
            Input::Ended { task, end } => self.on_ended(task, end),
            Input::Done {
                task,
                cid,
                offsets,
                len,
                shape,
                outcome,
            } => self.on_done(task, cid, &offsets, len, shape, outcome),
            Input::Sha(report) => self.on_sha(report),
            Input::Synced(result) => self.on_synced(result),
            Input::Committed(result) => self.on_committed(result),
            Input::Requested(result) => self.on_requested(result),
            Input::StoreFailed(error) => self.store_failed(error),
            Input::Signal(kind) => self.halt(Stop::Signal(kind)),
        }
    }

    /// What the passing of time brings: requests, limits, checkpoints, progress.
    fn on_tick(&mut self) {
        let now = Instant::now();
        if self
            .options
            .max_time
            .is_some_and(|limit| now.duration_since(self.started) > limit)
        {
            self.fail(Failure {
                kind: ExitKind::Retry,
                message: "the time that max_time allows is over".to_owned(),
                hint: Some(format!("go on with: fetchd resume {}", self.job.id)),
            });
        }
        self.poll_requests();
        self.checkpoint_if_due(now);
        self.announce_progress();
    }

    fn poll_requests(&mut self) {
        if std::mem::replace(&mut self.polling, true) {
            return;
        }
        let reply = self.store.requested_action(self.job.id, self.job.run);
        let inputs = self.inputs.clone();
        tokio::spawn(async move {
            // Nobody listens any more only when the download is over.
            let _ = inputs.send(Input::Requested(reply.await));
        });
    }

    fn on_requested(&mut self, result: Result<Option<Action>, StoreError>) {
        self.polling = false;
        match result {
            Ok(None) => {}
            Ok(Some(Action::Checkpoint)) => {
                self.checkpoint(Trigger::Manual);
                self.in_background(self.store.acknowledge(
                    self.job.id,
                    self.job.run,
                    Action::Checkpoint,
                ));
            }
            Ok(Some(action)) => self.halt(Stop::Asked(action)),
            Err(error) => self.store_failed(error),
        }
    }

    /// Lets a write to the store run beside the loop; only its failure comes back.
    pub(super) fn in_background<T: Send + 'static>(
        &self,
        reply: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) {
        let inputs = self.inputs.clone();
        tokio::spawn(async move {
            if let Err(error) = reply.await {
                // Nobody listens any more only when the download is over.
                let _ = inputs.send(Input::StoreFailed(error));
            }
        });
    }

    pub(super) fn store_failed(&mut self, error: StoreError) {
        if matches!(error, StoreError::LeaseLost { .. }) {
            self.halt(Stop::LeaseLost);
        } else {
            self.fail(Failure {
                kind: error.exit_kind(),
                message: crate::engine::finish::chain(&error),
                hint: Some(format!(
                    "what is proved is kept; go on with: fetchd resume {}",
                    self.job.id
                )),
            });
        }
    }

    /// Stops with an error; the first reason to stop wins.
    pub(super) fn fail(&mut self, failure: Failure) {
        self.halt(Stop::Failed(failure));
    }

    /// Stops; the first reason wins, but a lost lease overrules all.
    pub(super) fn halt(&mut self, stop: Stop) {
        if self.stop.is_none() || matches!(stop, Stop::LeaseLost) {
            self.stop = Some(stop);
        }
    }

    /// Whether every byte is proved.
    pub(super) fn is_complete(&self) -> bool {
        self.plan.as_ref().is_some_and(FilePlan::is_complete)
    }

    pub(super) fn proved_bytes(&self) -> u64 {
        self.plan.as_ref().map_or(0, |plan| plan.proved().total())
    }

    pub(super) fn announce(&mut self, what: What) {
        let event = Event {
            id: Some(self.job.id),
            what,
        };
        if (self.on_event)(&event).is_break() {
            self.halt(Stop::Failed(Failure {
                kind: ExitKind::Closed,
                message: "the reader of standard output went away".to_owned(),
                hint: None,
            }));
        }
    }

    pub(super) fn announce_progress(&mut self) {
        let bytes = self.proved_bytes();
        let total = self.plan.as_ref().and_then(FilePlan::size);
        self.announce(What::Progress { bytes, total });
    }

    /// A new task: its number and what it needs to report.
    pub(super) fn new_line(&mut self) -> Line {
        self.next_task += 1;
        Line {
            task: self.next_task,
            inputs: self.inputs.clone(),
            budget: self.budget.clone(),
        }
    }

    /// What failures cost, with fresh randomness.
    pub(super) fn failure_budget(&self) -> Budget {
        Budget {
            backoff: self.options.backoff,
            max_wait: self.options.max_wait,
            jitter: random(),
        }
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
fn random() -> f64 {
    use std::hash::{BuildHasher, Hasher};
    let bits = std::hash::RandomState::new().build_hasher().finish();
    (bits >> 11) as f64 / (1u64 << 53) as f64
}
