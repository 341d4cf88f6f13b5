//! Work that blocks, on a thread of its own beside the loop: a signal, another terminal or the time
//! limit stops it.
//!
//! Decides nothing about the work. Invariant: whoever waits here is never deaf for longer than
//! [`TICK`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;

use crate::download::{Action, Failure};
use crate::engine::coordinator::{Coordinator, Stop, TICK};
use crate::engine::failure::timed_out;
use crate::exit::ExitKind;

impl Coordinator<'_> {
    /// Runs work on a thread of its own; a signal, another terminal or the time limit stops it.
    pub(in crate::engine) async fn watched<T: Send + 'static>(
        &mut self,
        signals: &mut UnboundedReceiver<ExitKind>,
        work: impl FnOnce(&AtomicBool) -> T + Send + 'static,
    ) -> Result<T, Stop> {
        let (done, stop) = self.done_or_stopped(signals, |flag| work(&flag)).await;
        stop.map_or(Ok(done), Err)
    }

    /// The same of work that gives something its final name: once that is done, it is too late to
    /// stop.
    pub(in crate::engine) async fn installing<T: Send + 'static>(
        &mut self,
        signals: &mut UnboundedReceiver<ExitKind>,
        work: impl FnOnce(&AtomicBool) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Stop> {
        let (done, stop) = self.done_or_stopped(signals, |flag| work(&flag)).await;
        done.map_err(|failure| stop.unwrap_or(Stop::Failed(failure)))
    }

    /// What the work came to, and why it was to stop, if it was.
    pub(in crate::engine) async fn done_or_stopped<T: Send + 'static>(
        &mut self,
        signals: &mut UnboundedReceiver<ExitKind>,
        work: impl FnOnce(Arc<AtomicBool>) -> T + Send + 'static,
    ) -> (T, Option<Stop>) {
        let is_stopped = Arc::new(AtomicBool::new(false));
        let flag = is_stopped.clone();
        let mut work = Box::pin(on_a_thread(move || work(flag)));
        let mut tick = tokio::time::interval(TICK);
        let mut stop = None;
        let done = loop {
            tokio::select! {
                done = &mut work => break done,
                Some(kind) = signals.recv() => stop = Some(Stop::Signal(kind)),
                _ = tick.tick(), if stop.is_none() => stop = self.look_for_stop().await,
            }
            is_stopped.store(stop.is_some(), Ordering::Relaxed);
        };
        (done, stop)
    }

    /// Whether another terminal or the time limit ends the download while files are being read.
    async fn look_for_stop(&self) -> Option<Stop> {
        let limit = self.options.max_time;
        if limit.is_some_and(|limit| self.started.elapsed() > limit) {
            return Some(Stop::Failed(timed_out(&self.job)));
        }
        let (id, run) = (self.job.id, self.job.run);
        match self.store.requested_action(id, run).await {
            Ok(None) => None,
            Ok(Some(Action::Checkpoint)) => {
                // Nothing has come since the last one: what is recorded is all there is.
                self.in_background(self.store.fulfil(id, run, Action::Checkpoint));
                None
            }
            Ok(Some(action)) => {
                self.acknowledge(action);
                Some(Stop::Asked(action))
            }
            Err(error) => Some(Stop::of_store(&error, id)),
        }
    }
}

/// Runs work that blocks on a thread of its own.
pub async fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}

/// Runs work on a thread for which nobody waits once nobody wants its answer: a large file takes
/// longer to read than a user waits for the end.
pub async fn detached<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (answer, answered) = oneshot::channel();
    let thread = thread::spawn(move || drop(answer.send(work())));
    match answered.await {
        Ok(done) => done,
        // Only a panic takes the sender away without an answer.
        Err(_) => match thread.join() {
            Err(panicked) => std::panic::resume_unwind(panicked),
            Ok(()) => unreachable!("the thread answers before it ends"),
        },
    }
}
