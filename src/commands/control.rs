//! `pause`, `cancel` and `checkpoint`: asked of a live owner, done here where there is none.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::commands::context::Context;
use crate::commands::error::CommandError;
use crate::commands::transfer::Tally;
use crate::commands::{select, show, transfer};
use crate::download::{Action, DownloadId, RunId, Status, chain};
use crate::exit::ExitKind;
use crate::store::{Ending, Requested, StoreError};
use crate::ui::view::{DownloadList, DownloadView};

/// How long the owner may take to acknowledge.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long an owner that has acknowledged is waited for: mostly it ends at once, and what comes
/// next may count on that.
const GRACE: Duration = Duration::from_secs(2);
/// How often the record is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(20);

/// Does what is asked to each of the downloads; one that cannot be had does not spare the others.
pub fn run(context: &Context, ids: &[String], action: Action) -> Result<ExitKind, CommandError> {
    let mut tally = Tally::default();
    let mut done: Vec<DownloadView> = Vec::new();
    for id in ids {
        match one(context, id, action) {
            Ok(view) => done.extend(view),
            Err(error) => {
                tally.failed(error.kind);
                context.complain(&error);
            }
        }
    }
    context.show(&DownloadList { downloads: &done }, String::new)?;
    Ok(tally.outcome())
}

fn one(
    context: &Context,
    text: &str,
    action: Action,
) -> Result<Option<DownloadView>, CommandError> {
    let id = select::one(context, text)?.id;
    Request {
        context,
        id,
        action,
    }
    .apply()?;
    let row = context.store.download(id).wait()?;
    Ok(row.as_ref().map(show::view))
}

/// One wish about one download.
struct Request<'a> {
    context: &'a Context,
    id: DownloadId,
    action: Action,
}

/// How a live owner took a wish.
enum Answer {
    /// It has done what was asked, or does it for sure.
    Done,
    /// It is the owner no more.
    Gone,
    /// Not at all, for as long as anybody may wait.
    None,
}

/// What became of the try to act without an owner.
enum Acted {
    Done,
    /// It stands where this cannot be done.
    Refused(Status),
    /// Somebody else was faster.
    Raced,
}

impl Request<'_> {
    /// Asks, or acts, until it is done: the owner may end for its own reasons meanwhile, die, or
    /// another one may take over.
    fn apply(&self) -> Result<(), CommandError> {
        let deadline = Instant::now() + PATIENCE;
        let store = &self.context.store;
        let mut was_asked = false;
        loop {
            let request = store.request(self.id, self.action, Timestamp::now());
            match request.wait()? {
                Requested::Ended { status } => return self.ended(status, was_asked),
                Requested::Unowned { status } => match self.act(status, was_asked)? {
                    Acted::Done => return Ok(()),
                    Acted::Refused(status) => return self.refuse(status),
                    Acted::Raced if Instant::now() >= deadline => break,
                    Acted::Raced => std::thread::sleep(LOOK),
                },
                Requested::Asked { run } => {
                    was_asked = true;
                    match self.answer(run, deadline)? {
                        Answer::Done => return Ok(()),
                        Answer::Gone => {}
                        Answer::None => break,
                    }
                }
            }
        }
        let id = self.id;
        Err(CommandError::new(
            ExitKind::Retry,
            format!("the process that works on download {id} does not answer"),
        )
        .hint(format!("see who it is with: fetchd show {id}")))
    }

    /// What to make of a download that has ended.
    fn ended(&self, status: Status, was_asked: bool) -> Result<(), CommandError> {
        match (self.action, status) {
            (Action::Cancel { keep_partial }, Status::Cancelled) => {
                // A first try may have died between the record and the part.
                if !keep_partial {
                    self.remove_parts()?;
                }
                Ok(())
            }
            // It was finished before the owner saw the wish: all of it is on disk.
            (Action::Checkpoint, Status::Success) if was_asked => Ok(()),
            _ => self.refuse(status),
        }
    }

    fn refuse(&self, status: Status) -> Result<(), CommandError> {
        let id = self.id;
        Err(
            CommandError::usage(format!("download {id} has ended already: {status}"))
                .hint(format!("look at it with: fetchd show {id}")),
        )
    }

    /// Does what is asked where nobody works on the download.
    fn act(&self, status: Status, was_asked: bool) -> Result<Acted, CommandError> {
        match (self.action, status) {
            (Action::Pause, Status::Failed) => Ok(Acted::Refused(status)),
            (Action::Checkpoint, Status::Failed) if !was_asked => Ok(Acted::Refused(status)),
            // Who was asked makes one before he stops: nothing is left to do, if he could.
            (Action::Checkpoint, _) if was_asked => self.require_made().map(|()| Acted::Done),
            // All that there is was kept when the last owner stopped, or is lost.
            (Action::Checkpoint, _) => Ok(Acted::Done),
            (Action::Pause, Status::Paused) => self.keep_paused(),
            (Action::Pause, _) => self.settle(Status::Paused),
            (Action::Cancel { keep_partial }, _) => {
                let acted = self.settle(Status::Cancelled)?;
                if matches!(acted, Acted::Done) && !keep_partial {
                    self.remove_parts()?;
                }
                Ok(acted)
            }
        }
    }

    /// Whether the owner that was asked for a checkpoint could make it before he stopped.
    fn require_made(&self) -> Result<(), CommandError> {
        let row = self.context.store.download(self.id).wait()?;
        let Some(row) = row else { return Ok(()) };
        match &row.failure {
            Some(failure) if row.was_interrupted() || failure.kind == ExitKind::Disk => {
                let message = format!("no checkpoint was made: {}", failure.message);
                Err(CommandError::new(failure.kind, message).about(self.id))
            }
            _ => Ok(()),
        }
    }

    /// A download that rests already is marked as paused by a person, so that `resume --all`
    /// leaves it alone.
    fn keep_paused(&self) -> Result<Acted, CommandError> {
        let kept = self.context.store.keep_paused(self.id, Timestamp::now());
        Ok(if kept.wait()? {
            Acted::Done
        } else {
            Acted::Raced
        })
    }

    fn settle(&self, status: Status) -> Result<Acted, CommandError> {
        let ending = Ending::by_person(status, Timestamp::now());
        match self.context.store.settle(self.id, ending).wait() {
            Ok(()) => Ok(Acted::Done),
            Err(StoreError::Owned { .. } | StoreError::Transition { .. }) => Ok(Acted::Raced),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes what is left of a cancelled download. That a part stays does not change that it is
    /// cancelled, but somebody has to know of it.
    fn remove_parts(&self) -> Result<(), CommandError> {
        let row = self.context.store.download(self.id).wait()?;
        let removed = row.map(|row| transfer::remove_parts(self.context, &row));
        if let Some(Err(error)) = removed {
            let mut reporter = self.context.reporter_of_document();
            reporter.notice(&format!(
                "{}; it may be removed by hand, or with: fetchd prune {}",
                chain(&error),
                self.id
            ));
        }
        Ok(())
    }

    /// Waits until this owner has let go of the download, or is dead; or has acknowledged, which
    /// is as good where the disk takes long to sync what is to be kept.
    fn answer(&self, run: RunId, deadline: Instant) -> Result<Answer, CommandError> {
        let mut heard = None;
        loop {
            let row = self.context.store.download(self.id).wait()?;
            let Some(row) = row.filter(|row| row.owner == Some(run)) else {
                return Ok(Answer::Gone);
            };
            let is_for_good = self.action != Action::Checkpoint;
            match (row.requested, row.acknowledged) {
                (None, _) if !is_for_good => return Ok(Answer::Done),
                (Some(_), Some(_)) => {
                    let heard = *heard.get_or_insert_with(Instant::now);
                    if is_for_good && heard.elapsed() > GRACE {
                        self.say_later();
                        return Ok(Answer::Done);
                    }
                }
                _ if Instant::now() >= deadline => return Ok(Answer::None),
                _ => {}
            }
            let owner = self.context.store.live_run(run).wait()?;
            if owner.is_none_or(|owner| !self.context.is_alive(&owner)) {
                self.context.reap()?;
                return Ok(Answer::Gone);
            }
            std::thread::sleep(LOOK);
        }
    }

    fn say_later(&self) {
        let mut reporter = self.context.reporter_of_document();
        reporter.notice(&format!(
            "the process that works on download {} obeys; it ends when the disk has synced what is kept",
            self.id
        ));
    }
}
