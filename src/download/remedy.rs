//! What a person can do about a failure on disk, with the names as they are to be typed.

use std::io::ErrorKind;
use std::path::Path;

use crate::disk::{DiskError, inspect};
use crate::download::quoted_path;

/// What has to be done before the same can be tried again; `None` where nothing is known to help.
/// Looks at what stands in the way, and changes nothing.
pub fn remedy(error: &DiskError) -> Option<String> {
    match error {
        _ if error.is_no_room() => Some("make room".to_owned()),
        DiskError::NotRegular { path }
        | DiskError::IsDirectory { path }
        | DiskError::Exists { path }
        | DiskError::Unknown { path }
        | DiskError::Shared { path } => Some(move_away(path)),
        DiskError::Io { op, path, source } => of_system(op, path, source.kind()),
        _ => None,
    }
}

fn of_system(op: &str, path: &Path, kind: ErrorKind) -> Option<String> {
    // What syncs a directory names it, everything else a file in one.
    let parent = path.parent().filter(|_| op != "sync").unwrap_or(path);
    match kind {
        ErrorKind::NotFound if !inspect::exists(parent) => Some(format!(
            "make the directory again with: mkdir -p {}",
            quoted_path(parent)
        )),
        ErrorKind::NotADirectory => {
            let is_in_the_way =
                |path: &&Path| inspect::exists(path) && !inspect::leads_to_directory(path);
            path.ancestors().skip(1).find(is_in_the_way).map(move_away)
        }
        ErrorKind::PermissionDenied if inspect::exists(path) => {
            Some(format!("make {} readable and writable", quoted_path(path)))
        }
        ErrorKind::PermissionDenied => Some(format!("make {} writable", quoted_path(parent))),
        ErrorKind::ReadOnlyFilesystem => Some("make that disk writable".to_owned()),
        ErrorKind::AlreadyExists | ErrorKind::IsADirectory => Some(move_away(path)),
        _ => None,
    }
}

fn move_away(path: &Path) -> String {
    format!("move {} away", quoted_path(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::part::PartFile;

    #[test]
    fn names_what_is_in_the_way() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let at = |name: &str| dir.path().join(name);
        let advice = |name: &str| {
            let error = PartFile::create(&at(name)).expect_err("no place for a file");
            remedy(&error).expect("advice")
        };
        let missing = quoted_path(&at("a b"));
        assert_eq!(
            advice("a b/x"),
            format!("make the directory again with: mkdir -p {missing}")
        );
        std::fs::write(at("a b"), "x").expect("a file");
        assert_eq!(advice("a b/c/x"), format!("move {missing} away"));
        assert_eq!(advice("a b"), format!("move {missing} away"));
    }
}
