//! `watch`: what other invocations are doing, read off their records.
//!
//! Changes nothing but what dead processes have left, and asks nobody: what is shown is as fresh as the last checkpoint. The records
//! are read only when another process has changed something.

mod follow;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use crate::cli::Watch;
use crate::commands::context::{Context, HEARTBEAT};
use crate::commands::error::CommandError;
use crate::commands::select;
use crate::commands::signals::Signals;
use crate::commands::transfer::Tally;
use crate::commands::watch::follow::{Followed, Step};
use crate::download::{DownloadId, Status};
use crate::event::Event;
use crate::exit::ExitKind;
use crate::store::{DownloadRow, Filter, Sort, Which};
use crate::ui::Reporter;
use crate::ui::out::Closed;

/// How often it is looked whether anything has changed.
const LOOK: Duration = Duration::from_millis(100);

/// Shows downloads until those that were named have ended, or until it is told to stop.
pub fn run(context: &Context, watch: &Watch) -> Result<ExitKind, CommandError> {
    let mut signals = Signals::watch().map_err(|error| {
        CommandError::new(
            ExitKind::Internal,
            format!("cannot watch for signals: {error}"),
        )
    })?;
    let named = watch
        .ids
        .iter()
        .map(|id| Ok(select::one(context, id)?.id))
        .collect::<Result<Vec<_>, CommandError>>()?;
    let mut view = View {
        context,
        named,
        reporter: context.reporter(),
        followed: BTreeMap::new(),
        tally: Tally::default(),
        version: None,
        looked_after: Instant::now(),
    };
    let signal = loop {
        if view.look()?.is_break() {
            break None;
        }
        if let Some(kind) = signals.end() {
            break Some(kind);
        }
        std::thread::sleep(LOOK);
    };
    Ok(view.done(signal))
}

/// What is shown.
struct View<'a> {
    context: &'a Context,
    /// Those that were asked for; none for all that are under way.
    named: Vec<DownloadId>,
    reporter: Reporter,
    followed: BTreeMap<DownloadId, Followed>,
    tally: Tally,
    /// The database, as it was last read.
    version: Option<i64>,
    looked_after: Instant,
}

impl View<'_> {
    /// Shows what has changed. `Break` when there is nothing more to see.
    fn look(&mut self) -> Result<ControlFlow<()>, CommandError> {
        self.look_after_the_dead()?;
        let version = self.context.store.version().wait()?;
        if self.version.replace(version) != Some(version) {
            for row in self.rows()? {
                if self.show(&row).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        for (&id, followed) in &self.followed {
            if let Some(what) = followed.progress() {
                let event = Event { id: Some(id), what };
                if self.reporter.event(&event, Instant::now()).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        self.reporter.tick(Instant::now());
        let is_over = |id| self.followed.get(id).is_some_and(Followed::has_ended);
        Ok(
            match !self.named.is_empty() && self.named.iter().all(is_over) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            },
        )
    }

    /// Who dies says nothing: its downloads are taken from it, as any other command would.
    fn look_after_the_dead(&mut self) -> Result<(), CommandError> {
        if self.looked_after.elapsed() < HEARTBEAT {
            return Ok(());
        }
        self.looked_after = Instant::now();
        let live = self.context.store.live_runs().wait()?;
        if live.iter().any(|run| !self.context.is_alive(run)) {
            self.context.reap()?;
            // A change of our own is not seen as one.
            self.version = None;
        }
        Ok(())
    }

    /// The records to look at: those that were named, or all that are worked on and those that
    /// were a moment ago.
    fn rows(&mut self) -> Result<Vec<DownloadRow>, CommandError> {
        let store = &self.context.store;
        let mut rows = Vec::new();
        let mut ids = self.named.clone();
        if ids.is_empty() {
            let active = Status::ALL.into_iter().filter(|status| status.is_active());
            let filter = Filter {
                which: Which::Statuses(active.collect()),
                sort: Sort::Oldest,
                limit: None,
            };
            rows = store.downloads(filter).wait()?;
            let begun = self.followed.iter().filter(|(_, seen)| seen.is_under_way());
            let is_listed = |id: &DownloadId| rows.iter().any(|row| row.id == *id);
            ids.extend(begun.map(|(id, _)| *id).filter(|id| !is_listed(id)));
        }
        for id in ids {
            match store.download(id).wait()? {
                Some(row) => rows.push(row),
                // Of what nobody named, what was forgotten has simply ended.
                None if self.named.is_empty() => drop(self.followed.remove(&id)),
                None => {
                    let message = format!("download {id} was forgotten meanwhile");
                    return Err(CommandError::usage(message));
                }
            }
        }
        Ok(rows)
    }

    fn show(&mut self, row: &DownloadRow) -> ControlFlow<()> {
        let followed = self.followed.entry(row.id).or_default();
        let Step { events, ending } = followed.see(row);
        match ending {
            Some(Ok(())) => self.tally.finished(),
            Some(Err(kind)) => self.tally.failed(kind),
            None => {}
        }
        // What has ended is of no more interest, unless it was asked for.
        if self.named.is_empty() && !followed.is_under_way() {
            self.followed.remove(&row.id);
        }
        events
            .iter()
            .try_for_each(|event| self.reporter.event(event, Instant::now()))
    }

    fn done(mut self, signal: Option<ExitKind>) -> ExitKind {
        let outcome = match (signal, self.named.is_empty()) {
            (Some(signal), _) => signal,
            (None, true) => ExitKind::Success,
            (None, false) => self.tally.outcome(),
        };
        let (finished, failed) = (self.tally.count_finished(), self.tally.count_failed());
        self.reporter.done(outcome, finished, failed);
        self.reporter.closed().map_or(outcome, Closed::kind)
    }
}
