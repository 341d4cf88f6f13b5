//! Which download is meant: an id, a CID or a unique prefix of one, or a path on disk.

use std::path::Path;

use crate::commands::context::Context;
use crate::commands::error::CommandError;
use crate::content::cid;
use crate::disk::place::Target;
use crate::download::DownloadId;
use crate::store::{DownloadRow, Filter, Sort, Which};

/// The shortest prefix of a CID that is looked up.
const MIN_PREFIX: usize = 8;
/// Most ids that a message names.
const MAX_SHOWN: usize = 8;
/// Most downloads, the newest, that a mistyped name is compared with.
const MAX_COMPARED: u32 = 500;
/// Longest text that is compared with a CID: the work grows with the square.
const MAX_TYPED: usize = 128;

/// The download that `text` names.
///
/// # Errors
/// Code 2 if it names none, or several.
pub fn one(context: &Context, text: &str) -> Result<DownloadRow, CommandError> {
    let found = find(context, text).and_then(|id| Ok(context.store.download(id).wait()?));
    let row = found.and_then(|row| row.ok_or_else(|| unknown(context, text)));
    row.map_err(|error| CommandError {
        argument: Some(text.to_owned()),
        ..error
    })
}

fn find(context: &Context, text: &str) -> Result<DownloadId, CommandError> {
    if is_number(text) {
        let id = text.parse().ok().and_then(DownloadId::new);
        return id.ok_or_else(|| unknown(context, text));
    }
    let mut found = Vec::new();
    if let Ok(target) = Target::at(Path::new(text)) {
        found = of_path(context, target.path())?;
    }
    if found.is_empty() && text.len() >= MIN_PREFIX {
        // Whoever has the CID in another base or version means the same content.
        let canonical = cid::parse(text).map(|cid| cid::text(&cid));
        let prefix = canonical.as_deref().unwrap_or(text);
        found = context.store.find_by_cid(prefix).wait()?;
    }
    match found.as_slice() {
        [] => Err(unknown(context, text)),
        [id] => Ok(*id),
        several => Err(ambiguous(text, several)),
    }
}

/// The download that is under way to this path.
pub fn under_way_to(context: &Context, path: &Path) -> Result<Option<DownloadRow>, CommandError> {
    match context.store.unfinished_at(path).wait()? {
        Some(id) => Ok(context.store.download(id).wait()?),
        None => Ok(None),
    }
}

/// The newest download to this path of which this is true.
pub fn at_path(
    context: &Context,
    path: &Path,
    is_it: impl Fn(&DownloadRow) -> bool,
) -> Result<Option<DownloadRow>, CommandError> {
    for id in context.store.find_by_path(path).wait()? {
        let row = context.store.download(id).wait()?;
        if let Some(row) = row.filter(&is_it) {
            return Ok(Some(row));
        }
    }
    Ok(None)
}

/// The downloads of a path: the one that it belongs to now, if it does to one. That is what is under
/// way to it, else what made that which is there, whatever was there before.
fn of_path(context: &Context, path: &Path) -> Result<Vec<DownloadId>, CommandError> {
    let store = &context.store;
    let found = store.find_by_path(path).wait()?;
    if found.len() < 2 {
        return Ok(found);
    }
    let now = match store.unfinished_at(path).wait()? {
        Some(id) => Some(id),
        None => store.ledger_at(path).wait()?.map(|entry| entry.download),
    };
    // Who is under way may be somebody else, and who made it may be forgotten.
    let now = now.filter(|id| found.contains(id));
    Ok(now.map_or(found, |id| vec![id]))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn ambiguous(text: &str, ids: &[DownloadId]) -> CommandError {
    let shown: Vec<String> = ids
        .iter()
        .take(MAX_SHOWN)
        .map(ToString::to_string)
        .collect();
    let more = if ids.len() > MAX_SHOWN { ", …" } else { "" };
    CommandError::usage(format!(
        "{text:?} names several downloads: {}{more}",
        shown.join(", ")
    ))
    .hint("give the id of one; see them all with: fetchd list --all")
}

/// Says what may have been meant, too.
fn unknown(context: &Context, text: &str) -> CommandError {
    let error = CommandError::usage(format!("no download is known as {text:?}"));
    let filter = Filter {
        which: Which::All,
        sort: Sort::Newest,
        limit: Some(MAX_COMPARED),
    };
    // A suggestion is a courtesy: without the records there is none.
    let rows = context.store.downloads(filter).wait().unwrap_or_default();
    let meant = rows
        .iter()
        .filter_map(|row| Some((distance(text, row)?, row)))
        .min_by_key(|(distance, _)| *distance);
    error.hint(match meant {
        Some((_, row)) => format!(
            "did you mean {}? see them all with: fetchd list --all",
            describe(row)
        ),
        None => "see them all with: fetchd list --all".to_owned(),
    })
}

/// The id, and what it is the id of: `3 (model.bin)`.
fn describe(row: &DownloadRow) -> String {
    let file = row.path.as_deref().and_then(Path::file_name);
    let name = file.map_or(row.source.clone(), |name| {
        name.to_string_lossy().into_owned()
    });
    format!("{} ({name})", row.id)
}

/// How many slips of the finger lie between `text` and the nearest name of a download; `None` if
/// more than anybody makes.
fn distance(text: &str, row: &DownloadRow) -> Option<usize> {
    let slips = |name: &str| {
        let distance = strsim::osa_distance(text, name);
        (distance <= most_slips(name)).then_some(distance)
    };
    if is_number(text) {
        return slips(&row.id.to_string());
    }
    let file = row.path.as_deref().and_then(Path::file_name);
    let file = file.and_then(|name| slips(&name.to_string_lossy()));
    let path = row.path.as_deref().and_then(Path::to_str).and_then(slips);
    let cid = row.root_cid.as_deref().and_then(|cid| {
        let length = text.len().clamp(MIN_PREFIX, MAX_TYPED).min(cid.len());
        let prefix = cid.get(..length)?;
        (text.len() <= MAX_TYPED).then(|| slips(prefix)).flatten()
    });
    [file, path, cid].into_iter().flatten().min()
}

/// One, and one more for each ten characters.
fn most_slips(name: &str) -> usize {
    match name.len() {
        0..=1 => 0,
        length => 1 + length / 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_told_from_another_name() {
        let near = |typed: &str, name: &str| strsim::osa_distance(typed, name) <= most_slips(name);
        assert!(near("modle.bin", "model.bin"));
        assert!(near("bafybeigc", "bafybeigd"));
        assert!(near("13", "12"));
        assert!(!near("3", "4"), "one digit says nothing");
        assert!(!near("notes.txt", "model.bin"));
    }
}
