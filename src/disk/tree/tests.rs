//! Trees on a real disk, with what a hostile DAG or another program may put there.

use super::*;
use crate::disk::DiskError;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[cfg(unix)]
mod hostile;
mod installing;

/// A directory for one test, with a tree begun in it.
struct Place {
    dir: tempfile::TempDir,
    tree: Tree,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::create(&part_in(dir.path())).unwrap();
        Self { dir, tree }
    }

    fn part(&self) -> PathBuf {
        part_in(self.dir.path())
    }

    fn target(&self) -> PathBuf {
        self.dir.path().join("tree")
    }

    fn write(&mut self, at: &str, bytes: &[u8]) {
        let file = self.tree.create_file(&path(at)).unwrap();
        file.write_at(0, bytes).unwrap();
    }
}

fn part_in(dir: &Path) -> PathBuf {
    dir.join("tree.0123abcd.partial")
}

fn path(text: &str) -> TreePath {
    TreePath::parse(text).unwrap()
}

fn walked(walk: Walk<'_>) -> BTreeSet<String> {
    walk.map(|entry| entry.unwrap().path.to_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_tree_is_built_and_looked_at() {
    let mut place = Place::new();
    assert!(place.tree.make_dir(&path("a")).unwrap());
    assert!(!place.tree.make_dir(&path("a")).unwrap());
    assert!(place.tree.make_dir(&path("a/b")).unwrap());
    place.write("a/b/f", b"bytes");
    place.write("g", b"");
    assert!(place.tree.make_dir(&path("no/b")).unwrap_err().is_missing());
    assert!(
        place
            .tree
            .create_file(&path("no/f"))
            .unwrap_err()
            .is_missing()
    );
    assert!(place.tree.open_file(&path("no/f")).unwrap().is_none());
    place.tree.full_sync().run().unwrap();

    let again = place.tree.open_file(&path("a/b/f")).unwrap().unwrap();
    let mut bytes = [0; 5];
    again.read_at(0, &mut bytes).unwrap();
    assert_eq!(&bytes, b"bytes");
    let facts = place.tree.inspect(&path("a/b/f")).unwrap().unwrap();
    assert_eq!((facts.kind, facts.len), (EntryKind::File, 5));
    assert!(facts.modified.0 > 1_600_000_000);
    assert_eq!(place.tree.inspect(&path("a/f")).unwrap(), None);
    assert_eq!(place.tree.inspect(&path("g/f")).unwrap(), None);
    let all = ["a", "a/b", "a/b/f", "g"].map(str::to_owned);
    assert_eq!(walked(place.tree.walk()), BTreeSet::from(all));

    place.tree.remove_file(&path("g")).unwrap();
    place.tree.remove_file(&path("g")).unwrap();
    assert_eq!(place.tree.inspect(&path("g")).unwrap(), None);
    place.tree.full_sync().run().unwrap();
}

#[test]
fn one_owner_at_a_time() {
    let place = Place::new();
    let part = place.part();
    assert!(matches!(Tree::create(&part), Err(DiskError::Exists { .. })));
    assert!(matches!(Tree::open(&part), Err(DiskError::Locked { .. })));
    let Place { dir, tree } = place;
    drop(tree);
    let mut tree = Tree::open(&part).unwrap().unwrap();
    tree.make_dir(&path("a")).unwrap();
    tree.full_sync().run().unwrap();
    drop(tree);
    remove_tree(&part).unwrap();
    assert!(Tree::open(&part).unwrap().is_none());
    assert!(fs::read_dir(dir.path()).unwrap().next().is_none());
}

#[test]
fn names_that_are_taken() {
    let mut place = Place::new();
    place.write("f", b"");
    place.tree.make_dir(&path("d")).unwrap();
    for at in ["f", "d"] {
        assert!(matches!(
            place.tree.create_file(&path(at)),
            Err(DiskError::Exists { .. })
        ));
    }
    assert!(matches!(
        place.tree.make_dir(&path("f")),
        Err(DiskError::Exists { .. })
    ));
    assert!(matches!(
        place.tree.open_file(&path("d")),
        Err(DiskError::IsDirectory { .. })
    ));
    assert!(place.tree.create_file(&path("f/x")).is_err());
}

/// Whatever the disk does with them: two names never share one file unnoticed.
#[test]
fn names_that_may_be_one() {
    let mut place = Place::new();
    for (first, second) in [
        ("Name", "nAME"),
        ("\u{e9}", "e\u{301}"),
        ("stra\u{df}e", "strasse"),
    ] {
        place.write(first, b"first");
        let (opened, made) = (
            place.tree.open_file(&path(second)),
            place.tree.create_file(&path(second)),
        );
        match made {
            Ok(_) => assert!(opened.unwrap().is_none()),
            Err(error) => {
                assert!(place.tree.folds_names());
                assert!(
                    matches!(error, DiskError::NameConflict { ref other, .. } if other == first)
                );
                assert!(matches!(opened, Err(DiskError::NameConflict { .. })));
            }
        }
    }
    assert!(
        walked(place.tree.walk())
            .iter()
            .all(|name| !name.contains('\u{7f}'))
    );
}

#[test]
fn deep_trees_and_long_names() {
    let mut place = Place::new();
    let name = "n".repeat(255);
    let mut at = String::new();
    for _ in 0..127 {
        at = if at.is_empty() {
            name.clone()
        } else {
            format!("{at}/{name}")
        };
        if let Err(error) = place.tree.make_dir(&path(&at)) {
            // Windows cannot, and says so before anything is written.
            assert!(cfg!(windows) && (error.is_uncreatable() || error.is_unsafe_name()));
            return;
        }
    }
    let file = format!("{at}/{name}");
    place.write(&file, b"deep");
    place.tree.full_sync().run().unwrap();
    let facts = place.tree.inspect(&path(&file)).unwrap().unwrap();
    assert_eq!(facts.len, 4);
    assert_eq!(place.tree.walk().filter(Result::is_ok).count(), 128);

    let (part, target) = (place.part(), place.target());
    place.tree.install(&target).unwrap();
    assert!(!part.exists());
    let view = TreeView::open(&target).unwrap().unwrap();
    let file = view.read_file(&path(&file)).unwrap().unwrap();
    assert_eq!(file.len(), 4);
    remove_tree(&target).unwrap();
    assert!(!target.exists());
}

/// The kernel may say once only that it lost what was written.
#[cfg(unix)]
#[test]
fn a_failed_sync_stays_failed() {
    let dir = tempfile::tempdir().unwrap();
    let above = dir.path().join("above");
    fs::create_dir(&above).unwrap();
    let tree = Tree::create(&above.join("tree.0123abcd.partial")).unwrap();
    tree.full_sync().run().unwrap();
    assert!(!tree.has_failed_to_sync());
    let moved = dir.path().join("moved");
    fs::rename(&above, &moved).unwrap();
    assert!(tree.full_sync().run().is_err());
    fs::rename(&moved, &above).unwrap();
    let error = tree.full_sync().run().unwrap_err();
    assert!(tree.has_failed_to_sync());
    assert!(matches!(error, DiskError::Io { op: "sync", ref source, .. }
        if source.to_string().contains("earlier")));
}

#[test]
fn many_files() {
    let mut place = Place::new();
    for dir in 0..100 {
        place.tree.make_dir(&path(&format!("d{dir}"))).unwrap();
        for file in 0..100 {
            place.write(&format!("d{dir}/f{file}"), b"x");
        }
    }
    place.tree.full_sync().run().unwrap();
    assert_eq!(place.tree.walk().count(), 100 * 101);
    place.tree.install(&place.dir.path().join("tree")).unwrap();
}
