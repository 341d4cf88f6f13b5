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
    let directory = directory_of(op, path);
    match kind {
        ErrorKind::NotFound if !inspect::exists(directory) => Some(format!(
            "make the directory again with: mkdir -p {}",
            quoted_path(directory)
        )),
        ErrorKind::NotADirectory => {
            let is_in_the_way =
                |path: &&Path| inspect::exists(path) && !inspect::leads_to_directory(path);
            directory.ancestors().find(is_in_the_way).map(move_away)
        }
        ErrorKind::PermissionDenied => not_permitted(op, path, directory),
        ErrorKind::ReadOnlyFilesystem => Some("make that disk writable".to_owned()),
        ErrorKind::AlreadyExists | ErrorKind::IsADirectory => Some(move_away(path)),
        _ => None,
    }
}

/// The directory whose names an operation on `path` is about.
fn directory_of<'a>(op: &str, path: &'a Path) -> &'a Path {
    let names_it = match op {
        "list" | "create a file in" => true,
        // The bytes of a file, or the names in a directory.
        "sync" => !inspect::exists(path) || inspect::is_directory(path),
        _ => false,
    };
    match path.parent() {
        Some(parent) if !names_it => parent,
        _ => path,
    }
}

fn not_permitted(op: &str, path: &Path, directory: &Path) -> Option<String> {
    let needs_the_thing_itself = match op {
        "open" | "read" | "read the link" | "write" | "examine" | "lock" | "resize" | "list"
        | "sync" => true,
        // That is the right of whoever owns it, and no permission gives it.
        "mark" | "set mode and time of" | "change the mode of" => return None,
        _ => false,
    };
    // What cannot be seen stands in a directory that lets nobody in.
    if needs_the_thing_itself && inspect::exists(path) {
        return Some(format!("make {} readable and writable", quoted_path(path)));
    }
    let is_there = |directory: &&Path| inspect::exists(directory);
    let directory = directory.ancestors().find(is_there)?;
    Some(format!("make {} writable", quoted_path(directory)))
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

    fn advice(op: &'static str, path: &Path, kind: ErrorKind) -> Option<String> {
        let (path, source) = (path.to_path_buf(), kind.into());
        remedy(&DiskError::Io { op, path, source })
    }

    /// What is there may be replaced, removed or linked to by whoever may write its directory, and
    /// read or written by whoever it says.
    #[test]
    fn names_what_is_not_permitted() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let file = dir.path().join("file");
        std::fs::write(&file, "x").expect("a file");
        let denied = |op, path: &Path| advice(op, path, ErrorKind::PermissionDenied);
        let writable = Some(format!("make {} writable", quoted_path(dir.path())));
        let both = |path: &Path| Some(format!("make {} readable and writable", quoted_path(path)));
        for op in [
            "open",
            "read",
            "read the link",
            "write",
            "examine",
            "lock",
            "resize",
            "sync",
        ] {
            assert_eq!(denied(op, &file), both(&file), "{op}");
            // In a directory that may not be searched.
            assert_eq!(denied(op, &dir.path().join("a/b")), writable, "{op}");
        }
        for op in ["create", "create the link", "install", "remove", "replace"] {
            assert_eq!(denied(op, &file), writable, "{op}");
            // None of the directories could be made.
            assert_eq!(denied(op, &dir.path().join("a/b/c")), writable, "{op}");
        }
        for op in ["list", "sync"] {
            assert_eq!(denied(op, dir.path()), both(dir.path()), "{op}");
        }
        assert_eq!(denied("create a file in", dir.path()), writable);
        for op in ["mark", "set mode and time of", "change the mode of"] {
            assert_eq!(denied(op, &file), None, "{op}");
        }
    }

    #[test]
    fn names_the_directory_that_is_gone() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let gone = dir.path().join("gone");
        let again = format!(
            "make the directory again with: mkdir -p {}",
            quoted_path(&gone)
        );
        for op in ["sync", "list", "create a file in"] {
            let advice = advice(op, &gone, ErrorKind::NotFound);
            assert_eq!(advice.as_ref(), Some(&again), "{op}");
        }
        for op in ["create", "open", "install", "remove"] {
            let advice = advice(op, &gone.join("file"), ErrorKind::NotFound);
            assert_eq!(advice.as_ref(), Some(&again), "{op}");
        }
        std::fs::write(&gone, "x").expect("a file");
        let file = advice("create a file in", &gone, ErrorKind::NotADirectory);
        assert_eq!(file, Some(format!("move {} away", quoted_path(&gone))));
    }
}
