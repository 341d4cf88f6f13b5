//! Engines that run side by side, seen as one thing that is polled, listened to and spoken to.
//!
//! They all run on the task that polls them, and only while it does. Invariant: what an engine
//! announced is heard before its end.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::rc::Rc;

use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;

use crate::download::DownloadId;
use crate::engine::{self, Ending, Job, Options, Provider};
use crate::event::Event;
use crate::exit::ExitKind;
use crate::store::{DownloadRow, Store};

/// A download that this invocation ran, and how that ended.
#[derive(Debug)]
pub struct Ended {
    /// Its record as it was at the beginning.
    pub row: DownloadRow,
    /// How it ended.
    pub ending: Ending,
}

/// What comes from the engines.
#[derive(Debug)]
pub(super) enum News {
    /// One announced something.
    Event(Event),
    /// One came to its end, and is gone.
    Ended(Box<Ended>),
}

/// The engines that run.
pub(super) struct Active {
    engines: FuturesUnordered<LocalBoxFuture<'static, Ended>>,
    /// How to tell each of them what the operating system asks.
    asks: BTreeMap<DownloadId, mpsc::UnboundedSender<ExitKind>>,
    tell: mpsc::UnboundedSender<Event>,
    events: mpsc::UnboundedReceiver<Event>,
    /// One that came to its end, while what it announced is being told.
    ended: Option<Box<Ended>>,
    /// Whether nobody listens any more.
    is_deaf: Rc<Cell<bool>>,
}

/// How one of them is heard.
pub(super) struct Voice {
    tell: mpsc::UnboundedSender<Event>,
    is_deaf: Rc<Cell<bool>>,
}

impl Voice {
    /// Announces something. `Break` once nobody listens any more.
    pub(super) fn say(&self, event: Event) -> ControlFlow<()> {
        match self.is_deaf.get() || self.tell.send(event).is_err() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

/// What one engine is started with.
pub(super) struct Start {
    pub(super) row: DownloadRow,
    pub(super) job: Job,
    pub(super) options: Options,
    pub(super) providers: Vec<Provider>,
    pub(super) store: Store,
}

impl Active {
    pub(super) fn new() -> Self {
        let (tell, events) = mpsc::unbounded_channel();
        Self {
            engines: FuturesUnordered::new(),
            asks: BTreeMap::new(),
            tell,
            events,
            ended: None,
            is_deaf: Rc::default(),
        }
    }

    /// How many run.
    pub(super) fn len(&self) -> usize {
        self.engines.len() + usize::from(self.ended.is_some())
    }

    /// Their numbers.
    pub(super) fn ids(&self) -> impl Iterator<Item = DownloadId> {
        self.asks.keys().copied()
    }

    pub(super) fn start(&mut self, start: Start) {
        self.work(start.row.id, |voice, asked| async move {
            let mut on_event = |event: &Event| voice.say(event.clone());
            let ending = engine::run(
                start.job,
                start.options,
                start.providers,
                start.store,
                asked,
                &mut on_event,
            );
            Ended {
                ending: ending.await,
                row: start.row,
            }
        });
    }

    /// Runs a download that has more to do than the engine does. It is given a voice, and hears of
    /// signals.
    pub(super) fn work<F: Future<Output = Ended> + 'static>(
        &mut self,
        id: DownloadId,
        work: impl FnOnce(Voice, mpsc::UnboundedReceiver<ExitKind>) -> F,
    ) {
        let (ask, asked) = mpsc::unbounded_channel();
        self.asks.insert(id, ask);
        let voice = Voice {
            tell: self.tell.clone(),
            is_deaf: Rc::clone(&self.is_deaf),
        };
        self.engines.push(Box::pin(work(voice, asked)));
    }

    /// Lets them run until there is news; for ever, if none of them runs.
    pub(super) async fn next(&mut self) -> News {
        loop {
            if let Ok(event) = self.events.try_recv() {
                return News::Event(event);
            }
            if let Some(ended) = self.ended.take() {
                return News::Ended(ended);
            }
            tokio::select! {
                biased;
                Some(event) = self.events.recv() => return News::Event(event),
                Some(ended) = self.engines.next(), if !self.engines.is_empty() => {
                    self.asks.remove(&ended.row.id);
                    // Its last words come first.
                    self.ended = Some(Box::new(ended));
                }
            }
        }
    }

    /// Tells all of them to end.
    pub(super) fn end(&self, kind: ExitKind) {
        for ask in self.asks.values() {
            // One that does not listen any more is just ending.
            let _ = ask.send(kind);
        }
    }

    /// Nobody listens any more: each ends when it next has something to say.
    pub(super) fn go_deaf(&self) {
        self.is_deaf.set(true);
    }
}
