//! Which download is meant: an id, a CID or a unique prefix of one, or a path on disk.

use std::path::Path;

use crate::commands::context::Context;
use crate::commands::error::CommandError;
use crate::disk::place::Target;
use crate::download::DownloadId;
use crate::store::DownloadRow;

/// The shortest prefix of a CID that is looked up.
const MIN_PREFIX: usize = 8;

/// The download that `text` names.
///
/// # Errors
/// Code 2 if it names none, or several.
pub fn one(context: &Context, text: &str) -> Result<DownloadRow, CommandError> {
    let id = find(context, text)?;
    let row = context.store.download(id).wait()?;
    row.ok_or_else(|| unknown(text))
}

fn find(context: &Context, text: &str) -> Result<DownloadId, CommandError> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text
            .parse()
            .ok()
            .and_then(DownloadId::new)
            .ok_or_else(|| unknown(text));
    }
    let mut found = Vec::new();
    if let Ok(target) = Target::at(Path::new(text)) {
        found = context.store.find_by_path(target.path()).wait()?;
    }
    if found.is_empty() && text.len() >= MIN_PREFIX {
        found = context.store.find_by_cid(text).wait()?;
    }
    match found.as_slice() {
        [] => Err(unknown(text)),
        [id] => Ok(*id),
        several => {
            let ids: Vec<String> = several.iter().map(ToString::to_string).collect();
            Err(CommandError::usage(format!(
                "{text:?} names several downloads: {}",
                ids.join(", ")
            ))
            .hint("give the id of one"))
        }
    }
}

fn unknown(text: &str) -> CommandError {
    CommandError::usage(format!("no download is known as {text:?}"))
        .hint("see them all with: fetchd list --all")
}
