//! Progress bars on a terminal: one line for each download, drawn in place.
//!
//! What a line says is a pure function of state, width and time. Drawing is late (nothing in the
//! first 250 ms), rare (at most ten times a second) and never longer than the terminal is wide.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::download::Status;
use crate::ui::escape;
use crate::ui::fit;
use crate::ui::human;
use crate::ui::messages;
use crate::ui::state::{Download, State};

/// A download that ends sooner shows no bar.
const SILENCE: Duration = Duration::from_millis(250);
/// Time between two drawings.
const INTERVAL: Duration = Duration::from_millis(100);
/// Lines drawn at once; more downloads are counted in a last line.
const MOST_LINES: usize = 8;
/// Columns that a name keeps at least.
const NAME: usize = 12;
/// Columns that name and bar must have together, so that there is a bar.
const BAR: usize = 24;
/// Columns that a provider takes at most.
const PROVIDER: usize = 28;

/// The bars.
pub struct Bars {
    bar: ProgressBar,
    width: Option<usize>,
    drawn: Option<Instant>,
}

impl Bars {
    /// Bars on stderr; `width` in columns, or the terminal's own.
    pub fn new(width: Option<u16>) -> Self {
        // The limit is ours; indicatif's own one would drop the last of several drawings.
        let target = ProgressDrawTarget::stderr_with_hz(30);
        let bar = ProgressBar::with_draw_target(None, target);
        let style = ProgressStyle::with_template("{msg}").expect("the template is well-formed");
        bar.set_style(style);
        Self {
            bar,
            width: width.map(usize::from),
            drawn: None,
        }
    }

    /// Draws the state, if it is time to.
    pub fn draw(&mut self, state: &State, now: Instant) {
        if self
            .drawn
            .is_some_and(|drawn| now.saturating_duration_since(drawn) < INTERVAL)
        {
            return;
        }
        let lines = render(state, self.columns(), now);
        if lines.is_empty() && self.drawn.is_none() {
            return;
        }
        self.drawn = Some(now);
        self.bar.set_message(lines.join("\n"));
    }

    /// Does something else with the terminal, with no bar in the way.
    pub fn aside<T>(&self, act: impl FnOnce() -> T) -> T {
        if self.drawn.is_none() {
            act()
        } else {
            self.bar.suspend(act)
        }
    }

    /// Takes the bars away.
    pub fn clear(&mut self) {
        if self.drawn.take().is_some() {
            self.bar.set_message("");
            self.bar.finish_and_clear();
            self.bar.reset();
        }
    }

    /// One less than there are: some terminals wrap when the last column is written.
    fn columns(&self) -> usize {
        let terminal = || {
            console::Term::stderr()
                .size_checked()
                .map(|(_, columns)| usize::from(columns))
        };
        self.width.or_else(terminal).unwrap_or(80).saturating_sub(1)
    }
}

/// The lines to be drawn, none of them wider than `width` columns.
pub fn render(state: &State, width: usize, now: Instant) -> Vec<String> {
    let shown: Vec<&Download> = state
        .downloads()
        .filter(|download| !download.has_ended())
        .filter(|download| now.saturating_duration_since(download.started) >= SILENCE)
        .collect();
    let more = shown.len().saturating_sub(MOST_LINES);
    let lines = shown
        .iter()
        .take(MOST_LINES)
        .map(|download| render_line(download, width, now));
    let rest = (more > 0).then(|| fit::cut_middle(&format!("and {more} more"), width));
    lines.chain(rest).collect()
}

/// One line of at most `width` columns:
/// `name  45% ━━━━━━━━────────── 470 MiB/1 GiB 12.3 MiB/s 46s host`.
///
/// Where there is no room, the bar goes first, then from the end whatever does not fit; a name
/// loses its middle.
pub fn render_line(download: &Download, width: usize, now: Instant) -> String {
    let mut parts = parts(download, now);
    let fixed = |parts: &[String]| {
        parts
            .iter()
            .map(|part| fit::columns(part) + 1)
            .sum::<usize>()
    };
    while parts.len() > 1 && fixed(&parts) + NAME > width {
        parts.pop();
    }
    let room = width.saturating_sub(fixed(&parts));
    let bar = match download.total {
        Some(total) if room >= BAR => draw_bar(download.bytes, total, (room / 3).min(20)),
        _ => String::new(),
    };
    let taken = if bar.is_empty() {
        0
    } else {
        fit::columns(&bar) + 1
    };
    let mut line = fit::cut_middle(&name(download), room - taken);
    for (index, part) in parts.iter().enumerate() {
        line.push(' ');
        line.push_str(part);
        if index == 0 && !bar.is_empty() {
            line.push(' ');
            line.push_str(&bar);
        }
    }
    fit::cut_middle(&line, width)
}

/// What stands behind the name, the most important first.
fn parts(download: &Download, now: Instant) -> Vec<String> {
    let percent = download
        .percent()
        .map_or("  ?%".to_owned(), |percent| format!("{percent:>3}%"));
    let amount = messages::amount(download).replace(" of ", "/");
    // As wide as it can get, so that the line does not jump.
    let widest = download
        .total
        .map_or(8, |total| human::size(total).len() + 9);
    let mut parts = vec![percent, fit::pad_left(&amount, widest)];
    if let Some((done, known)) = download.files {
        let known = known.to_string();
        let done = fit::pad_left(&done.to_string(), known.len());
        parts.push(format!("{done}/{known} files"));
    }
    match download.status {
        Status::Verifying => parts.push("checking".to_owned()),
        Status::Installing => parts.push("installing".to_owned()),
        _ => parts.extend(speed(download, now)),
    }
    parts
}

fn speed(download: &Download, now: Instant) -> Vec<String> {
    if let Some((url, left)) = download.wait(now) {
        // One more, so that a running wait never reads 0.
        let left = human::duration(Duration::from_secs(left.as_secs() + 1));
        return vec![format!("waiting {left} for {}", host(url))];
    }
    let rate = download.rate(now).map_or("-".to_owned(), human::rate);
    let eta = download.eta(now).map_or("-".to_owned(), |eta| {
        human::duration(Duration::from_secs(eta.as_secs_f64().ceil() as u64))
    });
    let mut parts = vec![fit::pad_left(&rate, 10), fit::pad_left(&eta, 6)];
    parts.extend(download.provider.as_deref().map(host));
    parts
}

/// The file's name, else the source.
fn name(download: &Download) -> String {
    let file = download.path.as_deref().and_then(|path| path.file_name());
    let name = file.map(|name| name.to_string_lossy());
    escape::text(name.as_deref().unwrap_or(&download.source)).into_owned()
}

/// A provider in few columns: its host, or the last part of a path.
fn host(url: &str) -> String {
    let host = match url.split_once("://") {
        Some((_, rest)) => rest
            .split('/')
            .next()
            .filter(|host| !host.is_empty())
            .unwrap_or(rest),
        None => url.rsplit(['/', '\\']).next().unwrap_or(url),
    };
    fit::cut_middle(&escape::text(host), PROVIDER)
}

/// Heavy for what is there, light for what is not: to be told apart without colour.
fn draw_bar(bytes: u64, total: u64, width: usize) -> String {
    let full = human::percent(bytes, total) as usize * width / 100;
    format!("{}{}", "━".repeat(full), "─".repeat(width - full))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::download::DownloadId;
    use crate::event::{Event, What};
    use proptest::prelude::*;

    fn begin(path: &str, start: Instant) -> Download {
        let mut download = Download::new(DownloadId::new(3), start);
        download.fold(
            &What::Started {
                source: "bafy".to_owned(),
                resumed_from: 0,
            },
            start,
        );
        let resolved = What::Resolved {
            cid: Some("bafy".to_owned()),
            path: Some(path.into()),
            size: Some(1 << 30),
        };
        download.fold(&resolved, start);
        download.fold(
            &What::Provider {
                url: "http://127.0.0.1:8080".to_owned(),
            },
            start,
        );
        download
    }

    /// 470 of 1024 MiB in 47 s, a tenth of a second apart.
    fn half_way(path: &str) -> (Download, Instant) {
        let start = Instant::now();
        let mut download = begin(path, start);
        for step in 1..=470u64 {
            let now = start + Duration::from_millis(step * 100);
            download.fold(
                &What::Progress {
                    bytes: step << 20,
                    total: None,
                    files: None,
                },
                now,
            );
        }
        (download, start + Duration::from_secs(47))
    }

    #[test]
    fn a_line_gives_way_to_a_narrow_terminal() {
        let (download, now) = half_way("/data/a-rather-long-model-name-q4_k_m.gguf");
        let lines: Vec<String> = [120, 80, 60, 40, 16, 3]
            .map(|width| render_line(&download, width, now))
            .into();
        insta::assert_snapshot!(lines.join("\n"), @r"
        a-rather-long-model-name-q4_k_m.gguf  45% ━━━━━━━━━───────────  470 MiB/1 GiB 10.1 MiB/s    55s 127.0.0.1:8080
        a-rather…k_m.gguf  45% ━━━━─────  470 MiB/1 GiB 10.1 MiB/s    55s 127.0.0.1:8080
        a-rather-lo…4_k_m.gguf  45%  470 MiB/1 GiB 10.1 MiB/s    55s
        a-rather-l…_k_m.gguf  45%  470 MiB/1 GiB
        a-rat….gguf  45%
         …%
        ");
    }

    #[test]
    fn a_line_says_what_is_going_on() {
        let start = Instant::now();
        let mut download = begin("/data/model.bin", start);
        let mut lines = vec![render_line(&download, 70, start)];
        let wait = Some(Duration::from_secs(90));
        let trouble = What::Trouble {
            url: "https://gw.example/".to_owned(),
            message: "429".to_owned(),
            wait,
        };
        download.fold(&trouble, start);
        lines.push(render_line(&download, 79, start));
        download.fold(
            &What::Progress {
                bytes: 1 << 30,
                total: None,
                files: None,
            },
            start,
        );
        download.fold(&What::Verifying, start);
        lines.push(render_line(&download, 70, start));
        let mut unknown = Download::new(None, start);
        unknown.source = "ipfs://bafy\u{1b}".to_owned();
        lines.push(render_line(&unknown, 70, start));
        insta::assert_snapshot!(lines.join("\n"), @r"
        model.bin   0%      0 B/1 GiB          -      - 127.0.0.1:8080
        model.bin   0% ──────────      0 B/1 GiB waiting 1m31s for gw.example
        model.bin 100% ━━━━━━━━━━━━━    1 GiB/1 GiB checking
        ipfs://bafy\u{1b}   ?%      0 B          -      -
        ");
    }

    #[test]
    fn a_directory_counts_its_files() {
        let start = Instant::now();
        let mut download = begin("/data/tree", start);
        let progress = What::Progress {
            bytes: 300 << 20,
            total: Some(1 << 30),
            files: Some((7, 120)),
        };
        download.fold(&progress, start);
        let lines = [100, 60].map(|width| render_line(&download, width, start));
        insta::assert_snapshot!(lines.join("\n"), @r"
        tree  29% ━━━────────  300 MiB/1 GiB   7/120 files          -      - 127.0.0.1:8080
        tree  29%  300 MiB/1 GiB   7/120 files          -
        ");
    }

    #[test]
    fn nothing_is_drawn_at_first() {
        let start = Instant::now();
        let mut state = State::default();
        for id in 1..=10 {
            let what = What::Started {
                source: "bafy".to_owned(),
                resumed_from: 0,
            };
            state.fold(
                &Event {
                    id: DownloadId::new(id),
                    what,
                },
                start,
            );
        }
        assert!(render(&state, 80, start + Duration::from_millis(249)).is_empty());
        let lines = render(&state, 80, start + Duration::from_millis(250));
        assert_eq!(lines.len(), MOST_LINES + 1);
        assert_eq!(lines[MOST_LINES], "and 2 more");
    }

    proptest! {
        #[test]
        fn no_line_is_too_wide(path in "[a-z模\u{202e}]{1,90}", width in 0usize..200) {
            let (download, now) = half_way(&path);
            prop_assert!(fit::columns(&render_line(&download, width, now)) <= width);
        }
    }
}
