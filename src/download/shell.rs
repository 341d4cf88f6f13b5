//! Words of a command as they are to be typed in a shell.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::Path;

/// Whether a terminal would do something else with this character than show it.
pub fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // Marks, embeddings, overrides and isolates of bidirectional text.
            '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            // Line and paragraph separators.
            | '\u{2028}' | '\u{2029}'
            // Invisible: zero-width space, word joiner and its kin, byte order mark, tags. The
            // zero-width joiners stay: scripts and emoji need them.
            | '\u{00ad}' | '\u{200b}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// A word: in quotes where a shell would take it apart, and as `$'…'` (POSIX.1-2024, 2.2.4) where a
/// terminal would not show it as it is.
pub fn quoted(word: &str) -> Cow<'_, str> {
    if word.contains(is_hostile) {
        return Cow::Owned(escaped(word.as_bytes()));
    }
    // Only a NUL cannot be quoted, and no name has one.
    shlex::try_quote(word).unwrap_or(Cow::Borrowed(word))
}

/// A path, whatever its bytes.
pub fn quoted_path(path: &Path) -> String {
    let bytes = path.as_os_str().as_encoded_bytes();
    match std::str::from_utf8(bytes) {
        Ok(word) => quoted(word).into_owned(),
        Err(_) => escaped(bytes),
    }
}

/// In `$'…'`, with three octal digits for each byte that is not shown.
fn escaped(word: &[u8]) -> String {
    let mut typed = "$'".to_owned();
    for chunk in word.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' => typed.push_str("\\n"),
                '\t' => typed.push_str("\\t"),
                '\'' | '\\' => typed.extend(['\\', c]),
                c if is_hostile(c) => hide(&mut typed, c.encode_utf8(&mut [0; 4]).as_bytes()),
                c => typed.push(c),
            }
        }
        hide(&mut typed, chunk.invalid());
    }
    typed.push('\'');
    typed
}

fn hide(typed: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing to a `String` does not fail.
        let _ = write!(typed, "\\{byte:03o}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_typed_as_a_shell_reads_it() {
        assert_eq!(quoted_path(Path::new("/data/model.bin")), "/data/model.bin");
        for odd in ["/data/my model.bin", "it's", "a$(b)", "*", ""] {
            let words = shlex::split(&quoted(odd));
            assert_eq!(words, Some(vec![odd.to_owned()]), "{odd}");
        }
    }

    #[test]
    fn what_is_not_shown_is_typed_by_its_number() {
        let odd = "new\nline it's \\ \u{1b}[2J \u{202e}gpj 1";
        let typed = r"$'new\nline it\'s \\ \033[2J \342\200\256gpj 1'";
        assert_eq!(quoted(odd), typed);
        assert!(!typed.contains(is_hostile));
    }

    #[cfg(unix)]
    #[test]
    fn so_is_what_is_no_text() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt as _;
        let path = Path::new(OsStr::from_bytes(b"/data/caf\xe9 1"));
        assert_eq!(quoted_path(path), r"$'/data/caf\351 1'");
    }
}
