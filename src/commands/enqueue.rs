//! `get --queue`: records what is wanted, for `run` to fetch. Asks nobody.

use std::ops::ControlFlow;
use std::time::Instant;

use jiff::Timestamp;

use crate::cli::Get;
use crate::commands::catalog::Lookup;
use crate::commands::context::Context;
use crate::commands::error::CommandError;
use crate::commands::transfer::{Tally, told};
use crate::commands::{claim, demand, get, providers, sums};
use crate::content::checksums::Checksums;
use crate::download::DownloadId;
use crate::event::Event;
use crate::exit::ExitKind;
use crate::store::{NewDownload, QueueWish, Queued, StoreError};
use crate::ui::Reporter;

/// Sources that are recorded together: what is told of them is durable, and that costs a wait for
/// the disk each time.
const BATCH: usize = 1000;

/// Records every source; one failure does not stop the others.
pub fn run(
    context: &Context,
    get: &Get,
    sources: &[String],
    sums: Option<&Checksums>,
) -> Result<ExitKind, CommandError> {
    if !get.header.is_empty() {
        return Err(
            CommandError::usage("--header is never stored, so it cannot wait in the queue")
                .hint("fetch it now, without --queue; or use --netrc, or headers of a gateway in the configuration: they are read when it is fetched"),
        );
    }
    // A gateway that cannot be one is a mistake of typing, and leaves no record.
    context.settings.providers(&get.gateway)?;
    providers::check_cars(&get.gateway)?;
    let mut queue = Queue {
        context,
        catalog: Lookup::new(context),
        get,
        sums,
        reporter: context.reporter(),
        tally: Tally::default(),
    };
    for batch in sources.chunks(BATCH) {
        match queue.add(batch) {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => break,
            Err(error) => return Ok(queue.broken(&error)),
        }
    }
    Ok(queue.done())
}

struct Queue<'a> {
    context: &'a Context,
    catalog: Lookup<'a>,
    get: &'a Get,
    sums: Option<&'a Checksums>,
    reporter: Reporter,
    tally: Tally,
}

/// What is to be told of one source.
enum Told {
    Queued(DownloadId),
    There(DownloadId),
}

impl Queue<'_> {
    fn add(&mut self, sources: &[String]) -> Result<ControlFlow<()>, CommandError> {
        let wishes: Vec<Result<Wish, CommandError>> =
            sources.iter().map(|text| self.wish(text)).collect();
        let new = wishes.iter().filter_map(|wish| match wish {
            Ok(Wish::New(new)) => Some(NewDownload::clone(new)),
            _ => None,
        });
        let mut recorded = self
            .context
            .store
            .enqueue(new.collect())
            .wait()?
            .into_iter();
        for (source, wish) in sources.iter().zip(wishes) {
            let told = wish.and_then(|wish| match wish {
                Wish::There(id) => Ok(Told::There(id)),
                Wish::New(new) => self.settle(*new, recorded.next()).map(Told::Queued),
            });
            if self.tell(source, told).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// What one source asks for, and whether it is there already.
    fn wish(&self, text: &str) -> Result<Wish, CommandError> {
        let with_sum = match self.sums {
            None => None,
            Some(sums) => {
                let names = get::listed_names(self.get, text)?;
                Some(sums::with_sum(self.get, sums, &names)?)
            }
        };
        let get = with_sum.as_ref().unwrap_or(self.get);
        let (get, text) = &self.catalog.look_up(get, text)?;
        let wanted = get::wanted_offline(self.context, get, text)?;
        let recorded = get::recorded(get, &wanted);
        if let Some(row) = get::there(self.context, get, &wanted, &recorded)? {
            return Ok(Wish::There(row.id));
        }
        get::check_target(self.context, &wanted, get.force)?;
        let new = get::new_download(get, &wanted, &recorded);
        Ok(Wish::New(Box::new(new)))
    }

    /// The id of what was recorded, or of the earlier download that it is.
    fn settle(&self, new: NewDownload, queued: Option<Queued>) -> Result<DownloadId, CommandError> {
        let store = &self.context.store;
        let id = match queued {
            Some(Queued::New(id)) => return Ok(id),
            Some(Queued::Taken(id)) => id,
            None => return Err(CommandError::new(ExitKind::Internal, "not recorded")),
        };
        let row = store.download(id).wait()?;
        let Some(row) = row.filter(|row| claim::is_same(row, &new)) else {
            // What failed before is in nobody's way.
            return match store.create_download(new, None).wait() {
                Err(StoreError::ActiveExists { id }) => Err(claim::taken(id)),
                created => Ok(created?),
            };
        };
        claim::check_part(&row, &new)?;
        let demanded = demand::of_both(&row, &new);
        let wish = QueueWish {
            lane: new.lane.unwrap_or_default(),
            priority: new.priority,
            options_json: demanded.options_json,
            expected_sha256: demanded.sha256,
            is_more: demanded.is_more,
            now: Timestamp::now(),
        };
        match store.queue_again(id, wish).wait()? {
            None => Ok(id),
            Some(run) => {
                let owner = store.live_run(run).wait()?;
                Err(claim::busy(id, Some(&row), owner.as_ref()))
            }
        }
    }

    fn tell(&mut self, source: &str, told: Result<Told, CommandError>) -> ControlFlow<()> {
        match told {
            Ok(Told::Queued(id)) => self.reporter.queued(id, source),
            Ok(Told::There(id)) => {
                self.tally.finished();
                if !self.context.wants_json() {
                    return self.reporter.queued(id, source);
                }
                let row = self.context.store.download(id).wait().ok().flatten();
                self.event(row.as_ref().and_then(told::there))
            }
            Err(error) => {
                self.tally.failed(error.kind);
                self.event(Some(told::refused(source, &error)))
            }
        }
    }

    fn event(&mut self, event: Option<Event>) -> ControlFlow<()> {
        event.map_or(ControlFlow::Continue(()), |event| {
            self.reporter.event(&event, Instant::now())
        })
    }

    fn broken(self, error: &CommandError) -> ExitKind {
        self.context.complain(error);
        self.end(error.kind)
    }

    fn done(self) -> ExitKind {
        let outcome = self.tally.outcome();
        self.end(outcome)
    }

    fn end(mut self, outcome: ExitKind) -> ExitKind {
        let (finished, failed) = (self.tally.count_finished(), self.tally.count_failed());
        self.reporter.done(outcome, finished, failed);
        self.reporter
            .closed()
            .map_or(outcome, crate::ui::out::Closed::kind)
    }
}

enum Wish {
    There(DownloadId),
    New(Box<NewDownload>),
}
