//! `watch`: what other invocations are doing, read off their records.
//!
//! Changes nothing but what dead processes have left, and asks nobody: what is shown is as fresh as
//! the last checkpoint. The records are read only when another process has changed something.

mod follow;
mod traces;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use crate::cli::Watch;
use crate::commands::context::{Context, HEARTBEAT};
use crate::commands::error::CommandError;
use crate::commands::select;
use crate::commands::signals::Signals;
use crate::commands::transfer::{Tally, told};
use crate::commands::watch::follow::{Followed, Step};
use crate::commands::watch::traces::Traces;
use crate::download::{DownloadId, Status};
use crate::event::Event;
use crate::exit::ExitKind;
use crate::store::{DownloadRow, Filter, Sort, Which};
use crate::ui::Reporter;
use crate::ui::out::Closed;

/// How often it is looked whether anything has changed.
const LOOK: Duration = Duration::from_millis(100);
/// Most attempts of a download that are told of after one look.
const MAX_ATTEMPTS: u32 = 100;

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
        traces: BTreeMap::new(),
        endings: BTreeMap::new(),
        version: None,
        looked_after: Instant::now(),
    };
    let ended = loop {
        match view.look() {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => break None,
            Err(error) => {
                context.complain(&error);
                break Some(error.kind);
            }
        }
        if let Some(kind) = signals.end() {
            break Some(kind);
        }
        std::thread::sleep(LOOK);
    };
    Ok(view.done(ended))
}

/// What is shown.
struct View<'a> {
    context: &'a Context,
    /// Those that were asked for; none for all that are under way.
    named: Vec<DownloadId>,
    reporter: Reporter,
    followed: BTreeMap<DownloadId, Followed>,
    traces: BTreeMap<DownloadId, Traces>,
    /// How each ended that was seen to end, the last time: an entry of the queue may be tried again.
    endings: BTreeMap<DownloadId, Result<(), ExitKind>>,
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
                if self.show(&row)?.is_break() {
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
                    return Err(CommandError::usage(message)
                        .hint("see what is left with: fetchd list --all"));
                }
            }
        }
        Ok(rows)
    }

    fn show(&mut self, row: &DownloadRow) -> Result<ControlFlow<()>, CommandError> {
        let followed = self.followed.entry(row.id).or_default();
        let was_under_way = followed.is_under_way();
        let Step { mut events, ending } = followed.see(row);
        self.endings.extend(ending.map(|ending| (row.id, ending)));
        let is_under_way = followed.is_under_way();
        // What has ended is of no more interest, unless it was asked for.
        if self.named.is_empty() && !is_under_way {
            self.followed.remove(&row.id);
        }
        if was_under_way || is_under_way {
            // It begins before it asks anybody, and asks before it ends.
            let at = if was_under_way { 0 } else { events.len() };
            let traces = self.look_for_traces(row)?;
            events.splice(at..at, traces);
        }
        if !events.is_empty() {
            self.reporter.recall(row.id, told::recorded(row));
        }
        Ok(events
            .iter()
            .try_for_each(|event| self.reporter.event(event, Instant::now())))
    }

    /// What the run that works on it, or did at the last look, has left since then.
    fn look_for_traces(&mut self, row: &DownloadRow) -> Result<Vec<Event>, CommandError> {
        let store = &self.context.store;
        let traces = match (self.traces.entry(row.id), row.owner) {
            (Entry::Occupied(entry), owner) if owner.is_none_or(|run| entry.get().run() == run) => {
                entry.into_mut()
            }
            (entry, Some(run)) => entry.insert_entry(Traces::of(run)).into_mut(),
            (_, None) => return Ok(Vec::new()),
        };
        let attempts = store.history(Some(row.id), MAX_ATTEMPTS).wait()?;
        let checkpoints = store.checkpoints(row.id).wait()?;
        Ok(traces.see(row.id, &attempts, &checkpoints))
    }

    /// Ends the events; what ended the watch itself decides over what it saw.
    fn done(mut self, ended: Option<ExitKind>) -> ExitKind {
        let mut tally = Tally::default();
        for ending in self.endings.values() {
            match ending {
                Ok(()) => tally.finished(),
                Err(kind) => tally.failed(*kind),
            }
        }
        let outcome = match (ended, self.named.is_empty()) {
            (Some(kind), _) => kind,
            (None, true) => ExitKind::Success,
            (None, false) => tally.outcome(),
        };
        let (finished, failed) = (tally.count_finished(), tally.count_failed());
        self.reporter.done(outcome, finished, failed);
        self.reporter.closed().map_or(outcome, Closed::kind)
    }
}
