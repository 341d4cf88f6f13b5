//! Events in words, one line each, on stderr.
//!
//! Which events a person gets to read depends on the verbosity and on whether bars show the rest;
//! errors are always told. The text is pure; only the time of the last progress line is kept.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::download::{DownloadId, ProviderReceipt, Receipt};
use crate::event::{Event, What};
use crate::exit::ExitKind;
use crate::ui::escape;
use crate::ui::human;
use crate::ui::messages;
use crate::ui::state::Download;
use crate::ui::{ProgressMode, Verbosity};

/// Time between two progress lines of one download.
const INTERVAL: Duration = Duration::from_secs(10);

/// The writer of lines.
pub struct Lines {
    mode: ProgressMode,
    verbosity: Verbosity,
    color: bool,
    told: BTreeMap<Option<DownloadId>, Instant>,
}

/// How much a person has to want to know to be told of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Interest {
    /// In any case.
    Always,
    /// Unless silence is asked for.
    Normal,
    /// Where plain lines stand for progress, and in the story.
    Progress,
    /// In the story only.
    Story,
}

impl Lines {
    /// A writer that tells as much as the options ask for.
    pub fn new(mode: ProgressMode, verbosity: Verbosity, color: bool) -> Self {
        Self {
            mode,
            verbosity,
            color,
            told: BTreeMap::new(),
        }
    }

    /// What to write about the event; `download` has taken it in already.
    pub fn event(
        &mut self,
        event: &Event,
        download: Option<&Download>,
        now: Instant,
    ) -> Option<String> {
        if let What::Progress { .. } = event.what {
            return self.progress(download?, now);
        }
        if download.is_none_or(Download::has_ended) {
            self.told.remove(&event.id);
        } else {
            self.told.entry(event.id).or_insert(now);
        }
        if !self.is_told(interest(&event.what)) {
            return None;
        }
        let text = self.text(&event.what, download);
        Some(match (&event.what, event.id) {
            // These have a layout of their own and name the source.
            (What::Failed { .. } | What::Notice { .. } | What::Paused { .. }, _) | (_, None) => {
                text
            }
            (_, Some(id)) => format!("[{id}] {text}"),
        })
    }

    /// A progress line, if it is time for one.
    pub fn progress(&mut self, download: &Download, now: Instant) -> Option<String> {
        if self.mode != ProgressMode::Plain
            || self.verbosity == Verbosity::Quiet
            || download.has_ended()
        {
            return None;
        }
        let told = self.told.entry(download.id).or_insert(now);
        if now.saturating_duration_since(*told) < INTERVAL {
            return None;
        }
        *told = now;
        let text = progress(download, now);
        Some(
            download
                .id
                .map_or_else(|| text.clone(), |id| format!("[{id}] {text}")),
        )
    }

    fn is_told(&self, interest: Interest) -> bool {
        let most = match (self.verbosity, self.mode) {
            (Verbosity::Quiet, _) => Interest::Always,
            (Verbosity::Story, _) => Interest::Story,
            (Verbosity::Normal, ProgressMode::Plain) => Interest::Progress,
            (Verbosity::Normal, _) => Interest::Normal,
        };
        interest <= most
    }

    fn text(&self, what: &What, download: Option<&Download>) -> String {
        match what {
            What::Failed {
                source,
                failure,
                resumable,
            } => messages::failed(source, failure, *resumable, download, self.color),
            What::Notice { message } => messages::notice(message, self.color),
            What::Paused { source } => match download.and_then(|d| Some((d, d.id?))) {
                Some((download, id)) => messages::paused(download, id),
                None => format!("paused: {}", escape::text(source)),
            },
            other => words(other),
        }
    }
}

fn interest(what: &What) -> Interest {
    match what {
        // A reader that goes away has heard enough.
        What::Failed { failure, .. } if failure.kind == ExitKind::Closed => Interest::Story,
        What::Failed { .. } => Interest::Always,
        What::Notice { .. } | What::Paused { .. } | What::Cancelled { .. } => Interest::Normal,
        What::Started { .. }
        | What::Resolved { .. }
        | What::Progress { .. }
        | What::Finished { .. } => Interest::Progress,
        What::Provider { .. }
        | What::Request { .. }
        | What::Takeover { .. }
        | What::Supplied { .. }
        | What::Trouble { .. }
        | What::Rejected { .. }
        | What::Checkpoint { .. }
        | What::Verifying
        | What::Installed { .. } => Interest::Story,
    }
}

/// The event as a fragment; empty for those that need to know more than the event says.
fn words(what: &What) -> String {
    match what {
        What::Started {
            source,
            resumed_from: 0,
        } => format!("fetching {}", escape::text(source)),
        What::Started {
            source,
            resumed_from,
        } => {
            format!(
                "resuming {}: {} are here",
                escape::text(source),
                human::size(*resumed_from)
            )
        }
        What::Resolved { cid, path, size } => {
            let path = path
                .as_ref()
                .map_or("standard output".into(), |path| path.to_string_lossy());
            let name = cid.as_deref().unwrap_or("the file");
            let (cid, path) = (escape::text(name), escape::text(&path));
            match size {
                Some(size) => format!("{} of {cid} to {path}", human::size(*size)),
                None => format!("the directory {cid} to {path}"),
            }
        }
        What::Provider { url } => format!("asking {}", escape::text(url)),
        What::Request {
            url,
            form,
            rung,
            offset,
            bytes,
        } => {
            let what = match (bytes, offset) {
                (Some(bytes), Some(offset)) => {
                    format!("{} from {} on", human::size(*bytes), human::size(*offset))
                }
                (Some(bytes), None) => human::size(*bytes),
                (None, _) => "what there is".to_owned(),
            };
            let (url, rung) = (escape::text(url), rung.name());
            format!("{url} is asked for {what}, as {form}, proved by {rung}")
        }
        What::Takeover { url, from, bytes } => {
            let (url, from) = (escape::text(url), escape::text(from));
            format!(
                "{url} takes over {} from {from}, which is slower",
                human::size(*bytes)
            )
        }
        What::Supplied { sent, rate } => supplied(sent, *rate),
        What::Trouble { url, message, wait } => {
            let then = wait.map_or("going on elsewhere".to_owned(), |wait| {
                format!("asking again in {}", human::duration(wait))
            });
            format!("{} {}; {then}", escape::text(url), escape::text(message))
        }
        What::Rejected { url, cid, offset } => {
            let at = offset
                .map(|offset| format!(" at offset {offset}"))
                .unwrap_or_default();
            format!(
                "rejected bytes from {}: not {}{at}",
                escape::text(url),
                escape::text(cid)
            )
        }
        // A file that proves itself only at its end has nothing proved before.
        What::Checkpoint { trigger, bytes: 0 } => format!("checkpoint ({})", trigger.name()),
        What::Checkpoint { trigger, bytes } => {
            format!(
                "checkpoint ({}): {} are safe",
                trigger.name(),
                human::size(*bytes)
            )
        }
        What::Verifying => "checking the whole file".to_owned(),
        What::Installed { path } => format!("in place: {}", escape::text(&path.to_string_lossy())),
        What::Finished {
            receipt,
            was_there: true,
            ..
        } => there(receipt),
        What::Finished { receipt, .. } => finished(receipt),
        What::Cancelled { source } => format!("cancelled: {}", escape::text(source)),
        What::Progress { .. } | What::Failed { .. } | What::Notice { .. } | What::Paused { .. } => {
            String::new()
        }
    }
}

fn progress(download: &Download, now: Instant) -> String {
    let amount = messages::amount_with_files(download);
    let mut text = match download.percent() {
        Some(percent) => format!("{percent}% ({amount})"),
        None => amount,
    };
    if let Some((url, left)) = download.wait(now) {
        text.push_str(&format!(
            ", waiting {} for {}",
            human::duration(left),
            escape::text(url)
        ));
        return text;
    }
    if let Some(rate) = download.rate(now) {
        text.push_str(&format!(", {}", human::rate(rate)));
    }
    if let Some(eta) = download.eta(now) {
        text.push_str(&format!(", {} left", human::duration(eta)));
    }
    text
}

fn there(receipt: &Receipt) -> String {
    format!(
        "already there: {}, {}, proof: {}",
        escape::text(&receipt.path.to_string_lossy()),
        human::size(receipt.size),
        proof(receipt)
    )
}

/// The rung, or what stands for it: all checksums have one rung.
fn proof(receipt: &Receipt) -> &str {
    let checksum = receipt.checksum.as_deref();
    checksum.unwrap_or(receipt.proof.name())
}

/// What a provider did; what it did not do is left out.
fn supplied(sent: &ProviderReceipt, rate: Option<f64>) -> String {
    let mut text = format!(
        "{} sent {} in {}",
        escape::text(&sent.url),
        human::size(sent.bytes),
        count(sent.requests, "request")
    );
    if let Some(rate) = rate {
        text.push_str(&format!(" at {}", human::rate(rate)));
    }
    let rungs: Vec<&str> = sent.rungs.iter().map(|rung| rung.name()).collect();
    if !rungs.is_empty() {
        text.push_str(&format!(", proved by {}", rungs.join(" and ")));
    }
    if sent.wasted > 0 {
        text.push_str(&format!(", {} thrown away", human::size(sent.wasted)));
    }
    for (number, word) in [(sent.errors, "error"), (sent.rejected, "rejection")] {
        if number > 0 {
            text.push_str(&format!(", {}", count(number, word)));
        }
    }
    text
}

fn count(number: u64, word: &str) -> String {
    match number {
        1 => format!("1 {word}"),
        _ => format!("{number} {word}s"),
    }
}

fn finished(receipt: &Receipt) -> String {
    let elapsed = Duration::try_from_secs_f64(receipt.elapsed).unwrap_or_default();
    let mut text = format!(
        "finished: {} in {}, proof: {}",
        human::size(receipt.size),
        human::duration(elapsed),
        proof(receipt)
    );
    let senders = receipt
        .providers
        .iter()
        .filter(|provider| provider.bytes > 0)
        .count();
    match senders {
        0 => {}
        1 => text.push_str(", from 1 provider"),
        _ => text.push_str(&format!(", from {senders} providers")),
    }
    if receipt.bytes_wasted > 0 {
        text.push_str(&format!(
            ", {} thrown away",
            human::size(receipt.bytes_wasted)
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::download::{Failure, Proof, Trigger};
    use crate::exit::ExitKind;
    use crate::ui::state::State;

    fn receipt() -> Receipt {
        let provider = |bytes| ProviderReceipt {
            url: "http://a".to_owned(),
            bytes,
            ..Default::default()
        };
        Receipt {
            path: "/data/model.bin".into(),
            cid: Some("bafy".to_owned()),
            size: 1 << 30,
            sha256: None,
            proof: Proof::Leaves,
            checksum: None,
            bytes_fetched: (1 << 30) + (3 << 20),
            bytes_wasted: 3 << 20,
            resumed_from: 0,
            elapsed: 192.4,
            providers: vec![provider(5), provider(0), provider(7)],
        }
    }

    /// A life with everything in it: seconds from the start, and what happened.
    fn life() -> Vec<(u64, What)> {
        let source = || "ipfs://bafy".to_owned();
        let url = || "http://a".to_owned();
        let trouble = |wait| What::Trouble {
            url: url(),
            message: "answered 429\n".to_owned(),
            wait,
        };
        let progress = |mib: u64| What::Progress {
            bytes: mib << 20,
            total: None,
            files: None,
            is_proved: true,
        };
        let failure = Failure {
            kind: ExitKind::Retry,
            message: "nobody answered".to_owned(),
            hint: None,
        };
        vec![
            (
                0,
                What::Started {
                    source: source(),
                    resumed_from: 100 << 20,
                },
            ),
            (
                0,
                What::Notice {
                    message: "ipfs.example retires on Friday".to_owned(),
                },
            ),
            (
                0,
                What::Resolved {
                    cid: Some("bafy".to_owned()),
                    path: Some("/data/model.bin".into()),
                    size: Some(1 << 30),
                },
            ),
            (0, What::Provider { url: url() }),
            (
                0,
                What::Request {
                    url: url(),
                    form: "range",
                    rung: Proof::Leaves,
                    offset: Some(1 << 20),
                    bytes: Some(16 << 20),
                },
            ),
            (
                1,
                What::Takeover {
                    url: "http://b".to_owned(),
                    from: url(),
                    bytes: 3 << 20,
                },
            ),
            (1, progress(110)),
            (10, progress(200)),
            (11, progress(210)),
            (
                12,
                What::Rejected {
                    url: url(),
                    cid: "bafk".to_owned(),
                    offset: Some(262_144),
                },
            ),
            (13, trouble(None)),
            (14, trouble(Some(Duration::from_secs(90)))),
            (
                14,
                What::Checkpoint {
                    trigger: Trigger::Periodic,
                    bytes: 210 << 20,
                },
            ),
            (20, progress(210)),
            (21, What::Paused { source: source() }),
            (
                21,
                What::Started {
                    source: source(),
                    resumed_from: 0,
                },
            ),
            (22, What::Verifying),
            (
                22,
                What::Installed {
                    path: "/data/model.bin".into(),
                },
            ),
            (
                22,
                What::Supplied {
                    sent: Box::new(ProviderReceipt {
                        url: url(),
                        bytes: 1 << 30,
                        wasted: 1 << 20,
                        requests: 40,
                        errors: 1,
                        rejected: 2,
                        rungs: vec![Proof::Blocks, Proof::Leaves],
                    }),
                    rate: Some(12_345_678.0),
                },
            ),
            (
                22,
                What::Finished {
                    source: source(),
                    receipt: Box::new(receipt()),
                    was_there: false,
                },
            ),
            (23, What::Cancelled { source: source() }),
            (
                24,
                What::Failed {
                    source: source(),
                    failure,
                    resumable: true,
                },
            ),
        ]
    }

    fn told(mode: ProgressMode, verbosity: Verbosity) -> String {
        let start = Instant::now();
        let mut lines = Lines::new(mode, verbosity, false);
        let mut state = State::default();
        let mut told = Vec::new();
        for (seconds, what) in life() {
            let now = start + Duration::from_secs(seconds);
            let event = Event {
                id: DownloadId::new(3),
                what,
            };
            state.fold(&event, now);
            told.extend(lines.event(&event, state.download(event.id), now));
            state.forget_ended(event.id);
        }
        told.join("\n")
    }

    #[test]
    fn plain_lines_tell_beginning_progress_and_end() {
        insta::assert_snapshot!(told(ProgressMode::Plain, Verbosity::Normal), @r"
        [3] resuming ipfs://bafy: 100 MiB are here
        note: ipfs.example retires on Friday
        [3] 1 GiB of bafy to /data/model.bin
        [3] 19% (200 MiB of 1 GiB), 24.7 MiB/s, 33s left
        [3] 20% (210 MiB of 1 GiB), waiting 1m24s for http://a
        paused at 20% (210 MiB of 1 GiB proved and kept)
        resume with: fetchd resume 3
        [3] fetching ipfs://bafy
        [3] finished: 1 GiB in 3m12s, proof: leaves, from 2 providers, 3 MiB thrown away
        [3] cancelled: ipfs://bafy
        error: ipfs://bafy: nobody answered
        hint: go on with: fetchd resume 3
        ");
    }

    #[test]
    fn the_story_tells_everything_but_progress_that_bars_show() {
        insta::assert_snapshot!(told(ProgressMode::Bar, Verbosity::Story), @r"
        [3] resuming ipfs://bafy: 100 MiB are here
        note: ipfs.example retires on Friday
        [3] 1 GiB of bafy to /data/model.bin
        [3] asking http://a
        [3] http://a is asked for 16 MiB from 1 MiB on, as range, proved by leaves
        [3] http://b takes over 3 MiB from http://a, which is slower
        [3] rejected bytes from http://a: not bafk at offset 262144
        [3] http://a answered 429\n; going on elsewhere
        [3] http://a answered 429\n; asking again in 1m30s
        [3] checkpoint (periodic): 210 MiB are safe
        paused at 20% (210 MiB of 1 GiB proved and kept)
        resume with: fetchd resume 3
        [3] fetching ipfs://bafy
        [3] checking the whole file
        [3] in place: /data/model.bin
        [3] http://a sent 1 GiB in 40 requests at 11.7 MiB/s, proved by blocks and leaves, 1 MiB thrown away, 1 error, 2 rejections
        [3] finished: 1 GiB in 3m12s, proof: leaves, from 2 providers, 3 MiB thrown away
        [3] cancelled: ipfs://bafy
        error: ipfs://bafy: nobody answered
        hint: go on with: fetchd resume 3
        ");
    }

    #[test]
    fn bars_leave_the_endings_and_silence_only_errors() {
        insta::assert_snapshot!(told(ProgressMode::Bar, Verbosity::Normal), @r"
        note: ipfs.example retires on Friday
        paused at 20% (210 MiB of 1 GiB proved and kept)
        resume with: fetchd resume 3
        [3] cancelled: ipfs://bafy
        error: ipfs://bafy: nobody answered
        hint: go on with: fetchd resume 3
        ");
        insta::assert_snapshot!(told(ProgressMode::Plain, Verbosity::Quiet), @r"
        error: ipfs://bafy: nobody answered
        hint: go on with: fetchd resume 3
        ");
    }
}
