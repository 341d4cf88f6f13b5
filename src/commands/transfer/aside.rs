//! Work on a thread beside the runtime, and how far it is.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::commands::error::CommandError;
use crate::commands::signals::Asked;
use crate::commands::transfer::Transfer;
use crate::event::{Event, What};

/// How often work on a thread is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Work on a thread, seen from outside.
#[derive(Debug, Default)]
pub struct Watch {
    /// Whether it is to stop.
    pub is_stopped: AtomicBool,
    bytes: AtomicU64,
}

impl Watch {
    /// Whether it is to stop.
    pub fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }

    /// The work is done with so many bytes.
    pub fn note(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }
}

impl Transfer<'_> {
    /// Runs work on a thread of its own and shows how far it is. A signal tells it to stop.
    ///
    /// # Errors
    /// A signal came first.
    pub fn on_a_thread<T: Send + 'static>(
        &mut self,
        total: Option<u64>,
        work: impl FnOnce(&Watch) -> T + Send + 'static,
    ) -> Result<T, CommandError> {
        let watch = Arc::new(Watch::default());
        let watched = watch.clone();
        let mut work = self.runtime.spawn_blocking(move || work(&watched));
        match self.watched(total, &watch, &mut work) {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(panicked)) => std::panic::resume_unwind(panicked.into_panic()),
            Err(interrupted) => {
                watch.is_stopped.store(true, Ordering::Relaxed);
                // What it has begun it tidies up.
                let _ = self.runtime.block_on(work);
                Err(interrupted)
            }
        }
    }

    /// Waits for work and shows how far it is.
    ///
    /// # Errors
    /// A signal came first: then the work goes no further.
    pub fn watched<T>(
        &mut self,
        total: Option<u64>,
        watch: &Watch,
        work: impl Future<Output = T>,
    ) -> Result<T, CommandError> {
        let (signals, reporter) = (&mut self.signals, &mut self.reporter);
        self.runtime.block_on(async {
            let mut work = pin!(work);
            let mut tick = tokio::time::interval(LOOK);
            loop {
                tokio::select! {
                    done = &mut work => return Ok(done),
                    asked = signals.next() => if let Asked::End(kind) = asked {
                        return Err(CommandError::new(kind, "interrupted"));
                    },
                    _ = tick.tick() => {
                        let bytes = watch.bytes.load(Ordering::Relaxed);
                        let what = What::Progress { bytes, total, files: None, is_proved: true };
                        let _ = reporter.event(&Event { id: None, what }, Instant::now());
                    }
                }
            }
        })
    }
}
