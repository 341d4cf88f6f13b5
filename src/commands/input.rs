//! The sources of `get`: those of the command line, and those of a list.

use std::io::Read;
use std::path::Path;

use crate::cli::Get;
use crate::commands::error::CommandError;
use crate::disk::whole_file;
use crate::download::chain;

/// The largest list of sources that is read.
const MAX_LIST_BYTES: u64 = 64 << 20;
/// The longest line of one: a source with a long path and query fits.
const MAX_LINE_BYTES: usize = 64 << 10;

/// The sources of the command line and of `-i`, in this order.
///
/// # Errors
/// Code 2 for a list that cannot be read, is too long, or is no text.
pub fn sources(get: &Get) -> Result<Vec<String>, CommandError> {
    let mut sources = get.sources.clone();
    let Some(input) = &get.input else {
        return Ok(sources);
    };
    let (name, bytes) = if input == Path::new("-") {
        ("standard input".to_owned(), read_stdin()?)
    } else {
        let bytes = whole_file::read_small(input, MAX_LIST_BYTES).map_err(|error| {
            CommandError::usage(format!(
                "cannot read the list of sources: {}",
                chain(&error)
            ))
        })?;
        (input.display().to_string(), bytes)
    };
    let text =
        String::from_utf8(bytes).map_err(|_| CommandError::usage(format!("{name} is not text")))?;
    sources.extend(listed(&text, &name)?);
    Ok(sources)
}

fn read_stdin() -> Result<Vec<u8>, CommandError> {
    let unreadable = |error: std::io::Error| {
        CommandError::usage(format!(
            "cannot read the sources from standard input: {error}"
        ))
    };
    let mut bytes = Vec::new();
    let mut limited = std::io::stdin().lock().take(MAX_LIST_BYTES + 1);
    limited.read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_LIST_BYTES {
        return Err(CommandError::usage(format!(
            "the list of sources on standard input is larger than {MAX_LIST_BYTES} bytes"
        )));
    }
    Ok(bytes)
}

/// The sources of a list: a line each, without comments and empty lines.
fn listed(text: &str, name: &str) -> Result<Vec<String>, CommandError> {
    let mut sources = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line.len() > MAX_LINE_BYTES {
            let number = number + 1;
            return Err(CommandError::usage(format!(
                "line {number} of {name} is longer than {MAX_LINE_BYTES} bytes"
            )));
        }
        sources.push(line.to_owned());
    }
    Ok(sources)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_a_source_a_line() {
        let text = "# wanted\n\n  bafy/a b \r\nbafy#c\n";
        assert_eq!(listed(text, "x").expect("a list"), ["bafy/a b", "bafy#c"]);
        let long = format!("bafy\n{}\n", "x".repeat(MAX_LINE_BYTES + 1));
        let error = listed(&long, "the list").expect_err("too long");
        assert!(error.message.starts_with("line 2 of the list"), "{error:?}");
    }
}
