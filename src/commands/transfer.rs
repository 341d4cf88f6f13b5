//! Running downloads that this invocation owns, one or several at a time, each to its ending.

mod active;
mod aside;
mod clock;
mod drain;
mod order;
mod record;
mod shop;
mod supply;
mod tally;
pub mod told;

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::path::Path;
use std::pin::pin;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::runtime;
use tokio::task::JoinHandle;

use crate::commands::context::{Context, HEARTBEAT, Run};
use crate::commands::error::CommandError;
use crate::commands::options::Recorded;
use crate::commands::providers::{Network, Providers};
use crate::commands::resolve;
use crate::commands::signals::{Asked, Signals};
use crate::commands::transfer::active::{Active, News, Start};
use crate::commands::transfer::clock::Clock;
use crate::content::names::Resolved;
use crate::content::source::ContentSource;
use crate::download::{Action, DownloadId, Receipt, RunId};
use crate::engine::{Discovery, Ending};
use crate::event::{Event, What};
use crate::exit::ExitKind;
use crate::store::{DownloadRow, Store};
use crate::ui::Reporter;
use crate::ui::view::PlanView;

pub use active::Ended;
pub use aside::Watch;
pub use record::{part_path, receipt, remove_parts};
pub use shop::Shop;
pub use supply::{Supplied, Supply, Task};
pub use tally::Tally;

/// One invocation that transfers: its run, its connections, and what it shows.
pub struct Transfer<'a> {
    context: &'a Context,
    run: Run,
    network: Network,
    runtime: runtime::Runtime,
    signals: Signals,
    active: Active,
    /// Downloads that came to their end, while others were waited for.
    ended: VecDeque<Ended>,
    heartbeat: Option<JoinHandle<()>>,
    /// Shows what happens.
    pub reporter: Reporter,
    /// How long all of it may take; a supply's downloads have their own limits.
    clock: Clock,
    tally: Tally,
}

impl<'a> Transfer<'a> {
    /// Begins a run of its own, which may take so long.
    pub fn begin(context: &'a Context, max_time: Option<Duration>) -> Result<Self, CommandError> {
        let internal = |error: std::io::Error| {
            CommandError::new(
                ExitKind::Internal,
                format!("cannot start the runtime: {error}"),
            )
        };
        let signals = Signals::watch().map_err(internal)?;
        Ok(Self {
            context,
            signals,
            active: Active::new(),
            ended: VecDeque::new(),
            heartbeat: None,
            run: context.begin_run()?,
            network: Network::new(context)?,
            runtime: runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(internal)?,
            reporter: context.reporter(),
            clock: Clock::start(max_time),
            tally: Tally::default(),
        })
    }

    /// Takes headers for plain files and their mirrors.
    pub fn take_headers(&mut self, headers: Vec<(String, String)>) {
        self.network = self.network.clone().with_headers(headers);
    }

    /// The run's number.
    pub fn run_id(&self) -> RunId {
        self.run.id
    }

    /// Counts and shows a source that needs no work: it is there already.
    pub fn already_there(&mut self, row: &DownloadRow) {
        self.tell_there(row);
        if let Some(path) = &row.path {
            let _ = self.reporter.path(path);
        }
    }

    /// The same without its path.
    fn tell_there(&mut self, row: &DownloadRow) {
        if let Some(event) = told::there(row) {
            let _ = self.reporter.event(&event, Instant::now());
        }
        self.tally.finished();
    }

    /// Counts a source that is in place, and tells of it; its path is printed later.
    pub fn found_in_place(&mut self, id: Option<DownloadId>, source: &str, receipt: Receipt) {
        self.tell_finished(id, source, receipt);
        self.tally.finished();
    }

    /// Counts a source that is in place, where nobody wants to be told.
    pub fn kept(&mut self) {
        self.tally.finished();
    }

    /// Counts a source that is not in place, of which its parts have told.
    pub fn count_failed(&mut self, kind: ExitKind) {
        self.tally.failed(kind);
    }

    fn tell_finished(&mut self, id: Option<DownloadId>, source: &str, receipt: Receipt) {
        let what = What::Finished {
            source: source.to_owned(),
            receipt: Box::new(receipt),
            was_there: true,
        };
        let _ = self.reporter.event(&Event { id, what }, Instant::now());
    }

    /// Shows the plan of a source of which no more was wanted: nothing is finished by it.
    pub fn planned(&mut self, plan: &PlanView) {
        let _ = self.reporter.planned(plan);
    }

    /// Counts and shows a source that could not be begun.
    pub fn refused(&mut self, source: &str, error: CommandError) {
        self.tally.failed(error.kind);
        self.tell_refused(source, &error);
    }

    /// Shows a part of a source that could not be begun; the source is counted by whoever asked.
    pub fn tell_refused(&mut self, source: &str, error: &CommandError) {
        let event = told::refused(source, error);
        let _ = self.reporter.event(&event, Instant::now());
    }

    /// What has ended the whole invocation, if a signal or a reader that went away has.
    pub fn ended_by(&mut self) -> Option<ExitKind> {
        self.signals.end().or(self.tally.urgent())
    }

    /// Whether the whole invocation has ended. A source that is left by then is counted; scripts are
    /// told of it, and people are spared the list.
    pub fn is_over(&mut self, source: &str, id: Option<DownloadId>) -> bool {
        let Some(kind) = self.ended_by() else {
            return false;
        };
        if self.context.wants_json() {
            let mut error = CommandError::new(kind, "not begun");
            error.download = id;
            self.refused(source, error);
        } else {
            self.tally.failed(kind);
        }
        true
    }

    /// Makes the providers of a download ready.
    ///
    /// # Errors
    /// See [`Network::providers`]; or a signal came first, or the time is over.
    pub fn providers(&mut self, recorded: &Recorded) -> Result<Providers, CommandError> {
        let network = self.network.clone();
        self.wait_for(network.ready(recorded))?
    }

    /// Makes those providers ready that the user has named, to see that they can be used.
    ///
    /// # Errors
    /// See [`Network::providers`]; or a signal came first, or the time is over.
    pub fn check_providers(&mut self, named: &Recorded) -> Result<(), CommandError> {
        let network = self.network.clone();
        self.wait_for(network.check(named))?
    }

    /// Where further providers can be found, if they may be looked for.
    ///
    /// # Errors
    /// Code 78 for a router that cannot be used.
    pub fn discovery(&self, recorded: &Recorded) -> Result<Option<Discovery>, CommandError> {
        self.network.discovery(recorded)
    }

    /// Follows the names of a source to content, and says what was believed on the way.
    ///
    /// # Errors
    /// See [`resolve::resolve`]; or a signal came first, or the time is over.
    pub fn resolve(
        &mut self,
        content: &ContentSource,
        gateways: &[String],
    ) -> Result<Resolved, CommandError> {
        let (context, network) = (self.context, self.network.clone());
        let named = self.wait_for(resolve::follow(context, &network, content, gateways))??;
        for notice in &named.notices {
            self.reporter.notice(notice);
        }
        Ok(named.resolved)
    }

    /// Waits for work on the network that is no download. The downloads under way go on meanwhile.
    ///
    /// # Errors
    /// A signal came first, or the time is over.
    pub fn wait_for<T>(&mut self, work: impl Future<Output = T>) -> Result<T, CommandError> {
        let Self {
            runtime,
            signals,
            active,
            ended,
            reporter,
            context,
            clock,
            ..
        } = self;
        runtime.block_on(async {
            let mut work = pin!(work);
            loop {
                tokio::select! {
                    done = &mut work => return Ok(done),
                    asked = signals.next() => {
                        pass_on(asked, active, context);
                        if let Asked::End(kind) = asked {
                            return Err(CommandError::new(kind, "interrupted"));
                        }
                    },
                    news = active.next() => ended.extend(take(news, active, reporter)),
                    error = clock.over() => return Err(error),
                }
            }
        })
    }

    /// Runs a download that this run has claimed.
    pub fn run(&mut self, row: &DownloadRow, providers: Providers) {
        if let Err(error) = self.start(row, providers) {
            self.refused(&row.source, error);
        }
        while let Some(ended) = self.next_ended() {
            self.count(&ended.ending);
            match (&ended.ending, &ended.row.path) {
                (Ending::Finished(_), Some(path)) => self.print_path(path),
                (Ending::Failed { failure, .. }, _) if failure.kind == ExitKind::Usage => {
                    self.forget(ended.row.id);
                }
                _ => {}
            }
        }
    }

    /// What turned out to be a mistake of typing leaves no record.
    fn forget(&self, id: DownloadId) {
        if let Err(error) = self.context.store.forget(id).wait() {
            tracing::warn!(%error, "cannot forget the download");
        }
    }

    /// Begins a download that this run has claimed; it goes on whenever this invocation waits for
    /// something. One that cannot be begun is let go of.
    pub fn start(&mut self, row: &DownloadRow, providers: Providers) -> Result<(), CommandError> {
        self.try_start(row, providers).map_err(|error| {
            self.let_go(row, &error);
            error.about(row.id)
        })
    }

    /// Waits until one of the downloads that were begun has ended; `None` if none is left.
    pub fn next_ended(&mut self) -> Option<Ended> {
        let Self {
            runtime,
            signals,
            active,
            ended,
            reporter,
            context,
            ..
        } = self;
        runtime.block_on(async {
            while ended.is_empty() && active.len() > 0 {
                tokio::select! {
                    asked = signals.next() => pass_on(asked, active, context),
                    news = active.next() => ended.extend(take(news, active, reporter)),
                }
            }
        });
        self.ended.pop_front()
    }

    fn try_start(&mut self, row: &DownloadRow, providers: Providers) -> Result<(), CommandError> {
        let left = self.clock.left();
        let shop = self.shop();
        let recorded = Recorded::from_json(&row.options_json);
        let set_up = shop.set_up(row, &recorded, providers.asks_others_later, left);
        let (job, options) = self.runtime.block_on(set_up)?;
        for notice in &providers.notices {
            self.reporter.notice(notice);
        }
        self.keep_alive();
        self.reporter.recall(row.id, told::recorded(row));
        self.active.start(Start {
            row: row.clone(),
            job,
            options,
            providers: providers.list,
            store: self.context.store.clone(),
        });
        Ok(())
    }

    /// Says from now on that the run lives.
    fn keep_alive(&mut self) {
        let (store, run) = (self.context.store.clone(), self.run.id);
        self.heartbeat
            .get_or_insert_with(|| self.runtime.spawn(beat(store, run)));
    }

    /// Lets work on the store be waited for.
    pub fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Counts a download that has ended.
    pub fn count(&mut self, ending: &Ending) {
        match ending {
            Ending::Finished(_) => self.tally.finished(),
            Ending::Failed { failure, .. } => self.tally.failed(failure.kind),
            Ending::Paused | Ending::Cancelled => self.tally.failed(ExitKind::Stopped),
            Ending::Signalled(kind) => self.tally.failed(*kind),
        }
    }

    /// Prints a final path.
    pub fn print_path(&mut self, path: &Path) {
        if let ControlFlow::Break(()) = self.reporter.path(path) {
            self.tally.failed(ExitKind::Closed);
        }
    }

    /// Gives a download back that could not even be begun.
    pub fn let_go(&self, row: &DownloadRow, error: &CommandError) {
        let ending = shop::ending(row, error);
        if let Err(error) = self.context.store.end(row.id, self.run.id, ending).wait() {
            tracing::warn!(%error, "cannot give the download back");
        }
    }

    /// Ends a run that was for no download.
    pub fn close(self) {
        self.run.end();
    }

    /// Ends the run, and says how all of it ended.
    pub fn end(self) -> ExitKind {
        self.end_as(|outcome, _| outcome)
    }

    /// The same where the work itself may have broken: that is said, and decides then.
    pub fn end_after(self, done: Result<(), CommandError>) -> ExitKind {
        let Err(error) = done else {
            return self.end();
        };
        self.context.complain(&error);
        self.end_as(|_, _| error.kind)
    }

    /// The same, with another judgement on what the downloads and the signal say that came.
    pub fn end_as(
        mut self,
        judge: impl FnOnce(ExitKind, Option<ExitKind>) -> ExitKind,
    ) -> ExitKind {
        if let Some(heartbeat) = self.heartbeat.take() {
            heartbeat.abort();
        }
        let mut outcome = judge(self.tally.outcome(), self.signals.end());
        let (finished, failed) = (self.tally.count_finished(), self.tally.count_failed());
        self.reporter.done(outcome, finished, failed);
        if let Some(closed) = self.reporter.closed() {
            outcome = closed.kind();
        }
        self.run.end();
        outcome
    }
}

/// Passes on what the operating system asks.
fn pass_on(asked: Asked, active: &Active, context: &Context) {
    match asked {
        Asked::End(kind) => active.end(kind),
        // As `fetchd checkpoint` asks for it. The store does it unwatched.
        Asked::Checkpoint => active.ids().for_each(|id| {
            drop(
                context
                    .store
                    .request(id, Action::Checkpoint, Timestamp::now()),
            );
        }),
    }
}

/// Shows an event; keeps what has ended.
fn take(news: News, active: &Active, reporter: &mut Reporter) -> Option<Ended> {
    match news {
        News::Ended(ended) => Some(*ended),
        News::Event(event) => {
            let now = Instant::now();
            if reporter.event(&event, now).is_break() {
                active.go_deaf();
            }
            reporter.tick(now);
            None
        }
    }
}

/// Says that the run lives, as long as it does.
async fn beat(store: Store, run: RunId) {
    let mut tick = tokio::time::interval(HEARTBEAT);
    loop {
        tick.tick().await;
        if let Err(error) = store.heartbeat(run, Timestamp::now()).await {
            tracing::warn!(%error, "heartbeat failed");
        }
    }
}
