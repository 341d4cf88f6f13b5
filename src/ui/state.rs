//! What the events said so far: a pure fold, drawn by the other files of this module.
//!
//! No clock and no output: the time comes in as an argument. Holds only downloads that have not
//! ended, so it does not grow with the length of a queue.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::download::{DownloadId, Status};
use crate::event::{Event, What};

/// Every download that has begun and not ended.
#[derive(Debug, Default)]
pub struct State {
    downloads: BTreeMap<Option<DownloadId>, Download>,
    /// What the records say of those that no event has told of yet.
    recorded: BTreeMap<DownloadId, Recorded>,
}

/// How far a download is, as its record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Final path; `None` for standard output.
    pub path: Option<PathBuf>,
    /// Proved bytes that are here.
    pub bytes: u64,
    /// Size in bytes, once known.
    pub total: Option<u64>,
}

/// One download, as far as its events tell.
#[derive(Debug, Clone, PartialEq)]
pub struct Download {
    /// `None` before its record exists.
    pub id: Option<DownloadId>,
    /// As the user typed it.
    pub source: String,
    /// Final path, once known.
    pub path: Option<PathBuf>,
    /// Bytes that are here.
    pub bytes: u64,
    /// Whether each of them is proved.
    pub is_proved: bool,
    /// Size in bytes, once known.
    pub total: Option<u64>,
    /// Files done and files known, of a directory.
    pub files: Option<(u64, u64)>,
    /// Whether it is known what it is and where it goes.
    pub is_resolved: bool,
    /// Proved bytes that were there before this run.
    pub resumed_from: u64,
    /// Who was asked last: base URL or path.
    pub provider: Option<String>,
    /// A provider that has to be waited for, and until when, while no byte comes in.
    pub waiting: Option<Waiting>,
    /// Where it stands.
    pub status: Status,
    /// When its first event came.
    pub started: Instant,
    rate: Rate,
}

/// A wait that the engine announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// For whom: base URL or path.
    pub url: String,
    /// Until when.
    pub until: Instant,
}

impl State {
    /// Takes in one event.
    pub fn fold(&mut self, event: &Event, now: Instant) {
        if event.id.is_some() && matches!(event.what, What::Started { .. }) {
            // What had no record yet has one now.
            self.downloads.remove(&None);
        }
        if self.downloads.contains_key(&event.id) || begins(event) {
            let recorded = event.id.and_then(|id| self.recorded.remove(&id));
            self.downloads
                .entry(event.id)
                .or_insert_with(|| Download::recorded(event.id, recorded, now))
                .fold(&event.what, now);
        }
    }

    /// Takes in what the record says of a download: one that ends before it has begun is as far as
    /// it was.
    pub fn recall(&mut self, id: DownloadId, recorded: Recorded) {
        if !self.downloads.contains_key(&Some(id)) {
            self.recorded.insert(id, recorded);
        }
    }

    /// Forgets the download if it has ended.
    pub fn forget_ended(&mut self, id: Option<DownloadId>) {
        if self.download(id).is_some_and(Download::has_ended) {
            self.downloads.remove(&id);
        }
    }

    /// The download with this id.
    pub fn download(&self, id: Option<DownloadId>) -> Option<&Download> {
        self.downloads.get(&id)
    }

    /// Those that have not been forgotten, by id.
    pub fn downloads(&self) -> impl Iterator<Item = &Download> {
        self.downloads.values()
    }
}

impl Download {
    /// One of which nothing is known yet.
    pub fn new(id: Option<DownloadId>, now: Instant) -> Self {
        Self {
            id,
            source: String::new(),
            path: None,
            bytes: 0,
            total: None,
            files: None,
            is_proved: true,
            is_resolved: false,
            resumed_from: 0,
            provider: None,
            waiting: None,
            status: Status::Pending,
            started: now,
            rate: Rate::new(now),
        }
    }

    /// One of which its record tells, if anything does.
    fn recorded(id: Option<DownloadId>, recorded: Option<Recorded>, now: Instant) -> Self {
        let new = Self::new(id, now);
        let Some(Recorded { path, bytes, total }) = recorded else {
            return new;
        };
        Self {
            path,
            bytes,
            total,
            is_resolved: total.is_some(),
            ..new
        }
    }

    /// Whether its bytes go to standard output as they are proved, and are kept nowhere; `false` until
    /// that is known. What proves itself only at its end is kept on disk until then.
    pub fn is_streamed(&self) -> bool {
        self.is_resolved && self.path.is_none() && self.is_proved
    }

    /// Takes in what happened to it.
    pub fn fold(&mut self, what: &What, now: Instant) {
        match what {
            What::Started {
                source,
                resumed_from,
            } => {
                *self = Self::new(self.id, now);
                self.source.clone_from(source);
                self.resumed_from = *resumed_from;
                self.bytes = *resumed_from;
                self.status = Status::InProgress;
            }
            What::Resolved { path, size, .. } => {
                self.path.clone_from(path);
                self.is_resolved = true;
                self.total = *size;
            }
            What::Provider { url } => self.provider = Some(url.clone()),
            What::Progress {
                bytes,
                total,
                files,
                is_proved,
            } => {
                self.files = *files;
                self.is_proved = *is_proved;
                self.progress(*bytes, *total, now);
            }
            What::Trouble { url, wait, .. } => {
                let until = wait.and_then(|wait| now.checked_add(wait));
                self.waiting = until.map(|until| Waiting {
                    url: url.clone(),
                    until,
                });
            }
            What::Checkpoint { bytes, .. } => self.progress(*bytes.max(&self.bytes), None, now),
            What::Verifying => self.status = Status::Verifying,
            What::Installed { path } => {
                self.status = Status::Installing;
                self.path = Some(path.clone());
            }
            What::Finished {
                source, receipt, ..
            } => {
                self.end(source, Status::Success);
                self.path = Some(receipt.path.clone());
                self.bytes = receipt.size;
                self.total = Some(receipt.size);
            }
            What::Failed {
                source,
                resumable: true,
                ..
            } => self.end(source, Status::Paused),
            What::Failed {
                source,
                resumable: false,
                ..
            } => self.end(source, Status::Failed),
            What::Paused { source } => self.end(source, Status::Paused),
            What::Cancelled { source } => self.end(source, Status::Cancelled),
            What::Rejected { .. }
            | What::Notice { .. }
            | What::Request { .. }
            | What::Takeover { .. }
            | What::Supplied { .. } => {}
        }
    }

    /// Whether no further event is to come.
    pub fn has_ended(&self) -> bool {
        !self.status.is_active() && self.status != Status::Pending
    }

    /// Proved part in whole percent; 100 only when all of it is. `None` while the size is unknown.
    pub fn percent(&self) -> Option<u64> {
        self.total
            .map(|total| crate::ui::human::percent(self.bytes, total))
    }

    /// Proved bytes per second over the last few seconds; `None` while it is too early to say.
    pub fn rate(&self, now: Instant) -> Option<f64> {
        self.rate.per_second(now)
    }

    /// Time until the last byte at the present rate; `None` while that is unknown or beyond a year.
    pub fn eta(&self, now: Instant) -> Option<Duration> {
        const LONGEST: f64 = 366.0 * 86_400.0;
        let left = self.total?.saturating_sub(self.bytes) as f64;
        let seconds = left / self.rate(now)?;
        (seconds <= LONGEST).then(|| Duration::from_secs_f64(seconds))
    }

    /// What is being waited for at this moment, and how long still.
    pub fn wait(&self, now: Instant) -> Option<(&str, Duration)> {
        let waiting = self.waiting.as_ref()?;
        let left = waiting.until.saturating_duration_since(now);
        (!left.is_zero()).then_some((waiting.url.as_str(), left))
    }

    fn progress(&mut self, bytes: u64, total: Option<u64>, now: Instant) {
        let new = bytes.saturating_sub(self.bytes);
        if new > 0 {
            self.waiting = None;
        }
        self.rate.add(new, now);
        // May shrink: without proof of the parts, a bad file starts over.
        self.bytes = bytes;
        self.total = total.or(self.total);
    }

    fn end(&mut self, source: &str, status: Status) {
        source.clone_into(&mut self.source);
        self.status = status;
        self.waiting = None;
    }
}

/// Whether a download that is not known may begin with this event. A late tick of one that has
/// ended must not bring it back.
fn begins(event: &Event) -> bool {
    match event.what {
        What::Started { .. }
        | What::Finished { .. }
        | What::Failed { .. }
        | What::Paused { .. }
        | What::Cancelled { .. } => true,
        What::Notice { .. } => false,
        _ => event.id.is_none(),
    }
}

/// A moving average of bytes per second: each byte weighs less the longer ago it came, with the
/// factor `exp(-age / WINDOW)`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Rate {
    since: Instant,
    last: Instant,
    /// Weighted bytes per second as of `last`.
    value: f64,
}

impl Rate {
    const WINDOW: Duration = Duration::from_secs(4);
    /// Before this much time no rate is worth showing.
    const SETTLED: Duration = Duration::from_millis(250);

    fn new(now: Instant) -> Self {
        Self {
            since: now,
            last: now,
            value: 0.0,
        }
    }

    fn add(&mut self, bytes: u64, now: Instant) {
        self.value = self.value_at(now) + bytes as f64 / Self::WINDOW.as_secs_f64();
        self.last = self.last.max(now);
    }

    fn per_second(&self, now: Instant) -> Option<f64> {
        let age = now.saturating_duration_since(self.since);
        // Young averages lack weight: divided by the weight that they can have.
        (age >= Self::SETTLED).then(|| self.value_at(now) / (1.0 - decay(age)))
    }

    fn value_at(&self, now: Instant) -> f64 {
        self.value * decay(now.saturating_duration_since(self.last))
    }
}

fn decay(age: Duration) -> f64 {
    (-age.as_secs_f64() / Rate::WINDOW.as_secs_f64()).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: i64, what: What) -> Event {
        Event {
            id: DownloadId::new(id),
            what,
        }
    }

    fn progress(bytes: u64) -> What {
        What::Progress {
            bytes,
            total: Some(1000),
            files: None,
            is_proved: true,
        }
    }

    fn started(resumed_from: u64) -> What {
        What::Started {
            source: "bafy".to_owned(),
            resumed_from,
        }
    }

    fn after(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    #[test]
    fn what_ends_before_it_begins_is_as_far_as_its_record_says() {
        let now = Instant::now();
        let id = DownloadId::new(1).expect("positive");
        let mut state = State::default();
        let recorded = Recorded {
            path: Some("/data/x".into()),
            bytes: 300,
            total: Some(1000),
        };
        let far = |state: &State| state.download(Some(id)).map(|it| (it.bytes, it.percent()));
        state.recall(id, recorded.clone());
        assert_eq!(far(&state), None, "nothing is shown of it");
        let source = "bafy".to_owned();
        state.fold(&event(1, What::Paused { source }), now);
        assert_eq!(far(&state), Some((300, Some(30))));
        state.forget_ended(Some(id));
        state.recall(id, recorded);
        state.fold(&event(1, started(0)), now);
        assert_eq!(far(&state), Some((0, None)), "the engine knows better");
    }

    #[test]
    fn a_steady_stream_has_its_rate_from_the_start() {
        let start = Instant::now();
        let mut download = Download::new(None, start);
        download.fold(&started(200), start);
        assert_eq!(download.rate(after(start, 100)), None);
        for step in 1..=40 {
            download.fold(&progress(200 + step * 10), after(start, step * 100));
            if let Some(rate) = download.rate(after(start, step * 100)) {
                assert!((95.0..125.0).contains(&rate), "{rate} after {step} steps");
            }
        }
        let now = after(start, 4000);
        let eta = download.eta(now).unwrap();
        assert!((3.5..4.2).contains(&eta.as_secs_f64()), "{eta:?}");
        assert_eq!(download.percent(), Some(60));
    }

    #[test]
    fn a_stall_lets_the_rate_sink_and_hides_the_eta() {
        let start = Instant::now();
        let mut download = Download::new(None, start);
        download.fold(&started(0), start);
        download.fold(&progress(500), after(start, 1000));
        assert!(download.rate(after(start, 30_000)).unwrap() < 1.0);
        assert_eq!(download.eta(after(start, 3_600_000)), None);
        // A clock that seems to go backwards harms nothing.
        download.fold(&progress(600), start);
        assert!(download.rate(after(start, 2000)).unwrap().is_finite());
    }

    #[test]
    fn a_wait_ends_with_the_next_byte() {
        let start = Instant::now();
        let mut download = Download::new(None, start);
        let trouble = |wait| What::Trouble {
            url: "http://a".to_owned(),
            message: "429".to_owned(),
            wait,
        };
        download.fold(&trouble(Some(Duration::from_secs(5))), start);
        assert_eq!(
            download.wait(after(start, 2000)),
            Some(("http://a", Duration::from_secs(3)))
        );
        assert_eq!(download.wait(after(start, 5000)), None);
        download.fold(&progress(1), after(start, 1000));
        assert_eq!(download.wait(after(start, 2000)), None);
        // No time is too long.
        download.fold(&trouble(Some(Duration::MAX)), start);
        assert_eq!(download.wait(start), None);
    }

    #[test]
    fn what_has_ended_is_forgotten() {
        let now = Instant::now();
        let mut state = State::default();
        state.fold(
            &Event {
                id: None,
                what: What::Provider {
                    url: "http://a".to_owned(),
                },
            },
            now,
        );
        state.fold(&event(1, started(0)), now);
        state.fold(&event(2, started(0)), now);
        state.fold(&event(1, What::Verifying), now);
        state.forget_ended(DownloadId::new(1));
        let statuses = |state: &State| -> Vec<(Option<i64>, Status)> {
            state
                .downloads()
                .map(|d| (d.id.map(DownloadId::get), d.status))
                .collect()
        };
        assert_eq!(
            statuses(&state),
            [(Some(1), Status::Verifying), (Some(2), Status::InProgress)]
        );
        state.fold(
            &event(
                1,
                What::Paused {
                    source: "bafy".to_owned(),
                },
            ),
            now,
        );
        assert_eq!(
            state.download(DownloadId::new(1)).unwrap().status,
            Status::Paused
        );
        state.forget_ended(DownloadId::new(1));
        state.fold(&event(1, progress(7)), now);
        assert_eq!(statuses(&state), [(Some(2), Status::InProgress)]);
    }
}
