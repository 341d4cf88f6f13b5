//! `run`: drains the queue.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::cli::Run;
use crate::commands::context::{Context, HEARTBEAT};
use crate::commands::error::CommandError;
use crate::commands::options::Recorded;
use crate::commands::transfer::{Ended, Shop, Supplied, Supply, Task, Transfer};
use crate::download::queue::Held;
use crate::engine::{Ending, random};
use crate::exit::ExitKind;
use crate::store::Clock;

/// How often a run that stays looks whether another process has changed anything.
const LOOK: Duration = Duration::from_millis(100);

/// Fetches what is due, and with `--watch` what becomes due.
pub fn run(context: &Context, run: &Run) -> Result<ExitKind, CommandError> {
    let jobs = run.jobs.unwrap_or(context.settings.keys.jobs);
    let mut transfer = Transfer::begin(context, None)?;
    let mut queue = Queue::new(run.watch);
    let mut drained = transfer.drain(usize::try_from(jobs).unwrap_or(1), &mut queue);
    if drained.is_ok() && !run.watch {
        drained = queue.say_what_waits(context, &mut transfer);
    }
    Ok(match drained {
        Ok(()) => transfer.end_as(|outcome, signal| queue.outcome(outcome, signal)),
        broken => transfer.end_after(broken),
    })
}

/// The queue, as one `run` sees it.
struct Queue {
    is_watching: bool,
    /// What is due after this waits for the next `run`; each entry is tried once.
    started: Timestamp,
    held: Held,
    version: i64,
    reaped: Instant,
}

impl Queue {
    fn new(is_watching: bool) -> Self {
        Self {
            is_watching,
            started: Timestamp::now(),
            held: Held::default(),
            version: 0,
            reaped: Instant::now(),
        }
    }

    /// Lanes that are passed over now: without `--watch` until the end.
    fn held_lanes(&self) -> Vec<String> {
        if self.is_watching {
            self.held.lanes(Instant::now())
        } else {
            self.held.all_lanes()
        }
    }

    /// What is due after the beginning waits for the next run, which a clock that is set back
    /// meanwhile does not put off.
    fn clock(&self) -> Clock {
        let now = Timestamp::now();
        let due_by = if self.is_watching {
            now
        } else {
            self.started.min(now)
        };
        Clock { now, due_by }
    }

    /// A service that is told to stop has done its work.
    fn outcome(&self, outcome: ExitKind, signal: Option<ExitKind>) -> ExitKind {
        match signal {
            Some(ExitKind::Terminated) if self.is_watching => ExitKind::Success,
            Some(signal) => signal,
            None => outcome,
        }
    }

    /// Of what is left: what kept its place, and when the next one is due.
    fn say_what_waits(
        &self,
        context: &Context,
        transfer: &mut Transfer<'_>,
    ) -> Result<(), CommandError> {
        let store = &context.store;
        let lanes = self.held.all_lanes();
        let kept = store.count_due(self.started, &lanes).wait()?;
        if kept > 0 {
            let message = format!("{kept} entries were not tried and keep their place");
            transfer.reporter.notice(&message);
        }
        let now = Timestamp::now();
        let next = store.next_due(now, &lanes).wait()?;
        if let Some(next) = next.filter(|&next| next > now) {
            transfer.reporter.notice(&format!(
                "the next try is due at {next:.0}; stay for it with: fetchd run --watch"
            ));
        }
        Ok(())
    }
}

impl Supply for Queue {
    async fn next(&mut self, shop: &Shop) -> Result<Option<Supplied>, CommandError> {
        let store = &shop.context.store;
        let (clock, held) = (self.clock(), self.held_lanes());
        // Only looking needs no lock, and a run that stays looks often.
        if !store.is_due(clock, &held).await? {
            return Ok(None);
        }
        let row = store.claim_next(shop.run, clock, &held).await?;
        Ok(row.map(|row| {
            Supplied::Task(Task {
                row,
                places: Vec::new(),
            })
        }))
    }

    /// Until an entry is due, a lane is to be tried again, or another process has changed anything.
    async fn wait(&mut self, shop: &Shop) -> Result<(), CommandError> {
        let store = &shop.context.store;
        let version = store.version().await?;
        if std::mem::replace(&mut self.version, version) != version {
            return Ok(());
        }
        let due = store.next_due(Timestamp::now(), &self.held_lanes()).await?;
        let in_time = due.map(|due| Timestamp::now().duration_until(due));
        let in_time = in_time.map(|wait| Duration::try_from(wait).unwrap_or_default());
        let now = Instant::now();
        let free = self.held.next(now).map(|until| until - now);
        let due = in_time.into_iter().chain(free).min().map(|wait| now + wait);
        loop {
            let now = Instant::now();
            let left = due.map(|due| due.saturating_duration_since(now));
            tokio::time::sleep(left.map_or(LOOK, |left| left.min(LOOK))).await;
            if due.is_some_and(|due| due <= Instant::now()) {
                return Ok(());
            }
            if self.reaped.elapsed() >= HEARTBEAT {
                self.reaped = Instant::now();
                shop.context.reap_meanwhile().await?;
            }
            let version = store.version().await?;
            if std::mem::replace(&mut self.version, version) != version {
                return Ok(());
            }
        }
    }

    fn is_endless(&self) -> bool {
        self.is_watching
    }

    /// The results are files, and events where they are wanted.
    fn prints_paths(&self) -> bool {
        false
    }

    fn ended(&mut self, ended: &Ended) -> Option<String> {
        let lane = ended.row.lane.as_ref()?;
        // What ends for want of its own time says nothing of others.
        let has_limit = || {
            let recorded = Recorded::from_json(&ended.row.options_json);
            recorded.max_time().is_some()
        };
        let is_nobody = match &ended.ending {
            Ending::Finished(_) => false,
            Ending::Failed { reached, .. } if !reached && has_limit() => return None,
            Ending::Failed {
                failure, reached, ..
            } if failure.kind == ExitKind::Retry || *reached => !reached,
            _ => return None,
        };
        if is_nobody {
            let is_news = self.held.unreachable(lane, random(), Instant::now());
            is_news.then(|| {
                format!("offline: {lane} cannot be reached; what else waits for that keeps its place in the queue")
            })
        } else {
            let was_held = self.held.reached(lane);
            was_held.then(|| format!("online again: {lane} can be reached"))
        }
    }
}
