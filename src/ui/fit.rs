//! Text made to fit into columns of a terminal.

/// Columns that a terminal needs for the text.
pub fn columns(text: &str) -> usize {
    console::measure_text_width(text)
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
    let end = take(text.chars().rev(), room / 2);
    let start = take(text.chars(), room - room / 2);
    let tail = text.chars().rev().take(end).collect::<Vec<_>>();
    let head = text.chars().take(start);
    head.chain(['…']).chain(tail.into_iter().rev()).collect()
}

/// The text within `width` columns: what is longer loses its end, as befits a sentence.
pub fn cut_end(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let Some(room) = width.checked_sub(1) else {
        return String::new();
    };
    let start = take(text.chars(), room);
    text.chars().take(start).chain(['…']).collect()
}

/// How many of the characters fit into `width` columns.
fn take(chars: impl Iterator<Item = char>, width: usize) -> usize {
    let mut used = 0;
    chars
        .take_while(|c| {
            used += columns(c.encode_utf8(&mut [0; 4]));
            used <= width
        })
        .count()
}

/// Padded on the left with spaces to `width` columns.
pub fn pad_left(text: &str, width: usize) -> String {
    let missing = width.saturating_sub(columns(text));
    format!("{}{text}", " ".repeat(missing))
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
        assert_eq!(cut_end("nobody answered", 8), "nobody …");
    }

    proptest! {
        #[test]
        fn it_fits(text in "[a-z模é]{0,40}", width in 0usize..50) {
            prop_assert!(columns(&cut_middle(&text, width)) <= width);
            prop_assert!(columns(&cut_end(&text, width)) <= width);
        }
    }
}
