//! Progress bars on a terminal: one line for each download, drawn in place.
//!
//! What a line says is a pure function of state, width and time. Drawing is late (nothing in the
//! first 250 ms), rare (at most ten times a second) and never longer than the terminal is wide.

use std::time::{Duration, Instant};

use crate::download::Status;
use crate::ui::escape;
use crate::ui::fit;
use crate::ui::human;
use crate::ui::screen::Screen;
use crate::ui::state::{Download, State};
use crate::ui::taskbar::Taskbar;

/// A download that ends sooner shows no bar.
const SILENCE: Duration = Duration::from_millis(250);
/// Time between two drawings.
const INTERVAL: Duration = Duration::from_millis(100);
/// Longest time left that is worth saying, in seconds: a year.
const LONGEST_LEFT: f64 = 366.0 * 86_400.0;
/// Downloads drawn at once; more of them are counted in a last line.
const MOST_LINES: usize = 8;
/// Columns that a name keeps at least.
const NAME: usize = 12;
/// Columns that name and bar must have together, so that there is a bar.
const BAR: usize = 24;
/// Columns that a bar takes at most.
const MOST_BAR: usize = 20;
/// Columns that a provider takes at most.
const PROVIDER: usize = 28;

/// The bars.
pub struct Bars {
    screen: Screen,
    drawn: Option<Instant>,
}

impl Bars {
    /// Bars on stderr; `width` in columns, or the terminal's own.
    pub fn new(width: Option<u16>) -> Self {
        Self {
            screen: Screen::new(width, Taskbar::of_process()),
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
        let (width, rows) = self.screen.room();
        let lines = render(state, width, rows, now);
        if lines.is_empty() {
            return self.clear();
        }
        self.drawn = Some(now);
        self.screen
            .draw(lines, Sum::of(&shown(state, now)).percent());
    }

    /// Does something else with the terminal, with no bar in the way.
    pub fn aside<T>(&self, act: impl FnOnce() -> T) -> T {
        self.screen.aside(act)
    }

    /// Takes the bars away.
    pub fn clear(&mut self) {
        if self.drawn.take().is_some() {
            self.screen.clear();
        }
    }
}

/// Several downloads as if they were one.
struct Sum {
    downloads: usize,
    bytes: u64,
    /// `None` as long as the size of one of them is unknown.
    total: Option<u64>,
}

impl Sum {
    fn of(downloads: &[&Download]) -> Self {
        let sizes = downloads.iter().map(|download| download.total);
        Self {
            downloads: downloads.len(),
            bytes: downloads.iter().map(|download| download.bytes).sum(),
            total: sizes.sum::<Option<u64>>(),
        }
    }

    fn percent(&self) -> Option<u64> {
        self.total.map(|total| human::percent(self.bytes, total))
    }
}

/// What is under way and no longer new.
fn shown(state: &State, now: Instant) -> Vec<&Download> {
    state
        .downloads()
        .filter(|download| !download.has_ended())
        .filter(|download| now.saturating_duration_since(download.started) >= SILENCE)
        .collect()
}

/// The lines to be drawn, none of them wider than `width` columns and at most `rows`: one a
/// download, and above several of them one for all together.
pub fn render(state: &State, width: usize, rows: usize, now: Instant) -> Vec<String> {
    let shown = shown(state, now);
    if shown.len() < 2 {
        return layout(shown.iter().map(|it| Row::of(it, now)).collect(), width);
    }
    let below = rows.saturating_sub(1);
    let fits = shown.len() <= below.min(MOST_LINES);
    let most = if fits {
        shown.len()
    } else {
        MOST_LINES.min(below.saturating_sub(1))
    };
    let mut table = vec![Row::of_all(&shown, now)];
    table.extend(shown.iter().take(most).map(|it| Row::of(it, now)));
    let mut lines = layout(table, width);
    if !fits && below > 0 {
        let more = format!("and {} more", shown.len() - most);
        lines.push(fit::cut_middle(&more, width));
    }
    lines
}

/// What one line says:
/// `name  45% ━━━━━━━━────────── 470 MiB/1 GiB 12.3 MiB/s 46s host`.
struct Row {
    name: String,
    /// Bytes, and bytes in all once known: for the bar.
    done: (u64, Option<u64>),
    /// What stands behind the name, the most important first; percent and amount are always there.
    parts: Vec<String>,
}

impl Row {
    fn of(download: &Download, now: Instant) -> Self {
        Self {
            name: name(download),
            done: (download.bytes, download.total),
            parts: parts(download, now),
        }
    }

    /// All of them together.
    fn of_all(downloads: &[&Download], now: Instant) -> Self {
        let sum = Sum::of(downloads);
        let rate: f64 = downloads
            .iter()
            .filter_map(|download| download.rate(now))
            .sum();
        let left = sum
            .total
            .map(|total| total.saturating_sub(sum.bytes) as f64 / rate);
        let left = left.filter(|seconds| *seconds <= LONGEST_LEFT);
        let mut parts = vec![percent(sum.percent()), amount(sum.bytes, sum.total)];
        parts.extend(pace(Some(rate), left.map(Duration::from_secs_f64)));
        Self {
            name: format!("{} downloads", sum.downloads),
            done: (sum.bytes, sum.total),
            parts,
        }
    }

    /// Columns that the parts take, each with the space in front of it.
    fn fixed(&self) -> usize {
        self.parts.iter().map(|part| fit::columns(part) + 1).sum()
    }
}

/// The rows one below the other, in at most `width` columns. Where there is no room, the bar goes
/// first, then from the end whatever does not fit; a name loses its middle.
fn layout(mut rows: Vec<Row>, width: usize) -> Vec<String> {
    let amounts = rows.iter().map(|row| fit::columns(&row.parts[1]));
    let widest = amounts.max().unwrap_or_default();
    for row in &mut rows {
        row.parts[1] = fit::pad_left(&row.parts[1], widest);
        while row.parts.len() > 1 && row.fixed() + NAME > width {
            row.parts.pop();
        }
    }
    let room = rows
        .iter()
        .map(|row| width.saturating_sub(row.fixed()))
        .min();
    let room = room.unwrap_or_default();
    let has_bar = room >= BAR && rows.iter().any(|row| row.done.1.is_some());
    let bar = if has_bar { (room / 3).min(MOST_BAR) } else { 0 };
    let name = if has_bar { room - bar - 1 } else { room };
    let longest = rows.iter().map(|row| fit::columns(&row.name)).max();
    let name = name.min(longest.unwrap_or_default());
    let lines = rows.iter().map(|row| {
        let mut line = fit::pad_right(&fit::cut_middle(&row.name, name), name);
        for (index, part) in row.parts.iter().enumerate() {
            line.push(' ');
            line.push_str(part);
            if index == 0 && has_bar {
                line.push(' ');
                line.push_str(&draw_bar(row.done.0, row.done.1, bar));
            }
        }
        fit::cut_middle(&line, width)
    });
    lines.collect()
}

/// What stands behind the name, the most important first.
fn parts(download: &Download, now: Instant) -> Vec<String> {
    let mut parts = vec![
        percent(download.percent()),
        amount(download.bytes, download.total),
    ];
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

fn percent(percent: Option<u64>) -> String {
    percent.map_or("  ?%".to_owned(), |percent| format!("{percent:>3}%"))
}

/// `470 MiB/1 GiB`, as wide as it can get, so that the line does not jump.
fn amount(bytes: u64, total: Option<u64>) -> String {
    let bytes = human::size(bytes);
    let Some(total) = total.map(human::size) else {
        return fit::pad_left(&bytes, 8);
    };
    fit::pad_left(&format!("{bytes}/{total}"), total.len() + 9)
}

fn speed(download: &Download, now: Instant) -> Vec<String> {
    if let Some((url, left)) = download.wait(now) {
        // One more, so that a running wait never reads 0.
        let left = human::duration(Duration::from_secs(left.as_secs() + 1));
        return vec![format!("waiting {left} for {}", host(url))];
    }
    let mut parts = pace(download.rate(now), download.eta(now));
    parts.extend(download.provider.as_deref().map(host));
    parts
}

/// Bytes per second, and the time that is left.
fn pace(rate: Option<f64>, left: Option<Duration>) -> Vec<String> {
    let rate = rate.map_or("-".to_owned(), human::rate);
    let left = left.map_or("-".to_owned(), |left| {
        human::duration(Duration::from_secs(left.as_secs_f64().ceil() as u64))
    });
    vec![fit::pad_left(&rate, 10), fit::pad_left(&left, 6)]
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

/// Heavy for what is there, light for what is not: to be told apart without colour. Blank where
/// the size is unknown.
fn draw_bar(bytes: u64, total: Option<u64>, width: usize) -> String {
    let Some(total) = total else {
        return " ".repeat(width);
    };
    let full = human::percent(bytes, total) as usize * width / 100;
    format!("{}{}", "━".repeat(full), "─".repeat(width - full))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::download::DownloadId;
    use crate::event::{Event, What};
    use proptest::prelude::*;

    fn render_line(download: &Download, width: usize, now: Instant) -> String {
        layout(vec![Row::of(download, now)], width).remove(0)
    }

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
                    is_proved: true,
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
                is_proved: true,
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
            is_proved: true,
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
        let at = |millis, rows| render(&state, 80, rows, start + Duration::from_millis(millis));
        assert!(at(249, 23).is_empty());
        let lines = at(250, 23);
        assert_eq!(lines.len(), MOST_LINES + 2);
        assert_eq!(lines[MOST_LINES + 1], "and 2 more");
        for rows in 1..=12 {
            assert!(at(250, rows).len() <= rows, "{rows}");
        }
        assert_eq!(at(250, 5)[4], "and 7 more");
    }

    #[test]
    fn several_stand_under_their_sum() {
        let start = Instant::now();
        let mut state = State::default();
        let fold = |state: &mut State, id, what, now| {
            let id = DownloadId::new(id);
            state.fold(&Event { id, what }, now);
        };
        for (id, name) in [(1, "weights.gguf"), (2, "模型.bin")] {
            let source = "bafy".to_owned();
            let started = What::Started {
                source,
                resumed_from: 0,
            };
            fold(&mut state, id, started, start);
            let (cid, path) = (None, Some(format!("/data/{name}").into()));
            let size = Some(1 << 30);
            fold(&mut state, id, What::Resolved { cid, path, size }, start);
        }
        let mut now = start;
        for step in 1..=100u64 {
            now = start + Duration::from_millis(step * 100);
            for id in [1, 2] {
                let bytes = (step * id) << 20;
                let progress = What::Progress {
                    bytes,
                    total: None,
                    files: None,
                    is_proved: true,
                };
                fold(&mut state, id as i64, progress, now);
            }
        }
        let lines = [80, 40].map(|width| render(&state, width, 23, now).join("\n"));
        insta::assert_snapshot!(lines.join("\n\n"), @r"
        2 downloads   14% ━─────────────  300 MiB/2 GiB 30.3 MiB/s    58s
        weights.gguf   9% ━─────────────  100 MiB/1 GiB 10.1 MiB/s  1m32s
        模型.bin      19% ━━────────────  200 MiB/1 GiB 20.2 MiB/s    41s

        2 downloads   14%  300 MiB/2 GiB
        weights.gguf   9%  100 MiB/1 GiB
        模型.bin      19%  200 MiB/1 GiB
        ");
    }

    proptest! {
        #[test]
        fn no_line_is_too_wide(path in "[a-z模\u{202e}]{1,90}", width in 0usize..200) {
            let (download, now) = half_way(&path);
            prop_assert!(fit::columns(&render_line(&download, width, now)) <= width);
        }
    }
}
