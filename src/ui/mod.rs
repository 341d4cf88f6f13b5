//! Events and records to terminal, table or JSON.
//!
//! Fold first, draw second: [`state`] folds the events, [`Reporter`] hands the result to at most
//! three sinks (bars, lines, JSON). Data goes to stdout, words for people to stderr. Decides
//! nothing about downloads and knows no clock but the one that is handed in.

pub mod bar;
pub mod escape;
pub mod fit;
pub mod human;
pub mod json;
pub mod lines;
pub mod messages;
pub mod out;
#[cfg(test)]
mod samples;
pub mod screen;
pub mod state;
pub mod table;
pub mod taskbar;
pub mod text;
pub mod title;
pub mod verdict;
pub mod view;

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use crate::download::DownloadId;
use crate::event::{Event, What};
use crate::exit::ExitKind;
use crate::ui::bar::Bars;
use crate::ui::lines::Lines;
use crate::ui::out::{Closed, Out, Stderr};
use crate::ui::state::{Recorded, State};
use crate::ui::view::PlanView;

/// How progress is shown on stderr, after flags and terminal have been looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgressMode {
    /// Bars drawn in place; wants a terminal.
    Bar,
    /// Plain lines now and then.
    Plain,
    /// The events as JSON, one object a line. Errors and notices still come in words; their lines
    /// do not begin with `{`.
    Json,
    /// Not at all.
    None,
}

/// How much is told in words on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verbosity {
    /// Errors only.
    Quiet,
    /// Errors, notices and what `ProgressMode` asks for.
    Normal,
    /// Also what the engine does and why.
    Story,
}

/// What a [`Reporter`] writes to stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Results {
    /// Final paths.
    Paths,
    /// The events as JSON, one object a line.
    Events,
    /// Nothing: the command prints a document of its own.
    Document,
}

/// What a [`Reporter`] shows, and where.
#[derive(Debug, Clone)]
pub struct ReporterOptions {
    /// How progress is shown on stderr.
    pub progress: ProgressMode,
    /// What stdout gets.
    pub results: Results,
    /// How much is told in words.
    pub verbosity: Verbosity,
    /// Whether stderr gets colours.
    pub color: bool,
    /// Columns of the terminal; `None` asks it at each drawing.
    pub width: Option<u16>,
}

/// Shows events as they come.
pub struct Reporter {
    options: ReporterOptions,
    state: State,
    bars: Option<Bars>,
    lines: Lines,
    pace: json::Pace,
    out: Out,
    err: Stderr,
    closed: Option<Closed>,
}

impl Reporter {
    /// A reporter on the standard streams of this process.
    pub fn new(options: ReporterOptions) -> Self {
        let shows_bars =
            options.progress == ProgressMode::Bar && options.verbosity != Verbosity::Quiet;
        let bars = shows_bars.then(|| Bars::new(options.width));
        Self {
            bars,
            ..Self::with_streams(options, Out::stdout(), Stderr::default())
        }
    }

    /// A reporter on other streams, without bars.
    pub fn with_streams(options: ReporterOptions, out: Out, err: Stderr) -> Self {
        Self {
            lines: Lines::new(options.progress, options.verbosity, options.color),
            state: State::default(),
            bars: None,
            pace: json::Pace::default(),
            closed: None,
            options,
            out,
            err,
        }
    }

    /// Takes in what the record says of a download that no event has told of yet.
    pub fn recall(&mut self, id: DownloadId, recorded: Recorded) {
        self.state.recall(id, recorded);
    }

    /// Shows one event. `Break` once stdout takes nothing more; [`closed`](Self::closed) says why.
    pub fn event(&mut self, event: &Event, now: Instant) -> ControlFlow<()> {
        self.state.fold(event, now);
        let download = self.state.download(event.id);
        let text = self.lines.event(event, download, now);
        let json = self.wants_json(event, now);
        if let Some(text) = text {
            self.tell(&text);
        }
        if let Some(json) = json {
            if self.options.results == Results::Events {
                self.print(|out| out.line(&json));
            }
            if self.options.progress == ProgressMode::Json
                && self.options.verbosity != Verbosity::Quiet
            {
                self.tell(&json);
            }
        }
        self.state.forget_ended(event.id);
        self.draw(now);
        self.flow()
    }

    /// Lets time pass: rates sink, waits run down. To be called a few times a second.
    pub fn tick(&mut self, now: Instant) {
        let lines: Vec<String> = self
            .state
            .downloads()
            .filter_map(|download| self.lines.progress(download, now))
            .collect();
        for line in lines {
            self.tell(&line);
        }
        self.draw(now);
    }

    /// Tells of a download that went into the queue: its id on stdout, or the `queued` event.
    pub fn queued(&mut self, id: DownloadId, source: &str) -> ControlFlow<()> {
        let line = match self.options.results {
            Results::Events => json::queued(id, source),
            Results::Paths => id.to_string(),
            Results::Document => return self.flow(),
        };
        self.print(|out| out.line(&line));
        self.flow()
    }

    /// Tells what would be done with a source: the `planned` event, or words on stderr.
    pub fn planned(&mut self, plan: &PlanView) -> ControlFlow<()> {
        if self.options.results == Results::Events {
            let json = json::planned(plan);
            self.print(|out| out.line(&json));
        } else {
            for line in text::plan(plan).lines() {
                self.tell(line);
            }
        }
        self.flow()
    }

    /// Prints a final path on stdout, unless that gets JSON.
    pub fn path(&mut self, path: &Path) -> ControlFlow<()> {
        if self.options.results == Results::Paths {
            self.print(|out| out.path(path));
        }
        self.flow()
    }

    /// Tells a person something on stderr, unless silence is asked for.
    pub fn notice(&mut self, message: &str) {
        if self.options.verbosity != Verbosity::Quiet {
            self.tell(&messages::notice(message, self.options.color));
        }
    }

    /// Takes up work on a file or tree that is no download: its progress is shown from then on.
    pub fn take_up(&mut self, path: &Path, size: Option<u64>, now: Instant) {
        let what = What::Resolved {
            cid: None,
            path: Some(path.to_path_buf()),
            size,
        };
        // Nobody is told of it in words.
        self.state.fold(&Event { id: None, what }, now);
    }

    /// Tells a person several lines on stderr, unless silence is asked for.
    pub fn words(&mut self, text: &str) {
        if self.options.verbosity != Verbosity::Quiet {
            text.lines().for_each(|line| self.tell(line));
        }
    }

    /// Takes the bars away. What comes later brings them back.
    pub fn finish(&mut self) {
        if let Some(bars) = &mut self.bars {
            bars.clear();
        }
    }

    /// The last event of all, where events are printed.
    pub fn done(&mut self, exit: ExitKind, finished: u64, failed: u64) {
        self.finish();
        let json = json::done(exit.code(), finished, failed);
        if self.options.results == Results::Events {
            self.print(|out| out.line(&json));
        }
        if self.options.progress == ProgressMode::Json && self.options.verbosity != Verbosity::Quiet
        {
            self.tell(&json);
        }
    }

    /// Why stdout takes nothing more, if so.
    pub fn closed(&self) -> Option<&Closed> {
        self.closed.as_ref()
    }

    /// What the events said so far, of downloads that have not ended.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The event as JSON, if anybody gets it.
    fn wants_json(&mut self, event: &Event, now: Instant) -> Option<String> {
        let is_printed = self.options.results == Results::Events;
        if !is_printed && self.options.progress != ProgressMode::Json {
            return None;
        }
        let download = self.state.download(event.id);
        let due = self.pace.is_due(event, download, now);
        due.then(|| json::event(event, download, now)).flatten()
    }

    fn tell(&mut self, text: &str) {
        let err = &mut self.err;
        match &self.bars {
            Some(bars) => bars.aside(|| err.line(text)),
            None => err.line(text),
        }
    }

    /// Writes to stdout, until that fails for the first time.
    fn print(&mut self, write: impl FnOnce(&mut Out) -> Result<(), Closed>) {
        if self.closed.is_some() {
            return;
        }
        let out = &mut self.out;
        let written = match &self.bars {
            Some(bars) => bars.aside(|| write(out)),
            None => write(out),
        };
        self.closed = written.err();
    }

    fn draw(&mut self, now: Instant) {
        if let Some(bars) = &mut self.bars {
            bars.draw(&self.state, now);
        }
    }

    fn flow(&self) -> ControlFlow<()> {
        if self.closed.is_some() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::download::Failure;
    use crate::event::What;
    use std::cell::RefCell;
    use std::io::{self, Write};
    use std::rc::Rc;

    #[derive(Clone, Default)]
    struct Sink(Rc<RefCell<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Sink {
        fn text(&self) -> String {
            String::from_utf8_lossy(&self.0.borrow()).into_owned()
        }
    }

    struct Gone;

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn options(progress: ProgressMode, results: Results) -> ReporterOptions {
        let verbosity = Verbosity::Normal;
        ReporterOptions {
            progress,
            results,
            verbosity,
            color: false,
            width: None,
        }
    }

    fn events() -> Vec<Event> {
        let failure = Failure {
            kind: ExitKind::NotFound,
            message: "nobody has it".to_owned(),
            hint: None,
        };
        let source = || "bafy".to_owned();
        [
            What::Started {
                source: source(),
                resumed_from: 0,
            },
            What::Failed {
                source: source(),
                failure,
                resumable: false,
            },
        ]
        .map(|what| Event {
            id: DownloadId::new(3),
            what,
        })
        .into()
    }

    fn run(options: ReporterOptions) -> (String, String) {
        let (out, err) = (Sink::default(), Sink::default());
        let mut reporter =
            Reporter::with_streams(options, Out::to(out.clone()), Stderr::to(err.clone()));
        for event in events() {
            assert!(reporter.event(&event, Instant::now()).is_continue());
        }
        assert!(reporter.path(Path::new("/data/a b")).is_continue());
        reporter.done(ExitKind::NotFound, 0, 1);
        (out.text(), err.text())
    }

    #[test]
    fn data_and_words_have_a_stream_each() {
        let (out, err) = run(options(ProgressMode::Plain, Results::Paths));
        assert_eq!(out, "/data/a b\n");
        assert_eq!(err, "[3] fetching bafy\nerror: bafy: nobody has it\n");

        let (out, err) = run(options(ProgressMode::None, Results::Events));
        assert_eq!(out.lines().count(), 3);
        assert!(
            out.lines()
                .all(|line| line.starts_with(r#"{"v":1,"type":""#))
        );
        assert_eq!(err, "error: bafy: nobody has it\n");

        let (out, err) = run(options(ProgressMode::None, Results::Document));
        assert_eq!(out, "");
        assert_eq!(err, "error: bafy: nobody has it\n");

        let (out, err) = run(options(ProgressMode::Json, Results::Paths));
        assert_eq!(out, "/data/a b\n");
        assert_eq!(err.lines().filter(|line| line.starts_with('{')).count(), 3);
    }

    #[cfg(unix)]
    #[test]
    fn a_path_is_printed_byte_for_byte() {
        use std::os::unix::ffi::OsStrExt;
        let out = Sink::default();
        let options = options(ProgressMode::None, Results::Paths);
        let mut reporter =
            Reporter::with_streams(options, Out::to(out.clone()), Stderr::to(Sink::default()));
        let path = Path::new(std::ffi::OsStr::from_bytes(b"/data/\xff"));
        assert!(reporter.path(path).is_continue());
        assert_eq!(*out.0.borrow(), b"/data/\xff\n");
    }

    #[test]
    fn a_reader_that_went_away_breaks() {
        let options = options(ProgressMode::None, Results::Events);
        let mut reporter =
            Reporter::with_streams(options, Out::to(Gone), Stderr::to(Sink::default()));
        assert!(reporter.event(&events()[0], Instant::now()).is_break());
        assert!(reporter.closed().is_some_and(Closed::is_reader_gone));
    }
}
