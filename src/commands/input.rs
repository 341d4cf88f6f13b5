//! The sources of `get`: those of the command line, and those of a list.

use std::collections::HashSet;
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
const EXPECTED: &str = "expected is a source a line: a CID, a path below one, or a URL";

/// The sources of the command line and of `-i`, in this order, each once.
///
/// # Errors
/// Code 2 for a list that cannot be read, is too long, or is no text.
pub fn sources(get: &Get) -> Result<Vec<String>, CommandError> {
    let mut sources = get.sources.clone();
    if let Some(input) = &get.input {
        let (name, bytes) = read_list(input, "sources", MAX_LIST_BYTES)?;
        let text = String::from_utf8(bytes)
            .map_err(|_| CommandError::usage(format!("{name} is not text")).hint(EXPECTED))?;
        sources.extend(listed(&text, &name)?);
    }
    // What a person stops while it is fetched is not begun again for a second mention.
    let mut seen = HashSet::new();
    sources.retain(|source| seen.insert(source.clone()));
    Ok(sources)
}

/// What a list of `what` is called, and its bytes; `-` is standard input.
///
/// # Errors
/// Code 2 for one that cannot be read, or is longer than `max` bytes.
pub fn read_list(path: &Path, what: &str, max: u64) -> Result<(String, Vec<u8>), CommandError> {
    if path == Path::new("-") {
        return Ok(("standard input".to_owned(), read_stdin(what, max)?));
    }
    // A pipe is as good as a file here: shells make one of `<(command)`.
    let bytes = whole_file::read_small(path, max).map_err(|error| {
        let cause = chain(&error);
        CommandError::usage(format!("cannot read the list of {what}: {cause}"))
            .hint("name a file that can be read, or - for standard input")
    })?;
    Ok((path.display().to_string(), bytes))
}

fn read_stdin(what: &str, max: u64) -> Result<Vec<u8>, CommandError> {
    let mut bytes = Vec::new();
    let mut limited = std::io::stdin().lock().take(max + 1);
    limited.read_to_end(&mut bytes).map_err(|error| {
        CommandError::usage(format!(
            "cannot read the {what} from standard input: {error}"
        ))
        .hint("name a file in its place")
    })?;
    if bytes.len() as u64 > max {
        return Err(CommandError::usage(format!(
            "the list of {what} on standard input is larger than {max} bytes"
        ))
        .hint("split it, and run the command for each part"));
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
            ))
            .hint(EXPECTED));
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
