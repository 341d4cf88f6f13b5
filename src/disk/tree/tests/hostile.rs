//! Links, pipes and modes in the way.

use super::*;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

impl Place {
    fn outside(&self) -> PathBuf {
        let outside = self.dir.path().join("outside");
        fs::create_dir_all(&outside).unwrap();
        outside
    }

    fn is_empty_outside(&self) -> bool {
        fs::read_dir(self.outside()).unwrap().next().is_none()
    }
}

#[test]
fn symlinks_are_made_and_kept() {
    let mut place = Place::new();
    place.tree.make_dir(&path("d")).unwrap();
    let link = path("d/l");
    place.tree.symlink(&link, b"../f\xff").unwrap();
    place.tree.symlink(&link, b"../f\xff").unwrap();
    assert_eq!(place.tree.read_link(&link).unwrap(), b"../f\xff");
    for taken in ["d", "f"] {
        place.tree.create_file(&path("f")).ok();
        assert!(matches!(
            place.tree.symlink(&path(taken), b"other"),
            Err(DiskError::Exists { .. })
        ));
    }
    // Another link is in nobody's interest.
    symlink("other", place.part().join("other")).unwrap();
    place.tree.symlink(&path("other"), b"d").unwrap();
    assert_eq!(place.tree.read_link(&path("other")).unwrap(), b"d");
    assert_eq!(
        place.tree.inspect(&link).unwrap().map(|facts| facts.kind),
        Some(EntryKind::Link)
    );
}

#[test]
fn no_link_is_followed_anywhere() {
    let mut place = Place::new();
    let outside = place.outside();
    place.tree.make_dir(&path("d")).unwrap();
    place.write("d/f", b"mine");
    // Between two operations, a directory becomes a link.
    fs::rename(place.part().join("d"), place.part().join("moved")).unwrap();
    symlink(&outside, place.part().join("d")).unwrap();
    for at in ["d/x", "d/x/y"] {
        let at = path(at);
        assert!(place.tree.create_file(&at).is_err());
        assert!(place.tree.make_dir(&at).is_err());
        assert!(place.tree.symlink(&at, b"t").is_err());
        assert!(place.tree.remove_file(&at).is_err());
        assert!(place.tree.open_file(&at).unwrap().is_none());
        assert!(
            place
                .tree
                .preserve(Some(&at), &Preserved::default())
                .is_err()
        );
    }
    // A link at a file's own place, to a file or to nothing, goes; that to which it leads stays.
    let victim = place.dir.path().join("victim");
    for _ in 0..2 {
        symlink(&victim, place.part().join("l")).unwrap();
        assert!(matches!(
            place.tree.create_file(&path("l")),
            Err(DiskError::Exists { .. })
        ));
        assert!(place.tree.open_file(&path("l")).unwrap().is_none());
        assert!(!place.part().join("l").is_symlink());
        fs::write(&victim, "untouched").unwrap();
    }
    assert!(place.tree.make_dir(&path("d")).unwrap());
    assert!(place.is_empty_outside());
    symlink(&victim, place.part().join("l")).unwrap();
    let mode = fs::metadata(&victim).unwrap().mode();
    let preserved = Preserved {
        mode: Some(0o777),
        modified: Some((1, 0)),
    };
    place.tree.preserve(Some(&path("l")), &preserved).unwrap();
    assert_eq!(fs::metadata(&victim).unwrap().mode(), mode);
    assert!(fs::metadata(&victim).unwrap().mtime() > 1);
    assert_eq!(fs::read(&victim).unwrap(), b"untouched");
    place.tree.full_sync().run().unwrap();
}

#[test]
fn a_link_is_no_tree() {
    let dir = tempfile::tempdir().unwrap();
    let (real, part) = (dir.path().join("real"), part_in(dir.path()));
    fs::create_dir(&real).unwrap();
    fs::write(real.join("f"), "").unwrap();
    for end in [&real, &dir.path().join("none")] {
        symlink(end, &part).unwrap();
        assert!(matches!(Tree::create(&part), Err(DiskError::Exists { .. })));
        assert!(Tree::open(&part).is_err());
        assert!(TreeView::open(&part).is_err());
        remove_tree(&part).unwrap();
    }
    assert!(real.join("f").exists());
}

#[test]
fn pipes_are_never_waited_for() {
    let mut place = Place::new();
    let pipe = place.part().join("p");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    if !made.is_ok_and(|status| status.success()) {
        return;
    }
    assert!(place.tree.create_file(&path("p")).is_err());
    assert!(
        place
            .tree
            .preserve(Some(&path("p")), &Preserved::default())
            .is_err()
    );
    place.tree.full_sync().run().unwrap();
    assert!(place.tree.open_file(&path("p")).unwrap().is_none());
    assert!(!pipe.exists());
    drop(place.tree);
    remove_tree(&part_in(place.dir.path())).unwrap();
}

#[test]
fn removal_and_view_stay_inside() {
    let mut place = Place::new();
    let outside = place.outside();
    fs::write(outside.join("f"), "").unwrap();
    place.tree.make_dir(&path("d")).unwrap();
    place.tree.symlink(&path("d/l"), b"../../outside").unwrap();
    let all = ["d", "d/l"].map(str::to_owned);
    assert_eq!(walked(place.tree.walk()), BTreeSet::from(all));
    let view = TreeView::open(&place.part()).unwrap().unwrap();
    assert_eq!(view.read_link(&path("d/l")).unwrap(), b"../../outside");
    assert!(view.read_file(&path("d/l/f")).unwrap().is_none());
    assert!(matches!(
        view.read_file(&path("d/l")),
        Err(DiskError::NotRegular { .. })
    ));
    remove_tree(&place.part()).unwrap();
    assert!(outside.join("f").exists());
}

#[test]
fn mode_and_time_are_preserved() {
    let mut place = Place::new();
    place.tree.make_dir(&path("d")).unwrap();
    place.write("d/f", b"x");
    place.tree.symlink(&path("d/l"), b"f").unwrap();
    let set = |place: &Place| {
        let preserved = |mode, seconds, nanos| Preserved {
            mode: Some(mode),
            modified: Some((seconds, nanos)),
        };
        let tree = &place.tree;
        tree.preserve(Some(&path("d/l")), &preserved(0o600, 7, 0))
            .unwrap();
        tree.preserve(Some(&path("d/f")), &preserved(0o6004, -5, 250_000_000))
            .unwrap();
        tree.preserve(Some(&path("d")), &preserved(0o0, 1_000_000_000, 1))
            .unwrap();
        tree.preserve(None, &preserved(0o1500, -1, 999_999_999))
            .unwrap();
    };
    set(&place);
    place.tree.full_sync().run().unwrap();
    // Killed here: what is closed can be opened again, and finished.
    let Place { dir, tree } = place;
    drop(tree);
    let tree = Tree::open(&part_in(dir.path())).unwrap().unwrap();
    let mut place = Place { dir, tree };
    let file = place.tree.open_file(&path("d/f")).unwrap().unwrap();
    file.write_at(0, b"y").unwrap();
    set(&place);
    place.tree.full_sync().run().unwrap();
    set(&place);
    let target = place.target();
    place.tree.install(&target).unwrap();

    let facts = |at: &Path| {
        let metadata = fs::symlink_metadata(at).unwrap();
        (
            metadata.mode() & 0o7777,
            metadata.mtime(),
            metadata.mtime_nsec(),
        )
    };
    assert_eq!(facts(&target), (0o500, -1, 999_999_999));
    assert_eq!(facts(&target.join("d")), (0, 1_000_000_000, 1));
    crate::disk::platform::open_up(&target.join("d")).unwrap();
    assert_eq!(facts(&target.join("d/f")), (0o004, -5, 250_000_000));
    assert_eq!(facts(&target.join("d/l")).1, 7);
    fs::set_permissions(target.join("d"), fs::Permissions::from_mode(0o0)).unwrap();
    remove_tree(&target).unwrap();
    assert!(!target.exists());
}

#[test]
fn permissions_are_those_of_the_umask() {
    let mut place = Place::new();
    let plain = place.dir.path().join("plain");
    fs::create_dir(&plain).unwrap();
    fs::write(plain.join("f"), "").unwrap();
    place.tree.make_dir(&path("d")).unwrap();
    place.write("f", b"");
    let mode = |at: PathBuf| fs::metadata(at).unwrap().mode() & 0o7777;
    assert_eq!(mode(place.part()), mode(plain.clone()));
    assert_eq!(mode(place.part().join("d")), mode(plain.clone()));
    assert_eq!(mode(place.part().join("f")), mode(plain.join("f")));
}

#[test]
fn every_file_can_be_synced_alone() {
    let mut place = Place::new();
    place.tree.make_dir(&path("d")).unwrap();
    place.write("d/f", b"x");
    place.tree.symlink(&path("l"), b"d").unwrap();
    let closed = Preserved {
        mode: Some(0),
        modified: None,
    };
    place.tree.preserve(Some(&path("d/f")), &closed).unwrap();
    super::super::sync::sync_everything_alone(&place.tree.root).unwrap();
    let facts = place.tree.inspect(&path("d/f")).unwrap().unwrap();
    assert_eq!(facts.mode, Some(0));
}

/// One of two names of a file is no part: what is written must not reach the other one.
#[test]
fn other_names_of_a_file_are_left_alone() {
    let mut place = Place::new();
    let victim = place.dir.path().join("victim");
    fs::write(&victim, "mine").unwrap();
    for name in ["f", "d"] {
        fs::hard_link(&victim, place.part().join(name)).unwrap();
    }
    assert!(place.tree.open_file(&path("f")).unwrap().is_none());
    place.write("f", b"other");
    assert!(place.tree.make_dir(&path("d")).unwrap());
    assert_eq!(fs::read(&victim).unwrap(), b"mine");
    // What would be lost is not ours to remove.
    assert!(matches!(
        place.tree.make_dir(&path("f")),
        Err(DiskError::Exists { .. })
    ));
    assert!(matches!(
        place.tree.open_file(&path("d")),
        Err(DiskError::IsDirectory { .. })
    ));
}
