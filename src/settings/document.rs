//! TOML documents of users: what is wrong with one, and where.
//!
//! Pure text. Invariant: whatever the bytes are, the answer is a value or an error that names a
//! line and a column.

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// A document that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}:{line}:{column}: {message}", path.display())]
pub struct DocumentError {
    /// The file.
    pub path: PathBuf,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong there.
    pub message: String,
}

/// The bytes of a document, and the name under which messages speak of it.
#[derive(Debug, Clone, Copy)]
pub struct Document<'a> {
    /// The file.
    pub path: &'a Path,
    /// All of it.
    pub bytes: &'a [u8],
}

impl Document<'_> {
    /// What the document says.
    ///
    /// # Errors
    /// It is no UTF-8, no TOML, or not of this shape.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, DocumentError> {
        let text = std::str::from_utf8(self.bytes)
            .map_err(|error| self.wrong(error.valid_up_to(), "not valid UTF-8"))?;
        toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            self.wrong(start, brief(error.message()))
        })
    }

    /// The error for what stands at this offset.
    pub fn wrong(&self, offset: usize, message: impl Into<String>) -> DocumentError {
        let (line, column) = self.place(offset);
        DocumentError {
            path: self.path.to_owned(),
            line,
            column,
            message: message.into(),
        }
    }

    /// The same for a value with its span.
    pub fn wrong_at(&self, span: &Range<usize>, message: impl Into<String>) -> DocumentError {
        self.wrong(span.start, message)
    }

    /// Line and column, from 1, of an offset.
    pub fn place(&self, offset: usize) -> (usize, usize) {
        let before = self.bytes.get(..offset).unwrap_or(self.bytes);
        let line_start = before.iter().rposition(|&byte| byte == b'\n');
        let line_start = line_start.map_or(0, |index| index + 1);
        let lines = before.iter().filter(|&&byte| byte == b'\n').count();
        let column = String::from_utf8_lossy(&before[line_start..])
            .chars()
            .count();
        (lines + 1, column + 1)
    }
}

/// The message without the list of every key there is.
fn brief(message: &str) -> String {
    let what = match message.split_once(", expected one of") {
        Some((what, _)) => what,
        None => message.trim_end(),
    };
    what.replace("unknown field", "unknown key")
        .replace("missing field", "missing key")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(bytes: &[u8]) -> Document<'_> {
        Document {
            path: Path::new("x.toml"),
            bytes,
        }
    }

    #[test]
    fn places_are_counted_in_characters() {
        let text = document("é = 1\r\nüb = 2".as_bytes());
        assert_eq!(text.place(0), (1, 1));
        assert_eq!(text.place(2), (1, 2));
        assert_eq!(text.place(8), (2, 1));
        assert_eq!(text.place(10), (2, 2));
        assert_eq!(text.place(usize::MAX), (2, 7));
    }

    #[test]
    fn what_is_no_text_is_said() {
        let error = document(b"a = 1\nb = \xff")
            .parse::<toml::Table>()
            .expect_err("no UTF-8");
        assert_eq!(error.to_string(), "x.toml:2:5: not valid UTF-8");
    }
}
