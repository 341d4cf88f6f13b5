//! File names from strangers: the only door by which they become names on this disk.
//!
//! Not for paths, and not for what the user types as one. Invariant: a [`SafeName`] joined to a
//! directory names something directly in that directory.

use std::fmt;

use crate::disk::error::DiskError;

/// The most bytes in one name; the limit of practically every file system.
pub(super) const MAX_NAME: usize = 255;

/// One file name that cannot lead anywhere else and that every file system here can hold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SafeName(String);

impl SafeName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`DiskError::UnsafeName`] for an empty name, `.`, `..`, separators, control characters,
    /// more than 255 bytes, and on Windows also for what that system reserves.
    pub fn new(name: &str) -> Result<Self, DiskError> {
        let windows_flaw = || cfg!(windows).then(|| windows_flaw(name)).flatten();
        match flaw(name).or_else(windows_flaw) {
            None => Ok(Self(name.to_owned())),
            Some(reason) => Err(DiskError::UnsafeName {
                name: name.to_owned(),
                reason,
            }),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SafeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name that somebody else proposes (`?filename=`, a header), reduced to its last segment; `None`
/// if nothing safe is left. Hidden names are refused too: no hint may become somebody's `.profile`.
pub fn sanitize_name(proposed: &str) -> Option<SafeName> {
    let last = proposed.trim().rsplit(['/', '\\']).next()?.trim();
    if last.starts_with('.') {
        return None;
    }
    SafeName::new(last).ok()
}

fn flaw(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("it is empty")
    } else if name == "." || name == ".." {
        Some("it names a directory")
    } else if name.contains('/') {
        Some("it contains a separator")
    } else if name.contains(char::is_control) {
        Some("it contains a control character")
    } else if name.len() > MAX_NAME {
        Some("it is longer than 255 bytes")
    } else {
        None
    }
}

/// What Windows does not take, or takes for something else.
/// <https://learn.microsoft.com/windows/win32/fileio/naming-a-file>
fn windows_flaw(name: &str) -> Option<&'static str> {
    let stem = name.split('.').next().unwrap_or(name).trim_end_matches(' ');
    if name.contains(['\\', ':', '*', '?', '"', '<', '>', '|']) {
        Some("it contains a character that Windows reserves")
    } else if name.ends_with(['.', ' ']) {
        Some("it ends with a full stop or a space, which Windows drops")
    } else if is_windows_device(&stem.to_ascii_uppercase()) {
        Some("Windows reserves it for a device")
    } else {
        None
    }
}

fn is_windows_device(stem: &str) -> bool {
    let numbered = |prefix| {
        let number = stem
            .strip_prefix(prefix)
            .map(|rest| rest.chars().collect::<Vec<_>>());
        matches!(number.as_deref(), Some(['0'..='9' | '¹' | '²' | '³']))
    };
    matches!(stem, "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$")
        || numbered("COM")
        || numbered("LPT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn safe_names() {
        for good in [
            "a",
            "a b",
            "naïve.txt",
            "..a",
            "a..",
            ".hidden",
            "-rf",
            &"n".repeat(255),
        ] {
            if cfg!(unix) {
                assert_eq!(SafeName::new(good).unwrap().as_str(), good);
            }
        }
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "/",
            "a\0",
            "a\nb",
            "\u{1b}[2J",
            "a\u{85}",
            &"é".repeat(128),
        ] {
            assert!(
                matches!(SafeName::new(bad), Err(DiskError::UnsafeName { .. })),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn names_that_windows_does_not_take() {
        for bad in [
            "a\\b", "c:x", "a*", "a.", "a ", "CON", "con.txt", "nul .txt", "Com1", "lpt³.x",
            "CONOUT$",
        ] {
            assert!(windows_flaw(bad).is_some(), "{bad:?}");
        }
        for good in ["a.b", "console", "COM", "COM10", "LPTx", "nul1", " a"] {
            assert_eq!(windows_flaw(good), None, "{good:?}");
        }
    }

    #[test]
    fn proposed_names_lose_their_directories() {
        let sanitized = |text| sanitize_name(text).map(|name| name.0);
        assert_eq!(sanitized("a/b/c.txt").as_deref(), Some("c.txt"));
        assert_eq!(sanitized("..\\..\\c.txt").as_deref(), Some("c.txt"));
        assert_eq!(sanitized(" c.txt ").as_deref(), Some("c.txt"));
        for bad in [
            "",
            "..",
            "a/..",
            "a/",
            "/",
            "../.bashrc",
            ".profile",
            "a\u{7}b",
            " ",
        ] {
            assert_eq!(sanitized(bad), None, "{bad:?}");
        }
    }
}
