//! Whether two names are one name on this disk.
//!
//! The disk itself is the judge, since every file system folds case and Unicode forms by tables
//! of its own: a name that is taken although nobody made it, or that is found but not listed in
//! these very bytes, is another one's. Nothing is computed from the names.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io;

use crate::disk::platform::Dir;
use crate::disk::tree::path::TreePath;
use crate::disk::tree::root::Root;

/// The directory that asks the disk, and two names that may find it. The control character keeps
/// it apart from all names of a tree, as no `SafeName` holds one.
const PROBE: &str = "\u{7f}\u{e9}K";
const PROBE_CASE: &str = "\u{7f}\u{e9}k";
const PROBE_FORM: &str = "\u{7f}e\u{301}K";

/// How a disk treats names that differ in case or Unicode form only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Folding {
    /// Different bytes are different names.
    None,
    /// Names that differ may be one, and are kept as they were given.
    Kept,
    /// Names that differ may be one, and are kept in other bytes than given (HFS+): a listing
    /// proves nothing then, and only a name that is taken at creation shows a conflict.
    Rewritten,
}

/// Tries out how the disk of an empty or unfinished tree of ours folds names. What a crash leaves
/// of it is removed by the next probe.
pub(super) fn probe(dir: &Dir) -> Folding {
    let probe = OsStr::new(PROBE);
    let _left_by_a_crash = dir.remove_dir(probe);
    let folding = try_out(dir, probe);
    let _nothing_more_to_do = dir.remove_dir(probe);
    // A disk that does not even take the name is expected to fold.
    folding.unwrap_or(Folding::Kept)
}

fn try_out(dir: &Dir, probe: &OsStr) -> io::Result<Folding> {
    dir.make_dir(probe)?;
    let found = |name: &str| Ok::<_, io::Error>(dir.look(OsStr::new(name))?.is_some());
    if !found(PROBE_CASE)? && !found(PROBE_FORM)? {
        Ok(Folding::None)
    } else if entries(dir)?.iter().any(|(name, _)| name == probe) {
        Ok(Folding::Kept)
    } else {
        Ok(Folding::Rewritten)
    }
}

/// The check of names that were found to exist.
#[derive(Debug)]
pub(super) struct Spelling {
    folding: Folding,
    /// The listings of the directories on the way to the latest name checked, outermost first, so
    /// that a tree that is opened again in depth-first order is listed once.
    listed: Vec<Listed>,
}

#[derive(Debug)]
struct Listed {
    dir: String,
    names: HashSet<OsString>,
}

impl Spelling {
    pub(super) fn new(folding: Folding) -> Self {
        Self {
            folding,
            listed: Vec::new(),
        }
    }

    pub(super) fn folding(&self) -> Folding {
        self.folding
    }

    /// Whether the existing entry at `path` has this very name; `Err` holds the name it has.
    pub(super) fn check(&mut self, root: &Root, path: &TreePath) -> io::Result<Result<(), String>> {
        if self.folding != Folding::Kept {
            return Ok(Ok(()));
        }
        let dir = path.dir();
        self.listed.retain(|listed| is_above(&listed.dir, dir));
        let name = OsStr::new(path.name());
        let known = self.listed.iter().find(|listed| listed.dir == dir);
        if known.is_some_and(|listed| listed.names.contains(name)) {
            return Ok(Ok(()));
        }
        // Listed anew before a name is refused, for it may be younger than the listing.
        let entries = root.within(dir, entries)?;
        if !entries.iter().any(|(there, _)| there == name) {
            let number = root
                .within(dir, |dir| dir.look(name))?
                .and_then(|facts| facts.number);
            return Ok(Err(other_name(&entries, path.name(), number)));
        }
        self.listed.retain(|listed| listed.dir != dir);
        self.listed.push(Listed {
            dir: dir.to_owned(),
            names: entries.into_iter().map(|(name, _)| name).collect(),
        });
        Ok(Ok(()))
    }
}

fn entries(dir: &Dir) -> io::Result<Vec<(OsString, Option<u64>)>> {
    let mut entries = Vec::new();
    dir.list(&mut |name, number| entries.push((name, number)))?;
    Ok(entries)
}

/// Whether a directory is `dir` or one above it.
fn is_above(above: &str, dir: &str) -> bool {
    above.is_empty()
        || dir
            .strip_prefix(above)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The name under which the disk keeps what it finds as `name`: the one with the same number, or
/// where there are no numbers, one that looks alike.
fn other_name(entries: &[(OsString, Option<u64>)], name: &str, number: Option<u64>) -> String {
    let alike = |text: &str| text.to_lowercase() == name.to_lowercase();
    entries
        .iter()
        .find(|(_, there)| number.is_some() && *there == number)
        .or_else(|| {
            entries
                .iter()
                .find(|(there, _)| there.to_str().is_some_and(alike))
        })
        .map_or_else(
            || "another name".to_owned(),
            |(there, _)| there.to_string_lossy().into_owned(),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::parse(text).unwrap()
    }

    fn root() -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path(), true).unwrap().unwrap();
        (dir, root)
    }

    #[test]
    fn a_probe_leaves_nothing_behind() {
        let (dir, root) = root();
        std::fs::create_dir(dir.path().join(PROBE)).unwrap();
        let folding = probe(root.dir());
        assert_eq!(probe(root.dir()), folding);
        assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none());
        assert!(TreePath::parse(PROBE).is_err(), "no tree holds such a name");
    }

    /// As on a disk that finds names by other spellings: what is found but not listed is another's.
    #[test]
    fn only_listed_names_are_right() {
        let (dir, root) = root();
        std::fs::create_dir_all(dir.path().join("Dir/sub")).unwrap();
        std::fs::write(dir.path().join("Dir/File"), "").unwrap();
        let mut spelling = Spelling::new(Folding::Kept);
        let mut check = |text: &str| spelling.check(&root, &path(text)).unwrap();
        for text in ["Dir", "Dir/sub", "Dir/File", "Dir"] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
        assert_eq!(check("dir"), Err("Dir".to_owned()));
        assert_eq!(check("Dir/fILE"), Err("File".to_owned()));
        assert_eq!(check("Dir/none"), Err("another name".to_owned()));
        // What came after the listing is found by a new one.
        std::fs::write(dir.path().join("Dir/later"), "").unwrap();
        assert_eq!(check("Dir/later"), Ok(()));
        let mut blind = Spelling::new(Folding::Rewritten);
        assert_eq!(blind.check(&root, &path("dir")).unwrap(), Ok(()));
    }

    #[test]
    fn the_other_name_is_the_one_with_the_same_number() {
        let entries = [("A", 1), ("B", 2)].map(|(name, number)| (name.into(), Some(number)));
        assert_eq!(other_name(&entries, "a", Some(2)), "B");
        assert_eq!(other_name(&entries, "a", None), "A");
    }

    /// Listings stay for the directories on the way, so that coming back costs nothing.
    #[test]
    fn keeps_the_listings_on_the_way() {
        let (dir, root) = root();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        std::fs::create_dir_all(dir.path().join("ab/c")).unwrap();
        let mut spelling = Spelling::new(Folding::Kept);
        let mut listed = |text: &str| {
            spelling.check(&root, &path(text)).unwrap().unwrap();
            let dirs = spelling.listed.iter().map(|listed| listed.dir.clone());
            dirs.collect::<Vec<_>>()
        };
        assert_eq!(listed("a"), [""]);
        assert_eq!(listed("a/b"), ["", "a"]);
        assert_eq!(listed("ab/c"), ["", "ab"]);
        assert_eq!(listed("a"), [""]);
    }
}
