//! Progress bars on a terminal: one line for each download, drawn in place.
//!
//! What a line says is a pure function of state, width and time. Drawing is late (nothing in the
//! first 250 ms), rare (at most ten times a second) and never longer than the terminal is wide.

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use crate::download::Status;
use crate::ui::escape;
use crate::ui::fit;
use crate::ui::human;
use crate::ui::screen::{Screen, Signs};
use crate::ui::state::{Download, State};
use crate::ui::taskbar::Taskbar;
use crate::ui::title::Title;

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
/// Columns that a name takes at most in the title of the window.
const TITLE: usize = 40;

/// The bars.
pub struct Bars {
    screen: Screen,
    drawn: Option<Instant>,
}

impl Bars {
    /// Bars on stderr; `width` in columns, or the terminal's own.
    pub fn new(width: Option<u16>) -> Self {
        Self {
            screen: Screen::new(width, Taskbar::of_process(), Title::of_process()),
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
        let shown = shown(state, now);
        self.screen.draw(lines, &signs(&shown));
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

/// What the window as a whole says of these.
fn signs(shown: &[&Download]) -> Signs {
    let percent = Sum::of(shown).percent();
    let title = title(shown, percent);
    Signs { percent, title }
}

/// The title of the window: `45% name`, or `45% of 3 downloads`.
fn title(shown: &[&Download], percent: Option<u64>) -> String {
    let what = match shown {
        [one] => fit::cut_middle(&name(one), TITLE),
        all => format!("{} downloads", all.len()),
    };
    match percent {
        None => format!("{what} – fetchd"),
        Some(percent) if shown.len() == 1 => format!("{percent}% {what} – fetchd"),
        Some(percent) => format!("{percent}% of {what} – fetchd"),
    }
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
