//! Text made to fit into columns of a terminal.
//!
//! What a reader takes for one character (a letter with its accents, an emoji with its joiners) is
//! kept or cut as one.

use unicode_segmentation::UnicodeSegmentation;

/// Columns that a terminal needs for the text at most: some draw an emoji with joiners as one,
/// some as its parts, and a line that is too wide would wrap.
pub fn columns(text: &str) -> usize {
    let joined = console::measure_text_width(text);
    let parts = |c: char| console::measure_text_width(c.encode_utf8(&mut [0; 4]));
    joined.max(text.chars().map(parts).sum())
}

/// The text within `width` columns: what is longer loses its middle, so that the beginning of a
/// name and its extension stay.
pub fn cut_middle(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let Some(room) = width.checked_sub(1) else {
        return String::new();
    };
    let shown: Vec<&str> = text.graphemes(true).collect();
    let end = take(shown.iter().rev(), room / 2);
    let start = take(shown.iter(), room - room / 2);
    format!(
        "{}…{}",
        shown[..start].concat(),
        shown[shown.len() - end..].concat()
    )
}

/// The text within `width` columns: what is longer loses its end, as befits a sentence.
pub fn cut_end(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let Some(room) = width.checked_sub(1) else {
        return String::new();
    };
    let shown: Vec<&str> = text.graphemes(true).collect();
    format!("{}…", shown[..take(shown.iter(), room)].concat())
}

/// How many of what a reader takes for characters fit into `width` columns.
fn take<'a>(graphemes: impl Iterator<Item = &'a &'a str>, width: usize) -> usize {
    let mut used = 0;
    graphemes
        .take_while(|grapheme| {
            used += columns(grapheme);
            used <= width
        })
        .count()
}

/// Padded on the left with spaces to `width` columns.
pub fn pad_left(text: &str, width: usize) -> String {
    let missing = width.saturating_sub(columns(text));
    format!("{}{text}", " ".repeat(missing))
}

/// Padded on the right with spaces to `width` columns.
pub fn pad_right(text: &str, width: usize) -> String {
    let missing = width.saturating_sub(columns(text));
    format!("{text}{}", " ".repeat(missing))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_middle_goes() {
        assert_eq!(cut_middle("model-q4.gguf", 13), "model-q4.gguf");
        assert_eq!(cut_middle("model-q4.gguf", 9), "mode…gguf");
        assert_eq!(cut_middle("模型模型模型.bin", 9), "模型….bin");
        assert_eq!(cut_middle("abc", 0), "");
        let coders = "👩‍💻👩‍💻👩‍💻👩‍💻";
        assert_eq!(cut_middle(coders, 10), "👩‍💻…👩‍💻", "no half emoji");
        assert_eq!(
            cut_end("e\u{301}e\u{301}e\u{301}", 2),
            "e\u{301}…",
            "no lost accent"
        );
        assert_eq!(cut_end("nobody answered", 8), "nobody …");
    }

    proptest! {
        #[test]
        fn it_fits(text in "[a-z模é\u{301}\u{200d}👩💻]{0,40}", width in 0usize..50) {
            prop_assert!(columns(&cut_middle(&text, width)) <= width);
            prop_assert!(columns(&cut_end(&text, width)) <= width);
        }
    }
}
