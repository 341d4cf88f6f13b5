//! Lines that stay at the bottom of a terminal and are drawn anew in place.
//!
//! Between two drawings the cursor stands at the first column of the first line. A terminal that
//! is resized moves the cursor with the text that it wraps anew, so all that was drawn lies behind
//! the cursor whatever happened, and one "erase to the end of the screen" takes it away: nothing
//! is left behind, and nothing above is touched. Each drawing is one write over the one before,
//! so that nothing flickers.

use std::sync::atomic::{AtomicBool, Ordering};

use console::Term;

use crate::ui::taskbar::Taskbar;
use crate::ui::title::Title;

/// Whether this process has something on the terminal that has to be taken away.
static IS_DRAWN: AtomicBool = AtomicBool::new(false);
/// Whether the title of the window is this process's, and not the one to be given back.
static IS_TITLED: AtomicBool = AtomicBool::new(false);

/// Nothing wraps: a line that meets a terminal that has just become narrower must not take two.
const NO_WRAP: &str = "\x1b[?7l";
/// Lines wrap, as every program expects.
const WRAP: &str = "\x1b[?7h";
/// Erases to the end of the line.
const ERASE_LINE: &str = "\x1b[K";
/// Erases to the end of the screen.
const ERASE_BELOW: &str = "\x1b[J";
/// Erases from the cursor at the first column to the end of the screen. Not at once: a screen that
/// is erased from its very first cell goes into the history of some terminals.
const ERASE_ALL: &str = " \x1b[J\r\x1b[K";

/// Columns that are assumed where the terminal does not say.
const COLUMNS: usize = 80;
/// Rows that are assumed where the terminal does not say.
const ROWS: usize = 24;

/// The lines, and where they are drawn.
pub struct Screen {
    term: Term,
    width: Option<usize>,
    lines: Vec<String>,
    taskbar: Taskbar,
    title: Title,
}

/// What is shown of the work outside of the lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signs {
    /// In the taskbar; `None` is work of unknown size.
    pub percent: Option<u64>,
    /// In the title of the window, without anything special to a terminal.
    pub title: String,
}

impl Screen {
    /// The terminal of the standard error stream; `width` in columns, or its own.
    pub fn new(width: Option<u16>, taskbar: Taskbar, title: Title) -> Self {
        // What is written here is understood everywhere but by a console of Windows that was not
        // asked to.
        let _ = anstyle_query::windows::enable_ansi_colors();
        Self {
            term: Term::buffered_stderr(),
            width: width.map(usize::from),
            lines: Vec::new(),
            taskbar,
            title,
        }
    }

    /// Columns and rows that lines may take. One column less than there are, since some terminals
    /// wrap when the last one is written, and one row less, so that nothing scrolls.
    pub fn room(&self) -> (usize, usize) {
        let size = self.term.size_checked();
        let (rows, columns) = size.map_or((ROWS, COLUMNS), |(rows, columns)| {
            (usize::from(rows), usize::from(columns))
        });
        let columns = self.width.unwrap_or(columns);
        (columns.saturating_sub(1), rows.saturating_sub(1).max(1))
    }

    /// Puts these lines in the place of the ones before.
    pub fn draw(&mut self, lines: Vec<String>, signs: &Signs) {
        if let Some(sequence) = self.taskbar.show(signs.percent) {
            self.write(&sequence);
        }
        if let Some(sequence) = self.title.show(&signs.title) {
            IS_TITLED.store(true, Ordering::Relaxed);
            self.write(&sequence);
        }
        self.lines = lines;
        self.put();
    }

    /// Does something else with the terminal, with no lines in the way.
    pub fn aside<T>(&self, act: impl FnOnce() -> T) -> T {
        self.erase();
        let _ = self.term.flush();
        let done = act();
        self.put();
        done
    }

    /// Takes the lines away, what the taskbar shows, and the title.
    pub fn clear(&mut self) {
        self.erase();
        self.lines.clear();
        if let Some(sequence) = self.taskbar.clear() {
            self.write(sequence);
        }
        // Whoever leaves the process in this very moment has given it back.
        if let Some(sequence) = self.title.clear()
            && IS_TITLED.swap(false, Ordering::Relaxed)
        {
            self.write(sequence);
        }
        let _ = self.term.flush();
        IS_DRAWN.store(false, Ordering::Relaxed);
    }

    /// Writes the lines behind the cursor and puts it back.
    fn put(&self) {
        if !self.lines.is_empty() {
            IS_DRAWN.store(true, Ordering::Relaxed);
            self.write(&frame(&self.lines));
        }
        let _ = self.term.flush();
    }

    fn erase(&self) {
        if !self.lines.is_empty() {
            self.write(ERASE_ALL);
        }
    }

    /// Into the buffer; a terminal that takes nothing more is nobody to tell.
    fn write(&self, text: &str) {
        let _ = self.term.write_str(text);
    }
}

/// What draws the lines from the cursor on, and leaves it where it was.
fn frame(lines: &[String]) -> String {
    let text = lines.join(&format!("{ERASE_LINE}\n"));
    let mut frame = format!("{NO_WRAP}{text}{ERASE_BELOW}{WRAP}\r");
    if lines.len() > 1 {
        frame.push_str(&format!("\x1b[{}A", lines.len() - 1));
    }
    frame
}

impl Drop for Screen {
    fn drop(&mut self) {
        if !self.lines.is_empty() {
            self.clear();
        }
    }
}

/// Leaves the terminal in order when the process ends without another word.
pub fn abandon() {
    if IS_DRAWN.load(Ordering::Relaxed) {
        let term = Term::stderr();
        let _ = term.write_str(ERASE_ALL);
        if let Some(sequence) = Taskbar::of_process().abandon() {
            let _ = term.write_str(sequence);
        }
    }
    if IS_TITLED.swap(false, Ordering::Relaxed)
        && let Some(sequence) = Title::of_process().abandon()
    {
        let _ = Term::stderr().write_str(sequence);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_ends_where_it_began() {
        let frame =
            |lines: &[&str]| frame(&lines.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(frame(&["one"]), "\x1b[?7lone\x1b[J\x1b[?7h\r");
        assert_eq!(
            frame(&["one", "two", "three"]),
            "\x1b[?7lone\x1b[K\ntwo\x1b[K\nthree\x1b[J\x1b[?7h\r\x1b[2A"
        );
    }
}
