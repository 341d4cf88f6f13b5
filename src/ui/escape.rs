//! Text from outside (names, server messages, URLs) made harmless before it reaches a terminal.
//!
//! What is shown has no control characters, nothing that reorders the line, and nothing invisible
//! that lets two names look alike.

use std::borrow::Cow;
use std::fmt::Write;

use crate::download::is_hostile;

/// One line that a terminal shows as it is: `\n`, `\t`, `\u{1b}` and the like take the place of
/// what is not to be shown.
pub fn text(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hostile) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_hostile(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// JSON text with the same value, in which every hostile character is a `\u` escape. `json` has no
/// white space outside its strings.
pub fn json(json: &str) -> Cow<'_, str> {
    if !json.contains(is_hostile) {
        return Cow::Borrowed(json);
    }
    let mut escaped = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if is_hostile(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a `String` does not fail.
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_acts_on_the_terminal() {
        let hostile = "a\u{1b}[2J\r\nb\u{202e}gpj.exe\u{9b}31m\u{7f}\u{e0041}";
        assert_eq!(
            text(hostile),
            r"a\u{1b}[2J\r\nb\u{202e}gpj.exe\u{9b}31m\u{7f}\u{e0041}"
        );
        assert_eq!(text("Modell größer 模型 👩‍💻"), "Modell größer 模型 👩‍💻");
    }

    proptest! {
        #[test]
        fn shown_text_is_harmless(any in any::<String>()) {
            prop_assert!(!text(&any).contains(is_hostile));
        }

        #[test]
        fn json_keeps_its_value(any in any::<String>()) {
            let plain = serde_json::to_string(&any).unwrap();
            let escaped = json(&plain);
            prop_assert!(!escaped.contains(is_hostile));
            prop_assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), any);
        }
    }
}
