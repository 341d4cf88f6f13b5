//! What one download goes through that this run has claimed: names, providers, engine.
//!
//! Wishes of other terminals and signals are obeyed before the engine listens for them too.
//! Invariant: whatever happens, the download is let go of, and its ending was said.

use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::commands::context::Context;
use crate::commands::error::CommandError;
use crate::commands::options::{self, Recorded};
use crate::commands::providers::Network;
use crate::commands::resolve;
use crate::commands::transfer::active::{Ended, Voice};
use crate::commands::transfer::clock::Clock;
use crate::commands::transfer::record::{job, remove_parts};
use crate::commands::transfer::supply::Task;
use crate::commands::transfer::told;
use crate::content::cid;
use crate::content::source::{self, Source};
use crate::download::queue::Again;
use crate::download::{Action, RunId, Status};
use crate::engine::{self, Ending, Job};
use crate::event::{Event, What};
use crate::exit::ExitKind;
use crate::store::{self, DownloadRow};

/// How often wishes of other terminals are looked for.
const LOOK: Duration = Duration::from_millis(100);

/// What the downloads of one invocation share.
pub struct Shop {
    /// The state.
    pub context: Context,
    /// The run that owns them.
    pub run: RunId,
    /// Connections and limits.
    pub network: Network,
}

/// Why the engine does not begin.
enum Left {
    Asked(Action),
    Failed(CommandError),
}

impl<E: Into<CommandError>> From<E> for Left {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Shop {
    /// Takes a claimed download to its ending.
    pub(super) async fn work(
        &self,
        task: Task,
        voice: Voice,
        mut signals: UnboundedReceiver<ExitKind>,
    ) -> Ended {
        let row = task.row;
        let recorded = Recorded::from_json(&row.options_json);
        let clock = Clock::start(recorded.max_time());
        let ready = tokio::select! {
            ready = self.prepare(&row, &recorded, clock, &voice) => ready,
            left = self.asked(&row) => Err(left),
            over = clock.over() => Err(over.into()),
            Some(kind) = signals.recv() => Err(CommandError::new(kind, "interrupted").into()),
        };
        let ending = match ready {
            Ok((job, options, list)) => {
                let store = self.context.store.clone();
                let mut on_event = |event: &Event| voice.say(event.clone());
                engine::run(job, options, list, store, signals, &mut on_event).await
            }
            Err(Left::Asked(action)) => self.stop(&row, action, &voice).await,
            Err(Left::Failed(error)) => self.give_back(&row, error, &voice).await,
        };
        Ended { row, ending }
    }

    /// All that the engine needs. Names and providers take from its time.
    async fn prepare(
        &self,
        row: &DownloadRow,
        recorded: &Recorded,
        clock: Clock,
        voice: &Voice,
    ) -> Result<(Job, engine::Options, Vec<engine::Provider>), Left> {
        let pinned = self.pinned(row, recorded, voice).await?;
        let row = pinned.as_ref().unwrap_or(row);
        let providers = self.network.ready(recorded).await?;
        note(row, providers.notices, voice);
        let set_up = self.set_up(row, recorded, providers.asks_others_later, clock.left());
        let (job, options) = set_up.await?;
        Ok((job, options, providers.list))
    }

    /// The download as the engine needs it, and how it is to go about it, by what is `recorded` of
    /// it.
    ///
    /// # Errors
    /// Code 78 for a record, a configuration or a router that cannot be used; or something that is
    /// no part has the name of one.
    pub(super) async fn set_up(
        &self,
        row: &DownloadRow,
        recorded: &Recorded,
        asks_others_later: bool,
        max_time: Option<Duration>,
    ) -> Result<(Job, engine::Options), CommandError> {
        let mut options = options::engine(&self.context.settings, recorded, max_time)?;
        // The file is the CAR then, which is hashed as it is written.
        options.file_sha256 &= row.kind != "car";
        options.asks_others_later = asks_others_later;
        options.discovery = self.network.discovery(recorded)?;
        let job = job(&self.context, row, recorded, self.run).await?;
        Ok((job, options))
    }

    /// The record with the content that its name leads to, if it was queued by a name that nobody
    /// has looked up yet.
    async fn pinned(
        &self,
        row: &DownloadRow,
        recorded: &Recorded,
        voice: &Voice,
    ) -> Result<Option<DownloadRow>, CommandError> {
        if row.root_cid.is_some() || recorded.url.is_some() {
            return Ok(None);
        }
        let Source::Content(content) = source::parse(&row.source)? else {
            return Ok(None);
        };
        let gateways = &recorded.gateways;
        let named = resolve::follow(&self.context, &self.network, &content, gateways).await?;
        note(row, named.notices, voice);
        let root = cid::text(&named.resolved.cid);
        let path = named.resolved.path.join("/");
        let store = &self.context.store;
        store
            .pin(row.id, self.run, root.clone(), path.clone())
            .await?;
        Ok(Some(DownloadRow {
            root_cid: Some(root),
            content_path: path,
            ..row.clone()
        }))
    }

    /// Waits for another terminal to stop the download.
    async fn asked(&self, row: &DownloadRow) -> Left {
        let store = &self.context.store;
        loop {
            tokio::time::sleep(LOOK).await;
            match store.requested_action(row.id, self.run).await {
                Ok(None) => {}
                // There is nothing that is not safe yet.
                Ok(Some(action @ Action::Checkpoint)) => {
                    if let Err(error) = store.fulfil(row.id, self.run, action).await {
                        return error.into();
                    }
                }
                Ok(Some(action)) => return Left::Asked(action),
                Err(error) => return error.into(),
            }
        }
    }

    /// Does what another terminal asks, before the engine has begun.
    async fn stop(&self, row: &DownloadRow, action: Action, voice: &Voice) -> Ending {
        let source = row.source.clone();
        let (status, what, ending) = match action {
            Action::Cancel { .. } => (
                Status::Cancelled,
                What::Cancelled { source },
                Ending::Cancelled,
            ),
            Action::Pause | Action::Checkpoint => {
                (Status::Paused, What::Paused { source }, Ending::Paused)
            }
        };
        let wish = store::Ending::by_person(status, Timestamp::now());
        if let Err(error) = self.context.store.end(row.id, self.run, wish).await {
            return refuse(row, error.into(), voice);
        }
        if action.removes_part()
            && let Err(error) = remove_parts(&self.context, row)
        {
            tracing::warn!(%error, "cannot remove the part");
        }
        say(row, what, voice);
        ending
    }

    /// Gives a download back that could not even be begun.
    async fn give_back(&self, row: &DownloadRow, error: CommandError, voice: &Voice) -> Ending {
        let ending = ending(row, &error);
        if let Err(error) = self.context.store.end(row.id, self.run, ending).await {
            tracing::warn!(%error, "cannot give the download back");
        }
        refuse(row, error, voice)
    }
}

fn say(row: &DownloadRow, what: What, voice: &Voice) {
    let id = Some(row.id);
    // Who does not listen learns nothing, and the work is over anyway.
    let _ = voice.say(Event { id, what });
}

fn note(row: &DownloadRow, notices: Vec<String>, voice: &Voice) {
    for message in notices {
        say(row, What::Notice { message }, voice);
    }
}

fn refuse(row: &DownloadRow, error: CommandError, voice: &Voice) -> Ending {
    let error = error.about(row.id);
    let (failure, resumable) = (error.failure(), error.is_resumable());
    let _ = voice.say(told::refused(&row.source, &error));
    Ending::Failed {
        failure,
        resumable,
        reached: false,
    }
}

/// What is recorded of a download that could not be begun: an entry of the queue stays one where
/// waiting may help.
pub(super) fn ending(row: &DownloadRow, error: &CommandError) -> store::Ending {
    let now = Timestamp::now();
    let is_queued = row.lane.is_some();
    let again = (is_queued && matches!(error.kind, ExitKind::Retry | ExitKind::Disk))
        .then(|| Again::after(row.queue_tries, false, engine::random()));
    let is_signal = matches!(error.kind, ExitKind::Interrupted | ExitKind::Terminated);
    let status = match error.kind {
        _ if again.is_some() || (is_queued && is_signal) => Status::Pending,
        ExitKind::Verification | ExitKind::NotFound | ExitKind::Refused => Status::Failed,
        _ => Status::Paused,
    };
    store::Ending {
        status,
        failure: Some(error.failure()),
        tries: 0,
        next_attempt: again.map(|again| now + again.wait),
        queue_tries: again.map_or(row.queue_tries, |again| again.tries),
        traffic: store::Traffic::default(),
        now,
    }
}
