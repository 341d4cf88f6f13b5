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
use crate::store::{Reply, StoreError};

impl Coordinator<'_> {
    /// Runs work on a thread of its own; a signal, another terminal or the time limit stops it.
    pub(in crate::engine) async fn watched<T: Send + 'static>(
        &mut self,
        signals: &mut UnboundedReceiver<ExitKind>,
        work: impl FnOnce(&AtomicBool) -> T + Send + 'static,
    ) -> Result<T, Stop> {
        let (done, stop) = self
            .done_or_stopped(signals, Yields::Surely, |flag| work(&flag))
            .await;
        stop.map_or(Ok(done), Err)
    }

    /// The same of work that gives something its final name: once that is done, it is too late to
    /// stop.
    pub(in crate::engine) async fn installing<T: Send + 'static>(
        &mut self,
        signals: &mut UnboundedReceiver<ExitKind>,
        work: impl FnOnce(&AtomicBool) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Stop> {
        let (done, stop) = self
            .done_or_stopped(signals, Yields::Perhaps, |flag| work(&flag))
            .await;
        done.map_err(|failure| stop.unwrap_or(Stop::Failed(failure)))
    }

    /// What the work came to, and why it was to stop, if it was.
    pub(in crate::engine) async fn done_or_stopped<T: Send + 'static>(
        &mut self,
        signals: &mut UnboundedReceiver<ExitKind>,
        yields: Yields,
        work: impl FnOnce(Arc<AtomicBool>) -> T + Send + 'static,
    ) -> (T, Option<Stop>) {
        let is_stopped = Arc::new(AtomicBool::new(false));
        let flag = is_stopped.clone();
        let mut work = Box::pin(on_a_thread(move || work(flag)));
        let mut tick = tokio::time::interval(TICK);
        let mut asked = None;
        let mut stop = None;
        let done = loop {
            tokio::select! {
                done = &mut work => break done,
                Some(kind) = signals.recv() => stop = Some(Stop::Signal(kind)),
                answer = answer(&mut asked), if asked.is_some() => {
                    asked = None;
                    // What a signal has ended already is not acknowledged to anybody else.
                    if stop.is_none() {
                        stop = self.heed(answer, yields);
                    }
                }
                _ = tick.tick(), if stop.is_none() && asked.is_none() => {
                    stop = self.out_of_time();
                    asked = Some(self.store.requested_action(self.job.id, self.job.run));
                }
            }
            is_stopped.store(stop.is_some(), Ordering::Relaxed);
        };
        (done, stop)
    }

    fn out_of_time(&self) -> Option<Stop> {
        let limit = self.options.max_time;
        let is_over = limit.is_some_and(|limit| self.started.elapsed() > limit);
        is_over.then(|| Stop::Failed(timed_out(&self.job)))
    }

    /// Whether what another terminal asks ends the download.
    fn heed(&mut self, asked: Result<Option<Action>, StoreError>, yields: Yields) -> Option<Stop> {
        match asked {
            Ok(None) => None,
            Ok(Some(Action::Checkpoint)) => {
                self.checkpoint_is_asked();
                None
            }
            Ok(Some(action)) => {
                if yields == Yields::Surely {
                    self.acknowledge(action);
                }
                Some(Stop::Asked(action))
            }
            Err(error) => Some(Stop::of_store(&error, self.job.id)),
        }
    }
}

/// Whether work that is to stop does, so that who asks for it may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Yields {
    /// It comes to nothing then.
    Surely,
    /// It may be done before it sees the wish.
    Perhaps,
}

/// Waits for the answer that is due; not for one that was not asked for.
async fn answer<T>(asked: &mut Option<Reply<T>>) -> Result<T, StoreError> {
    match asked {
        Some(reply) => reply.await,
        None => std::future::pending().await,
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
