//! `--sha256sums`: the checksum that a list has for each source.

use std::path::Path;

use crate::cli::Get;
use crate::commands::error::CommandError;
use crate::commands::input;
use crate::content::checksums::{Checksums, Listed};
use crate::exit::ExitKind;

/// The largest list that is read.
const MAX_BYTES: u64 = 16 << 20;

/// The list that the user named, if any.
///
/// # Errors
/// Code 2 for a list that cannot be read, or is none.
pub fn list(get: &Get) -> Result<Option<Checksums>, CommandError> {
    let Some(path) = &get.sha256sums else {
        return Ok(None);
    };
    if path == Path::new("-") && get.input.as_deref() == Some(path) {
        return Err(CommandError::usage(
            "standard input cannot be the list of sources and the list of checksums at once",
        )
        .hint("put one of them into a file"));
    }
    let (name, bytes) = input::read_list(path, "checksums", MAX_BYTES)?;
    let sums = Checksums::parse(&bytes).map_err(|error| {
        CommandError::usage(format!("{name} is no list of checksums: {error}")).hint(
            "expected are lines as sha256sum writes them: HASH  NAME, or SHA256 (NAME) = HASH",
        )
    })?;
    Ok(Some(sums))
}

/// The flags for one source, with the checksum that the list has for it.
///
/// `names` are those that the file may have in the list, the likeliest first.
///
/// # Errors
/// Code 77 where the list has none: what the user wants checked must not pass unchecked.
pub fn with_sum(get: &Get, sums: &Checksums, names: &[String]) -> Result<Get, CommandError> {
    let mut is_ambiguous = false;
    for name in names {
        match sums.find(name) {
            Listed::Sum(sum) => {
                return Ok(Get {
                    sha256: Some(sum),
                    ..get.clone()
                });
            }
            Listed::Ambiguous => is_ambiguous = true,
            Listed::No => {}
        }
    }
    let mut asked: Vec<&str> = names.iter().map(String::as_str).collect();
    asked.dedup();
    let asked = asked.join(" or ");
    let message = match is_ambiguous {
        true => format!("the list of checksums has several files named {asked}"),
        false => format!("the list of checksums has no {asked}"),
    };
    let hint = match (is_ambiguous, &get.output) {
        (true, _) => "give its checksum with --sha256 HEX",
        (false, Some(_)) => {
            "give -o the name that the list has, or give the checksum with --sha256 HEX"
        }
        (false, None) => {
            "name the file as the list does with -o NAME, or give its checksum with --sha256 HEX"
        }
    };
    Err(CommandError::new(ExitKind::Refused, message).hint(hint))
}
