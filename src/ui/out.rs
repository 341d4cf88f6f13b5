//! The two streams: data to stdout, words for people to stderr.
//!
//! A reader of stdout that goes away is no error of ours: [`Closed`] says so, nothing panics. What
//! cannot be written to stderr is lost, for nobody is left to be told.

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use crate::exit::ExitKind;
use crate::ui::escape;

/// The standard output takes nothing more.
#[derive(Debug, thiserror::Error)]
#[error("standard output cannot be written")]
pub struct Closed(#[from] io::Error);

impl Closed {
    /// Whether the reader went away: the printing ends quietly.
    pub fn is_reader_gone(&self) -> bool {
        self.0.kind() == io::ErrorKind::BrokenPipe
    }

    /// The exit code that it calls for.
    pub fn kind(&self) -> ExitKind {
        if self.is_reader_gone() {
            ExitKind::Closed
        } else {
            ExitKind::Disk
        }
    }
}

/// The standard output: each call writes whole lines and flushes them.
pub struct Out {
    stream: Box<dyn Write>,
    /// Whether paths are made harmless, since a person sees them.
    terminal: bool,
}

impl Out {
    /// The standard output of this process.
    pub fn stdout() -> Self {
        let stdout = io::stdout();
        Self {
            terminal: stdout.is_terminal(),
            stream: Box::new(stdout),
        }
    }

    /// Any stream in its place, which is not a terminal.
    pub fn to(stream: impl Write + 'static) -> Self {
        Self {
            stream: Box::new(stream),
            terminal: false,
        }
    }

    /// Writes one line.
    ///
    /// # Errors
    /// [`Closed`] if the stream takes nothing more.
    pub fn line(&mut self, line: &str) -> Result<(), Closed> {
        self.bytes(format!("{line}\n").as_bytes())
    }

    /// Writes a path as one line: byte for byte, except on a terminal, where it is made harmless.
    ///
    /// # Errors
    /// [`Closed`] if the stream takes nothing more.
    pub fn path(&mut self, path: &Path) -> Result<(), Closed> {
        if self.terminal {
            return self.line(&escape::text(&path.to_string_lossy()));
        }
        let mut line = path_bytes(path);
        line.push(b'\n');
        self.bytes(&line)
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Closed> {
        self.stream.write_all(bytes)?;
        Ok(self.stream.flush()?)
    }
}

#[cfg(unix)]
fn path_bytes(path: &Path) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt;
    path.as_os_str().as_bytes().to_vec()
}

#[cfg(not(unix))]
fn path_bytes(path: &Path) -> Vec<u8> {
    path.to_string_lossy().into_owned().into_bytes()
}

/// The standard error stream.
pub struct Stderr {
    stream: Box<dyn Write>,
}

impl Default for Stderr {
    /// The standard error stream of this process.
    fn default() -> Self {
        Self::to(io::stderr())
    }
}

impl Stderr {
    /// Any stream in its place.
    pub fn to(stream: impl Write + 'static) -> Self {
        Self {
            stream: Box::new(stream),
        }
    }

    /// Writes one line, or several joined by line feeds, in one piece.
    pub fn line(&mut self, line: &str) {
        // Nobody is left to be told that this failed.
        let _ = self.stream.write_all(format!("{line}\n").as_bytes());
        let _ = self.stream.flush();
    }
}

/// Writes the message of an error that ends the command to stderr, as
/// [`messages::error`](crate::ui::messages::error) lays it out.
pub fn error(message: &str, hint: Option<&str>, color: bool) {
    Stderr::default().line(&crate::ui::messages::error(message, hint, color));
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Gone;

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_went_away_is_told_apart() {
        let closed = Out::to(Gone).line("x").unwrap_err();
        assert!(closed.is_reader_gone());
        assert_eq!(closed.kind(), ExitKind::Closed);
        assert_eq!(
            Closed(io::ErrorKind::StorageFull.into()).kind(),
            ExitKind::Disk
        );
    }
}
